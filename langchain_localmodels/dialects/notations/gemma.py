"""Gemma's notations: Python in a fence of `tool_code`, and the marks of FunctionGemma and Gemma 4.

The last two write `call:name{key:value}`, where strings stand between marks of their own and keys without quotes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from langchain_localmodels.dialects.gbnf_rules import Rules, literal
from langchain_localmodels.dialects.notations.base import Blocks, Mark, Notation, ParsedCall, ToolCallSyntaxError
from langchain_localmodels.dialects.notations.bodies import Body
from langchain_localmodels.dialects.notations.json_calls import decode, encode
from langchain_localmodels.dialects.notations.quoted_body import QuotedBody
from langchain_localmodels.dialects.notations.raw_values import typed_value
from langchain_localmodels.dialects.notations.schemas import arguments_object, arguments_of_tool
from langchain_localmodels.dialects.notations.value_grammar import Spelling, ValueGrammar
from langchain_localmodels.dialects.template_turns import parsed_arguments
from langchain_localmodels.engines.base import Tool, ToolCall

_HEAD = re.compile(r"\s*call:\s*(?P<name>[^\s{}]+?)\s*\{")
_KEY = re.compile(r"\s*(?P<key>[^\s:{}\[\],<\"]+)\s*:")
_BARE = re.compile(r"[^,{}\[\]]*")


class _GemmaCalls(Notation):
    """What both have in common.

    Attributes:
        opening: Before a call.
        closing: After it.
        quote: Before and after a string.
        response: What begins a tool's result. These models may begin it themselves after a call.
    """

    opening: ClassVar[str]
    closing: ClassVar[str]
    quote: ClassVar[str]
    response: ClassVar[str]

    def recognises(self, template_source: str) -> bool:
        """See `Notation.recognises`."""
        return self.opening in template_source

    def marks(self, tools: Mapping[str, Tool]) -> Sequence[Mark]:
        """See `Notation.marks`."""
        return (Mark(self.opening),)

    def silent_marks(self, tools: Mapping[str, Tool]) -> Sequence[Mark]:
        """The beginning of a result, which is not the model's to write."""
        return (Mark(self.response, "start"),) if tools else ()

    def body(self, mark: Mark) -> Body:
        """See `Notation.body`."""
        return QuotedBody(self.quote, self.closing, self.opening)

    def parse(self, body: str, mark: Mark, tools: Mapping[str, Tool]) -> list[ParsedCall]:
        """See `Notation.parse`."""
        head = _HEAD.match(body)
        if head is None:
            raise ToolCallSyntaxError("The call names no tool.")
        name = head["name"]
        root = arguments_object(tools[name]) if name in tools else {}
        reader = _ValueReader(body, head.end(), self.quote, name)
        try:
            arguments = reader.members(root, root)
        except RecursionError as error:
            raise ToolCallSyntaxError("The call is nested too deeply.", name) from error
        if reader.rest.strip():
            raise ToolCallSyntaxError(f"This is not part of a call: {reader.rest:.50}", name)
        return [ParsedCall(name, encode(arguments))]

    def written(self, calls: Sequence[ToolCall]) -> str:
        """See `Notation.written`."""
        return "".join(f"{self.opening}{self._written(call)}{self.closing}" for call in calls)

    def blocks(self, rules: Rules, tools: Sequence[Tool], *, parallel: bool) -> Blocks:
        """See `Notation.blocks`."""
        grammar = ValueGrammar(rules, self._spelling)
        calls = [
            rules.rule(f'{literal(f"call:{tool.name}{{")} {grammar.members(arguments_object(tool), ":")} "}}"')
            for tool in tools
        ]
        return Blocks({self.opening: f"{rules.one_of(calls)} {literal(self.closing)}"}, between='"\\n"?')

    @property
    def _spelling(self) -> Spelling:
        return Spelling(self.quote, has_bare_keys=True, sorts_keys=True)

    def _written(self, call: ToolCall) -> str:
        arguments = parsed_arguments(call.arguments)
        written = self._spelling.written(arguments) if isinstance(arguments, dict) else f"{{{arguments}}}"
        return f"call:{call.name}{written}"


class FunctionGemma(_GemmaCalls):
    """The small model for calling functions."""

    name = "functiongemma"
    opening, closing = "<start_function_call>", "<end_function_call>"
    quote = "<escape>"
    response = "<start_function_response>"


class Gemma4(_GemmaCalls):
    """Gemma 4."""

    name = "gemma4"
    opening, closing = "<|tool_call>", "<tool_call|>"
    quote = '<|"|>'
    response = "<|tool_response>"

    def silent_marks(self, tools: Mapping[str, Tool]) -> Sequence[Mark]:
        """Also the end of a channel, which the model may write where none is open."""
        return (*super().silent_marks(tools), Mark("<channel|>"))


class _ValueReader:
    """Reads values from a place on.

    Attributes:
        rest: What has not been read.
    """

    def __init__(self, text: str, at: int, quote: str, name: str) -> None:
        self._text = text
        self._at = at
        self._quote = quote
        self._name = name

    @property
    def rest(self) -> str:
        return self._text[self._at :]

    def members(self, schema: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
        """The members of an object whose bracket was read; bare words in them are what the schema says."""
        listed, _, others = arguments_of_tool(schema)
        values: dict[str, Any] = {}
        while not self._takes("}"):
            key = self._key()
            values[key] = self._value(listed.get(key, others or True), root)
            if not self._takes(",") and not self._sees("}"):
                raise self._strange()
        return values

    def _value(self, schema: Any, root: Mapping[str, Any]) -> Any:
        if self._takes(self._quote):
            return self._until_quote()
        if self._takes("{"):
            return self.members({}, root)
        if self._takes("["):
            items: list[Any] = []
            while not self._takes("]"):
                items.append(self._value(True, root))
                if not self._takes(",") and not self._sees("]"):
                    raise self._strange()
            return items
        if self._sees('"'):
            return self._json_string()
        found = _BARE.match(self._text, self._at)
        text = found[0].strip() if found else ""
        if not found or not text:
            raise self._strange()
        self._at = found.end()
        return typed_value(text, schema, root, self._name)

    def _key(self) -> str:
        if self._takes(self._quote):
            key = self._until_quote()
        elif self._sees('"'):
            key = self._json_string()
        else:
            found = _KEY.match(self._text, self._at)
            if found is None:
                raise self._strange()
            self._at = found.end()
            return found["key"]
        if not self._takes(":"):
            raise self._strange()
        return key

    def _until_quote(self) -> str:
        end = self._text.find(self._quote, self._at)
        if end < 0:
            raise ToolCallSyntaxError("A string has no end.", self._name)
        text, self._at = self._text[self._at : end], end + len(self._quote)
        return text

    def _json_string(self) -> str:
        found = _JSON_STRING.match(self._text, self._at)
        if found is None:
            raise ToolCallSyntaxError("A string has no end.", self._name)
        self._at = found.end()
        return str(decode(found[0]))

    def _sees(self, mark: str) -> bool:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1
        return self._text.startswith(mark, self._at)

    def _takes(self, mark: str) -> bool:
        if not self._sees(mark):
            return False
        self._at += len(mark)
        return True

    def _strange(self) -> ToolCallSyntaxError:
        if not self.rest.strip():
            return ToolCallSyntaxError("The call is cut off.", self._name)
        return ToolCallSyntaxError(f"This was not expected in a call: {self.rest:.50}", self._name)


_JSON_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
