"""`EngineHandle`: one object's hold on its engine, which is made on first use."""

from __future__ import annotations

import asyncio
import threading
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
        self._engine: Engine | None = None

    def get(self, make: Callable[[], Engine]) -> Engine:
        """Give the engine, and make it if there is none yet. Threads that ask at once get the same one."""
        with self._lock:
            if self._engine is None:
                self._engine = make()
            return self._engine

    async def aget(self, make: Callable[[], Engine]) -> Engine:
        """Give the engine without blocking the event loop: what makes one imports its library, which takes a while."""
        engine = self._engine
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
