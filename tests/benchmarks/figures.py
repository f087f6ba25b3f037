"""The figures, their bars, and what they come to."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Bar:
    """What a figure has to reach: `stream` over `bare loop` at least 0.95."""

    figure: str
    over: str
    limit: float
    at_least: bool = True
    unit: str = ""

    def reached(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        return f"{'at least' if self.at_least else 'at most'} {self.limit:g}{f' {self.unit}' if self.unit else ''}"


LLAMACPP, SERVERS, GPT4ALL = "llamacpp", "servers", "gpt4all"
FLOOR = "langchain-core's floor"
ITS_OWN = "gpt4all's own"
_CHATS, _TEXTS = ("ChatOllama", "ChatLlamafile"), ("OllamaLLM", "Llamafile")

BARS = {
    LLAMACPP: (
        Bar("stream", "bare loop", 0.95),
        Bar("batch of 8", "bare loop", 0.92),
        Bar("batch of 16", "bare loop", 0.92),
        Bar("stream", "langchain-community", 1.2),
        Bar("batch of 8", "langchain-community", 1.6),
        Bar("batch of 16", "langchain-community", 2.0),
        Bar("batch of 8", "llama-server", 1.0),
        Bar("simulation", "langchain-community", 3.5),
        Bar("simulation", "llama-server", 1.0),
        Bar("first token", "on an idle engine", 4.0, at_least=False),
        Bar("first token", "after waiting for the long prompt", 0.25, at_least=False),
        Bar("second object", "time", 20.0, at_least=False, unit="ms"),
        Bar("second object", "memory", 5.0, at_least=False, unit="MB"),
    ),
    SERVERS: (
        # llama-server's events have one and a half times the bytes of Ollama's lines.
        Bar("ChatOllama.stream", FLOOR, 1.4, at_least=False),
        Bar("ChatLlamafile.stream", FLOOR, 1.6, at_least=False),
        Bar("OllamaLLM.stream", FLOOR, 0.75, at_least=False),
        Bar("Llamafile.stream", FLOOR, 0.85, at_least=False),
        *(Bar(f"{name}.astream", f"{name}.stream", 1.2, at_least=False) for name in (*_CHATS, *_TEXTS)),
        *(
            Bar(f"64 streams of {name}", "tokens lost, doubled or mixed", 0, at_least=False, unit="tokens")
            for name in (*_CHATS, *_TEXTS)
        ),
    ),
    GPT4ALL: (Bar("stream", ITS_OWN, 0.95),),
}
"""What each program measures."""


@dataclass
class Results:
    """What was measured, round by round.

    Attributes:
        subject: Which of `BARS` they are held against.
        conditions: What the measuring was done with, in words.
        rates: Per figure and side, tokens per second (or whatever `units` says).
        values: Per figure and what it is set against, the ratio, or the value itself where the bar has a unit.
        notes: Per figure, what else is to be told.
    """

    machine: dict[str, Any]
    conditions: str
    subject: str = LLAMACPP
    rates: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    tools: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def set_against_others(self, figure: str, ours: str) -> None:
        """Put down the ratio of our rate to that of each other side, of the same round."""
        rates = self.rates[figure]
        self.values[figure] = {
            side: [mine / other for mine, other in zip(rates[ours], others, strict=True)]
            for side, others in rates.items()
            if side != ours
        }

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """The lower quartile, the median, the upper quartile."""
    if len(values) < 2:
        return (values[0],) * 3
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def rows(results: Results) -> list[tuple[Bar, tuple[float, float, float]]]:
    """Every bar that was measured, with quartiles and median."""
    return [
        (bar, spread(found))
        for bar in BARS[results.subject]
        if (found := results.values.get(bar.figure, {}).get(bar.over)) is not None
    ]


def missing(results: Results) -> list[Bar]:
    """Bars of which nothing was measured."""
    measured = [bar for bar, _ in rows(results)]
    return [bar for bar in BARS[results.subject] if bar not in measured]


def show(results: Results) -> None:
    """Print rates, then every bar."""
    for figure, sides in results.rates.items():
        for side, values in sides.items():
            low, middle, high = spread(values)
            print(f"{figure:26} {side:36} {middle:9.1f} [{low:.1f} to {high:.1f}] {results.units[figure]}")
    for name, value in results.tools.items():
        print(f"{name:63} {value:9.1f} tokens/s")
    print()
    for bar, (low, middle, high) in rows(results):
        verdict = "pass" if bar.reached(middle) else "MISS"
        measured = f"{middle:8.3f} [{low:.3f} to {high:.3f}]"
        print(f"{verdict}  {bar.figure:26} {bar.over:36} {measured:30} {bar}")
    for bar in missing(results):
        print(f"----  {bar.figure:26} {bar.over:36} not measured")
    for note in results.notes:
        print(note)
