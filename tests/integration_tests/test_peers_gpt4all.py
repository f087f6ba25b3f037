"""What langchain-community's GPT4All classes get wrong, done right, on the real gpt4all.

Each test names a defect that was seen to happen there. Defects that other files show to be absent here are not
repeated: streams and seeds are in `test_gpt4all.py`, what is left running in `test_gpt4all_sharing.py` and
`test_gpt4all_life.py`, prefixes and batches of vectors in `test_gpt4all_embeddings.py`.
"""

from __future__ import annotations

import asyncio
import ntpath
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler

from langchain_localmodels import GPT4All, GPT4AllEmbeddings
from langchain_localmodels.demo import embedding_model_path
from langchain_localmodels.engines.gpt4all import places
from langchain_localmodels.engines.gpt4all.binding.model import Model
from langchain_localmodels.errors import (
    EngineError,
    InvalidRequestError,
    PromptTooLongError,
    UnsupportedFeatureError,
)
from tests.chain_model import in_pieces, write_chain
from tests.gpt4all_models import LONG, PROMPT, Watch, make_chat, make_llm


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(monkeypatch)


# --- how much is written ----------------------------------------------------------------------------------------------


def test_max_tokens_is_not_overruled(watch: Watch):
    """There `n_predict`, 256, is sent with every request, and gpt4all prefers it."""
    for given in ({"max_tokens": 3}, {"n_predict": 3}):
        before = watch.tokens
        make_llm().invoke(LONG, **given)
        make_llm().bind(**given).invoke(LONG)
        make_llm(max_tokens=200).invoke(LONG, **given)
        assert watch.tokens - before == 9


def test_stop_strings_cut_where_they_stand_and_nowhere_else(tmp_path: Path):
    """There they are one regular expression, in which `|` stands between alternatives."""
    text = "It is said that 2 < 3, and that im_end is a name. [END] (Human"
    llm = GPT4All(model=write_chain(tmp_path / "x.gguf", in_pieces(text)), n_threads=1, temperature=0)
    for stop in (["<|im_end|>"], ["a.b"], [" *"], ["\\d"], ["^It"]):
        assert llm.invoke("Hello", stop=stop) == text
    assert llm.invoke("Hello", stop=["[END]"]) == text.partition("[END]")[0]
    assert llm.invoke("Hello", stop=["(Human", "[EN|"]) == text.partition("(Human")[0]


def test_stop_strings_of_the_constructor_hold_beside_those_of_a_call(tmp_path: Path):
    """There they are ignored."""
    path = write_chain(tmp_path / "x.gguf", in_pieces("one two three four"))
    llm = GPT4All(model=path, n_threads=1, temperature=0, stop=["three"])
    assert llm.invoke("Hello") == llm.invoke("Hello", stop=["four"]) == "one two "
    assert llm.invoke("Hello", stop=["two"]) == "one "
    assert llm.generate(["Hello"]).generations[0][0].text == "one two "


# --- who hears of it, and when ----------------------------------------------------------------------------------------


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """The fourth token is not computed before this is set."""
    event, generate = threading.Event(), Model.generate

    def waiting(self: Model, prompt: Any, choice: Any, *, on_token: Any, **options: Any) -> None:
        count = 0

        def wait(token: int, piece: bytes) -> bool:
            nonlocal count
            count += 1
            if count == 4 and not event.wait(60):
                raise AssertionError("nobody has heard of three tokens")
            return bool(on_token(token, piece))

        generate(self, prompt, choice, on_token=wait, **options)

    monkeypatch.setattr(Model, "generate", waiting)
    return event


def test_callbacks_of_invoke_hear_of_tokens_as_they_are_written(heard: threading.Event):
    """There, unless `streaming=True`, they hear of each character, after the end."""
    tokens: list[str] = []

    class Listener(BaseCallbackHandler):
        def on_llm_new_token(self, token: str, *, chunk: Any = None, **_: Any) -> None:
            assert chunk.text == token
            tokens.append(token)
            heard.set()

    text = make_llm().invoke(LONG, config={"callbacks": [Listener()]})
    assert "".join(tokens) == text
    assert 4 < len(tokens) < len(text)


async def test_tasks_hear_of_tokens_as_they_are_written(heard: threading.Event):
    tokens: list[str] = []

    class Listener(AsyncCallbackHandler):
        async def on_llm_new_token(self, token: str, **_: Any) -> None:
            tokens.append(token)
            heard.set()

    message = await make_chat().ainvoke("Who was the first man on the moon?", config={"callbacks": [Listener()]})
    assert "".join(tokens) == message.text
    assert 4 < len(tokens) < len(message.text)


# --- options ----------------------------------------------------------------------------------------------------------


def test_the_window_can_be_chosen():
    """There `n_ctx` and `ngl` are forbidden."""
    with make_llm(n_ctx=96, ngl=0) as llm:
        with pytest.raises(PromptTooLongError) as caught:
            llm.invoke("word " * 200)
        assert caught.value.context_window == 96
        assert llm.invoke(PROMPT, max_tokens=3)


