"""JSON calls between two marks: a list in Nemotron and Apriel, a call on each line in MiniMax M1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from langchain_localmodels.dialects.gbnf_rules import Rules, literal
from langchain_localmodels.dialects.notations.base import Blocks, Mark, Notation, ParsedCall
from langchain_localmodels.dialects.notations.bodies import Body, MarkedBody
from langchain_localmodels.dialects.notations.json_calls import (
    call_list,
    call_object,
    read_calls,
    written_call,
    written_calls,
)
from langchain_localmodels.engines.base import Tool, ToolCall


class _TaggedList(Notation):
    """What they have in common.

    Attributes:
        opening: Before the list.
        closing: After it.
    """

    opening: ClassVar[str]
    closing: ClassVar[str]

    def recognises(self, template_source: str) -> bool:
        """See `Notation.recognises`."""
        return self.opening in template_source and self.closing in template_source

    def marks(self, tools: Mapping[str, Tool]) -> Sequence[Mark]:
        """See `Notation.marks`."""
        return (Mark(self.opening),)

    def body(self, mark: Mark) -> Body:
        """See `Notation.body`."""
        return MarkedBody([self.closing], [self.opening])

    def parse(self, body: str, mark: Mark, tools: Mapping[str, Tool]) -> list[ParsedCall]:
        """See `Notation.parse`."""
        return read_calls(body)

    def written(self, calls: Sequence[ToolCall]) -> str:
        """See `Notation.written`."""
        return f"{self.opening}{written_calls(calls)}{self.closing}"

    def blocks(self, rules: Rules, tools: Sequence[Tool], *, parallel: bool) -> Blocks:
        """See `Notation.blocks`."""
        calls = call_list(rules, call_object(rules, tools), parallel=parallel)
        return Blocks({self.opening: f"{calls} {literal(self.closing)}"})


class Nemotron(_TaggedList):
    """Nemotron Nano 2 and Llama-Nemotron."""

    name = "nemotron"
    opening, closing = "<TOOLCALL>", "</TOOLCALL>"


class Apriel(_TaggedList):
    """ServiceNow's Apriel."""

    name = "apriel"
    opening, closing = "<tool_calls>", "</tool_calls>"


class MiniMaxM1(_TaggedList):
    """MiniMax M1 and Text 01, with a call on each line. What came after them is in `minimax.py`."""

    name = "minimax_m1"
    opening, closing = Apriel.opening, Apriel.closing

    def recognises(self, template_source: str) -> bool:
        """See `Notation.recognises`."""
        return super().recognises(template_source) and "<beginning_of_sentence>" in template_source

    def written(self, calls: Sequence[ToolCall]) -> str:
        """See `Notation.written`."""
        lines = "\n".join(map(written_call, calls))
        return f"{self.opening}\n{lines}\n{self.closing}"

    def blocks(self, rules: Rules, tools: Sequence[Tool], *, parallel: bool) -> Blocks:
        """See `Notation.blocks`."""
        call = call_object(rules, tools)
        more = f'("\\n" {call})*' if parallel else ""
        return Blocks({self.opening: f'"\\n"? {call} {more} "\\n"? {literal(self.closing)}'})
