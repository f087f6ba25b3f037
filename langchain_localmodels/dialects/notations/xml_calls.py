"""Calls in marks like those of XML, with each argument between marks of its own and no escapes: the notations' base."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from langchain_localmodels.dialects.gbnf_rules import Rules, literal
from langchain_localmodels.dialects.notations.base import Notation, ParsedCall, ToolCallSyntaxError
from langchain_localmodels.dialects.notations.bodies import Body
from langchain_localmodels.dialects.notations.json_calls import encode, read_calls
from langchain_localmodels.dialects.notations.raw_values import RawValues, typed_value
from langchain_localmodels.dialects.notations.schemas import arguments_object, arguments_of_tool
from langchain_localmodels.dialects.stopping import first_match, held_back
from langchain_localmodels.dialects.template_turns import parsed_arguments
from langchain_localmodels.engines.base import Tool, ToolCall

_SPACE = " \t\r\n"
_MOST_SPACE = 64
_OTHER_KEY = "[a-zA-Z_] [a-zA-Z0-9_.\\x2D]{0,63}"


@dataclass(frozen=True)
class XmlForm:
    """The marks of a call.

    Attributes:
        opening: Before the name of the tool.
        name_end: After it.
        key: Before the name of an argument.
        key_end: After it.
        value: Before an argument's value, where more than `key_end` is.
        value_end: After it.
        closing: After the call.
        outer: Around the call or calls, where that is a mark more; `closing` may be the second of them.
        on_lines: Whether a value stands on lines of its own, whose breaks are not part of it.
        python_words: Whether models write `True` and `False` for booleans.
    """

    opening: str
    name_end: str
    key: str
    key_end: str
    value_end: str
    closing: str
    value: str = ""
    outer: tuple[str, str] = ("", "")
    on_lines: bool = False
    python_words: bool = False

    @property
    def after_value(self) -> tuple[str, ...]:
        """What can stand after a value; where nothing of it does, the mark of its end is text."""
        return tuple(dict.fromkeys(mark for mark in (self.key, self.closing, self.outer[1]) if mark))

    @cached_property
    def head(self) -> re.Pattern[str]:
        """What begins a call."""
        name_end = re.escape(self.name_end) or r"(?=[\s<])"
        return re.compile(rf"{re.escape(self.opening)}(?P<name>[^\s<>\"']+){name_end}")

    @cached_property
    def argument(self) -> re.Pattern[str]:
        """An argument."""
        value = rf"\s*{re.escape(self.value)}" if self.value else ""
        after = "|".join([*map(re.escape, self.after_value), r"\Z"])
        return re.compile(
            rf"{re.escape(self.key)}\s*(?P<key>[^<>\"\n]*?)\s*{re.escape(self.key_end)}{value}"
            rf"(?P<value>.*?){re.escape(self.value_end)}(?=[{_SPACE}]{{0,{_MOST_SPACE}}}(?:{after}))",
            re.DOTALL,
        )


class XmlBody(Body):
    """A body that ends with a mark, of which those within values mean nothing. The mark is kept in its text.

    Args:
        form: The marks.
        closing: The mark that ends it.
        reopening: A mark that begins the next body, and so ends this one when its own was forgotten.
    """

    def __init__(self, form: XmlForm, closing: str, reopening: str) -> None:
        super().__init__()
        self._form = form
        self._closing = closing
        self._reopening = reopening
        self._tail = ""
        self._is_in_value = False

    def feed(self, text: str) -> str | None:
        """See `Body.feed`."""
        self._tail += text
        while True:
            marks = [self._form.value_end] if self._is_in_value else [self._form.key, self._closing, self._reopening]
            match = first_match(self._tail, filter(None, marks))
            if match is None:
                self._take(len(self._tail) - held_back(self._tail, filter(None, marks)))
                return None
            if self._is_in_value:
                ends = self._ends_value(self._tail[match.end : match.end + _MOST_SPACE + 40])
                if ends is None:
                    self._take(match.start)
                    return None
                self._is_in_value = not ends
                self._take(match.end)
            elif match.marker == self._form.key:
                self._is_in_value = True
                self._take(match.end)
            else:
                rest = self._tail[match.start if match.marker == self._reopening else match.end :]
                self._take(match.start)
                self._parts.append(self._closing)
                self._tail = ""
                return rest

    def endings(self) -> list[tuple[str, str]]:
        """See `Body.endings`: as it is, or up to a mark in what looked like a value."""
        whole = self.text + self._tail
        found = [(whole, "")]
        end = whole.find(self._closing)
        if end >= 0:
            end += len(self._closing)
            found.append((whole[:end], whole[end:]))
        return found

    def _ends_value(self, following: str) -> bool | None:
        """Whether a mark of a value's end is one, from what follows it; `None` where that has not come yet."""
        visible = following.lstrip(_SPACE)
        if len(following) - len(visible) > _MOST_SPACE:
            return False
        marks = self._form.after_value
        return True if visible.startswith(marks) else None if any(m.startswith(visible) for m in marks) else False

    def _take(self, length: int) -> None:
        if length:
            self._parts.append(self._tail[:length])
            self._tail = self._tail[length:]


