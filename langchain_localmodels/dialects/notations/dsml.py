"""`<｜DSML｜invoke name="…">`: DeepSeek V3.2 and V4, which write each argument as an element of its own.

Each call is a block of its own; what stands around all of them says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from langchain_localmodels.dialects.gbnf_rules import Rules, literal
from langchain_localmodels.dialects.notations.base import Blocks, Mark, Notation, ParsedCall, ToolCallSyntaxError
from langchain_localmodels.dialects.notations.bodies import Body
from langchain_localmodels.dialects.notations.json_calls import decode, encode
from langchain_localmodels.dialects.notations.raw_values import typed_value
from langchain_localmodels.dialects.notations.schemas import (
    arguments_object,
    arguments_of_tool,
    followed,
    kind_of,
    kinds_of,
    part_of,
)
from langchain_localmodels.dialects.stopping import first_match, held_back
from langchain_localmodels.dialects.template_turns import parsed_arguments
from langchain_localmodels.engines.base import Tool, ToolCall

_INVOKE, _INVOKE_END = "<｜DSML｜invoke", "</｜DSML｜invoke>"
_PARAMETER, _PARAMETER_END = "<｜DSML｜parameter", "</｜DSML｜parameter>"
_AROUND = ("function_calls", "tool_calls")
_ENDS = (_INVOKE_END, _INVOKE, *(f"</｜DSML｜{name}>" for name in _AROUND))
_HEAD = re.compile(r'\s*name="([^"]*)"\s*>\s*')
_ARGUMENT = re.compile(
    rf'{_PARAMETER}\s+name="([^"]*)"(?:\s+string="(true|false)")?\s*>(.*?){_PARAMETER_END}\s*', re.DOTALL
)
_MOST_IN_ORDER = 40
"""Optional arguments in a row that keep their order: llama.cpp follows all that may come next at once."""


class Dsml(Notation):
    """Strings as they are, with `string="true"`, and anything else as JSON."""

    name = "deepseek_v32"
    ends_reasoning = True
    _around: ClassVar[str] = _AROUND[0]

    def recognises(self, template_source: str) -> bool:
        """See `Notation.recognises`."""
        return "｜DSML｜" in template_source and self._around in template_source

    def marks(self, tools: Mapping[str, Tool]) -> Sequence[Mark]:
        """See `Notation.marks`."""
        return (Mark(_INVOKE),)

    def silent_marks(self, tools: Mapping[str, Tool]) -> Sequence[Mark]:
        """See `Notation.silent_marks`."""
        return tuple(Mark(f"<{slash}｜DSML｜{name}>") for name in _AROUND for slash in ("", "/")) if tools else ()

    def body(self, mark: Mark) -> Body:
        """See `Notation.body`."""
        return _InvokeBody()

    def parse(self, body: str, mark: Mark, tools: Mapping[str, Tool]) -> list[ParsedCall]:
        """See `Notation.parse`."""
        head = _HEAD.match(body)
        if head is None:
            raise ToolCallSyntaxError("The call names no tool.")
        name, at = head.group(1), head.end()
        root = arguments_object(tools[name]) if name in tools else {}
        listed, _, others = arguments_of_tool(root)
        arguments: dict[str, object] = {}
        while at < len(body):
            found = _ARGUMENT.match(body, at)
            if found is None:
                raise ToolCallSyntaxError("The arguments are not written as elements.", name)
            key, is_string, text = found.groups()
            # What no schema is known of may be anything.
            schema = listed.get(key, others if others is not False else True)
            arguments[key] = _value(text, is_string, schema, root, name)
            at = found.end()
        return [ParsedCall(name, encode(arguments))]

    def written(self, calls: Sequence[ToolCall]) -> str:
        """See `Notation.written`."""
        around = f"｜DSML｜{self._around}>"
        return f"<{around}\n{''.join(map(_written, calls))}</{around}"

    def blocks(self, rules: Rules, tools: Sequence[Tool], *, parallel: bool) -> Blocks:
        """See `Notation.blocks`."""
        text = rules.text_until({_PARAMETER_END: '"\\n"'})
        ways = []
        for tool in tools:
            head = literal(f'{_INVOKE} name="{tool.name}">\n')
            ways.append(rules.rule(f'"\\n" {head} {_arguments(rules, tool, text)} {literal(_INVOKE_END)}'))
        call = rules.one_of(ways)
        more = f"{call}*" if parallel else ""
        closing = literal(f"\n</｜DSML｜{self._around}>")
        return Blocks({f"<｜DSML｜{self._around}>": f"{call} {more} {closing}"})


class DsmlV4(Dsml):
    """The same with `tool_calls` around the calls."""

    name = "deepseek_v4"
    _around = _AROUND[1]


class _InvokeBody(Body):
    """A call up to the mark that closes it, which means nothing in the text of an argument."""

    def __init__(self) -> None:
        super().__init__()
        self._tail = ""
        self._in_argument = False

    @property
    def raw(self) -> str:
        """See `Body.raw`."""
        return self.text + self._tail

    def feed(self, text: str) -> str | None:
        """See `Body.feed`."""
        self._tail += text
        while True:
            marks = (_PARAMETER_END,) if self._in_argument else (_PARAMETER, *_ENDS)
            match = first_match(self._tail, marks)
            if match is None:
                cut = len(self._tail) - held_back(self._tail, marks)
                self._parts.append(self._tail[:cut])
                self._tail = self._tail[cut:]
                return None
            if match.marker in _ENDS:
                self._parts.append(self._tail[: match.start])
                rest = self._tail[match.end if match.marker == _INVOKE_END else match.start :]
                self._tail = ""
                return rest
            self._parts.append(self._tail[: match.end])
            self._tail = self._tail[match.end :]
            self._in_argument = not self._in_argument

    def endings(self) -> list[tuple[str, str]]:
        """See `Body.endings`: without the beginning of a mark at its end, or up to a mark in an argument."""
        found = [(self.text, "")]
        match = first_match(self.raw, _ENDS)
        if match is not None:
            after = match.end if match.marker == _INVOKE_END else match.start
            found.append((self.raw[: match.start], self.raw[after:]))
        return found


def _value(text: str, is_string: str | None, schema: object, root: Mapping[str, Any], name: str) -> object:
    kinds = kinds_of(schema, root)
    if is_string == "true" and "string" in kinds:
        return text
    if is_string == "false":
        try:
            value = decode(text)
        except ToolCallSyntaxError:
            pass
        else:
            if kind_of(value) in kinds:
                return value
    # The attribute is missing, or it contradicts the schema or the text.
    return typed_value(text, schema, root, name)


# --- grammar --------------------------------------------------------------------------------------------------------


def _arguments(rules: Rules, tool: Tool, text: str) -> str:
    """An item for all arguments of a tool, each on a line; `text` is the item of a string and what closes it."""
    root = arguments_object(tool)
    listed, required, others = arguments_of_tool(root)
    items: list[str] = []
    optional: list[str] = []
    for name, schema in listed.items():
        element = rules.rule(
            f"{literal(f'{_PARAMETER} name={_quoted(name)} string=')} {_typed(rules, schema, root, text)}"
        )
        items.append(element if name in required else f"{element}?")
        optional += [] if name in required else [element]
    if len(optional) > _MOST_IN_ORDER:
        needed = [item for item in items if not item.endswith("?")]
        items = [*needed, f"{rules.one_of(optional)}*"]
    if others is not False:
        key = r'"\"" [^"<>\x00-\x1F]+ "\" string="'
        items.append(f"({literal(f'{_PARAMETER} name=')} {key} {_typed(rules, others, root, text)})*")
    # Without any, the models leave a line empty.
    return " ".join(items) if items else '"\\n"?'


def _typed(rules: Rules, schema: Any, root: Mapping[str, Any], text: str) -> str:
    known = followed(schema, root)
    members = known.get("anyOf", known.get("oneOf"))
    if isinstance(members, list) and members and not known.keys() & {"type", "enum", "const", "nullable"}:
        return rules.one_of([_typed(rules, member, root, text) for member in members if member is not False])
    kinds = kinds_of(schema, root)
    closing = literal(f"{_PARAMETER_END}\n")
    ways: list[str] = []
    if "string" in kinds:
        chosen = [known["const"]] if "const" in known else known.get("enum")
        if isinstance(chosen, list):
            values = [value for value in chosen if isinstance(value, str) and _PARAMETER_END not in value]
            ways += [f'"\\"true\\">" {literal(value)} {closing}' for value in values]
        else:
            ways.append(f'"\\"true\\">" {text}')
    if kinds != {"string"} or not ways:
        ways.append(f'"\\"false\\">" {rules.json(part_of(schema, root))} {closing}')
    return rules.one_of(ways)


def _quoted(name: str) -> str:
    return f'"{name}"'


def _written(call: ToolCall) -> str:
    arguments = parsed_arguments(call.arguments)
    if not isinstance(arguments, dict):
        return f'{_INVOKE} name="{call.name}">\n{arguments}\n{_INVOKE_END}\n'
    elements = (
        f'{_PARAMETER} name="{key}" string="{encode(isinstance(value, str))}">'
        f"{value if isinstance(value, str) else encode(value)}{_PARAMETER_END}\n"
        for key, value in arguments.items()
    )
    return f'{_INVOKE} name="{call.name}">\n{"".join(elements)}{_INVOKE_END}\n'
