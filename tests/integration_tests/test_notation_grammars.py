"""Grammars of answers with tool calls, by llama.cpp's own matcher, and what a model writes that is held to them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from langchain_localmodels import ChatLlamaCpp
from langchain_localmodels.demo import model_path
from langchain_localmodels.dialects.answer_grammar import AnswerForm, answer_grammar
from langchain_localmodels.dialects.chat_dialect import ChatDialect
from langchain_localmodels.dialects.notations import NOTATIONS
from langchain_localmodels.dialects.notations.base import Notation
from langchain_localmodels.dialects.reasoning import ReasoningFormat, reasoning_format
from langchain_localmodels.dialects.templates import ChatTemplate
from langchain_localmodels.engines.base import Text, Tool, ToolCall, Turn
from tests.families import FAMILIES, TOOLS, Family, Output
from tests.integration_tests.matcher import Matcher

USER = (Turn("user", (Text("How is the weather in Paris?"),)),)
CASES = [
    pytest.param(family, output, id=f"{name}-{title}")
    for name, family in FAMILIES.items()
    for title, output in family.outputs.items()
]
BY_FAMILY = [pytest.param(family, id=name) for name, family in FAMILIES.items()]


@pytest.fixture(scope="module")
def matcher() -> Iterator[Matcher]:
    made = Matcher()
    yield made
    made.free()


def grammar_of(family: Family, *, must_call: bool, parallel: bool = True) -> str:
    dialect = ChatDialect(ChatTemplate(family.template, **family.tokens))
    gbnf = dialect.grammar(dialect.prompt(USER, TOOLS), AnswerForm(TOOLS, must_call, parallel))
    assert gbnf is not None
    return gbnf


@pytest.mark.parametrize(("family", "output"), CASES)
def test_what_may_be_written(matcher: Matcher, family: Family, output: Output):
    for must_call, takes in ((False, output.grammar), (True, output.forced)):
        if takes is not None:
            gbnf = grammar_of(family, must_call=must_call, parallel=output.parallel)
            assert matcher.takes(gbnf, output.text) is takes, f"must_call={must_call}"


@pytest.mark.parametrize(
    ("family", "text"),
    [
        pytest.param(family, text, id=f"{name}-{number}")
        for name, family in FAMILIES.items()
        for number, text in enumerate(family.refused)
    ],
)
def test_what_a_forced_call_may_not_be(matcher: Matcher, family: Family, text: str):
    assert not matcher.takes(grammar_of(family, must_call=True), text)


@pytest.mark.parametrize("family", BY_FAMILY)
def test_something_is_refused_and_something_is_not(family: Family):
    assert family.refused
    assert any(output.forced for output in family.outputs.values())
    assert any(output.grammar is False for output in family.outputs.values())


@pytest.mark.parametrize("notation", NOTATIONS, ids=lambda notation: notation.name)
def test_calls_as_they_are_written_are_allowed(matcher: Matcher, notation: Notation):
    """What the examples and histories in prompts show is what the model is then held to."""
    call = ToolCall("call_1", "get_weather", '{"city": "Paris", "days": 3}')
    gbnf = answer_grammar(AnswerForm(TOOLS, parallel=False), notation, None)
    assert gbnf is not None
    assert matcher.takes(gbnf, notation.written([call]))


# --- on the engine --------------------------------------------------------------------------------------------------

ASKED = [
    HumanMessage("How is the weather in Paris?"),
    AIMessage("", tool_calls=[{"id": "call_1", "name": "get_weather", "args": {"city": "Paris"}}]),
    ToolMessage("21 degrees", tool_call_id="call_1", name="get_weather"),
    HumanMessage("Write it down, please."),
]


def chat_with(template: str, **settings: float) -> ChatLlamaCpp:
    # Any text is a good string to this model; without a penalty it may not find the end of one.
    return ChatLlamaCpp(
        model_path=model_path, chat_template=template, n_threads=1, repeat_penalty=1.2, verbose=False, **settings
    )


def reasoning_of(family: Family) -> ReasoningFormat | None:
    prompt = ChatTemplate(family.template, **family.tokens).render(USER)
    return reasoning_format(family.template, prompt[-200:])


def with_reasoning_done(family: Family) -> str:
    """The family's template, with a thought at its end: this model knows no marks and would hardly come to an end."""
    reasoning = reasoning_of(family)
    if reasoning is None or reasoning.closed:
        return family.template
    thought = ("" if reasoning.open_at_start else reasoning.opening) + "Hm." + reasoning.closing
    return f"{family.template}{{% if add_generation_prompt %}}{thought}{{% endif %}}"