@pytest.mark.parametrize(
    "path", ["C:\\models\\x.gguf", "models\\x.gguf", "C:/models/x.gguf", "\\\\host\\share\\x.gguf"]
)
def test_paths_of_windows(path: str, monkeypatch: pytest.MonkeyPatch):
    """There they are cut at the last `/`, and what is before a `\\` is taken for a part of the file's name."""
    there = SimpleNamespace(**{**vars(ntpath), "exists": lambda place: place == path})
    monkeypatch.setattr(places, "os", SimpleNamespace(path=there))
    place = places.ModelPlace(path, folder="D:\\elsewhere", allow_download=True)
    assert place.found() == place.path() == path
    missing = places.ModelPlace(f"{path}2", allow_download=True)
    assert missing.found() is None
    assert not missing.may_come, "no name of the catalogue"


# --- what is no prompt ------------------------------------------------------------------------------------------------


async def test_what_cannot_be_sent_blocks_nobody():
    """There the reader waits for ever for a thread that has died."""
    for model in (make_llm(), make_chat()):
        with pytest.raises(InvalidRequestError):
            async for _ in model.astream("half \ud800 a character"):
                pass
        with pytest.raises(InvalidRequestError):
            await asyncio.to_thread(lambda model=model: list(model.stream("half \ud800 a character")))
        assert await model.ainvoke(PROMPT, max_tokens=2)


def test_an_error_is_no_answer():
    """There it is, as text, for a prompt that is too long."""
    for model in (make_llm(n_ctx=64), make_chat(n_ctx=64)):
        with model:
            pieces: list[Any] = []
            with pytest.raises(PromptTooLongError):
                pieces.extend(model.stream("word " * 200))
            assert pieces == []
            results = model.batch(["word " * 200, "Hello"], max_tokens=2, return_exceptions=True)
            assert isinstance(results[0], PromptTooLongError)
            assert not isinstance(results[1], Exception)


# --- vectors ----------------------------------------------------------------------------------------------------------


def make(**fields: Any) -> GPT4AllEmbeddings:
    return GPT4AllEmbeddings(**{"model": embedding_model_path, "n_threads": 1, **fields})


def test_the_device_of_embeddings_is_the_one_that_is_used(monkeypatch: pytest.MonkeyPatch):
    """There its default is never applied."""
    asked: list[Any] = []
    init = Model.__init__

    def noting(self: Model, params: Any, **options: Any) -> None:
        asked.append(params.device)
        init(self, params, **options)

    monkeypatch.setattr(Model, "__init__", noting)
    with make(n_ctx=300, device="cpu") as cpu, make(n_ctx=301) as unsaid:
        assert cpu.embed_query("a") == pytest.approx(unsaid.embed_query("a"))
    with pytest.raises(UnsupportedFeatureError, match="nobody has"), make(device="what nobody has") as nowhere:
        nowhere.embed_query("a")
    assert asked == ["cpu", None, "what nobody has"]


def test_a_model_whose_name_gpt4all_does_not_know_can_embed():
    """There it ends with a `RuntimeError`, since no prefix can be given."""
    made = GPT4AllEmbeddings(model_name=Path(embedding_model_path).name, n_threads=1, **_in_folder())
    assert len(made.embed_documents(["a", "b"])) == 2


def _in_folder() -> dict[str, Any]:
    return {"gpt4all_kwargs": {"model_path": str(Path(embedding_model_path).parent), "allow_download": False}}


def test_vectors_of_the_length_that_was_asked_for(monkeypatch: pytest.MonkeyPatch):
    """There nobody looks, and it cannot be chosen."""
    embed = Model.embed

    def cutting(self: Model, texts: Any, **options: Any) -> list[list[float]]:
        return [vector[:-1] for vector in embed(self, texts, **options)]

    assert [len(make(dimensionality=size).embed_query("a")) for size in (None, 64, 192)] == [192, 64, 192]
    monkeypatch.setattr(Model, "embed", cutting)
    for size, told in ((None, 192), (64, 64)):
        with pytest.raises(EngineError, match=f"{told - 1} values in place of {told}"):
            make(dimensionality=size).embed_documents(["a", "b"])


@pytest.mark.parametrize("given", [0, 1, 3])
def test_as_many_vectors_as_texts(given: int, monkeypatch: pytest.MonkeyPatch):
    """There nobody counts them."""
    embed = Model.embed

    def miscounting(self: Model, texts: Any, **options: Any) -> list[list[float]]:
        return (embed(self, texts, **options) * 2)[:given]

    monkeypatch.setattr(Model, "embed", miscounting)
    embeddings = make()
    with pytest.raises(EngineError, match=f"{given} vectors for 2 texts"):
        embeddings.embed_documents(["a", "b"])
    monkeypatch.setattr(Model, "embed", embed)
    assert len(embeddings.embed_documents(["a", "b"])) == 2
