"""JSON Schemas with values that they allow and values that they do not, for tests of grammars made from them."""

from __future__ import annotations

from datetime import date, datetime
from enum import Enum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Color(str, Enum):
    RED = "red"
    GREEN = "green"


class Point(BaseModel):
    model_config = ConfigDict(extra="forbid")
    x: int
    y: int = 0


class Person(BaseModel):
    """A person."""

    name: str
    age: Annotated[int, Field(ge=0, le=150)]
    email: str | None = None
    color: Color = Color.RED
    tags: list[str] = []
    at: Point | None = None


class Tree(BaseModel):
    value: int
    children: list[Tree] = []


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str]


class Home(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    where: tuple[float, float]
    scores: dict[str, int]


class Nothing(BaseModel):
    pass


class Anything(BaseModel):
    what: Any


class Appointment(BaseModel):
    on: date
    code: Annotated[str, Field(pattern=r"^[A-Z]{2}-\d+$")]
    title: Annotated[str, Field(min_length=2, max_length=5)]


class Expression(BaseModel):
    of: Literal["sum"] = "sum"
    parts: list[int | Expression]


class Stamped(BaseModel):
    when: datetime


def obj(required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required or []}


INT, TEXT = {"type": "integer"}, {"type": "string"}
NODE = obj(["v"], v=INT, next={"$ref": "#"})
MUTUAL = {
    "$defs": {
        "A": obj(["b"], b={"$ref": "#/$defs/B"}),
        "B": obj([], a={"$ref": "#/$defs/A"}),
    },
    "$ref": "#/$defs/A",
}

ENFORCED: list[tuple[Any, list[Any], list[Any]]] = [
    # Schema, values that it allows, values that it does not; the grammar tells them apart.
    (True, [1, "a", None, {"a": [1]}, [], 1.5e300, True], []),
    ({}, [{"é": "🙂\n"}, [[]]], []),
    ({"description": "anything", "title": "T"}, [1, {"a": 1}], []),
    ({"type": "string"}, ["", 'a"b\\c\n\u0001', "é🙂\x7f"], [1, None]),
    ({"type": "boolean"}, [True, False], [0, "true", None]),
    ({"type": "null"}, [None], [0, False, ""]),
    ({"type": "integer"}, [0, -1, 10, 10**18 - 1], [1.5, "1", True]),
    ({"type": "number"}, [0, -1, 1.5, 1e-7, 1e300, -2.5e10], ["1", None]),
    ({"type": ["string", "null"]}, ["a", None], [1]),
    ({"type": ["integer", "number"]}, [1, 1.5], ["a"]),
    ({"type": "string", "nullable": True}, ["a"], [1]),
    # integers
    ({"type": "integer", "minimum": 0}, [0, 5, 10**17], [-1, -10]),
    ({"type": "integer", "maximum": 0}, [0, -5, -(10**17)], [1, 10]),
    (
        {"type": "integer", "minimum": 5, "maximum": 1234},
        [5, 9, 10, 99, 100, 1000, 1234],
        [4, 0, 1235, 2000, 12340, -5],
    ),
    ({"type": "integer", "minimum": -12, "maximum": 7}, [-12, -10, -1, 0, 7], [-13, -20, 8, 70]),
    ({"type": "integer", "exclusiveMinimum": 9, "exclusiveMaximum": 12}, [10, 11], [9, 12]),
    ({"type": "integer", "minimum": 1.5, "maximum": 3.5}, [2, 3], [1, 4]),
    ({"type": "integer", "minimum": 10**20, "maximum": 10**20 + 5}, [10**20 + 3], [10**20 + 6, 10**19]),
    ({"type": "integer", "minimum": 7, "maximum": 7}, [7], [6, 8, 77]),
    ({"type": "number", "minimum": 0}, [0, 0.5, 3], [-0.5, -3]),
    # strings
    ({"type": "string", "minLength": 2}, ["ab", "abc", 'é"'], ["", "a"]),
    ({"type": "string", "maxLength": 2}, ["", "ab", "🙂🙂", '""', "\n\n"], ["abc"]),
    ({"type": "string", "minLength": 1, "maxLength": 3}, ["a", "abc"], ["", "abcd"]),
    ({"minLength": 2}, ["ab"], ["a"]),
    ({"type": "string", "pattern": "^[a-z]+$"}, ["abc"], ["", "A", "a1"]),
    ({"type": "string", "pattern": "^[a-z]+$", "minLength": 2, "maxLength": 3}, ["ab", "abc"], ["a", "abcd"]),
    ({"type": "string", "pattern": r"^\d{3}-\d{4}$"}, ["555-1234"], ["5555-123", "555-12345"]),
    ({"type": "string", "pattern": "^a|b$"}, ["a", "ax", "xb", "b"], ["xa", "bx", "c"]),
    ({"type": "string", "pattern": "b"}, ["b", "abc", '"b\n'], ["", "ac"]),
    ({"type": "string", "pattern": r"^(?:ab|c)*\.$"}, [".", "abc.", "cab."], ["a.", "abc"]),
    ({"type": "string", "pattern": r'^"[^x]\\$'}, ['""\\', '"\n\\', '"é\\'], ['"x\\', '"a']),
    ({"type": "string", "pattern": r"^.\s\S\w\W\D$"}, ["a b_-x", '"\t\\a""'], ["\n b_-x", "aab_-x", "a b_-1"]),
    ({"type": "string", "pattern": r"^(a(b(c)?)?)+$"}, ["a", "abc", "aababc"], ["ac", ""]),
    ({"type": "string", "pattern": r"^[\w.-]+@[\]x]{2,3}$"}, ["a.b-@]x"], ["a@x", "a@yyy"]),
    ({"type": "string", "pattern": r"^\x41\u00e9[^\n]?$"}, ["Aé", "Aé\t"], ["A", "Aéxy"]),
    ({"type": "string", "format": "date"}, ["2024-02-29", "2000-02-29", "1999-12-31"], ["2023-02-29", "1900-02-29"]),
    ({"type": "string", "format": "date"}, ["0001-01-01"], ["2024-13-01", "2024-04-31", "2024-00-10", "24-01-01"]),
    ({"type": "string", "format": "time"}, ["23:59:59Z", "00:00:00.5+01:30"], ["24:00:00Z", "12:60:00Z"]),
    ({"type": "string", "format": "date-time"}, ["2024-02-29T12:00:00Z"], ["2024-02-30T12:00:00Z", "2024-01-01"]),
    ({"type": "string", "format": "uuid"}, ["123e4567-e89b-12d3-a456-426614174000"], ["123e4567", "g" * 36]),
    ({"type": "string", "format": "email"}, ["a.b+c@ex-ample.org"], ["a", "@b.c"]),
    ({"type": "string", "format": "ipv4"}, ["0.0.0.0", "255.1.20.199"], ["256.0.0.1", "1.2.3"]),
    # literals
    ({"const": 'a"b\\c\né🙂'}, ['a"b\\c\né🙂'], ["a"]),
    ({"const": {"a": [1, None, {"b": "\\"}]}}, [{"a": [1, None, {"b": "\\"}]}], [{"a": [1]}]),
    (
        {"enum": ["a", "ab", "abc", 1, None, True, [1]]},
        ["a", "ab", "abc", 1, None, True, [1]],
        ["b", "abcd", 11, False],
    ),
    ({"type": "string", "enum": ["a", 1]}, ["a"], [1]),
    ({"enum": [chr(0x4E00 + i) for i in range(500)]}, ["一", chr(0x4E00 + 499)], ["a", "丁" * 2]),
    ({"enum": [f"item {i}" for i in range(1000)]}, ["item 0", "item 999", "item 55"], ["item 1000", "item"]),
    # objects
    ({"type": "object"}, [{}, {"a": 1}], [[], 1]),
    ({"type": "object", "properties": {}}, [{}], []),
    (obj(["a", "c"], a=INT, b=INT, c=INT), [{"a": 1, "c": 2}, {"a": 1, "b": 2, "c": 3}], [{"a": 1}, {"b": 1, "c": 1}]),
    (obj([], a=INT, b=INT), [{}, {"a": 1}, {"b": 1}, {"a": 1, "b": 2}], [{"a": "x"}]),
    ({"properties": {"a": INT}}, [{"a": 1}, {}], [{"a": "x"}]),
    ({"required": ["a"], "type": "object"}, [{"a": 1}, {"a": 1, "b": []}], [{}, {"b": 1}]),
    ({**obj(["a"], a=INT), "additionalProperties": False}, [{"a": 1}], [{"a": 1, "b": 1}, {}]),
    ({**obj(["a"], a=INT), "additionalProperties": True}, [{"a": 1}, {"a": 1, "b": "x", "aa": {}}], [{"b": 1}]),
    ({**obj(["a"], a=INT), "additionalProperties": TEXT}, [{"a": 1, "b": "x", "": "y"}], [{"a": 1, "b": 1}]),
    (
        {**obj([], ab=INT, b=INT), "additionalProperties": TEXT},
        [{"a": "x"}, {"b": 1, "abc": "x"}],
        [{"ab": "x"}, {"b": "x"}],
    ),
    ({"type": "object", "additionalProperties": INT}, [{}, {"a": 1, 'b"\n': 2}], [{"a": "x"}]),
    ({"type": "object", "additionalProperties": False}, [{}], [{"a": 1}]),
    (
        {"type": "object", "additionalProperties": INT, "minProperties": 1, "maxProperties": 2},
        [{"a": 1}, {"a": 1, "b": 2}],
        [{}, {"a": 1, "b": 2, "c": 3}],
    ),
    ({"type": "object", "propertyNames": {"enum": ["x", "y"]}}, [{"x": 1}, {}], [{"z": 1}]),
    (
        {"type": "object", "patternProperties": {"^x-": INT}, "additionalProperties": False},
        [{"x-a": 1}, {}],
        [{"y": 1}, {"x-a": ""}],
    ),
    (obj(['"q"\\', "é"], **{'"q"\\': INT, "é": INT}), [{'"q"\\': 1, "é": 2}], [{"é": 1}]),
    (obj([], a=False, b=INT), [{"b": 1}, {}], [{"a": 1}]),
    (obj([], **{f"p{i}": INT for i in range(40)}), [{}, {"p0": 1, "p39": 2}, {"p7": 1}], [{"p1": "x"}]),
    # arrays
    ({"type": "array"}, [[], [1, "a"]], [{}]),
    ({"type": "array", "items": INT}, [[], [1, 2]], [["a"]]),
    ({"type": "array", "items": INT, "minItems": 2, "maxItems": 3}, [[1, 2], [1, 2, 3]], [[], [1], [1, 2, 3, 4]]),
    ({"type": "array", "items": INT, "maxItems": 0}, [[]], [[1]]),
    ({"type": "array", "minItems": 1}, [[1], [{}, []]], [[]]),
    ({"type": "array", "items": False}, [[]], [[1]]),
    ({"type": "array", "prefixItems": [INT, TEXT], "items": False}, [[1, "a"], [1], []], [["a"], [1, "a", 2]]),
    ({"type": "array", "prefixItems": [INT, TEXT], "minItems": 2, "maxItems": 2}, [[1, "a"]], [[1], [1, "a", 1]]),
    ({"type": "array", "prefixItems": [INT], "items": TEXT, "minItems": 2}, [[1, "a"], [1, "a", "b"]], [[1], [1, 2]]),
    ({"type": "array", "items": {"type": "array", "items": INT}}, [[[1], []]], [[1]]),
    # together
    ({"anyOf": [INT, TEXT]}, [1, "a"], [None, []]),
    ({"oneOf": [INT, TEXT]}, [1, "a"], [None]),
    ({"anyOf": [INT, {"type": "null"}], "default": None}, [1, None], ["a"]),
    ({"anyOf": [False, INT]}, [1], ["a"]),
    ({"allOf": [obj(["a"], a=INT), obj(["b"], b=TEXT)]}, [{"a": 1, "b": "x"}], [{"a": 1}, {"b": "x"}]),
    ({"allOf": [{"minimum": 3}, {"type": "integer", "maximum": 5}, {"minimum": 4}]}, [4, 5], [3, 6]),
    ({"allOf": [{"enum": [1, 2, 3]}, {"enum": [2, 3, 4]}]}, [2, 3], [1, 4]),
    ({"allOf": [{"anyOf": [INT, TEXT]}, {"anyOf": [TEXT, {"type": "null"}]}]}, ["a"], [1, None]),
    ({**obj([], a=INT, b=INT), "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, [{"a": 1}, {"b": 1}], [{}]),
    ({"$defs": {"N": INT}, "$ref": "#/$defs/N", "minimum": 3}, [3, 10], [2]),
    ({"definitions": {"a/b~%": INT}, **obj(["x"], x={"$ref": "#/definitions/a~1b~0%25"})}, [{"x": 1}], [{"x": ""}]),
    ({"$defs": {"l": {"anyOf": [INT, TEXT]}}, "type": "array", "items": {"$ref": "#/$defs/l/anyOf/1"}}, [["a"]], [[1]]),
    (NODE, [{"v": 1}, {"v": 1, "next": {"v": 2, "next": {"v": 3}}}], [{"v": 1, "next": {}}]),
    (MUTUAL, [{"b": {}}, {"b": {"a": {"b": {}}}}], [{}, {"b": {"a": {}}}]),
    # pydantic
    (
        Person.model_json_schema(),
        [
            {"name": "A", "age": 5},
            {"name": "", "age": 150, "email": None, "color": "red", "tags": ["x"], "at": {"x": 1}},
        ],
        [{"name": "A"}, {"name": "A", "age": 151}, {"name": "A", "age": 5, "color": "blue"}],
    ),
    (Tree.model_json_schema(), [{"value": 1, "children": [{"value": 2}]}], [{"value": 1, "children": [1]}]),
    (
        Home.model_json_schema(),
        [{"pet": {"kind": "cat", "lives": 9}, "where": [1.5, 2], "scores": {"a": 1}}],
        [{"pet": {"kind": "cat", "tricks": []}, "where": [1, 2], "scores": {}}],
    ),
    (Nothing.model_json_schema(), [{}], []),
    (Anything.model_json_schema(), [{"what": None}, {"what": [{}]}], [{}]),
    (
        Appointment.model_json_schema(),
        [{"on": "2024-02-29", "code": "AB-1", "title": "ab"}],
        [{"on": "2024-02-29", "code": "A-1", "title": "ab"}, {"on": "2024-02-29", "code": "AB-1", "title": "a"}],
    ),
    (Expression.model_json_schema(), [{"of": "sum", "parts": [1, {"parts": []}]}], [{"of": "mul", "parts": []}]),
    (Stamped.model_json_schema(), [{"when": "2024-01-01T00:00:00Z"}], [{"when": "now"}]),
]

RELAXED: list[tuple[Any, tuple[str, ...], list[Any]]] = [
    # Schema, what the grammar does not hold to, values that it allows all the same.
    (obj(["a"], a={"type": "integer", "multipleOf": 3}), ("properties.a.multipleOf",), [{"a": 3}]),
    ({"type": "number", "minimum": 1.5, "maximum": 2}, ("minimum", "maximum"), [1.5, 2]),
    ({"type": "number", "exclusiveMinimum": 0}, ("exclusiveMinimum",), [0.5]),
    ({"type": "array", "uniqueItems": True}, ("uniqueItems",), [[1, 2]]),
    ({"type": "array", "contains": INT}, ("contains",), [[1]]),
    ({"type": "integer", "not": {"const": 1}}, ("not",), [2]),
    ({"if": INT, "then": {"minimum": 3}}, ("if",), [4, "a"]),
    ({"type": "string", "pattern": "^(?=a).*$"}, ("pattern",), ["abc"]),
    ({"type": "string", "pattern": r"(a)\1"}, ("pattern",), ["aa"]),
    ({"type": "string", "format": "uri"}, ("format",), ["http://a"]),
    ({"type": "string", "pattern": "^(ab)+$", "maxLength": 4}, ("maxLength",), ["abab"]),
    ({"type": "string", "maxLength": 100_000}, ("maxLength",), ["a"]),
    ({"type": "array", "items": INT, "maxItems": 5000}, ("maxItems",), [[1]]),
    ({"type": "object", "patternProperties": {"^x": INT}}, (), [{"xa": 1}]),
    ({"oneOf": [{"type": "integer"}, {"minimum": 5, "type": "number"}]}, ("oneOf", "oneOf.1.minimum"), [1]),
    (
        obj(["p0"], **{f"p{i}": INT for i in range(300)}),
        ("properties (in order, and once each)",),
        [{"p0": 1}, {"p0": 1, "p5": 1, "p299": 1}],
    ),
    (obj([], **{f"a{i}": {"type": "string", "contentEncoding": "base64"} for i in range(3)}), (), [{"a1": "x"}]),
]

WRONG: list[tuple[Any, str]] = [
    # What is no schema, and what the error names.
    (3, "int"),
    ([], "list"),
    ({"properties": 3}, "properties"),
    ({"required": "x"}, "required"),
    ({"enum": []}, "enum"),
    ({"type": "text"}, "type"),
    ({"type": []}, "type"),
    ({"properties": {"a": 3}}, r"properties\.a"),
    ({"properties": {"a": {"minLength": -1}}}, r"properties\.a\.minLength"),
    ({"items": 3}, "items"),
    ({"anyOf": []}, "anyOf"),
    ({"anyOf": [1]}, r"anyOf\.0"),
    ({"pattern": 1}, "pattern"),
    ({"minimum": "1"}, "minimum"),
    ({"$ref": "#/$defs/none"}, "#/\\$defs/none"),
    ({"$ref": "http://example.com/a.json"}, "example.com"),
    ({"$ref": 1}, "ref"),
    ({"$ref": "#"}, "refers to itself"),
    ({"anyOf": [{"$ref": "#"}, {"type": "null"}]}, "refers to itself"),
    ({"allOf": [{"$ref": "#"}]}, "refers to itself"),
    ({"const": "\ud800"}, "half a character"),
    ({"const": object()}, "JSON"),
    ({"minimum": float("nan")}, "JSON"),
    (False, "no value"),
    ({"type": "integer", "minimum": 3, "maximum": 2}, "no value"),
    ({"allOf": [INT, TEXT]}, "no value"),
    ({"type": "array", "items": False, "minItems": 1}, "no value"),
    ({"$defs": {"n": False}, **obj(["a"], a={"$ref": "#/$defs/n"})}, "no value"),
]
