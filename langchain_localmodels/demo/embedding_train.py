"""Trains the demo embedding model from nothing: `python -m langchain_localmodels.demo.embedding_train --out FILE`.

Needs torch, tokenizers and gguf, and no GPU. Owns the tokenizer, the loop and the GGUF file. The budget is a number of
steps and all texts are drawn from a seed; a checkpoint beside the output lets an interrupted run go on.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path

import gguf
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor
from torch.nn import functional as F

from langchain_localmodels.demo.embedding_data import Pair, training_pairs
from langchain_localmodels.demo.embedding_network import Bert, BertShape
from langchain_localmodels.demo.export import write_weights
from langchain_localmodels.demo.network import Muon
from langchain_localmodels.demo.vocabulary import WORDS, Vocabulary

NAME = "localmodels-demo-embed"
PAD, UNKNOWN, CLS, SEP, MASK = SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
FIRST_STEPS, SECOND_STEPS = 500, 150
"""Steps of the two cycles: in the second, passages are longer, and the learning rates fall anew."""
SCENES = 40
"""Scenes in a batch, of about four pairs each."""
TEMPERATURE = 0.05
BACKWARD_WEIGHT = 0.3
"""What finding the query by the passage counts beside finding the passage by the query."""
MATRIX_RATE, OTHER_RATE = 0.01, 2e-3
WARMUP_STEPS = 50
DECAY_FROM = 0.4
"""Share of the first cycle after which the learning rates fall in a line to nothing."""
SECOND_START = 0.5
"""Where the second cycle's learning rates start, as a share of the first one's."""
SENTENCES = (1, 1, 1, 1, 2, 2, 3, 5), (1, 1, 2, 2, 3, 3, 4, 5)
"""Sentences of a passage, as likely as they are here, in each cycle."""
SHIFTED = 0.3
"""Share of batches that start at another position than 0, so that every position is learnt from short texts."""
LOG_EVERY, SAVE_SECONDS = 25, 120.0
_WORD_START, _CONTINUATION = "\N{LOWER ONE EIGHTH BLOCK}", "##"


def learn_tokenizer(seed: int, size: int = 2048, scenes: int = 12_000) -> Tokenizer:
    """Learn WordPiece on training texts; any word of ASCII letters and digits can be spelt with it."""
    options = {"unk_token": UNKNOWN, "max_input_chars_per_word": 1_000_000}
    tokenizer = Tokenizer(models.WordPiece(**options))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    v = Vocabulary(random.Random(seed))
    texts = [text for _ in range(scenes) for pair in training_pairs(v) for text in (pair.query, pair.passage)]
    printable = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    alphanumeric = [sign for sign in printable if sign.isalnum()]
    # Each letter before each, so that all come at the start of a word and within.
    texts += [one + other for one in alphanumeric for other in alphanumeric]
    texts += [*printable, *WORDS * 3]
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL),
        initial_alphabet=printable,
        continuing_subword_prefix=_CONTINUATION,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    # The trainer numbers its pieces by chance. It breaks ties so too: a few of the rarest may differ from run to run.
    found = sorted(set(tokenizer.get_vocab()).difference(SPECIAL))
    tokenizer.model = models.WordPiece({token: i for i, token in enumerate((*SPECIAL, *found))}, **options)
    ends = [(mark, tokenizer.token_to_id(mark)) for mark in (SEP, CLS)]
    tokenizer.post_processor = processors.BertProcessing(*ends)
    return tokenizer


def padded(tokenizer: Tokenizer, texts: Sequence[str], window: int) -> tuple[Tensor, Tensor]:
    """Token ids of texts as a batch, and where they are tokens."""
    rows = [encoding.ids[: window - 1] for encoding in tokenizer.encode_batch_fast(list(texts))]
    longest = max(len(row) for row in rows)
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[True] * len(row) + [False] * (longest - len(row)) for row in rows])
    return ids, mask


def embed(network: Bert, tokenizer: Tokenizer, texts: Sequence[str], offset: int = 0, parts: int = 1) -> Tensor:
    """Vectors of texts, in their order; computed in `parts` batches of about one length each."""
    by_length = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    size = -(-len(texts) // parts)
    found = []
    for start in range(0, len(texts), size):
        ids, mask = padded(tokenizer, [texts[i] for i in by_length[start : start + size]], network.shape.window)
        found.append(network(ids, mask, min(offset, network.shape.window - ids.shape[1])))
    order = torch.empty(len(texts), dtype=torch.long)
    order[torch.tensor(by_length)] = torch.arange(len(texts))
    return torch.cat(found)[order]


def contrast(queries: Tensor, passages: Tensor, pairs: Sequence[Pair]) -> tuple[Tensor, float]:
    """InfoNCE over the batch, and the share of queries that find their passage.

    A passage of another pair that answers the query as well is no negative.
    """
    scores = queries @ passages.T / TEMPERATURE
    answered: dict[tuple[str, ...], list[int]] = {}
    for index, pair in enumerate(pairs):
        for key in pair.answers:
            answered.setdefault(key, []).append(index)
    too = [(i, j) for i, pair in enumerate(pairs) for j in answered[pair.key] if i != j]
    if too:
        rows, columns = (torch.tensor(side) for side in zip(*too, strict=True))
        scores = scores.index_put((rows, columns), torch.tensor(float("-inf")))
    own = torch.arange(len(pairs))
    right = (scores.argmax(1) == own).float().mean().item()
    return F.cross_entropy(scores, own) + BACKWARD_WEIGHT * F.cross_entropy(scores.T, own), right


def rate(step: int) -> float:
    """Factor of the learning rates at a step."""
    if step >= FIRST_STEPS:
        return SECOND_START * max(0.0, 1 - (step - FIRST_STEPS) / SECOND_STEPS) + 0.01
    return min(1.0, (step + 1) / WARMUP_STEPS) * min(1.0, (1 - step / FIRST_STEPS) / (1 - DECAY_FROM) + 0.01)


class Run:
    """A training: the network, its tokenizer and its optimizers."""

    def __init__(self, seed: int, checkpoint: Path) -> None:
        """Begin, or take up the checkpoint if there is one."""
        torch.manual_seed(seed)
        self.seed, self.step, self.checkpoint = seed, 0, checkpoint
        state = torch.load(checkpoint) if checkpoint.exists() else None
        self.tokenizer = Tokenizer.from_str(state["tokenizer"]) if state else learn_tokenizer(seed)
        self.network = Bert(BertShape(vocabulary=self.tokenizer.get_vocab_size()))
        adam = torch.optim.AdamW(self.network.others(), lr=OTHER_RATE, betas=(0.9, 0.98), weight_decay=0)
        self.optimizers = (Muon(self.network.matrices(), lr=MATRIX_RATE), adam)
        if state:
            self.step = state["step"]
            self.network.load_state_dict(state["network"])
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)

    def save(self) -> None:
        """Write a checkpoint, whole or not at all."""
        partial = self.checkpoint.with_suffix(".partial")
        optimizers = [optimizer.state_dict() for optimizer in self.optimizers]
        state = {"network": self.network.state_dict(), "tokenizer": self.tokenizer.to_str(), "step": self.step}
        torch.save({**state, "optimizers": optimizers}, partial)
        partial.replace(self.checkpoint)

    def _draw(self, v: Vocabulary, step: int) -> tuple[list[Pair], int]:
        """The batch of a step, and the position it starts at."""
        sentences = SENTENCES[step >= FIRST_STEPS]
        pairs = [pair for _ in range(SCENES) for pair in training_pairs(v, sentences)]
        return pairs, v.rng.randrange(self.network.shape.window) if v.chance(SHIFTED) else 0

    def train(self, steps: int) -> None:
        """Go on until `steps` steps are done; a run taken up again goes on where it was."""
        # Not the stream of the tokenizer's texts, which is the seed's own.
        v = Vocabulary(random.Random(f"{self.seed} 0"))
        for step in range(self.step):
            self._draw(v, step)
        began = saved = time.monotonic()
        losses, hits, first = 0.0, 0.0, self.step
        while self.step < steps:
            for optimizer, top in zip(self.optimizers, (MATRIX_RATE, OTHER_RATE), strict=True):
                optimizer.param_groups[0]["lr"] = top * rate(self.step)
            pairs, offset = self._draw(v, self.step)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                queries = embed(self.network, self.tokenizer, [pair.query for pair in pairs], offset, 1)
                passages = embed(self.network, self.tokenizer, [pair.passage for pair in pairs], offset, 3)
            loss, right = contrast(queries.float(), passages.float(), pairs)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            for optimizer in self.optimizers:
                optimizer.step()
                optimizer.zero_grad()
            self.step += 1
            losses, hits = losses + loss.item(), hits + right
            now = time.monotonic()
            if self.step % LOG_EVERY == 0:
                pace = (now - began) / (self.step - first)
                print(
                    f"step {self.step}  loss {losses / LOG_EVERY:.4f}  found {100 * hits / LOG_EVERY:.1f} %  "
                    f"{pace:.2f} s/step  {(now - began) / 60:.1f} min",
                    flush=True,
                )
                losses = hits = 0.0
            if now - saved > SAVE_SECONDS:
                self.save()
                saved = now
        self.save()


def _write_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    vocabulary: dict[str, int] = json.loads(tokenizer.to_str())["model"]["vocab"]
    tokens, kinds = [], []
    for token in sorted(vocabulary, key=vocabulary.__getitem__):
        special = token in SPECIAL
        kinds.append(gguf.TokenType.CONTROL if special else gguf.TokenType.NORMAL)
        whole = token if special else _WORD_START + token
        tokens.append(token.removeprefix(_CONTINUATION) if len(token) > 2 and token.startswith("##") else whole)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_type_count(2)
    writer.add_pad_token_id(vocabulary[PAD])
    writer.add_unk_token_id(vocabulary[UNKNOWN])
    writer.add_uint32("tokenizer.ggml.cls_token_id", vocabulary[CLS])
    writer.add_sep_token_id(vocabulary[SEP])
    writer.add_mask_token_id(vocabulary[MASK])
    writer.add_bos_token_id(vocabulary[CLS])
    writer.add_eos_token_id(vocabulary[SEP])


def write(network: Bert, tokenizer: Tokenizer, path: Path) -> None:
    """Write the model to `path` as GGUF, its matrices in Q8_0."""
    shape = network.shape
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_name(NAME)
    writer.add_description("Tiny embedding model for demos and tests of langchain-localmodels.")
    writer.add_license("MIT")
    writer.add_context_length(shape.window)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_layer_norm_eps(shape.norm_eps)
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    _write_tokenizer(writer, tokenizer)
    # llama.cpp adds a row of the token types to the input, and can add no quantized row.
    write_weights(writer, network.state_dict(), whole="token_types")


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Train the demo embedding model and write it as GGUF.")
    parser.add_argument("--out", type=Path, required=True, help="GGUF file to write")
    parser.add_argument("--steps", type=int, default=FIRST_STEPS + SECOND_STEPS, help="stop after so many")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args(arguments)

    torch.set_num_threads(options.threads)
    run = Run(options.seed, options.out.with_suffix(".checkpoint"))
    count = sum(parameter.numel() for parameter in run.network.parameters())
    print(f"{count / 1e6:.2f} M parameters, {run.tokenizer.get_vocab_size()} tokens, step {run.step}", flush=True)
    run.train(options.steps)
    write(run.network, run.tokenizer, options.out)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.2f} MB", flush=True)


if __name__ == "__main__":
    main()
