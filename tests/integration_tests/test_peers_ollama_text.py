"""What langchain-ollama's text model and embeddings get wrong, done right; see `test_peers_ollama.py`."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler

from langchain_localmodels import ChatOllama, OllamaEmbeddings, OllamaLLM
from langchain_localmodels.errors import EngineError, EngineTimeoutError
from tests.doubles.asking import text_of
from tests.doubles.fault_server import Exchange, FaultServer
from tests.doubles.ollama_server import Reply

MODEL = "llama3.1:8b"


# --- batches ----------------------------------------------------------------------------------------------------------


class Heard(BaseCallbackHandler):
    """Which runs have told of tokens."""

    def __init__(self) -> None:
        self.tokens: dict[uuid.UUID, str] = {}

    def on_llm_new_token(self, token: str, *, run_id: uuid.UUID, **kwargs: Any) -> None:
        self.tokens[run_id] = self.tokens.get(run_id, "") + token


def echo(exchange: Exchange) -> None:
    """Answer with the prompt, and refuse a certain one."""
    body = json.loads(exchange.request.body)
    prompt = body["prompt"] if "prompt" in body else body["messages"][-1]["content"]
    if prompt == "bad":
        return exchange.answer(b'{"error": "no luck"}', 500)
    exchange.head()
    for text, end in ((prompt, {"done": False}), ("", {"done": True, "done_reason": "stop"})):
        said = {"response": text} if "prompt" in body else {"message": {"role": "assistant", "content": text}}
        exchange.chunk(json.dumps({"model": MODEL, **said, **end}).encode() + b"\n")
    return exchange.end()


@pytest.fixture(params=["batch", "abatch"])
def ask(request) -> Any:
    if request.param == "batch":
        return lambda model, *given, **more: model.batch(*given, **more)
    return lambda model, *given, **more: asyncio.run(model.abatch(*given, **more))


@pytest.fixture
def echoing() -> Iterator[FaultServer]:
    with FaultServer(echo) as server:
        yield server


def test_a_batch_is_asked_all_at_once(echoing, ask):
    """There the inputs go one after another, in `abatch` as well."""

    def meet(exchange: Exchange) -> None:
        exchange.server.wait_until(requests=4)  # Nobody is answered before four have asked.
        echo(exchange)

    echoing.answer = meet
    with OllamaLLM(model=MODEL, base_url=echoing.url, max_retries=0) as llm:
        assert ask(llm, list("abcd")) == list("abcd")


def test_tokens_of_a_batch_are_told_under_their_own_runs(echoing, ask):
    """There all are told under the run of the first input."""
    heard = Heard()
    with OllamaLLM(model=MODEL, base_url=echoing.url, max_retries=0) as llm:
        ask(llm, list("abcd"), {"callbacks": [heard]})
    assert sorted(heard.tokens.values()) == list("abcd")


def test_one_failure_in_a_batch_is_that_of_one_input(echoing, ask):
    """There it becomes the outcome of every input."""
    with OllamaLLM(model=MODEL, base_url=echoing.url, max_retries=0) as llm:
        first, error, *rest = ask(llm, ["a", "bad", "c", "d"], return_exceptions=True)
    assert [first, *rest] == ["a", "c", "d"]
    assert type(error) is EngineError
    assert "no luck" in str(error)


@pytest.mark.parametrize("cls", [OllamaLLM, ChatOllama])
def test_one_event_loop_after_another_is_no_trouble(echoing, cls):
    """There the connection that was kept belongs to the first loop, and the second call fails: the loop is closed."""
    with cls(model=MODEL, base_url=echoing.url, max_retries=0) as model:
        assert [text_of(asyncio.run(model.ainvoke(text))) for text in "abc"] == list("abc")


# --- what comes of answers --------------------------------------------------------------------------------------------


def info(llm: Any, how: str) -> dict[str, Any]:
    """What is told beside the text, by each way that LangChain gathers it."""
    if how == "generate":
        generation = llm.generate(["one two three"]).generations[0][0]
    elif how == "agenerate":
        generation = asyncio.run(llm.agenerate(["one two three"])).generations[0][0]
    else:
        first, *rest = llm._stream("one two three")
        generation = sum(rest, start=first)
    return generation.generation_info


@pytest.mark.parametrize("how", ["generate", "agenerate", "stream"])
@pytest.mark.parametrize(
    ("fields", "reason"), [({"stop": ["END"]}, "stop"), ({"num_predict": 2}, "length"), ({}, "stop")]
)
def test_the_finish_reason_is_the_reason(server, how, fields, reason):
    """There it is the list of stop strings that was asked for."""
    with OllamaLLM(model=MODEL, **fields) as llm:
        assert info(llm, how)["finish_reason"] == reason


def test_reasoning_has_one_place(server):
    """There it has one name in whole answers and another in streams."""
    server.reply = Reply(thinking=["Let me", " see."], pieces=["42"])
    with OllamaLLM(model=MODEL, reasoning=True) as llm:
        found = [info(llm, how)["reasoning_content"] for how in ("generate", "agenerate", "stream")]
    assert found == ["Let me see."] * 3


def test_text_models_take_schemas(server):
    """There `format` is empty or the word "json"."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    OllamaLLM(model=MODEL, format=schema).invoke("x")
    assert server.last["format"] == schema
    OllamaLLM(model=MODEL).invoke("x", format=schema)
    assert server.last["format"] == schema


@pytest.mark.parametrize("cls", [OllamaLLM, ChatOllama])
@pytest.mark.parametrize("other", [{"model": "llama2:13b"}, {"temperature": 0.9}, {"format": "json"}, {"num_ctx": 512}])
def test_no_model_is_given_another_ones_answer(server, cls, other):
    """There nothing but the class tells two models apart, to a cache that they share."""
    cache = InMemoryCache()
    fields = {"model": MODEL, "temperature": 0, "cache": cache}
    server.reply = Reply(pieces=["first"])
    assert text_of(cls(**fields).invoke("x")) == "first"
    server.reply = Reply(pieces=["second"])
    assert text_of(cls(**fields).invoke("x")) == "first"
    assert text_of(cls(**{**fields, **other}).invoke("x")) == "second"


# --- vectors ----------------------------------------------------------------------------------------------------------


def test_one_vector_too_few_is_never_a_vector_of_another_text(server):
    """There the vectors that come are taken for those of the first texts, and none for a query is an `IndexError`."""
    with OllamaEmbeddings(model="nomic-embed-text") as embeddings:
        server.embedder.change = lambda vectors: vectors[:1]
        for ask in (embeddings.embed_documents, lambda texts: asyncio.run(embeddings.aembed_documents(texts))):
            with pytest.raises(EngineError):
                ask(["a", "b", "c"])
        server.embedder.change = lambda vectors: []
        for ask in (embeddings.embed_query, lambda text: asyncio.run(embeddings.aembed_query(text))):
            with pytest.raises(EngineError):
                ask("a")


def test_vectors_are_not_waited_for_for_ever():
    """There nothing ends the wait unless the arguments of httpx do."""
    with FaultServer(Exchange.wait_for_hang_up) as server:
        assert OllamaEmbeddings(model=MODEL, base_url=server.url).timeout == 600
        with OllamaEmbeddings(model=MODEL, base_url=server.url, timeout=0.2, max_retries=0) as embeddings:
            with pytest.raises(EngineTimeoutError, match=r"0\.2 seconds"):
                embeddings.embed_query("x")
            with pytest.raises(EngineTimeoutError, match=r"0\.2 seconds"):
                asyncio.run(embeddings.aembed_query("x"))
        server.wait_until(hung_up=2)
