"""What is asked of Ollama beyond the plain: tools of any schema, one call at most, images and audio; and its errors.

On the server that OLLAMA_HOST names, or on the double: the demo models on llama-server, behind Ollama's protocol.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk, HumanMessage, SystemMessage
from langchain_core.tools import tool

from langchain_localmodels import ChatOllama, OllamaServer
from langchain_localmodels.demo import model_path
from langchain_localmodels.dialects.messages import to_tools, to_turns
from langchain_localmodels.engines.base import ChatRequest
from langchain_localmodels.engines.ollama.requests import chat_payload
from langchain_localmodels.errors import (
    EngineError,
    InvalidRequestError,
    LocalModelError,
    ModelMissingError,
    PromptTooLongError,
    UnsupportedContentError,
    UnsupportedFeatureError,
)
from tests.doubles.ollama_answers import Reply
from tests.doubles.ollama_server import OllamaDouble
from tests.fuzz_grammars import random_schema
from tests.json_schemas import ENFORCED, RELAXED, Home, Person, Tree, obj
from tests.ollama_server import need_true_ollama, ollama_embedding_model, ollama_model, ollama_url

WEATHER = "What is the weather in Oslo?"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
WAV = b"RIFF\x2c\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0\x80\x3e\0\0\0\x7d\0\0\2\0\x10\0data\x08\0\0\0" + bytes(8)


@pytest.fixture
def chat():
    with ChatOllama(model=ollama_model(), base_url=ollama_url(), temperature=0, num_predict=1) as made:
        yield made


def four(model: Any, prompt: Any) -> list[Any]:
    """The message of each of the four ways to ask."""

    async def astream() -> Any:
        return summed([chunk async for chunk in model.astream(prompt)])

    return [
        model.invoke(prompt),
        summed(list(model.stream(prompt))),
        asyncio.run(model.ainvoke(prompt)),
        asyncio.run(astream()),
    ]


def summed(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    total = chunks[0]
    for chunk in chunks[1:]:
        total += chunk
    return total


def offered(parameters: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "get_weather", "description": "Tells.", "parameters": parameters}}


def is_taken(chat: ChatOllama, parameters: Any) -> bool:
    """Whether a server takes a tool. A call that is cut off, or a prompt that is too long, is no matter of its form."""
    try:
        chat.bind_tools([offered(parameters)]).invoke(WEATHER)
    except PromptTooLongError:
        return True
    except EngineError as error:
        return "could not read a tool call" in str(error)
    return True


# --- tools ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "schema", [row[0] for row in (*ENFORCED, *RELAXED)], ids=lambda schema: json.dumps(schema)[:60]
)
def test_every_schema_is_taken(chat, schema) -> None:
    if "$ref" not in json.dumps(schema):  # else it refers to what would be somewhere else
        assert is_taken(chat, obj(["a"], a=schema))
    if isinstance(schema, dict):
        assert is_taken(chat, schema)


@pytest.mark.parametrize("seed", range(40))
def test_strange_schemas_are_taken_or_refused_before_they_are_sent(chat, seed) -> None:
    refused = None
    try:
        assert is_taken(chat, obj(["a"], a=random_schema(random.Random(seed))))
    except InvalidRequestError as error:
        refused = error
    assert refused is None or refused.response is None


@pytest.mark.parametrize("model", [Person, Tree, Home])
def test_models_of_pydantic_are_taken(chat, model) -> None:
    chat.bind_tools([model]).invoke(WEATHER)


def test_what_ollama_drops_is_told_to_the_model() -> None:
    """A true server shows the prompt that it makes."""
    chat = ChatOllama(model=ollama_model(), base_url=need_true_ollama())
    number = {"type": "integer", "minimum": 1, "maximum": 14, "default": 3, "description": "How many."}
    sizes = {"type": "array", "items": {"$ref": "#/$defs/Size"}}
    parameters = {
        **obj(["kind"], days=number, kind={"const": "short"}, unit={"type": ["string", "null"]}, sizes=sizes),
        "$defs": {"Size": {"type": "string", "format": "date"}},
    }
    request = ChatRequest(to_turns([HumanMessage(WEATHER)]), to_tools([offered(parameters)]))
    payload = {**chat_payload(request, ollama_model()), "_debug_render_only": True, "stream": False}
    shown = chat.engine._transports.threads.request_json("POST", "/api/chat", payload)
    prompt = shown["_debug_info"]["rendered_template"]
    for told in ("How many. (1 to 14; default: 3)", '"enum": ["short"]', '"description": "(format: date)"'):
        assert told in prompt
    assert "$ref" not in prompt
    assert "minimum" not in prompt  # That is why.


@tool
def magic_function(input: int) -> int:
    """Applies a magic function to an input."""
    return input + 2


def calls(*arguments: Any) -> list[dict[str, Any]]:
    return [{"function": {"name": "magic_function", "arguments": entry}} for entry in arguments]


@pytest.mark.parametrize("where", ["in the last line", "before the last line"])
@pytest.mark.parametrize("parallel", [True, None, False])
def test_one_call_at_most(where, parallel) -> None:
    with OllamaDouble() as double:
        double.reply = Reply(
            pieces=["So: "],
            tool_calls=calls({"input": 3}, {"input": 4}),
            tool_calls_in_last_line=where == "in the last line",
        )
        chat = ChatOllama(model="llama3.1:8b", base_url=double.url)
        made = chat.bind_tools([magic_function], parallel_tool_calls=parallel)
        for message in four(made, "What is the magic function of 3 and of 4?"):
            assert [call["args"]["input"] for call in message.tool_calls] == ([3] if parallel is False else [3, 4])
            assert message.invalid_tool_calls == []
            assert message.text == "So: "
            # What the answer has cost is told in its last line.
            assert message.usage_metadata["total_tokens"] > 0
            assert message.response_metadata["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("strict", [True, None])
def test_arguments_are_checked_where_that_is_wanted(strict) -> None:
    """Not of its own: tools check their arguments themselves, and mend some, such as a number that is a text."""
    with OllamaDouble() as double:
        double.reply = Reply(pieces=[], tool_calls=calls({"input": 3}, {"input": "4"}, {}))
        chat = ChatOllama(model="llama3.1:8b", base_url=double.url)
        for message in four(chat.bind_tools([magic_function], strict=strict), "Well?"):
            good = [call["args"] for call in message.tool_calls]
            assert good == ([{"input": 3}] if strict else [{"input": 3}, {"input": "4"}, {}])
            assert len(message.invalid_tool_calls) == (2 if strict else 0)
        assert magic_function.invoke({"input": "4"}) == 6


def test_a_limit_that_ollama_drops_is_held_to_where_that_is_wanted() -> None:
    number = {**offered(obj(["input"], input={"type": "integer", "maximum": 5}))}
    with OllamaDouble() as double:
        double.reply = Reply(pieces=[], tool_calls=[{"function": {"name": "get_weather", "arguments": {"input": 9}}}])
        chat = ChatOllama(model="llama3.1:8b", base_url=double.url)
        for message in four(chat.bind_tools([number], strict=True), "Well?"):
            assert message.tool_calls == []
            (refused,) = message.invalid_tool_calls
            assert refused["args"].startswith('{"input": 9}')


# --- images and audio -------------------------------------------------------------------------------------------------


def blocks(tmp_path) -> list[tuple[dict[str, Any], str]]:
    photo, sound = tmp_path / "photo.png", tmp_path / "sound.wav"
    photo.write_bytes(PNG)
    sound.write_bytes(WAV)
    image, audio = base64.b64encode(PNG).decode(), base64.b64encode(WAV).decode()
    return [
        ({"type": "image", "base64": image, "mime_type": "image/png"}, image),
        ({"type": "image", "data": PNG}, image),
        ({"type": "image", "path": photo}, image),
        ({"type": "image", "url": f"data:image/png;base64,{image}"}, image),
        ({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}}, image),
        ({"type": "image_url", "image_url": image}, image),
        ({"type": "audio", "base64": audio, "mime_type": "audio/wav"}, audio),
        ({"type": "audio", "path": sound}, audio),
        ({"type": "input_audio", "input_audio": {"data": audio, "format": "wav"}}, audio),
    ]


def test_images_and_audio_are_sent_in_the_place_of_images(tmp_path) -> None:
    with OllamaDouble() as double:
        chat = ChatOllama(model="llama3.1:8b", base_url=double.url)
        for block, data in blocks(tmp_path):
            chat.invoke([HumanMessage([{"type": "text", "text": "What is it?"}, block])])
            assert double.last["messages"] == [{"role": "user", "content": "What is it?", "images": [data]}]
        chat.invoke([HumanMessage([block for block, _ in blocks(tmp_path)])])
        assert double.last["messages"][0]["images"] == [data for _, data in blocks(tmp_path)]


def test_a_model_without_eyes_and_ears_says_so(chat, tmp_path) -> None:
    """A server that decoded them wrongly would say that they are no images."""
    for block, _ in blocks(tmp_path):
        what = "image input" if "image" in block["type"] else "audio input"
        with pytest.raises(UnsupportedContentError, match=f"{what} is not supported"):
            chat.invoke([HumanMessage([{"type": "text", "text": "What is it?"}, block])])


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "url": "https://example.org/a.png"},
        {"type": "image_url", "image_url": "http://example.org/a.png"},
        {"type": "image", "path": "photo.png"},
        {"type": "audio", "url": "https://example.org/a.wav"},
        {"type": "audio", "base64": base64.b64encode(b"OggS").decode(), "mime_type": "audio/ogg"},
    ],
)
def test_what_is_elsewhere_or_of_another_kind_is_refused_before_it_is_sent(block) -> None:
    with OllamaDouble() as double:
        with pytest.raises(UnsupportedContentError) as caught:
            ChatOllama(model="llama3.1:8b", base_url=double.url).invoke([HumanMessage([block])])
        assert caught.value.hint
        assert double.seen == []


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"model": "nobody-has-this"}, ModelMissingError),
        ({"reasoning": True}, UnsupportedFeatureError),
        ({"reasoning": "high"}, UnsupportedFeatureError),
        ({"options": {"temperature": "hot"}}, InvalidRequestError),
        ({"options": {"stop": "END"}}, InvalidRequestError),
        ({"model": ollama_embedding_model()}, UnsupportedFeatureError),
    ],
    ids=str,
)
def test_errors_of_the_server(fields, kind) -> None:
    chat = ChatOllama(**{"model": ollama_model(), "base_url": ollama_url(), "num_predict": 1, **fields})

    async def astream() -> None:
        async for _ in chat.astream("Hello"):
            pass

    asked = [
        lambda: chat.invoke("Hello"),
        lambda: list(chat.stream("Hello")),
        lambda: asyncio.run(chat.ainvoke("Hello")),
        lambda: asyncio.run(astream()),
    ]
    for ask in asked:
        with pytest.raises(LocalModelError) as caught:
            ask()
        assert type(caught.value) is kind
        assert caught.value.response.status_code >= 400


def test_log_probabilities_and_tools_do_not_go_together(chat) -> None:
    made = chat.bind_tools([magic_function])
    with pytest.raises(UnsupportedFeatureError, match="log probabilities"):
        made.invoke(WEATHER, logprobs=True)
    forced = chat.bind_tools([magic_function], tool_choice="any")
    message = forced.invoke("What is the magic function of 3?", logprobs=True, num_predict=64)
    assert message.response_metadata["logprobs"]["content"]


def test_a_call_that_is_cut_off_says_what_to_do(chat) -> None:
    made = chat.bind_tools([offered(obj(["city"], city={"type": "string"}))])
    with pytest.raises(EngineError, match="max_tokens"):
        made.invoke(WEATHER, num_predict=12)


def test_what_a_server_lacks_is_not_the_model_that_is_made() -> None:
    """`quantize` names a form that this server does not make."""
    with OllamaServer(need_true_ollama()) as server, pytest.raises(LocalModelError) as caught:
        server.create("none-of-this", model_path, quantize="q4_K_M", show_progress=False)
    assert not isinstance(caught.value, ModelMissingError)


def test_messages_that_say_nothing_are_not_sent(chat) -> None:
    with pytest.raises(InvalidRequestError):
        chat.invoke([])
    with pytest.raises(InvalidRequestError):
        chat.invoke([SystemMessage("")])
