"""Weights shared in this process: a file is loaded once for the same parameters, however many contexts run on it."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from langchain_localmodels.engines.llamacpp.binding.model import Model, ModelParams
from langchain_localmodels.errors import EngineError


@dataclass(slots=True)
class _Entry:
    loading: threading.Lock = field(default_factory=threading.Lock)
    model: Model | None = None
    users: int = 0


_entries: dict[ModelParams, _Entry] = {}
_entries_lock = threading.Lock()
_forked_after_load = False


def borrow(params: ModelParams, *, verbose: bool) -> Model:
    """Give the loaded model, loading it if this is its first user. Every call needs one `give_back`.

    Raises:
        ModelFileError: llama.cpp cannot load the file.
        EngineError: This process was forked off one that had used llama.cpp.
    """
    if _forked_after_load:
        # After a fork, OpenMP's worker threads are gone and the first computation would wait for them for ever.
        raise EngineError(
            "llama.cpp cannot be used in a process that was forked off one which had already used it.",
            hint="Start workers with multiprocessing.get_context('spawn'), or use the model only after the fork.",
        )
    with _entries_lock:
        entry = _entries.setdefault(params, _Entry())
        entry.users += 1
    try:
        with entry.loading:
            if entry.model is None:
                entry.model = Model(params, verbose=verbose)
            return entry.model
    except BaseException:
        give_back(params)
        raise


def give_back(params: ModelParams) -> None:
    """Tell that one user of the model is done; the last one frees it. Its contexts must have been freed before."""
    with _entries_lock:
        entry = _entries[params]
        entry.users -= 1
        if entry.users:
            return
        del _entries[params]
    if entry.model is not None:
        entry.model.free()


@contextmanager
def lent(params: ModelParams) -> Iterator[Model]:
    """Borrow the model for a `with` block: another thread may close what it was loaded for meanwhile."""
    model = borrow(params, verbose=False)
    try:
        yield model
    finally:
        give_back(params)


def _after_fork_in_child() -> None:
    global _forked_after_load, _entries_lock  # noqa: PLW0603 - this is the state of the process
    _forked_after_load = _forked_after_load or bool(_entries)
    _entries_lock = threading.Lock()
    _entries.clear()  # the memory belongs to the parent; freeing it here would touch threads that do not exist


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
