"""Embeddings on the real gpt4all, with the demo embedding model."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import ValidationError

from langchain_localmodels import GPT4AllEmbeddings, LlamaCppEmbeddings
from langchain_localmodels.demo import embedding_model_path
from langchain_localmodels.engines.gpt4all import embedding_engine
from langchain_localmodels.engines.gpt4all.binding.model import Model
from langchain_localmodels.engines.gpt4all.embedding import EmbeddingPlan
from langchain_localmodels.errors import EngineClosedError, InvalidRequestError

TEXTS = [f"Text number {number} is about {thing}." for number, thing in enumerate(["cats", "ships", "tea"] * 15)]
LONG = "The canoe is blue and the river is wide. " * 120


def make(**fields: Any) -> GPT4AllEmbeddings:
    return GPT4AllEmbeddings(**{"model": embedding_model_path, "n_threads": 1, **fields})


def nearness(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What GPT4All is asked to embed, call by call."""
    seen: list[dict[str, Any]] = []
    embed = Model.embed

    def noting(self: Model, texts: Sequence[str], **options: Any) -> Any:
        seen.append({"texts": list(texts), **options})
        return embed(self, texts, **options)

    monkeypatch.setattr(Model, "embed", noting)
    return seen


def test_vectors_are_those_of_llama_cpp():
    mine, theirs = make(), LlamaCppEmbeddings(model_path=embedding_model_path, n_threads=1)
    for a, b in zip(mine.embed_documents(TEXTS[:4]), theirs.embed_documents(TEXTS[:4]), strict=True):
        assert nearness(a, b) > 0.999
    assert len(mine.embed_query("x")) == 192


def test_texts_are_embedded_in_batches_and_come_in_their_order(calls: list[dict[str, Any]]):
    embeddings = make()
    vectors = embeddings.embed_documents(TEXTS)
    assert len(vectors) == len(TEXTS)
    assert 1 < len(calls) < len(TEXTS) / 2
    assert [text for call in calls for text in call["texts"]] == TEXTS
    for index in (0, 17, 44):
        assert nearness(vectors[index], embeddings.embed_query(TEXTS[index])) > 0.99999


def test_what_was_given_is_not_changed():
    kwargs = {"n_ctx": 256}
    texts = list(TEXTS)
    GPT4AllEmbeddings(model_name=embedding_model_path, n_threads=1, gpt4all_kwargs=kwargs).embed_documents(texts)
    assert kwargs == {"n_ctx": 256}
    assert texts == TEXTS


@pytest.mark.parametrize("given", [["n_ctx"], "n_ctx", 3])
def test_further_fields_that_are_none(given: Any):
    with pytest.raises(ValidationError, match="gpt4all_kwargs"):
        make(gpt4all_kwargs=given)


def test_queries_and_documents_have_prefixes_of_their_own(calls: list[dict[str, Any]]):
    embeddings = make(query_prefix="search_query: ", document_prefix="search_document: ")
    embeddings.embed_query("hello")
    embeddings.embed_documents(["hello"])
    assert [call["texts"] for call in calls] == [["search_query: hello"], ["search_document: hello"]]


def test_a_model_that_gpt4all_knows_gets_its_prefixes_from_gpt4all(
    calls: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
):
    """The demo model under the name of one that GPT4All has a list of prefixes for."""
    monkeypatch.setattr(
        embedding_engine, "EmbeddingPlan", lambda _name, *rest: EmbeddingPlan("nomic-embed-text-v1.5", *rest)
    )
    embeddings = make(document_prefix="clustering: ")
    mixed = ["clustering: a", "search_query: b"]
    embeddings.embed_documents(["a"])
    assert (calls[-1]["prefix"], calls[-1]["texts"]) == ("clustering", ["a"])
    plain = make(document_prefix="")
    del calls[:]
    vectors = plain.embed_documents(mixed)
    assert [(call["prefix"], call["texts"]) for call in calls] == [("clustering", ["a"]), ("search_query", ["b"])]
    assert len(vectors) == 2
    with pytest.raises(InvalidRequestError, match="prefix"):
        plain.embed_documents(["no prefix at all"])


def test_dimensionality():
    whole, cut = make().embed_query("hello"), make(dimensionality=64).embed_query("hello")
    assert len(cut) == 64
    assert math.hypot(*cut) == pytest.approx(1, abs=1e-3)
    assert nearness(cut, whole[:64]) > 0.9999
    assert make(dimensionality=192).embed_query("hello") == pytest.approx(whole)


def test_more_dimensions_than_there_are():
    """GPT4All would read past the end of the vector."""
    with pytest.raises(InvalidRequestError, match="192"):
        make(dimensionality=193).embed_query("hello")


def test_long_texts():
    mean, cut = make().embed_query(LONG), make(long_text_mode="truncate").embed_query(LONG)
    assert cut == pytest.approx(make(truncate=True).embed_query(LONG))
    assert cut == pytest.approx(make(truncate=True).embed_query(LONG + " The end is about something else."), abs=1e-4)
    assert nearness(mean, cut) < 0.99999
    small = make(n_ctx=1)
    assert len(small.embed_query(LONG)) == 192, "a window that would end the process is not given to GPT4All"


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
def test_empty_texts_are_refused(text: str):
    """GPT4All would embed a text of its own in their place."""
    with pytest.raises(InvalidRequestError, match="Text 1 is empty"):
        make().embed_documents(["a text", text])


@pytest.mark.parametrize("text", ["half \ud800", "a \0 in it"])
def test_what_is_no_text(text: str):
    embeddings = make()
    with pytest.raises(InvalidRequestError):
        embeddings.embed_documents(["a", text])
    assert embeddings.embed_query("a")


def test_a_query_need_not_wait_for_a_library(calls: list[dict[str, Any]]):
    """Requests take turns."""
    embeddings = make()

    async def both() -> None:
        library = asyncio.create_task(embeddings.aembed_documents(TEXTS * 4))
        while not calls:
            await asyncio.sleep(0)
        await embeddings.aembed_query("a query")
        await library

    asyncio.run(both())
    order = [call["texts"] == ["a query"] for call in calls]
    assert order.index(True) < len(order) - 2


def test_cancelling_ends_the_work_after_a_batch(calls: list[dict[str, Any]]):
    embeddings = make()

    async def cancel() -> None:
        task = asyncio.create_task(embeddings.aembed_documents(TEXTS * 20))
        while not calls:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await embeddings.aembed_query("after")

    asyncio.run(cancel())
    assert len(calls) < 10


def test_closing_while_it_embeds():
    embeddings = make()
    engine = embeddings.engine

    async def close() -> None:
        task = asyncio.create_task(embeddings.aembed_documents(TEXTS * 20))
        await asyncio.sleep(0.02)
        await asyncio.to_thread(engine.close)
        with pytest.raises(EngineClosedError):
            await task

    asyncio.run(close())
    assert embeddings.embed_query("again")


def test_the_prefix_of_a_task(calls: list[dict[str, Any]]):
    make(task_type="classification").embed_documents(["x"])
    assert calls[-1]["texts"] == ["classification: x"]
