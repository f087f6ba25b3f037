"""`tool_choice`: its words, and how calls are forced on engines that take a schema, and on those that take nothing."""

from __future__ import annotations

import json

import pytest
from langchain_core.tools import tool
from pydantic import BaseModel, Field

from langchain_localmodels.dialects.messages import to_tools
from langchain_localmodels.engines.base import Capabilities, JsonOutput, Usage
from langchain_localmodels.errors import EngineError, InvalidRequestError, StructuredOutputError
from langchain_localmodels.forced_calls import call_schema
from langchain_localmodels.schema_check import fault_of
from langchain_localmodels.testing import Answer, Call, InvalidCall, ScriptedChatModel
from langchain_localmodels.tool_choice import read_tool_choice


@tool
def weather(city: str, days: int = 1) -> str:
    """Tell the weather of a city."""
    return "sunny"


@tool
def now() -> str:
    """Tell the time."""
    return "noon"


TOOLS = [weather, now]
PARIS = Call("weather", {"city": "Paris"})


def model(*answers, constrain="grammar", **more):
    can = Capabilities(tools="native", constrain=constrain, tokenizer=False)
    return ScriptedChatModel(answers=list(answers), capabilities=can, **more)


# --- words ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (None, "auto"),
        (False, "auto"),
        ("auto", "auto"),
        ({"type": "auto"}, "auto"),
        ("none", "none"),
        ({"type": "none"}, "none"),
        ("any", "any"),
        ("required", "any"),
        (True, "any"),
        ({"type": "any"}, "any"),
        ("now", "now"),
        ({"type": "function", "function": {"name": "now"}}, "now"),
        ({"type": "function", "name": "now"}, "now"),
        ({"type": "tool", "name": "now"}, "now"),
        ({"function": {"name": "now"}}, "now"),
    ],
)
def test_words(given, meant):
    assert read_tool_choice(given, ["weather", "now"]) == meant
    chat = model(PARIS)
    chat.bind_tools(TOOLS, tool_choice=given).invoke("Hi")
    assert chat.requests[0].tool_choice == meant


@pytest.mark.parametrize(
    ("given", "names", "words"),
    [
        ("wether", ["weather", "now"], "Did you mean 'weather'"),
        ("weather", [], "there are no tools"),
        ("any", [], "there are no tools"),
        (True, [], "there are no tools"),
        ({"type": "allowed_tools", "tools": []}, ["now"], "cannot be read"),
        ({}, ["now"], "cannot be read"),
        (7, ["now"], "is not the name"),
    ],
)
def test_what_is_refused(given, names, words):
    with pytest.raises(InvalidRequestError, match=words):
        read_tool_choice(given, names)
    with pytest.raises(InvalidRequestError, match=words):
        model("Hi").bind_tools([t for t in TOOLS if t.name in names], tool_choice=given)
    with pytest.raises(InvalidRequestError, match=words):
        model("Hi").invoke("Hi", tools=[t for t in TOOLS if t.name in names], tool_choice=given)


def test_parallel_tool_calls_reach_the_engine():
    chat = model("a", "b", "c")
    chat.bind_tools(TOOLS, parallel_tool_calls=False).invoke("Hi")
    chat.bind_tools(TOOLS, parallel_tool_calls=None).invoke("Hi")
    chat.bind_tools(TOOLS).bind(parallel_tool_calls=True).invoke("Hi")
    assert [request.parallel_tool_calls for request in chat.requests] == [False, True, True]


# --- strict ---------------------------------------------------------------------------------------------------------


async def test_strict_calls_are_checked():
    answers = [Call("weather", {"city": 7}), Call("fly", {}), PARIS]
    message = model(Answer(tool_calls=answers)).bind_tools(TOOLS, strict=True).invoke("Hi")
    assert [call["args"] for call in message.tool_calls] == [{"city": "Paris"}]
    wrong, unknown = message.invalid_tool_calls
    assert "city" in wrong["error"]
    assert json.loads(wrong["args"]) == {"city": 7}
    assert "no tool 'fly'" in unknown["error"]
    whole = None
    async for chunk in model(Answer(tool_calls=answers)).bind_tools(TOOLS, strict=True).astream("Hi"):
        whole = chunk if whole is None else whole + chunk
    assert [call["args"] for call in whole.tool_calls] == [{"city": "Paris"}]
    loose = model(Answer(tool_calls=answers)).bind_tools(TOOLS).invoke("Hi")
    assert len(loose.tool_calls) == 3


# --- by schema ------------------------------------------------------------------------------------------------------


async def test_a_schema_is_lifted_into_a_call():
    said = json.dumps({"name": "weather", "arguments": {"city": "Paris"}})
    chat = model(*[Answer(said, reasoning="Hm.")] * 4, constrain="schema", stop=["Paris"])
    forced = chat.bind_tools(TOOLS, tool_choice="any")
    chunks = list(forced.stream("Hi"))
    streamed = sum(chunks[1:], chunks[0])
    chunks = [chunk async for chunk in forced.astream("Hi")]
    streamed_too = sum(chunks[1:], chunks[0])
    for message in (forced.invoke("Hi"), await forced.ainvoke("Hi"), streamed, streamed_too):
        (call,) = message.tool_calls
        assert (call["name"], call["args"]) == ("weather", {"city": "Paris"})
        assert call["id"]
        assert message.text == ""
        assert message.additional_kwargs["reasoning_content"] == "Hm."
        assert message.response_metadata["finish_reason"] == "tool_calls"
        assert message.usage_metadata["output_tokens"] > 0
    request = chat.requests[0]
    assert request.tools == ()
    assert request.settings.stop == ()  # a stop string would cut the JSON
    assert "Tell the weather of a city." in request.turns[0].text
    assert isinstance(request.settings.constraint, JsonOutput)


