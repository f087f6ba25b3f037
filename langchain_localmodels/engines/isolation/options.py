"""`IsolationOptions`: the field that lets an engine of this process run in a child process instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from langchain_localmodels.engine_options import EngineOptions

if TYPE_CHECKING:
    from langchain_localmodels.engines.base import Engine


class IsolationOptions(EngineOptions):
    """Where an engine runs."""

    _engine_title: ClassVar[str] = ""
    """The engine's name, for messages."""
    _not_identity: ClassVar[frozenset[str]] = frozenset({"isolate"})

    isolate: bool = False
    """Run the engine in a child process, so that a crash in native code is an `EngineCrashedError`, and not the end of
    this program. Objects with the same settings share it."""

    def _engine_of(self, kind: Callable[[Any], Engine], config: Any) -> Engine:
        """Make the engine, here or in a child process.

        Args:
            kind: The engine's class.
            config: Its one argument, which has `verbose`.
        """
        if not self.isolate:
            return kind(config)
        from langchain_localmodels.engines.isolation.engine import IsolatedEngine
        from langchain_localmodels.engines.isolation.protocol import Recipe

        return IsolatedEngine(Recipe(kind, config), title=self._engine_title, verbose=config.verbose)
