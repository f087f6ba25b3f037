"""`OllamaEmbeddings` over a real socket: what the server is sent, what comes of its answers, and of its failures."""

from __future__ import annotations

import asyncio
import math
import threading
from contextlib import ExitStack

import pytest
from pydantic import ValidationError

from langchain_localmodels import OllamaEmbeddings
from langchain_localmodels.engines.base import EmbeddingRequest
from langchain_localmodels.errors import (
    EngineClosedError,
    EngineError,
    EngineUnreachableError,
    InvalidRequestError,
    LocalModelError,
    ModelMissingError,
    PromptTooLongError,
    UnsupportedFeatureError,
)
from tests.doubles.asking import free_port

MODEL = "tiny"  # a name without known prefixes
TEXTS = [f"text {number} of the list" for number in range(10)]


@pytest.fixture
def make(server):
    """Makes embeddings, and closes them: an error that is looked at keeps them alive."""
    with ExitStack() as stack:
        server.models.add(MODEL)
        yield lambda **fields: stack.enter_context(OllamaEmbeddings(**{"model": MODEL, **fields}))


@pytest.fixture
def embeddings(make):
    return make()


def both(embeddings, texts=TEXTS):
    """The vectors by a thread and by a task."""
    return [embeddings.embed_documents(texts), asyncio.run(embeddings.aembed_documents(texts))]


def errors(embeddings, texts=TEXTS):
    """The error of a thread and of a task."""
    found = []
    for ask in (
        lambda: embeddings.embed_documents(texts),
        lambda: asyncio.run(embeddings.aembed_documents(texts)),
    ):
        with pytest.raises(LocalModelError) as caught:
            ask()
        found.append(caught.value)
    return found


# --- what is sent ---------------------------------------------------------------------------------------------------


def test_a_request(server, embeddings, make):
    embeddings.embed_documents(["a", "b"])
    assert server.seen[-1].path == "/api/embed"
    assert server.last == {"model": MODEL, "input": ["a", "b"], "truncate": False}
    full = make(dimensions=8, keep_alive="30m", truncate=True, num_ctx=256, num_gpu=0, options={"use_mlock": True})
    full.embed_query("a")
    assert server.last == {
        "model": MODEL,
        "input": ["a"],
        "truncate": True,
        "dimensions": 8,
        "keep_alive": "30m",
        "options": {"num_ctx": 256, "num_gpu": 0, "use_mlock": True},
    }


def test_texts_go_in_batches_and_come_back_in_order(server, make):
    small = make(batch_size=3)
    for vectors in both(small):
        assert vectors == [pytest.approx(server.embedder.vector(text)) for text in TEXTS]
    assert [len(seen.body["input"]) for seen in server.seen] == [3, 3, 3, 1] * 2
    with pytest.raises(ValidationError):
        make(batch_size=0)


def test_no_texts_ask_nothing(server, embeddings):
    assert both(embeddings, []) == [[], []]
    assert server.seen == []


def test_known_prefixes(server, make):
    known = make(model="nomic-embed-text")
    known.embed_query("a")
    assert server.last["input"] == ["search_query: a"]
    known.embed_documents(["a"])
    assert server.last["input"] == ["search_document: a"]
    make(model="nomic-embed-text", query_prefix="").embed_query("a")
    assert server.last["input"] == ["a"]


def test_client_arguments_of_each_kind(server, make):
    given = {
        "client_kwargs": {"headers": {"X-All": "1"}},
        "sync_client_kwargs": {"headers": {"X-Sync": "1"}},
        "async_client_kwargs": {"headers": {"X-Async": "1"}},
    }
    embeddings = make(api_key="secret", **given)
    embeddings.embed_query("a")
    headers = server.seen[-1].headers
    assert ("X-Sync" in headers, "X-Async" in headers, headers["Authorization"]) == (True, False, "Bearer secret")
    asyncio.run(embeddings.aembed_query("a"))
    headers = server.seen[-1].headers
    assert ("X-Sync" in headers, "X-Async" in headers, headers["Authorization"]) == (False, True, "Bearer secret")
    assert "X-Sync" not in repr(embeddings)
    assert embeddings.to_json()["type"] == "not_implemented"
    make(client_kwargs=given["client_kwargs"]).embed_query("a")
    assert server.seen[-1].headers["X-All"] == "1"


