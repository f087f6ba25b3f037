"""Whether a value follows a schema: in words, without a network, and without errors of the library's own."""

from __future__ import annotations

import pytest

from langchain_localmodels.errors import InvalidRequestError
from langchain_localmodels.schema_check import check_schema, fault_in, fault_of


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "integer"}, 3, "3"),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}, {"a": "x"}, {"b": "x"}),
        ({"type": "string", "format": "date"}, "2024-02-29", "2023-02-29"),
        ({"type": "string", "format": "ipv4"}, "127.0.0.1", "127.0.0.256"),
        ({"type": "string", "format": "uuid"}, "123e4567-e89b-12d3-a456-426614174000", "123"),
        ({"type": "string", "format": "email"}, "a@b.c", "nobody"),
        ({"multipleOf": 0.01}, 19.99, 19.995),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}}}}, [[], [[]]], [[], 1]),
        (True, 1, None),
    ],
)
def test_values(schema, good, bad):
    assert fault_of(good, schema) is None
    if schema is not True:
        assert fault_of(bad, schema)


def test_what_is_wrong_is_told_with_its_place():
    schema = {"properties": {"people": {"items": {"properties": {"age": {"type": "integer"}}}}}}
    fault = fault_of({"people": [{"age": 1}, {"age": "two"}]}, schema)
    assert "people[1].age" in fault
    assert "'two'" in fault
    assert fault_in('{"people": ', schema).startswith("It is not JSON")


@pytest.mark.parametrize("schema", [{"type": "nothing"}, {"pattern": "("}, {"required": 3}, {"properties": []}])
def test_what_is_no_schema(schema):
    with pytest.raises(InvalidRequestError, match="no JSON Schema"):
        check_schema(schema)
    with pytest.raises(InvalidRequestError, match="no JSON Schema"):
        fault_of(1, schema)


@pytest.mark.parametrize("ref", ["http://127.0.0.1:9/schema.json", "other.json", "#/$defs/nowhere"])
def test_references_lead_nowhere_else(ref):
    with pytest.raises(InvalidRequestError, match="which is not in it"):
        fault_of(1, {"$ref": ref})


def test_depth_is_told_and_ends_nothing():
    deep: list = []
    for _ in range(5000):
        deep = [deep]
    schema = {"$ref": "#/$defs/a", "$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/a"}}}}
    with pytest.raises(InvalidRequestError, match="nested too deeply"):
        fault_of(deep, schema)
