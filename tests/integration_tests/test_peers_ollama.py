"""What langchain-ollama gets wrong, done right: what is sent, what comes of answers, and whose server is asked.

Each test names a defect that was seen to happen there on this double. Defects that other files show to be absent here
are not repeated; those of its text model and of vectors are in `test_peers_ollama_text.py`.
"""

from __future__ import annotations

import asyncio
import socket
import sys

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from pydantic import BaseModel

from langchain_localmodels import ChatOllama, OllamaEmbeddings, OllamaLLM
from langchain_localmodels.errors import (
    EngineUnreachableError,
    StructuredOutputError,
    UnsupportedContentError,
)
from tests.doubles.asking import failures
from tests.doubles.ollama_server import OllamaDouble, Reply

MODEL = "llama3.1:8b"
METHODS = ["json_schema", "function_calling", "json_mode"]
NUMBER = {"title": "Number", "type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}


class Number(BaseModel):
    """A number."""

    x: int


@pytest.fixture
def chat(server):
    with ChatOllama(model=MODEL) as made:
        yield made


def headers_of(seen):
    return {name.lower(): value for name, value in seen.headers.items()}


def lost(given, sent, place="tool"):
    """Where something of what was given has not been sent; descriptions may say more than they did."""
    if isinstance(given, dict) and isinstance(sent, dict):
        return [
            where
            for name, value in given.items()
            for where in (lost(value, sent[name], f"{place}.{name}") if name in sent else [f"{place}.{name}"])
        ]
    same = sent.startswith(given) if place.endswith(".description") and isinstance(sent, str) else sent == given
    return [] if same else [place]


def joined(chunks):
    first, *rest = chunks
    return sum(rest, start=first)


# --- tools ------------------------------------------------------------------------------------------------------------


def test_tool_choice_is_not_thrown_away(server, chat):
    """There it is taken and dropped, so that the model may answer as it likes."""
    server.reply = Reply(pieces=['{"name": "Number", ', '"arguments": {"x": 4}}'])
    chat.bind_tools([Number], tool_choice="auto").invoke("x")
    assert "format" not in server.last
    chat.bind_tools([Number], tool_choice="Number").invoke("x")
    assert isinstance(server.last["format"], dict)
    assert "Number" in str(server.last["format"])


@pytest.mark.parametrize("schema", [Number, NUMBER])
def test_prose_in_place_of_a_call_is_never_none(server, chat, schema):
    """There it is `None`, which users meet two steps later."""
    server.reply = Reply(pieces=["I would", " say four."])
    made = chat.with_structured_output(schema, method="function_calling")
    with pytest.raises(StructuredOutputError):
        made.invoke("2 + 2?")
    with pytest.raises(StructuredOutputError):
        asyncio.run(made.ainvoke("2 + 2?"))


def test_nothing_is_taken_out_of_a_tools_schema(server, chat):
    """There only types, items, descriptions and enums of the first level are sent."""
    parameters = {
        "type": "object",
        "properties": {
            "place": {
                "type": "object",
                "properties": {"city": {"type": "string", "minLength": 1}, "zone": {"type": "integer"}},
                "required": ["city"],
                "additionalProperties": False,
            },
            "days": {"type": "integer", "minimum": 1, "maximum": 14, "default": 3},
            "unit": {"anyOf": [{"type": "string", "enum": ["C", "F"]}, {"type": "null"}], "default": None},
            "points": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}, "maxItems": 2},
        },
        "required": ["place"],
        "additionalProperties": False,
    }
    tool = {"type": "function", "function": {"name": "weather", "description": "Tell.", "parameters": parameters}}
    chat.bind_tools([tool]).invoke("x")
    (sent,) = server.last["tools"]
    assert lost(tool, sent) == []


