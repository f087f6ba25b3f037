"""`<|tool_call|>[…]`: Granite 3, whose calls are a JSON list that nothing closes. Granite 4 writes as Hermes does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from langchain_localmodels.dialects.gbnf_rules import Rules
from langchain_localmodels.dialects.notations.base import Blocks, Mark, Notation, ParsedCall
from langchain_localmodels.dialects.notations.bodies import Body, JsonBody
from langchain_localmodels.dialects.notations.json_calls import call_list, call_object, read_calls, written_calls
from langchain_localmodels.engines.base import Tool, ToolCall

_OPENINGS = ("<|tool_call|>", "<tool_call>")
_CLOSINGS = ("<|/tool_call|>", "</tool_call>")


class Granite(Notation):
    """Calls after `<|tool_call|>`, or after `<tool_call>`, which some versions write for it."""

    name = "granite"

    def recognises(self, template_source: str) -> bool:
        """See `Notation.recognises`."""
        is_granite = "<|start_of_role|>" in template_source and _CLOSINGS[1] not in template_source
        return is_granite and any(opening in template_source for opening in _OPENINGS)

    def marks(self, tools: Mapping[str, Tool]) -> Sequence[Mark]:
        """See `Notation.marks`."""
        return tuple(Mark(opening) for opening in _OPENINGS)

    def body(self, mark: Mark) -> Body:
        """See `Notation.body`."""
        return JsonBody(closings=_CLOSINGS, reopenings=_OPENINGS)

    def parse(self, body: str, mark: Mark, tools: Mapping[str, Tool]) -> list[ParsedCall]:
        """See `Notation.parse`."""
        return read_calls(body)

    def written(self, calls: Sequence[ToolCall]) -> str:
        """See `Notation.written`."""
        return f"{_OPENINGS[0]}{written_calls(calls)}"

    def blocks(self, rules: Rules, tools: Sequence[Tool], *, parallel: bool) -> Blocks:
        """See `Notation.blocks`."""
        calls = f"sp {call_list(rules, call_object(rules, tools), parallel=parallel)}"
        return Blocks(dict.fromkeys(_OPENINGS, calls))
