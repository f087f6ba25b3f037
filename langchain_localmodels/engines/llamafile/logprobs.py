"""Log probabilities in the shapes in which servers tell them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from langchain_localmodels.engines.base import TokenLogprob

_LEAST = -1e9
"""In the place of minus infinity, which JSON does not have."""


def read_logprobs(value: Any, top: int | None) -> tuple[TokenLogprob, ...]:
    """What a choice's `logprobs`, or an event's `completion_probabilities`, say.

    Args:
        value: The value, of any shape.
        top: How many alternatives were asked for; `None` where nothing was, and nothing is given.
    """
    if top is None or not value:
        return ()
    if isinstance(value, Mapping):
        content = value.get("content")
        if isinstance(content, list):
            return _entries(content, top)
        return _columns(value, top)
    return _entries(value, top) if isinstance(value, list) else ()


def _entries(entries: list[Any], top: int) -> tuple[TokenLogprob, ...]:
    return tuple(_entry(entry, top) for entry in entries if isinstance(entry, Mapping))


def _entry(entry: Mapping[str, Any], top: int) -> TokenLogprob:
    # `probs` is what llama.cpp's server had until the end of 2024, beside the token's text as `content`.
    others = entry.get("top_logprobs") or entry.get("top_probs") or entry.get("probs") or ()
    found = [_pair(other) for other in others if isinstance(other, Mapping)]
    token = entry.get("token")
    if token is None:
        token = entry.get("content") or ""
        logprob = next((value for text, value in found if text == token), _LEAST)
    else:
        token, logprob = _pair(entry)
    return TokenLogprob(token, logprob, tuple(found[:top]))


def _pair(entry: Mapping[str, Any]) -> tuple[str, float]:
    token = entry.get("token", entry.get("tok_str", ""))
    if isinstance(entry.get("logprob"), int | float):
        return str(token), max(_LEAST, float(entry["logprob"]))
    chance = entry.get("prob")
    return str(token), math.log(chance) if isinstance(chance, int | float) and chance > 0 else _LEAST


def _columns(value: Mapping[str, Any], top: int) -> tuple[TokenLogprob, ...]:
    """The shape of OpenAI's old completions: a list of tokens, one of numbers, one of dicts."""
    tokens, numbers = value.get("tokens") or (), value.get("token_logprobs") or ()
    others = value.get("top_logprobs") or [None] * len(tokens)
    return tuple(
        TokenLogprob(
            str(token),
            _LEAST if number is None else max(_LEAST, float(number)),
            tuple((str(text), float(chance)) for text, chance in list((beside or {}).items())[:top]),
        )
        for token, number, beside in zip(tokens, numbers, others, strict=False)
    )
