"""What is told of a model on an Ollama server: its profile, and prompts that the server has cut."""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage, SystemMessage
from pydantic import BaseModel

from langchain_localmodels import ChatOllama, OllamaLLM
from langchain_localmodels.engines.ollama import knowledge
from langchain_localmodels.engines.ollama.knowledge import full_name, read_details
from langchain_localmodels.errors import ModelMissingError
from tests.doubles.ollama_server import Reply

MODEL = "llama3.1:8b"


@pytest.fixture(autouse=True)
def _nothing_is_known_yet():
    """Ports come again, and with them what another test has found out."""
    knowledge._kept.clear()


# --- profiles ---------------------------------------------------------------------------------------------------------


def test_construction_asks_nothing_and_loading_asks_once(server):
    chat = ChatOllama(model=MODEL)
    assert chat.profile is None
    assert server.seen == []
    assert chat.load() is chat
    assert [(seen.method, seen.path) for seen in server.seen] == [("POST", "/api/show"), ("GET", "/api/ps")]
    profile = chat.profile
    assert profile["max_input_tokens"] == 4096  # the least that a server gives, where nobody tells more
    for name in ("image_inputs", "tool_calling", "tool_choice", "reasoning_output", "text_inputs"):
        assert profile[name] is True, name
    assert profile["structured_output"] is False
    # What one object has found out the next one knows.
    assert ChatOllama(model=MODEL).profile == dict(profile)
    assert ChatOllama(model="LLAMA3.1:8B").profile["max_input_tokens"] == 4096
    assert ChatOllama(model="tiny").profile is None
    assert len(server.seen) == 2


def test_checking_the_model_at_construction(server):
    assert ChatOllama(model=MODEL, validate_model_on_init=True).profile["tool_calling"] is True
    OllamaLLM(model=MODEL, validate_model_on_init=True)
    assert [seen.path for seen in server.seen].count("/api/show") == 2
    for cls in (ChatOllama, OllamaLLM):
        with pytest.raises(ModelMissingError, match="nobody"):
            cls(model="nobody", validate_model_on_init=True)


@pytest.mark.parametrize(
    ("fields", "parameters", "running", "window"),
    [
        ({}, None, [], 4096),
        ({"num_ctx": 1024}, None, [], 1024),
        ({"num_ctx": 1024}, "num_ctx 2048", [{"name": MODEL, "context_length": 512}], 1024),
        ({"options": {"num_ctx": 300}}, None, [], 300),
        ({"num_ctx": 99999}, None, [], 8192),
        ({}, 'stop "<|x|>"\nnum_ctx                        2048\ntop_k 3', [], 2048),
        ({}, "num_ctx 2048", [{"name": MODEL, "context_length": 512}], 512),
        ({}, None, [{"name": "other", "context_length": 512}], 4096),
        ({}, None, [{"name": MODEL}], 4096),
        ({}, None, None, 4096),
    ],
)
def test_the_window(server, fields, parameters, running, window):
    server.shown["parameters"], server.running = parameters, running
    with ChatOllama(model=MODEL, **fields) as chat:
        chat.load()
        assert chat.profile["max_input_tokens"] == window
        assert chat.engine.capabilities().context_window == window


def test_models_that_can_less(server):
    server.shown["capabilities"] = ["completion"]
    chat = ChatOllama(model=MODEL).load()
    assert (chat.profile["image_inputs"], chat.profile["tool_calling"], chat.profile["tool_choice"]) == (0, 0, 1)
    assert chat.engine.capabilities().images is False
    server.shown["capabilities"] = ["embedding"]
    assert chat.load().profile["text_outputs"] is False
    server.shown |= {"capabilities": ["completion", "tools"], "remote_host": "https://ollama.com"}
    assert chat.load().profile["max_input_tokens"] == 8192
    assert chat.profile["tool_choice"] is False  # no `format` there


def test_servers_that_do_not_tell(server):
    server.shown = {"details": {}}
    chat = ChatOllama(model=MODEL).load()
    assert chat.profile["max_input_tokens"] == 4096
    assert "tool_calling" not in chat.profile
    assert chat.engine.capabilities().images is True


def test_a_profile_of_the_users_own_stays(server):
    chat = ChatOllama(model=MODEL, profile={"max_input_tokens": 7}).load()
    assert chat.profile == {"max_input_tokens": 7}


def test_a_profile_that_came_late_tells_no_objects_apart(server):
    chat, other = ChatOllama(model=MODEL), ChatOllama(model=MODEL)
    chat.load()
    assert other.profile is None
    assert chat == other == chat
    for again in (copy.copy(chat), copy.deepcopy(chat), pickle.loads(pickle.dumps(chat)), ChatOllama(model=MODEL)):
        assert again == chat == again
        assert again.profile["tool_calling"] is True
    assert ChatOllama(model=MODEL, num_ctx=99) != chat
    chat.num_ctx = 99
    assert chat.profile["max_input_tokens"] == 99
    assert "profile" not in repr(chat)