def test_fields_of_langchain_ollama_are_known(server, recwarn, make):
    make(
        mirostat=1,
        mirostat_eta=0.1,
        mirostat_tau=5.0,
        num_ctx=2048,
        num_gpu=1,
        keep_alive=60,
        num_thread=2,
        repeat_last_n=64,
        repeat_penalty=1.1,
        temperature=0.8,
        stop=["a"],
        tfs_z=1.0,
        top_k=40,
        top_p=0.9,
        client_kwargs=None,
        sync_client_kwargs=None,
        async_client_kwargs=None,
        validate_model_on_init=False,
    )
    assert not recwarn.list
    assert server.seen == []


def test_checking_the_model_at_construction(server, make):
    make(model="nomic-embed-text", validate_model_on_init=True)
    assert [seen.path for seen in server.seen] == ["/api/show"]
    with pytest.raises(ModelMissingError, match="nobody"):
        make(model="nobody", validate_model_on_init=True)
    with pytest.raises(EngineUnreachableError):
        make(base_url=f"127.0.0.1:{free_port()}", max_retries=0, validate_model_on_init=True)


# --- what comes back --------------------------------------------------------------------------------------------------


def test_dimensions(server, make):
    short = make(dimensions=8)
    want = short.embed_query("one two")
    assert len(want) == 8
    server.embedder.knows_dimensions = False
    assert short.embed_query("one two") == pytest.approx(want)  # cut here, and scaled again
    for error in errors(make(dimensions=65)):
        assert isinstance(error, InvalidRequestError)
        assert "64 numbers" in error.message
        assert error.hint


def test_vectors_that_are_cut_here_are_scaled_in_any_case(server, make):
    server.embedder.knows_dimensions = False
    assert math.hypot(*make(dimensions=8, normalize=False).embed_query("a")) == pytest.approx(1)


def test_vectors_are_scaled_unless_it_is_asked_otherwise(server, embeddings, make):
    server.embedder.change = lambda vectors: [[2 * number for number in vector] for vector in vectors]
    for vectors in both(embeddings):
        assert [math.hypot(*vector) for vector in vectors] == pytest.approx([1] * len(TEXTS))
    assert math.hypot(*make(normalize=False).embed_query("a")) == pytest.approx(2)


@pytest.mark.parametrize(
    "change",
    [
        lambda vectors: vectors[1:],
        lambda vectors: [],
        lambda vectors: [*vectors, vectors[0]],
        lambda vectors: {"a": 1},
        lambda vectors: None,
        lambda vectors: [vectors[0][1:], *vectors[1:]],
        lambda vectors: [[], *vectors[1:]],
        lambda vectors: [[None, *vectors[0][1:]], *vectors[1:]],
        lambda vectors: [["1", *vectors[0][1:]], *vectors[1:]],
        lambda vectors: [[float("nan"), *vectors[0][1:]], *vectors[1:]],
        lambda vectors: [1.0 for _ in vectors],
    ],
)
def test_answers_that_are_not_one_vector_for_each_text(server, embeddings, change):
    server.embedder.change = change
    for error in errors(embeddings):
        assert type(error) is EngineError
        assert "Ollama" in error.message


def test_vectors_of_another_length_in_a_later_batch(server, make):
    server.embedder.change = lambda vectors: [vector[len(vectors) :] for vector in vectors]
    for error in errors(make(batch_size=4)):
        assert "different lengths" in error.message


# --- failures ---------------------------------------------------------------------------------------------------------


def test_a_text_that_is_too_long(server, embeddings, make):
    texts = ["short", "word " * 600, "short too"]
    for error in errors(embeddings, texts):
        assert isinstance(error, PromptTooLongError)
        assert "text 1, with 3000 characters" in error.message
        assert "truncate=True" in error.hint
    cut = make(truncate=True).embed_documents(texts)
    assert cut[1] == pytest.approx(server.embedder.vector("word " * 512))
    small = make(batch_size=1)
    assert all("text 1," in error.message for error in errors(small, texts))


