"""`IsolatedEngine`: any engine, in a process of its own, behind the same contract.

Owns which objects share a process, and when one is started and ended. Requests and deltas are plain values and cross as
they are.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Sequence
from typing import Any, TypeVar

from langchain_localmodels.engines.base import (
    Capabilities,
    ChatRequest,
    CompletionRequest,
    Delta,
    EmbeddingRequest,
    Engine,
    Tool,
    Turn,
    VectorDelta,
)
from langchain_localmodels.engines.isolation.process import ChildProcess
from langchain_localmodels.engines.isolation.protocol import Recipe
from langchain_localmodels.engines.worker import WorkerStream
from langchain_localmodels.errors import EngineClosedError

ItemT = TypeVar("ItemT")


class IsolatedEngine(Engine):
    """An engine in a child process.

    When the process dies, its requests fail with `EngineCrashedError`, and the next one starts another process.

    Args:
        recipe: Makes the engine.
        title: Its name, for messages.
        verbose: Let the engine write to standard error.
    """

    def __init__(self, recipe: Recipe, *, title: str, verbose: bool = False) -> None:
        self._recipe = recipe
        self._title = title
        self._verbose = verbose
        # Never used but for what it knows without its library: the header of its file.
        self._here = recipe.make()
        self._lock = threading.Lock()
        self._streams: weakref.WeakSet[WorkerStream[Any]] = weakref.WeakSet()
        self._let_go: weakref.finalize[..., IsolatedEngine] | None = None
        _engines.add(self)

    def complete(self, request: CompletionRequest) -> WorkerStream[Delta]:
        """See `Engine.complete`."""
        return self._stream("complete", request, request.settings.timeout)

    def chat(self, request: ChatRequest) -> WorkerStream[Delta]:
        """See `Engine.chat`."""
        return self._stream("chat", request, request.settings.timeout)

    def embed(self, request: EmbeddingRequest) -> WorkerStream[VectorDelta]:
        """See `Engine.embed`."""
        return self._stream("embed", request, request.timeout)

    def capabilities(self) -> Capabilities:
        """See `Engine.capabilities`. Told by this process, from the file's header."""
        return self._here.capabilities()

    def tokenize(self, text: str) -> Sequence[int]:
        """See `Engine.tokenize`."""
        tokens: Sequence[int] = self.call("tokenize", text)
        return tokens

    def count(self, turns: Sequence[Turn], tools: Sequence[Tool] = ()) -> int:
        """See `Engine.count`."""
        number: int = self.call("count", tuple(turns), tuple(tools))
        return number

    def load(self) -> None:
        """Start the process and load the weights there."""
        self.call("load")

    def call(self, method: str, *arguments: object) -> Any:
        """Call a method of the engine there, and wait for its value."""
        return self._child().call(method, *arguments)

    def close(self) -> None:
        """See `Engine.close`. Ends the process, unless another object uses it."""
        with self._lock:
            let_go, self._let_go = self._let_go, None
            streams = list(self._streams)
        error = EngineClosedError("The model was closed while the request was running.")
        for stream in streams:
            if not stream.closed:
                stream.on_close()
                stream.fail(error)
        if let_go is not None:
            let_go.detach()
            _give_back(id(self), self._recipe, wait=True)

    @property
    def pid(self) -> int:
        """Id of the process, which is started if need be."""
        return self._child().pid

    def _stream(self, method: str, request: object, timeout: float | None) -> WorkerStream[Any]:
        def begin(stream: WorkerStream[ItemT]) -> None:
            with self._lock:
                self._streams.add(stream)
            self._child().begin(stream, method, request)

        return WorkerStream(begin, timeout=timeout)

    def _child(self) -> ChildProcess:
        with self._lock:
            child = _borrow(self, self._recipe, self._title, self._verbose)
            if self._let_go is None:
                self._let_go = weakref.finalize(self, _give_back, id(self), self._recipe, wait=False)
                self._let_go.atexit = False
            return child


# --- which objects share a process ------------------------------------------------------------------------------------


class _Shared:
    """The processes of this program."""

    def __init__(self) -> None:
        # Not a plain lock: an engine may be collected in a thread that holds it.
        self.lock = threading.RLock()
        self.children: dict[Recipe, ChildProcess] = {}
        self.users: dict[Recipe, set[int]] = {}


_shared = _Shared()


def _borrow(user: IsolatedEngine, recipe: Recipe, title: str, verbose: bool) -> ChildProcess:
    with _shared.lock:
        child = _shared.children.get(recipe)
        if child is None or not child.usable:
            child = _shared.children[recipe] = ChildProcess(recipe, title=title, verbose=verbose)
        _shared.users.setdefault(recipe, set()).add(id(user))
        return child


def _give_back(user: int, recipe: Recipe, *, wait: bool) -> None:
    with _shared.lock:
        users = _shared.users.get(recipe, set())
        users.discard(user)
        child = None if users else _shared.children.pop(recipe, None)
    if child is not None:
        child.end(wait=wait)


def _at_exit() -> None:
    with _shared.lock:
        children, _shared.children = list(_shared.children.values()), {}
    for child in children:
        child.end()


_engines: weakref.WeakSet[IsolatedEngine] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    # Whoever held the locks is not there to let them go.
    global _shared  # noqa: PLW0603 - this is the state of the process
    _shared = _Shared()
    for engine in list(_engines):
        engine._lock = threading.Lock()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
