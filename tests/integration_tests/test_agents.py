"""LangChain's agents and LangGraph on the demo model: tools, structured responses, middleware, every way to stream."""

from __future__ import annotations

import json

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    ModelCallLimitMiddleware,
    ModelFallbackMiddleware,
    ModelRetryMiddleware,
    SummarizationMiddleware,
    ToolRetryMiddleware,
)
from langchain.agents.structured_output import ToolStrategy
from langchain_core.exceptions import ContextOverflowError
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel, Field

from langchain_localmodels import ChatGPT4All, ChatLlamaCpp, init_local_chat_model
from langchain_localmodels.demo import model_path

CITY = "San Francisco, CA"
QUESTION = {"messages": [HumanMessage(f"What is the weather in {CITY}?")]}


@tool
def get_weather(location: str) -> str:
    """Get weather at a location."""
    return f"It's sunny in {location}."


class Joke(BaseModel):
    """Joke to tell user."""

    setup: str = Field(description="question to set up a joke")
    punchline: str = Field(description="answer to resolve the joke")


@pytest.fixture(scope="module", params=["llamacpp", "gpt4all"])
def chat(request):
    with init_local_chat_model(f"{request.param}:{model_path}", temperature=0, n_threads=1, max_tokens=200) as model:
        yield model


@pytest.fixture(scope="module")
def held():
    """A model that can be held to a form."""
    with ChatLlamaCpp(model_path=model_path, temperature=0, n_threads=1, max_tokens=200) as model:
        yield model


def calls_of(messages):
    return [(call["name"], call["args"]) for m in messages if isinstance(m, AIMessage) for call in m.tool_calls]


# --- tools ----------------------------------------------------------------------------------------------------------


async def test_an_agent_calls_a_tool_and_tells_what_it_said(chat):
    agent = create_agent(chat, [get_weather])
    for answer in (agent.invoke(QUESTION), await agent.ainvoke(QUESTION)):
        kinds = [type(message) for message in answer["messages"]]
        assert kinds == [HumanMessage, AIMessage, ToolMessage, AIMessage]
        assert calls_of(answer["messages"]) == [("get_weather", {"location": CITY})]
        assert "sunny" in answer["messages"][-1].text
        call, result = answer["messages"][1].tool_calls[0], answer["messages"][2]
        assert result.tool_call_id == call["id"]
        assert all(m.usage_metadata["total_tokens"] > 0 for m in answer["messages"] if isinstance(m, AIMessage))


def test_many_agents_at_once_do_not_mix(chat):
    agent = create_agent(chat, [get_weather])
    cities = ["Paris", "Rome", "Tokyo", "San Francisco, CA", "Berlin", "London"]
    answers = agent.batch([{"messages": [HumanMessage(f"What is the weather in {city}?")]} for city in cities])
    for city, answer in zip(cities, answers, strict=True):
        assert calls_of(answer["messages"]) == [("get_weather", {"location": city})]


# --- structured responses -------------------------------------------------------------------------------------------


def test_the_strategy_is_the_models_own_because_its_profile_says_so(held):
    assert held.profile["structured_output"] is True
    agent = create_agent(held, [], response_format=Joke)
    answer = agent.invoke({"messages": [HumanMessage("Tell me a joke about cats.")]})
    assert isinstance(answer["structured_response"], Joke)
    last = answer["messages"][-1]
    assert not last.tool_calls
    assert json.loads(last.text) == answer["structured_response"].model_dump()


def test_the_strategy_is_a_call_where_the_model_cannot_be_held_to_a_form():
    with ChatGPT4All(model=model_path, temperature=0, n_threads=1, max_tokens=200) as chat:
        assert chat.profile["structured_output"] is False
        answer = create_agent(chat, [], response_format=Joke).invoke(
            {"messages": [HumanMessage("Tell me a joke about cats.")]}
        )
    assert isinstance(answer["structured_response"], Joke)
    assert [name for name, _ in calls_of(answer["messages"])] == ["Joke"]