class XmlNotation(Notation):
    """What notations of such calls have in common.

    Attributes:
        form: The marks.
    """

    form: ClassVar[XmlForm]

    def parse(self, body: str, mark: Any, tools: Mapping[str, Tool]) -> list[ParsedCall]:
        """See `Notation.parse`."""
        outer_end = self.form.outer[1] or self.form.closing
        if body.lstrip()[:1] in ("{", "["):
            # With the same marks other models write JSON, and now and then these do.
            return read_calls(body.strip().removesuffix(outer_end))
        calls: list[ParsedCall] = []
        at = _visible(body, 0)
        while (head := self.form.head.match(body, at)) is not None:
            call, at = self._call(body, head, tools)
            calls.append(call)
            at = _visible(body, at)
        if not calls:
            raise ToolCallSyntaxError("The call names no tool.")
        if body[at:].strip() not in ("", outer_end):
            raise ToolCallSyntaxError(f"This is not part of a call: {body[at:]:.50}", calls[0].name)
        return calls

    def written(self, calls: Sequence[ToolCall]) -> str:
        """See `Notation.written`."""
        outer, outer_end = self.form.outer
        line = "\n" if outer else ""
        return "\n".join(f"{outer}{line}{self._written(call)}{line}{outer_end}" for call in calls)

    def _written(self, call: ToolCall) -> str:
        form = self.form
        arguments = parsed_arguments(call.arguments)
        parts = [f"{form.opening}{call.name}{form.name_end}"]
        line = "\n" if form.on_lines else ""
        if isinstance(arguments, dict):
            for key, value in arguments.items():
                text = value if isinstance(value, str) else encode(value)
                head = f"{form.key}{key}{form.key_end}" + (f"\n{form.value}" if form.value else "")
                parts.append(f"{head}{line}{text}{line}{form.value_end}")
        else:
            parts.append(str(arguments))
        return "\n".join([*parts, form.closing])

    def _call(self, body: str, head: re.Match[str], tools: Mapping[str, Tool]) -> tuple[ParsedCall, int]:
        form, name = self.form, head["name"]
        root = arguments_object(tools[name]) if name in tools else {}
        listed, _, others = arguments_of_tool(root)
        arguments: dict[str, object] = {}
        at = _visible(body, head.end())
        while not body.startswith(tuple(filter(None, (form.closing, form.outer[1]))), at):
            found = form.argument.match(body, at)
            if found is None:
                raise ToolCallSyntaxError("The call is cut off, or an argument has no end.", name)
            key, text = found["key"], found["value"]
            if form.on_lines:
                text = text.removeprefix("\r").removeprefix("\n").removesuffix("\n").removesuffix("\r")
            if key not in arguments:
                arguments[key] = typed_value(text, listed.get(key, others or True), root, name)
            at = _visible(body, found.end())
        if body.startswith(form.closing, at):
            at += len(form.closing)
        return ParsedCall(name, encode(arguments)), at

    def _arguments(self, rules: Rules, values: RawValues, tool: Tool) -> str:
        """The item of what follows the name of a tool, with the mark at the end of the call."""
        form = self.form
        root = arguments_object(tool)
        listed, required, others = arguments_of_tool(root)
        value = f'"\\n"? {literal(form.value)}' if form.value else ""
        parts = ['"\\n"?']
        for key, schema in listed.items():
            head = literal(f"{form.key}{key}{form.key_end}")
            argument = rules.rule(f'{head} {value} {values.item(schema, root)} "\\n"?')
            parts.append(argument if key in required else f"{argument}?")
        if others is not False:
            head = f"{literal(form.key)} {_OTHER_KEY} {literal(form.key_end)}"
            parts.append(rules.rule(f'{head} {value} {values.item(others, root)} "\\n"?') + "*")
        return rules.rule(f"{' '.join(parts)} {literal(form.closing)}")

    def _values(self, rules: Rules) -> RawValues:
        form = self.form
        return RawValues(rules, form.value_end, on_lines=form.on_lines, python_words=form.python_words)


def _visible(text: str, at: int) -> int:
    """Where white space is over."""
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at