def test_results_of_parallel_calls_say_whose_they_are(server, chat):
    """There neither the ids of calls nor the id and name of a result are sent."""
    calls = [{"name": name, "args": {"x": 1}, "id": f"id_{name}", "type": "tool_call"} for name in ("left", "right")]
    results = [ToolMessage("R", tool_call_id="id_right"), ToolMessage("L", tool_call_id="id_left")]
    chat.invoke([HumanMessage("x"), AIMessage("Both.", tool_calls=calls), *results])
    _, asked, *told = server.last["messages"]
    assert [(call["id"], call["function"]["name"]) for call in asked["tool_calls"]] == [
        ("id_left", "left"),
        ("id_right", "right"),
    ]
    assert told == [
        {"role": "tool", "content": "R", "tool_name": "right", "tool_call_id": "id_right"},
        {"role": "tool", "content": "L", "tool_name": "left", "tool_call_id": "id_left"},
    ]


def test_arguments_are_what_the_model_wrote(server, chat):
    """There texts that look like JSON or Python become objects, and one argument is taken out for its name."""
    arguments = {"content": '{"a": 1}', "list": "[1, 2]", "python": "{'a': None}", "functionName": "write", "n": "7"}
    server.reply = Reply(pieces=[], tool_calls=[{"function": {"name": "write", "arguments": arguments}}])
    streamed = joined(chat.stream("x"))
    for message in (chat.invoke("x"), asyncio.run(chat.ainvoke("x")), streamed):
        assert [call["args"] for call in message.tool_calls] == [arguments]


def test_a_call_that_cannot_be_read_does_not_end_a_stream(server, chat):
    """There it is an exception in the middle, and what came before is lost."""
    good = {"function": {"name": "add", "arguments": {"a": 1}}}
    bad = {"function": {"name": "add", "arguments": '{"a": '}}
    server.reply = Reply(pieces=["Well."], tool_calls=[bad, good])
    message = joined(chat.stream("x"))
    assert message.content == "Well."
    assert [call["args"] for call in message.tool_calls] == [{"a": 1}]
    assert [call["name"] for call in message.invalid_tool_calls] == ["add"]


def test_streamed_calls_have_the_servers_ids_and_places_of_their_own(server, chat):
    """There ids are made up though the server gave some, and no piece says which call it belongs to."""
    calls = [{"id": f"call_{n}", "function": {"name": "add", "arguments": {"n": n}}} for n in range(3)]
    server.reply = Reply(pieces=[], tool_calls=calls)
    message = joined(chat.stream("x"))
    assert [(call["id"], call["args"]) for call in message.tool_calls] == [(f"call_{n}", {"n": n}) for n in range(3)]
    pieces = [piece for chunk in chat.stream("x") for piece in chunk.tool_call_chunks]
    places = {piece["index"] for piece in pieces if piece["id"]}
    assert len(places) == 3
    assert all(isinstance(place, int) for place in places)


# --- answers ----------------------------------------------------------------------------------------------------------


def test_thinking_that_nobody_spoke_of_is_kept(server, chat):
    """There it is dropped unless `reasoning=True`, while its tokens are counted: the answer seems to be empty."""
    server.reply = Reply(thinking=["Let me", " see."], pieces=["42"])
    streamed = joined(chat.stream("x"))
    for message in (chat.invoke("x"), asyncio.run(chat.ainvoke("x")), streamed):
        assert message.content == "42"
        told = [block["reasoning"] for block in message.content_blocks if block["type"] == "reasoning"]
        assert "".join(told) == "Let me see."
    assert "think" not in server.last


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("schema", [Number, NUMBER])
def test_json_that_was_cut_off_is_never_an_object(server, chat, method, schema):
    """There missing brackets are added whatever the server says of the end: 1 might have been 1000."""
    server.reply = Reply(pieces=['{"x": ', "1"], done_reason="length")
    made = chat.with_structured_output(schema, method=method)
    for ask in (lambda: made.invoke("x"), lambda: list(made.stream("x"))[-1], lambda: asyncio.run(made.ainvoke("x"))):
        with pytest.raises(StructuredOutputError):
            ask()
    told = chat.with_structured_output(schema, method=method, include_raw=True).invoke("x")
    assert told["parsed"] is None
    assert isinstance(told["parsing_error"], StructuredOutputError)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("answer", ['{"x": "one"}', "{}"])
