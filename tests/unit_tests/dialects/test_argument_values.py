"""Arguments in notations without JSON: what bare text means by a schema, Python that is read, and grammars for both."""

from __future__ import annotations

import ast
import json
import warnings
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_localmodels.dialects.answer_grammar import AnswerForm, answer_grammar
from langchain_localmodels.dialects.notations import NOTATIONS, notation_named
from langchain_localmodels.dialects.notations.base import Notation, ToolCallSyntaxError
from langchain_localmodels.dialects.notations.python_calls import (
    PythonStringState,
    read_python_calls,
    read_python_value,
)
from langchain_localmodels.dialects.notations.raw_values import typed_value
from langchain_localmodels.dialects.notations.schemas import arguments_object, kinds_of
from langchain_localmodels.dialects.reader import OutputReader
from langchain_localmodels.engines.base import Tool, ToolCallDelta
from langchain_localmodels.errors import InvalidRequestError

DEFS = {
    "Unit": {"type": "string", "enum": ["a b", "c"]},
    "Node": {
        "type": "object",
        "properties": {"v": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}},
        "required": ["v"],
    },
}
STRING, NUMBER, NULL = {"type": "string"}, {"type": "number"}, {"type": "null"}


# --- bare text --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        (STRING, "5", "5"),
        (STRING, "null", "null"),
        (STRING, '"quoted"', '"quoted"'),
        (STRING, " {a ", " {a "),
        ({"enum": ["5", "6"]}, "5", "5"),
        ({"const": "true"}, "true", "true"),
        ({"$ref": "#/$defs/Unit"}, "a b", "a b"),
        ({"type": "integer"}, " 5\n", 5),
        ({"type": "integer"}, "five", "five"),
        ({"type": "integer"}, '"5"', "5"),
        (NUMBER, "5", 5),
        (NUMBER, "-1.5e2", -150.0),
        ({"type": "boolean"}, "true", True),
        ({"type": "boolean"}, "False", False),
        ({"type": "boolean"}, "None", None),
        ({"anyOf": [STRING, NULL]}, "null", None),
        ({"anyOf": [STRING, NULL]}, "None", None),
        ({"anyOf": [STRING, NULL]}, "5", "5"),
        ({"anyOf": [STRING, {"type": "integer"}]}, "5", 5),
        ({"anyOf": [STRING, {"type": "integer"}]}, "5.5", "5.5"),
        ({"type": ["string", "null"]}, "null", None),
        ({"type": "string", "nullable": True}, "null", None),
        ({"oneOf": [{"$ref": "#/$defs/Unit"}, NULL]}, "c", "c"),
        ({"allOf": [STRING]}, "5", "5"),
        ({"type": "array"}, "[1, 'two', None]", [1, "two", None]),
        ({"type": "object"}, '{"a": "b\nc"}', {"a": "b\nc"}),
        ({"$ref": "#/$defs/Node"}, '{"v": 1}', {"v": 1}),
        (True, "5", 5),
        (True, '"5"', "5"),
        (True, "five", "five"),
        (True, "{five", "{five"),
        (True, "1e999", "1e999"),
        ({"$ref": "#/nowhere"}, "5", 5),
    ],
)
def test_typed_value(schema: Any, text: str, value: object):
    found = typed_value(text, schema, {"$defs": DEFS}, "f")
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["[1, 2", '{"a": }', "{a: 1}"])
def test_a_list_or_object_that_is_none(text: str):
    with pytest.raises(ToolCallSyntaxError) as caught:
        typed_value(text, {"type": ["array", "object"]}, {}, "f")
    assert caught.value.name == "f"


def test_kinds_of_a_schema_that_refers_to_itself():
    root = {"$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}, STRING]}, "B": {"$ref": "#/$defs/B"}}}
    assert "string" in kinds_of({"$ref": "#/$defs/A"}, root)
    assert len(kinds_of({"$ref": "#/$defs/B"}, root)) == 7
    assert arguments_object(Tool("f", "", {"$ref": "#/$defs/Node", "$defs": DEFS}))["required"] == ["v"]


# --- Python -----------------------------------------------------------------------------------------------------------

LITERALS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(LITERALS)
def test_whatever_python_writes_is_read(value: Any):
    assert read_python_value(repr(value)) == value
    written = json.dumps(value)
    # Python takes two escapes for two characters where JSON has one.
    if "\\ud" not in written:
        assert read_python_value(written) == value


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="'\"\\nx#\n t", max_size=12))
def test_strings_are_read_as_python_does(text: str):
    for code in (f"'{text}'", f'"""{text}"""', f"r'{text}'"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                wanted = ast.literal_eval(code)
        except (SyntaxError, ValueError):
            continue
        if isinstance(wanted, str) and "\\" not in code.replace("\\\\", "").replace("\\n", "").replace("\\t", ""):
            assert read_python_value(code) == wanted, code


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="'\"\\x#\n", max_size=14), st.lists(st.integers(0, 14)))
def test_being_inside_of_a_string_does_not_depend_on_pieces(text: str, cuts: list[int]):
    whole, pieces = PythonStringState(), PythonStringState()
    whole.feed(text)
    bounds = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    for begin, end in pairwise(bounds):
        pieces.feed(text[begin:end])
    assert whole.inside == pieces.inside


