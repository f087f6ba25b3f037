"""JSON Schemas as users have them: in older forms too, with references, and about which types of values.

Whether a value follows a schema is checked by `schema_check.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from langchain_localmodels.dialects.json_pointer import pointed_at
from langchain_localmodels.errors import InvalidRequestError

ALL_TYPES = frozenset({"object", "array", "string", "number", "boolean", "null"})
"""The types of JSON; an integer is a number."""
_CONDITIONS = ("if", "then", "else", "not", "contains")
_ONE = (
    *_CONDITIONS,
    *("additionalItems", "additionalProperties", "items", "propertyNames", "unevaluatedItems", "unevaluatedProperties"),
)
_SEVERAL = ("allOf", "anyOf", "items", "oneOf", "prefixItems")
_DEFINITIONS = ("$defs", "definitions")
_NAMED = (*_DEFINITIONS, "dependentSchemas", "patternProperties", "properties")
_OBJECTS_ONLY = frozenset({"properties", "required", "additionalProperties", "patternProperties"})
_LONGEST_CHAIN = 50
"""References from one to the next, at the top of a schema."""


def as_plain_json(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Copy a schema so that nothing but JSON is in it.

    Raises:
        InvalidRequestError: If something else is.
    """
    try:
        plain: dict[str, Any] = json.loads(json.dumps(schema, default=_plain, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"The JSON Schema cannot be written as JSON: {str(error)[:200]}") from error
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


# --- older forms ----------------------------------------------------------------------------------------------------


def in_new_form(schema: Any) -> Any:
    """Say what a schema says in the words of Draft 2020-12.

    Read as `dialects/json_schema.py` reads them, too: lists in `items` and flags in `exclusiveMinimum` of the older
    drafts, and `nullable` of OpenAPI.
    """
    if not isinstance(schema, dict):
        return schema
    new = {key: value for key, value in schema.items() if key != "$schema"}
    for key in _ONE:
        if key in new:
            new[key] = in_new_form(new[key])
    for key in _SEVERAL:
        if isinstance(new.get(key), list):
            new[key] = [in_new_form(member) for member in new[key]]
    for key in _NAMED:
        if isinstance(new.get(key), dict):
            new[key] = {name: in_new_form(member) for name, member in new[key].items()}
    if isinstance(new.get("items"), list):
        new["prefixItems"] = new.pop("items")
        if "additionalItems" in new:
            new["items"] = new.pop("additionalItems")
    for limit, flag in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if isinstance(new.get(flag), bool) and new.pop(flag) and limit in new:
            new[flag] = new.pop(limit)
    if new.get("nullable") is True:
        rest = {key: value for key, value in new.items() if key not in ("nullable", *_DEFINITIONS)}
        new = {key: new[key] for key in _DEFINITIONS if key in new} | {"anyOf": [rest, {"type": "null"}]}
    return new


def _within(schema: Any) -> Iterator[dict[str, Any]]:
    """A schema, and all schemas in it."""
    if not isinstance(schema, dict):
        return
    yield schema
    for key in _ONE:
        yield from _within(schema.get(key))
    for key in _SEVERAL:
        members = schema.get(key)
        for member in members if isinstance(members, list) else ():
            yield from _within(member)
    for key in _NAMED:
        named = schema.get(key)
        for member in named.values() if isinstance(named, dict) else ():
            yield from _within(member)


# --- references -----------------------------------------------------------------------------------------------------


def check_references(schema: Any) -> None:
    """Make sure that all references of a schema stay in it, and find something there.

    Raises:
        InvalidRequestError: One does not.
    """
    for part in _within(schema):
        for key in ("$ref", "$dynamicRef"):
            ref = part.get(key, "#")
            if not ref.startswith("#") or (ref.startswith("#/") and pointed_at(ref, schema) is None):
                raise InvalidRequestError(
                    f"The JSON Schema refers to {ref!r}, which is not in it.",
                    hint="Nothing is fetched: only references within the schema are followed, such as '#/$defs/Name'.",
                )


def resolve_top(schema: dict[str, Any]) -> dict[str, Any]:
    """Put what a schema refers to at its top in the place of the reference, as templates and servers expect tools."""
    found = dict(schema)
    for _ in range(_LONGEST_CHAIN):
        ref = found.get("$ref")
        target = pointed_at(ref, schema) if isinstance(ref, str) and ref.startswith("#") else None
        if not isinstance(target, dict):
            break
        found = {**target, **{key: value for key, value in found.items() if key != "$ref"}}
    return found


def top_types(schema: Any) -> frozenset[str]:
    """Which types of JSON the values may be of that a schema allows, as far as its top level says."""
    return _types(schema, schema, {})


def _types(schema: Any, root: Any, known: dict[str, frozenset[str]]) -> frozenset[str]:
    if not isinstance(schema, dict):
        return ALL_TYPES
    found = ALL_TYPES
    if "type" in schema:
        names = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        found = frozenset("number" if name == "integer" else name for name in names)
    elif schema.keys() & _OBJECTS_ONLY:
        found = frozenset({"object"})
    values = schema.get("enum", [schema["const"]] if "const" in schema else None)
    if values is not None:
        found &= {_type_of(value) for value in values}
    ref = schema.get("$ref")
    if isinstance(ref, str) and ref.startswith("#"):
        if ref not in known:
            # A choice that refers to itself has nothing more to choose from there.
            known[ref] = frozenset()
            known[ref] = _types(pointed_at(ref, root), root, known)
        found &= known[ref]
    for key in ("anyOf", "oneOf"):
        if key in schema:
            found &= frozenset().union(*(_types(member, root, known) for member in schema[key]))
    for member in schema.get("allOf", ()):
        found &= _types(member, root, known)
    return found | {"null"} if schema.get("nullable") is True else found


def _type_of(value: Any) -> str:
    kinds: tuple[tuple[Any, str], ...] = (
        (bool, "boolean"),
        (int | float, "number"),
        (str, "string"),
        (list, "array"),
        (dict, "object"),
    )
    return next((name for kind, name in kinds if isinstance(value, kind)), "null")
