"""`ItemStream`: what is made of a server's answers, read once by a thread or a task, and closed from anywhere.

Owns the life of such a stream. What is asked, and what becomes of the bytes, is the two readers' of each kind.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import suppress
from typing import Generic, TypeVar

from langchain_localmodels.transport.stream import ByteStream

ItemT = TypeVar("ItemT")


class ItemStream(ABC, Generic[ItemT]):
    """One request of an engine's contract, with one `ByteStream` after the other behind it."""

    def __init__(self) -> None:
        self._source: ByteStream | None = None
        self._closed = False
        self._reader: Generator[ItemT, None, None] | None = None
        self._async_reader: AsyncGenerator[ItemT, None] | None = None

    def __iter__(self) -> Iterator[ItemT]:
        """Read from a thread."""
        self._refuse_second_reader()
        self._reader = self._read()
        return self._reader

    def __aiter__(self) -> AsyncIterator[ItemT]:
        """Read from a task."""
        self._refuse_second_reader()
        self._async_reader = self._aread()
        return self._async_reader

    def close(self) -> None:
        """Stop, from any thread. The server stops when the connection ends."""
        self._closed = True
        if self._source is not None:
            self._source.close()
        if self._reader is not None:
            with suppress(ValueError):  # Another thread reads: the end of its source ends it.
                self._reader.close()

    async def aclose(self) -> None:
        """Stop, from a task."""
        self._closed = True
        if self._source is not None:
            await self._source.aclose()
        if self._async_reader is not None:
            with suppress(RuntimeError):  # Another task reads: the end of its source ends it.
                await self._async_reader.aclose()

    @abstractmethod
    def _read(self) -> Generator[ItemT, None, None]:
        """Make the items, in a thread."""

    @abstractmethod
    def _aread(self) -> AsyncGenerator[ItemT, None]:
        """Make the items, in a task."""

    def _hold(self, source: ByteStream) -> ByteStream:
        """Take note of the answer that is read now, which closing is to end, and give it."""
        self._source = source
        if self._closed:  # By another thread, which found no source to close.
            source.close()
        return source

    def _ended(self) -> bool:
        return self._closed

    def _refuse_second_reader(self) -> None:
        if self._reader is not None or self._async_reader is not None:
            raise RuntimeError("a stream can be read only once")
