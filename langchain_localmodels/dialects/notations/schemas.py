"""What a tool's JSON Schema says of its arguments, for notations that do not write them as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from langchain_localmodels.dialects.json_pointer import pointed_at
from langchain_localmodels.dialects.notations.json_calls import arguments_schema
from langchain_localmodels.engines.base import Tool

ALL_KINDS = frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})
_MOST_STEPS = 20


def arguments_object(tool: Tool) -> dict[str, Any]:
    """The schema of a tool's arguments, as far as it lists them, with all that it may refer to."""
    root = arguments_schema(tool)
    return {**root, **followed(root, root)} if "$ref" in root else root


def followed(schema: object, root: Mapping[str, Any]) -> dict[str, Any]:
    """What a schema says once its reference is followed; nothing where that leads nowhere."""
    for _ in range(_MOST_STEPS):
        if not isinstance(schema, Mapping):
            return {}
        ref = schema.get("$ref")
        if not isinstance(ref, str):
            return dict(schema)
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        target = pointed_at(ref, root)
        if schema is root or not beside.keys() & {"type", "enum", "const", "anyOf", "oneOf", "properties"}:
            schema = target
        else:
            schema = {**(target if isinstance(target, Mapping) else {}), **beside}
    return {}


def kinds_of(schema: object, root: Mapping[str, Any], depth: int = 0) -> frozenset[str]:
    """The types of JSON values that a schema may allow.

    Args:
        schema: The schema.
        root: The schema that it is a part of.
        depth: How deep in others it stands.
    """
    if schema is False:
        return frozenset()
    known = followed(schema, root)
    if depth > _MOST_STEPS or not known:
        return ALL_KINDS
    found = ALL_KINDS
    if "const" in known:
        found = frozenset({kind_of(known["const"])})
    elif isinstance(known.get("enum"), list):
        found = frozenset(kind_of(value) for value in known["enum"])
    elif "type" in known:
        named = known["type"]
        found = frozenset([named] if isinstance(named, str) else named) & ALL_KINDS
    for keyword in ("anyOf", "oneOf"):
        if isinstance(known.get(keyword), list):
            members = [kinds_of(member, root, depth + 1) for member in known[keyword]]
            found &= frozenset().union(*members)
    for member in known.get("allOf") or ():
        found &= kinds_of(member, root, depth + 1)
    if "number" in found:
        found |= {"integer"}
    return found | {"null"} if known.get("nullable") is True else found


def kind_of(value: object) -> str:
    """The type of a JSON value."""
    if isinstance(value, float):
        return "integer" if value.is_integer() else "number"
    names: dict[type, str] = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def part_of(schema: Any, root: Mapping[str, Any]) -> Any:
    """A part of a schema as a schema of its own, in which its references still lead somewhere."""
    if '"$ref"' not in json.dumps(schema):
        return schema
    return {"$ref": "#/part", "part": relocated(schema, "#/whole"), "whole": relocated(root, "#/whole")}


def relocated(schema: Any, place: str) -> Any:
    """A schema as it has to be where it is not the root: its references go on from `place`, a JSON pointer with `#`."""
    if isinstance(schema, Mapping):
        return {
            key: f"{place}{value[1:]}"
            if key == "$ref" and isinstance(value, str) and value.startswith("#")
            else value
            if key in ("const", "enum", "default", "examples")
            else relocated(value, place)
            for key, value in schema.items()
        }
    return [relocated(item, place) for item in schema] if isinstance(schema, list | tuple) else schema


def arguments_of_tool(root: Mapping[str, Any]) -> tuple[dict[str, Any], frozenset[str], Any]:
    """The arguments that a schema lists with their schemas, the names of the required ones, and the schema of others.

    The last is `False` where there may be no others, as the grammar of JSON objects has it too: where some are listed
    and nothing is said of others.
    """
    listed = root.get("properties")
    listed = dict(listed) if isinstance(listed, Mapping) else {}
    required = [name for name in root.get("required") or () if isinstance(name, str)]
    others = root.get("additionalProperties", "properties" not in root)
    for name in required:
        listed.setdefault(name, others if others is not False else True)
    return {name: schema for name, schema in listed.items() if schema is not False}, frozenset(required), others
