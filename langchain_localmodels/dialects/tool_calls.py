"""The notations in which models write tool calls.

Owns how a notation is recognised and how the text of a call is read. A further notation is one class here and one row
in `TOOL_CALL_FORMATS`. Finding the marks in a stream is left to `reader.py`.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NoReturn


@dataclass(frozen=True, slots=True)
class ParsedCall:
    """A call as it was written: the tool's name and the arguments as JSON text of an object."""

    name: str
    arguments: str


class ToolCallSyntaxError(ValueError):
    """What stands between the marks is not a call.

    Args:
        message: What is wrong with it.
        name: The tool's name, if that much could be read.
    """

    def __init__(self, message: str, name: str | None = None) -> None:
        super().__init__(message)
        self.name = name


class ToolCallFormat(ABC):
    """One notation.

    Attributes:
        opening: Mark before a call.
        closing: Mark after it; `None` where a call ends with the answer.
    """

    opening: str
    closing: str | None

    def may_end(self, body: str) -> bool:
        """Whether a mark after `body` is one, and not part of an argument's text."""
        return True

    @abstractmethod
    def parse(self, body: str) -> list[ParsedCall]:
        """The calls that stand between two marks.

        Raises:
            ToolCallSyntaxError: There is none, or something else.
        """


class HermesFormat(ToolCallFormat):
    """`<tool_call>{"name": …, "arguments": {…}}</tool_call>`, of Hermes, Qwen and many after them.

    Several objects, or a list of them, between one pair of marks are several calls.
    """

    opening = "<tool_call>"
    closing = "</tool_call>"

    def may_end(self, body: str) -> bool:
        """False inside of a JSON string, where the mark is an argument's text."""
        return not _ends_in_string(body)

    def parse(self, body: str) -> list[ParsedCall]:
        """The objects between the marks."""
        values = _json_values(body)
        calls = [entry for value in values for entry in (value if isinstance(value, list) else [value])]
        if not calls:
            raise ToolCallSyntaxError("The call is empty.")
        return [_call_of(call) for call in calls]


TOOL_CALL_FORMATS: tuple[ToolCallFormat, ...] = (HermesFormat(),)
"""The notations, the ones that are easiest to mistake last; the first is for models whose template has none."""


def tool_call_format(template_source: str | None) -> ToolCallFormat | None:
    """The notation of a model, from the marks in its chat template; `None` where they are not known."""
    for known in TOOL_CALL_FORMATS:
        if template_source and known.opening in template_source:
            return known
    return None


def _call_of(value: object) -> ParsedCall:
    """A call from its JSON object, in one of the forms that models choose."""
    if not isinstance(value, dict):
        raise ToolCallSyntaxError("The call is not a JSON object.")
    inner = value.get("function")
    call: dict[str, Any] = inner if isinstance(inner, dict) else value
    name = call.get("name")
    if not isinstance(name, str) or not name:
        raise ToolCallSyntaxError("The call names no tool.")
    arguments = call.get("arguments", call.get("parameters"))
    if isinstance(arguments, str) and arguments.strip():
        # Some models write the arguments as a string of JSON, as they stand in OpenAI's messages.
        try:
            arguments = _decode(arguments)
        except ToolCallSyntaxError as error:
            raise ToolCallSyntaxError(f"The arguments are a text, not a JSON object: {error}", name) from error
    if arguments is None or arguments == "":
        arguments = {}
    if not isinstance(arguments, dict):
        raise ToolCallSyntaxError("The arguments are not a JSON object.", name)
    return ParsedCall(name, _encode(arguments))


def _json_values(text: str) -> list[object]:
    values: list[object] = []
    rest = text.strip()
    while rest:
        try:
            value, end = _DECODER.raw_decode(rest)
        except (ValueError, RecursionError) as error:
            raise _not_json(error) from error
        values.append(value)
        rest = rest[end:].lstrip(" \t\r\n,;")
    return values


def _decode(text: str) -> object:
    try:
        return _DECODER.decode(text.strip())
    except (ValueError, RecursionError) as error:
        raise _not_json(error) from error


def _encode(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair, which the model wrote as an escape: leave it one.
        return json.dumps(value)
    return text


def _not_json(error: Exception) -> ToolCallSyntaxError:
    return ToolCallSyntaxError(f"The call is not valid JSON: {error or type(error).__name__}.")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# Small models break lines inside of strings, which strict JSON forbids.
_DECODER = json.JSONDecoder(strict=False, parse_constant=_no_constant)


def _ends_in_string(text: str) -> bool:
    return _ESCAPE.sub("", text).count('"') % 2 == 1


_ESCAPE = re.compile(r"\\.", re.DOTALL)
