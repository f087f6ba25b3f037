"""Schemas that keep the order of an object's properties where the keys of objects are sorted on the way."""

from __future__ import annotations

import json
from typing import Any

import pytest

from langchain_localmodels.engines.ollama.property_order import in_order
from langchain_localmodels.schema_check import fault_of
from tests.json_schemas import ENFORCED


def written(schema: dict[str, Any], root: dict[str, Any] | None = None) -> list[str]:
    """The properties of an object, and of the objects in it, in the order in which llama.cpp has them written."""
    root = root or schema
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    names = []
    for part in schema.get("allOf", [schema]):
        for name, value in part.get("properties", {}).items():
            names += [name, *written(value, root)]
    return names


def sorted_keys(schema: dict[str, Any]) -> dict[str, Any]:
    """What Go makes of a schema that it has read into a map."""
    return json.loads(json.dumps(schema, sort_keys=True))


INNER = {"type": "object", "properties": {"y": {}, "x": {}}, "required": ["x"], "additionalProperties": False}


@pytest.mark.parametrize(
    ("schema", "order"),
    [
        ({"properties": {"b": {}, "a": {}}}, ["b", "a"]),
        ({"type": "object", "properties": {"b": INNER, "a": {}}, "title": "T"}, ["b", "y", "x", "a"]),
        ({"properties": {"a": {"$ref": "#/$defs/i"}}, "$defs": {"i": INNER}}, ["a", "y", "x"]),
        ({"properties": {"b": {"$ref": "#/$defs/i"}, "a": {}}, "$defs": {"i": INNER}}, ["b", "y", "x", "a"]),
    ],
)
def test_sorting_does_not_change_the_order(schema, order):
    before = json.dumps(schema)
    assert written(schema) == order
    assert written(sorted_keys(schema)) != order
    assert written(sorted_keys(in_order(schema))) == order
    assert json.dumps(schema) == before


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {}, "b": {}}, "required": ["a"], "additionalProperties": False},
        {"type": "object", "properties": {"a": {"enum": [{"properties": {"b": 1, "a": 2}}]}}},
        {"type": "array", "items": {"type": "integer"}},
        {"properties": {"b": {}, "a": {}}, "additionalProperties": {"type": "string"}},
        {"properties": {"b": {}, "a": {}}, "additionalProperties": True},
        {"type": ["object", "null"], "properties": {"b": {}, "a": {}}},
        {"properties": {"b": {}, "a": {}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
        {"properties": {"b": {"type": "integer"}, "a": {"$ref": "#/properties/b"}}},
        {},
    ],
)
def test_what_must_not_or_need_not_change_stays(schema):
    assert in_order(schema) == schema


def test_what_is_needed_stays_needed():
    schema = {"type": "object", "properties": {"b": {}, "a": {"type": "integer"}}, "required": ["a"]}
    assert in_order(schema)["allOf"] == [
        {"type": "object", "properties": {"b": {}}, "required": []},
        {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
    ]


ROWS = [(schema, [*allowed, *others]) for schema, allowed, others in ENFORCED if isinstance(schema, dict)]


@pytest.mark.parametrize(("schema", "values"), ROWS)
def test_it_means_the_same(schema, values):
    for value in values:
        assert bool(fault_of(value, in_order(schema))) == bool(fault_of(value, schema)), value


def test_the_rows_have_schemas_that_change():
    assert sum(in_order(schema) != schema for schema, _ in ROWS) >= 5
