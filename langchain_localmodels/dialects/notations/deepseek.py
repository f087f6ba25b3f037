"""`<｜tool▁calls▁begin｜>`: DeepSeek V2.5, V3, R1 and V3.1. What came after them is in `dsml.py`.

Each call is a block of its own; what stands around all of them says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from langchain_localmodels.dialects.gbnf_rules import Rules, literal
from langchain_localmodels.dialects.notations.base import Blocks, Mark, Notation, ParsedCall, ToolCallSyntaxError
from langchain_localmodels.dialects.notations.bodies import Body, MarkedBody
from langchain_localmodels.dialects.notations.json_calls import (
    arguments_of,
    arguments_schema,
    value_at,
    written_arguments,
)
from langchain_localmodels.engines.base import Tool, ToolCall

_BEGIN, _END = "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>"
_ALL_BEGIN, _ALL_END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
_BETWEEN = "<｜tool▁sep｜>"
_TYPE = f"function{_BETWEEN}"
# The small models that were trained on R1's answers spell the first mark in many ways.
_ALL_BEGIN_TOO = ("<｜tool▁calls｜>", "<｜tool_calls_begin｜>", "<｜tool calls begin｜>", r"<｜tool\_calls\_begin｜>")
_NAME = re.compile(rf"\s*([^\s<{{`][^\n<{{`]*?)\s*(?={_BETWEEN}|\n|```|\{{)")
_LEADS = re.compile(rf"\s*(?:{_BETWEEN})?\s*(?:```(?:json)?)?\s*")


class DeepSeek(Notation):
    """The word `function`, the tool's name, and the arguments in a fence of code."""

    name = "deepseek"

    def recognises(self, template_source: str) -> bool:
        """See `Notation.recognises`."""
        return any(mark in template_source for mark in (_BEGIN, _ALL_BEGIN))

    def marks(self, tools: Mapping[str, Tool]) -> Sequence[Mark]:
        """See `Notation.marks`."""
        return (Mark(_BEGIN), Mark(_TYPE, kept=True))

    def silent_marks(self, tools: Mapping[str, Tool]) -> Sequence[Mark]:
        """See `Notation.silent_marks`."""
        return tuple(Mark(text) for text in (_ALL_BEGIN, _ALL_END, *_ALL_BEGIN_TOO)) if tools else ()

    def body(self, mark: Mark) -> Body:
        """See `Notation.body`."""
        return MarkedBody((_END, _ALL_END), (_BEGIN,))

    def parse(self, body: str, mark: Mark, tools: Mapping[str, Tool]) -> list[ParsedCall]:
        """See `Notation.parse`."""
        text = body.strip()
        named = text.removeprefix(_TYPE)
        if not named.lstrip().startswith(("{", "```")):  # else the tool itself is named `function`
            text = named
        found = _NAME.match(text)
        if found is None:
            raise ToolCallSyntaxError("The call names no tool.")
        name = found.group(1)
        leads = _LEADS.match(text, found.end())
        start = leads.end() if leads is not None else found.end()
        try:
            value, end = value_at(text, start)
        except ToolCallSyntaxError as error:
            raise ToolCallSyntaxError(str(error), name) from error
        if text[end:].strip() not in ("", "```"):
            raise ToolCallSyntaxError("Something follows the arguments.", name)
        return [ParsedCall(name, arguments_of(value, name))]

    def written(self, calls: Sequence[ToolCall]) -> str:
        """See `Notation.written`."""
        return f"{_ALL_BEGIN}{''.join(f'{_BEGIN}{self._written(call)}{_END}' for call in calls)}{_ALL_END}"

    def blocks(self, rules: Rules, tools: Sequence[Tool], *, parallel: bool) -> Blocks:
        """See `Notation.blocks`."""
        call = rules.one_of(
            rules.rule(f"{literal(_BEGIN)} {self._call(rules, tool)} {literal(_END)}") for tool in tools
        )
        more = f'("\\n"? {call})*' if parallel else ""
        return Blocks({_ALL_BEGIN: f'"\\n"? {call} {more} "\\n"? {literal(_ALL_END)}'})

    def _written(self, call: ToolCall) -> str:
        return f"{_TYPE}{call.name}\n```json\n{written_arguments(call)}\n```"

    def _call(self, rules: Rules, tool: Tool) -> str:
        before = literal(f"{_TYPE}{tool.name}\n```json\n")
        return f'{before} {rules.json(arguments_schema(tool))} "\\n"? {literal("```")}'


class DeepSeekV31(DeepSeek):
    """The tool's name and the arguments, with a mark between them."""

    name = "deepseek_v31"

    def recognises(self, template_source: str) -> bool:
        """See `Notation.recognises`."""
        return super().recognises(template_source) and "```json" not in template_source

    def _written(self, call: ToolCall) -> str:
        return f"{call.name}{_BETWEEN}{written_arguments(call)}"

    def _call(self, rules: Rules, tool: Tool) -> str:
        return f"{literal(tool.name + _BETWEEN)} {rules.json(arguments_schema(tool))}"
