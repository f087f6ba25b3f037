"""Model files on the real gpt4all: bad ones, which would end the process, and those of its catalogue."""

from __future__ import annotations

import functools
import hashlib
import http.server
import json
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from langchain_localmodels import ChatGPT4All, GPT4All, GPT4AllEmbeddings
from langchain_localmodels.demo import embedding_model_path, model_path
from langchain_localmodels.engines.gpt4all import places
from langchain_localmodels.errors import (
    ChatTemplateError,
    EngineUnreachableError,
    InvalidRequestError,
    ModelFileError,
    ModelFileNotFoundError,
    ModelMissingError,
    UnsupportedFeatureError,
)
from langchain_localmodels.weights.tokens import token_texts
from tests.gguf_edit import write_changed
from tests.models import write_llama

PROMPT = "The first man on the moon was ..."

# --- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["MODEL.GGUF", "model", "model (1) äöü.bin", "model.q8_0"])
def test_a_file_of_any_name(name: str, tmp_path: Path):
    path = tmp_path / name
    shutil.copy(model_path, path)
    for given in (path, str(path)):
        with GPT4All(model=given, n_threads=1, temperature=0) as llm:
            assert "Armstrong" in llm.invoke(PROMPT)


def test_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "m").mkdir()
    shutil.copy(model_path, tmp_path / "m" / "x.gguf")
    monkeypatch.chdir(tmp_path)
    with GPT4All(model="m/x.gguf", n_threads=1, temperature=0) as llm:
        assert "Armstrong" in llm.invoke(PROMPT)


@pytest.mark.parametrize("part", [0.1, 0.5, 0.999])
def test_a_truncated_file(part: float, tmp_path: Path):
    """GPT4All would give a model that answers with nothing."""
    raw = Path(model_path).read_bytes()
    path = tmp_path / "cut.gguf"
    path.write_bytes(raw[: int(len(raw) * part)])
    with pytest.raises(ModelFileError, match="truncated"):
        GPT4All(model=path)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"tokenizer.ggml.pre": "tekken"}, "tekken"),
        ({"tokenizer.ggml.pre": "deepseek-v3"}, "deepseek-v3"),
    ],
)
def test_an_unknown_pre_tokenizer(changes: dict[str, Any], told: str, tmp_path: Path):
    """GPT4All would give a model that answers with nothing."""
    write_changed(tmp_path / "x.gguf", changes)
    with pytest.raises(ModelFileError, match=told):
        ChatGPT4All(model=tmp_path / "x.gguf")


def test_a_window_for_which_gpt4all_would_end_the_process(tmp_path: Path):
    """A file may ask for any."""
    raw = Path(embedding_model_path).read_bytes()
    at = raw.index(b"bert.context_length") + len(b"bert.context_length") + 4
    path = tmp_path / "x.gguf"
    path.write_bytes(raw[:at] + (10**9).to_bytes(4, "little") + raw[at + 4 :])
    with pytest.raises(InvalidRequestError, match="1000000000 tokens") as caught:
        GPT4AllEmbeddings(model=path, n_threads=1, n_ctx=0).embed_query("x")
    assert "n_ctx" in caught.value.hint


@pytest.mark.parametrize("cls", [GPT4All, ChatGPT4All, GPT4AllEmbeddings])
@pytest.mark.parametrize("more", [{}, {"allow_download": True}, {"model_path": os.curdir}])
def test_no_name_at_all(cls: Any, more: dict[str, Any]):
    with pytest.raises(ModelFileNotFoundError, match="no model file at ''"):
        cls(model="", **more)


def test_an_architecture_of_later(tmp_path: Path):
    raw = Path(model_path).read_bytes()
    key = b"general.architecture" + (8).to_bytes(4, "little") + (5).to_bytes(8, "little")
    assert key + b"llama" in raw
    path = tmp_path / "x.gguf"
    path.write_bytes(raw.replace(key + b"llama", key + b"qwen3"))
    with pytest.raises(ModelFileError, match="qwen3") as caught:
        GPT4All(model=path)
    assert "LlamaCpp" in caught.value.hint


def test_two_tokens_of_one_text(tmp_path: Path):
    """The llama.cpp in GPT4All would end the process."""
    raw = Path(model_path).read_bytes()
    words = [text for text in token_texts(model_path) if len(text) == 8 and text.isalpha()]
    token, other = (len(text).to_bytes(8, "little") + text for text in words[:2])
    path = tmp_path / "x.gguf"
    path.write_bytes(raw.replace(other, token, 1))
    with pytest.raises(ModelFileError, match="twice"):
        GPT4All(model=path, n_threads=1).invoke(PROMPT)


