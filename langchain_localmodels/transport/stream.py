"""`ByteStream`: one answer's bytes, read by a thread or a task, and hung up from anywhere."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from socket import SHUT_RDWR
from typing import TYPE_CHECKING, Any

from langchain_localmodels.errors import InvalidRequestError, LocalModelError
from langchain_localmodels.transport.failures import Explain

if TYPE_CHECKING:
    from langchain_localmodels.transport.http import HTTPTransport


@dataclass(frozen=True)
class Call:
    """What is asked of the server."""

    method: str
    path: str
    payload: Mapping[str, Any] | None
    timeout: float | None
    explain: Explain | None

    def body(self) -> bytes | None:
        """The payload as bytes.

        Raises:
            InvalidRequestError: It holds what JSON or UTF-8 cannot.
        """
        if self.payload is None:
            return None
        try:
            return json.dumps(self.payload, ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidRequestError(f"The request cannot be written as JSON: {error}") from error


class ByteStream:
    """The body of one answer, as its bytes come. Read once, by a thread or by a task; either may close it."""

    def __init__(self, transport: HTTPTransport, call: Call) -> None:
        self._transport = transport
        self._call = call
        # Not a plain lock: the garbage collection may close an engine in a thread that holds it.
        self._lock = threading.RLock()
        self._socket: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._error: LocalModelError | None = None
        self._reader: Generator[bytes, None, None] | None = None
        self._async_reader: AsyncGenerator[bytes, None] | None = None

    def __iter__(self) -> Iterator[bytes]:
        """Send the request and read the answer, from a thread.

        Raises:
            LocalModelError: Of the kind that fits, when there is no connection, the status is not 200, nothing comes
                for the time allowed, or the connection breaks off.
        """
        with self._lock:
            self._refuse_second_reader()
            self._reader = self._read()
        return self._reader

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Send the request and read the answer, from a task. Raises what `__iter__` raises."""
        with self._lock:
            self._refuse_second_reader()
            self._async_reader = self._aread()
        return self._async_reader

    def close(self) -> None:
        """Hang up, from any thread, without waiting."""
        self.hang_up()
        reader = self._reader
        if reader is not None:
            # Refused while another thread reads: that thread wakes up by the hanging up, and cleans up.
            with suppress(ValueError):
                reader.close()
        loop, async_reader = self._loop, self._async_reader
        if loop is not None and async_reader is not None:
            with suppress(RuntimeError):  # The loop is closed, and its connections with it.
                loop.call_soon_threadsafe(lambda: loop.create_task(self.aclose()))

    async def aclose(self) -> None:
        """Hang up, from a task."""
        self.hang_up()
        reader = self._async_reader
        if reader is not None:
            with suppress(RuntimeError):  # Another task reads: see `close`.
                await reader.aclose()

    def hang_up(self, error: LocalModelError | None = None) -> None:
        """End the connection and wake the reader, which gets `error` or else the end of the stream."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._error = error
            connection, self._socket = self._socket, None
        _shut(connection)

    def _hung_up(self) -> bool:
        return self._closed

    def _refuse_second_reader(self) -> None:
        if self._reader is not None or self._async_reader is not None:
            raise RuntimeError("a stream can be read only once")

    def _read(self) -> Generator[bytes, None, None]:
        with self._translated():
            if self._hung_up():
                return
            client = self._transport.client_for(self)
            arguments = self._transport.request_arguments(self._call)
            with client.stream(**arguments, extensions={"trace": self._trace}) as response:
                if response.status_code != 200:
                    response.read()
                    raise self._transport.error_of_response(response, self._call)
                for chunk in response.iter_bytes():
                    if self._hung_up():
                        break
                    yield chunk

    async def _aread(self) -> AsyncGenerator[bytes, None]:
        with self._translated():
            if self._hung_up():
                return
            self._loop = asyncio.get_running_loop()
            client = self._transport.async_client_for(self, self._loop)
            arguments = self._transport.request_arguments(self._call)
            async with client.stream(**arguments, extensions={"trace": self._atrace}) as response:
                if response.status_code != 200:
                    await response.aread()
                    raise self._transport.error_of_response(response, self._call)
                async for chunk in response.aiter_bytes():
                    if self._hung_up():
                        break
                    yield chunk

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Translate httpx's errors; swallow those that hanging up made."""
        try:
            yield
        except Exception as failure:
            error = self._transport.error_of_failure(failure, self._call)
            if error is None:
                raise
            if not self._closed:
                raise error from failure
        finally:
            with self._lock:
                self._socket = None
        if self._error is not None:
            raise self._error

    def _trace(self, event: str, info: dict[str, Any]) -> None:
        """Note the socket of the connection that httpcore has just made; hang up if that was wanted meanwhile."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            with self._lock:
                self._socket = info["return_value"].get_extra_info("socket")
                late = self._socket if self._closed else None
            _shut(late)

    async def _atrace(self, event: str, info: dict[str, Any]) -> None:
        self._trace(event, info)


def _shut(connection: Any) -> None:
    # Closing a socket does not wake a thread that waits for it; shutting it down does, on both ends.
    if connection is not None:
        with suppress(OSError):
            connection.shutdown(SHUT_RDWR)