def test_dicts_are_checked_against_their_schema(server, chat, method, answer):
    """There only pydantic classes are; a dict comes as the model wrote it."""
    wrapped = f'{{"name": "Number", "arguments": {answer}}}' if method == "function_calling" else answer
    server.reply = Reply(pieces=[wrapped])
    with pytest.raises(StructuredOutputError):
        chat.with_structured_output(NUMBER, method=method).invoke("x")


@pytest.mark.parametrize("lines", [0, 1])
def test_an_answer_without_its_end_is_an_error_with_a_name(server, model, lines):
    """There half an answer is a whole one, and an empty one a bare `ValueError`."""
    server.reply = Reply(end_after=lines)
    for error in failures(type(model)(model=MODEL, max_retries=0)):
        assert type(error) is EngineUnreachableError
        assert error.hint


# --- what is sent -----------------------------------------------------------------------------------------------------


def test_words_of_a_call_are_taken_by_their_plain_names(server, chat):
    """There `temperature=…` per call is a `TypeError`."""
    chat.invoke("x", temperature=0.25, max_tokens=9, seed=7, top_k=3)
    assert server.last["options"] == {"temperature": 0.25, "num_predict": 9, "seed": 7, "top_k": 3}
    chat.bind(temperature=0.5).invoke("x")
    assert server.last["options"] == {"temperature": 0.5}


def test_options_of_a_call_are_added_to_those_of_the_object(server):
    """There they take the place of all of them, the size of the window with them."""
    with ChatOllama(model=MODEL, num_ctx=512, temperature=0.5, seed=3) as made:
        made.invoke("x", options={"top_k": 4, "seed": 5})
    assert server.last["options"] == {"num_ctx": 512, "temperature": 0.5, "seed": 5, "top_k": 4}


def test_stop_strings_of_both_places_are_joined(server, model):
    """There it is an error to give some in both."""
    with type(model)(model=MODEL, stop=["END"]) as made:
        made.invoke("x", stop=["\n\n"])
        assert server.last["options"]["stop"] == ["END", "\n\n"]
        asyncio.run(made.ainvoke("x"))
        assert server.last["options"]["stop"] == ["END"]


def test_blocks_of_text_are_joined_as_they_are(server, chat):
    """There a line break is put before each."""
    chat.invoke([HumanMessage([{"type": "text", "text": "hel"}, "lo", {"type": "text", "text": "!"}])])
    assert server.last["messages"] == [{"role": "user", "content": "hello!"}]


def test_an_answer_with_reasoning_blocks_goes_back(server, chat):
    """There the history of another provider, or of `output_version="v1"`, is a `ValueError`."""
    blocks = [{"type": "reasoning", "reasoning": "Hm."}, {"type": "text", "text": "Four."}]
    chat.invoke([HumanMessage("2 + 2?"), AIMessage(blocks), HumanMessage("Sure?")])
    assert server.last["messages"][1] == {"role": "assistant", "content": "Four.", "thinking": "Hm."}


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "url": "data:image/png;base64,iVBORw0KGgo="},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
    ],
)
def test_images_in_other_forms_that_hold_them(server, chat, block):
    """There a data address in LangChain's own block, and Anthropic's form, are a `ValueError`."""
    chat.invoke([HumanMessage([{"type": "text", "text": "Look"}, block])])
    assert server.last["messages"] == [{"role": "user", "content": "Look", "images": ["iVBORw0KGgo="]}]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "url": "https://example.com/a.png"},
        {"type": "file", "base64": "aGk=", "mime_type": "application/pdf"},
    ],
)
def test_what_cannot_be_read_is_refused_with_what_to_do(server, chat, block):
    """There it is a bare `ValueError`, which no fallback for models' errors catches."""
    with pytest.raises(UnsupportedContentError) as caught:
        chat.invoke([HumanMessage([block])])
    assert caught.value.hint
    assert server.seen == []