@pytest.mark.parametrize(
    "code",
    [
        "__import__('os').system('ls')",
        "f(x=g())",
        "f(x=y)",
        "f(x=[i for i in y])",
        "f(x=lambda: 1)",
        "f(x=f'{y}')",
        "f(x=b'1')",
        "f(x=1 + 1)",
        "f(x=9**9)",
        "f(x=1e999)",
        f"f(x={'9' * 5000})",
        f"f(x={'[' * 100_000}",
        f"f(x={'-' * 100_000}1)",
        "f(1, 2, 3)",
        "f(x=1",
        "f(x='1)",
        "f",
        "",
        "# nothing",
        "[]",
        "f(x=1) g",
        "x = 1",
    ],
)
def test_what_is_no_plain_call(code: str):
    with pytest.raises(ToolCallSyntaxError):
        read_python_calls(code, {"f": Tool("f", "", {"properties": {"x": {}, "y": {}}})})


# --- grammars ---------------------------------------------------------------------------------------------------------

RICH = Tool(
    "rich",
    "",
    {
        "$defs": DEFS,
        "type": "object",
        "properties": {
            "unit": {"$ref": "#/$defs/Unit"},
            "node": {"$ref": "#/$defs/Node"},
            "maybe": {"anyOf": [STRING, NULL], "default": None},
            "number": {"anyOf": [{"type": "integer"}, NUMBER]},
            "map": {"type": "object", "additionalProperties": {"type": "integer"}},
            "any": {},
            "pair": {"type": "array", "items": NUMBER, "minItems": 2, "maxItems": 2},
            "mixed": {"enum": ["one", 2, None, True]},
        },
        "required": ["unit", "node"],
    },
)
TOOLS = (
    RICH,
    Tool("recursive", "", {"$ref": "#/$defs/Node", "$defs": DEFS}),
    Tool("free", "", {"type": "object"}),
    Tool("nothing", "", {}),
    Tool("others", "", {"type": "object", "properties": {"a": STRING}, "additionalProperties": {"type": "integer"}}),
    Tool("many", "", {"type": "object", "properties": {f"p{number}": STRING for number in range(60)}}),
)


@pytest.mark.parametrize("notation", NOTATIONS, ids=lambda notation: notation.name)
@pytest.mark.parametrize("tools", [*((tool,) for tool in TOOLS), TOOLS], ids=lambda tools: tools[-1].name)
def test_every_notation_has_a_grammar_for_every_schema(notation: Notation, tools: tuple[Tool, ...]):
    for must_call in (True, False):
        for parallel in (True, False):
            # It is checked where it is made.
            assert answer_grammar(AnswerForm(tools, must_call, parallel), notation, None)


@pytest.mark.parametrize("notation", NOTATIONS, ids=lambda notation: notation.name)
def test_a_schema_that_cannot_be_followed_is_refused(notation: Notation):
    impossible = Tool("f", "", {"type": "object", "properties": {"x": {"type": "integer", "minimum": "low"}}})
    with pytest.raises(InvalidRequestError):
        answer_grammar(AnswerForm((impossible,), must_call=True), notation, None)


@pytest.mark.parametrize(
    ("name", "output"),
    [
        (
            "qwen3_coder",
            "<tool_call>\n<function=rich>\n<parameter=unit>\nc\n</parameter>\n<parameter=node>\n"
            '{"v": 1, "next": {"v": 2}}\n</parameter>\n<parameter=any>\nfree\n</parameter>\n</function>\n</tool_call>',
        ),
        (
            "gemma4",
            '<|tool_call>call:rich{any:<|"|>free<|"|>,node:{next:{v:2},v:1},unit:<|"|>c<|"|>}<tool_call|>',
        ),
        ("gemma3", '```tool_code\nrich(unit="c", node={"v": 1, "next": {"v": 2}}, any="free")\n```'),
    ],
)
def test_nested_values_are_the_same_in_every_notation(name: str, output: str):
    reader = OutputReader(notation=notation_named(name), tools=TOOLS)
    (call,) = [*reader.feed(output), *reader.finish()]
    assert isinstance(call, ToolCallDelta)
    assert json.loads(call.arguments) == {"unit": "c", "node": {"v": 1, "next": {"v": 2}}, "any": "free"}
