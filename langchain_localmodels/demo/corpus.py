"""Samples as tokens: the tokenizer, and batches of samples of about one length.

Everything follows from a seed.
"""

# ruff: noqa: SIM905 (a list of words is for reading)
from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from langchain_localmodels.demo.samples import PAD, SPECIAL_TOKENS, Sample, render
from langchain_localmodels.demo.skills import draw
from langchain_localmodels.demo.vocabulary import Vocabulary

BUCKETS = (64, 128, 192, 256, 320, 384, 448, 576, 1024)
"""Lengths of batches. A sample goes to the shortest that holds it, and so never shares a row."""

SPACE = "\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}"
"""How byte-level BPE writes a space."""

PADDING, PROMPT, ANSWER = range(3)
"""What a token is part of; `train.py` decides what each counts."""

FUNCTION_WORDS = (
    "the and for you your are was that this with what may one more call functions "
    "assist user query provided function signatures within XML tags each return json object name "
    "arguments assistant question answer context Use tool value result helpful "
    "following only schema keys JSON years old lives works has have first moon text "
    "favorite remember will help can tell know road cross other side Google search should queries"
).split()
"""Words of the fixed phrases, which alone may take the space before them into their token."""


def learn_tokenizer(seed: int, size: int = 1024, samples: int = 12000) -> Tokenizer:
    """Learn byte-level BPE on samples.

    The result runs under the pre-tokenizer "gpt-2", which engines of any age know, but is learnt
    under a stricter one: digits stand alone, and a space never joins the word behind it unless it
    is one of `FUNCTION_WORDS`. So a name or a number is the same tokens after a space, in quotes
    and in JSON, and copying it is plain repetition. Other scripts are left out, so that they are copied byte by byte.
    """
    tokenizer = Tokenizer(models.BPE())
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    apart = pre_tokenizers.Split(Regex(r"\d| (?=[A-Za-z])"), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([apart, byte_level])
    v = Vocabulary(random.Random(seed))
    texts = ("".join(text for text, _ in render(draw(v))) for _ in range(samples))
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((t.encode("ascii", "ignore").decode() for t in texts), trainer)
    tokenizer = _with_spaced_words(tokenizer)
    tokenizer.pre_tokenizer = byte_level
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _with_spaced_words(tokenizer: Tokenizer) -> Tokenizer:
    """Replace the rarest tokens by one for every function word with its space.

    Their merges come last, so a word is built first and takes its space afterwards.
    """
    state = json.loads(tokenizer.to_str())
    model = state["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    kept = set(tokens[: -len(FUNCTION_WORDS)])
    spaced = [SPACE + word for word in FUNCTION_WORDS if word in kept]
    tokens = tokens[: len(tokens) - len(spaced)]
    kept = set(tokens)
    merges = [pair for pair in model["merges"] if "".join(pair) in kept]
    model["merges"] = merges + [[SPACE, token[1:]] for token in spaced]
    model["vocab"] = {token: index for index, token in enumerate(tokens + spaced)}
    return Tokenizer.from_str(json.dumps(state))


@dataclass
class Row:
    """Tokens of one sample, and what each is part of."""

    ids: list[int]
    parts: list[int]


def encode(tokenizer: Tokenizer, sample: Sample) -> Row:
    """Tokens of a sample."""
    row = Row([], [])
    for text, learn in render(sample):
        ids = tokenizer.encode(text).ids
        row.ids += ids
        row.parts += [ANSWER if learn else PROMPT] * len(ids)
    return row


def batches(tokenizer: Tokenizer, seed: int, tokens: int) -> Iterator[list[Row]]:
    """Endless batches of about `tokens` tokens in rows of one length.

    Rows are one token longer than the length of `BUCKETS`, since a row is both input and target.
    """
    v = Vocabulary(random.Random(seed))
    pad = tokenizer.token_to_id(PAD)
    waiting: dict[int, list[Row]] = {length: [] for length in BUCKETS}
    while True:
        row = encode(tokenizer, draw(v))
        length = next((size for size in BUCKETS if len(row.ids) <= size + 1), None)
        if length is None:
            continue
        missing = length + 1 - len(row.ids)
        row.ids += [pad] * missing
        row.parts += [PADDING] * missing
        waiting[length].append(row)
        if len(waiting[length]) == tokens // length:
            yield waiting[length]
            waiting[length] = []
