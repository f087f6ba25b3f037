"""Trains the demo model from nothing: `python -m langchain_localmodels.demo.train --out FILE`.

Needs torch, tokenizers and gguf, and no GPU. The budget is a number of tokens, so that another
machine takes another time and arrives at the same place, though not at the same bits. A checkpoint
beside the output lets an interrupted run go on.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

from langchain_localmodels.demo import corpus, export
from langchain_localmodels.demo.network import Muon, Network, Shape

DEFAULT_TOKENS = 26_000_000
BATCH_TOKENS = 5120
MATRIX_RATE, OTHER_RATE = 0.02, 3e-3
WARMUP_STEPS = 60
DECAY_FROM = 0.4
"""Share of the budget after which the learning rates fall in a line to nothing."""
LOG_EVERY, SAVE_SECONDS = 50, 300.0

Loss = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def loss_of(network: Network) -> Loss:
    """The weighted loss of a batch, and the plain loss of its answers."""

    def loss(ids: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            scores = network(ids[:, :-1])
        each = F.cross_entropy(scores.float().flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        weight = weights[:, 1:].flatten()
        answer = (weight == 1).float()
        learnt = (each.detach() * answer).sum() / answer.sum()
        return (each * weight).sum() / weight.sum(), learnt

    return loss


def rate(done: float, step: int) -> float:
    """Factor of the learning rates when the share `done` of the budget is used."""
    warm = min(1.0, (step + 1) / WARMUP_STEPS)
    return warm * min(1.0, (1.0 - done) / (1.0 - DECAY_FROM) + 0.01)


def batches_per_step(done: float) -> int:
    """Batches that make up one step: two while copying forms, then one, for twice the steps."""
    return 2 if done < 0.69 else 1


def prompt_weight(done: float) -> float:
    """What a token of a prompt counts beside one of an answer.

    Prompts teach repetition early, where a schema says a name twice; later their chance words are
    mere noise.
    """
    return 0.1 if done < 0.56 else 0.02


@dataclass
class Run:
    """State of a training: what a checkpoint holds."""

    network: Network
    tokenizer: Tokenizer
    optimizers: list[torch.optim.Optimizer]
    step: int = 0
    seen: int = 0

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        state: dict[str, Any] = {
            "network": self.network.state_dict(),
            "tokenizer": self.tokenizer.to_str(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "step": self.step,
            "seen": self.seen,
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def load(self, path: Path) -> None:
        """Take up a checkpoint."""
        state = torch.load(path)
        self.network.load_state_dict(state["network"])
        self.tokenizer = Tokenizer.from_str(state["tokenizer"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.step, self.seen = state["step"], state["seen"]


def start(seed: int) -> Run:
    """A run that has seen nothing."""
    torch.manual_seed(seed)
    tokenizer = corpus.learn_tokenizer(seed)
    network = Network(Shape(vocabulary=tokenizer.get_vocab_size()), window=max(corpus.BUCKETS))
    adam = torch.optim.AdamW(network.others(), lr=OTHER_RATE, betas=(0.9, 0.95), weight_decay=0)
    return Run(network, tokenizer, [Muon(network.matrices(), lr=MATRIX_RATE), adam])


def train(run: Run, seed: int, tokens: int, checkpoint: Path, compiled: bool) -> None:
    """Go on until `tokens` tokens are seen, padding not counted."""
    loss_function = loss_of(run.network)
    if compiled:
        # One program for every length of batches, which is one more than torch keeps by default.
        torch._dynamo.config.recompile_limit = 2 * len(corpus.BUCKETS)
        loss_function = torch.compile(loss_function, dynamic=False)
    # A run taken up again draws other samples than those it has seen.
    batches: Iterator[list[corpus.Row]]
    batches = corpus.batches(run.tokenizer, seed + 1 + run.seen, BATCH_TOKENS)
    rates = (MATRIX_RATE, OTHER_RATE)
    began = saved = time.monotonic()
    began_at, mean = run.seen, 0.0
    while run.seen < tokens:
        factor = rate(run.seen / tokens, run.step)
        learnt = 0.0
        # What padding, prompts and answers count; the order is that of `corpus`.
        worth = torch.tensor([0.0, prompt_weight(run.seen / tokens), 1.0])
        count = batches_per_step(run.seen / tokens)
        for _ in range(count):
            rows = next(batches)
            ids = torch.tensor([row.ids for row in rows])
            weights = worth[torch.tensor([row.parts for row in rows])]
            loss, answers = loss_function(ids, weights)
            (loss / count).backward()
            learnt += answers.item() / count
            run.seen += int((weights > 0).sum())
        torch.nn.utils.clip_grad_norm_(run.network.parameters(), 1.0)
        for optimizer, top in zip(run.optimizers, rates, strict=True):
            optimizer.param_groups[0]["lr"] = top * factor
            optimizer.step()
            optimizer.zero_grad()
        run.step += 1
        mean = learnt if run.step == 1 or not mean else 0.97 * mean + 0.03 * learnt
        now = time.monotonic()
        if run.step % LOG_EVERY == 0:
            speed = (run.seen - began_at) / (now - began)
            print(
                f"step {run.step}  {run.seen / 1e6:.2f} M tokens  answer loss {mean:.4f}  "
                f"{speed:.0f} tokens/s  {(now - began) / 60:.1f} min",
                flush=True,
            )
        if now - saved > SAVE_SECONDS:
            run.save(checkpoint)
            saved = now
    run.save(checkpoint)


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Train the demo model and write it as GGUF.")
    parser.add_argument("--out", type=Path, required=True, help="GGUF file to write")
    parser.add_argument("--tokens", type=int, default=DEFAULT_TOKENS, help="tokens to see")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--no-compile", action="store_true", help="do without torch.compile")
    parser.add_argument("--export-only", action="store_true", help="write the checkpoint as it is")
    options = parser.parse_args(arguments)

    torch.set_num_threads(options.threads)
    checkpoint = options.out.with_suffix(".checkpoint")
    run = start(options.seed)
    if checkpoint.exists():
        run.load(checkpoint)
    count = sum(parameter.numel() for parameter in run.network.parameters())
    print(f"{count / 1e6:.2f} M parameters, {run.seen / 1e6:.2f} M tokens seen", flush=True)
    if not options.export_only:
        train(run, options.seed, options.tokens, checkpoint, not options.no_compile)
    export.write(run.network, run.tokenizer, options.out)
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.2f} MB", flush=True)


if __name__ == "__main__":
    main()
