"""`oblige`: an answer to anything. It does what it is asked, as simply as it can, and knows nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from langchain_localmodels.engines.base import CompletionRequest, JsonOutput, Tool
from langchain_localmodels.testing.answers import Answer, Call
from langchain_localmodels.testing.playing import Request, json_text
from langchain_localmodels.testing.script import last_text

_LEAST_LETTERS = 4
_MUST_CALL = "must call"
"""What the system turn says to models that cannot be held to a call."""
_DEEPEST = 32
_QUOTED = re.compile(r"""(?<!\w)['"`]([^'"`\n]{1,80})['"`](?!\w)""")


def oblige(request: Request) -> Answer:
    """Answer any request: for a first run of a chain or an agent without a model, and without a script.

    - A tool that must be called is called, and so is one whose name is spoken of in the last message. Its arguments
      are examples that its schema allows; numbers and texts in quotes are taken from the message.
    - Where JSON is asked for, it is an example that the schema allows; without a schema, one with the keys that the
      last message has in quotes.
    - After a tool's result it says the result.
    - Everything else it says back.

    Args:
        request: What is asked; give this function as `answers` of a scripted model.
    """
    text = last_text(request)
    if isinstance(request, CompletionRequest):
        return Answer(_in_form(request, text) or f"You said: {text}")
    after_result = request.turns[-1].role == "tool"
    spoken_of = [] if after_result else _spoken_of(request.callable_tools, text)
    told_to = any(turn.role == "system" and _MUST_CALL in turn.text for turn in request.turns)
    if request.must_call or (told_to and request.callable_tools):
        return Answer(tool_calls=[_call((spoken_of or request.callable_tools)[0], text)])
    if spoken_of:
        calls = [_call(tool, text) for tool in spoken_of]
        return Answer(tool_calls=calls if request.parallel_tool_calls else calls[:1])
    if after_result:
        return Answer(_in_form(request, text) or f"The result is {text}")
    return Answer(_in_form(request, text) or f"You said: {text}")


def example(schema: Mapping[str, Any], numbers: Iterable[int] = (), texts: Iterable[str] = ()) -> Any:
    """Give a value that a JSON Schema allows: the simplest one, with optional properties left out.

    Patterns of texts are beyond it, and `$ref` is followed inside of the schema only.

    Args:
        schema: The schema.
        numbers: Numbers to take, in order, where the schema allows them.
        texts: Texts to take, in order, where the schema allows them.
    """
    return _Example(schema, list(numbers), list(texts)).of(schema, 0)


def _example_from(schema: Mapping[str, Any], text: str) -> Any:
    return example(schema, _numbers(text), _QUOTED.findall(text))


def _in_form(request: Request, text: str) -> str | None:
    constraint = request.settings.constraint
    if not isinstance(constraint, JsonOutput):
        return None
    if constraint.schema is not None:
        return json_text(_example_from(constraint.schema, text))
    keys = [quoted for quoted in _QUOTED.findall(text) if quoted.isidentifier()] or ["answer"]
    return json_text(dict.fromkeys(keys, "some text"))


def _spoken_of(tools: Iterable[Tool], text: str) -> list[Tool]:
    spoken = set(re.findall(r"[a-z]+", text.lower()))
    return [
        tool
        for tool in tools
        if any(part in spoken for part in re.findall(r"[a-z]+", tool.name.lower()) if len(part) >= _LEAST_LETTERS)
    ]


def _call(tool: Tool, text: str) -> Call:
    return Call(tool.name, _example_from(tool.parameters, text) or {})


def _numbers(text: str) -> list[int]:
    return [int(found) for found in re.findall(r"(?<![\w.])-?\d{1,9}(?![\w.]*\d)", text)]


class _Example:
    """Walks a schema."""

    def __init__(self, root: Mapping[str, Any], numbers: list[int], texts: list[str]) -> None:
        self._root = root
        self._numbers = numbers
        self._texts = texts

    def of(self, schema: Any, depth: int) -> Any:
        if not isinstance(schema, Mapping) or depth > _DEEPEST:
            return None
        inner = self._inner(schema)
        if inner is not None:
            return self.of(inner, depth + 1)
        for key in ("const", "default"):
            if key in schema:
                return schema[key]
        chosen = schema.get("enum") or schema.get("examples")
        return chosen[0] if chosen else self._typed(schema, depth)

    def _inner(self, schema: Mapping[str, Any]) -> Any:
        """The schema that this one stands for, if it only stands for another."""
        if "$ref" in schema:
            return self._target(str(schema["$ref"]))
        choices = schema.get("anyOf") or schema.get("oneOf")
        if choices and "default" not in schema:
            return choices[0]
        return _joined([schema, *schema["allOf"]]) if schema.get("allOf") else None

    def _typed(self, schema: Mapping[str, Any], depth: int) -> Any:
        kind = schema.get("type", "object" if "properties" in schema else "string")
        kind = kind[0] if isinstance(kind, list) and kind else kind
        if kind == "object":
            properties = schema.get("properties") or {}
            return {name: self.of(properties.get(name, {}), depth + 1) for name in schema.get("required") or ()}
        if kind == "array":
            first = schema.get("prefixItems") or []
            more = max(int(schema.get("minItems", 0)) - len(first), 0)
            return [self.of(item, depth + 1) for item in [*first, *[schema.get("items", {})] * more]]
        if kind in ("integer", "number"):
            return self._number(schema)
        if kind == "string":
            return self._text(schema)
        return {"boolean": True, "null": None}.get(str(kind))

    def _text(self, schema: Mapping[str, Any]) -> str:
        least, most = int(schema.get("minLength", 0)), schema.get("maxLength")
        while self._texts and not {"format", "pattern"} & schema.keys():
            text = self._texts.pop(0)
            if least <= len(text) <= (len(text) if most is None else most):
                return text
        return _FORMATS.get(str(schema.get("format")), "some text").ljust(least, ".")[:most]

    def _number(self, schema: Mapping[str, Any]) -> int | float:
        while self._numbers:
            number = self._numbers.pop(0)
            if _allowed(number, schema):
                return number
        least, most = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
        step = schema.get("multipleOf", 1)
        start = least if least is not None else min(1, most) if most is not None else 1
        number = -(-start // step) * step
        found: int | float = number if _allowed(number, schema) else number + step
        return found

    def _target(self, reference: str) -> Any:
        found: Any = self._root
        for part in reference.removeprefix("#").split("/"):
            if part and isinstance(found, Mapping):
                found = found.get(part.replace("~1", "/").replace("~0", "~"))
        return found


_FORMATS = {
    "date": "2000-01-01",
    "date-time": "2000-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "somebody@example.org",
    "uri": "https://example.org",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "127.0.0.1",
}


def _allowed(number: float, schema: Mapping[str, Any]) -> bool:
    return bool(
        schema.get("minimum", number) <= number <= schema.get("maximum", number)
        and schema.get("exclusiveMinimum", number - 1) < number < schema.get("exclusiveMaximum", number + 1)
        and number % schema.get("multipleOf", number or 1) == 0
    )


def _joined(parts: Iterable[Any]) -> dict[str, Any]:
    joined: dict[str, Any] = {}
    for part in parts:
        if isinstance(part, Mapping):
            properties = {**joined.get("properties", {}), **part.get("properties", {})}
            required = [*joined.get("required", []), *part.get("required", [])]
            joined.update(part)
            joined.update({"properties": properties} if properties else {})
            joined.update({"required": list(dict.fromkeys(required))} if required else {})
    joined.pop("allOf", None)
    return joined
