"""Kimi K2: calls in a section, each with an id of its own that names the tool, `functions.name:0`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from langchain_localmodels.dialects.gbnf_rules import Rules, literal
from langchain_localmodels.dialects.notations.base import Blocks, Mark, Notation, ParsedCall, ToolCallSyntaxError
from langchain_localmodels.dialects.notations.bodies import Body, MarkedBody
from langchain_localmodels.dialects.notations.json_calls import (
    arguments_of,
    arguments_schema,
    decode,
    written_arguments,
)
from langchain_localmodels.engines.base import Tool, ToolCall

_SECTION, _SECTION_END = "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"
_CALL, _ARGUMENTS, _CALL_END = "<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>"
_HEAD = re.compile(rf"\s*(?P<id>(?:functions\.)?(?P<name>[^\s:<>]+)(?::\d+)?)\s*{re.escape(_ARGUMENTS)}")


class Kimi(Notation):
    """The id is kept, for the result of the call is told under it."""

    name = "kimi_k2"
    ends_reasoning = True

    def recognises(self, template_source: str) -> bool:
        """See `Notation.recognises`."""
        return _SECTION in template_source or "<|im_system|>tool_declare" in template_source

    def marks(self, tools: Mapping[str, Tool]) -> Sequence[Mark]:
        """See `Notation.marks`."""
        # Read one by one, a call that is cut off does not spoil those before it.
        return (Mark(_CALL),)

    def silent_marks(self, tools: Mapping[str, Tool]) -> Sequence[Mark]:
        """The marks around all calls."""
        return (Mark(_SECTION), Mark(_SECTION_END)) if tools else ()

    def body(self, mark: Mark) -> Body:
        """See `Notation.body`."""
        return MarkedBody([_CALL_END, _SECTION_END], [_CALL])

    def parse(self, body: str, mark: Mark, tools: Mapping[str, Tool]) -> list[ParsedCall]:
        """See `Notation.parse`."""
        head = _HEAD.match(body)
        if head is None:
            raise ToolCallSyntaxError("The call names no tool.")
        name, arguments = head["name"], body[head.end() :].strip()
        try:
            found = arguments_of(decode(arguments) if arguments else None, name)
        except ToolCallSyntaxError as error:
            raise ToolCallSyntaxError(str(error), name) from error
        return [ParsedCall(name, found, head["id"] if ":" in head["id"] else None)]

    def written(self, calls: Sequence[ToolCall]) -> str:
        """See `Notation.written`."""
        written = (
            f"{_CALL}{_told_id(call, number)}{_ARGUMENTS}{written_arguments(call)}{_CALL_END}"
            for number, call in enumerate(calls)
        )
        return f"{_SECTION}{''.join(written)}{_SECTION_END}"

    def blocks(self, rules: Rules, tools: Sequence[Tool], *, parallel: bool) -> Blocks:
        """See `Notation.blocks`."""
        call = rules.one_of(
            rules.rule(
                f"{literal(f'{_CALL}functions.{tool.name}:')} [0-9]{{1,3}} {literal(_ARGUMENTS)} "
                f"{rules.json(arguments_schema(tool))} {literal(_CALL_END)}"
            )
            for tool in tools
        )
        return Blocks({_SECTION: f"{call}{'+' if parallel else ''} {literal(_SECTION_END)}"})


def _told_id(call: ToolCall, number: int) -> str:
    """The id of a call, which has to say which tool it calls."""
    return call.id if f"{call.name}:" in call.id else f"functions.{call.name}:{number}"
