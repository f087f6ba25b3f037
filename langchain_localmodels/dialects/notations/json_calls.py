"""Calls as JSON objects, in which most notations write them: reading them leniently, and writing them by grammar."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from langchain_localmodels.dialects.gbnf_rules import Rules, literal
from langchain_localmodels.dialects.notations.base import ParsedCall, ToolCallSyntaxError
from langchain_localmodels.dialects.template_turns import parsed_arguments
from langchain_localmodels.engines.base import Tool, ToolCall

_NAME_KEYS = ("name", "tool_name", "function_name")
_ARGUMENT_KEYS = ("arguments", "parameters", "args", "input")
_ID_KEYS = ("id", "tool_call_id")
_NAME = re.compile(r'"(?:tool_)?name"\s*:\s*"((?:[^"\\]|\\.)*)"')


def read_calls(text: str) -> list[ParsedCall]:
    """The calls of a text that holds one object, several, or a list of them.

    Raises:
        ToolCallSyntaxError: It is something else.
    """
    calls = [entry for value in call_values(text) for entry in (value if isinstance(value, list) else [value])]
    if not calls:
        raise ToolCallSyntaxError("The call is empty.")
    return [call_of(call) for call in calls]


def call_values(text: str) -> list[object]:
    """All JSON values of a text that holds calls.

    Raises:
        ToolCallSyntaxError: It is not JSON. The name of the first call is given, where it can be seen.
    """
    try:
        return json_values(text)
    except ToolCallSyntaxError as error:
        found = _NAME.search(text)
        raise ToolCallSyntaxError(str(error), found.group(1) if found else None) from error


def call_of(value: object) -> ParsedCall:
    """A call from its JSON object, in one of the forms that models choose.

    Raises:
        ToolCallSyntaxError: It is something else.
    """
    if not isinstance(value, dict):
        raise ToolCallSyntaxError("The call is not a JSON object.")
    inner = value.get("function")
    call: dict[str, Any] = {**value, **inner} if isinstance(inner, dict) else value
    name = _first(call, _NAME_KEYS) or (inner if isinstance(inner, str) else None)
    if not isinstance(name, str) or not name:
        raise ToolCallSyntaxError("The call names no tool.")
    call_id = _first(call, _ID_KEYS)
    arguments = arguments_of(_first(call, _ARGUMENT_KEYS), name)
    return ParsedCall(name, arguments, call_id if isinstance(call_id, str) and call_id else None)


def arguments_of(value: object, name: str) -> str:
    """The arguments of the tool `name` as JSON text, from an object, from JSON text of one, or from nothing.

    Raises:
        ToolCallSyntaxError: They are something else.
    """
    if isinstance(value, str) and value.strip():
        # Some models write the arguments as a string of JSON, as they stand in OpenAI's messages.
        try:
            value = decode(value)
        except ToolCallSyntaxError as error:
            raise ToolCallSyntaxError(f"The arguments are not a JSON object: {error}", name) from error
    if value is None or (isinstance(value, str) and not value.strip()):
        value = {}
    if not isinstance(value, dict):
        raise ToolCallSyntaxError("The arguments are not a JSON object.", name)
    return encode(value)


def _first(call: dict[str, Any], keys: Sequence[str]) -> Any:
    return next((call[key] for key in keys if key in call), None)


def json_values(text: str) -> list[object]:
    """All JSON values of a text, which may be parted by white space, commas and semicolons.

    Raises:
        ToolCallSyntaxError: There is something else between them.
    """
    values: list[object] = []
    at = _next(text, 0, " \t\r\n")
    while at < len(text):
        value, at = value_at(text, at)
        values.append(value)
        at = _next(text, at, " \t\r\n,;")
    return values


def value_at(text: str, start: int) -> tuple[object, int]:
    """The JSON value that begins at a place in a text, and the place where it ends.

    Raises:
        ToolCallSyntaxError: There is none.
    """
    try:
        return _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError) as error:
        raise _not_json(error) from error


def _next(text: str, start: int, skipped: str) -> int:
    return next((place for place in range(start, len(text)) if text[place] not in skipped), len(text))


def decode(text: str) -> object:
    """Read JSON as models write it, with raw line breaks in strings.

    Raises:
        ToolCallSyntaxError: It is not JSON.
    """
    try:
        return _DECODER.decode(text.strip())
    except (ValueError, RecursionError) as error:
        raise _not_json(error) from error


def encode(value: object) -> str:
    """Write JSON as it is easiest to read."""
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair, which the model wrote as an escape: leave it one.
        return json.dumps(value)
    return text


def _not_json(error: Exception) -> ToolCallSyntaxError:
    return ToolCallSyntaxError(f"The call is not valid JSON: {error or type(error).__name__}.")


def _finite(text: str) -> float:
    number = float(text)
    if abs(number) == float("inf"):
        raise ValueError(f"{text:.40} is too large a number")
    return number


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# Small models break lines inside of strings, which strict JSON forbids.
_DECODER = json.JSONDecoder(strict=False, parse_float=_finite, parse_constant=_no_constant)


# --- writing --------------------------------------------------------------------------------------------------------


def written_call(call: ToolCall, *, name: str = "name", arguments: str = "arguments", **first: str) -> str:
    """A call as a JSON object.

    Args:
        call: The call.
        name: Key of the tool's name.
        arguments: Key of its arguments.
        **first: What comes before them.
    """
    return encode({**first, name: call.name, arguments: parsed_arguments(call.arguments)})


def written_calls(calls: Sequence[ToolCall], **keys: str) -> str:
    """Calls as a JSON list; the keys are those of `written_call`."""
    return f"[{', '.join(written_call(call, **keys) for call in calls)}]"


def written_arguments(call: ToolCall) -> str:
    """The arguments of a call as JSON."""
    return encode(parsed_arguments(call.arguments))


# --- grammar --------------------------------------------------------------------------------------------------------


def call_object(
    rules: Rules,
    tools: Sequence[Tool],
    *,
    name: str = "name",
    arguments: str = "arguments",
    first: str = "",
    also: str = "",
    line: str = "sp",
) -> str:
    """An item for one call as an object that names the tool and then its arguments.

    Args:
        rules: Takes in the rules.
        tools: What may be called.
        name: Key of the tool's name.
        arguments: Key of its arguments.
        first: Item for what comes before the name inside of the object.
        also: Item for what follows the arguments inside of the object.
        line: Item for the white space after the braces and commas of the call itself.
    """
    ways = []
    for tool in tools:
        written = [f"{literal(encode(key))} sp {literal(':')} sp" for key in (name, arguments)]
        head = f"{literal('{')} {line} {first} {written[0]} {literal(encode(tool.name))} sp {literal(',')}"
        body = f"{line} {written[1]} {rules.json(arguments_schema(tool))}"
        ways.append(rules.rule(f"{head} {body} {line} {also} {literal('}')}"))
    return rules.one_of(ways)


def call_list(rules: Rules, call: str, *, parallel: bool) -> str:
    """An item for a JSON list of calls, of which there is at least one."""
    more = f"({literal(',')} sp {call} sp)*" if parallel else ""
    return f"{literal('[')} sp {call} sp {more} {literal(']')}"


def arguments_schema(tool: Tool) -> dict[str, Any]:
    """The schema of a tool's arguments, which are an object even where the schema forgets to say so."""
    schema = dict(tool.parameters)
    return schema if "type" in schema or "$ref" in schema else {"type": "object", "properties": {}, **schema}
