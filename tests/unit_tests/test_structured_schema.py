"""What is meant by a schema: every kind of it, by every method, and what is refused at once."""

from __future__ import annotations

import json
import socket
from typing import Literal

import pytest
from jsonschema import Draft202012Validator
from langchain_core.utils.function_calling import convert_to_json_schema
from pydantic import BaseModel, ConfigDict, Field

from langchain_localmodels.errors import InvalidRequestError, StructuredOutputError
from langchain_localmodels.structured.output import METHODS, structured_output
from langchain_localmodels.structured.schema import wanted_from
from tests.unit_tests.scripted import LOGS, ChatScripted, Log
from tests.unit_tests.structured import (
    ANN_TEXT,
    FUNCTION,
    OBJECTS,
    OTHERS,
    PERSON_SCHEMA,
    WAYS,
    Cat,
    ChatGrammar,
    Color,
    Dog,
    Names,
    Pair,
    Person,
    PersonDict,
    PersonV1,
    Point,
    Runs,
    Tree,
    answering,
    ask,
    shown,
)

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


@pytest.fixture(autouse=True)
def log():
    LOGS["default"] = Log()
    return LOGS["default"]


# --- every kind -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize(("schema", "text", "expected"), OBJECTS + OTHERS, ids=shown)
async def test_every_kind_of_schema(schema, text, expected, how):
    result = await ask(structured_output(answering(text, "json_schema"), schema), how)
    assert type(result) is type(expected)
    assert result == expected


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("method", ["function_calling", "json_mode"])
@pytest.mark.parametrize(("schema", "text", "expected"), OBJECTS, ids=shown)
async def test_every_schema_of_objects_by_the_other_methods(schema, text, expected, how, method):
    model = answering(text, method, wanted_from(schema).name)
    result = await ask(structured_output(model, schema, method=method), how)
    assert type(result) is type(expected)
    assert result == expected


@pytest.mark.parametrize(("schema", "text", "expected"), OBJECTS + OTHERS, ids=shown)
def test_the_schema_that_a_model_is_held_to_allows_the_answer(schema, text, expected):
    held = wanted_from(schema).schema
    Draft202012Validator.check_schema(held)
    assert Draft202012Validator(held).is_valid(json.loads(text))


def test_any_object():
    model = answering('{"a": [1]}', "json_mode")
    assert structured_output(model, None, method="json_mode").invoke("hi") == {"a": [1]}
    with pytest.raises(StructuredOutputError):
        structured_output(answering("[1]", "json_mode"), None, method="json_mode").invoke("hi")


def test_what_a_typed_dict_says_of_its_fields_is_told():
    schema = wanted_from(PersonDict).schema
    assert schema["required"] == ["name"]
    assert schema["properties"]["name"] == {"type": "string", "description": "the name"}
    assert schema["properties"]["age"]["description"] == "in years"
    assert schema["properties"]["age"]["default"] is None
    assert schema["description"] == "A person."


def test_titles_that_repeat_names_are_left_out():
    class Titled(BaseModel):
        plain: str
        known: str = Field(title="As it is known")

    held = wanted_from(Titled).schema
    assert held["title"] == "Titled"
    assert held["properties"] == {"plain": {"type": "string"}, "known": {"type": "string", "title": "As it is known"}}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "schema",
    [Person, Tree, PersonV1, PersonDict, PERSON_SCHEMA, Person.model_json_schema(), PersonV1.schema(), FUNCTION],
    ids=shown,
)
def test_traces_are_told_what_langchain_core_makes_of_a_schema(schema, method):
    runs = Runs()
    model = answering(ANN_TEXT, method, wanted_from(schema).name)
    structured = structured_output(model, schema, method=method, strict=False, include_raw=True)
    structured.invoke("hi", {"callbacks": [runs]})
    list(structured.stream("hi", {"callbacks": [runs]}))
    for options in runs.options:
        assert options["ls_structured_output_format"] == {
            "kwargs": {"method": method, "strict": False},
            "schema": convert_to_json_schema(schema),
        }
    assert len(runs.options) == 2


@pytest.mark.parametrize(
    ("schema", "text"),
    [*((schema, text) for schema, text, _ in OTHERS if schema is not Names), ({"type": ["null"]}, "null")],
    ids=shown,
)
def test_traces_are_told_of_other_schemas_too(schema, text):
    runs = Runs()
    wanted = wanted_from(schema)
    structured_output(answering(text, "json_schema"), schema).invoke("hi", {"callbacks": [runs]})
    (options,) = runs.options
    assert options["ls_structured_output_format"]["schema"] == {"title": wanted.name, **wanted.schema} == wanted.traced


# --- what is refused at once ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"method": "grammar"}, "'json_schema', 'function_calling', 'json_mode'"),
        ({"temperature": 0}, "'temperature'.*\n.*method, include_raw"),
        ({"max_repairs": -1}, "max_repairs=-1"),
        ({"max_repairs": True}, "max_repairs=True"),
        ({"max_repairs": 1.5}, "max_repairs=1.5"),
    ],
)
def test_wrong_arguments(arguments, match):
    with pytest.raises(ValueError, match=match) as caught:
        structured_output(ChatScripted(), Person, **arguments)
    assert isinstance(caught.value, InvalidRequestError)