async def test_a_response_format_beside_tools_leaves_room_for_calls(held):
    class Report(BaseModel):
        """The weather at a location."""

        location: str
        sky: str

    schema = {"type": "json_schema", "json_schema": {"name": "Report", "schema": Report.model_json_schema()}}
    both = held.bind_tools([get_weather], response_format=schema)
    asked = await both.ainvoke(QUESTION["messages"])
    assert [(c["name"], c["args"]) for c in asked.tool_calls] == [("get_weather", {"location": CITY})]
    for seed in range(6):
        message = both.bind(temperature=1.5, seed=seed).invoke("Hello!")
        if message.response_metadata["finish_reason"] != "length":
            assert message.tool_calls or Report.model_validate_json(message.text)
    alone = held.bind_tools([], response_format=schema).invoke(QUESTION["messages"])
    assert Report.model_validate_json(alone.text)


def test_tool_strategy_forces_a_call_of_the_schema(chat):
    agent = create_agent(chat, [], response_format=ToolStrategy(Joke))
    answer = agent.invoke({"messages": [HumanMessage("Tell me a joke about cats.")]})
    assert isinstance(answer["structured_response"], Joke)
    assert [name for name, _ in calls_of(answer["messages"])] == ["Joke"]


# --- middleware -----------------------------------------------------------------------------------------------------


def test_summarization_goes_by_exact_counts(chat):
    seen = []
    counting = SummarizationMiddleware(
        model=chat,
        trigger=("tokens", 200),
        keep=("messages", 2),
        summary_prompt="Summarize this text: {messages}",
        token_counter=lambda messages: seen.append(chat.get_num_tokens_from_messages(messages)) or seen[-1],
    )
    agent = create_agent(chat, [get_weather], middleware=[counting])
    talk = [said for _ in range(12) for said in (HumanMessage("Hi, my name is Ada."), AIMessage("Hello Ada."))]
    answer = agent.invoke({"messages": [*talk, *QUESTION["messages"]]})
    assert max(seen) > 200
    first, *rest = answer["messages"]
    assert "summary" in first.text
    assert len(rest) < len(talk) / 2
    assert isinstance(rest[-1], AIMessage)


def test_summarization_reads_the_window_from_the_profile(chat):
    window = chat.profile["max_input_tokens"]
    middleware = SummarizationMiddleware(
        model=chat,
        trigger=("fraction", 0.2),
        keep=("fraction", 0.05),
        summary_prompt="Summarize this text: {messages}",
    )
    agent = create_agent(chat, [], middleware=[middleware])
    said = "Tell me about the moon. " * 8, "It is far away. " * 8
    talk = [message for _ in range(5) for message in (HumanMessage(said[0]), AIMessage(said[1]))]
    assert chat.get_num_tokens_from_messages(talk) > 0.2 * window
    answer = agent.invoke({"messages": [*talk, HumanMessage("Who was the first man on the moon?")]})
    assert "summary" in answer["messages"][0].text
    assert len(answer["messages"]) < len(talk)


def test_retries_and_fallbacks_go_by_our_errors(chat):
    class Flaky(ChatLlamaCpp):
        """Fails as a server that cannot be reached would, twice."""

        failures: list[int] = Field(default_factory=list)

        def _generate(self, *args, **kwargs):
            from langchain_localmodels.errors import EngineUnreachableError

            if len(self.failures) < 2:
                self.failures.append(1)
                raise EngineUnreachableError("Nobody is there.")
            return super()._generate(*args, **kwargs)

    flaky = Flaky(model_path=model_path, temperature=0, n_threads=1)
    retry = ModelRetryMiddleware(max_retries=3, initial_delay=0.0, jitter=False)
    answer = create_agent(flaky, [get_weather], middleware=[retry]).invoke(QUESTION)
    assert "sunny" in answer["messages"][-1].text
    assert len(flaky.failures) == 2

    gone = Flaky(model_path=model_path, temperature=0, n_threads=1)
    fallback = create_agent(gone, [get_weather], middleware=[ModelFallbackMiddleware(chat)])
    assert "sunny" in fallback.invoke(QUESTION)["messages"][-1].text


def test_a_prompt_that_is_too_long_is_the_error_that_agents_know():
    with ChatLlamaCpp(model_path=model_path, n_ctx=256, n_threads=1) as small:
        agent = create_agent(small, [])
        with pytest.raises(ContextOverflowError):
            agent.invoke({"messages": [HumanMessage("word " * 2000)]})


