"""Tokens per second through `GPT4All.stream` beside gpt4all's own `generate(streaming=True)`, on the same model.

Run `python tests/benchmarks/gpt4all_speed.py` from the root of the repository; it takes about three minutes. The sides
take turns in every round, so that a busy moment meets both alike, and the ratio is that of one round. Two models: one
of 190 million parameters; and one that computes next to nothing, which shows what a token costs around the computing,
LangChain's part included, and has no bar.

What is measured, and how fair it is, is told in docs/benchmarks.md, whose tables report.py writes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
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
from tests.benchmarks import figures
from tests.benchmarks.figures import GPT4ALL, ITS_OWN, Results
from tests.benchmarks.machine import machine
from tests.benchmarks.materials import model_file
from tests.chain_model import in_pieces, write_chain

PACKAGES = ("langchain-localmodels", "gpt4all", "langchain-core", "pydantic")
OURS = "GPT4All.stream"
STREAM, AROUND, COST = "stream", "next to nothing to compute", "what a token of that costs"
PROMPT = "The first man on the moon was"
COMMON: dict[str, Any] = {"repeat_penalty": 1.0, "repeat_last_n": 64, "n_batch": 128}
_WINDOW = 2048
_SHORT, _LONG = 48, 1500
"""Tokens of an answer, of the large model and of the other."""


def ours(llm: GPT4All, tokens: int) -> Iterator[str]:
    """Our stream."""
    return llm.stream(PROMPT, max_tokens=tokens)


def theirs(model: gpt4all.GPT4All, tokens: int) -> Iterator[str]:
    """Theirs."""
    streamed: Iterator[str] = model.generate(PROMPT, max_tokens=tokens, streaming=True, temp=0.0, **COMMON)
    return streamed


def rate(pieces: Iterator[str], tokens: int) -> tuple[float, float]:
    """Tokens per second, and microseconds of processor time per token; reading the prompt is no part of either."""
    next(pieces)
    began, computed = time.perf_counter(), time.process_time()
    count = sum(1 for _ in pieces)
    took, computed = time.perf_counter() - began, time.process_time() - computed
    if count < tokens * 0.9:
        raise RuntimeError(f"only {count + 1} pieces came for {tokens} tokens")
    return count / took, computed / count * 1e6


def measure(path: Path, tokens: int, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Let both sides write on one model, round by round; gives what `rate` does, of each side and round."""
    llm = GPT4All(model=path, n_threads=1, n_ctx=_WINDOW, temperature=0, **COMMON)
    llm.load()  # first, so that the library is quiet about the parts that it cannot load
    own = gpt4all.GPT4All(str(path), allow_download=False, n_threads=1, n_ctx=_WINDOW)
    found: dict[str, list[tuple[float, float]]] = {OURS: [], ITS_OWN: []}
    with llm, contextlib.closing(own):
        for number in range(rounds + 1):
            sides = {OURS: lambda: rate(ours(llm, tokens), tokens), ITS_OWN: lambda: rate(theirs(own, tokens), tokens)}
            order = list(sides) if number % 2 else list(reversed(sides))
            values = {side: sides[side]() for side in order}
            if number:  # the first is to warm up
                for side, value in values.items():
                    found[side].append(value)
    return found


def run(rounds: int) -> Results:
    """Measure on both models."""
    conditions = f"1 thread for each side, {rounds} rounds; answers of {_SHORT} and {_LONG} tokens"
    results = Results(machine(*PACKAGES), conditions, GPT4ALL)
    found = measure(model_file(), _SHORT, rounds)
    results.rates[STREAM] = {side: [rates for rates, _ in values] for side, values in found.items()}
    with tempfile.TemporaryDirectory() as folder:
        words = in_pieces(" ".join(f"word number {number}," for number in range(120)))
        found = measure(write_chain(Path(folder) / "chain.gguf", words, end=None), _LONG, rounds)
    results.rates[AROUND] = {side: [rates for rates, _ in values] for side, values in found.items()}
    results.rates[COST] = {side: [cost for _, cost in values] for side, values in found.items()}
    results.units.update({STREAM: "tokens/s", AROUND: "tokens/s", COST: "µs/token"})
    results.set_against_others(STREAM, OURS)
    results.set_against_others(AROUND, OURS)
    _, ratio, _ = figures.spread(results.values[AROUND][ITS_OWN])
    results.notes.append(f"Where there is next to nothing to compute, our stream is {ratio:.2f} times as fast.")
    return results


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="how often each side runs (9)")
    parser.add_argument("--json", type=Path, help="write what was measured to this file, for report.py")
    args = parser.parse_args()
    results = run(args.rounds)
    if args.json:
        args.json.write_text(json.dumps(results.as_dict(), indent=1) + "\n", "utf-8")
    figures.show(results)


if __name__ == "__main__":
    main()
