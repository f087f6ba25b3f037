"""Functionary: a recipient for each message, which is a tool or all (v2, v3.2), or `<function=name>{…}` (v3.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

from langchain_localmodels.dialects.gbnf_rules import Rules, literal
from langchain_localmodels.dialects.notations.base import Blocks, Mark, Notation, ParsedCall, ToolCallSyntaxError
from langchain_localmodels.dialects.notations.bodies import Body, JsonBody, MarkedBody
from langchain_localmodels.dialects.notations.json_calls import (
    arguments_of,
    arguments_schema,
    decode,
    written_arguments,
)
from langchain_localmodels.engines.base import Tool, ToolCall

_ALL = "all"


class _Recipients(Notation):
    """Messages with recipients. The prompt ends where the first of them is named.

    Attributes:
        before: What stands before a recipient that the model names itself.
        after: What stands after each.
    """

    before: ClassVar[str]
    after: ClassVar[str]

    def marks(self, tools: Mapping[str, Tool]) -> Sequence[Mark]:
        """See `Notation.marks`."""
        first = [Mark(f"{name}{self.after}", "start", soft=True) for name in tools]
        return (*first, *(Mark(f"{self.before}{name}{self.after}", soft=True) for name in tools))

    def silent_marks(self, tools: Mapping[str, Tool]) -> Sequence[Mark]:
        """The recipient of text, which is there with and without tools."""
        return (Mark(f"{_ALL}{self.after}", "start"), Mark(f"{self.before}{_ALL}{self.after}"))

    def body(self, mark: Mark) -> Body:
        """See `Notation.body`."""
        return _Arguments()

    def parse(self, body: str, mark: Mark, tools: Mapping[str, Tool]) -> list[ParsedCall]:
        """See `Notation.parse`."""
        name = mark.text.removeprefix(self.before).removesuffix(self.after)
        return [_call(name, body)]

    def written(self, calls: Sequence[ToolCall]) -> str:
        """See `Notation.written`."""
        return "".join(f"{self.before}{call.name}{self.after}{written_arguments(call)}" for call in calls)

    def blocks(self, rules: Rules, tools: Sequence[Tool], *, parallel: bool) -> Blocks:
        """See `Notation.blocks`."""
        heads = {f"{tool.name}{self.after}": rules.json(arguments_schema(tool)) for tool in tools}
        call = rules.one_of(rules.rule(f"{literal(head)} {arguments}") for head, arguments in heads.items())
        more = f'("\\n"? {literal(self.before)} {call})*' if parallel else ""
        rest = {head: f"{arguments} {more}" for head, arguments in heads.items()}
        others = self._later(rules, {f"{self.before}{head}": item for head, item in rest.items()})
        # Text begins with "all": what begins otherwise is a call.
        not_first = "".join({tool.name[0] for tool in tools} - set(_ALL[0]))
        return Blocks({"": f"{call} {more}", **others}, not_first=not_first)

    def _later(self, rules: Rules, calls: dict[str, str]) -> dict[str, str]:
        """What calls after text begin with, from that with the name of the tool."""
        return calls


class FunctionaryV3_2(_Recipients):
    """`>>>name` on a line, then the arguments; `>>>all` before text."""

    name = "functionary_v3_2"
    before, after = ">>>", "\n"
    before_text = f"{_ALL}\n"

    def recognises(self, template_source: str) -> bool:
        """See `Notation.recognises`."""
        return ">>>all" in template_source


class FunctionaryV2(_Recipients):
    """`<|recipient|>name` and `<|content|>` before the arguments, in messages of the assistant."""

    name = "functionary_v2"
    before, after = "<|from|>assistant\n<|recipient|>", "\n<|content|>"
    before_text = f"{_ALL}\n<|content|>"

    def recognises(self, template_source: str) -> bool:
        """See `Notation.recognises`."""
        return "<|recipient|>" in template_source and "<|from|>" in template_source

    def silent_marks(self, tools: Mapping[str, Tool]) -> Sequence[Mark]:
        """The same, and the token that ends the answer, where an engine writes it."""
        return (*super().silent_marks(tools), Mark("<|stop|>"))

    def _later(self, rules: Rules, calls: dict[str, str]) -> dict[str, str]:
        """See `_Recipients._later`: this mark is nothing else in text, and too long to be told apart by names."""
        named = (rules.rule(f"{literal(head[len(self.before) :])} {item}") for head, item in calls.items())
        return {self.before: rules.one_of(named)}


class FunctionaryV3_1(Notation):
    """`<function=name>{…}</function>`, which Llama 3.1 knows too."""

    name = "functionary_v3_1"
    _opening, _closing = "<function=", "</function>"
    _form = re.compile(r"\s*(?P<name>[^\s<>{}]+)\s*>\s*(?P<arguments>.*)", re.DOTALL)

    def recognises(self, template_source: str) -> bool:
        """See `Notation.recognises`."""
        return self._opening in template_source

    def marks(self, tools: Mapping[str, Tool]) -> Sequence[Mark]:
        """See `Notation.marks`."""
        return (Mark(self._opening),)

    def body(self, mark: Mark) -> Body:
        """See `Notation.body`."""
        return MarkedBody([self._closing], [self._opening])

    def parse(self, body: str, mark: Mark, tools: Mapping[str, Tool]) -> list[ParsedCall]:
        """See `Notation.parse`."""
        found = self._form.match(body)
        if found is None:
            raise ToolCallSyntaxError("The call names no tool.")
        return [_call(found["name"], found["arguments"])]

    def written(self, calls: Sequence[ToolCall]) -> str:
        """See `Notation.written`."""
        return "".join(f"{self._opening}{call.name}>{written_arguments(call)}{self._closing}" for call in calls)

    def blocks(self, rules: Rules, tools: Sequence[Tool], *, parallel: bool) -> Blocks:
        """See `Notation.blocks`."""
        call = rules.one_of(
            rules.rule(f"{literal(f'{tool.name}>')} {rules.json(arguments_schema(tool))} {literal(self._closing)}")
            for tool in tools
        )
        return Blocks({self._opening: call}, between='"\\n"?')


class _Arguments(JsonBody):
    """Arguments as a JSON object; without one, what looked like a recipient was text."""

    def __init__(self) -> None:
        super().__init__()
        self._is_checked = True


def _call(name: str, arguments: str) -> ParsedCall:
    try:
        return ParsedCall(name, arguments_of(decode(arguments) if arguments.strip() else None, name))
    except ToolCallSyntaxError as error:
        raise ToolCallSyntaxError(str(error), name) from error
