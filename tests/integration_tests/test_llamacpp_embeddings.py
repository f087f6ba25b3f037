"""Embeddings by llama.cpp, the real one: one vector per text whatever comes together, and clear words for bad input."""

from __future__ import annotations

import asyncio
import gc
import math
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from langchain_localmodels import LlamaCpp, LlamaCppEmbeddings
from langchain_localmodels.demo import embedding_model_path, model_path
from langchain_localmodels.engines import sharing
from langchain_localmodels.engines.base import EmbeddingRequest
from langchain_localmodels.engines.llamacpp import config
from langchain_localmodels.engines.llamacpp.binding.context import Batch, Context
from langchain_localmodels.errors import (
    EngineClosedError,
    EngineError,
    InvalidRequestError,
    ModelFileError,
    ModelFileNotFoundError,
    PromptTooLongError,
)

TEXTS = [f"The {colour} {thing} is in the {place}." for colour in ("red", "blue") for thing in ("car", "boat")
         for place in ("park", "garden", "kitchen")]  # fmt: skip


def make(**fields: Any) -> LlamaCppEmbeddings:
    return LlamaCppEmbeddings(**{"model_path": embedding_model_path, "n_threads": 1, **fields})


def likeness(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))


@pytest.fixture(params=[embedding_model_path, model_path], ids=["bert", "chat model"])
def path(request: pytest.FixtureRequest) -> str:
    """A model made for embeddings, and one that was not, whose tokens' vectors are averaged."""
    found: str = request.param
    return found


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts each call of `decode` held."""
    seen: list[int] = []
    decode = Context.decode

    def spy(self: Context, batch: Batch) -> int:
        seen.append(len(set(batch._seq[: batch.count].tolist())))
        return decode(self, batch)

    monkeypatch.setattr(Context, "decode", spy)
    return seen


def test_a_vector_for_each_text_the_same_alone_and_together(path: str, batches: list[int]):
    with make(model_path=path) as embeddings:
        together = embeddings.embed_documents(TEXTS)
        assert batches == [len(TEXTS)]
        alone = [embeddings.embed_documents([text])[0] for text in TEXTS]
    assert len(together) == len(TEXTS)
    assert {len(vector) for vector in together} == {len(together[0])}
    assert all(type(number) is float for number in together[0])
    assert all(likeness(a, b) > 0.999 for a, b in zip(together, alone, strict=True))
    assert all(likeness(a, b) < 0.9999 for i, a in enumerate(together) for b in together[:i])
    assert all(math.hypot(*vector) == pytest.approx(1) for vector in together)


def test_not_normalized(path: str):
    with make(model_path=path, normalize=False) as raw, make(model_path=path) as unit:
        a, b = raw.embed_query("Hello"), unit.embed_query("Hello")
    assert math.hypot(*a) != pytest.approx(1, abs=0.01)
    assert likeness(a, b) == pytest.approx(1)


def test_poolings_differ(path: str):
    vectors = {}
    for pooling in ("mean", "cls", "last", None):
        with make(model_path=path, pooling_type=pooling) as embeddings:
            vectors[pooling] = embeddings.embed_query("The red car is in the park.")
    assert likeness(vectors["mean"], vectors["cls"]) < 0.999
    assert likeness(vectors["mean"], vectors["last"]) < 0.999
    assert vectors[None] == vectors["mean"]


def test_more_texts_than_fit_into_a_step(path: str, batches: list[int]):
    texts = [f"{text} {number}" for number in range(10) for text in TEXTS]
    with make(model_path=path, n_parallel=7, n_ctx=64) as embeddings:
        vectors = embeddings.embed_documents(texts)
    with make(model_path=path) as embeddings:
        assert all(likeness(a, b) > 0.999 for a, b in zip(vectors, embeddings.embed_documents(texts), strict=True))
    assert 1 < max(batches[:20]) <= 7


@pytest.mark.parametrize("n_ctx", [33, 64, 512])
@pytest.mark.parametrize("n_parallel", [1, 2, 3, 7, 33, 256])
def test_any_number_of_texts_a_step_and_any_window(n_ctx: int, n_parallel: int):
    """Some pairs make llama.cpp abort the process, unless the batch is rounded up."""
    with make(n_ctx=n_ctx, n_parallel=n_parallel) as embeddings:
        assert len(embeddings.embed_documents(TEXTS)) == len(TEXTS)


async def test_threads_and_tasks_get_their_own(path: str):
    with make(model_path=path) as embeddings:
        want = embeddings.embed_documents(TEXTS)
        queries = embeddings.embed_query(TEXTS[0])
        with ThreadPoolExecutor(8) as threads:
            found = [threads.submit(embeddings.embed_documents, [text]) for text in TEXTS]
            tasks = await asyncio.gather(*(embeddings.aembed_documents([text, text]) for text in TEXTS))
            assert likeness(await embeddings.aembed_query(TEXTS[0]), queries) > 0.999
        for vector, thread, task in zip(want, found, tasks, strict=True):
            assert len(task) == 2
            assert likeness(vector, thread.result()[0]) > 0.999
            assert likeness(vector, task[1]) > 0.999


def test_a_query_does_not_wait_for_a_library(batches: list[int]):
    with make(n_ctx=64, n_parallel=2) as embeddings:
        engine = embeddings.engine
        with closing(engine.embed(EmbeddingRequest(tuple(TEXTS * 40)))) as library:
            iterator = iter(library)
            next(iterator)
            embeddings.embed_query("Hello")
            assert len(batches) < 40 * len(TEXTS) / 2
            assert len(list(iterator)) == 40 * len(TEXTS) - 1


def test_closing_a_stream_stops_the_work(batches: list[int]):
    with make(n_ctx=64, n_parallel=2) as embeddings:
        with closing(embeddings.engine.embed(EmbeddingRequest(tuple(TEXTS * 100)))) as stream:
            next(iter(stream))
        embeddings.embed_query("Hello")
        assert len(batches) < 50 * len(TEXTS)


# --- prefixes -------------------------------------------------------------------------------------------------------


def test_prefixes_are_put_before(monkeypatch: pytest.MonkeyPatch):
    with make() as plain, make(query_prefix="find: ", document_prefix="text: ") as prefixed:
        assert likeness(prefixed.embed_query("a car"), plain.embed_query("find: a car")) > 0.9999
        assert likeness(prefixed.embed_documents(["a car"])[0], plain.embed_query("text: a car")) > 0.9999
        monkeypatch.setattr(LlamaCppEmbeddings, "_names", lambda _: ["nomic-embed-text-v1.5.Q4_K_M"])
        known = plain.embed_query("a car")
        monkeypatch.undo()
        assert likeness(known, plain.embed_query("search_query: a car")) > 0.9999


# --- sharing and life -----------------------------------------------------------------------------------------------


def test_the_weights_are_shared_with_a_language_model():
    with make(model_path=model_path) as embeddings, LlamaCpp(model_path=model_path, n_threads=1) as llm:
        embeddings.load()
        llm.load()
        assert embeddings.engine._hold.thread().model() is llm.engine._borrowed().model()  # type: ignore[attr-defined]
        assert len(embeddings.engine.tokenize("Hello")) == len(llm.engine.tokenize("Hello"))


def test_copies_and_pickles_embed_alike():
    embeddings = make(query_prefix="q: ")
    want = embeddings.embed_query("Hello")
    for other in (pickle.loads(pickle.dumps(embeddings)), embeddings.model_copy()):
        assert other == embeddings
        assert other.embed_query("Hello") == want
        other.close()
    embeddings.close()
    assert embeddings.embed_query("Hello") == want, "it opens again"
    embeddings.close()


def test_a_collected_object_lets_go(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sharing, "_LINGER", 0.0)
    embeddings = make(n_ctx=77)
    embeddings.embed_query("Hello")
    thread = embeddings.engine._hold.thread()._thread  # type: ignore[attr-defined]
    del embeddings
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()


def test_a_model_that_also_writes_gets_a_window_that_memory_allows(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(config, "available_memory", lambda: 2 * 8 * 1024 * 300)  # scores of 1024 tokens, 300 times
    with make(model_path=model_path) as embeddings:
        assert embeddings.engine.capabilities().context_window == 300
        assert embeddings.embed_query("Hello")
    with make(model_path=model_path, n_ctx=301) as embeddings, pytest.raises(InvalidRequestError, match="memory"):
        embeddings.embed_query("Hello")
    with make() as embeddings:
        assert embeddings.engine.capabilities().context_window == 512


def test_close_ends_the_thread_and_what_runs():
    embeddings = make(n_ctx=65, n_parallel=1)
    stream = embeddings.engine.embed(EmbeddingRequest(tuple(TEXTS * 200)))
    iterator = iter(stream)
    next(iterator)
    thread = embeddings.engine._hold.thread()._thread  # type: ignore[attr-defined]
    embeddings.close()
    assert not thread.is_alive()
    with pytest.raises(EngineClosedError):
        list(iterator)


# --- bad input ------------------------------------------------------------------------------------------------------


def test_a_text_that_is_too_long(path: str):
    long = "The car is in the park. " * 400
    with make(model_path=path, n_ctx=128) as embeddings:
        with pytest.raises(PromptTooLongError, match="Text 1 has .* at most 128") as caught:
            embeddings.embed_documents(["short", long])
        assert caught.value.context_window == 128
        assert embeddings.embed_query("short")
    with make(model_path=path, n_ctx=128, truncate=True) as embeddings:
        cut, longer, other = embeddings.embed_documents([long, long + "The end.", "A boat. " + long])
        assert cut == pytest.approx(longer)
        assert likeness(cut, other) < 0.99999


def test_a_cut_text_keeps_the_mark_of_its_end():
    """[SEP] ends every text that BERT was trained on, the longest as well."""
    text = "the car is in the park " * 100
    with make(n_ctx=32, truncate=True) as embeddings, make(n_ctx=32) as strict:
        cut = embeddings.embed_query(text)
        words = text.split()
        fitting = next(n for n in range(40, 0, -1) if len(strict.engine.tokenize(" ".join(words[:n]))) == 30)
        assert likeness(cut, strict.embed_query(" ".join(words[:fitting]))) > 0.9999


def test_a_window_beyond_the_positions_that_the_model_knows():
    with make(n_ctx=100_000) as embeddings, pytest.raises(InvalidRequestError, match="positions"):
        embeddings.embed_query("Hello")


@pytest.mark.parametrize(
    ("texts", "match"),
    [
        ("text", "a list of texts"),
        ([1], "Text 0 is no text but of type int"),
        (["a", None], "Text 1"),
        (["half \ud83d"], "surrogate"),
    ],
)
def test_what_is_no_text(texts: Any, match: str):
    with make() as embeddings, pytest.raises(InvalidRequestError, match=match):
        embeddings.embed_documents(texts)


def test_no_texts():
    with make() as embeddings:
        assert embeddings.embed_documents([]) == []


def test_a_text_without_tokens():
    with make(model_path=model_path) as embeddings, pytest.raises(InvalidRequestError, match="Text 1 is empty"):
        embeddings.embed_documents(["a", ""])
    with make() as embeddings:
        assert math.hypot(*embeddings.embed_query("")) == pytest.approx(1)


@pytest.mark.parametrize("fields", [{"n_parallel": 0}, {"pooling_type": "rank"}, {"n_ctx": -1}, {"timeout": 0}])
def test_values_out_of_range(fields: dict[str, Any]):
    with pytest.raises(ValidationError):
        make(**fields)


def test_a_missing_and_a_damaged_file(tmp_path: Path):
    with pytest.raises(ModelFileNotFoundError):
        make(model_path=tmp_path / "none.gguf")
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(Path(embedding_model_path).read_bytes()[:1000])
    with pytest.raises(ModelFileError):
        make(model_path=damaged)


def test_a_model_for_embeddings_does_not_write():
    with LlamaCpp(model_path=embedding_model_path) as llm, pytest.raises(ModelFileError, match="LlamaCppEmbeddings"):
        llm.invoke("Hello")


def test_fields_of_old_code_are_accepted_and_misspelt_ones_told():
    make(f16_kv=True, logits_all=False, vocab_only=False, seed=-1, n_parts=-1, n_batch=512, use_mlock=False)
    with pytest.warns(UserWarning, match=r"normalise.*normalize"):
        make(normalise=True)
    with pytest.warns(UserWarning, match="temperature"):
        make(temperature=0)


def test_a_failing_decode_fails_its_request_and_no_other(fail_next_decode: Callable[[], None]):
    with make() as embeddings:
        want = embeddings.embed_query("Hello")
        fail_next_decode()
        with pytest.raises(EngineError, match="code -3"):
            embeddings.embed_query("Hello")
        assert embeddings.embed_query("Hello") == want
