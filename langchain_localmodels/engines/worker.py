"""The stream between a thread that generates and its reader, a thread or an asyncio task; either side may end it.

Engines that compute in this process own one thread per model and hand out `WorkerStream`s. What that thread computes,
and in which order, is the engine's business; this module only carries `Delta`s across and wakes the reader.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Generic, TypeVar

from langchain_localmodels.errors import EngineError, EngineTimeoutError

ItemT = TypeVar("ItemT")


class WorkerStream(Generic[ItemT]):
    """A `Stream` that a worker thread fills.

    The buffer is unbounded, so a slow reader delays nobody; the request's own token limit bounds it.

    Args:
        begin: Hands the request to the worker; called once, at the first read, and must not block.
        timeout: Longest wait for the next delta, in seconds; `None` for no limit.
        eager: Whether the reader is to be woken for each delta, and not for the end alone.
    """

    def __init__(
        self,
        begin: Callable[[WorkerStream[ItemT]], None],
        *,
        timeout: float | None = None,
        eager: bool = True,
    ) -> None:
        self.on_close: Callable[[], None] = lambda: None
        """Set by `begin`: called, without locks held, when the reader closes the stream before its end."""
        self._begin = begin
        self._eager = eager
        self._timeout = None if timeout is None else min(timeout, threading.TIMEOUT_MAX)
        self._ready = threading.Condition()
        self._deltas: deque[ItemT] = deque()
        self._error: BaseException | None = None
        self._begun = False
        self._pid = 0
        self._ended = False
        self._closed = False
        self._waiter: tuple[asyncio.AbstractEventLoop, asyncio.Future[bool]] | None = None

    # --- the worker's side ------------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether nobody wants more of it: the worker drops the request when it sees this."""
        return self._closed or self._ended

    def put(self, deltas: Iterable[ItemT]) -> None:
        """Add deltas. The reader learns of them at the next `wake`."""
        with self._ready:
            if not self._closed:
                self._deltas.extend(deltas)

    def end(self) -> None:
        """Tell that the last delta has been put. The reader learns of it at the next `wake`."""
        with self._ready:
            self._ended = True

    def fail(self, error: BaseException) -> None:
        """End the stream with an error, which the reader gets after the deltas put before it; wakes the reader."""
        with self._ready:
            if not self._ended:
                self._error = error
                self._ended = True
        wake([self])

    # --- the reader's side ------------------------------------------------------------------------------------------

    def __iter__(self) -> WorkerStream[ItemT]:
        """Read from a thread."""
        self._start()
        return self

    def __next__(self) -> ItemT:
        """Wait for the next delta."""
        self._check_process()
        with self._ready:
            while self._empty():
                # A reader that is not woken for deltas may find some at the end of its patience.
                if not self._ready.wait(self._timeout) and self._empty():
                    raise self._timed_out()
            delta = self._take()
        if delta is None:
            raise StopIteration
        return delta

    def __aiter__(self) -> WorkerStream[ItemT]:
        """Read from a task."""
        self._start()
        return self

    async def __anext__(self) -> ItemT:
        """Wait for the next delta without blocking the event loop."""
        self._check_process()
        while True:
            with self._ready:
                if not self._empty():
                    delta = self._take()
                    break
                loop = asyncio.get_running_loop()
                woken: asyncio.Future[bool] = loop.create_future()
                self._waiter = (loop, woken)
            # Not asyncio.wait_for: before Python 3.12 it loses a cancellation that comes in the same turn of the loop.
            timer = None if self._timeout is None else loop.call_later(self._timeout, _expire, woken)
            try:
                expired = await woken
            finally:
                if timer is not None:
                    timer.cancel()
            if expired and self._empty():
                raise self._timed_out()
        if delta is None:
            raise StopAsyncIteration
        return delta

    def close(self) -> None:
        """Stop; see `Stream.close`."""
        with self._ready:
            if self._closed:
                return
            self._closed = True
            running = self._begun and not self._ended
            self._deltas.clear()
        wake([self])
        if running:
            self.on_close()

    async def aclose(self) -> None:
        """Stop; see `Stream.close`. Nothing in it waits."""
        self.close()

    def _start(self) -> None:
        with self._ready:
            if self._begun or self._closed or self._ended:
                return
            self._begun = True
            self._pid = os.getpid()
        try:
            self._begin(self)
        except BaseException as error:
            self.fail(error)
            raise

    def _check_process(self) -> None:
        if self._begun and self._pid != os.getpid():
            raise EngineError(
                "This answer was begun before the process was forked, and its worker is in the parent.",
                hint="Start workers with multiprocessing.get_context('spawn').",
            )

    def _empty(self) -> bool:
        return not (self._deltas or self._ended or self._closed)

    def _take(self) -> ItemT | None:
        """Give the next delta, raise the worker's error, or give `None` at the end. Needs the lock."""
        if self._deltas:
            return self._deltas.popleft()
        if self._error is not None and not self._closed:
            raise self._error
        return None

    def _timed_out(self) -> EngineTimeoutError:
        return EngineTimeoutError(
            f"The engine gave nothing for {self._timeout:g} seconds.",
            hint="Give a larger `timeout`, a shorter prompt, or a smaller model; `timeout=None` waits without limit.",
        )

    def _collect_waiter(self) -> tuple[asyncio.AbstractEventLoop, asyncio.Future[bool]] | None:
        """Wake a reading thread, or hand over the future that a reading task waits for."""
        if not (self._eager or self._ended or self._closed):
            return None
        with self._ready:
            waiter, self._waiter = self._waiter, None
            self._ready.notify_all()
        return waiter


def wake(streams: Iterable[WorkerStream[Any]]) -> None:
    """Wake the readers of all these streams, each event loop once however many of its tasks wait."""
    by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[bool]]] = {}
    for stream in streams:
        waiter = stream._collect_waiter()
        if waiter is not None:
            by_loop.setdefault(waiter[0], []).append(waiter[1])
    for loop, futures in by_loop.items():
        # A loop that was closed under its tasks has no reader left to wake.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, futures)


def _resolve(futures: list[asyncio.Future[bool]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(False)


def _expire(woken: asyncio.Future[bool]) -> None:
    if not woken.done():
        woken.set_result(True)
