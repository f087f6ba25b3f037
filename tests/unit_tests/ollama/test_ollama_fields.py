"""The fields of the constructors, under the names of langchain-ollama's classes, and what they do on the wire."""

from __future__ import annotations

import asyncio
import json
import warnings
from typing import Any

import httpx
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.rate_limiters import InMemoryRateLimiter

from langchain_localmodels import ChatOllama, OllamaEmbeddings, OllamaLLM, OllamaServer
from langchain_localmodels.errors import InvalidRequestError

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
CACHE = InMemoryCache()
LIMITER = InMemoryRateLimiter(requests_per_second=1000)


def words(text: str) -> list[int]:
    return [len(word) for word in text.split()]


SAMPLING: dict[str, Any] = {
    "mirostat": 1,
    "mirostat_eta": 0.2,
    "mirostat_tau": 4.0,
    "num_ctx": 2048,
    "num_gpu": 0,
    "num_thread": 2,
    "repeat_last_n": 32,
    "repeat_penalty": 1.2,
    "temperature": 0.5,
    "stop": ["END"],
    "tfs_z": 1.0,
    "top_k": 20,
    "top_p": 0.8,
}
"""Names that all three of langchain-ollama's classes have, with values that it takes."""

SERVER: dict[str, Any] = {
    "base_url": "http://127.0.0.1:9",
    "client_kwargs": {"headers": {"X-A": "1"}},
    "async_client_kwargs": {"headers": {"X-A": "2"}},
    "sync_client_kwargs": {"headers": {"X-A": "3"}},
    "validate_model_on_init": False,
    "keep_alive": "5m",
}
WRITING: dict[str, Any] = {**SAMPLING, **SERVER, "num_predict": 7, "seed": 3, "reasoning": True}
CORE: dict[str, Any] = {
    "cache": CACHE,
    "callbacks": [],
    "custom_get_token_ids": words,
    "metadata": {"a": 1},
    "name": "mine",
    "tags": ["a"],
    "verbose": False,
}
FIELDS: dict[type, dict[str, Any]] = {
    ChatOllama: {
        **WRITING,
        **CORE,
        "disable_streaming": True,
        "format": SCHEMA,
        "logprobs": True,
        "output_version": "v1",
        "rate_limiter": LIMITER,
        "top_logprobs": 2,
    },
    OllamaLLM: {**WRITING, **CORE, "format": "json"},
    OllamaEmbeddings: {**SAMPLING, **SERVER, "keep_alive": 300, "dimensions": 8},
}
NONE_IS_TAKEN = {
    "client_kwargs",
    "async_client_kwargs",
    "sync_client_kwargs",
    "keep_alive",
    "base_url",
    "reasoning",
    *SAMPLING,
}


@pytest.mark.parametrize(("cls", "name"), [(cls, name) for cls, fields in FIELDS.items() for name in fields], ids=str)
def test_each_field_is_known(cls, name) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for value in (FIELDS[cls][name], *([None] if name in NONE_IS_TAKEN & FIELDS[cls].keys() else [])):
            assert cls(model="m", **{name: value}).model == "m"


@pytest.mark.parametrize("cls", FIELDS)
def test_all_fields_at_once(cls) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cls(model="m", **FIELDS[cls]).model == "m"


# --- what they do on the wire -----------------------------------------------------------------------------------------


class Wire:
    """A transport of httpx that answers as Ollama does, and keeps what it was sent."""

    def __init__(self, answer: httpx.Response | None = None) -> None:
        self.requests: list[httpx.Request] = []
        self._answer = answer
        self.options: dict[str, Any] = {"transport": httpx.MockTransport(self._handle)}

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self._answer is not None:
            return self._answer
        path = request.url.path
        if path.endswith("/api/embed"):
            return httpx.Response(200, json={"model": "m", "embeddings": [[0.6, 0.8]]})
        if path.endswith("/api/version"):
            return httpx.Response(200, json={"version": "0.33.0"})
        content = {"message": {"role": "assistant", "content": "Hi"}} if path.endswith("/chat") else {"response": "Hi"}
        line = {"model": "m", **content, "done": True, "done_reason": "stop", "prompt_eval_count": 1, "eval_count": 1}
        return httpx.Response(200, content=json.dumps(line) + "\n", headers={"Content-Type": "application/x-ndjson"})

    @property
    def body(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.requests[-1].content)
        return found

    @property
    def headers(self) -> httpx.Headers:
        return self.requests[-1].headers