def test_limits_and_retried_tools(chat):
    tries = []

    @tool
    def get_weather(location: str) -> str:
        """Get weather at a location."""
        tries.append(location)
        if len(tries) == 1:
            raise RuntimeError("no signal")
        return f"It's sunny in {location}."

    limits = [
        ModelCallLimitMiddleware(run_limit=4),
        ToolRetryMiddleware(max_retries=2, initial_delay=0.0, jitter=False),
    ]
    answer = create_agent(chat, [get_weather], middleware=limits).invoke(QUESTION)
    assert tries == [CITY, CITY]
    assert "sunny" in answer["messages"][-1].text


# --- streaming ------------------------------------------------------------------------------------------------------


def joined(chunks):
    whole = None
    for chunk in chunks:
        whole = chunk if whole is None else whole + chunk
    return whole


def by_id(streamed):
    found: dict[str, list[AIMessageChunk]] = {}
    for chunk, _ in streamed:
        if isinstance(chunk, AIMessageChunk):
            found.setdefault(chunk.id, []).append(chunk)
    return [joined(chunks) for chunks in found.values()]


async def test_messages_mode_streams_tokens(chat):
    agent = create_agent(chat, [get_weather])
    want = agent.invoke(QUESTION)["messages"]
    sync = list(agent.stream(QUESTION, stream_mode="messages"))
    asynchronous = [item async for item in agent.astream(QUESTION, stream_mode="messages")]
    for streamed in (sync, asynchronous):
        call, final = by_id(streamed)
        assert [(c["name"], c["args"]) for c in call.tool_calls] == calls_of(want)
        assert final.text == want[-1].text
        pieces = [chunk for chunk, meta in streamed if isinstance(chunk, AIMessageChunk) and chunk.text]
        assert len(pieces) > 3
        assert all(meta["langgraph_node"] in ("model", "tools") for _, meta in streamed)


def test_updates_and_values_modes(chat):
    agent = create_agent(chat, [get_weather])
    nodes = [name for update in agent.stream(QUESTION, stream_mode="updates") for name in update]
    assert nodes == ["model", "tools", "model"]
    last = list(agent.stream(QUESTION, stream_mode="values"))[-1]
    assert "sunny" in last["messages"][-1].text


async def test_events_of_version_2(chat):
    agent = create_agent(chat, [get_weather])
    events = [event async for event in agent.astream_events(QUESTION, version="v2")]
    names = [event["event"] for event in events]
    assert names.count("on_chat_model_start") == names.count("on_chat_model_end") == 2
    assert names.count("on_tool_start") == names.count("on_tool_end") == 1
    streamed = [e["data"]["chunk"] for e in events if e["event"] == "on_chat_model_stream"]
    assert "sunny" in "".join(chunk.text for chunk in streamed)


async def test_events_of_version_3(chat):
    bound = chat.bind_tools([get_weather])
    stream = bound.stream_events(QUESTION["messages"], version="v3")
    message = stream.output
    assert [(c["name"], c["args"]) for c in message.tool_calls] == [("get_weather", {"location": CITY})]
    assert message.usage_metadata["output_tokens"] > 0
    streamed = await bound.astream_events(QUESTION["messages"], version="v3")
    again = await streamed.output
    assert [(c["name"], c["args"]) for c in again.tool_calls] == [("get_weather", {"location": CITY})]


async def test_output_version_1():
    with ChatLlamaCpp(model_path=model_path, temperature=0, n_threads=1, max_tokens=200, output_version="v1") as chat:
        agent = create_agent(chat, [get_weather])
        messages = agent.invoke(QUESTION)["messages"]
        (block,) = messages[1].content
        assert (block["type"], block["name"], block["args"]) == ("tool_call", "get_weather", {"location": CITY})
        (said,) = messages[-1].content
        assert said["type"] == "text"
        assert "sunny" in said["text"]
        call, final = by_id(list(agent.stream(QUESTION, stream_mode="messages")))
        assert [b["type"] for b in call.content_blocks] == ["tool_call"]
        assert final.text == messages[-1].text
        parts = [chunk async for chunk in chat.bind_tools([get_weather]).astream(QUESTION["messages"])]
        assert [b["type"] for b in joined(parts).content_blocks] == ["tool_call"]
