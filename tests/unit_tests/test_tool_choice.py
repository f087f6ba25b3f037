"""`tool_choice`: its words, and how calls are forced on engines that take a schema, and on those that take nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, Field

from langchain_localmodels.dialects.messages import to_tools
from langchain_localmodels.engines.base import (
    Capabilities,
    ChatRequest,
    FinishDelta,
    JsonOutput,
    Text,
    TextDelta,
    Timings,
    TokenLogprob,
    ToolCallDelta,
    Turn,
    Usage,
)
from langchain_localmodels.errors import EngineError, InvalidRequestError, StructuredOutputError
from langchain_localmodels.forced_calls import FlowStream, call_schema, lifted
from langchain_localmodels.schema_check import fault_of
from langchain_localmodels.testing import Answer, Call, InvalidCall, ScriptedChatModel
from langchain_localmodels.tool_choice import read_tool_choice
from langchain_localmodels.tool_forms import as_openai


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
        ({"type": "function", "function": {"name": "auto"}}, ["now", "auto"], "another name"),
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


def compare(by: Callable[[int], int]) -> str:
    """Take a function, of which there is no JSON Schema."""
    return ""


@pytest.mark.parametrize("tools", [[5], ["weather"], weather, [compare], 5], ids=str)
def test_what_is_no_tool(tools):
    chat = model("Hi")
    with pytest.raises(InvalidRequestError, match="No tool can be made"):
        chat.bind_tools(tools)
    with pytest.raises(InvalidRequestError, match="No tool can be made"):
        chat.invoke("Hi", tools=tools)
    with pytest.raises(InvalidRequestError, match="No tool can be made"):
        chat.get_num_tokens_from_messages("Hi", tools=tools)


class Branch(BaseModel):
    """A branch of a tree."""

    name: str
    leaf: Leaf | None = None


class Leaf(BaseModel):
    """A leaf, on which a branch may grow."""

    grown: list[Branch] = Field(default_factory=list)


@tool
def plant(tree: Branch, times: int = 1, note: Any = None) -> str:
    """Plant a tree."""
    return "done"


@pytest.mark.parametrize("given", [plant, Branch])
def test_arguments_that_refer_to_themselves_stay_whole(given):
    chat = model("Hi", "Hi")
    chat.bind_tools([given]).invoke("Hi")
    chat.invoke("Hi", tools=[given])
    for request in chat.requests:
        (told,) = request.tools
        assert told.description
        good = {"name": "a", "leaf": {"grown": [{"name": "b", "leaf": {"grown": [{"name": "c"}]}}]}}
        bad = {"name": "a", "leaf": {"grown": [{"name": "b", "leaf": {"grown": [{"name": 3}]}}]}}
        wrap = (lambda tree: {"tree": tree}) if given is plant else (lambda tree: tree)
        assert fault_of(wrap(good), told.parameters) is None
        assert fault_of(wrap(bad), told.parameters) is not None


def test_other_arguments_are_told_as_langchain_does_it():
    for given in (weather, now, Colour):
        assert as_openai([given]) == [convert_to_openai_tool(given)]


class Colour(BaseModel):
    """A colour, with anything beside it."""

    name: str
    more: dict[str, Any]
    anything: Any = None


def test_tools_given_to_several_models_at_once():
    broken = ScriptedChatModel(answers=RuntimeError("gone"))
    chat = broken.with_fallbacks([model(PARIS)]).bind_tools(TOOLS, tool_choice="any")
    assert chat.invoke("Hi").tool_calls[0]["args"] == {"city": "Paris"}


def test_parallel_tool_calls_reach_the_engine():
    chat = model("a", "b", "c")
    chat.bind_tools(TOOLS, parallel_tool_calls=False).invoke("Hi")
    chat.bind_tools(TOOLS, parallel_tool_calls=None).invoke("Hi")
    chat.bind_tools(TOOLS).bind(parallel_tool_calls=True).invoke("Hi")
    assert [request.parallel_tool_calls for request in chat.requests] == [False, True, True]


@pytest.mark.parametrize("name", ["auto", "none", "any", "required"])
def test_the_only_tool_may_have_the_name_of_a_word(name):
    chat = model(Call(name, {"x": 1}), Call(name, {"x": 1}))
    parameters = {"type": "object", "properties": {"x": {"type": "integer"}}}
    tool_of_that_name = {"type": "function", "function": {"name": name, "parameters": parameters}}
    chat.bind_tools([tool_of_that_name], tool_choice={"type": "function", "function": {"name": name}}).invoke("Hi")
    schema = {"title": name, **parameters}
    assert chat.with_structured_output(schema, method="function_calling").invoke("Hi") == {"x": 1}
    assert [request.tool_choice for request in chat.requests] == ["any", "any"]


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


@pytest.mark.parametrize(
    "schema",
    [{"type": "str"}, {"type": "string", "pattern": "("}, {"type": "integer", "minimum": "1"}, {"enum": "ab"}],
)
def test_what_is_no_schema_is_refused_when_calls_are_checked(schema):
    parameters = {"type": "object", "properties": {"x": schema}}
    wrong = {"type": "function", "function": {"name": "wrong", "parameters": parameters}}
    with pytest.raises(InvalidRequestError, match=r"no JSON Schema, at properties\.x"):
        model("Hi").bind_tools([wrong], strict=True)
    with pytest.raises(InvalidRequestError, match=r"no JSON Schema, at properties\.x"):
        model(Call("wrong", {"x": 1})).invoke("Hi", tools=[wrong], strict=True)
    with pytest.raises(InvalidRequestError, match=r"no JSON Schema, at properties\.x"):
        model(Call("wrong", {"x": 1}), constrain="none").bind_tools([wrong], tool_choice="any").invoke("Hi")


@pytest.mark.parametrize(
    ("step", "good", "bad"),
    [
        (0.01, [19.99, 0.07, -0.29, 1e300, 5, True, "a"], [0.005, 19.999, float("nan")]),
        (0.1, [0.3, 0.7], [0.35]),
        (2, [4, 4.0, 10**400, 0], [3, 4.5, 10**400 + 1]),
    ],
)
def test_multiples_are_those_of_decimal_fractions(step, good, bad):
    assert [value for value in good if fault_of(value, {"multipleOf": step})] == []
    assert [value for value in bad if fault_of(value, {"multipleOf": step}) is None] == []
    assert "is not a multiple of" in fault_of({"x": bad[0]}, {"properties": {"x": {"multipleOf": step}}})


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
    told = request.turns[0].text
    assert "Tell the weather of a city." in told
    assert "You must call one of the tools." in told
    assert '\n{"name": "name_of_the_tool", "arguments": {' in told
    assert "<tool_call>" not in told  # it is to write the bare object
    assert isinstance(request.settings.constraint, JsonOutput)


def test_log_probabilities_are_kept():
    request = ChatRequest((Turn("user", (Text("Hi"),)),), tuple(to_tools([{"name": "now"}])), "any")
    flow = lifted(request)
    next(flow)
    said = ['{"name": "now", ', '"arguments": {}}']
    probable = [TokenLogprob(piece, -0.5) for piece in said]
    finish = FinishDelta("stop", Usage(1, 2), Timings(0.1), "m")
    with pytest.raises(StopIteration) as end:
        flow.send([*(TextDelta(piece, (logprob,)) for piece, logprob in zip(said, probable, strict=True)), finish])
    deltas = end.value.value
    assert [type(delta) for delta in deltas] == [TextDelta, TextDelta, ToolCallDelta, FinishDelta]
    assert [delta.text for delta in deltas[:2]] == ["", ""]
    assert [logprob for delta in deltas[:2] for logprob in delta.logprobs] == probable


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
def test_a_forced_call_beside_a_grammar_is_refused(constrain):
    forced = model("Hi", constrain=constrain).bind_tools(TOOLS, tool_choice="any")
    with pytest.raises(InvalidRequestError, match="both say what the answer is"):
        forced.invoke("Hi", grammar='root ::= "x"')


@pytest.mark.parametrize("constrain", ["grammar", "schema", "none"])
def test_a_forced_call_comes_before_a_format(constrain):
    called = '{"name": "weather", "arguments": {"city": "Paris"}}' if constrain == "schema" else PARIS
    chat = model(called, constrain=constrain)
    schema = {"title": "Mood", "type": "object", "properties": {"mood": {"type": "string"}}}
    form = {"type": "json_schema", "json_schema": {"name": "Mood", "schema": schema}}
    message = chat.bind_tools(TOOLS, tool_choice="any").invoke("Hi", response_format=form)
    assert message.tool_calls[0]["args"] == {"city": "Paris"}
    asked = chat.requests[0]
    assert "mood" not in "".join(turn.text for turn in asked.turns)
    if constrain != "grammar":
        assert "mood" not in str(asked.settings.constraint)


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


def test_closing_before_the_engine_was_asked_ends_it_at_once():
    closed = []

    class Engine:
        def chat(self, request):
            stream.close()  # as another thread may just now
            return self

        def __iter__(self):
            assert closed, "it is read though it was to be closed"
            return iter(())

        def close(self):
            closed.append(True)

    request = ChatRequest((Turn("user", (Text("Hi"),)),), tuple(to_tools([{"name": "now"}])), "any")
    stream = FlowStream(Engine(), lifted(request))
    assert list(stream) == []


def test_an_answer_that_breaks_off_is_an_error():
    broken = Answer('{"name": "now"', whole=False)
    for constrain in ("schema", "none"):
        with pytest.raises(EngineError, match="broke off"):
            model(broken, constrain=constrain).bind_tools(TOOLS, tool_choice="any").invoke("Hi")
