"""The parameters of tools as Ollama is sent them: it takes them, and drops nothing that matters."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_localmodels.engines.base import Tool
from langchain_localmodels.engines.ollama.tool_schemas import tool_parameters
from langchain_localmodels.errors import InvalidRequestError
from tests.fuzz_grammars import random_schema
from tests.json_schemas import ENFORCED, MUTUAL, NODE, RELAXED, WRONG, Home, Person, Tree, obj

SCHEMAS = [row[0] for row in (*ENFORCED, *RELAXED)]


def sent(parameters: Any) -> dict[str, Any]:
    return tool_parameters(Tool("f", "", parameters))


def argument(schema: Any, **definitions: Any) -> Any:
    """What becomes of one argument's schema."""
    more = {"$defs": definitions} if definitions else {}
    return sent({**obj([], a=schema), **more})["properties"].get("a")


# --- what Ollama's decoder does ---------------------------------------------------------------------------------------


def decoded(schema: Any) -> None:
    """Check that a schema is one that Ollama's decoder takes for a property, and all that is kept of it."""
    assert isinstance(schema, dict)
    names = schema.get("type", "string")
    for name in [names] if isinstance(names, str) else names:
        # llama-server refuses a request with any other.
        assert name in ("object", "array", "string", "number", "integer", "boolean", "null")
    assert isinstance(schema.get("description", ""), str)
    assert isinstance(schema.get("enum", []), list)
    assert all(isinstance(name, str) for name in schema.get("required", []))
    for part in (*schema.get("properties", {}).values(), *schema.get("anyOf", [])):
        decoded(part)
    if "items" in schema:
        unread(schema["items"])


def unread(items: Any) -> None:
    """Ollama passes these on as they are: they may hold nothing that llama-server could stumble over."""
    decoded(items)
    for part in (items, *items.get("properties", {}).values(), *items.get("anyOf", [])):
        assert part.keys() <= {"type", "description", "enum", "items", "properties", "required", "anyOf"}
    for part in items.get("properties", {}).values():
        unread(part)


def check(parameters: Any) -> None:
    assert parameters["type"] == "object"
    decoded({key: parameters[key] for key in ("type", "properties", "required") if key in parameters})
    for word in ("$ref", "$defs", "definitions", "allOf", "oneOf"):
        assert f'"{word}":' not in json.dumps(without_values(parameters))


def without_values(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {key: without_values(part) for key, part in schema.items() if key not in ("enum", "default")}
    return [without_values(part) for part in schema] if isinstance(schema, list) else schema


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: json.dumps(schema)[:60])
def test_every_schema_becomes_one_that_is_taken(schema) -> None:
    before = json.dumps(schema)
    # A part that refers to its root refers to all arguments here.
    check(sent(obj(["a"], a=schema) if "$ref" not in before else schema))
    if isinstance(schema, dict):
        check(sent(schema))
    assert json.dumps(schema) == before


@given(st.randoms(use_true_random=False))
def test_any_schema_is_sent_or_refused(chance) -> None:
    with suppress(InvalidRequestError):
        check(sent(obj(["a"], a=random_schema(chance))))


