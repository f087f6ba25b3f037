"""`docs/examples/rag_store.py`: what is read, cut and embedded, what a second run does, and what goes wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from unittest import mock

import pytest

from langchain_localmodels import GPT4AllEmbeddings, LlamaCppEmbeddings, LlamafileEmbeddings
from langchain_localmodels.demo import embedding_model_path
from langchain_localmodels.errors import EngineError, InvalidRequestError
from tests import llama_server

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
sys.path.append(str(EXAMPLES))

import rag_store  # noqa: E402

NOTES = EXAMPLES / "notes"


@pytest.fixture(scope="module")
def embeddings():
    with LlamaCppEmbeddings(model_path=embedding_model_path, n_threads=1) as model:
        yield model


@pytest.fixture
def opened(tmp_path, embeddings):
    """Opens the store of a test, as often as it likes."""
    return lambda model=embeddings, name="demo": rag_store.NoteStore(
        tmp_path / "store", model, name, rag_store.DEMO_SEARCH
    )


class Counting(LlamaCppEmbeddings):
    """Keeps what was embedded as a document."""

    def embed_documents(self, texts):
        self.__dict__.setdefault("seen", []).extend(texts)
        return super().embed_documents(texts)


def test_a_second_run_embeds_only_what_is_new(tmp_path, opened):
    folder = tmp_path / "notes"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.md").write_text("# Ada\n\nAda lives in Rome. Ada works as a pilot.")
    (folder / "b.txt").write_text("Bob lives in Paris.")
    (folder / "deep" / "c.TXT").write_text("Carol lives in Lima.")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "e.md").write_text("Erick lives in Oslo.")
    with Counting(model_path=embedding_model_path, n_threads=1) as model:

        def update() -> tuple[rag_store.Changes, list[str]]:
            model.__dict__["seen"] = []
            with opened(model) as store:
                return store.update(rag_store.read_folder(folder)), model.__dict__["seen"]

        changes, seen = update()
        assert changes == rag_store.Changes(new=("a.md", "b.txt", "deep/c.TXT"), pieces=4)
        assert len(seen) == 4
        assert update() == (rag_store.Changes(pieces=4), [])

        (folder / "a.md").write_text("# Ada\n\nAda lives in Rome. Ada works as a baker. Ada works as a baker.")
        (folder / "b.txt").unlink()
        (folder / "d.md").write_text("\ufeffDora lives in Cairo.", "utf-8")
        changes, seen = update()
        assert changes == rag_store.Changes(new=("d.md",), changed=("a.md",), gone=("b.txt",), pieces=4)
        assert sorted(seen) == ["Ada works as a baker.", "Dora lives in Cairo."]
        with opened(model) as store:
            assert store.find("What does Ada work as?")[0].page_content == "Ada works as a baker."
            assert not [piece for piece in store.find("Where does Bob live?") if "Bob" in piece.page_content]


def test_a_run_that_broke_off_is_made_up_for(opened, embeddings):
    folder = rag_store.Folder({f"{number}.txt": f"The price of the lamp is {number} dollars." for number in range(200)})
    embed = LlamaCppEmbeddings.embed_documents
    calls = []

    def failing(self, texts):
        calls.append(texts)
        if len(calls) == 2:
            raise EngineError("The power went out.")
        return embed(self, texts)

    failure = mock.patch.object(LlamaCppEmbeddings, "embed_documents", failing)
    with opened() as store, failure, pytest.raises(EngineError):
        store.update(folder)
    with opened() as store:
        told = []
        changes = store.update(folder, lambda done, of: told.append((done, of)))
        assert (len(changes.new), changes.pieces) == (136, 200), "the first batch of 64 was kept"
        assert told == [(64, 136), (128, 136), (136, 136)]
        assert store.update(folder) == rag_store.Changes(pieces=200)


def test_what_cannot_be_read_is_told_and_what_was_known_of_it_stays(tmp_path, opened):
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.txt").write_text("Ada lives in Rome.")
    (folder / "b.txt").write_text("Bob lives in Paris.")
    with opened() as store:
        store.update(rag_store.read_folder(folder))
        (folder / "a.txt").write_bytes("Ada lives in Köln.".encode("latin-1"))
        (folder / "b.txt").write_text("  \n")
        (folder / "link.md").symlink_to(folder / "missing.md")
        (folder / "c.txt").write_text("Carol lives in Lima.")
        found = rag_store.read_folder(folder)
        assert found.unread.keys() == {"a.txt", "link.md"}
        assert "UTF-8" in found.unread["a.txt"]
        assert store.update(found) == rag_store.Changes(new=("c.txt",), gone=("b.txt",), pieces=2)
        assert store.find("Where does Ada live?")[0].page_content == "Ada lives in Rome."


@pytest.mark.parametrize(("file", "content"), [("a.pdf", b"%PDF"), ("a.txt", b" \n"), ("a.md", b"\xff\xfe\x00")])
def test_a_folder_without_text_is_refused(tmp_path, file, content):
    (tmp_path / file).write_bytes(content)
    with pytest.raises(InvalidRequestError, match="no text") as caught:
        rag_store.read_folder(tmp_path)
    assert (file in str(caught.value)) == (file == "a.md")


def test_no_folder(tmp_path):
    with pytest.raises(InvalidRequestError, match="no folder"):
        rag_store.read_folder(tmp_path / "nowhere")


def test_one_program_at_a_time(opened):
    with opened():
        with pytest.raises(InvalidRequestError, match="cannot be opened") as caught:
            opened()
        assert "One program at a time" in caught.value.hint
    opened().close()


@pytest.mark.parametrize("file", ["meta.json", "collection/pieces/storage.sqlite"])
def test_a_damaged_store(tmp_path, opened, file):
    with opened() as store:
        store.update(rag_store.Folder({"a.txt": "Ada lives in Rome."}))
    (tmp_path / "store" / file).write_bytes(b"no such thing " * 100)
    with pytest.raises(InvalidRequestError, match="cannot be opened") as caught:
        opened()
    assert "delete it" in caught.value.hint


def test_a_store_of_another_model_is_refused(tmp_path, opened, embeddings):
    """By its vectors, whether of another length or not; and the store can be opened by its own model afterwards."""
    with opened():
        pass
    other = LlamaCppEmbeddings(model_path=embedding_model_path, n_threads=1, query_prefix="Kings and queens of old: ")
    with pytest.raises(InvalidRequestError, match="another embedding model.*similarity 0"):
        opened(other, "another")
    wide = mock.patch.object(LlamaCppEmbeddings, "embed_query", return_value=[0.5] * 4)
    with wide, pytest.raises(InvalidRequestError, match="vectors of 4 numbers in place of 192"):
        opened()
    with opened(embeddings, "the same under another name"):
        pass
    (tmp_path / "store" / "model.json").write_text(json.dumps({"model": "demo"}))
    with pytest.raises(InvalidRequestError, match="does not say which embedding model"):
        opened()


ENGINES = {
    "llamafile": lambda: LlamafileEmbeddings(base_url=llama_server.embedding_server().url),
    "gpt4all": lambda: GPT4AllEmbeddings(model=embedding_model_path, n_threads=1),
}


@pytest.mark.parametrize("engine", ENGINES)
def test_the_same_model_on_another_engine_goes_on_with_the_store(opened, engine):
    with opened() as store:
        store.update(rag_store.read_folder(NOTES))
    with opened(ENGINES[engine](), engine) as store:
        assert store.update(rag_store.read_folder(NOTES)) == rag_store.Changes(pieces=44)
        assert store.find("Where does Ingrid live?")[0].page_content == "Ingrid lives in Oslo."


def test_texts_are_cut_where_they_should():
    search = rag_store.Search(size=40, overlap=15)
    text = (
        "# One\n\nA first sentence. A second one.\n\nAnother thought altogether.\n## Two\n" + "words without end " * 4
    )
    pieces = rag_store.cut("a.md", text, search)
    assert max(len(piece.page_content) for piece in pieces) <= 40
    assert [piece.metadata["source"] for piece in pieces] == ["a.md, One"] * 2 + ["a.md, Two"] * 3
    assert pieces[0].page_content == "A first sentence. A second one."
    assert rag_store.cut("a.txt", "# no heading", search)[0].metadata == {"file": "a.txt", "source": "a.txt"}
