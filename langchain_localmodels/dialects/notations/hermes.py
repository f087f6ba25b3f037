"""`<tool_call>{"name": …, "arguments": {…}}</tool_call>`: Hermes, Qwen 2.5 and 3, and many after them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from langchain_localmodels.dialects.gbnf_rules import Rules, literal
from langchain_localmodels.dialects.notations.base import Blocks, Mark, Notation, ParsedCall
from langchain_localmodels.dialects.notations.bodies import Body, MarkedBody
from langchain_localmodels.dialects.notations.json_calls import call_object, read_calls, written_call
from langchain_localmodels.engines.base import Tool, ToolCall

_OPENING, _CLOSING = "<tool_call>", "</tool_call>"
_NOT_HERE = "]<]minimax[>["  # before this mark, MiniMax M3 has another notation


class Hermes(Notation):
    """One object between each pair of marks; several, or a list of them, are read as several calls."""

    name = "hermes"

    def recognises(self, template_source: str) -> bool:
        """See `Notation.recognises`."""
        return _OPENING in template_source and _NOT_HERE not in template_source

    def marks(self, tools: Mapping[str, Tool]) -> Sequence[Mark]:
        """See `Notation.marks`."""
        return (Mark(_OPENING),)

    def body(self, mark: Mark) -> Body:
        """See `Notation.body`."""
        return MarkedBody([_CLOSING], [_OPENING])

    def parse(self, body: str, mark: Mark, tools: Mapping[str, Tool]) -> list[ParsedCall]:
        """See `Notation.parse`."""
        return read_calls(body)

    def written(self, calls: Sequence[ToolCall]) -> str:
        """See `Notation.written`."""
        return "\n".join(f"{_OPENING}\n{written_call(call)}\n{_CLOSING}" for call in calls)

    def blocks(self, rules: Rules, tools: Sequence[Tool], *, parallel: bool) -> Blocks:
        """See `Notation.blocks`."""
        rest = f'"\\n"? {call_object(rules, tools)} "\\n"? {literal(_CLOSING)}'
        return Blocks({_OPENING: rest}, between='"\\n"?')
