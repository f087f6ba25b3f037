"""Keeps the order of an object's properties on the way through Ollama, which sorts the keys of `format` by their names.

Since 0.30 it does, for models whose own chat template it uses, and llama.cpp then has the model write the properties in
that order: an answer before the reasoning that leads to it, a call's arguments before its name. Lists are not sorted,
and the parts of an `allOf` are written one after the other, so that each property becomes such a part.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_NAMED = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
"""Keywords whose value holds schemas by name."""
_LITERAL = ("enum", "const", "default", "examples", "example", "required")
_REPLACED = ("type", "properties", "required", "additionalProperties")


def in_order(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Give a schema that means the same, and whose properties are written in the order that they have here.

    Objects whose properties are sorted already stay as they are, and so do those that allow other properties as well,
    or have an `allOf` of their own: there the parts would not mean the same to llama.cpp. A schema with a `$ref` into
    its properties stays as it is, too.

    Args:
        schema: A JSON Schema; it is not changed.
    """
    if any(re.fullmatch(r"#/(\$defs|definitions)/[^/]+", target) is None for target in _targets(schema)):
        return dict(schema)
    return _in_order(schema)


def _in_order(schema: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: _parts(name, value) for name, value in schema.items()}
    properties = kept.get("properties")
    if not isinstance(properties, dict) or list(properties) == sorted(properties):
        return kept
    if kept.get("type", "object") != "object" or kept.get("additionalProperties", False) is not False:
        return kept
    if kept.keys() & {"allOf", "anyOf", "oneOf", "$ref", "enum", "const"}:
        return kept
    required = kept.get("required")
    needed = set(required) if isinstance(required, list) else set()
    rest = {name: value for name, value in kept.items() if name not in _REPLACED}
    parts = [
        {"type": "object", "properties": {name: value}, "required": [name] if name in needed else []}
        for name, value in properties.items()
    ]
    closed = {"unevaluatedProperties": False} if "additionalProperties" in kept else {}
    return {**rest, **closed, "allOf": parts}


def _targets(value: Any) -> Iterator[str]:
    """Where a schema's `$ref`s point to: those into an object's properties would miss them."""
    if isinstance(value, Mapping):
        if isinstance(target := value.get("$ref"), str):
            yield target
        for part in value.values():
            yield from _targets(part)
    elif isinstance(value, list):
        for part in value:
            yield from _targets(part)


def _parts(name: str, value: Any) -> Any:
    if name in _LITERAL:
        return value
    if name in _NAMED and isinstance(value, Mapping):
        return {key: _schema(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_schema(part) for part in value]
    return _schema(value)


def _schema(value: Any) -> Any:
    return _in_order(value) if isinstance(value, Mapping) else value