def with_choices(schema: Any) -> Any:
    """The schema with some texts in place of any text."""
    if not isinstance(schema, Mapping):
        return schema
    if schema.get("type") == "string":
        return {"type": "string", "enum": ["Paris", "a < b", 'an "ü"\nand {more}']}
    return {key: with_choices(part) for key, part in schema.items()}


def offered(family: Family) -> list[Tool]:
    """The tools; where strings end in a mark that is unknown to this model, with a choice of strings."""
    if not family.raw_strings:
        return [*TOOLS]
    return [replace(tool, parameters=with_choices(tool.parameters)) for tool in TOOLS]


@pytest.fixture(params=BY_FAMILY)
def family(request: pytest.FixtureRequest) -> Family:
    return request.param


@pytest.fixture
def chat(family: Family) -> Iterator[ChatLlamaCpp]:
    with chat_with(with_reasoning_done(family), max_tokens=1500) as made:
        yield made


def validate(call: dict[str, Any], tools: list[Tool]) -> None:
    (tool,) = (tool for tool in tools if tool.name == call["name"])
    Draft202012Validator(dict(tool.parameters)).validate(call["args"])


@pytest.mark.parametrize(
    ("choice", "settings"),
    [
        ("any", {"temperature": 0.0}),
        ("note", {"temperature": 0.0}),
        ("any", {"temperature": 1.0, "seed": 7}),
        ("get_weather", {"temperature": 1.0, "seed": 8}),
        ("now", {"temperature": 1.0, "seed": 9}),
    ],
    ids=["any", "note", "any-random", "get_weather-random", "now-random"],
)
def test_a_forced_call_is_one_valid_call(chat: ChatLlamaCpp, family: Family, choice: str, settings: dict[str, float]):
    tools = offered(family)
    model = chat.bind_tools([tool.as_openai() for tool in tools], tool_choice=choice, parallel_tool_calls=False)
    answer = model.invoke(ASKED, **settings)
    assert not answer.invalid_tool_calls
    assert answer.text == ""
    (call,) = answer.tool_calls
    assert choice in ("any", call["name"])
    validate(call, tools)
    assert call["id"]
    assert answer.response_metadata["finish_reason"] == "tool_calls"


OPENED = [
    pytest.param(family, id=name)
    for name, family in FAMILIES.items()
    if (reasoning := reasoning_of(family)) and reasoning.open_at_start
]


@pytest.mark.parametrize("family", OPENED)
def test_reasoning_that_the_prompt_opened_is_free(family: Family):
    """A forced call comes after it; how long it takes is the model's affair."""
    with chat_with(family.template, temperature=0.0, max_tokens=40) as made:
        answer = made.bind_tools([tool.as_openai() for tool in TOOLS], tool_choice="any").invoke(ASKED)
    assert answer.additional_kwargs["reasoning_content"]
    assert answer.text == ""
    assert not answer.invalid_tool_calls


def test_arguments_follow_the_schema_where_a_call_is_free(
    family: Family, chat: ChatLlamaCpp, caplog: pytest.LogCaptureFixture
):
    """It answers with whatever it likes; if that is a call, it is a good one."""
    tools = offered(family)
    model = chat.bind_tools([tool.as_openai() for tool in tools])
    with caplog.at_level(logging.WARNING):
        answer = model.invoke(ASKED, temperature=0.8, seed=3, max_tokens=150)
    assert not caplog.records
    if answer.response_metadata["finish_reason"] != "length":
        assert not answer.invalid_tool_calls
    for call in answer.tool_calls:
        validate(call, tools)