def test_what_is_known_to_ollama_is_sent_as_it_is() -> None:
    known = obj(
        ["place"],
        place={**obj(["city"], city={"type": "string"}, zone={"type": "integer"}), "description": "Where."},
        unit={"anyOf": [{"type": "string", "enum": ["C", "F"]}, {"type": "null"}], "default": None},
        points={"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
        open={"type": ["boolean", "null"], "title": "Open?"},
    )
    assert sent(known) == known


# --- references -------------------------------------------------------------------------------------------------------


def test_references_are_followed() -> None:
    person = sent(Person.model_json_schema())["properties"]
    assert person["color"]["enum"] == ["red", "green"]
    point, null = person["at"]["anyOf"]
    assert null == {"type": "null"}
    assert point["properties"]["x"] == {"type": "integer", "title": "X"}
    deep = argument({"type": "array", "items": {"$ref": "#/$defs/P"}}, P={"$ref": "#/$defs/Q"}, Q={"type": "integer"})
    assert deep == {"type": "array", "items": {"type": "integer"}}


def test_the_description_beside_a_reference_is_the_one() -> None:
    city = {"type": "string", "description": "A city."}
    assert argument({"$ref": "#/$defs/City", "description": "Where from."}, City=city)["description"] == "Where from."
    assert argument({"allOf": [{"$ref": "#/$defs/City"}]}, City=city) == city


def test_what_is_in_itself_has_an_end() -> None:
    children = sent(Tree.model_json_schema())["properties"]["children"]
    assert children["items"] == {"type": "object", "description": "(like the Tree around it)"}
    following = sent(NODE)["properties"]["next"]
    assert following == {"type": "object", "description": "(like the arguments as a whole)"}
    check(sent(MUTUAL))


def test_what_is_many_times_in_itself_has_an_end_soon() -> None:
    names = [f"n{number}" for number in range(30)]
    definitions = {
        name: obj([], a={"$ref": f"#/$defs/{after}"}, b={"$ref": f"#/$defs/{after}"})
        for name, after in zip(names, [*names[1:], "end"], strict=True)
    }
    written = sent({**obj([], a={"$ref": "#/$defs/n0"}), "$defs": {**definitions, "end": {"type": "integer"}}})
    assert len(json.dumps(written)) < 1_000_000
    check(written)


# --- what Ollama has other words for ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "written"),
    [
        ({"const": "x"}, {"enum": ["x"]}),
        ({"type": "string", "const": "x"}, {"type": "string", "enum": ["x"]}),
        ({"oneOf": [{"type": "string"}, {"type": "integer"}]}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        ({"type": "string", "nullable": True}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        (
            {"type": "string", "nullable": True, "description": "Who."},
            {"anyOf": [{"type": "string"}, {"type": "null"}], "description": "Who."},
        ),
        ({"allOf": [{"type": "string"}, {"enum": ["a", "b"]}]}, {"type": "string", "enum": ["a", "b"]}),
        (True, {}),
        ({}, {}),
        ({"anyOf": [True, {"type": "integer"}]}, {}),
        ({"anyOf": [False, {"type": "integer"}]}, {"anyOf": [{"type": "integer"}]}),
        (False, None),
        ({"allOf": [{"type": "string"}, {"type": "integer"}]}, None),
        ({"properties": {"b": True, "c": False}, "required": ["b", "c"]}, {**obj(["b"], b={}), "type": "object"}),
        ({"type": "array", "items": True}, {"type": "array"}),
        ({"type": "array", "items": False}, {"type": "array", "description": "(no items)"}),
        ({"type": "array", "items": {"const": 1, "title": "N"}}, {"type": "array", "items": {"enum": [1]}}),
        ({"type": "float"}, {"format": "float", "description": "(format: float)"}),
        ({"enum": [], "type": "string"}, {"type": "string"}),
    ],
    ids=str,
)
def test_other_words(schema, written) -> None:
    assert argument(schema) == written


def test_tuples_are_told_in_order() -> None:
    assert argument({"type": "array", "prefixItems": [{"type": "number"}] * 2, "minItems": 2, "maxItems": 2}) == {
        "type": "array",
        "items": {"type": "number"},
        "minItems": 2,
        "maxItems": 2,
        "description": "(2 items)",
    }
    mixed = argument({"type": "array", "prefixItems": [{"type": "number"}, {"type": "string"}]})
    assert mixed["items"] == {"anyOf": [{"type": "number"}, {"type": "string"}]}
    assert mixed["description"] == '(in this order: [{"type": "number"}, {"type": "string"}])'


def test_several_choices_become_one() -> None:
    numbers = {"anyOf": [{"minimum": 5}, {"maximum": 1}]}
    written = argument({"type": "integer", "allOf": [numbers, {"anyOf": [{"enum": [0]}, {"enum": [7]}]}]})
    assert [member["enum"] for member in written["anyOf"]] == [[0], [7], [0], [7]]


def test_a_choice_of_all_arguments_lists_those_of_each() -> None:
    cat, dog = (
        obj(["kind", "lives"], kind={"const": "cat"}, lives={"type": "integer"}),
        obj(["kind"], kind={"const": "dog"}),
    )
    written = sent({"oneOf": [cat, dog], "properties": {"id": {"type": "string"}}, "required": ["id"]})
    assert written["required"] == ["id", "kind"]
    assert set(written["properties"]) == {"id", "kind", "lives"}
    pet = sent(Home.model_json_schema())["properties"]["pet"]
    assert [member["properties"]["kind"]["enum"] for member in pet["anyOf"]] == [["cat"], ["dog"]]


# --- what Ollama has no words for -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 14, "default": 3}, "(1 to 14; default: 3)"),
        ({"type": "integer", "minimum": 1}, "(at least 1)"),
        ({"type": "number", "maximum": 0.5}, "(at most 0.5)"),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 9}, "(more than 0; less than 9)"),
        ({"type": "number", "minimum": 0, "exclusiveMinimum": True}, "(more than 0)"),
        ({"type": "integer", "multipleOf": 5}, "(a multiple of 5)"),
        ({"type": "string", "minLength": 1}, "(not empty)"),
        ({"type": "string", "minLength": 0, "maxLength": 9}, "(at most 9 characters)"),
        ({"type": "string", "pattern": "^[A-Z]$"}, "(pattern: ^[A-Z]$)"),
        ({"type": "string", "format": "date"}, "(format: date)"),
        ({"type": "array", "minItems": 2, "maxItems": 3, "uniqueItems": True}, "(2 to 3 items; no item twice)"),
        (
            {"type": "object", "additionalProperties": {"type": "integer"}},
            '(any names, with values of {"type": "integer"})',
        ),
        ({"type": "string", "default": "", "description": "Why."}, "Why."),
        ({"type": "integer", "minimum": 1, "description": "How many.\n"}, "How many. (at least 1)"),
        ({"type": "string", "default": "x" * 500}, None),
        ({"enum": [1, 2], "minimum": 1}, None),
    ],
    ids=str,
)
def test_what_is_told_in_the_description(schema, told) -> None:
    written = argument(schema)
    assert written.get("description") == told
    # A newer Ollama may have words for it.
    assert {key: written[key] for key in schema if key not in ("description", "additionalProperties")} == {
        key: schema[key] for key in schema if key not in ("description", "additionalProperties")
    }