def ask(made: Any) -> None:
    made.embed_query("a") if isinstance(made, OllamaEmbeddings) else made.invoke("a")


def aask(made: Any) -> None:
    asyncio.run(made.aembed_query("a") if isinstance(made, OllamaEmbeddings) else made.ainvoke("a"))


def sent(cls: type, **fields: Any) -> dict[str, Any]:
    wire = Wire()
    ask(cls(model="m", client_kwargs=wire.options, **fields))
    return wire.body


@pytest.mark.parametrize("cls", [ChatOllama, OllamaLLM])
def test_fields_on_the_wire(cls) -> None:
    fields = {name: value for name, value in WRITING.items() if name not in SERVER}
    body = sent(cls, **fields, keep_alive="5m", format=SCHEMA)
    options = {name: value for name, value in fields.items() if name not in ("tfs_z", "reasoning")}
    assert body["options"] == options
    assert (body["think"], body["keep_alive"], body["format"], body["stream"]) == (True, "5m", SCHEMA, True)
    assert "tfs_z" not in json.dumps(body)  # Ollama knows it no longer.


@pytest.mark.parametrize("cls", [ChatOllama, OllamaLLM])
def test_nothing_is_sent_of_what_is_not_said(cls) -> None:
    assert sent(cls).keys() == {"model", "stream", "messages" if cls is ChatOllama else "prompt"}


@pytest.mark.parametrize("cls", [ChatOllama, OllamaLLM])
def test_formats_on_the_wire(cls) -> None:
    assert sent(cls, format="json")["format"] == "json"
    assert "format" not in sent(cls, format="")


def test_log_probabilities_on_the_wire() -> None:
    body = sent(ChatOllama, logprobs=True, top_logprobs=2)
    assert (body["logprobs"], body["top_logprobs"]) == (True, 2)


def test_embedding_on_the_wire() -> None:
    body = sent(OllamaEmbeddings, keep_alive=300, dimensions=2, num_ctx=512, num_gpu=0, num_thread=1, temperature=0.5)
    assert (body["keep_alive"], body["dimensions"]) == (300, 2)
    assert body["options"] == {"num_ctx": 512, "num_gpu": 0, "num_thread": 1}


def test_the_way_of_counting_tokens_is_the_users() -> None:
    assert ChatOllama(model="m", custom_get_token_ids=words).get_num_tokens("three words here") == 3


def test_a_cache_and_the_forbidding_of_streams() -> None:
    wire = Wire()
    chat = ChatOllama(model="m", client_kwargs=wire.options, cache=InMemoryCache(), disable_streaming=True)
    assert [chat.invoke("a").text, chat.invoke("a").text] == ["Hi", "Hi"]
    assert len(wire.requests) == 1
    assert len(list(chat.stream("b"))) == 1


# --- arguments of the two clients -------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", FIELDS)
def test_each_way_of_asking_has_its_own_arguments(cls) -> None:
    sync, tasks = Wire(), Wire()
    made = cls(
        model="m",
        client_kwargs={"headers": {"X-Who": "both"}},
        sync_client_kwargs=sync.options,
        async_client_kwargs={**tasks.options, "headers": {"X-Who": "tasks"}},
    )
    ask(made)
    aask(made)
    assert [request.headers["X-Who"] for request in sync.requests] == ["both"]
    # What is said for one way of asking comes before what is said for both.
    assert [request.headers["X-Who"] for request in tasks.requests] == ["tasks"]
    made.close()


@pytest.mark.parametrize("cls", FIELDS)
def test_arguments_are_not_changed_and_not_part_of_the_identity(cls) -> None:
    options = {"headers": {"X-A": "1"}}
    made = cls(model="m", client_kwargs=options, sync_client_kwargs=options, async_client_kwargs=options, api_key="k")
    _ = made.engine
    assert options == {"headers": {"X-A": "1"}}
    assert made.cache_namespace == cls(model="m").cache_namespace


