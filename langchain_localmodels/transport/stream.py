"""`ByteStream`: one answer's bytes, read by a thread or a task, and hung up from anywhere."""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from socket import SHUT_RDWR, SO_LINGER, SOL_SOCKET
from typing import TYPE_CHECKING, Any

from langchain_localmodels.errors import InvalidRequestError, LocalModelError
from langchain_localmodels.transport.failures import Explain
from langchain_localmodels.transport.lanes import Lane, Lanes, TaskWaiter, ThreadWaiter
from langchain_localmodels.transport.retries import Tries, retry_after_seconds, says_loading
from langchain_localmodels.transport.steps import Close, Flow, ReadBeginning, Send, Wait, adrive, drive

if TYPE_CHECKING:
    from langchain_localmodels.transport.http import HTTPTransport

_LINGER = 0.1
"""How long the end of an answer is waited for whose last event has come, in seconds, to keep the connection."""

_RESET = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
_MOST_ERROR_BYTES = 64 * 1024
_MOST_REDIRECTS = 5
_ASK_AGAIN = (429, 503)
_CONNECTED = (".connect_tcp.complete", ".connect_unix_socket.complete", ".start_tls.complete")


@dataclass(frozen=True)
class Call:
    """What is asked of the server.

    Attributes:
        method: `GET`, `POST`, …
        path: Where, below the base URL.
        payload: What to send, as JSON.
        timeout: Longest wait for the next bytes, and for the last try to begin, in seconds; `None` for no limit.
        max_retries: How often to send it again when nothing came of it.
        explain: Makes errors of answers that tell of a failure.
    """

    method: str
    path: str
    payload: Mapping[str, Any] | None
    timeout: float | None
    max_retries: int
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
        self._lanes: Lanes | None = None
        self._waiter: ThreadWaiter | TaskWaiter | None = None
        self._lane: Lane | None = None
        self._response: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._whole = False
        self._closed = False
        self._error: LocalModelError | None = None
        # Weakly: a reader refers to its stream, and one that is left behind is to hang up at once, not at the next
        # garbage collection. A task's cannot, since closing takes a task.
        self._reader: Callable[[], Generator[bytes, None, None] | None] | None = None
        self._async_reader: AsyncGenerator[bytes, None] | None = None

    def __iter__(self) -> Iterator[bytes]:
        """Send the request and read the answer, from a thread.

        Raises:
            LocalModelError: Of the kind that fits, when there is no connection, the status tells of a failure, nothing
                comes for the time allowed, or the connection breaks off.
        """
        with self._lock:
            self._refuse_second_reader()
            reader = self._read()
            self._reader = weakref.ref(reader)
        return reader

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Send the request and read the answer, from a task. Raises what `__iter__` raises."""
        with self._lock:
            self._refuse_second_reader()
            self._async_reader = self._aread()
        return self._async_reader

    def finish(self) -> None:
        """Let go of an answer whose last event has been read, from the thread that reads it.

        The connection is kept for later requests if the server ends the answer now, and closed if it does not.
        """
        reader = self._reader and self._reader()
        if reader is not None and not self._closed:
            # A socket has no way to say "read, but only so long" once a read has begun.
            alarm = threading.Timer(_LINGER, self.hang_up)
            alarm.daemon = True
            alarm.start()
            with suppress(LocalModelError):
                next(reader, None)
            alarm.cancel()
        self.close()

    async def afinish(self) -> None:
        """The same, from the task that reads it."""
        reader = self._async_reader
        if reader is not None and not self._closed:
            alarm = asyncio.get_running_loop().call_later(_LINGER, self.hang_up)
            try:
                with suppress(LocalModelError):
                    await anext(reader, None)
            finally:
                alarm.cancel()
        await self.aclose()

    def close(self) -> None:
        """Hang up, from any thread, without waiting."""
        self.hang_up()
        reader = self._reader and self._reader()
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
        """End the connection and wake the reader, which gets `error` or else the end of the stream.

        A reader in the middle of connecting wakes when that has ended one way or the other.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._error = error
            if self._lane is not None:
                _shut(self._lane.socket)
            waiter = self._waiter
        if waiter is not None:
            waiter.wake()

    def leave_to_parent(self) -> None:
        """Forget the connection, in the child of a fork: it is read, and closed, by the parent."""
        self._lock = threading.RLock()
        self._closed = True
        self._lane = None

    # --- two drivers ------------------------------------------------------------------------------------------------

    def _read(self) -> Generator[bytes, None, None]:
        with self._translated():
            if self._hung_up():
                return
            self._waiter = ThreadWaiter()
            self._lanes = self._transport.thread_lanes(self)
            try:
                response = drive(self._opening())
                if response is not None:
                    for chunk in response.iter_bytes():
                        if self._closed:
                            return
                        yield chunk
                    self._whole = True
            finally:
                drive(self._letting_go())

    async def _aread(self) -> AsyncGenerator[bytes, None]:
        with self._translated():
            if self._hung_up():
                return
            self._loop = asyncio.get_running_loop()
            self._waiter = TaskWaiter(self._loop)
            self._lanes = await self._transport.task_lanes(self, self._loop)
            try:
                response = await adrive(self._opening())
                if response is not None:
                    async for chunk in response.aiter_bytes():
                        if self._closed:
                            return
                        yield chunk
                    self._whole = True
            finally:
                await adrive(self._letting_go())

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Translate httpx's errors; swallow those that hanging up made."""
        try:
            yield
        except Exception as failure:
            error = failure if isinstance(failure, LocalModelError) else self._transport.error_of(failure, self._call)
            if error is None:
                raise
            if not self._closed:
                if error is failure:
                    raise
                raise error from failure
        if self._error is not None:
            raise self._error

    # --- one flow ---------------------------------------------------------------------------------------------------

    def _opening(self) -> Flow[Any]:
        """Send the request, as often as it takes and is allowed. The response; `None` if hung up meanwhile."""
        transport, call, waiter, lanes = self._transport, self._call, self._waiter, self._lanes
        assert waiter is not None
        assert lanes is not None
        tries = Tries(call.max_retries, call.timeout, transport.backoff)
        fresh = False
        while not self._hung_up():
            lane = lanes.take(waiter, fresh=fresh)
            if lane is None:
                yield Wait(waiter, None)
                continue
            if not self._hold(lane):
                return None
            response, failure = yield from self._ask(lane)
            if failure is not None:
                stale = lane.used and not lane.connected and transport.broke_off(failure)
                yield from self._letting_go()
                if stale and not fresh:
                    # The server closed the connection while it was idle: this says nothing about the request.
                    fresh = True
                    continue
                pause = tries.pause() if transport.is_refused(failure) else None
                if pause is None:
                    raise failure
            elif response.is_success and not transport.is_web_page(response):
                return response
            else:
                body = bytearray()
                with suppress(Exception):  # The status is known, and what came of its explanation counts.
                    yield ReadBeginning(response, _MOST_ERROR_BYTES, body)
                yield from self._letting_go()
                pause = self._pause_after(response, bytes(body), tries)
                if pause is None:
                    raise transport.error_of_response(response, bytes(body), call)
            yield Wait(waiter, pause)
        return None

    def _ask(self, lane: Lane) -> Flow[tuple[Any, Exception | None]]:
        """Send once, and again where a redirection within the same server is to be followed."""
        request = self._transport.request(lane.client, self._call, self._trace)
        for _ in range(_MOST_REDIRECTS + 1):
            try:
                response = yield Send(lane.client, request)
            except Exception as failure:  # noqa: BLE001 - the caller raises it, unless it sends again
                return None, failure
            self._response = response
            following = self._transport.following(response)
            if following is None:
                break
            request = following
            yield Close(response)
        return response, None

    def _pause_after(self, response: Any, body: bytes, tries: Tries) -> float | None:
        if response.status_code not in _ASK_AGAIN:
            return None
        loading = response.status_code == 503 and says_loading(body.decode("utf-8", errors="replace"))
        return tries.pause(loading=loading, retry_after=retry_after_seconds(response.headers.get("Retry-After")))

    def _letting_go(self) -> Flow[None]:
        """Close what is open, or give it back to be used again if the answer was read to its end."""
        lanes, waiter = self._lanes, self._waiter
        assert lanes is not None
        assert waiter is not None
        lanes.leave(waiter)
        response, self._response = self._response, None
        ended = kept = False
        try:
            if response is not None:
                yield Close(response)
            ended = self._whole
        finally:  # A task that is cancelled once more while it cleans up comes here too.
            with self._lock:
                lane, self._lane = self._lane, None
                ended = ended and not self._closed and self._transport.owns_connections
            if lane is not None:
                kept = lanes.give_back(lane, keep=ended)
        if lane is not None and not kept and self._transport.owns_connections:
            yield Close(lane.client)

    def _hold(self, lane: Lane) -> bool:
        """Whether to go on with this lane: not if the stream was hung up before it could be told of its socket."""
        with self._lock:
            lane.connected = False
            self._lane = lane
            return not self._closed

    # As a method, since type checkers take a field that was false to stay so.
    def _hung_up(self) -> bool:
        return self._closed

    def _refuse_second_reader(self) -> None:
        if self._reader is not None or self._async_reader is not None:
            raise RuntimeError("a stream can be read only once")

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Note the socket of the connection that was just made; hang up if that was wanted meanwhile."""
        if event.endswith(_CONNECTED):
            with self._lock:
                lane = self._lane
                if lane is not None:
                    lane.connected = True
                    lane.socket = info["return_value"].get_extra_info("socket")
                    if self._closed:
                        _shut(lane.socket)


def _shut(connection: Any) -> None:
    # Closing a socket does not wake a thread that waits for it; shutting it down does, on both ends. But a server that
    # sends faster than it is read may wait for room and not hear of it: to that end the close that follows is to reset
    # the connection.
    if connection is not None:
        with suppress(OSError):
            connection.setsockopt(SOL_SOCKET, SO_LINGER, _RESET)
            connection.shutdown(SHUT_RDWR)