def test_what_is_within_arrays_is_told_only() -> None:
    # llama-server makes a grammar of these, and dies of `{"minLength": 5, "maxLength": 2}`.
    items = {"type": "string", "minLength": 5, "maxLength": 2, "pattern": "x{9999}"}
    assert argument({"type": "array", "items": items})["items"] == {
        "type": "string",
        "description": "(5 to 2 characters; pattern: x{9999})",
    }


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "schema",
    [
        *({"$ref": "#/$defs/none"}, {"$ref": "http://example.com/a.json"}, {"$ref": "x"}, {"$ref": "#/$defs/self"}),
        *(3, [], {"properties": 3}, {"required": True}, {"items": 3}, {"anyOf": []}, {"minimum": "1"}, {"type": [1]}),
    ],
    ids=str,
)
def test_what_is_no_schema_is_refused_by_the_tools_name(schema) -> None:
    with pytest.raises(InvalidRequestError, match="The tool 'f' cannot be sent"):
        argument(schema, self={"$ref": "#/$defs/self"})


def test_schemas_that_grammars_refuse_are_no_trouble_or_refused() -> None:
    for schema, _ in WRONG:
        with suppress(InvalidRequestError):
            check(sent(obj([], a=schema)))


def test_what_has_no_end_is_refused() -> None:
    deep: dict[str, Any] = {"type": "integer"}
    for _ in range(100):
        deep = obj([], a=deep)
    with pytest.raises(InvalidRequestError, match="nested deeper"):
        sent(deep)
