"""JSON from engines that cannot be held to it: asked for in the prompt, and checked at the end."""

from __future__ import annotations

import asyncio

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from langchain_localmodels.engines.base import Capabilities
from langchain_localmodels.errors import InvalidRequestError, StructuredOutputError, UnsupportedFeatureError
from langchain_localmodels.testing import Answer, Call, ScriptedChatModel

UNABLE = Capabilities(tools="prompt", constrain="none", tokenizer=True)
SCHEMA = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
OPENAIS = {"type": "json_schema", "json_schema": {"name": "Age", "schema": SCHEMA}}


class Age(BaseModel):
    """An age."""

    age: int


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return city


def model(*answers):
    return ScriptedChatModel(answers=list(answers), capabilities=UNABLE)


def ways(asked, question="How old?", **options):
    """Ask in all ways, and give what comes, errors too."""

    async def streamed():
        return "".join([piece.text async for piece in asked.astream(question, **options)])

    async def one():
        return (await asked.ainvoke(question, **options)).text

    asks = [
        lambda: asked.invoke(question, **options).text,
        lambda: "".join(piece.text for piece in asked.stream(question, **options)),
        lambda: asyncio.run(one()),
        lambda: asyncio.run(streamed()),
    ]
    found = []
    for ask in asks:
        try:
            found.append(ask())
        except StructuredOutputError as error:
            found.append(error)
    return found


@pytest.mark.parametrize("form", [{"format": SCHEMA}, {"response_format": OPENAIS}])
def test_the_schema_is_told_to_the_model_once(form):
    asked = model('{"age": 3}')
    asked.invoke("How old?", **form)
    (request,) = asked.requests
    assert [turn.role for turn in request.turns] == ["system", "user"]
    assert request.turns[0].text.count('"age"') == 2


def test_any_json_is_asked_for_in_words():
    asked = model("[1]")
    asked.invoke("How old?", format="json")
    assert "JSON" in asked.requests[0].turns[0].text


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ({"format": SCHEMA}, '{"age": 3}'),
        ({"format": SCHEMA}, 'Here it is:\n```json\n{"age": 3}\n```'),
        ({"format": "json"}, "[1, 2]"),
        ({"response_format": {"type": "json_object"}}, "{}"),
    ],
)
def test_what_fits_comes_as_it_was_written(form, text):
    assert ways(model(*[text] * 4), **form) == [text] * 4


@pytest.mark.parametrize(
    ("form", "text", "told"),
    [
        ({"format": SCHEMA}, '{"age": "three"}', "age"),
        ({"format": SCHEMA}, "{}", "required"),
        ({"response_format": OPENAIS}, "I am three.", "not JSON"),
        ({"format": "json"}, "I am three.", "not JSON"),
        ({"format": "json"}, '{"a": 1} or {"a": 2}', "not JSON"),
    ],
)
def test_what_does_not_fit_is_an_error_in_every_way(form, text, told):
    for error in ways(model(*[text] * 4), **form):
        assert isinstance(error, StructuredOutputError)
        assert isinstance(error, OutputParserException)
        assert told in error.message
        assert error.llm_output == text
        assert isinstance(error.raw, AIMessage)
        assert error.raw.text == text
        assert error.raw.usage_metadata["output_tokens"] > 0
        assert error.hint


def test_an_answer_that_is_cut_off_says_so_itself():
    asked = model(Answer('{"age"', finish_reason="length"))
    message = asked.invoke("How old?", format=SCHEMA)
    assert message.response_metadata["finish_reason"] == "length"


def test_a_call_is_an_answer_too():
    asked = model(Call("weather", {"city": "Oslo"})).bind_tools([weather])
    assert asked.invoke("How is Oslo?", response_format=OPENAIS).tool_calls


def test_a_schema_that_is_none():
    with pytest.raises(InvalidRequestError, match="no JSON Schema"):
        model("{}").invoke("How old?", format={"type": "nonsense"})


def test_grammars_are_refused():
    with pytest.raises(UnsupportedFeatureError, match="grammar") as caught:
        model("x").invoke("How old?", grammar='root ::= "x"')
    assert "LlamaCpp" in caught.value.hint


@pytest.mark.parametrize("method", ["json_schema", "json_mode", "function_calling"])
def test_structured_output_gives_the_message_beside_the_error(method):
    answers = ["I am three."] * 8
    chain = model(*answers).with_structured_output(Age, method=method, include_raw=True)
    for found in (chain.invoke("How old?"), list(chain.stream("How old?"))[-1]):
        assert found["parsed"] is None
        assert isinstance(found["parsing_error"], StructuredOutputError)
        assert found["raw"].text == "I am three."


@pytest.mark.parametrize("method", ["json_schema", "json_mode"])
def test_structured_output_asks_again(method):
    asked = model("I am three.", '{"age": "old"}', '{"age": 3}')
    chain = asked.with_structured_output(Age, method=method, max_repairs=2)
    assert chain.invoke("How old?") == Age(age=3)
    assert len(asked.requests) == 3
    assert asked.requests[1].turns[-2].text == "I am three."
    assert "not JSON" in asked.requests[1].turns[-1].text


def test_structured_output_tells_of_all_failures():
    chain = model(*["No."] * 3).with_structured_output(Age, method="json_schema", max_repairs=2)
    with pytest.raises(StructuredOutputError) as caught:
        chain.invoke("How old?")
    assert len(caught.value.failures) == 2
    assert caught.value.llm_output == "No."


def test_the_usual_method_is_a_call_which_is_asked_for_twice():
    asked = model("I am three.", Call("Age", {"age": 3}))
    assert asked.with_structured_output(Age).invoke("How old?") == Age(age=3)
    assert asked.requests[1].turns[-2].text == "I am three."
