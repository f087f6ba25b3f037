"""How far a server has come with a model that it fetches or makes: plain values, how they are read, and a bar."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TextIO

from langchain_localmodels.errors import EngineError, EngineUnreachableError, LocalModelError, ModelMissingError
from langchain_localmodels.transport.framing import NDJSONDecoder

_WIDTH = 30
_NO_MANIFEST = re.compile(r"pull model manifest:.*(file does not exist|manifest unknown|not found)", re.I | re.S)


@dataclass(frozen=True, slots=True)
class Progress:
    """One report of the server.

    Attributes:
        status: What it does, in its own words; `success` is the last.
        digest: Which part of the model this is about, where it is about one.
        total: Size of that part, in bytes.
        completed: How much of it is there, in bytes.
    """

    status: str
    digest: str | None = None
    total: int | None = None
    completed: int | None = None

    @property
    def fraction(self) -> float | None:
        """How much of the part is there, from 0 to 1; `None` where this is about no part."""
        return None if not self.total else min((self.completed or 0) / self.total, 1.0)


class ProgressReader:
    """Reads the reports out of an answer's bytes.

    Args:
        model: The model that it is about.
        place: The server's name and address.
    """

    def __init__(self, model: str, place: str) -> None:
        self._model = model
        self._place = place
        self._decoder = NDJSONDecoder()
        self._ended = False

    def feed(self, data: bytes) -> list[Progress]:
        """Take the next bytes.

        Raises:
            ModelMissingError: There is no such model to fetch.
            EngineError: The server tells of another failure, or sends what cannot be read.
        """
        return self._read(self._decoder.feed(data))

    def finish(self) -> list[Progress]:
        """Hear that the connection has ended.

        Raises:
            EngineUnreachableError: The server had not ended.
        """
        found = self._read(self._decoder.finish())
        if not self._ended:
            raise EngineUnreachableError(
                f"The connection to {self._place} broke off before the model {self._model!r} was whole.",
                hint="Ask again: what is there already is not fetched a second time.",
            )
        return found

    def _read(self, events: list[dict[str, Any]]) -> list[Progress]:
        found = []
        for event in events:
            if event.get("error"):
                raise self._error(str(event["error"]))
            progress = _progress(event)
            self._ended = self._ended or progress.status == "success"
            found.append(progress)
        return found

    def _error(self, text: str) -> LocalModelError:
        # A library without the model is a manifest that does not exist. Parts of the server itself may be missing too.
        if _NO_MANIFEST.search(text):
            return ModelMissingError(
                f"There is no model {self._model!r} to be fetched: {text}",
                hint="Look it up at https://ollama.com/library: a name is `model:tag`.",
            )
        return EngineError(f"Ollama could not finish the model {self._model!r}: {text}")


def _progress(event: Mapping[str, Any]) -> Progress:
    digest, total, completed = event.get("digest"), event.get("total"), event.get("completed")
    return Progress(
        status=str(event.get("status") or ""),
        digest=digest if isinstance(digest, str) else None,
        total=total if isinstance(total, int) else None,
        completed=completed if isinstance(completed, int) else None,
    )


class Bar:
    """Shows reports: as a bar that grows in a terminal or a notebook, elsewhere as one line for each step.

    Args:
        stream: Where to write; `None` for standard error.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        # A notebook's stream is no terminal, but knows how to go back to the beginning of a line.
        self._grows = self._stream.isatty() or "ipykernel" in type(self._stream).__module__
        self._step: tuple[str, str | None] | None = None
        self._shown = ""

    def show(self, progress: Progress) -> None:
        """Show one report."""
        step = (progress.status, progress.digest)
        if step != self._step:
            self.end()
            self._step = step
        fraction = progress.fraction
        if not self._grows or fraction is None:
            line = progress.status
        else:
            done = int(fraction * _WIDTH)
            line = f"{progress.status} [{'#' * done}{'.' * (_WIDTH - done)}] {fraction:4.0%} of {_size(progress.total)}"
        if line != self._shown:
            self._stream.write(f"\r{line}" if self._shown and self._grows else line)
            self._stream.flush()
            self._shown = line

    def end(self) -> None:
        """End the line."""
        if self._shown:
            self._stream.write("\n")
            self._stream.flush()
            self._shown = ""


def _size(count: int | None) -> str:
    size = float(count or 0)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def shown(reports: Iterator[Progress], show: bool) -> None:
    """Read all reports, and show them if that is wanted."""
    bar = Bar() if show else None
    try:
        for report in reports:
            if bar is not None:
                bar.show(report)
    finally:
        if bar is not None:
            with suppress(OSError, ValueError):  # A closed stream must not hide what went wrong.
                bar.end()


async def ashown(reports: AsyncIterator[Progress], show: bool) -> None:
    """The same, in a task."""
    bar = Bar() if show else None
    try:
        async for report in reports:
            if bar is not None:
                bar.show(report)
    finally:
        if bar is not None:
            with suppress(OSError, ValueError):
                bar.end()
