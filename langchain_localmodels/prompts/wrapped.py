"""The model inside what wraps it: bindings, retries, fallbacks, configurable fields, sequences.

Owns how a wrapped model is found, what was bound to it on the way, and that its server is asked about it. What that
means for a prompt is left to `predicates.py` and `recognition.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any

from langchain_core.language_models import BaseLanguageModel
from langchain_core.runnables import RunnableConfig, RunnableParallel, RunnableSequence
from langchain_core.runnables.base import RunnableBinding, RunnableBindingBase
from langchain_core.runnables.config import merge_configs
from langchain_core.runnables.configurable import DynamicRunnable
from langchain_core.runnables.fallbacks import RunnableWithFallbacks
from langchain_core.runnables.passthrough import RunnableAssign

from langchain_localmodels.errors import LocalModelError
from langchain_localmodels.options import LocalModelOptions

_INNER = ("bound", "_model")
"""Where other wrappers keep what they wrap: `map`, and our structured output."""
_TOLD = 2
"""Entries of a profile that a server has told of, at least; before that it may have the window from the constructor."""
_SAY_WHICH = ("model", "num_ctx")
"""Fields that decide, per call too, which model a server takes and with what window."""


@dataclass(frozen=True)
class Found:
    """A model, and what is bound to it.

    Attributes:
        model: The model; where there is none, what was searched.
        options: What `bind` and `bind_tools` give with each call; what an outer binding says counts before an
            inner one's.
    """

    model: Any
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def runnable(self) -> Any:
        """The model with what is bound to it, and with nothing else around it."""
        return RunnableBinding(bound=self.model, kwargs=dict(self.options)) if self.options else self.model

    @cached_property
    def asked(self) -> Any:
        """The model as the bound options make it: another name on the same server, or another window."""
        if not isinstance(self.model, LocalModelOptions):
            return self.model
        aliases, fields = self.model._all_aliases(), type(self.model).model_fields
        given = {aliases.get(name, name): value for name, value in self.options.items()}
        changed = {name: given[name] for name in _SAY_WHICH if name in fields and given.get(name) is not None}
        return self.model.model_copy(update=changed) if changed else self.model

    @cached_property
    def informed(self) -> Any:
        """The same model, once its server has told of it. One that nobody has asked yet is asked, and loads nothing.

        Where it cannot be reached, the model is as it was: what is wrong, the first request will tell.
        """
        model = self.asked
        if isinstance(model, LocalModelOptions) and model._profile_is_told and len(model._profile() or {}) < _TOLD:
            with suppress(LocalModelError):
                model.load()
        return model


def find(runnable: object, config: RunnableConfig | None = None) -> Found:
    """Find the model inside a runnable, however deep. Of fallbacks it is the first, of a sequence the next.

    Args:
        runnable: The model, or what wraps it.
        config: Config that the runnable is called with: it may choose among configurable alternatives.
    """
    return next(_models(runnable, {}, config, frozenset()), Found(runnable))


def find_all(runnable: object) -> list[Found]:
    """Find the models that are asked first: several where a runnable has branches, none where it asks no model."""
    return list(_models(runnable, {}, None, frozenset()))


def _models(
    runnable: Any, options: dict[str, Any], config: RunnableConfig | None, seen: frozenset[int]
) -> Iterator[Found]:
    if isinstance(runnable, BaseLanguageModel):
        yield Found(runnable, MappingProxyType(options))
        return
    if id(runnable) in seen:
        return
    seen |= {id(runnable)}
    if isinstance(runnable, DynamicRunnable):
        inner, config = runnable.prepare(config)
        yield from _models(inner, options, config, seen)
    elif isinstance(runnable, RunnableBindingBase):
        merged = merge_configs(runnable.config, config)
        yield from _models(runnable.bound, {**runnable.kwargs, **options}, merged, seen)
    elif isinstance(runnable, RunnableWithFallbacks):
        yield from _models(runnable.runnable, options, config, seen)
    elif isinstance(runnable, RunnableSequence):
        steps = (list(_models(step, options, config, seen)) for step in runnable.steps)
        yield from next((found for found in steps if found), [])
    elif isinstance(runnable, RunnableAssign):
        yield from _models(runnable.mapper, options, config, seen)
    elif isinstance(runnable, RunnableParallel):
        for step in runnable.steps__.values():
            yield from _models(step, options, config, seen)
    else:
        wrapped = next((kept for name in _INNER if (kept := getattr(runnable, name, None)) is not None), None)
        if wrapped is not None:
            yield from _models(wrapped, options, config, seen)
