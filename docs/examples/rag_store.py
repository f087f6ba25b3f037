"""A folder of texts as a store of vectors on disk: reading, cutting, keeping up to date, finding.

`docs/rag.md` explains every step; `local_rag.py` beside this file answers questions with it.
"""

from __future__ import annotations

import json
import math
import re
import sqlite3
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_qdrant import QdrantVectorStore
from langchain_text_splitters import MarkdownHeaderTextSplitter, RecursiveCharacterTextSplitter
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, VectorParams

from langchain_localmodels.errors import InvalidRequestError

PARAGRAPH, SENTENCE = r"\n\s*\n", r"(?<=[.!?])\s+"


@dataclass(frozen=True)
class Search:
    """How texts are cut, and which pieces the chat model is shown. What fits depends on the embedding model.

    Attributes:
        size: Most characters in a piece.
        overlap: Most characters that a piece repeats from the one before it.
        ends: Where a text may be cut, as regular expressions, the best place first.
        pieces: Most pieces that are shown.
        floor: Least similarity of a piece to the question, from -1 to 1. If none reaches it, nothing is answered.
    """

    size: int = 800
    overlap: int = 100
    ends: tuple[str, ...] = (PARAGRAPH, SENTENCE, r"\s+", "")
    pieces: int = 5
    floor: float = -1.0

    def __post_init__(self) -> None:
        for name, value, least, most in (
            ("size", self.size, 1, math.inf),
            ("overlap", self.overlap, 0, self.size - 1),
            ("pieces", self.pieces, 1, math.inf),
            ("floor", self.floor, -1, 1),
        ):
            if not least <= value <= most:
                limit = f"at least {least}" if value < least else f"at most {most}"
                raise InvalidRequestError(f"`{name}` is {value}, and must be {limit}.")


DEMO_SEARCH = Search(size=1, overlap=0, ends=(PARAGRAPH, SENTENCE), pieces=3, floor=0.55)
"""The demo embedding model was trained on single sentences, and its chat model confuses facts that are alike."""


# --- reading and cutting ----------------------------------------------------------------------------------------------


@dataclass
class Folder:
    """What a folder holds: texts by file name, and why other files could not be read."""

    texts: dict[str, str] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)


def read_folder(path: Path) -> Folder:
    """Read the Markdown and text files of a folder, and of the folders in it, but for hidden ones."""
    if not path.is_dir():
        raise InvalidRequestError(f"{str(path)!r} is no folder.", hint="Name a folder with .md or .txt files in it.")
    found = Folder()
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        if file.suffix.lower() not in (".md", ".txt") or file.is_dir() or re.search(r"(^|/)\.", name):
            continue
        if not file.is_file():
            found.unread[name] = "it is no file, or a link that leads to none"
            continue
        try:
            found.texts[name] = file.read_text("utf-8-sig")
        except UnicodeDecodeError:
            found.unread[name] = "it is not UTF-8 text"
        except OSError as error:
            found.unread[name] = error.strerror or str(error)
    if not any(text.strip() for text in found.texts.values()):
        reasons = "".join(f" {name}: {reason}." for name, reason in found.unread.items())
        raise InvalidRequestError(
            f"There is no text in the folder {str(path)!r}.{reasons}", hint="It takes .md and .txt files in UTF-8."
        )
    return found


def cut(name: str, text: str, search: Search) -> list[Document]:
    """Cut a text into pieces that know which file, and which section of it, they are from."""
    sections = [Document(text)]
    if name.lower().endswith(".md"):
        headings = [("#" * depth, str(depth)) for depth in range(1, 5)]
        sections = MarkdownHeaderTextSplitter(headings).split_text(text)
    splitter = RecursiveCharacterTextSplitter(
        separators=list(search.ends),
        is_separator_regex=True,
        keep_separator="end",
        chunk_size=search.size,
        chunk_overlap=search.overlap,
    )
    pieces = []
    for section in sections:
        heading = section.metadata[max(section.metadata)] if section.metadata else ""
        for piece in filter(str.strip, splitter.split_text(section.page_content)):
            where = {"file": name, "source": f"{name}, {heading}" if heading else name}
            pieces.append(Document(" ".join(piece.split()), metadata=where))
    return pieces


# --- the store --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Changes:
    """Files that were new, changed or gone since the store was last brought up to date; and its pieces now."""

    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    pieces: int = 0


