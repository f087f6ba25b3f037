"""`ModelThread`: a thread that owns a loaded model, takes requests from any thread, and ends when nobody needs it.

For engines that compute in this process. Which model it loads, and what it computes, is the business of an engine's
room; `sharing.py` makes these threads, shares them and decides when they go.
"""

from __future__ import annotations

import os
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Hashable
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from langchain_localmodels.engines.worker import WorkerStream
from langchain_localmodels.errors import EngineClosedError, EngineError, LocalModelError


class Task(Protocol):
    """What is submitted."""

    @property
    def stream(self) -> WorkerStream[Any]:
        """Where its results go."""
        ...


TaskT = TypeVar("TaskT", bound=Task)
ModelT = TypeVar("ModelT")


class ModelThread(ABC, Generic[ModelT, TaskT]):
    """The thread that owns a model.

    Args:
        key: What to load, and how: threads with equal keys do the same.
        verbose: Show what the engine says.
        may_leave: Asked by the thread, when `leave_at` has passed without work, whether it should end.
        on_end: Called by the thread when it ends, for whatever reason.
    """

    engine: ClassVar[str]
    """The engine's name, for errors and for the name of the thread."""

    def __init__(
        self,
        key: Hashable,
        *,
        verbose: bool,
        may_leave: Callable[[ModelThread[Any, Any]], bool],
        on_end: Callable[[ModelThread[Any, Any]], None],
    ) -> None:
        self.pid = os.getpid()
        self.key = key
        self.leave_at: float | None = None
        """When to ask whether to end, by `time.monotonic`; set by the pool, followed by `nudge`."""
        self._verbose = verbose
        self._may_leave = may_leave
        self._on_end = on_end
        self._news = threading.Condition()
        self._inbox: deque[TaskT] = deque()
        self._opened = threading.Event()
        self._error: BaseException | None = None
        self._model: ModelT | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"localmodels-{self.engine}", daemon=True)

    def start(self) -> None:
        """Start the thread, which loads the model."""
        try:
            self._thread.start()
        except BaseException as error:
            # Others may have asked for it too: an interrupt is this caller's alone.
            self._error = error if isinstance(error, Exception) else EngineClosedError("Loading was interrupted.")
            self._opened.set()
            self._on_end(self)
            self._refuse_rest()
            raise

    # --- for any thread ---------------------------------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        """Whether it takes requests: not after it was stopped, nor in a process forked off its own."""
        return not self._stopping and self.pid == os.getpid()

    @property
    def over(self) -> bool:
        """Whether nothing of it is left to wait for: it ends, or never began."""
        return threading.current_thread() is self._thread or not self._thread.is_alive()

    def submit(self, task: TaskT) -> None:
        """Queue a request."""
        with self._news:
            refused = self._stopping
            if not refused:
                self._inbox.append(task)
                self._news.notify()
        if refused:
            task.stream.fail(self._end_error())

    def nudge(self) -> None:
        """Make the thread look around: a stream was closed, or `leave_at` was set."""
        with self._news:
            self._news.notify()

    def model(self) -> ModelT:
        """Wait until the model is loaded, and give it."""
        self._opened.wait()
        model = self._model
        if model is None or self._stopping:
            raise self._end_error()
        return model

    def stop(self) -> None:
        """End all requests and free the model; the computation that is running is given up."""
        with self._news:
            self._stopping = True
            self._news.notify()
        self._give_up()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the thread to end."""
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    # --- what a subclass does, on the thread --------------------------------------------------------------------------

    @abstractmethod
    def _load(self) -> ModelT:
        """Load the model."""

    @abstractmethod
    def _free(self, model: ModelT) -> None:
        """Free what `_load` gave."""

    @abstractmethod
    def _accept(self, task: TaskT) -> None:
        """Take in a request whose stream is open."""

    @abstractmethod
    def _has_work(self) -> bool:
        """Whether any request is under way or waits."""

    @abstractmethod
    def _work(self) -> None:
        """Drop what was closed and compute one step."""

    @abstractmethod
    def _end(self, error: BaseException) -> None:
        """Fail all requests, and free what was made; called also when `_load` failed."""

    def _give_up(self) -> None:
        """Make the computation that is running end soon. Called by any thread."""

    # --- the thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            if self._stopping:
                raise self._end_error()
            self._model = self._load()
            self._opened.set()
            self._serve()
        except BaseException as error:  # noqa: BLE001 - there is no caller here: the requests get it
            self._error = (
                error if isinstance(error, LocalModelError) else EngineError(f"{self.engine}'s thread ended: {error!r}")
            )
        finally:
            self._opened.set()
            self._on_end(self)
            try:
                self._refuse_rest()
            finally:
                if self._model is not None:
                    self._free(self._model)

    def _serve(self) -> None:
        while True:
            with self._news:
                if not (self._inbox or self._stopping or self._has_work()):
                    self._news.wait(self._patience())
                if self._stopping:
                    return
                arrivals, self._inbox = self._inbox, deque()
            self._accept_all(arrivals)
            if self._has_work():
                self._work()
            elif self._left_alone():
                return

    def _accept_all(self, tasks: deque[TaskT]) -> None:
        # In a function of its own, whose variables end with it: what the waiting thread holds on to, it would keep
        # from being collected, and with a request the engine that it belongs to.
        while tasks:
            task = tasks.popleft()
            try:
                if not task.stream.closed:
                    self._accept(task)
            except BaseException:
                with self._news:
                    self._inbox.extendleft(reversed([task, *tasks]))
                raise

    def _patience(self) -> float | None:
        leave_at = self.leave_at
        return None if leave_at is None else max(0.0, leave_at - time.monotonic())

    def _left_alone(self) -> bool:
        leave_at = self.leave_at
        return leave_at is not None and time.monotonic() >= leave_at and self._may_leave(self)

    def _refuse_rest(self) -> None:
        with self._news:
            self._stopping = True
            tasks, self._inbox = self._inbox, deque()
        error = self._end_error()
        for task in tasks:
            task.stream.fail(error)
        self._end(error)

    def _end_error(self) -> BaseException:
        return self._error or EngineClosedError("The model was closed while it was in use.")