@pytest.mark.parametrize(
    "answer", [None, [], 3, {"model_info": 3, "details": [], "capabilities": "x"}, {"model_info": {}}]
)
def test_answers_of_another_kind_are_read_as_nothing(answer):
    details = read_details("m", answer)
    assert (details.model, details.capabilities, details.context_length) == ("m", None, None)


def test_reading_details():
    info = {"general.architecture": "qwen3", "qwen3.context_length": 40960, "vision.embedding_length": 3}
    details = read_details("m", {"model_info": info, "license": "MIT", "system": "Be brief."})
    assert (details.context_length, details.embedding_length) == (40960, 3)
    assert (details.architecture, details.license, details.system) == ("qwen3", "MIT", "Be brief.")
    assert full_name("host:5000/library/Llama3") == "host:5000/library/llama3:latest"


def test_an_agent_with_a_tool_and_a_form_calls_the_tool(server):
    """After loading too: Ollama's `format` would leave no room for the call."""

    class Weather(BaseModel):
        """The weather."""

        city: str

    def look_up(city: str) -> str:
        """Look up the weather."""
        return "sunny"

    call = {"function": {"name": "look_up", "arguments": {"city": "Rome"}}}
    form = {"function": {"name": "Weather", "arguments": {"city": "Rome"}}}
    asked = []

    def reply(self):
        asked.append(self.seen[-1].body)
        return Reply(pieces=[], tool_calls=[call if len(asked) == 1 else form])

    kind = type(server)
    server.__class__ = type("Scripted", (kind,), {"reply": property(reply, lambda self, value: None)})
    agent = create_agent(ChatOllama(model=MODEL).load(), tools=[look_up], response_format=Weather)
    state = agent.invoke({"messages": [HumanMessage("Weather in Rome?")]})
    assert state["structured_response"] == Weather(city="Rome")
    assert [message.content for message in state["messages"]].count("sunny") == 1


# --- prompts that are cut ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "count", "told"),
    [
        ({}, 5, True),  # fewer tokens than words
        ({}, 20, False),
        ({}, 400, False),
        ({"num_ctx": 400}, 400, True),  # no token of the window is left
        ({"num_ctx": 400}, 399, False),
        ({"options": {"num_ctx": 400}}, 400, True),
        ({}, None, False),  # old servers do not count what they remember
    ],
)
def test_a_prompt_that_was_cut_is_told(server, model, caplog, fields, count, told):
    server.reply = Reply(pieces=["Yes."], final={"prompt_eval_count": count})
    prompt = " ".join(["word"] * 20)
    with type(model)(model=MODEL, **fields) as asked:
        for ask in (
            lambda: asked.invoke(prompt),
            lambda: list(asked.stream(prompt)),
            lambda: asyncio.run(asked.ainvoke(prompt)),
        ):
            caplog.clear()
            with caplog.at_level(logging.WARNING):
                ask()
            assert [record.name.rpartition(".")[2] for record in caplog.records] == ["silent_faults"] * told


def test_the_words_of_all_messages_count(server, caplog):
    server.reply = Reply(pieces=["Yes."], final={"prompt_eval_count": 8})
    chat = ChatOllama(model=MODEL)
    chat.invoke([SystemMessage("one two three four"), HumanMessage("five six seven eight")])
    assert not caplog.records
    chat.invoke([SystemMessage("one two three four five"), HumanMessage("six seven eight nine")])
    assert "num_ctx" in caplog.records[0].getMessage()


# --- answers that are swallowed ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "stop", "told"),
    [
        (Reply(pieces=[], final={"eval_count": 22}), None, True),
        (Reply(pieces=[], final={"eval_count": 1}), None, False),  # the model had nothing to say
        (Reply(pieces=[], final={"eval_count": 22}), ["a"], False),  # what it said was stopped at once
        (Reply(pieces=["a"], final={"eval_count": 22}), None, False),
    ],
)
def test_a_call_that_the_server_could_not_read_is_told(server, caplog, reply, stop, told):
    def look_up(city: str) -> str:
        """Look up the weather."""
        return city

    server.reply = reply
    chat = ChatOllama(model=MODEL)
    chat.bind_tools([look_up]).invoke("x", stop=stop)
    assert [("could not read" in record.getMessage()) for record in caplog.records] == [True] * told
    chat.invoke("x")
    assert len(caplog.records) == told


def test_log_probabilities_that_do_not_come_are_told(server, caplog):
    chat = ChatOllama(model=MODEL, logprobs=True)
    chat.invoke("x")
    assert not caplog.records
    server.reply = Reply(pieces=["a"], knows_logprobs=False)
    chat.invoke("x")
    assert "0.12.11" in caplog.records[0].getMessage()