# --- what LangChain asks of a model -----------------------------------------------------------------------------------


def test_traces_know_the_limit_of_tokens(server):
    """There `ls_max_tokens` is missing."""
    assert ChatOllama(model=MODEL, num_predict=5)._get_ls_params()["ls_max_tokens"] == 5
    assert ChatOllama(model=MODEL)._get_ls_params(max_tokens=6)["ls_max_tokens"] == 6


def test_tokens_are_counted_without_transformers(server, model, monkeypatch):
    """There counting is core's own, which loads a tokenizer of GPT-2 from a package that is not there."""
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert 1 <= model.get_num_tokens("one two three") <= 13
    assert model.get_num_tokens_from_messages([HumanMessage("one two three")]) >= model.get_num_tokens("one two three")


@pytest.mark.parametrize("cls", [ChatOllama, OllamaLLM])
@pytest.mark.parametrize(("wrong", "meant"), [("temprature", "temperature"), ("num_ctxx", "num_ctx")])
def test_a_misspelt_name_is_told(server, cls, wrong, meant):
    """There it is dropped, and the model runs with other values than its user thinks."""
    with pytest.warns(UserWarning, match=meant):
        cls(model=MODEL, **{wrong: 1})


# --- several servers, several loops -----------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [ChatOllama, OllamaLLM, OllamaEmbeddings])
def test_credentials_of_one_server_never_reach_another(server, cls):
    """There the password of an address is written into the caller's own dict of headers, and goes out with the next."""
    shared = {"X-Team": "a"}
    with OllamaDouble() as other:
        first = cls(model=MODEL, base_url=f"http://me:hush@127.0.0.1:{server.port}", client_kwargs={"headers": shared})
        second = cls(model=MODEL, base_url=other.url, client_kwargs={"headers": shared})
        for made in (first, second):
            with made:
                made.embed_query("x") if cls is OllamaEmbeddings else made.invoke("x")
        sent, others = (headers_of(double.seen[-1]) for double in (server, other))
        assert (sent["x-team"], others["x-team"]) == ("a", "a")
        assert sent["authorization"].startswith("Basic ")
        assert "authorization" not in others
        other.wait_until("open_connections", 0)
    assert shared == {"X-Team": "a"}


@pytest.fixture
def nobody_is_known(monkeypatch):
    """Names of other machines lead nowhere, whatever network there is."""
    find = socket.getaddrinfo

    def found(host, *more, **options):
        if host == "gpuserver":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return find(host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", found)
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.mark.parametrize("cls", [ChatOllama, OllamaLLM, OllamaEmbeddings])
def test_an_address_without_scheme_is_that_server_and_no_other(server, nobody_is_known, cls):
    """There it is not understood, and without a word the server of this machine is asked."""
    with (
        cls(model=MODEL, base_url="gpuserver", max_retries=0) as made,
        pytest.raises(EngineUnreachableError, match="http://gpuserver:11434"),
    ):
        made.embed_query("x") if cls is OllamaEmbeddings else made.invoke("x")
    with cls(model=MODEL, base_url=f"localhost:{server.port}") as made:
        assert server.seen == []
        made.embed_query("x") if cls is OllamaEmbeddings else made.invoke("x")
        assert len(server.seen) == 1


def test_embeddings_work_in_one_event_loop_after_another(server):
    """There the second `asyncio.run` fails with "Event loop is closed"."""
    with OllamaEmbeddings(model="nomic-embed-text") as made:
        assert len({str(asyncio.run(made.aembed_query("x"))) for _ in range(3)}) == 1
