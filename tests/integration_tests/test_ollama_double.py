"""`ChatOllama` and `OllamaLLM` over a real socket: what they answer, and what the server is sent."""

from __future__ import annotations

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from pydantic import BaseModel, ValidationError

from langchain_localmodels import ChatOllama, OllamaLLM
from langchain_localmodels.engines.base import ChatRequest, Text, Turn
from langchain_localmodels.engines.ollama.engine import OllamaEngine
from langchain_localmodels.errors import (
    InvalidRequestError,
    UnsupportedFeatureError,
)
from tests.doubles.asking import drivers, text_of
from tests.doubles.ollama_server import Reply

MODEL = "llama3.1:8b"


# --- streams --------------------------------------------------------------------------------------------------------


def test_all_four_ways_to_ask_give_the_same(model):
    assert set(drivers(model, "one two three").values()) == {"You said: one two three"}


@pytest.mark.parametrize("split", [1, 2, 3, 7])
def test_the_cuts_of_the_network_do_not_show(server, model, split):
    server.reply = Reply(pieces=["a\x85b", "\u2028", "c\u2029", "é😀", "\r\n"], last_text="!", split=split)
    assert set(drivers(model, "x").values()) == {"a\x85b\u2028c\u2029é😀\r\n!"}


def test_pieces_come_as_they_are_made(server, model):
    server.reply = Reply(pieces=["a", "b", "c"], delay=0.15)
    stream = model.stream("x")
    next(stream)
    assert server.lines_sent < 3
    assert "".join(text_of(chunk) for chunk in stream) == "bc"


def test_a_limit_ends_the_answer(server):
    message = ChatOllama(model=MODEL, num_predict=3).invoke("one two three")
    assert message.content == "You said: one"
    assert message.response_metadata["finish_reason"] == "length"
    assert OllamaLLM(model=MODEL, stop=["two"]).invoke("one two three", max_tokens=50) == "You said: one "
    assert server.last["options"] == {"num_predict": 50, "stop": ["two"]}


def test_reasoning_comes_apart_from_the_answer(server):
    server.reply = Reply(thinking=["Let me", " see."], pieces=["42"])
    chat = ChatOllama(model=MODEL, reasoning=True)
    message = chat.invoke("x")
    assert (message.content, message.additional_kwargs["reasoning_content"]) == ("42", "Let me see.")
    assert server.last["think"] is True
    chunks = list(chat.stream("x", reasoning="high"))
    assert "".join(chunk.additional_kwargs.get("reasoning_content", "") for chunk in chunks) == "Let me see."
    assert server.last["think"] == "high"