class NoteStore:
    """Pieces and their vectors, in a folder on disk that one program at a time may open.

    Args:
        path: The folder; made if it is not there.
        embeddings: The embedding model. A store holds the vectors of one.
        name: Its name, for errors.
        search: How to cut and to find.
    """

    COLLECTION = "pieces"
    BATCH = 64
    """Pieces that are embedded at a time, and kept should the program end then."""

    def __init__(self, path: Path, embeddings: Embeddings, name: str, search: Search) -> None:
        self.search = search
        probe = embeddings.embed_query("Which model is this?")
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._client = QdrantClient(path=str(path))
        except (OSError, RuntimeError, ValueError, sqlite3.Error) as error:
            raise InvalidRequestError(
                f"The store {str(path)!r} cannot be opened: {error}",
                hint="One program at a time can use it: end the other one. If it is damaged, delete it.",
            ) from error
        try:
            self._check_model(path, name, probe)
        except BaseException:
            self._client.close()
            raise
        self._store = QdrantVectorStore(self._client, self.COLLECTION, embeddings, validate_collection_config=False)

    def _check_model(self, path: Path, name: str, probe: list[float]) -> None:
        """Vectors of two models cannot be compared: refuse a store that another model filled.

        A model is known by the vector that it gives, not by its name: the same model may run on another engine, and
        another file may have the same name.
        """
        record = path / "model.json"
        if not self._client.collection_exists(self.COLLECTION):
            self._client.create_collection(self.COLLECTION, VectorParams(size=len(probe), distance=Distance.COSINE))
            record.write_text(json.dumps({"model": name, "probe": probe}), "utf-8")
            return
        try:
            made = json.loads(record.read_text("utf-8"))
            before, whose = made["probe"], made["model"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InvalidRequestError(
                f"The store {str(path)!r} does not say which embedding model filled it.", hint="Delete it."
            ) from error
        if len(before) != len(probe):
            difference = f"vectors of {len(probe)} numbers in place of {len(before)}"
        elif (alike := _cosine(before, probe)) < 0.98:
            difference = f"another vector for the same text (similarity {alike:.2f})"
        else:
            return
        raise InvalidRequestError(
            f"The store {str(path)!r} was filled by another embedding model ({whose}) than {name}, "
            f"which gives {difference}.",
            hint="Use that model, name another folder for the store, or delete this one to have it filled anew.",
        )

    def update(self, folder: Folder, progress: Callable[[int, int], None] = lambda done, of: None) -> Changes:
        """Bring the store up to date: embed what is new, drop what is gone. Files that could not be read stay.

        Args:
            folder: What there is to know.
            progress: Called with how many pieces are embedded, and of how many.
        """
        wanted: dict[str, Document] = {}
        for name, text in folder.texts.items():
            for piece in cut(name, text, self.search):
                wanted[str(uuid.uuid5(uuid.NAMESPACE_URL, f"{piece.metadata['source']}\n{piece.page_content}"))] = piece
        present = self._present()
        unread = {key for key, name in present.items() if name in folder.unread}
        added = {key: piece for key, piece in wanted.items() if key not in present}
        dropped = {key: name for key, name in present.items() if key not in wanted and key not in unread}
        # Should the program end in between, the next run finds what is missing; and nothing is missing meanwhile.
        keys = list(added)
        for start in range(0, len(keys), self.BATCH):
            batch = keys[start : start + self.BATCH]
            self._store.add_documents([added[key] for key in batch], ids=batch)
            progress(start + len(batch), len(keys))
        if dropped:
            self._store.delete(list(dropped))
        before, now = set(present.values()), {piece.metadata["file"] for piece in wanted.values()}
        touched = {piece.metadata["file"] for piece in added.values()} | set(dropped.values())
        gone = before - now - folder.unread.keys()
        return Changes(
            new=tuple(sorted(now - before)),
            changed=tuple(sorted(touched & before & now)),
            gone=tuple(sorted(gone)),
            pieces=len(wanted) + len(unread),
        )

    def _present(self) -> dict[str, str]:
        """The pieces that are in the store: the file of each by its key."""
        found: dict[str, str] = {}
        after: Any = None
        while True:
            points, after = self._client.scroll(self.COLLECTION, limit=1000, offset=after, with_payload=["metadata"])
            found |= {str(point.id): point.payload["metadata"]["file"] for point in points if point.payload}
            if after is None:
                return found

    def find(self, question: str, search: Search | None = None) -> list[Document]:
        """Find the pieces that are near a question, nearest first; none, where none is near enough."""
        search = search or self.search
        found = self._store.similarity_search_with_score(question, k=search.pieces, score_threshold=search.floor)
        return [
            Document(piece.page_content, metadata={**piece.metadata, "score": round(score, 3)})
            for piece, score in found
        ]

    def close(self) -> None:
        """Let other programs have the folder."""
        self._client.close()

    def __enter__(self) -> NoteStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _cosine(left: Sequence[float], right: Sequence[float]) -> float:
    return sum(map(lambda a, b: a * b, left, right)) / (math.hypot(*left) * math.hypot(*right) or 1.0)