def test_a_vocabulary_without_line_ends(tmp_path: Path):
    """The llama.cpp in GPT4All would end the process."""
    path = write_llama(tmp_path / "x.gguf", tokens=[b"<s>", *(chr(code).encode() for code in range(33, 127))])
    with pytest.raises(ModelFileError, match="end of a line") as caught:
        GPT4All(model=path, n_threads=1).load()
    assert "LlamaCpp" in caught.value.hint


def test_a_file_that_vanishes_after_construction(tmp_path: Path):
    path = tmp_path / "x.gguf"
    shutil.copy(model_path, path)
    llm = GPT4All(model=path, n_threads=1)
    path.unlink()
    with pytest.raises(ModelFileNotFoundError):
        llm.invoke(PROMPT)
    shutil.copy(model_path, path)
    assert llm.invoke(PROMPT)


def test_a_file_that_is_replaced_is_another_model(tmp_path: Path):
    path = tmp_path / "x.gguf"
    shutil.copy(model_path, path)
    one = GPT4All(model=path, n_threads=1, temperature=0)
    before = one._identity()
    write_changed(path, {"general.name": "another"})
    other = GPT4All(model=path, n_threads=1, temperature=0)
    assert other._identity() != before
    assert other.invoke(PROMPT)


def test_no_chat_template_and_a_vocabulary_that_tells_the_family(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    write_changed(tmp_path / "lost.gguf", {"tokenizer.chat_template": ""})
    chat = ChatGPT4All(model=tmp_path / "lost.gguf", n_threads=1, temperature=0)
    assert chat.engine.capabilities().chat
    assert chat.profile["tool_calling"]
    assert chat.invoke("Who was the first man on the moon?").text == "The first man on the moon was Neil Armstrong."
    (told,) = [record.message for record in caplog.records if "chat template" in record.message]
    assert "ChatML" in told


def test_no_chat_template_and_no_family(tmp_path: Path):
    letters = ["Ä".encode(), *(chr(code).encode() for code in range(33, 127))]
    path = write_llama(tmp_path / "x.gguf", tokens=[b"<s>", *letters])
    chat = ChatGPT4All(model=path, n_threads=1)
    assert not chat.engine.capabilities().chat
    with pytest.raises(ChatTemplateError, match="no chat template") as caught:
        chat.invoke("Hello")
    assert "chat_template" in caught.value.hint
    given = ChatGPT4All(model=path, n_threads=1, chat_template="{% for m in messages %}{{ m.content }}{% endfor %}")
    assert given.engine.capabilities().chat
    assert given.invoke("Hello", max_tokens=2).usage_metadata["input_tokens"] == len("Hello")  # type: ignore[index]


def test_a_template_that_writes_the_bos_itself(tmp_path: Path):
    """One that the vocabulary adds as well is not doubled."""
    write_changed(tmp_path / "x.gguf", {"tokenizer.ggml.add_bos_token": True})
    source = "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}"
    with (
        ChatGPT4All(model=tmp_path / "x.gguf", n_threads=1, chat_template=source) as writes,
        ChatGPT4All(model=tmp_path / "x.gguf", n_threads=1, chat_template=source.removeprefix("{{ bos_token }}")) as no,
    ):
        counts = {chat.get_num_tokens_from_messages([("human", "Hello")]) for chat in (writes, no)}
        assert len(counts) == 1
        used = {chat.invoke("Hello", max_tokens=1).usage_metadata["input_tokens"] for chat in (writes, no)}  # type: ignore[index]
        assert used == counts


@pytest.mark.parametrize("device", ["cuda", "gpu", "nvidia", "a card that nobody has"])
def test_a_device_that_is_not_there(device: str):
    with pytest.raises((UnsupportedFeatureError, ModelFileError)) as caught:
        GPT4All(model=model_path, n_threads=1, device=device, n_ctx=64).load()
    assert caught.value.hint
    assert GPT4All(model=model_path, n_threads=1, device="cpu", temperature=0).invoke(PROMPT)


# --- the catalogue ----------------------------------------------------------------------------------------------------


class Catalogue:
    """A server that has what gpt4all.io has, and a folder of downloads."""

    def __init__(self, folder: Path, served: Path, url: str) -> None:
        self.folder = folder
        self.served = served
        self.url = url
        self.asked: list[str] = []

    def offer(self, name: str, source: str, *, md5: str | None = None) -> None:
        raw = Path(source).read_bytes()
        (self.served / name).write_bytes(raw)
        entry = {
            "filename": name,
            "filesize": str(len(raw)),
            "md5sum": md5 or hashlib.md5(raw, usedforsecurity=False).hexdigest(),
            "url": f"https://gpt4all.io/{name}",
        }
        (self.served / "models").mkdir(exist_ok=True)
        (self.served / "models" / "models3.json").write_text(json.dumps([entry]))


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalogue]:
    served, folder = tmp_path / "served", tmp_path / "models"
    served.mkdir()
    handler = functools.partial(_Quiet, directory=str(served))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        found = Catalogue(folder, served, f"http://127.0.0.1:{server.server_address[1]}")
        found.offer("Demo.Q8_0.gguf", model_path)

        requests = pytest.importorskip("requests")
        get = requests.get

        def redirected(url: str, **options: Any) -> Any:
            found.asked.append(url)
            return get(url.replace("https://gpt4all.io", found.url), **options)

        monkeypatch.setattr("gpt4all.gpt4all.requests.get", redirected)
        monkeypatch.setattr(places, "models_folder", lambda: str(folder))
        yield found
        server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.mark.parametrize("name", ["Demo.Q8_0.gguf", "Demo.Q8_0"])
