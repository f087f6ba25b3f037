"""The keywords of JSON Schema: which constrain, what their values must be, and which no grammar can enforce."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from langchain_localmodels.errors import InvalidRequestError

_OBJECTS = (
    "properties required additionalProperties patternProperties propertyNames minProperties maxProperties "
    "dependentRequired dependentSchemas dependencies unevaluatedProperties"
)
_ARRAYS = (
    "items prefixItems additionalItems minItems maxItems uniqueItems contains minContains maxContains unevaluatedItems"
)
_STRINGS = "minLength maxLength pattern format"
_NUMBERS = "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf"
TYPES: Mapping[str, frozenset[str]] = {
    "object": frozenset(_OBJECTS.split()),
    "array": frozenset(_ARRAYS.split()),
    "string": frozenset(_STRINGS.split()),
    "number": frozenset(_NUMBERS.split()),
}
"""By type, the keywords that are about values of it."""

CONSTRAINTS = frozenset({"type", "enum", "const", "not", "if", "then", "else"}.union(*TYPES.values()))
"""All keywords but annotations and those that combine schemas."""

ALL_TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")


def _is_about(kind: str) -> Callable[[Mapping[str, Any]], bool]:
    def applies(schema: Mapping[str, Any]) -> bool:
        types = schema.get("type", kind)
        return kind in types or (kind == "number" and "integer" in types)

    return applies


_always = bool  # a schema with a keyword in it is not empty
_objects, _arrays, _numbers = (_is_about(kind) for kind in ("object", "array", "number"))

NEVER_ENFORCED: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
    "not": _always,
    "if": lambda schema: "then" in schema or "else" in schema,
    "dependentRequired": _objects,
    "dependentSchemas": _objects,
    "dependencies": _objects,
    "unevaluatedProperties": lambda schema: _objects(schema) and schema["unevaluatedProperties"] is not True,
    "uniqueItems": lambda schema: _arrays(schema) and schema["uniqueItems"] is True,
    "contains": _arrays,
    "unevaluatedItems": lambda schema: _arrays(schema) and schema["unevaluatedItems"] is not True,
    "multipleOf": _numbers,
}
"""Keywords that grammars cannot express, and in which schemas that matters."""


def is_integral(value: Any) -> bool:
    """Whether JSON Schema takes a value for an integer: 1.0 is one, too."""
    return not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _is_types(value: Any) -> bool:
    names = [value] if isinstance(value, str) else value
    return _is_names(names) and bool(names) and all(name in ALL_TYPES for name in names)


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and bool(value)


def _is_schema(value: Any) -> bool:
    return isinstance(value, dict | bool)


_COUNT = (lambda value: is_integral(value) and value >= 0, "a number from 0")
_NUMBER = (_is_number, "a number")
_LIMIT = (lambda value: isinstance(value, bool) or _is_number(value), "a number")
_TEXT = (lambda value: isinstance(value, str), "a string")
_OBJECT = (lambda value: isinstance(value, dict), "an object")
_SOME = (_is_list, "a list that is not empty")
_SCHEMA = (_is_schema, "a schema")
_MUST_BE: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "type": (_is_types, f"one or several of {', '.join(ALL_TYPES)}"),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), _COUNT),
    **dict.fromkeys(("minimum", "maximum"), _NUMBER),
    **dict.fromkeys(("exclusiveMinimum", "exclusiveMaximum"), _LIMIT),
    **dict.fromkeys(("pattern", "format", "$ref"), _TEXT),
    **dict.fromkeys(("properties", "patternProperties"), _OBJECT),
    **dict.fromkeys(("enum", "anyOf", "oneOf", "allOf"), _SOME),
    **dict.fromkeys(("additionalProperties", "additionalItems", "propertyNames"), _SCHEMA),
    "prefixItems": (lambda value: isinstance(value, list), "a list"),
    "items": (lambda value: isinstance(value, list) or _is_schema(value), "a schema, or a list of them"),
    "required": (_is_names, "a list of strings"),
}


def checked(schema: Any, where: str) -> dict[str, Any] | bool:
    """Give a schema back if it is one, as far as can be seen without looking into the schemas within.

    Raises:
        InvalidRequestError: It is not; the message names the place.
    """
    if not isinstance(schema, dict | bool):
        raise InvalidRequestError(
            f"The JSON Schema is wrong at {where or 'its root'}: {schema!r:.80} is neither an object nor a boolean."
        )
    if isinstance(schema, dict):
        for key, value in schema.items():
            fits, what = _MUST_BE.get(key, (None, ""))
            if fits is not None and not fits(value):
                place = f"{where}.{key}".strip(".")
                raise InvalidRequestError(f"The JSON Schema is wrong at {place}: {value!r:.80} is not {what}.")
    return schema
