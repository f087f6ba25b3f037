"""The notations of tool calls: what each family of models writes, whole and cut anywhere, and what its prompts say."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from langchain_localmodels.dialects.answer_grammar import AnswerForm
from langchain_localmodels.dialects.chat_dialect import ChatDialect
from langchain_localmodels.dialects.notations import GENERIC, NOTATIONS, notation_named, notation_of
from langchain_localmodels.dialects.reader import OutputReader
from langchain_localmodels.dialects.reasoning import reasoning_format
from langchain_localmodels.dialects.templates import ChatTemplate
from langchain_localmodels.engines.base import (
    Delta,
    InvalidToolCallDelta,
    ReasoningDelta,
    Text,
    TextDelta,
    Tool,
    ToolCall,
    ToolCallDelta,
    Turn,
)
from langchain_localmodels.errors import InvalidRequestError
from tests.families import FAMILIES, NOW, TOOLS, WEATHER, Family, Output

CALL_ID = "call_0123456789abcdef01234567"
CONVERSATION = (
    Turn("system", (Text("Be brief."),)),
    Turn("user", (Text("How is the weather in Paris?"),)),
    Turn("assistant", tool_calls=(ToolCall(CALL_ID, "get_weather", '{"city": "Paris"}'),)),
    Turn("tool", (Text("21 degrees"),), name="get_weather", tool_call_id=CALL_ID),
    Turn("user", (Text("And in Rome?"),)),
)
CASES = [
    pytest.param(family, output, id=f"{name}-{title}")
    for name, family in FAMILIES.items()
    for title, output in family.outputs.items()
]
BY_FAMILY = [pytest.param(family, id=name) for name, family in FAMILIES.items()]


def dialect_of(family: Family) -> ChatDialect:
    return ChatDialect(ChatTemplate(family.template, **family.tokens))


def reader_of(family: Family, tools: tuple[Tool, ...] = TOOLS) -> OutputReader:
    dialect = dialect_of(family)
    return dialect.reader(dialect.prompt(CONVERSATION, tools), tools=tools)


def joined(deltas: list[Delta]) -> list[tuple[Any, ...]]:
    """What deltas mean, as `Output.deltas` has it, with ids; neighbours of one kind are joined."""
    result: list[tuple[Any, ...]] = []
    for delta in deltas:
        if isinstance(delta, ToolCallDelta):
            assert delta.index == sum(entry[0] == "call" for entry in result)
            result.append(("call", delta.name, json.loads(delta.arguments), delta.id))
        elif isinstance(delta, InvalidToolCallDelta):
            assert delta.error
            result.append(("invalid", delta.name))
        elif isinstance(delta, TextDelta | ReasoningDelta) and delta.text:
            kind = "text" if isinstance(delta, TextDelta) else "reasoning"
            if result and result[-1][0] == kind:
                result[-1] = (kind, result[-1][1] + delta.text)
            else:
                result.append((kind, delta.text))
    return result


def read(family: Family, *pieces: str, tools: tuple[Tool, ...] = TOOLS) -> list[tuple[Any, ...]]:
    reader = reader_of(family, tools)
    return joined([*(delta for piece in pieces for delta in reader.feed(piece)), *reader.finish()])


def means(found: list[tuple[Any, ...]], expected: tuple[tuple[Any, ...], ...]) -> bool:
    """Whether it is what was expected, ids included where they are the model's own."""
    return len(found) == len(expected) and all(
        entry[: len(wanted)] == wanted for entry, wanted in zip(found, expected, strict=True)
    )


@pytest.mark.parametrize(("family", "output"), CASES)
def test_output_whole_and_cut_anywhere(family: Family, output: Output) -> None:
    dialect = dialect_of(family)
    prompt = dialect.prompt(CONVERSATION, TOOLS)

    def reading(*pieces: str) -> list[tuple[Any, ...]]:
        reader = dialect.reader(prompt, tools=TOOLS)
        return joined([*(delta for piece in pieces for delta in reader.feed(piece)), *reader.finish()])

    text = output.text
    whole = reading(text)
    assert means(whole, output.deltas), whole
    assert means(reading(*text), output.deltas)
    for cut in range(1, len(text)):
        found = reading(text[:cut], text[cut:])
        assert means(found, output.deltas), (found, cut)


@pytest.mark.parametrize(("family", "output"), CASES)
def test_ids(family: Family, output: Output) -> None:
    """A model's own id is kept; every other call gets one, and no two of those are the same."""
    ids = [entry[3] for entry in read(family, output.text) if entry[0] == "call"]
    own = [wanted[3] for wanted in output.deltas if len(wanted) > 3]
    assert [made for made in ids if made in own] == own
    made = [call_id for call_id in ids if call_id not in own]
    assert all(made)
    assert len(set(made)) == len(made)