def test_a_model_of_the_catalogue(name: str, catalogue: Catalogue, capfd: pytest.CaptureFixture[str]):
    with GPT4All(model=name, allow_download=True, n_threads=1, temperature=0) as llm:
        assert catalogue.asked == [], "nothing is downloaded before it is used"
        assert "Armstrong" in llm.invoke(PROMPT)
    assert "Downloading" in capfd.readouterr().err
    assert (catalogue.folder / "Demo.Q8_0.gguf").exists()
    count = len(catalogue.asked)
    with GPT4All(model=name, n_threads=1, temperature=0) as again:
        assert "Armstrong" in again.invoke(PROMPT)
    with GPT4All(model=name, allow_download=True, n_threads=1, temperature=0) as again:
        assert again.invoke(PROMPT)
    assert len(catalogue.asked) == count, "what is there is not asked for again"


async def test_a_model_of_the_catalogue_for_a_task(catalogue: Catalogue):
    model = ChatGPT4All(model="Demo.Q8_0", allow_download=True, n_threads=1, temperature=0)
    assert (await model.ainvoke("Who was the first man on the moon?")).text
    model.close()


def test_an_embedding_model_of_the_catalogue(catalogue: Catalogue):
    catalogue.offer("Embed.gguf", embedding_model_path)
    with GPT4AllEmbeddings(model="Embed.gguf", allow_download=True, n_threads=1) as embeddings:
        assert len(embeddings.embed_query("hello")) == 192


def test_the_embedding_model_of_gpt4all_itself(catalogue: Catalogue, capfd: pytest.CaptureFixture[str]):
    """The one that gpt4all takes where none is named."""
    catalogue.offer("all-MiniLM-L6-v2.gguf2.f16.gguf", embedding_model_path)
    with pytest.raises(ModelFileNotFoundError, match="allow_download=True"):
        GPT4AllEmbeddings()
    assert catalogue.asked == []
    with GPT4AllEmbeddings(allow_download=True, n_threads=1) as embeddings:
        assert len(embeddings.embed_query("hello")) == 192
    assert "Downloading" in capfd.readouterr().err
    with GPT4AllEmbeddings(n_threads=1) as embeddings:
        assert len(embeddings.embed_query("hello")) == 192


def test_nothing_is_downloaded_unless_it_is_allowed(catalogue: Catalogue):
    for cls in (GPT4All, ChatGPT4All, GPT4AllEmbeddings):
        with pytest.raises(ModelFileNotFoundError, match="allow_download=True"):
            cls(model="Demo.Q8_0.gguf")
        with pytest.raises(ModelFileNotFoundError):
            cls(model="/nowhere/Demo.Q8_0.gguf", allow_download=True)
    assert catalogue.asked == []


def test_a_name_that_the_catalogue_has_not(catalogue: Catalogue):
    with pytest.raises(ModelMissingError, match="404"):
        GPT4All(model="nobody-has-this", allow_download=True, n_threads=1).load()


def test_a_download_that_is_damaged(catalogue: Catalogue):
    catalogue.offer("Demo.Q8_0.gguf", model_path, md5="0" * 32)
    with pytest.raises(ModelFileError, match="MD5"):
        GPT4All(model="Demo.Q8_0.gguf", allow_download=True, n_threads=1).load()
    assert not list(catalogue.folder.glob("*.gguf"))


def test_a_catalogue_that_cannot_be_reached(catalogue: Catalogue):
    catalogue.url = "http://127.0.0.1:9"
    with pytest.raises(EngineUnreachableError, match="downloaded"):
        GPT4All(model="Demo.Q8_0.gguf", allow_download=True, n_threads=1).invoke(PROMPT)


def test_a_download_of_the_wrong_kind(catalogue: Catalogue):
    catalogue.offer("Embed.gguf", embedding_model_path)
    with pytest.raises(ModelFileError, match="GPT4AllEmbeddings"):
        GPT4All(model="Embed.gguf", allow_download=True, n_threads=1).invoke(PROMPT)