def test_a_model_that_only_writes(server, embeddings):
    server.embedder.not_embedding.add(MODEL)
    for error in errors(embeddings):
        assert isinstance(error, UnsupportedFeatureError)
        assert "does not embed" in error.message
        assert "ollama pull" in error.hint


def test_a_model_that_is_not_there(server, make):
    for error in errors(make(model="nobody")):
        assert isinstance(error, ModelMissingError)
    server.embedder.has_embed = False
    for error in errors(make(model="nobody")):
        assert isinstance(error, ModelMissingError)


def test_another_kind_of_server(server, make):
    for error in errors(make(base_url=f"{server.url}/elsewhere")):
        assert isinstance(error, InvalidRequestError)
        assert "does not know Ollama's API" in error.message


# --- old servers ------------------------------------------------------------------------------------------------------


def test_servers_without_embed(server, embeddings, make):
    server.embedder.has_embed = False
    for vectors in both(embeddings, TEXTS[:3]):
        assert vectors == [pytest.approx(server.embedder.vector(text)) for text in TEXTS[:3]]
    # It is asked for once.
    assert [seen.path for seen in server.seen] == ["/api/embed"] + ["/api/embeddings"] * 6
    assert server.last == {"model": MODEL, "prompt": TEXTS[2]}
    plain = make(normalize=False).embed_query("a")
    assert math.hypot(*plain) == pytest.approx(3)
    for error in errors(embeddings, ["short", "word " * 600]):
        assert isinstance(error, PromptTooLongError)
        assert "text 1," in error.message
    for error in errors(embeddings, [""]):
        assert type(error) is EngineError


def test_a_server_that_was_never_reached_is_not_taken_for_an_old_one(server, make):
    server.embedder.has_embed = False
    embeddings = make(model="nobody")
    with pytest.raises(ModelMissingError):
        embeddings.embed_query("a")
    server.embedder.has_embed = True
    server.models.add("nobody")
    embeddings.embed_query("a")
    assert server.seen[-1].path == "/api/embed"


# --- the stream -------------------------------------------------------------------------------------------------------


def test_a_stream_may_be_left_after_the_first_batch(server, make):
    engine = make(batch_size=2).engine
    stream = engine.embed(EmbeddingRequest(tuple(TEXTS)))
    first = next(iter(stream))
    assert first.index == 0
    stream.close()
    stream.close()
    assert len(server.seen) == 1
    with pytest.raises(RuntimeError):
        iter(stream)


def test_a_stream_that_is_closed_before_it_is_read_sends_nothing(server, embeddings):
    stream = embeddings.engine.embed(EmbeddingRequest(("a",)))
    stream.close()
    assert list(stream) == []
    assert server.seen == []


def test_closing_ends_running_requests(server, embeddings):
    hold, found = threading.Event(), []

    def change(vectors):
        hold.wait(10)
        return vectors

    def ask():
        try:
            embeddings.embed_query("a")
        except LocalModelError as error:
            found.append(error)

    server.embedder.change = change
    thread = threading.Thread(target=ask)
    thread.start()
    server.wait_for_request()
    embeddings.close()
    thread.join(10)
    hold.set()
    assert [type(error) for error in found] == [EngineClosedError]


def test_many_tasks_and_threads_at_once(server, embeddings):
    async def all_at_once():
        return await asyncio.gather(*(embeddings.aembed_documents([text]) for text in TEXTS * 3))

    for index, (vector,) in enumerate(asyncio.run(all_at_once())):
        assert vector == pytest.approx(server.embedder.vector(TEXTS[index % len(TEXTS)]))
    found = {}
    threads = [
        threading.Thread(target=lambda text=text: found.update({text: embeddings.embed_query(text)})) for text in TEXTS
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {text: pytest.approx(server.embedder.vector(text)) for text in TEXTS}
