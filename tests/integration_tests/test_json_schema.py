"""Grammars made from JSON Schemas, by llama.cpp's own matcher, and what a model writes that is held to them."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from langchain_localmodels import LlamaCpp
from langchain_localmodels.demo import model_path
from langchain_localmodels.dialects.json_schema import schema_grammar
from langchain_localmodels.errors import InvalidRequestError
from tests.integration_tests.matcher import Matcher
from tests.json_schemas import ENFORCED, RELAXED

SCHEMAS = [(schema, good) for schema, good, _ in ENFORCED] + [(schema, good) for schema, _, good in RELAXED]
# `\\W` is JavaScript's, as JSON Schema has it; the validator's is Python's, which knows letters of all scripts.
OBJECTS = [schema for schema, _ in SCHEMAS if isinstance(schema, dict) and schema and r"\\W" not in json.dumps(schema)]


def shown(value: Any) -> str:
    return json.dumps(value)[:60] if isinstance(value, dict | bool) else ""


def is_literal(schema: Any) -> bool:
    return isinstance(schema, dict) and ("const" in schema or "enum" in schema)


@pytest.fixture(scope="module")
def matcher() -> Iterator[Matcher]:
    made = Matcher()
    yield made
    made.free()


@pytest.fixture(scope="module")
def llm() -> Iterator[LlamaCpp]:
    with LlamaCpp(model_path=model_path, temperature=2, top_k=0, top_p=1, min_p=0, n_threads=1, max_tokens=150) as made:
        yield made


@pytest.mark.parametrize(("schema", "good"), SCHEMAS, ids=shown)
def test_what_a_schema_allows_can_be_written(matcher: Matcher, schema: Any, good: list[Any]):
    gbnf = schema_grammar(schema).gbnf
    for value in good:
        assert Draft202012Validator(schema).is_valid(value), value
        assert matcher.takes(gbnf, json.dumps(value, ensure_ascii=False, separators=(",", ":"))), value
        if not is_literal(schema):
            assert matcher.takes(gbnf, json.dumps(value, ensure_ascii=False)), value


@pytest.mark.parametrize(("schema", "bad"), [(schema, bad) for schema, _, bad in ENFORCED], ids=shown)
def test_what_a_schema_forbids_cannot(matcher: Matcher, schema: Any, bad: list[Any]):
    found = schema_grammar(schema)
    assert not found.unenforced
    for value in bad:
        assert not matcher.takes(found.gbnf, json.dumps(value, ensure_ascii=False)), value


@pytest.mark.parametrize(
    "text",
    [
        *(
            '"a',
            "{",
            '{"a":1',
            "[1,]",
            "01",
            "+1",
            ".5",
            "1.",
            "1e",
            "1e999",
            "NaN",
            "tru",
            "'a'",
            '"\n"',
            '"\t"',
            '"\x01"',
        ),
        *(
            '"\\x"',
            '"\\u12"',
            '"\\ud800"',
            '"\\udc00"',
            "{a:1}",
            '{"a":1,}',
            "[1 ,2]",
            "[1,\n2]",
            "[1,  2]",
            "1 ",
            " 1",
            "",
        ),
    ],
)
def test_what_is_no_json_cannot_be_written(matcher: Matcher, text: str):
    assert not matcher.takes(schema_grammar({}).gbnf, text)


def test_escapes_of_a_string(matcher: Matcher):
    gbnf = schema_grammar({"type": "string", "maxLength": 1}).gbnf
    for text in ('"\\u00e9"', '"\\ud83d\\ude42"', '"\\/"', '"\\n"'):
        assert matcher.takes(gbnf, text)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18) + 1, 10**18 - 1) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
quietly = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


@quietly
@given(value=VALUES, other=VALUES)
def test_a_constant_can_be_written_and_nothing_else(matcher: Matcher, value: Any, other: Any):
    gbnf = schema_grammar({"const": value}).gbnf
    text, other_text = (json.dumps(each, ensure_ascii=False, separators=(",", ":")) for each in (value, other))
    assert matcher.takes(gbnf, text)
    assert matcher.takes(gbnf, other_text) == (text == other_text)
    assert matcher.takes(schema_grammar(True).gbnf, text)


@quietly
@given(bounds=st.tuples(st.integers(), st.integers()).map(sorted), number=st.integers())
def test_integers_of_a_range(matcher: Matcher, bounds: list[int], number: int):
    low, high = bounds
    gbnf = schema_grammar({"type": "integer", "minimum": low, "maximum": high}).gbnf
    for each in (low, high, low - 1, high + 1, (low + high) // 2, number):
        assert matcher.takes(gbnf, str(each)) == (low <= each <= high)


@quietly
@given(keys=st.lists(st.text('ab"\\é\n', max_size=3), unique=True, min_size=1), other=st.text('ab"\\é\n', max_size=3))
def test_keys_that_are_not_declared(matcher: Matcher, keys: list[str], other: str):
    properties = {key: {"const": 1} for key in keys}
    schema = {"type": "object", "properties": properties, "additionalProperties": {"const": 2}}
    gbnf = schema_grammar(schema).gbnf
    for key in (*keys, other):
        for value in (1, 2):
            assert matcher.takes(gbnf, json.dumps({key: value}, ensure_ascii=False)) == (
                value == (1 if key in keys else 2)
            )


@quietly
@given(value=VALUES)
def test_a_value_of_the_common_shape(matcher: Matcher, value: Any):
    """A schema read off a value allows that value."""
    text = json.dumps(value, ensure_ascii=False)
    assert matcher.takes(schema_grammar(schema_of(value)).gbnf, text)


def schema_of(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        inner = {key: schema_of(each) for key, each in value.items()}
        return {"type": "object", "properties": inner, "required": list(inner), "additionalProperties": False}
    if isinstance(value, list):
        return {
            "type": "array",
            "prefixItems": [schema_of(each) for each in value],
            "minItems": len(value),
            "items": False,
        }
    if isinstance(value, bool) or value is None:
        return {"enum": [value]}
    if isinstance(value, int):
        return {"type": "integer", "minimum": value}
    return {"type": "string", "minLength": len(value), "maxLength": len(value)}


@pytest.mark.parametrize("schema", OBJECTS, ids=shown)
def test_what_a_model_writes_follows_the_schema(llm: LlamaCpp, schema: dict[str, Any]):
    """At a temperature that makes it write nonsense, of which the grammar alone makes JSON."""
    validator = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    unenforced = schema_grammar(schema).unenforced
    whole = 0
    for seed in range(4):
        generations = llm.generate(["Answer in JSON:", "{"], format=schema, seed=seed).generations
        for (generation,) in generations:
            if (generation.generation_info or {}).get("finish_reason") == "length":
                continue
            whole += 1
            value = json.loads(generation.text)
            assert unenforced or validator.is_valid(value), generation.text
    assert whole or not is_literal(schema)


def test_what_is_not_enforced_is_told(llm: LlamaCpp, caplog: pytest.LogCaptureFixture):
    schema = {"type": "object", "properties": {"odd": {"type": "integer", "not": {"multipleOf": 2}}}}
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            llm.invoke("A number:", format=schema, max_tokens=3)
    assert [record.getMessage().count("properties.odd.not") for record in caplog.records] == [1]


def test_a_wrong_schema_is_an_error(llm: LlamaCpp):
    with pytest.raises(InvalidRequestError, match=r"properties\.a\.type"):
        llm.invoke("A:", format={"properties": {"a": {"type": "text"}}})
    assert llm.invoke("A:", format={"const": "fine"}) == '"fine"'