@pytest.mark.parametrize(("family", "output"), CASES)
def test_without_tools_calls_are_text(family: Family, output: Output) -> None:
    dialect = dialect_of(family)
    found = read(family, *output.text, tools=())
    assert {entry[0] for entry in found} <= {"text", "reasoning"}
    reasoning = reasoning_format(family.template, dialect.prompt(CONVERSATION)[-200:])
    marks = () if reasoning is None else (reasoning.opening, reasoning.closing)
    if not dialect.notation.silent_marks({}) and not any(mark in output.text for mark in marks):
        assert "".join(entry[1] for entry in found) == output.text


@pytest.mark.parametrize("family", BY_FAMILY)
def test_a_family_is_recognised_by_its_template(family: Family) -> None:
    known = notation_of(family.template)
    assert known is not None
    assert known.name == family.notation
    dialect = dialect_of(family)
    assert dialect.has_place_for_tools
    assert dialect.is_known
    assert dialect.notation is known


@pytest.mark.parametrize("family", BY_FAMILY)
def test_prompt_of_a_conversation_with_a_call(family: Family) -> None:
    prompt = dialect_of(family).prompt(CONVERSATION, TOOLS)
    for wanted in (*family.prompt_has, "Be brief.", "And in Rome?", "21 degrees", "get_weather", "note", "now"):
        assert wanted in prompt
    places = [prompt.index(text) for text in ("How is the weather", "21 degrees", "And in Rome?")]
    assert places == sorted(places)


@pytest.mark.parametrize("family", BY_FAMILY)
def test_text_streams_without_delay(family: Family) -> None:
    dialect = dialect_of(family)
    prompt = dialect.prompt(CONVERSATION, TOOLS)
    reader = dialect.reader(prompt, tools=TOOLS)
    given = [reader.feed(piece) for piece in ("It", " is", " sunny", ",", " I", " think")]
    assert all(given)
    assert "".join(delta.text for deltas in given for delta in deltas) == "It is sunny, I think"


@pytest.mark.parametrize("family", BY_FAMILY)
@pytest.mark.parametrize("must_call", [False, True], ids=["may call", "must call"])
@pytest.mark.parametrize("parallel", [False, True], ids=["one", "several"])
def test_there_is_a_grammar(family: Family, must_call: bool, parallel: bool) -> None:
    """`ChatDialect.grammar` checks it itself."""
    dialect = dialect_of(family)
    prompt = dialect.prompt(CONVERSATION, TOOLS)
    gbnf = dialect.grammar(prompt, AnswerForm(TOOLS, must_call, parallel))
    assert gbnf is not None
    assert gbnf.startswith("root ::= ")
    assert dialect.grammar(prompt, AnswerForm()) is None


MANY = Tool(
    "many",
    "Has very many arguments.",
    {"type": "object", "properties": {f"option_{number}": {"type": "string"} for number in range(60)}},
)
ANY = Tool("any_of_all", "Takes anything.", {"type": "object"})
REFERRING = Tool(
    "refer",
    "Is made of references.",
    {
        "$ref": "#/$defs/Tree",
        "$defs": {
            "Tree": {
                "type": "object",
                "properties": {
                    "name": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/Tree"}},
                    "colour": {"$ref": "#/$defs/Colour"},
                },
                "required": ["name"],
            },
            "Colour": {"type": "string", "enum": ["red", "green"]},
        },
    },
)
ODD = Tool("odd-name.of_tool", "Has a name that is none in Python.", {"type": "object", "properties": {}})


@pytest.mark.parametrize("notation", NOTATIONS, ids=lambda notation: notation.name)
@pytest.mark.parametrize("tool", [MANY, ANY, REFERRING, ODD], ids=lambda tool: tool.name)
def test_unusual_schemas_make_a_grammar(notation: Any, tool: Tool) -> None:
    dialect = ChatDialect(ChatTemplate("{{ tools }}"), notation=notation.name)
    for must_call in (False, True):
        assert dialect.grammar("", AnswerForm((tool, WEATHER), must_call))


SAID = (
    ToolCall("call_1", "get_weather", '{"city": "Paris", "days": 3}'),
    ToolCall("call_2", "now", "{}"),
    ToolCall(
        "call_3", "note", '{"text": "\\"Quoted\\", it\'s ü", "tags": ["a, b"], "place": {"x": 1.5}, "urgent": true}'
    ),
)


@pytest.mark.parametrize("notation", NOTATIONS, ids=lambda notation: notation.name)
@pytest.mark.parametrize("calls", [SAID[:1], SAID[1:2], SAID], ids=["one", "without arguments", "several"])
def test_calls_are_written_as_they_are_read(notation: Any, calls: tuple[ToolCall, ...]) -> None:
    found = read_as(notation.name, notation.written(calls), *TOOLS)
    assert found == [("call", call.name, json.loads(call.arguments)) for call in calls]


