"""`schema_grammar`: which schemas it takes, what it tells, and that size and nesting cannot hurt it.

Which texts the grammars take is asked of llama.cpp, in the integration tests.
"""

from __future__ import annotations

import re
import types
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_localmodels.dialects.gbnf import check_grammar
from langchain_localmodels.dialects.json_literals import integer_between, united, without
from langchain_localmodels.dialects.json_schema import MAX_SCHEMA_DEPTH, schema_grammar
from langchain_localmodels.dialects.json_strings import UnsupportedPattern, form_of_pattern
from langchain_localmodels.errors import InvalidRequestError
from tests.json_schemas import ENFORCED, RELAXED, WRONG


@pytest.mark.parametrize("schema", [schema for schema, *_ in ENFORCED])
def test_what_a_grammar_can_say_in_full(schema: Any):
    found = schema_grammar(schema)
    assert found.unenforced == ()
    check_grammar(found.gbnf)


@pytest.mark.parametrize(("schema", "unenforced"), [row[:2] for row in RELAXED])
def test_what_it_cannot_is_told(schema: Any, unenforced: tuple[str, ...]):
    assert schema_grammar(schema).unenforced == unenforced


@pytest.mark.parametrize(("schema", "told"), WRONG)
def test_wrong_schemas(schema: Any, told: str):
    with pytest.raises(InvalidRequestError, match=told):
        schema_grammar(schema)


def nested(depth: int, key: str) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema} if key == "items" else {key: [schema, {"type": "null"}]}
    return schema


@pytest.mark.parametrize("key", ["items", "anyOf", "allOf"])
@pytest.mark.parametrize("depth", [MAX_SCHEMA_DEPTH + 1, 900, 100_000])
def test_hostile_nesting(key: str, depth: int):
    schema = nested(depth, key)
    with pytest.raises(InvalidRequestError):
        schema_grammar(schema)
    while isinstance(schema, dict) and schema:  # taken apart here: its own destruction would recurse
        inner = schema.pop(next((k for k in (key, "items") if k in schema), "type"))
        schema = inner[0] if isinstance(inner, list) else inner


def test_nesting_within_the_limit():
    schema_grammar(nested(MAX_SCHEMA_DEPTH - 2, "items"))
    schema_grammar(nested(MAX_SCHEMA_DEPTH - 2, "anyOf"))


def test_a_deep_constant():
    value: Any = 1
    for _ in range(200):
        value = [value]
    assert "[" * 200 in schema_grammar({"const": value}).gbnf


@pytest.mark.parametrize(
    "schema",
    [
        {"enum": ["a" * i for i in range(1, 3000)]},
        {"enum": [chr(0x4E00 + i) + str(i) for i in range(500)]},
        {"anyOf": [{"type": "object", "properties": {f"p{i}": True}} for i in range(500)]},
        {"allOf": [{"anyOf": [{"minimum": i} for i in range(10)]}] * 8},
        {"const": "a" * 600_000},
        {"type": "array", "prefixItems": [{"type": "string", "maxLength": 2000 - i} for i in range(600)]},
        {"properties": {f"p{i}": {"properties": {f"q{j}": {"const": i * j} for j in range(60)}} for i in range(300)}},
    ],
    ids=["prefixes", "characters", "alternatives", "products", "long", "lengths", "rules"],
)
def test_large_schemas_are_made_or_refused(schema: dict[str, Any]):
    told = ""
    try:
        check_grammar(schema_grammar(schema).gbnf)
    except InvalidRequestError as error:
        told = str(error)
    assert not told or "large" in told or "characters" in told


def test_other_mappings_and_tuples():
    schema = types.MappingProxyType(
        {"type": "object", "properties": types.MappingProxyType({"a": {"enum": ("x", "y")}})}
    )
    plain = {"type": "object", "properties": {"a": {"enum": ["x", "y"]}}}
    assert schema_grammar(schema) == schema_grammar(plain)


def test_an_impossible_reference_is_left_out():
    schema = {"$defs": {"n": {"allOf": [False]}}, "properties": {"a": {"$ref": "#/$defs/n"}, "b": {"const": 1}}}
    assert '"a' not in schema_grammar(schema).gbnf.partition("value ::=")[0].replace("\\", "")


@pytest.mark.parametrize(
    "pattern",
    ["a{", "(", ")", "[a", "a**", "(?=a)", "(?<!a)b", r"\1", r"\b", r"\p{L}", "a^b", "(^a)", "(?i)a", "\\", "a{5000}"],
)
def test_patterns_that_are_not_supported(pattern: str):
    with pytest.raises(UnsupportedPattern):
        form_of_pattern(pattern)


@given(st.text('ab01^$.*+?()[]{}|\\dws-,2é"', max_size=12))
@settings(max_examples=500, deadline=None)
def test_any_pattern_is_read_or_refused(pattern: str):
    found = schema_grammar({"type": "string", "pattern": pattern})
    assert found.unenforced in ((), ("pattern",))


@given(st.text("ab|()?*+[]^-", max_size=10), st.text("ab-", max_size=4))
@settings(max_examples=300, deadline=None)
def test_lengths_of_a_pattern(pattern: str, text: str):
    """They are told rightly for what the pattern finds in full."""
    try:
        form = form_of_pattern(f"^(?:{pattern})$")
        found = re.fullmatch(pattern, text)
    except (UnsupportedPattern, re.error):
        return
    if found:
        assert form.least <= len(text)
        assert form.most is None or len(text) <= form.most


def test_integers():
    assert integer_between(3, 2) is None
    assert integer_between(7, 7) == '("7")'
    assert integer_between(-1, 1) == '("-" ("1") | [0-1])'


RANGES = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).map(sorted).map(tuple))


@given(RANGES, RANGES)
def test_sets_of_characters(one: list[tuple[int, int]], other: list[tuple[int, int]]):
    def members(ranges: Any) -> set[int]:
        return {code for first, last in ranges for code in range(first, last + 1)}

    assert members(without(united(one), united(other))) == members(one) - members(other)
