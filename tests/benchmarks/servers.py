"""What a streamed token costs the client of a server, in processor time, beside langchain-core's floor.

Run `python tests/benchmarks/servers.py` from the root of the repository; it takes about two minutes. A server in a
process of its own sends tokens as fast as the socket takes them (`tests/doubles/flood_server.py`). Every round runs
each side once, in another order. langchain-ollama is a side where it is installed.

What is measured, and how fair it is, is told in docs/benchmarks.md, whose tables report.py writes.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

if not __package__:  # run by its path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from langchain_core.language_models import GenericFakeChatModel

from langchain_localmodels import ChatLlamafile, ChatOllama, Llamafile, OllamaLLM
from tests.benchmarks import figures
from tests.benchmarks.figures import FLOOR, SERVERS, Results, spread
from tests.benchmarks.machine import machine
from tests.doubles.flood_server import MODEL, FloodServer, Form, faults, prompt_of

PACKAGES = ("langchain-localmodels", "langchain-core", "langchain-ollama", "httpx", "pydantic")
TRACING = ("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING", "LANGCHAIN_TRACING_V2")
STREAMS = 64
WARM_UP = 20
"""Tokens of the stream before the one that counts: connecting, and asking what the server is, are done by then."""

FIGURES: dict[Form, str] = {"together": "many tokens in a piece", "apart": "a piece for each token"}


class Side:
    """A model class, streamed from in a thread or in a task.

    Args:
        make: Makes the model.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    def stream(self, tokens: int, form: Form) -> float:
        """Processor time of one stream in a thread, in seconds."""
        model = self._make()
        _read(model, WARM_UP, form)
        return _read(model, tokens, form)

    def astream(self, tokens: int, form: Form) -> float:
        """Processor time of one stream in a task, in seconds."""

        async def both() -> float:
            model = self._make()
            await _aread(model, WARM_UP, form)
            return await _aread(model, tokens, form)

        return asyncio.run(both())


def _read(model: Any, tokens: int, form: Form) -> float:
    pieces: list[Any] = []
    prompt = prompt_of(1, tokens, form)
    gc.collect()
    began = time.process_time()
    for piece in model.stream(prompt):
        pieces.append(piece)
    took = time.process_time() - began
    _check(tokens, pieces)
    return took


async def _aread(model: Any, tokens: int, form: Form) -> float:
    pieces: list[Any] = []
    prompt = prompt_of(1, tokens, form)
    gc.collect()
    began = time.process_time()
    async for piece in model.astream(prompt):
        pieces.append(piece)
    took = time.process_time() - began
    _check(tokens, pieces)
    return took


def _check(tokens: int, pieces: list[Any]) -> None:
    if wrong := faults(1, tokens, _texts(pieces)):
        raise RuntimeError(f"{wrong} of {tokens} tokens are not what was sent")


def _texts(pieces: list[Any]) -> list[str]:
    return [piece if isinstance(piece, str) else piece.content for piece in pieces]


