"""The schedulers of this process: one for the same weights and context parameters, shared by every object that asks."""

from __future__ import annotations

import atexit
import os
import threading
import time
from dataclasses import dataclass

from langchain_localmodels.engines.llamacpp.binding.context import ContextParams
from langchain_localmodels.engines.llamacpp.binding.model import ModelParams
from langchain_localmodels.engines.llamacpp.scheduler import Scheduler
from langchain_localmodels.errors import EngineClosedError

_LINGER = 20.0
"""Seconds that a model stays loaded after its last object was collected, in case another is made from it."""

_Key = tuple[ModelParams, ContextParams]


@dataclass(slots=True)
class _Entry:
    scheduler: Scheduler
    users: int = 0


_entries: dict[_Key, _Entry] = {}
_alive: set[Scheduler] = set()
_exiting = False
_lock = threading.RLock()  # reentrant: a collected engine gives back from wherever the collector happens to run


def borrow(key: _Key, *, verbose: bool) -> Scheduler:
    """Give the scheduler of a model and context, starting it for its first user. Every call needs one `give_back`."""
    with _lock:
        if _exiting:
            raise EngineClosedError("The program is ending; no model can be loaded any more.")
        entry = _entries.get(key)
        is_new = entry is None
        if entry is None:
            entry = _entries[key] = _Entry(Scheduler(*key, verbose=verbose, may_leave=_may_leave, on_end=_on_end))
            _alive.add(entry.scheduler)
        entry.users += 1
        entry.scheduler.leave_at = None
    if is_new:
        # Outside the lock: a thread that starts may collect an engine, which gives back, which takes the lock.
        entry.scheduler.start()
    return entry.scheduler


def give_back(scheduler: Scheduler, *, at_once: bool) -> None:
    """Tell that one user is done.

    Args:
        scheduler: What `borrow` gave.
        at_once: If this was the last user, free the model now and wait for that; else it lingers for a while.
    """
    if scheduler.pid != os.getpid():
        return  # it belongs to the process this one was forked off
    with _lock:
        key = scheduler.key
        entry = _entries.get(key)
        if entry is None or entry.scheduler is not scheduler:
            return  # it has ended by itself
        entry.users -= 1
        if entry.users:
            return
        scheduler.leave_at = time.monotonic() + _LINGER
        if at_once:
            del _entries[key]
    if at_once:
        scheduler.stop()
        scheduler.join()
    else:
        scheduler.nudge()


def _may_leave(scheduler: Scheduler) -> bool:
    with _lock:
        entry = _entries.get(scheduler.key)
        if entry is not None and entry.scheduler is scheduler:
            if entry.users:
                return False
            del _entries[scheduler.key]
        return True


def _on_end(scheduler: Scheduler) -> None:
    with _lock:
        _alive.discard(scheduler)
        entry = _entries.get(scheduler.key)
        if entry is not None and entry.scheduler is scheduler:
            del _entries[scheduler.key]


@atexit.register
def _stop_all() -> None:
    global _exiting  # noqa: PLW0603 - this is the state of the process
    _exiting = True
    # A thread that is inside llama.cpp when the interpreter goes down would end the process with a fault.
    with _lock:
        schedulers = [scheduler for scheduler in _alive if scheduler.pid == os.getpid()]
    for scheduler in schedulers:
        scheduler.stop()
    for scheduler in schedulers:
        scheduler.join(timeout=30)


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603 - the parent's may be held by a thread that this process does not have
    _lock = threading.RLock()
    _entries.clear()
    _alive.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
