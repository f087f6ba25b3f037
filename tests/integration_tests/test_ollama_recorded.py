"""What a true Ollama has answered (`tests/recorded/ollama`): what our client makes of it, and how our double compares.

`tests/record_ollama.py` records it anew.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk

from langchain_localmodels import ChatOllama, OllamaEmbeddings, OllamaLLM, OllamaServer
from langchain_localmodels.errors import (
    EngineError,
    InvalidRequestError,
    LocalModelError,
    ModelMissingError,
    PromptTooLongError,
    UnsupportedContentError,
    UnsupportedFeatureError,
)
from tests.doubles.asking import failures
from tests.doubles.scripted_http import Scripted
from tests.ollama_server import CHAT, EMBEDDING, RECORDED, with_demo_models


@dataclass(frozen=True)
class Recording:
    """A request and its answer."""

    name: str
    method: str
    path: str
    request: Any
    status: int
    kind: str
    body: str

    @property
    def model(self) -> str:
        named = self.request.get("model") if isinstance(self.request, dict) else None
        return named or "demo"

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.body.splitlines()]

    def __str__(self) -> str:
        return self.name


def _recordings() -> dict[str, Recording]:
    found = {}
    for file in sorted(RECORDED.glob("*.json")):
        told = json.loads(file.read_text())
        asked = told["request"]
        found[told["name"]] = Recording(
            told["name"],
            asked["method"],
            asked["path"],
            asked["body"],
            told["status"],
            told["content_type"],
            told["body"],
        )
    return found


ALL = _recordings()
TEXTS = [
    each
    for each in ALL.values()
    if each.path in ("/api/chat", "/api/generate")
    and each.status == 200
    and each.lines[-1]["done_reason"] in ("stop", "length")
]
LOADS = [ALL[name] for name in ("load", "unload", "unload_chat", "chat_empty_messages")]
ERRORS = {
    "error_model_missing": (ModelMissingError, "ollama pull nobody-has-this"),
    "error_model_missing_generate": (ModelMissingError, "ollama pull nobody-has-this"),
    "error_no_tools": (UnsupportedFeatureError, "does not support tools"),
    "error_no_insert": (UnsupportedFeatureError, "does not support insert"),
    "error_no_thinking": (UnsupportedFeatureError, "does not support thinking"),
    "error_no_thinking_level": (UnsupportedFeatureError, "does not support thinking"),
    "error_embedding_model_chats": (UnsupportedFeatureError, "ollama show demo-embed"),
    "error_embedding_model_generates": (UnsupportedFeatureError, "ollama show demo-embed"),
    "error_logprobs_and_tools": (UnsupportedFeatureError, "log probabilities"),
    "error_image": (UnsupportedContentError, "image input is not supported"),
    "error_image_rendered": (UnsupportedContentError, "does not support multimodal"),
    "error_prompt_too_long": (PromptTooLongError, "3009 tokens.*2048.*`num_ctx`"),
    "error_prompt_too_long_generate": (PromptTooLongError, "3009 tokens.*2048.*`num_ctx`"),
    "error_prompt_too_long_raw": (PromptTooLongError, "3001 tokens.*2048.*`num_ctx`"),
    "error_prompt_too_long_rendered": (PromptTooLongError, "`num_ctx`"),
    "chat_tools_cut": (EngineError, "tool call.*`max_tokens`"),
    "error_format_schema": (InvalidRequestError, "JSON Schema.*cannot resolve"),
    "error_format_schema_generate": (InvalidRequestError, "JSON Schema.*unrecognized type"),
    "error_format_word": (InvalidRequestError, "invalid format"),
    "error_format_list": (InvalidRequestError, "invalid format"),
    "error_option_type": (InvalidRequestError, "temperature"),
    "error_option_type_int": (InvalidRequestError, "num_ctx"),
    "error_option_type_bool": (InvalidRequestError, "use_mmap"),
    "error_option_type_list": (InvalidRequestError, "stop"),
    "error_options_type": (InvalidRequestError, "cannot unmarshal array"),
    "error_content_parts": (InvalidRequestError, "cannot unmarshal array"),
    "error_tool_property_bool": (InvalidRequestError, "cannot unmarshal bool"),
    "error_image_data_url": (InvalidRequestError, "illegal base64"),
    "error_keep_alive": (InvalidRequestError, "missing unit"),
    "error_think_word": (InvalidRequestError, "invalid think value"),
    "error_top_logprobs": (InvalidRequestError, "between 0 and 20"),
    "error_template": (InvalidRequestError, "unclosed action"),
    "error_raw_and_template": (InvalidRequestError, "raw mode"),
    "error_model_malformed": (InvalidRequestError, "invalid model name"),
}


def replayed(recording: Recording) -> Scripted:
    """A server that gives the recorded answer."""
    return Scripted({recording.path: (recording.status, recording.body, recording.kind)})


# --- what the client makes of them ------------------------------------------------------------------------------------


def model_of(recording: Recording, url: str, **fields: Any) -> ChatOllama | OllamaLLM:
    kind = ChatOllama if recording.path == "/api/chat" else OllamaLLM
    return kind(model=recording.model, base_url=url, max_retries=0, **fields)


def answers(model: ChatOllama) -> list[AIMessage]:
    """The message of each of the four drivers."""

    async def astream() -> AIMessageChunk:
        chunks = [chunk async for chunk in model.astream("x")]
        return sum(chunks[1:], start=chunks[0])

    chunks = list(model.stream("x"))
    whole = sum(chunks[1:], start=chunks[0])
    return [model.invoke("x"), asyncio.run(model.ainvoke("x")), whole, asyncio.run(astream())]


@pytest.mark.parametrize("recording", [each for each in TEXTS if each.path == "/api/chat"], ids=str)
def test_a_chat_is_read(recording):
    parts = [line["message"] for line in recording.lines]
    last = recording.lines[-1]
    calls = [call for part in parts for call in part.get("tool_calls", [])]
    with replayed(recording) as server, model_of(recording, server.url, reasoning=True) as chat:
        for message in answers(chat):
            assert message.text == "".join(part["content"] for part in parts)
            thought = "".join(part.get("thinking", "") for part in parts)
            assert message.additional_kwargs.get("reasoning_content", "") == thought
            assert [(call["id"], call["name"], call["args"]) for call in message.tool_calls] == [
                (call["id"], call["function"]["name"], call["function"]["arguments"]) for call in calls
            ]
            assert message.invalid_tool_calls == []
            assert message.usage_metadata["input_tokens"] == last["prompt_eval_count"]
            assert message.usage_metadata["output_tokens"] == last["eval_count"]
            told = message.response_metadata
            assert told["model"] == last["model"]
            assert told["total_duration"] == last["total_duration"]
            assert told["eval_duration"] == last["eval_duration"]
            assert told["done_reason"] == last["done_reason"]
            assert told["finish_reason"] == ("tool_calls" if calls else last["done_reason"])


@pytest.mark.parametrize("recording", [each for each in TEXTS if each.path == "/api/generate"], ids=str)
def test_a_text_is_read(recording):
    text = "".join(line["response"] for line in recording.lines)

    async def astream(llm: OllamaLLM) -> str:
        return "".join([piece async for piece in llm.astream("x")])

    with replayed(recording) as server, model_of(recording, server.url) as llm:
        assert llm.invoke("x") == "".join(llm.stream("x")) == text
        assert asyncio.run(llm.ainvoke("x")) == asyncio.run(astream(llm)) == text
        (generation,) = llm.generate(["x"]).generations[0]
    told, last = generation.generation_info, recording.lines[-1]
    assert (told["prompt_eval_count"], told["eval_count"]) == (last["prompt_eval_count"], last["eval_count"])


def test_log_probabilities_are_read():
    recording = ALL["chat_logprobs"]
    sent = [entry for line in recording.lines for entry in line.get("logprobs", [])]
    with replayed(recording) as server, model_of(recording, server.url) as chat:
        for message in answers(chat):
            found = message.response_metadata["logprobs"]["content"]
            assert [(entry["token"], entry["logprob"]) for entry in found] == [
                (entry["token"], entry["logprob"]) for entry in sent
            ]
            for entry, original in zip(found, sent, strict=True):
                assert [top["token"] for top in entry["top_logprobs"]] == [
                    top["token"] for top in original["top_logprobs"]
                ]


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_told(name):
    recording, (kind, words) = ALL[name], ERRORS[name]
    with replayed(recording) as server, model_of(recording, server.url) as model:
        for error in failures(model):
            assert type(error) is kind
            assert error.response.status_code == recording.status
            with pytest.raises(kind, match=f"(?s){words}"):
                raise error


@pytest.mark.parametrize("recording", LOADS, ids=str)
def test_an_answer_that_only_loads_is_none(recording):
    with replayed(recording) as server, model_of(recording, server.url) as model:
        for error in failures(model):
            assert type(error) is EngineError
            assert "generated nothing" in str(error)


@pytest.mark.parametrize("name", ["embed", "embed_dimensions"])
def test_vectors_are_read(name):
    recording = ALL[name]
    with replayed(recording) as server, OllamaEmbeddings(model=EMBEDDING, base_url=server.url) as embeddings:
        sent = [pytest.approx(vector, abs=1e-6) for vector in json.loads(recording.body)["embeddings"]]
        assert embeddings.embed_documents(recording.request["input"]) == sent
        assert asyncio.run(embeddings.aembed_documents(recording.request["input"])) == sent


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("error_embed_too_long", PromptTooLongError),
        ("error_embed_type", InvalidRequestError),
        ("error_chat_model_embeds", UnsupportedFeatureError),
        ("error_model_missing_embed", ModelMissingError),
    ],
)
def test_a_failure_to_embed_is_told(name, kind):
    recording = ALL[name]
    with (
        replayed(recording) as server,
        OllamaEmbeddings(model=recording.model, base_url=server.url, max_retries=0) as embeddings,
    ):
        for ask in (lambda: embeddings.embed_query("x"), lambda: asyncio.run(embeddings.aembed_query("x"))):
            with pytest.raises(LocalModelError) as caught:
                ask()
            assert type(caught.value) is kind


def test_what_is_told_of_models_is_read():
    paths = {each.path: (200, each.body, each.kind) for each in map(ALL.get, ("tags", "show", "ps", "version"))}
    with Scripted(paths) as scripted, OllamaServer(scripted.url) as server:
        listed = {model.name: model for model in server.list()}
        assert set(listed) == {"demo:latest", "demo-embed:latest"}
        assert listed["demo:latest"].quantization == "Q8_0"
        details = server.show(CHAT)
        assert (details.context_length, details.can("tools"), details.can("thinking")) == (2048, True, False)
        assert "demo:latest" in {model.name for model in server.running()}
        assert server.version() == json.loads(ALL["version"].body)["version"]
        chat = ChatOllama(model=CHAT, base_url=scripted.url).load()
        assert (chat.profile["max_input_tokens"], chat.profile["tool_calling"]) == (2048, True)


@pytest.mark.parametrize(
    ("name", "kind", "call"),
    [
        ("copy", None, lambda server: server.copy(CHAT, "recorded-new")),
        ("delete", None, lambda server: server.delete("recorded-new")),
        ("error_model_missing_copy", ModelMissingError, lambda server: server.copy("nobody-has-this", "x")),
        ("error_model_missing_delete", ModelMissingError, lambda server: server.delete("nobody-has-this")),
        ("error_model_missing_show", ModelMissingError, lambda server: server.show("nobody-has-this")),
        ("error_pull_missing", ModelMissingError, lambda server: server.pull("nobody-has-this", show_progress=False)),
        ("error_pull_unreachable", EngineError, lambda server: server.pull("far/away", show_progress=False)),
        ("load", None, lambda server: server.load(CHAT)),
        ("unload", None, lambda server: server.unload(CHAT)),
        ("error_unload_missing", ModelMissingError, lambda server: server.unload("nobody-has-this")),
    ],
)
def test_what_is_done_with_models(name, kind, call):
    with replayed(ALL[name]) as scripted, OllamaServer(scripted.url, max_retries=0) as server:
        if kind is None:
            assert call(server) is None
        else:
            with pytest.raises(LocalModelError) as caught:
                call(server)
            assert type(caught.value) is kind


# --- how the double compares ------------------------------------------------------------------------------------------

NOT_PLAYED = {
    "recorded-tools": "Go's templates, which the double does not have",
    "recorded-thinking": "Go's templates, which the double does not have",
    "recorded-plain": "Go's templates, which the double does not have",
    "recorded-none": "what is wrong with files of models",
    "recorded-new": "the steps in which a model is made of another",
    "http://127.0.0.1:11599/library/nobody-has-this": "a library of models",
    "127.0.0.1:9/library/demo": "a library of models",
}
"""Models of recordings that say nothing of the double, and why."""
PLAYED = [each for each in ALL.values() if each.model not in NOT_PLAYED]


def shape(value: Any) -> Any:
    """What keys there are, and what types their values have."""
    if isinstance(value, dict):
        return {name: shape(item) for name, item in sorted(value.items())}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if type(value) in (int, float) else type(value).__name__


def unpacked(body: str) -> Any:
    """An error; where it is that of the server behind Ollama, whose words are not Ollama's, only what kind it is."""
    error = json.loads(body)["error"] if body.startswith("{") else body
    if not error.startswith("{"):
        return body.strip()
    inner = json.loads(error)["error"]
    return inner["code"], inner["type"], shape(inner)


@pytest.mark.parametrize("recording", PLAYED, ids=str)
def test_the_double_answers_alike(recording):
    given = {} if recording.request is None else {"json": recording.request}
    with with_demo_models() as double:
        answer = httpx.request(recording.method, f"{double.url}{recording.path}", timeout=60, **given)
    assert answer.status_code == recording.status
    if recording.body or recording.kind:
        assert answer.headers["content-type"].partition(";")[0] == recording.kind.partition(";")[0]
    if recording.status != 200:
        assert unpacked(answer.text) == unpacked(recording.body)
    elif "ndjson" in recording.kind:
        lines = [json.loads(line) for line in answer.text.splitlines()]
        assert answer.text.endswith("\n")
        assert {json.dumps(shape(line)) for line in lines} == {json.dumps(shape(line)) for line in recording.lines}
        assert shape(lines[-1]) == shape(recording.lines[-1])
        assert lines[-1]["done_reason"] == recording.lines[-1]["done_reason"]
    elif recording.body:
        assert shape(answer.json()) == shape(json.loads(recording.body))


def test_the_double_shares_no_code_with_the_package():
    code = (
        "import sys, tests.doubles.ollama_server; sys.exit(any(name.startswith('langchain') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=RECORDED.parents[2]).returncode == 0
