"""Model threads shared in this process: one for equal keys, ref-counted; and one engine's hold on its thread."""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from langchain_localmodels.engines.threads import ModelThread
from langchain_localmodels.engines.worker import WorkerStream
from langchain_localmodels.errors import EngineClosedError

_LINGER = 20.0
"""Seconds that a model stays loaded after its last object was collected, in case another is made from it."""
_PATIENCE = 30.0
"""Seconds to wait for a thread to end that was told to."""

_Thread = ModelThread[Any, Any]
ThreadT = TypeVar("ThreadT", bound=_Thread)
ItemT = TypeVar("ItemT")


# --- the threads of this process --------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Entry:
    thread: _Thread
    users: int = 0


_entries: dict[tuple[type[_Thread], Hashable], _Entry] = {}
_alive: set[_Thread] = set()
_exiting = False
_lock = threading.RLock()  # reentrant: a collected engine gives back from wherever the collector happens to run


def borrow(kind: type[ThreadT], key: Hashable, *, verbose: bool) -> ThreadT:
    """Give the thread for a key, starting it for its first user. Every call needs one `give_back`.

    Args:
        kind: What it does.
        key: What it loads, and how.
        verbose: Show what the engine says, if this call starts it.

    Raises:
        EngineClosedError: The program is ending.
    """
    with _lock:
        if _exiting:
            raise EngineClosedError("The program is ending; no model can be loaded any more.")
        entry = _entries.get((kind, key))
        is_new = entry is None
        if entry is None:
            thread = kind(key, verbose=verbose, may_leave=_may_leave, on_end=_on_end)
            entry = _entries[kind, key] = _Entry(thread)
            _alive.add(thread)
        entry.users += 1
        entry.thread.leave_at = None
    if is_new:
        # Outside the lock: a thread that starts may collect an engine, which gives back, which takes the lock.
        entry.thread.start()
    assert isinstance(entry.thread, kind)
    return entry.thread


def give_back(thread: _Thread, *, at_once: bool) -> None:
    """Tell that one user is done.

    Args:
        thread: What `borrow` gave.
        at_once: If this was the last user, free the model now and wait for that; else it lingers for a while.
    """
    if thread.pid != os.getpid():
        return  # it belongs to the process this one was forked off
    with _lock:
        entry = _entry_of(thread)
        if entry is None:
            return  # it has ended by itself
        entry.users -= 1
        if entry.users:
            return
        thread.leave_at = time.monotonic() + _LINGER
        if at_once:
            del _entries[type(thread), thread.key]
    if at_once:
        thread.stop()
        thread.join()
    else:
        thread.nudge()


def free_unused(kind: type[_Thread]) -> bool:
    """Free the models that linger though nobody uses them, and wait for that: something is short.

    Args:
        kind: What they do.

    Returns:
        Whether there were any.
    """
    with _lock:
        unused = [
            entry.thread
            for entry in _entries.values()
            if type(entry.thread) is kind and not entry.users and not entry.thread.over
        ]
        for thread in unused:
            del _entries[type(thread), thread.key]
    for thread in unused:
        thread.stop()
    for thread in unused:
        thread.join(timeout=_PATIENCE)
    return bool(unused)


def users_of(kind: type[_Thread], key: Hashable) -> int:
    """How many users a thread has; 0 where there is none."""
    with _lock:
        entry = _entries.get((kind, key))
        return 0 if entry is None else entry.users


def _entry_of(thread: _Thread) -> _Entry | None:
    entry = _entries.get((type(thread), thread.key))
    return entry if entry is not None and entry.thread is thread else None


def _may_leave(thread: _Thread) -> bool:
    with _lock:
        entry = _entry_of(thread)
        if entry is not None:
            if entry.users:
                return False
            del _entries[type(thread), thread.key]
        return True


def _on_end(thread: _Thread) -> None:
    with _lock:
        if thread.over:
            _alive.discard(thread)
        if _entry_of(thread) is not None:
            del _entries[type(thread), thread.key]


@atexit.register
def _stop_all() -> None:
    global _exiting  # noqa: PLW0603 - this is the state of the process
    _exiting = True
    # A thread that is inside native code when the interpreter goes down would end the process with a fault.
    with _lock:
        threads = [thread for thread in _alive if thread.pid == os.getpid()]
    for thread in threads:
        thread.stop()
    for thread in threads:
        thread.join(timeout=_PATIENCE)


# --- one engine's hold ------------------------------------------------------------------------------------------------


class ThreadHold(Generic[ThreadT]):
    """Borrows the thread at the first use, and gives it back when closed or collected.

    Args:
        kind: Which thread.
        make_key: Gives its key; called whenever the thread is borrowed anew.
        verbose: Show what the engine says.
    """

    def __init__(self, kind: type[ThreadT], make_key: Callable[[], Hashable], *, verbose: bool) -> None:
        self._kind = kind
        self._make_key = make_key
        self._verbose = verbose
        self._lock = threading.Lock()
        _holds[id(self)] = self
        self._thread: ThreadT | None = None
        self._streams: weakref.WeakSet[WorkerStream[Any]] = weakref.WeakSet()
        self._let_go: weakref.finalize[..., ThreadHold[ThreadT]] | None = None

    @cached_property
    def key(self) -> Any:
        """What is loaded, and how."""
        return self._make_key()

    def thread(self) -> ThreadT:
        """Give the thread, starting it at the first call; it loads the model, this does not wait for it."""
        with self._lock:
            if self._thread is not None and not self._thread.usable:
                self._thread = None
                if self._let_go is not None:
                    self._let_go.detach()
            if self._thread is None:
                self.__dict__.pop("key", None)  # the file may have been replaced since
                self._thread = borrow(self._kind, self.key, verbose=self._verbose)
                self._let_go = weakref.finalize(self, give_back, self._thread, at_once=False)
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
        give_back(thread, at_once=True)


_holds: weakref.WeakValueDictionary[int, ThreadHold[Any]] = weakref.WeakValueDictionary()


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603 - the parent's may be held by a thread that this process does not have
    _lock = threading.RLock()
    _entries.clear()
    _alive.clear()
    for hold in list(_holds.values()):
        hold._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
