"""`Lanes`: HTTP clients of one connection each, lent to one request at a time and kept for the next.

A client of its own for each running request, and not one client with a pool, because a request has to know its socket
from the beginning: only so can any thread hang up while another waits for the first byte, and a pool does not tell
which of its connections it reuses. Here the socket stays known from the request that connected it.

Knows no httpx: clients are made by a function that it is given, and closed by whoever read from them.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakSet

MOST_CONNECTIONS = 128
"""Requests that run at once, for all threads together and for each event loop; more of them wait for one to end. A
process may have so many files open only, often 1024 or 256."""

_MOST_IDLE = 16
"""Connections kept for later. A server may set a thread aside for each."""


@dataclass(eq=False, slots=True)
class Lane:
    """A client, and what is known of its one connection.

    Attributes:
        client: The client.
        socket: The connection's socket, once there is one.
        connected: Whether the present request has made the connection.
        used: Whether an earlier request has been answered by it.
    """

    client: Any
    socket: Any = None
    connected: bool = False
    used: bool = False


class Waiter(Protocol):
    """What one request waits with; any thread may wake it."""

    def wake(self) -> None:
        """End the waiting, or keep the next from beginning."""
        ...

    def clear(self) -> None:
        """Forget having been woken."""
        ...


class ThreadWaiter:
    """Waits in a thread."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.wake = self._event.set
        self.clear = self._event.clear

    def wait(self, seconds: float | None) -> None:
        """Wait until woken, or for so many seconds."""
        self._event.wait(seconds)


class TaskWaiter:
    """Waits in a task of an event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._event = asyncio.Event()
        self.clear = self._event.clear

    def wake(self) -> None:
        """End the waiting, from any thread."""
        with suppress(RuntimeError):  # The loop is closed, and nobody waits there.
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self, seconds: float | None) -> None:
        """Wait until woken, or for so many seconds."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._event.wait(), seconds)


class Lanes:
    """The lanes of all threads, or of one event loop.

    Args:
        make: Makes a client. It must not refer to the owner of the lanes, which could then not be collected.
        most: How many requests may run at once.
    """

    def __init__(self, make: Callable[[], Any], most: int = MOST_CONNECTIONS) -> None:
        self._make = make
        self._most = most
        self.forget()
        _all.add(self)

    def forget(self) -> None:
        """Begin anew without touching what there was: after a fork, connections and locks are the parent's."""
        # Not a plain lock: the garbage collection may come here in a thread that holds it.
        self._lock = threading.RLock()
        self._busy = 0
        self._idle: list[Lane] = []
        self._waiting: deque[Waiter] = deque()
        self._granted: set[Waiter] = set()

    def take(self, waiter: Waiter, *, fresh: bool = False) -> Lane | None:
        """Give a lane; `None` when all are taken: `waiter` is woken when it may take one.

        Args:
            waiter: Who asks.
            fresh: Whether the lane must not have a connection yet.
        """
        with self._lock:
            if waiter in self._granted:
                self._granted.discard(waiter)
                waiter.clear()
            elif self._busy >= self._most:
                if waiter not in self._waiting:
                    self._waiting.append(waiter)
                return None
            else:
                self._busy += 1
            if self._idle and not fresh:
                return self._idle.pop()
        try:
            return Lane(self._make())
        except BaseException:
            with self._lock:
                self._release()
            raise

    def leave(self, waiter: Waiter) -> None:
        """Hear that `waiter` waits no longer."""
        with self._lock:
            if waiter in self._granted:
                self._granted.discard(waiter)
                self._release()
            with suppress(ValueError):
                self._waiting.remove(waiter)

    def give_back(self, lane: Lane, *, keep: bool) -> bool:
        """Take a lane back. Whether it is kept; if not, the caller closes its client.

        Args:
            lane: The lane.
            keep: Whether its connection can be used again.
        """
        with self._lock:
            self._release()
            if keep and len(self._idle) < _MOST_IDLE:
                lane.used = True
                self._idle.append(lane)
                return True
        return False

    def take_idle(self) -> Lane | None:
        """Give an idle lane for closing, and forget it; `None` if there is none."""
        with self._lock:
            return self._idle.pop() if self._idle else None

    def close_idle(self) -> None:
        """Close the idle clients of threads."""
        while (lane := self.take_idle()) is not None:
            lane.client.close()

    async def aclose_idle(self) -> None:
        """Close the idle clients of an event loop."""
        while (lane := self.take_idle()) is not None:
            await lane.client.aclose()

    def _release(self) -> None:
        # The place goes to the one that has waited longest, and to nobody that comes meanwhile.
        if self._waiting:
            waiter = self._waiting.popleft()
            self._granted.add(waiter)
            waiter.wake()
        else:
            self._busy -= 1


class LoopLanes:
    """The lanes of each event loop.

    Args:
        make: Makes a client; see `Lanes`.
        most: How many requests may run at once in one loop.
    """

    def __init__(self, make: Callable[[], Any], most: int = MOST_CONNECTIONS) -> None:
        self._make = make
        self._most = most
        self.forget()
        _all.add(self)

    def forget(self) -> None:
        """Begin anew; see `Lanes.forget`."""
        self._lock = threading.RLock()
        self._loops: dict[asyncio.AbstractEventLoop, tuple[Lanes, AsyncGenerator[None, None]]] = {}

    async def get(self, loop: asyncio.AbstractEventLoop) -> Lanes:
        """Give the lanes of the running loop."""
        with self._lock:
            for other in [other for other in self._loops if other.is_closed()]:
                del self._loops[other]
            found = self._loops.get(loop)
        if found is None:
            lanes = Lanes(self._make, self._most)
            keeper = _until_the_loop_ends(lanes)
            await anext(keeper)
            with self._lock:
                found = self._loops[loop] = (lanes, keeper)
        return found[0]

    def close_idle(self) -> None:
        """Close the idle clients of all loops, each by a task in its own, from any thread and without waiting."""
        with self._lock:
            loops = list(self._loops.items())
        for loop, (lanes, _) in loops:
            with suppress(RuntimeError):  # The loop is closed, and its connections with it.
                loop.call_soon_threadsafe(_close_soon, loop, lanes)


async def _until_the_loop_ends(lanes: Lanes) -> AsyncGenerator[None, None]:
    """Close idle connections at the end of their event loop, or of what owns them.

    asyncio ends the async generators of a loop before it closes it (`shutdown_asyncgens`), and those that are collected
    while it runs. It offers no other way to hear of a loop's end while connections can still be closed.
    """
    try:
        yield
    finally:
        await lanes.aclose_idle()


def _close_soon(loop: asyncio.AbstractEventLoop, lanes: Lanes) -> None:
    task = loop.create_task(lanes.aclose_idle())
    _closing.add(task)  # The loop itself refers to its tasks weakly.
    task.add_done_callback(_closing.discard)


_closing: set[asyncio.Task[None]] = set()
_all: WeakSet[Lanes | LoopLanes] = WeakSet()


def _after_fork_in_child() -> None:
    # Two processes on one connection would read each other's answers. Letting go of it here leaves it to the parent.
    for lanes in list(_all):
        lanes.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