@pytest.mark.parametrize("notation", NOTATIONS, ids=lambda notation: notation.name)
def test_arguments_that_are_none_are_not_lost(notation: Any) -> None:
    assert "broken #7" in notation.written([ToolCall("1", "now", "broken #7")])


# --- the table ------------------------------------------------------------------------------------------------------


def test_every_notation_has_a_name_of_its_own_and_a_family_that_shows_it() -> None:
    names = [notation.name for notation in NOTATIONS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[a-z0-9_]+", name) for name in names)
    assert {family.notation for family in FAMILIES.values()} == set(names) - {GENERIC.name}
    assert [notation_named(name) for name in names] == list(NOTATIONS)


def test_a_name_that_is_none() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        ChatDialect(ChatTemplate("x"), notation="mistrall")
    assert "Did you mean 'mistral'?" in str(caught.value.hint)
    assert "hermes" in str(caught.value.hint)


@pytest.mark.parametrize("source", [None, "", "{{ messages }}", "<|im_start|>{{ messages[0].content }}<|im_end|>"])
def test_a_template_that_tells_nothing(source: str | None) -> None:
    assert notation_of(source) is None


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ('{{ "List of tools: [" }}{{ tools }}', "lfm2"),
        ('{{ "]<]minimax[>[" }}<tool_call>{{ tools }}', None),
        ("<beginning_of_sentence><tool_calls>{{ tools }}</tool_calls>", "minimax_m1"),
        ("<tool_calls>{{ tools }}</tool_calls>", "apriel"),
    ],
)
def test_templates_that_are_easily_mistaken(source: str, name: str | None) -> None:
    known = notation_of(source)
    assert (known.name if known else None) == name


# --- single notations -----------------------------------------------------------------------------------------------


def read_as(notation: str, text: str, *tools: Tool) -> list[tuple[Any, ...]]:
    found = []
    for pieces in ([text], [*text]):
        reader = OutputReader(notation=notation_named(notation), tools=tools)
        found.append(joined([*(delta for piece in pieces for delta in reader.feed(piece)), *reader.finish()]))
    assert [entry[:3] for entry in found[0]] == [entry[:3] for entry in found[1]]
    return [entry[:3] for entry in found[0]]


PYTHON = Tool(
    "python", "Run code.", {"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]}
)


@pytest.mark.parametrize("code", ["import math\nprint(math.pi)", "x = {'a': 1}; print(x)", "print('<|eot_id|>')"])
def test_llama_writes_code_for_an_interpreter(code: str) -> None:
    assert read_as("llama", f"<|python_tag|>{code}", PYTHON) == [("call", "python", {"code": code})]
    assert read_as("llama", f"<|python_tag|>{code}", WEATHER)[0][0] == "invalid"


def test_llama_calls_other_tools_beside_an_interpreter() -> None:
    calls = '<|python_tag|>get_weather.call(city="Rome")', '<|python_tag|>{"name": "now", "parameters": {}}'
    assert read_as("llama", calls[0], PYTHON, WEATHER) == [("call", "get_weather", {"city": "Rome"})]
    assert read_as("llama", calls[1], PYTHON, NOW) == [("call", "now", {})]
    assert read_as("llama", '<|python_tag|>odd-name.of_tool.call(a=[1, {"b": null}])', ODD) == [
        ("call", "odd-name.of_tool", {"a": [1, {"b": None}]})
    ]


OPTIONAL = Tool(
    "optional",
    "Has arguments of several types.",
    {
        "type": "object",
        "properties": {
            "text": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "number": {"type": ["integer", "null"]},
            "zip": {"type": "string"},
            "data": {},
        },
    },
)


@pytest.mark.parametrize(
    ("key", "is_string", "text", "value"),
    [
        ("text", "true", "null", "null"),
        ("text", "false", "null", None),
        ("text", "true", '"quoted"', '"quoted"'),
        ("number", "false", "null", None),
        ("number", "true", "7", 7),
        ("zip", "true", "01234", "01234"),
        ("zip", "false", "7", "7"),
        ("data", "true", "7", "7"),
        ("data", "false", '{"a": [1]}', {"a": [1]}),
        ("data", "false", "plain", "plain"),
        ("unknown", "false", "1.5", 1.5),
        ("unknown", "true", " blank ", " blank "),
        ("text", "true", "", ""),
    ],
)
def test_values_of_dsml(key: str, is_string: str, text: str, value: object) -> None:
    element = f'<｜DSML｜parameter name="{key}" string="{is_string}">{text}</｜DSML｜parameter>'
    found = read_as("deepseek_v32", f'<｜DSML｜invoke name="optional">\n{element}\n</｜DSML｜invoke>', OPTIONAL)
    assert found == [("call", "optional", {key: value})]
