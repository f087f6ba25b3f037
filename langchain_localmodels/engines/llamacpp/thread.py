"""`ContextThread`: a thread that owns a context, takes requests from any thread, and ends when nobody needs it.

What it computes is its subclasses' business: `Scheduler` generates, `Embedder` embeds. `pool` makes these, shares them
and decides when they go.
"""

from __future__ import annotations

import os
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from langchain_localmodels.engines.llamacpp import weights
from langchain_localmodels.engines.llamacpp.binding.context import Context, ContextParams
from langchain_localmodels.engines.llamacpp.binding.library import library_log
from langchain_localmodels.engines.llamacpp.binding.model import Model, ModelParams
from langchain_localmodels.engines.worker import WorkerStream
from langchain_localmodels.errors import EngineClosedError, EngineError, LocalModelError


class _Task(Protocol):
    """What is submitted."""

    @property
    def stream(self) -> WorkerStream[Any]: ...


TaskT = TypeVar("TaskT", bound=_Task)


class ContextThread(ABC, Generic[TaskT]):
    """The thread that owns a context.

    Args:
        model_params: The weights to run on.
        context_params: The context to make on them.
        verbose: Show llama.cpp's log.
        may_leave: Asked by the thread, when `leave_at` has passed without work, whether it should end.
        on_end: Called by the thread when it ends, for whatever reason.
    """

    def __init__(
        self,
        model_params: ModelParams,
        context_params: ContextParams,
        *,
        verbose: bool,
        may_leave: Callable[[ContextThread[TaskT]], bool],
        on_end: Callable[[ContextThread[TaskT]], None],
    ) -> None:
        self.pid = os.getpid()
        self.key = (model_params, context_params)
        self.leave_at: float | None = None
        """When to ask whether to end, by `time.monotonic`; set by the pool, followed by `nudge`."""
        self._model_params = model_params
        self._context_params = context_params
        self._verbose = verbose
        self._may_leave = may_leave
        self._on_end = on_end
        self._news = threading.Condition()
        self._inbox: deque[TaskT] = deque()
        self._opened = threading.Event()
        self._error: BaseException | None = None
        self._model: Model | None = None
        self._context: Context | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="localmodels-llamacpp", daemon=True)

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

    def model(self) -> Model:
        """Wait until the model is loaded, and give it."""
        self._opened.wait()
        model = self._model
        if model is None or self._context is None or self._stopping:
            raise self._end_error()
        return model

    def stop(self) -> None:
        """End all requests and free the context; the computation that is running is given up."""
        with self._news:
            self._stopping = True
            self._news.notify()
        if self._context is not None:
            self._context.abort()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the thread to end."""
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    # --- what a subclass does, on the thread --------------------------------------------------------------------------

    @abstractmethod
    def _open(self, model: Model, context: Context) -> None:
        """Get ready."""

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
        """Fail all requests, and free what was made; called also when `_open` never was."""

    # --- the thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with library_log(self._verbose):
                self._load()
                self._serve()
        except BaseException as error:  # noqa: BLE001 - there is no caller here: the requests get it
            self._error = (
                error if isinstance(error, LocalModelError) else EngineError(f"llama.cpp's thread ended: {error!r}")
            )
        finally:
            self._opened.set()
            self._on_end(self)
            try:
                self._refuse_rest()
            finally:
                if self._context is not None:
                    self._context.free()
                    weights.give_back(self._model_params)

    def _load(self) -> None:
        model = weights.borrow(self._model_params, verbose=self._verbose)
        try:
            self._check(model)
            if self._stopping:
                raise self._end_error()
            context = Context(model, self._context_params, verbose=self._verbose)
        except BaseException:
            weights.give_back(self._model_params)
            raise
        self._model, self._context = model, context
        self._open(model, context)
        self._opened.set()

    def _check(self, model: Model) -> None:
        """Refuse a model that is not for this; raises `ModelFileError`."""

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
