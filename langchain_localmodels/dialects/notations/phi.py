"""`<|tool_call|>[…]<|/tool_call|>`: Phi-4-mini, which also writes `functools[…]`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from langchain_localmodels.dialects.gbnf_rules import Rules, literal
from langchain_localmodels.dialects.notations.base import Blocks, Mark, Notation, ParsedCall, ToolCallSyntaxError
from langchain_localmodels.dialects.notations.bodies import Body, JsonBody
from langchain_localmodels.dialects.notations.json_calls import call_list, call_object, read_calls, written_calls
from langchain_localmodels.engines.base import Tool, ToolCall

_OPENING, _CLOSING = "<|tool_call|>", "<|/tool_call|>"
_FUNCTOOLS = "functools"
_KEYS = ("name", "type", "function", "id", "arguments", "parameters")


class Phi(Notation):
    """A call or a list of calls between the marks, or a list after `functools`."""

    name = "phi"

    def recognises(self, template_source: str) -> bool:
        """See `Notation.recognises`."""
        return any(mark in template_source for mark in (_CLOSING, "<|/tool|>", f"{_FUNCTOOLS}["))

    def marks(self, tools: Mapping[str, Tool]) -> Sequence[Mark]:
        """See `Notation.marks`."""
        return (Mark(_OPENING), Mark(_FUNCTOOLS, "line", soft=True))

    def body(self, mark: Mark) -> Body:
        """See `Notation.body`."""
        return JsonBody(keys=_KEYS) if mark.soft else JsonBody(closings=(_CLOSING,), reopenings=(_OPENING,))

    def parse(self, body: str, mark: Mark, tools: Mapping[str, Tool]) -> list[ParsedCall]:
        """See `Notation.parse`."""
        if mark.soft and not body.startswith("["):
            raise ToolCallSyntaxError("This is no list of calls.")
        return read_calls(body)

    def written(self, calls: Sequence[ToolCall]) -> str:
        """See `Notation.written`."""
        return f"{_OPENING}{written_calls(calls)}{_CLOSING}"

    def blocks(self, rules: Rules, tools: Sequence[Tool], *, parallel: bool) -> Blocks:
        """See `Notation.blocks`."""
        call = call_object(rules, tools)
        calls = call_list(rules, call, parallel=parallel)
        more = f'("," sp {call} sp)*' if parallel else ""
        closed = f"{rules.one_of([call, rules.rule(calls)])} {literal(_CLOSING)}"
        return Blocks({_OPENING: closed, f"{_FUNCTOOLS}[": f'sp {call} sp {more} "]"'}, between='"\\n"?')
