"""Conditions on models, for `ConditionalPromptSelector`: what kind, on which engine, of which family, with what room.

Each is called with a model, or with what wraps it, and says yes or no; `&`, `|` and `~` join them.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

from langchain_core.language_models import BaseChatModel, BaseLLM

from langchain_localmodels.engines import ENGINES
from langchain_localmodels.errors import InvalidRequestError
from langchain_localmodels.prompts.families import known_family
from langchain_localmodels.prompts.recognition import engine_of, family_of_found, profile_of, window_of
from langchain_localmodels.prompts.wrapped import Found, find
from langchain_localmodels.vocabulary import warn


class Predicate:
    """A condition on a model.

    It is called as any condition is, also by langchain-classic's selector, and is joined with others, or with functions
    of a model, by `&`, `|` and `~`.

    Args:
        test: Says of a model, and of what is bound to it, whether the condition holds.
        name: How it is shown.

    Example:
        ```python
        from langchain_localmodels.prompts import is_engine, is_family, is_llm

        old_llama = is_llm & is_family("llama-2") & ~is_engine("ollama")
        old_llama(llm)
        ```
    """

    def __init__(self, test: Callable[[Found], bool], name: str) -> None:
        self._test = test
        self._name = name

    def __call__(self, llm: object) -> bool:
        """Whether the condition holds for a model, or for the model inside what wraps it."""
        return self._test(find(llm))

    def __and__(self, other: object) -> Predicate:
        """Both hold."""
        return _joined(self, other, "&")

    def __rand__(self, other: object) -> Predicate:
        """Both hold."""
        return _joined(other, self, "&")

    def __or__(self, other: object) -> Predicate:
        """One of them holds."""
        return _joined(self, other, "|")

    def __ror__(self, other: object) -> Predicate:
        """One of them holds."""
        return _joined(other, self, "|")

    def __invert__(self) -> Predicate:
        """It does not hold."""
        return Predicate(lambda found: not self._test(found), f"~{self._name}")

    def __bool__(self) -> bool:
        """Refuse: `and`, `or` and `not` would take the condition itself for true, and forget one of the two."""
        raise InvalidRequestError(
            f"{self._name} is a condition, neither true nor false before it is called with a model.",
            hint="Join conditions with `&`, `|` and `~`, in place of `and`, `or` and `not`.",
        )

    def __repr__(self) -> str:
        return self._name


def holds(condition: Callable[[Any], Any], found: Found) -> bool:
    """Whether a condition holds.

    It is one of ours; or a class, of which the model is to be; or a function, which is given the model without what
    wraps it. A function that asks a model for an attribute that it does not have was written for models of another
    class: it counts as not met, with a warning.
    """
    if isinstance(condition, Predicate):
        return condition._test(found)
    if isinstance(condition, type):
        return isinstance(found.model, condition)
    try:
        return bool(condition(found.model))
    except AttributeError as error:
        if error.obj is not found.model:
            raise
        kind = type(found.model).__name__
        warn(
            f"A condition of a prompt selector asks for `{error.name}`, which {kind} does not have: taken for not met."
        )
        return False


def _joined(left: object, right: object, sign: str) -> Predicate:
    sides = [left, right]
    for side in sides:
        if not callable(side):
            raise InvalidRequestError(
                f"{side!r} is no condition on a model.", hint="Join predicates with one another, or with functions."
            )
    names = [repr(side) if isinstance(side, Predicate) else getattr(side, "__name__", "…") for side in sides]
    both: list[Any] = sides
    decide = all if sign == "&" else any
    return Predicate(lambda found: decide(holds(side, found) for side in both), f"({f' {sign} '.join(names)})")


# --- the conditions ---------------------------------------------------------------------------------------------------

is_llm = Predicate(lambda found: isinstance(found.model, BaseLLM), "is_llm")
"""Whether a model takes text and gives text."""

is_chat_model = Predicate(lambda found: isinstance(found.model, BaseChatModel), "is_chat_model")
"""Whether a model takes messages and gives a message."""

has_tools = Predicate(lambda found: bool(found.options.get("tools")), "has_tools")
"""Whether tools are bound to the model, as `bind_tools` does it."""

can_call_tools = Predicate(lambda found: bool(profile_of(found).get("tool_calling")), "can_call_tools")
"""Whether the model can call tools, as far as its profile tells. A server that was not asked yet is asked."""


def is_engine(*names: str) -> Predicate:
    """Whether a model runs on one of these engines. Classes of other packages count, too, where their names tell.

    Args:
        *names: Keys of `ENGINES`, such as `"llamacpp"` or `"ollama"`.

    Raises:
        InvalidRequestError: There is no such engine, or none is named.
    """
    for name in _named("is_engine", names):
        if name not in ENGINES:
            near = difflib.get_close_matches(str(name), ENGINES, n=1, cutoff=0.5)
            guess = f"Did you mean {near[0]!r}? " if near else ""
            raise InvalidRequestError(
                f"There is no engine {name!r}.", hint=f"{guess}Engines: {', '.join(map(repr, ENGINES))}."
            )
    return Predicate(lambda found: engine_of(found) in names, _shown("is_engine", names))


def is_family(*names: str) -> Predicate:
    """Whether a model reads the turns of one of these families; see `FAMILIES`.

    Args:
        *names: Names of families or of their forms: `"mistral"` holds for all forms, `"mistral-tekken"` for
            one.

    Raises:
        InvalidRequestError: There is no such family, or none is named.
    """
    wanted = {known_family(name) for name in _named("is_family", names)}

    def test(found: Found) -> bool:
        family = family_of_found(found)
        return family is not None and not wanted.isdisjoint({family.name, family.group})

    return Predicate(test, _shown("is_family", names))


def context_at_least(tokens: int) -> Predicate:
    """Whether a model's context window, which prompt and answer share, has room for so many tokens.

    A window that is not known counts as too small. A server that was not asked yet is asked.

    Args:
        tokens: The least size, in tokens.

    Raises:
        InvalidRequestError: `tokens` is no whole number from 1 up.
    """
    if isinstance(tokens, bool) or not isinstance(tokens, int) or tokens < 1:
        raise InvalidRequestError(f"context_at_least({tokens!r}): a number of tokens is a whole number from 1 up.")

    def test(found: Found) -> bool:
        window = window_of(found)
        return window is not None and window >= tokens

    return Predicate(test, f"context_at_least({tokens})")


def _named(function: str, names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        raise InvalidRequestError(f"{function}() names nothing, and would never hold.", hint="Give one or more names.")
    return names


def _shown(function: str, names: tuple[str, ...]) -> str:
    return f"{function}({', '.join(map(repr, names))})"
