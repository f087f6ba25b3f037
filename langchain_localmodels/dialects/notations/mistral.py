"""`[TOOL_CALLS]`: Mistral's models. First came a JSON list of calls, later the name, an id or none, and arguments."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

from langchain_localmodels.dialects.gbnf_rules import Rules, literal
from langchain_localmodels.dialects.notations.base import Blocks, Mark, Notation, ParsedCall, ToolCallSyntaxError
from langchain_localmodels.dialects.notations.bodies import Body, JsonBody
from langchain_localmodels.dialects.notations.json_calls import (
    arguments_of,
    arguments_schema,
    call_list,
    call_object,
    decode,
    read_calls,
    written_arguments,
    written_calls,
)
from langchain_localmodels.dialects.template_turns import short_call_id
from langchain_localmodels.engines.base import Tool, ToolCall

_OPENING, _ID, _ARGUMENTS = "[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"
_HEAD = re.compile(r"\s*([^\s\[{]+)\s*(?:\[CALL_ID\]\s*([^\s\[{]*)\s*)?(\[ARGS\])?\s*")
_AN_ID = "[a-zA-Z0-9]{9}"


class Mistral(Notation):
    """`[TOOL_CALLS][{"name": …, "arguments": {…}, "id": "…"}]`. The other forms are read as well."""

    name = "mistral"

    def recognises(self, template_source: str) -> bool:
        """See `Notation.recognises`."""
        return _OPENING in template_source

    def marks(self, tools: Mapping[str, Tool]) -> Sequence[Mark]:
        """See `Notation.marks`."""
        return (Mark(_OPENING),)

    def body(self, mark: Mark) -> Body:
        """See `Notation.body`."""
        return JsonBody(head=(_ID, _ARGUMENTS), reopenings=(_OPENING,))

    def parse(self, body: str, mark: Mark, tools: Mapping[str, Tool]) -> list[ParsedCall]:
        """See `Notation.parse`."""
        head = _HEAD.match(body)
        if head is None:
            return read_calls(body)
        name, call_id, arguments = head.group(1), head.group(2), body[head.end() :]
        if not arguments:
            # Without what comes after it nobody knows whether the name is whole.
            is_whole = call_id is not None or head.group(3) is not None
            raise ToolCallSyntaxError("The call has no arguments.", name if is_whole else None)
        try:
            value = decode(arguments)
        except ToolCallSyntaxError as error:
            raise ToolCallSyntaxError(str(error), name) from error
        return [ParsedCall(name, arguments_of(value, name), call_id or None)]

    def written(self, calls: Sequence[ToolCall]) -> str:
        """See `Notation.written`."""
        return f"{_OPENING}{written_calls(calls)}"

    def blocks(self, rules: Rules, tools: Sequence[Tool], *, parallel: bool) -> Blocks:
        """See `Notation.blocks`."""
        with_id = f'("," sp {literal(chr(34) + "id" + chr(34))} ":" sp "\\"" {_AN_ID} "\\"")?'
        calls = call_list(rules, call_object(rules, tools, also=with_id), parallel=parallel)
        return Blocks({_OPENING: f'" "? {calls}'})


class MistralArguments(Mistral):
    """`[TOOL_CALLS]name[ARGS]{…}`: Magistral, Devstral and Ministral since the middle of 2025."""

    name = "mistral_args"
    _between: ClassVar[str] = literal(_ARGUMENTS)

    def recognises(self, template_source: str) -> bool:
        """See `Notation.recognises`."""
        return _OPENING in template_source and _ARGUMENTS in template_source

    def written(self, calls: Sequence[ToolCall]) -> str:
        """See `Notation.written`."""
        return "".join(f"{_OPENING}{call.name}{self._id(call)}{_ARGUMENTS}{written_arguments(call)}" for call in calls)

    def _id(self, call: ToolCall) -> str:
        return ""

    def blocks(self, rules: Rules, tools: Sequence[Tool], *, parallel: bool) -> Blocks:
        """See `Notation.blocks`."""
        ways = [
            rules.rule(f"{literal(tool.name)} {self._between} {rules.json(arguments_schema(tool))}") for tool in tools
        ]
        return Blocks({_OPENING: rules.one_of(ways)}, between='""')


class MistralIds(MistralArguments):
    """`[TOOL_CALLS]name[CALL_ID]…[ARGS]{…}`: Mistral Small 3.2 and the first Magistral."""

    name = "mistral_ids"
    _between = f"{literal(_ID)} {_AN_ID} {literal(_ARGUMENTS)}"

    def recognises(self, template_source: str) -> bool:
        """See `Notation.recognises`."""
        return super().recognises(template_source) and _ID in template_source

    def _id(self, call: ToolCall) -> str:
        is_one = len(call.id) == 9 and call.id.isascii() and call.id.isalnum()
        return f"{_ID}{call.id if is_one else short_call_id(call.id)}"
