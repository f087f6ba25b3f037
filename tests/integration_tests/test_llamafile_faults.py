"""What goes wrong with servers, and vectors in all shapes, scripted answer by answer over a real socket."""

from __future__ import annotations

import asyncio

import pytest

from langchain_localmodels import ChatLlamafile, LlamafileEmbeddings
from langchain_localmodels.errors import (
    AuthenticationError,
    EngineError,
    EngineUnreachableError,
    InvalidRequestError,
    LocalModelError,
    PromptTooLongError,
    UnsupportedFeatureError,
)
from tests.doubles.llamafile_answers import CHAT, MODELS, NEW_PROPS, old_llamafile
from tests.doubles.scripted_http import Scripted, delta, sse

# --- what goes wrong --------------------------------------------------------------------------------------------------

FAULTS = {
    "an error in an event": (
        sse(delta("a"), {"error": {"code": 500, "message": "Compute error.", "type": "server_error"}}, done=False),
        EngineError,
        "Compute error",
    ),
    "an error line of 2025": (
        sse(delta("a"), done=False) + 'error: {"code":500,"message":"Compute error."}\n\ndata: [DONE]\n\n',
        EngineError,
        "Compute error",
    ),
    "an error in words": (sse({"error": "no luck"}), EngineError, "no luck"),
    "the pool is full": (
        sse(delta("a"), {"error": {"message": "the request exceeds the available context size. try"}}, done=False),
        PromptTooLongError,
        "context size",
    ),
    "an end too early": (sse(delta("a"), done=False), EngineUnreachableError, "broke off"),
    "an end mark too early": (sse(delta("a")), EngineUnreachableError, "broke off"),
    "no JSON": ("data: {nonsense}\n\n", EngineError, "nonsense"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_in_the_middle_of_an_answer(name):
    body, kind, match = FAULTS[name]
    with Scripted({"/props": NEW_PROPS, "/v1/models": MODELS, CHAT: (200, body)}) as server:
        chat = ChatLlamafile(base_url=server.url, max_retries=0)
        with pytest.raises(kind, match=match) as caught:
            chat.invoke("x")
        assert caught.value.hint or name in ("no JSON",)
        with pytest.raises(kind, match=match):
            asyncio.run(chat.ainvoke("x"))


def test_a_server_that_loads_its_model_is_waited_for():
    loading = (503, {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}})
    props = iter([loading, loading, loading, NEW_PROPS])
    answer = (200, sse(delta("Hi"), delta(finish="stop")))
    with Scripted({"/props": lambda body: next(props), "/v1/models": MODELS, CHAT: answer}) as server:
        assert ChatLlamafile(base_url=server.url, max_retries=1).invoke("x").text == "Hi"
        assert [path for path, *_ in server.requests].count("/props") == 4


def test_a_busy_server_has_not_said_what_it_is():
    script = {"/props": (503, "overloaded"), "/v1/models": MODELS, CHAT: (200, sse(delta("a"), delta(finish="stop")))}
    with Scripted(script) as server:
        chat = ChatLlamafile(base_url=server.url, max_retries=0)
        with pytest.raises(EngineError, match="overloaded"):
            chat.invoke("x")
        server.answers["/props"] = NEW_PROPS
        assert chat.invoke("x").text == "a"
        assert chat.engine.capabilities().context_window == 512


def test_a_server_that_answers_every_path_with_an_error_in_words():
    unknown = (200, {"error": "Unexpected endpoint or method. (GET /props)"})
    script = {
        "/props": unknown,
        "/flagz": unknown,
        "/v1/models": MODELS,
        CHAT: (200, sse(delta("a"), delta(finish="stop"))),
    }
    with Scripted(script) as server:
        ChatLlamafile(base_url=server.url, format={"type": "object"}).invoke("x")
        # OpenAI's form, with a name.
        assert server.bodies(CHAT)[0]["response_format"]["json_schema"]["schema"] == {"type": "object"}


def test_a_server_that_was_gone_is_looked_at_again():
    with old_llamafile() as server:
        chat = ChatLlamafile(base_url=server.url, max_retries=0)
        chat.invoke("x")
        server.answers[CHAT] = (200, sse(delta("a"), done=False))
        with pytest.raises(EngineUnreachableError):
            chat.invoke("x")
        del server.answers["/props"]
        server.answers[CHAT] = (200, sse(delta("new"), delta(finish="stop")))
        assert chat.invoke("x", max_tokens=3).text == "new"
        assert "cache_prompt" not in server.bodies(CHAT)[-1]
        assert chat.engine.capabilities().tokenizer is False


def test_a_wrong_key_is_told_before_anything_is_sent():
    refusal = (401, {"error": {"message": "Invalid API Key", "type": "authentication_error", "code": 401}})
    with Scripted({"/props": refusal, "/v1/models": refusal}) as server:
        with pytest.raises(AuthenticationError) as caught:
            ChatLlamafile(base_url=server.url, api_key="secret-words").invoke("x")
        assert "secret-words" not in str(caught.value)
        assert server.requests[0][2]["Authorization"] == "Bearer secret-words"
        assert server.bodies(CHAT) == []


def test_the_key_and_the_address_of_the_environment(monkeypatch):
    with old_llamafile() as server:
        monkeypatch.setenv("LLAMAFILE_API_KEY", "from outside")
        monkeypatch.setenv("LLAMAFILE_BASE_URL", server.url)
        ChatLlamafile().invoke("x")
        ChatLlamafile(api_key="given").invoke("x")
        ChatLlamafile(client_kwargs={"headers": {"authorization": "Basic x"}}).invoke("x")
        sent = [
            {k.lower(): v for k, v in headers.items()}["authorization"]
            for path, _, headers in server.requests
            if path == CHAT
        ]
        assert sent == ["Bearer from outside", "Bearer given", "Basic x"]


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (400, "Failed to initialize samplers: failed to parse grammar", InvalidRequestError),
        (
            400,
            "request (9 tokens) exceeds the available context size (8 tokens), try increasing it",
            PromptTooLongError,
        ),
        (500, "tools param requires --jinja flag", UnsupportedFeatureError),
        (501, "This server does not support chat. Start it with `--chat`", UnsupportedFeatureError),
        (400, "model 'x' not found", LocalModelError),
    ],
)
def test_refusals_are_told_with_hints(status, text, kind):
    body = {"error": {"message": text, "code": status, "type": "server_error"}}
    with Scripted({"/props": NEW_PROPS, "/v1/models": MODELS, CHAT: (status, body)}) as server:
        with pytest.raises(kind) as caught:
            ChatLlamafile(base_url=server.url, max_retries=0).invoke("x")
        assert text in str(caught.value)
        assert caught.value.hint
        if kind is PromptTooLongError:
            assert (caught.value.prompt_tokens, caught.value.context_window) == (9, 8)


