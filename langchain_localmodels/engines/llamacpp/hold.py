"""`ThreadHold`: one engine's hold on the context thread that it shares with others like it."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from functools import cached_property
from typing import Any, Generic, TypeVar

from langchain_localmodels.engines.llamacpp import pool
from langchain_localmodels.engines.llamacpp.binding.context import ContextParams
from langchain_localmodels.engines.llamacpp.binding.model import ModelParams
from langchain_localmodels.engines.llamacpp.thread import ContextThread
from langchain_localmodels.engines.worker import WorkerStream
from langchain_localmodels.errors import EngineClosedError

ThreadT = TypeVar("ThreadT", bound=ContextThread[Any])
ItemT = TypeVar("ItemT")


class ThreadHold(Generic[ThreadT]):
    """Borrows the thread at the first use, and gives it back when closed or collected.

    Args:
        kind: Which thread.
        params: Gives the weights and the context; called whenever the thread is borrowed anew.
        verbose: Show llama.cpp's log.
    """

    def __init__(
        self, kind: type[ThreadT], params: Callable[[], tuple[ModelParams, ContextParams]], *, verbose: bool
    ) -> None:
        self._kind = kind
        self._make_params = params
        self._verbose = verbose
        self._lock = threading.Lock()
        _holds[id(self)] = self
        self._thread: ThreadT | None = None
        self._streams: weakref.WeakSet[WorkerStream[Any]] = weakref.WeakSet()
        self._let_go: weakref.finalize[..., ThreadHold[ThreadT]] | None = None

    @cached_property
    def params(self) -> tuple[ModelParams, ContextParams]:
        """Which weights, and which context on them."""
        return self._make_params()

    def thread(self) -> ThreadT:
        """Give the thread, starting it at the first call; it loads the model, this does not wait for it."""
        with self._lock:
            if self._thread is not None and not self._thread.usable:
                self._thread = None
                if self._let_go is not None:
                    self._let_go.detach()
            if self._thread is None:
                self.__dict__.pop("params", None)  # the file may have been replaced since
                self._thread = pool.borrow(self._kind, *self.params, verbose=self._verbose)
                self._let_go = weakref.finalize(self, pool.give_back, self._thread, at_once=False)
            return self._thread

    def stream(
        self, task: Callable[[WorkerStream[ItemT]], Any], *, timeout: float | None, eager: bool = True
    ) -> WorkerStream[ItemT]:
        """Make a stream that submits a task when it is first read.

        Args:
            task: Makes it, given the stream to fill.
            timeout: Longest wait for the next item, in seconds; `None` for no limit.
            eager: Whether its reader is to be woken for each item, and not for the end alone.
        """

        def begin(stream: WorkerStream[ItemT]) -> None:
            with self._lock:
                self._streams.add(stream)  # before the thread is borrowed: `close` may come at any moment
            thread = self.thread()
            stream.on_close = thread.nudge
            thread.submit(task(stream))

        return WorkerStream(begin, timeout=timeout, eager=eager)

    def close(self) -> None:
        """End this engine's streams with an error, and give the thread back."""
        with self._lock:
            thread, self._thread = self._thread, None
            let_go, self._let_go = self._let_go, None
            streams = list(self._streams)
        error = EngineClosedError("The model was closed while the request was running.")
        for stream in streams:
            stream.fail(error)
        if thread is None:
            return
        if let_go is not None:
            let_go.detach()
        pool.give_back(thread, at_once=True)


_holds: weakref.WeakValueDictionary[int, ThreadHold[Any]] = weakref.WeakValueDictionary()


def _after_fork_in_child() -> None:
    # Whoever held a lock at the fork is not there to let it go.
    for hold in list(_holds.values()):
        hold._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
