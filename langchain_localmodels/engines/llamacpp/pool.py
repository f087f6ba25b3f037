"""The context threads of this process: one for the same weights and context parameters, shared by all who ask."""

from __future__ import annotations

import atexit
import os
import threading
import time
from dataclasses import dataclass
from typing import Any, TypeVar

from langchain_localmodels.engines.llamacpp.binding.context import ContextParams
from langchain_localmodels.engines.llamacpp.binding.model import ModelParams
from langchain_localmodels.engines.llamacpp.thread import ContextThread
from langchain_localmodels.errors import EngineClosedError

_LINGER = 20.0
"""Seconds that a model stays loaded after its last object was collected, in case another is made from it."""

ThreadT = TypeVar("ThreadT", bound=ContextThread[Any])
_Key = tuple[type[ContextThread[Any]], ModelParams, ContextParams]


@dataclass(slots=True)
class _Entry:
    thread: ContextThread[Any]
    users: int = 0


_entries: dict[_Key, _Entry] = {}
_alive: set[ContextThread[Any]] = set()
_exiting = False
_lock = threading.RLock()  # reentrant: a collected engine gives back from wherever the collector happens to run


def borrow(kind: type[ThreadT], model: ModelParams, context: ContextParams, *, verbose: bool) -> ThreadT:
    """Give the thread of a model and context, starting it for its first user. Every call needs one `give_back`.

    Args:
        kind: What it does: `Scheduler` or `Embedder`.
        model: The weights.
        context: The context.
        verbose: Show llama.cpp's log, if this call starts it.

    Raises:
        EngineClosedError: The program is ending.
    """
    with _lock:
        if _exiting:
            raise EngineClosedError("The program is ending; no model can be loaded any more.")
        entry = _entries.get((kind, model, context))
        is_new = entry is None
        if entry is None:
            thread = kind(model, context, verbose=verbose, may_leave=_may_leave, on_end=_on_end)
            entry = _entries[_key(thread)] = _Entry(thread)
            _alive.add(thread)
        entry.users += 1
        entry.thread.leave_at = None
    if is_new:
        # Outside the lock: a thread that starts may collect an engine, which gives back, which takes the lock.
        entry.thread.start()
    assert isinstance(entry.thread, kind)
    return entry.thread


def give_back(thread: ContextThread[Any], *, at_once: bool) -> None:
    """Tell that one user is done.

    Args:
        thread: What `borrow` gave.
        at_once: If this was the last user, free the model now and wait for that; else it lingers for a while.
    """
    if thread.pid != os.getpid():
        return  # it belongs to the process this one was forked off
    with _lock:
        entry = _entries.get(_key(thread))
        if entry is None or entry.thread is not thread:
            return  # it has ended by itself
        entry.users -= 1
        if entry.users:
            return
        thread.leave_at = time.monotonic() + _LINGER
        if at_once:
            del _entries[_key(thread)]
    if at_once:
        thread.stop()
        thread.join()
    else:
        thread.nudge()


def _key(thread: ContextThread[Any]) -> _Key:
    return type(thread), *thread.key


def _may_leave(thread: ContextThread[Any]) -> bool:
    with _lock:
        entry = _entries.get(_key(thread))
        if entry is not None and entry.thread is thread:
            if entry.users:
                return False
            del _entries[_key(thread)]
        return True


def _on_end(thread: ContextThread[Any]) -> None:
    with _lock:
        if thread.over:
            _alive.discard(thread)
        entry = _entries.get(_key(thread))
        if entry is not None and entry.thread is thread:
            del _entries[_key(thread)]


@atexit.register
def _stop_all() -> None:
    global _exiting  # noqa: PLW0603 - this is the state of the process
    _exiting = True
    # A thread that is inside llama.cpp when the interpreter goes down would end the process with a fault.
    with _lock:
        threads = [thread for thread in _alive if thread.pid == os.getpid()]
    for thread in threads:
        thread.stop()
    for thread in threads:
        thread.join(timeout=30)


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603 - the parent's may be held by a thread that this process does not have
    _lock = threading.RLock()
    _entries.clear()
    _alive.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