# --- vectors ----------------------------------------------------------------------------------------------------------


def embedded(shape, route="/v1/embeddings"):
    with Scripted({"/props": NEW_PROPS, "/v1/models": MODELS, route: shape}) as server:
        return LlamafileEmbeddings(base_url=server.url, normalize=False, max_retries=0).embed_documents(["a", "b"])


@pytest.mark.parametrize(
    "shape",
    [
        {"data": [{"index": 1, "embedding": [0.0, 0.0]}, {"index": 0, "embedding": [1.0, 2.0]}]},
        {"data": [{"index": 0, "embedding": "AACAPwAAAEA="}, {"index": 1, "embedding": "AAAAAAAAAAA="}]},
        [{"index": 0, "embedding": [[1.0, 2.0]]}, {"index": 1, "embedding": [[0.0, 0.0]]}],
        {"embeddings": [[1.0, 2.0], [0.0, 0.0]]},
    ],
)
def test_vectors_in_all_shapes(shape):
    assert embedded((200, shape)) == [[1.0, 2.0], [0.0, 0.0]]


def test_models_that_want_words_before_a_text_are_known_by_the_name_that_is_given():
    vectors = lambda body: (200, {"data": [{"index": 0, "embedding": [1.0]} for _ in body["input"]]})  # noqa: E731
    with Scripted({"/props": NEW_PROPS, "/v1/models": MODELS, "/v1/embeddings": vectors}) as server:
        LlamafileEmbeddings(base_url=server.url, model="nomic-embed-text").embed_query("x")
        LlamafileEmbeddings(base_url=server.url).embed_query("x")
        assert [body["input"] for body in server.bodies("/v1/embeddings")] == [["search_query: x"], ["x"]]


def test_vectors_one_by_one_of_the_oldest_servers():
    values = {"a": [1.0, 2.0], "b": [0.0, 0.0]}
    found = embedded(lambda body: (200, {"embedding": values[body["content"]]}), "/embedding")
    assert found == [[1.0, 2.0], [0.0, 0.0]]


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ({"data": [{"index": 0, "embedding": [1.0]}]}, EngineError),
        ({"data": [{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}]}, EngineError),
        ([{"index": 0, "embedding": [[1.0], [2.0]]}, {"index": 1, "embedding": [[1.0]]}], UnsupportedFeatureError),
        ({"data": [{"index": 0, "embedding": ["x"]}, {"index": 1, "embedding": [1.0]}]}, EngineError),
        ({"hello": 1}, EngineError),
    ],
)
def test_what_are_no_vectors(shape, kind):
    with pytest.raises(kind):
        embedded((200, shape))