class Floor(Side):
    """langchain-core's own model, which makes as many chunks of a text that it is given.

    It cuts at blanks, and gives these too. The other sides end with a chunk that has no text.
    """

    def __init__(self) -> None:
        super().__init__(lambda: None)

    def stream(self, tokens: int, form: Form) -> float:
        words = " ".join(f"1:{place}" for place in range(tokens // 2 + 1))
        model = GenericFakeChatModel(messages=iter([words]))
        pieces: list[Any] = []
        gc.collect()
        began = time.process_time()
        for piece in model.stream("anything"):
            pieces.append(piece)
        took = time.process_time() - began
        if len(pieces) != tokens + 1:
            raise RuntimeError(f"the floor has {len(pieces)} chunks instead of {tokens + 1}")
        return took


class Benchmark:
    """One run of the program.

    Args:
        url: Where the server is.
        rounds: How often each side runs.
        tokens: How long each answer is; an even number, since the floor's chunks come in pairs.
    """

    def __init__(self, url: str, rounds: int, tokens: int) -> None:
        self.rounds, self.tokens = rounds, tokens
        self.results = Results(machine(*PACKAGES), f"answers of {tokens} tokens, {rounds} rounds", SERVERS)
        self.ours: dict[str, Callable[[], Any]] = {
            "ChatOllama": partial(ChatOllama, model=MODEL, base_url=url),
            "OllamaLLM": partial(OllamaLLM, model=MODEL, base_url=url),
            "ChatLlamafile": partial(ChatLlamafile, base_url=url),
            "Llamafile": partial(Llamafile, base_url=url),
        }
        self.others: dict[str, Callable[[], Any]] = {}
        if find_spec("langchain_ollama") is None:
            self.results.notes.append("langchain-ollama is not installed: its rows are left out.")
        else:
            import langchain_ollama

            for name in ("ChatOllama", "OllamaLLM"):
                kind = getattr(langchain_ollama, name)
                self.others[f"langchain-ollama's {name}"] = partial(kind, model=MODEL, base_url=url)

    def costs(self, form: Form) -> None:
        """Processor time for each token, of every side."""
        sides: dict[str, Callable[[], float]] = {FLOOR: partial(Floor().stream, self.tokens, form)}
        for name, make in (self.ours | self.others).items():
            sides[f"{name}.stream"] = partial(Side(make).stream, self.tokens, form)
            sides[f"{name}.astream"] = partial(Side(make).astream, self.tokens, form)
        found = self.results.rates[FIGURES[form]] = {name: [] for name in sides}
        self.results.units[FIGURES[form]] = "µs/token"
        for number in range(self.rounds):
            first = number % len(sides)
            for name in [*sides][first:] + [*sides][:first]:
                found[name].append(1e6 * sides[name]() / self.tokens)
        if form == "together":
            self._set_against(found)

    def _set_against(self, found: dict[str, list[float]]) -> None:
        for name in self.ours | self.others:
            thread, task = f"{name}.stream", f"{name}.astream"
            for figure, over in ((thread, FLOOR), (task, thread)):
                self.results.values[figure] = {
                    over: [mine / other for mine, other in zip(found[figure], found[over], strict=True)]
                }
        told = [
            f"{spread(self.results.values[f'{name}.stream'][FLOOR])[1]:.2f} times the floor for {name}.stream"
            for name in self.others
        ]
        if told:
            self.results.notes.append(f"Beside these figures, many tokens in a piece: {', '.join(told)}.")

    def at_once(self) -> None:
        """Many streams in one event loop, each with tokens of its own, in pieces that end anywhere."""
        for name, make in self.ours.items():
            wrong = [asyncio.run(_read_at_once(make(), self.tokens // 10)) for _ in range(self.rounds)]
            self.results.values[f"64 streams of {name}"] = {"tokens lost, doubled or mixed": [float(n) for n in wrong]}


async def _read_at_once(model: Any, tokens: int) -> int:
    async def one(stream: int) -> int:
        pieces = [piece async for piece in model.astream(prompt_of(stream, tokens, "torn"))]
        return faults(stream, tokens, _texts(pieces), torn=True)

    return sum(await asyncio.gather(*(one(stream) for stream in range(STREAMS))))


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="how often each side runs (9)")
    parser.add_argument("--tokens", type=int, default=5000, help="length of an answer, an even number (5000)")
    parser.add_argument("--json", type=Path, help="write what was measured to this file, for report.py")
    args = parser.parse_args()
    if args.tokens < 20 or args.tokens % 2:
        parser.error("--tokens has to be an even number from 20 up")
    # A tracer would be paid for by every side alike, and hide what they differ in.
    os.environ.update(dict.fromkeys(TRACING, "false"))
    with FloodServer() as server:
        benchmark = Benchmark(server.url, args.rounds, args.tokens)
        benchmark.costs("together")
        benchmark.costs("apart")
        benchmark.at_once()
    if args.json:
        args.json.write_text(json.dumps(benchmark.results.as_dict(), indent=1) + "\n", "utf-8")
    figures.show(benchmark.results)


if __name__ == "__main__":
    main()
