"""`EngineHandle`: one object's hold on its engine, which is made on first use."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

from langchain_localmodels.engines.base import Engine


class EngineHandle:
    """Holds the engine of one LangChain object.

    A copy, pickled or not, is an empty handle: engines hold memory, threads and connections, which are never copied.
    When the handle is collected as garbage, so is the engine, which then lets go by itself (see `Engine`).
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _handles[id(self)] = self
        self._engine: Engine | None = None

    def get(self, make: Callable[[], Engine]) -> Engine:
        """Give the engine, and make it if there is none yet. Threads that ask at once get the same one."""
        with self._lock:
            if self._engine is None:
                self._engine = make()
            return self._engine

    def peek(self) -> Engine | None:
        """Give the engine if there is one, and make none."""
        return self._engine

    async def aget(self, make: Callable[[], Engine]) -> Engine:
        """Give the engine without blocking the event loop: what makes one imports its library, which takes a while."""
        engine = self.peek()
        return engine if engine is not None else await asyncio.to_thread(self.get, make)

    def close(self) -> None:
        """Close the engine, if there is one; it opens again when it is next used."""
        with self._lock:
            engine = self._engine
        if engine is not None:
            engine.close()

    def __copy__(self) -> EngineHandle:
        return EngineHandle()

    def __deepcopy__(self, memo: dict[int, Any]) -> EngineHandle:
        return EngineHandle()

    def __reduce__(self) -> tuple[type[EngineHandle], tuple[()]]:
        return EngineHandle, ()

    def __eq__(self, other: object) -> bool:
        # Objects with the same fields are equal, whatever they have done so far; pydantic compares private attributes.
        return isinstance(other, EngineHandle)

    __hash__ = None  # type: ignore[assignment]


_handles: weakref.WeakValueDictionary[int, EngineHandle] = weakref.WeakValueDictionary()


def _after_fork_in_child() -> None:
    # Another thread may have been making an engine, and its lock would stay taken here for ever.
    for handle in list(_handles.values()):
        handle._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