@pytest.mark.parametrize("method", ["function_calling", "json_mode"])
@pytest.mark.parametrize("schema", [Color, list[Person], Names, Pair, int, {"type": "array"}, Literal["a"]], ids=shown)
def test_methods_that_only_know_objects(schema, method):
    with pytest.raises(InvalidRequestError, match=r"is not an object(.|\n)*json_schema"):
        structured_output(ChatScripted(), schema, method=method)


def test_a_union_of_objects_is_an_object_and_one_with_null_is_so_for_json_mode_alone():
    for schema in (Cat | Dog, {"oneOf": [{"type": "object"}, {"$ref": "#/$defs/A"}], "$defs": {"A": {"required": []}}}):
        structured_output(ChatGrammar(), schema, method="function_calling")
        structured_output(ChatGrammar(), schema, method="json_mode")
    structured_output(ChatGrammar(), Person | None, method="json_mode")
    with pytest.raises(InvalidRequestError, match="is not an object"):
        structured_output(ChatGrammar(), Person | None, method="function_calling")


def test_a_choice_that_refers_to_itself_is_of_the_types_of_the_rest():
    node = {"anyOf": [{"type": "object"}, {"$ref": "#/$defs/Node"}]}
    assert wanted_from({"$ref": "#/$defs/Node", "$defs": {"Node": node}}).types == {"object"}
    many = {f"D{n}": {"anyOf": [{"$ref": f"#/$defs/D{m}"} for m in range(30)]} for n in range(30)}
    assert wanted_from({"$ref": "#/$defs/D0", "$defs": many}).types == frozenset()


class Unknown:
    pass


class Holds(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)
    what: Unknown


@pytest.mark.parametrize(
    ("schema", "match"),
    [
        (None, "A schema is needed"),
        ("Person", "not a value of type str"),
        ([Person], "not a value of type list"),
        (Person(name="Ann", age=7), "not a value of type Person"),
        (Color.RED, "not a value of type Color"),
        (Point(1), "No JSON Schema"),
        (Unknown, "No JSON Schema"),
        (Holds, "No JSON Schema"),
        (list["Nowhere"], "No JSON Schema"),  # noqa: F821
        ({"type": "text"}, "no JSON Schema, at type"),
        ({"type": "object", "properties": {"a": {"type": "nothing"}}}, r"no JSON Schema, at properties\.a\.type"),
        ({"type": "object", "properties": []}, "no JSON Schema, at properties"),
        ({"type": "object", "required": "a"}, "no JSON Schema, at required"),
        ({"properties": {"a": {"$ref": "#/$defs/Missing"}}}, "refers to '#/\\$defs/Missing'"),
        ({"properties": {"a": {"$ref": "https://example.org/a.json"}}}, "https://example.org(.|\n)*Nothing is fetched"),
        ({"$ref": "other.json#/a"}, "other.json"),
        ({"items": [{"$ref": "file:///etc/passwd"}]}, "file:///etc/passwd"),
        ({"title": "A", "default": {1, 2}}, "cannot be written as JSON"),
        ({"title": "A", "default": float("nan")}, "cannot be written as JSON"),
    ],
    ids=shown,
)
def test_wrong_schemas(schema, match, monkeypatch):
    monkeypatch.setattr(socket, "socket", None)
    with pytest.raises(InvalidRequestError, match=match):
        structured_output(ChatScripted(), schema)


def test_references_that_are_only_found_to_lead_nowhere_while_validating(monkeypatch):
    monkeypatch.setattr(socket, "socket", None)
    for schema in ({"$ref": "#missing"}, {"$ref": "#"}):
        structured = structured_output(answering("{}", "json_schema"), schema)
        with pytest.raises(InvalidRequestError, match="refers to|nested"):
            structured.invoke("hi")


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"items": [{"type": "integer"}], "additionalItems": False}, "[1]", "[1, 2]"),
        ({"type": "integer", "minimum": 3, "exclusiveMinimum": True}, "4", "3"),
        ({"type": "integer", "maximum": 3, "exclusiveMaximum": False}, "3", "4"),
        ({"type": "string", "nullable": True}, "null", "1"),
        ({"definitions": {"A": {"type": "integer"}}, "items": {"$ref": "#/definitions/A"}}, "[1]", '["a"]'),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "string"}]}, '["a"]', "[1]"),
        ({"properties": {"$ref": {"type": "integer"}}}, '{"$ref": 1}', '{"$ref": "x"}'),
    ],
    ids=shown,
)
def test_older_forms_of_json_schema(schema, good, bad):
    structured_output(answering(good, "json_schema"), schema).invoke("hi")
    with pytest.raises(StructuredOutputError):
        structured_output(answering(bad, "json_schema"), schema).invoke("hi")
