"""Tokens per second through `GPT4All.stream` beside gpt4all's own `generate(streaming=True)`, on the same model.

Run `python tests/benchmarks/gpt4all_speed.py [ROUNDS]` from the root of the repository. The sides take turns in every
round, so that a busy moment meets both alike, and the ratio of each round is taken. Two models: one that computes
next to nothing, which shows what a token costs around the computing, LangChain's part included, and has no bar; and one
of 190 million parameters.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

if not __package__:  # run by its path
    sys.path.insert(0, str(Path(__file__).parents[2]))

import gpt4all

from langchain_localmodels import GPT4All
from tests.benchmarks.figures import spread
from tests.benchmarks.materials import model_file
from tests.chain_model import in_pieces, write_chain

BAR = 0.95
PROMPT = "The first man on the moon was"
COMMON: dict[str, Any] = {"temp": 0.0, "repeat_penalty": 1.0, "repeat_last_n": 64, "n_batch": 128}
_WINDOW = 2048


def ours(llm: GPT4All, tokens: int) -> Iterator[str]:
    """Our stream."""
    return llm.stream(PROMPT, max_tokens=tokens)


def theirs(model: gpt4all.GPT4All, tokens: int) -> Iterator[str]:
    """Theirs."""
    streamed: Iterator[str] = model.generate(PROMPT, max_tokens=tokens, streaming=True, **COMMON)
    return streamed


def rate(pieces: Iterator[str], tokens: int) -> tuple[float, float]:
    """Tokens per second, and microseconds of processor time per token; reading the prompt is no part of either."""
    next(pieces)
    began, computed = time.perf_counter(), time.process_time()
    count = sum(1 for _ in pieces)
    took, computed = time.perf_counter() - began, time.process_time() - computed
    if count < tokens * 0.9:
        raise SystemExit(f"only {count + 1} pieces came for {tokens} tokens")
    return count / took, computed / count * 1e6


def measure(name: str, path: Path, tokens: int, rounds: int, *, bar: float | None) -> bool:
    """Measure on one model, show it, and tell whether it reaches the bar."""
    llm = GPT4All(
        model=path, n_threads=1, n_ctx=_WINDOW, temperature=0, repeat_penalty=1.0, repeat_last_n=64, n_batch=128
    )
    llm.load()  # first, so that the library is quiet about the parts that it cannot load
    own = gpt4all.GPT4All(str(path), allow_download=False, n_threads=1, n_ctx=_WINDOW)
    sides: dict[str, list[tuple[float, float]]] = {"GPT4All.stream": [], "gpt4all's own": []}
    with llm, contextlib.closing(own):
        for number in range(rounds + 1):
            found = [rate(ours(llm, tokens), tokens), rate(theirs(own, tokens), tokens)]
            for side, value in zip(sides.values(), found, strict=True):
                if number:  # the first is to warm up
                    side.append(value)
    for side, values in sides.items():
        low, middle, high = spread([rates for rates, _ in values])
        _, cpu, _ = spread([cpu for _, cpu in values])
        print(
            f"{name:16} {side:16} {middle:9.1f} [{low:.1f} to {high:.1f}] tokens/s, {cpu:.0f} µs of processor per token"
        )
    ratios = [mine / other for (mine, _), (other, _) in zip(*sides.values(), strict=True)]
    low, middle, high = spread(ratios)
    passed = bar is None or middle >= bar
    verdict = "    " if bar is None else "pass" if passed else "MISS"
    wanted = "" if bar is None else f"  at least {bar}"
    print(f"{verdict} {name:11} over its own     {middle:9.3f} [{low:.3f} to {high:.3f}]{wanted}")
    return passed


def main(rounds: int) -> int:
    """Measure both."""
    with tempfile.TemporaryDirectory() as folder:
        words = in_pieces(" ".join(f"word number {number}," for number in range(120)))
        chain = write_chain(Path(folder) / "chain.gguf", words, end=None)
        passed = [
            measure("next to nothing", chain, 1500, rounds, bar=None),
            measure("190M, Q4_0", model_file(), 48, rounds, bar=BAR),
        ]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    raise SystemExit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 9))