# --- keys -------------------------------------------------------------------------------------------------------------

MAKE: dict[str, Any] = {
    **{cls.__name__: lambda wire, cls=cls, **more: cls(model="m", client_kwargs=wire, **more) for cls in FIELDS},
    "OllamaServer": lambda wire, **more: OllamaServer(client_kwargs=wire, **more),
}


def key_sent(kind: str, base_url: str | None, options: dict[str, Any] | None = None, **more: Any) -> set[str | None]:
    """The `Authorization` headers of a request each of a thread and of a task."""
    wire = Wire()
    made = MAKE[kind]({**wire.options, **(options or {})}, base_url=base_url, **more)
    if kind == "OllamaServer":
        made.version()
        asyncio.run(made.aversion())
    else:
        ask(made)
        aask(made)
    assert len(wire.requests) == 2
    return {request.headers.get("Authorization") for request in wire.requests}


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize(
    ("base_url", "goes"),
    [
        ("https://ollama.com", True),
        ("https://OLLAMA.com:443/x", True),
        ("ollama.com", True),
        ("https://eu.ollama.com", True),
        ("https://ollama.com.", True),
        ("http://ollama.com", False),
        ("https://notollama.com", False),
        ("https://ollama.com.example.org", False),
        ("https://example.org/ollama.com", False),
        ("https://example.org:443", False),
        ("127.0.0.1:11434", False),
        (None, False),
    ],
)
def test_the_key_of_the_environment_is_for_ollamas_own_service(kind, base_url, goes, monkeypatch) -> None:
    monkeypatch.delenv("OLLAMA_HOST", raising=False)
    monkeypatch.setenv("OLLAMA_API_KEY", " secret \n")
    assert key_sent(kind, base_url) == {"Bearer secret" if goes else None}


@pytest.mark.parametrize("kind", MAKE)
def test_the_host_of_the_environment_counts(kind, monkeypatch) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "secret")
    monkeypatch.setenv("OLLAMA_HOST", "ollama.com")
    assert key_sent(kind, None) == {"Bearer secret"}
    monkeypatch.setenv("OLLAMA_HOST", "example.org")
    assert key_sent(kind, None) == {None}


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("base_url", ["https://ollama.com", "http://127.0.0.1:11434", "https://example.org"])
def test_a_key_that_was_given_goes_where_it_was_sent(kind, base_url, monkeypatch) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "other")
    assert key_sent(kind, base_url, api_key="mine") == {"Bearer mine"}


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize(
    ("options", "header"),
    [
        ({"headers": {"authorization": "Own x"}}, "Own x"),
        ({"headers": [(b"AUTHORIZATION", b"Own x")]}, "Own x"),
        ({"auth": ("a", "b")}, "Basic YTpi"),
    ],
)
def test_the_callers_own_credentials_come_first(kind, options, header, monkeypatch) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "secret")
    assert key_sent(kind, "https://ollama.com", options) == {header}


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("to", ["https://example.org/", "http://ollama.com/", "https://eu.ollama.com/"])
def test_no_key_follows_a_redirection_to_another_server(kind, to, monkeypatch) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "secret")
    wire = Wire(httpx.Response(307, headers={"Location": to}))
    made = MAKE[kind]({**wire.options, "follow_redirects": True}, base_url="https://ollama.com")
    with pytest.raises(InvalidRequestError, match="not followed"):
        made.version() if kind == "OllamaServer" else ask(made)
    assert {request.url.host for request in wire.requests} == {"ollama.com"}
    assert {request.url.scheme for request in wire.requests} == {"https"}


def test_a_key_is_nowhere_to_be_seen(monkeypatch) -> None:
    monkeypatch.setenv("OLLAMA_API_KEY", "secret")
    chat = ChatOllama(model="m", base_url="https://ollama.com")
    _ = chat.engine
    assert "secret" not in repr(chat) + str(chat.model_dump()) + json.dumps(chat.to_json(), default=str)
