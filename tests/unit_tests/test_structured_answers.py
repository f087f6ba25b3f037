"""JSON out of what a model wrote: all of it, or as much as there is."""

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_localmodels.structured.answers import GrowingObject, NotJsonError, read_json

PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)
OBJECTS = st.dictionaries(st.text(), VALUES, max_size=4)
WORDS = st.text(st.characters(exclude_characters="{}[]`", codec="utf-8"), max_size=20)
quickly = settings(max_examples=150, deadline=None)


# --- the whole --------------------------------------------------------------------------------------------------------


@quickly
@given(value=VALUES, indent=st.sampled_from([None, 1]), ascii_only=st.booleans())
def test_json_is_read(value, indent, ascii_only):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert read_json(text) == value
    assert read_json(f"\n {text}\n") == value


@quickly
@given(value=OBJECTS | st.lists(VALUES), before=WORDS, after=WORDS, indent=st.sampled_from([None, 1]))
def test_json_with_words_around_it_is_read(value, before, after, indent):
    text = json.dumps(value, indent=indent)
    assert read_json(f"Sure, {before} {text} {after}.") == value
    for language in ("", "json", "JSON"):
        # In a fence it is clear what is meant, whatever is around it.
        assert read_json(f"{before}\n```{language}\n{text}\n```\n{after} {{…}} [1]") == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": "line\nbreak"}', {"a": "line\nbreak"}),
        ('{"a": "```\\n```"}', {"a": "```\n```"}),
        ('```json\n{"a": 1}', {"a": 1}),
        ('```json {"a": 1} ```', {"a": 1}),
        ('"red"', "red"),
        ("3", 3),
        ("null", None),
        ("```\n[1, 2]\n```", [1, 2]),
        ('Here: {"a": [1, {"b": 2}]}', {"a": [1, {"b": 2}]}),
        ('1. The answer is {"a": 1}', {"a": 1}),
    ],
)
def test_forms_of_answers(text, value):
    assert read_json(text) == value


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("I do not know.", "not JSON"),
        ('{"a": 1', "not JSON"),
        ('{"a": 1} {"a": 2}', "not JSON"),
        ('First {"a": 1}, then {"a": 2}', "not JSON"),
        ('Either {"a": 1} or [1].', "not JSON"),
        ('A list [1]: {"a": 1}', "not JSON"),
        ('{"outer": {"a": 1}, "cut": ', "not JSON"),
        ('[{"a": 1}, {"a": ', "not JSON"),
        ('```json\n{"a": 1}\n```\n```json\n{"a": 2}\n```', "2 blocks"),
        ("```python\nprint({})\n```", "not JSON"),
        ('{"a": NaN}', "NaN"),
        ('{"a": -Infinity}', "Infinity"),
        ('{"a": 1e999}', "too large"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "'c' is given twice"),
        ("[" * 100_000, "nested|not JSON"),
        ('{"a": ' + "9" * 5000 + "}", "not JSON"),
        ("{'a': 1}", "not JSON"),
        ('{"a": 1,}', "not JSON"),
    ],
)
def test_what_is_no_answer(text, match):
    with pytest.raises(NotJsonError, match=match):
        read_json(text)


@given(text=st.text(alphabet='{}[]":,`\n\\ua1t '))
@settings(max_examples=500, deadline=None)
def test_anything_is_json_or_an_error(text):
    try:
        value = read_json(text)
    except NotJsonError:
        return
    assert json.loads(json.dumps(value)) == value


# --- as much as there is ----------------------------------------------------------------------------------------------


def may_become(part, whole):
    """Whether a value is what another one may have been before it was whole."""
    if isinstance(part, str) and isinstance(whole, str):
        return whole.startswith(part)
    if isinstance(part, dict) and isinstance(whole, dict):
        pairs = list(part.items())
        return list(part) == list(whole)[: len(part)] and all(
            may_become(value, whole[key]) if number == len(pairs) - 1 else value == whole[key]
            for number, (key, value) in enumerate(pairs)
        )
    if isinstance(part, list) and isinstance(whole, list):
        return len(part) <= len(whole) and all(
            may_become(value, whole[number]) if number == len(part) - 1 else value == whole[number]
            for number, value in enumerate(part)
        )
    return type(part) is type(whole) and part == whole


@quickly
@given(value=OBJECTS, indent=st.sampled_from([None, 1]), ascii_only=st.booleans(), fence=st.booleans())
def test_an_object_grows_to_what_it_is(value, indent, ascii_only, fence):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    text = f"```json\n{text}\n```" if fence else text
    growing, seen = GrowingObject(), []
    for char in text:
        growing.feed(char)
        found = growing.value()
        if found is not None:
            seen.append(found)
    assert seen[-1] == value
    assert all(may_become(part, value) for part in seen)
    assert all(may_become(part, later) for part, later in itertools.pairwise(seen))


@quickly
@given(value=OBJECTS, sizes=st.lists(st.integers(1, 9), min_size=1))
def test_how_it_is_cut_into_pieces_does_not_matter(value, sizes):
    text = json.dumps(value)
    growing, single, place = GrowingObject(), GrowingObject(), 0
    while place < len(text):
        piece = text[place : place + sizes[place % len(sizes)]]
        growing.feed(piece)
        for char in piece:
            single.feed(char)
        assert growing.value() == single.value()
        place += len(piece)
    assert growing.value() == value


@given(text=st.text(alphabet='{}[]":,`\n\\ud8a1t '))
@settings(max_examples=500, deadline=None)
def test_anything_is_followed_without_harm(text):
    growing = GrowingObject()
    for char in "{" + text:
        growing.feed(char)
        value = growing.value()
        assert value is None or isinstance(value, dict)


def test_numbers_and_names_wait_until_they_are_over():
    growing, seen = GrowingObject(), []
    for char in '{"a": 12, "b": true, "c": [1.5], "d": "xy"}':
        growing.feed(char)
        if growing.value() not in seen:
            seen.append(growing.value())
    whole = {"a": 12, "b": True, "c": [1.5], "d": "xy"}
    assert seen == [
        {},
        {"a": 12},
        {"a": 12, "b": True},
        {"a": 12, "b": True, "c": []},
        {"a": 12, "b": True, "c": [1.5]},
        {"a": 12, "b": True, "c": [1.5], "d": ""},
        {"a": 12, "b": True, "c": [1.5], "d": "x"},
        whole,
    ]


def test_half_a_character_is_none():
    growing, seen = GrowingObject(), set()
    for char in '{"a": "\\ud83d\\ude42\\u00e9\\n"}':
        growing.feed(char)
        seen.add((growing.value() or {}).get("a", ""))
    assert seen == {"", "🙂", "🙂é", "🙂é\n"}


@pytest.mark.parametrize("text", ["words {", "[1]", "3", '"a"', "``x", "```json\n[1]"])
def test_other_beginnings_are_not_followed(text):
    growing = GrowingObject()
    growing.feed(text)
    growing.feed('{"a": 1}')
    assert growing.value() is None


def test_what_comes_after_the_object_is_left_out():
    growing = GrowingObject()
    for piece in ('{"a": 1}', ' {"a": 2}'):
        growing.feed(piece)
    assert growing.value() == {"a": 1}
