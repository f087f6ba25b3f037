"""Runs coroutines to their end from synchronous code, in the thread that asks: what `batch` is built on.

One thread with an event loop waits for any number of requests. What asyncio would hand to its thread pool, such as
synchronous callbacks and caches, runs in that same thread, so that callbacks find their thread and their context
variables. The loop is private: it is never the current event loop, and no policy has a say in it.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager, suppress
from contextvars import copy_context
from inspect import CORO_CREATED, getcoroutinestate
from types import FrameType
from typing import Any, TypeVar

from typing_extensions import TypeVarTuple, Unpack, override

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")


def run_to_end(work: Coroutine[Any, Any, _T]) -> _T:
    """Run one coroutine, in this thread or beside the event loop that runs in it, and give what it returns.

    Whatever it began is over afterwards. See `SyncDriver`.
    """
    with closing(SyncDriver()) as driver:
        return driver.run(work)


class SyncDriver:
    """Runs coroutines one after another on an event loop of its own, which stands still in between.

    The loop runs in the calling thread; where an event loop already runs there, as in a notebook, in one helper thread
    with a copy of the caller's context. `close` ends all that is left.
    """

    def __init__(self) -> None:
        self._loop = _CallersLoop()
        self._work: asyncio.Task[Any] | None = None
        self._closing = False
        self._helper: ThreadPoolExecutor | None = None

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine to its end and give what it returns.

        Raises:
            KeyboardInterrupt: After the coroutine was cancelled and has ended, if the user interrupts.
        """
        return self._place(self._run, work)

    def close(self) -> None:
        """Cancel what still runs, wait for its end, and close the loop."""
        self._closing = True
        # The helper still works if an interrupt came after it was given work and before `_place` began to wait for it.
        self._loop.call_soon_threadsafe(self._cancel)
        try:
            self._place(self._end, _end_all())
        finally:
            stuck = self._loop.is_running()  # in a callback, and the user interrupted the wait for it
            if self._helper is not None:
                self._helper.shutdown(wait=not stuck)
            if not stuck:
                self._loop.close()

    def _place(self, function: Callable[[Coroutine[Any, Any, _T]], _T], work: Coroutine[Any, Any, _T]) -> _T:
        """Call a function that runs the loop: in this thread, or in the helper if a loop runs in this one."""
        try:
            return self._placed(function, work)
        finally:
            if getcoroutinestate(work) == CORO_CREATED:
                work.close()  # an interrupt came before it began

    def _placed(self, function: Callable[[Coroutine[Any, Any, _T]], _T], work: Coroutine[Any, Any, _T]) -> _T:
        if not _loop_runs_here():
            return function(work)
        if self._helper is None:
            self._helper = ThreadPoolExecutor(1, thread_name_prefix="localmodels-batch")
            # Starts its thread. Interrupted meanwhile, the executor loses track of it, and begins another one for the
            # next work: had this one work already, both would run the loop.
            self._helper.submit(_loop_runs_here)
        running = self._helper.submit(copy_context().run, function, work)
        try:
            return running.result()
        finally:
            if not running.done():
                self._loop.call_soon_threadsafe(self._cancel)
                wait([running])

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        task = self._loop.create_task(work)
        self._work = task
        if self._closing:
            task.cancel()
        return self._drive(task)

    def _end(self, work: Coroutine[Any, Any, None]) -> None:
        self._drive(self._loop.create_task(work))

    def _drive(self, task: asyncio.Task[_T]) -> _T:
        with self._loop.clock_running(), self._interrupt_cancels(task):
            try:
                return self._loop.run_until_complete(task)
            finally:
                # KeyboardInterrupt and SystemExit of a callback leave the loop at once, whatever else was going on.
                if not task.done():
                    task.cancel()
                    with suppress(BaseException):
                        self._loop.run_until_complete(task)

    def _cancel(self) -> None:
        if self._work is not None:
            self._work.cancel()

    @contextmanager
    def _interrupt_cancels(self, task: asyncio.Task[Any]) -> Iterator[None]:
        """Let Ctrl-C cancel the task: raised in the middle of the loop's own code, it could lose a wake-up."""
        if (
            threading.current_thread() is not threading.main_thread()
            or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        ):
            yield
            return
        interrupted = False

        def on_interrupt(number: int, frame: FrameType | None) -> None:
            nonlocal interrupted
            if interrupted or task.done() or self._loop.calls_caller:
                signal.signal(signal.SIGINT, signal.default_int_handler)
                raise KeyboardInterrupt
            interrupted = True
            task.cancel()
            self._loop.call_soon_threadsafe(lambda: None)  # wakes the loop from its wait

        signal.signal(signal.SIGINT, on_interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            if interrupted:
                raise KeyboardInterrupt from None


class _CallersLoop(asyncio.SelectorEventLoop):
    """An event loop without a thread pool, and whose clock runs only while the loop itself does.

    While a callback of the caller's takes its time, or the caller is busy with the results so far, answers come in
    unread; that must not count as a server's silence, which timeouts are for.
    """

    calls_caller = False
    """Whether synchronous code that is not the loop's is running in it."""

    _stopped_for = 0.0
    _stopped_at: float | None = None

    @override
    def time(self) -> float:
        return super().time() - self._stopped_for

    @contextmanager
    def clock_running(self) -> Iterator[None]:
        """Start the clock where the end of the last such block has stopped it."""
        if self._stopped_at is not None:
            self._stopped_for += super().time() - self._stopped_at
        try:
            yield
        finally:
            self._stopped_at = super().time()

    @override
    def run_in_executor(
        self, executor: Executor | None, func: Callable[[Unpack[_Ts]], _T], *args: Unpack[_Ts]
    ) -> asyncio.Future[_T]:
        if executor is not None:
            return super().run_in_executor(executor, func, *args)
        future: asyncio.Future[_T] = self.create_future()
        # Not at once: between two steps of tasks the code may run event loops of its own, which it could in a thread.
        self.call_soon(self._call, future, func, args)
        return future

    def _call(self, future: asyncio.Future[_T], func: Callable[..., _T], args: tuple[Any, ...]) -> None:
        if future.done():
            return
        begin = super().time()
        asyncio._set_running_loop(None)
        self.calls_caller = True
        try:
            result = func(*args)
        except StopIteration as error:
            # No future takes it. Before Python 3.12, asyncio's own pool would leave the caller waiting for ever.
            future.set_exception(RuntimeError(f"StopIteration was raised: {error}"))
        except Exception as error:  # noqa: BLE001 - whoever waits for the future gets it
            future.set_exception(error)
        else:
            future.set_result(result)
        finally:
            self.calls_caller = False
            asyncio._set_running_loop(self)
            self._stopped_for += super().time() - begin


async def _end_all() -> None:
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


def _loop_runs_here() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