@pytest.mark.parametrize(
    "said",
    [
        '{"name": "weather", "arguments": {"city": "Par',
        '{"name": "fly", "arguments": {}}',
        '{"name": "now", "arguments": 3}',
        "[1]",
        "",
        "Hello",
    ],
)
def test_what_is_no_call_is_never_one(said):
    answer = Answer(said, finish_reason="length")
    forced = model(answer, answer, constrain="schema").bind_tools(TOOLS, tool_choice="any")
    message = forced.invoke("Hi")
    assert message.tool_calls == []
    assert message.invalid_tool_calls[0]["args"] == said
    assert message.response_metadata["finish_reason"] == "length"
    chunks = list(forced.stream("Hi"))
    assert sum(chunks[1:], chunks[0]).tool_calls == []


class Node(BaseModel):
    """A tree."""

    name: str
    children: list[Node] = Field(default_factory=list)


def test_the_schema_of_a_call_holds_recursive_ones():
    (tree,) = to_tools([{"name": "tree", "parameters": Node.model_json_schema()}])
    (other,) = to_tools([{"name": "other", "parameters": {"properties": {"enum": {"enum": ["$ref"]}}}}])
    good = {"name": "tree", "arguments": {"name": "a", "children": [{"name": "b", "children": []}]}}
    bad = {"name": "tree", "arguments": {"name": "a", "children": [{"children": []}]}}
    for tools in ([tree], [other, tree]):
        schema = call_schema(tools)
        assert fault_of(good, schema) is None
        assert fault_of(bad, schema) is not None
        assert fault_of({**good, "name": "x"}, schema) is not None
    assert fault_of({"name": "other", "arguments": {"enum": "$ref"}}, call_schema([other, tree])) is None


# --- by asking again ------------------------------------------------------------------------------------------------


async def test_a_model_that_cannot_be_held_is_told_and_checked():
    chat = model(*[PARIS] * 2, constrain="none")
    forced = chat.bind_tools(TOOLS, tool_choice="weather")
    assert forced.invoke("Hi").tool_calls[0]["args"] == {"city": "Paris"}
    chunks = [chunk async for chunk in forced.astream("Hi")]
    assert sum(chunks[1:], chunks[0]).tool_calls[0]["args"] == {"city": "Paris"}
    request = chat.requests[0]
    assert [t.name for t in request.tools] == ["weather"]
    assert request.tool_choice == "auto"
    assert "You must call the tool weather." in request.turns[0].text


@pytest.mark.parametrize(
    ("first", "complaint"),
    [
        ("It is sunny.", "There was no call."),
        (InvalidCall('{"name": "weather"', "The call is not valid JSON.", "weather"), "not valid JSON"),
        (Call("weather", {"city": 3}), "city"),
        (Call("fly", {}), "no tool 'fly'"),
    ],
)
async def test_a_bad_answer_is_asked_again_once(first, complaint):
    used = Usage(input_tokens=10, output_tokens=4)
    first = Answer(first, usage=used) if isinstance(first, str) else Answer(tool_calls=[first], usage=used)
    chat = model(first, Answer(tool_calls=[PARIS], usage=Usage(20, 5)), constrain="none")
    message = await chat.bind_tools(TOOLS, tool_choice="any").ainvoke("Hi")
    assert message.tool_calls[0]["args"] == {"city": "Paris"}
    assert message.invalid_tool_calls == []
    assert message.usage_metadata["input_tokens"] == 30
    assert message.usage_metadata["output_tokens"] == 9
    again = chat.requests[1].turns
    assert [turn.role for turn in again[-3:]] == ["user", "assistant", "user"]
    assert complaint in again[-1].text


def test_two_bad_answers_are_an_error():
    chat = model("No.", "Never.", constrain="none")
    with pytest.raises(StructuredOutputError, match="in two tries: There was no call") as caught:
        chat.bind_tools(TOOLS, tool_choice="any").invoke("Hi")
    assert caught.value.hint
    assert caught.value.llm_output == "Never."
    assert len(chat.requests) == 2


def test_an_answer_that_was_cut_off_is_not_asked_again():
    chat = model(Answer("Well, I", finish_reason="length"), constrain="none")
    message = chat.bind_tools(TOOLS, tool_choice="any").invoke("Hi")
    assert message.response_metadata["finish_reason"] == "length"
    assert len(chat.requests) == 1


@pytest.mark.parametrize("constrain", ["schema", "none"])
def test_a_forced_call_beside_a_format_is_refused(constrain):
    with pytest.raises(InvalidRequestError, match="forces a call"):
        model("Hi", constrain=constrain).bind_tools(TOOLS, tool_choice="any").invoke("Hi", format="json")


@pytest.mark.parametrize("constrain", ["schema", "none"])
async def test_closing_a_forced_call_ends_what_is_under_way(constrain):
    from langchain_localmodels.testing import Gate

    gate = Gate()
    chat = model(Answer(["a ", gate, "b"]), constrain=constrain)
    stream = chat.bind_tools(TOOLS, tool_choice="any").astream("Hi")
    import asyncio

    task = asyncio.ensure_future(anext(stream))
    while not chat.requests:
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await stream.aclose()
    assert len(chat.requests) == 1


def test_an_answer_that_breaks_off_is_an_error():
    broken = Answer('{"name": "now"', whole=False)
    for constrain in ("schema", "none"):
        with pytest.raises(EngineError, match="broke off"):
            model(broken, constrain=constrain).bind_tools(TOOLS, tool_choice="any").invoke("Hi")