@pytest.mark.parametrize("in_last_line", [True, False])
def test_tool_calls_come_whole_and_apart(server, in_last_line):
    calls = [
        {"id": "call_1", "function": {"index": 0, "name": "add", "arguments": {"a": 1, "b": {"c": "é"}}}},
        {"function": {"name": "add", "arguments": {}}},
    ]
    server.reply = Reply(pieces=["Well."], tool_calls=calls, tool_calls_in_last_line=in_last_line)
    chat = ChatOllama(model=MODEL)
    whole = chat.invoke("x")
    joined = sum(list(chat.stream("x"))[1:], start=next(chat.stream("x")))
    for message in (whole, joined):
        assert message.content == "Well."
        assert [(call["name"], call["args"]) for call in message.tool_calls] == [
            ("add", {"a": 1, "b": {"c": "é"}}),
            ("add", {}),
        ]
        assert message.tool_calls[0]["id"] == "call_1"
        assert message.tool_calls[1]["id"]
        assert message.response_metadata["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("call", [{}, {"function": {"arguments": {}}}, {"function": {"name": "f", "arguments": "{"}}])
def test_tool_calls_that_cannot_be_read_are_told_as_such(server, call):
    server.reply = Reply(pieces=[], tool_calls=[call])
    message = ChatOllama(model=MODEL).invoke("x")
    assert message.tool_calls == []
    assert len(message.invalid_tool_calls) == 1


def test_counts_that_the_server_leaves_out_are_none(server):
    server.reply = Reply(final={"prompt_eval_count": None, "total_duration": None, "done_reason": None})
    message = ChatOllama(model=MODEL).invoke("one")
    assert message.usage_metadata == {"input_tokens": 0, "output_tokens": 3, "total_tokens": 3}
    assert message.response_metadata["finish_reason"] == "stop"
    assert message.response_metadata["total_duration"] > 0


def test_log_probabilities(server):
    message = ChatOllama(model=MODEL, logprobs=True, top_logprobs=1).invoke("one")
    assert (server.last["logprobs"], server.last["top_logprobs"]) == (True, 1)
    content = message.response_metadata["logprobs"]["content"]
    assert [entry["token"] for entry in content] == ["You", " said:", " one"]
    assert content[0]["top_logprobs"] == [{"token": "You", "logprob": -0.5}]


# --- what goes over the wire ----------------------------------------------------------------------------------------


def test_every_option_reaches_the_server_under_its_name(server):
    sampling = {
        "temperature": 0.1, "top_k": 5, "top_p": 0.5, "min_p": 0.1, "typical_p": 0.9, "repeat_penalty": 1.1,
        "repeat_last_n": 32, "frequency_penalty": 0.2, "presence_penalty": 0.3, "mirostat": 2, "mirostat_tau": 4.0,
        "mirostat_eta": 0.2, "seed": 7,
    }  # fmt: skip
    own = {
        "num_ctx": 4096,
        "num_batch": 8,
        "num_gpu": 0,
        "main_gpu": 0,
        "num_thread": 2,
        "use_mmap": True,
        "num_keep": 4,
    }
    llm = OllamaLLM(model=MODEL, max_tokens=9, **sampling, **own, keep_alive="10m", format="json", options={"new": 1})
    llm.invoke("x", options={"newer": 2})
    assert server.last == {
        "model": MODEL, "prompt": "x", "stream": True, "format": "json", "keep_alive": "10m",
        "options": {**sampling, "num_predict": 9, **own, "new": 1, "newer": 2},
    }  # fmt: skip


def test_what_is_not_said_is_not_sent(server):
    ChatOllama(model=MODEL).invoke("x")
    assert server.last == {"model": MODEL, "messages": [{"role": "user", "content": "x"}], "stream": True}


def test_options_of_one_call(server):
    llm = OllamaLLM(model=MODEL, temperature=0, num_ctx=512)
    llm.invoke("x", temperature=1, num_ctx=1024, think=False, raw=True, model="tiny:latest")
    assert server.last["options"] == {"temperature": 1, "num_ctx": 1024}
    assert (server.last["raw"], server.last["think"], server.last["model"]) == (True, False, "tiny:latest")
    with pytest.raises(InvalidRequestError, match="num_ctx"):
        llm.invoke("x", num_ctx=-5)
    with pytest.raises(UnsupportedFeatureError, match="raw"):
        ChatOllama(model=MODEL).invoke("x", raw=True)


@pytest.mark.parametrize(("given", "sent"), [(5, 5), (-1, -1), ("300", 300), ("1h30m", "1h30m"), (0, 0)])
def test_keep_alive(server, given, sent):
    OllamaLLM(model=MODEL, keep_alive=given).invoke("x")
    assert server.last["keep_alive"] == sent
    with pytest.raises(ValidationError, match="duration"):
        OllamaLLM(model=MODEL, keep_alive="soon")


def test_a_schema_constrains_the_answer(server):
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    ChatOllama(model=MODEL, format=schema).invoke("x")
    assert server.last["format"] == schema
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    ChatOllama(model=MODEL).invoke("x", response_format=form)
    assert server.last["format"] == schema
    with pytest.raises(UnsupportedFeatureError, match="grammar"):
        ChatOllama(model=MODEL).invoke("x", grammar='root ::= "a"')


class Place(BaseModel):
    """Where to look."""

    city: str
    country: str | None = None


class Weather(BaseModel):
    """Tell the weather."""

    place: Place
    days: int = 1


def test_tool_schemas_arrive_whole(server):
    ChatOllama(model=MODEL).bind_tools([Weather]).invoke("x")
    (tool,) = server.last["tools"]
    properties = tool["function"]["parameters"]["properties"]
    assert properties["place"]["properties"]["country"]["anyOf"] == [{"type": "string"}, {"type": "null"}]
    assert properties["days"]["default"] == 1
    ChatOllama(model=MODEL).bind_tools([Weather], tool_choice="none").invoke("x")
    assert "tools" not in server.last


def test_a_conversation_arrives_whole(server):
    image = {"type": "image", "base64": "aGk=", "mime_type": "image/png"}
    call = {"name": "add", "args": {"a": 1}, "id": "c1", "type": "tool_call"}
    chat = ChatOllama(model=MODEL)
    chat.invoke(
        [
            SystemMessage("Be brief."),
            HumanMessage([{"type": "text", "text": "Look"}, image]),
            AIMessage("", tool_calls=[call], additional_kwargs={"reasoning_content": "Hm."}),
            ToolMessage("2", tool_call_id="c1"),
        ]
    )
    assert server.last["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Look", "images": ["aGk="]},
        {
            "role": "assistant", "content": "", "thinking": "Hm.",
            "tool_calls": [{"id": "c1", "function": {"index": 0, "name": "add", "arguments": {"a": 1}}}],
        },
        {"role": "tool", "content": "2", "tool_name": "add", "tool_call_id": "c1"},
    ]  # fmt: skip


def test_a_call_that_went_wrong_is_shown_to_the_model_and_not_refused(server):
    wrong = {"name": "add", "args": '{"a": ', "id": "c1", "error": "cut off", "type": "invalid_tool_call"}
    complaint = ToolMessage("That was no JSON.", tool_call_id="c1", status="error")
    ChatOllama(model=MODEL).invoke([HumanMessage("x"), AIMessage("", invalid_tool_calls=[wrong]), complaint])
    _, call, result = server.last["messages"]
    (function,) = (entry["function"] for entry in call["tool_calls"])
    assert function == {"index": 0, "name": "add", "arguments": {"invalid_json": '{"a": '}}
    assert result["tool_name"] == "add"


@pytest.mark.parametrize(("said", "sent"), [("no such city", "Error: no such city"), ("Error: gone", "Error: gone")])
def test_a_tool_that_failed_is_told_as_such(server, said, sent):
    turn = Turn("tool", (Text(said),), name="weather", is_error=True)
    list(OllamaEngine(MODEL, base_url=server.url).chat(ChatRequest((turn,))))
    assert server.last["messages"] == [{"role": "tool", "content": sent, "tool_name": "weather"}]


def test_headers_keys_and_paths(server):
    kwargs = {"headers": {"X-Team": "a"}}
    OllamaLLM(model=MODEL, client_kwargs=kwargs, api_key="secret").invoke("x")
    assert server.seen[-1].headers["X-Team"] == "a"
    assert server.seen[-1].headers["Authorization"] == "Bearer secret"
    assert kwargs == {"headers": {"X-Team": "a"}}
    OllamaLLM(model=MODEL, base_url=f"http://me:pass@127.0.0.1:{server.port}").invoke("x")
    assert server.seen[-1].headers["Authorization"].startswith("Basic ")
    with pytest.raises(InvalidRequestError, match="does not know Ollama's API"):
        OllamaLLM(model=MODEL, base_url=f"{server.url}/elsewhere").invoke("x")
    assert server.seen[-1].path == "/elsewhere/api/generate"
