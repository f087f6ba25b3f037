"""How tokens are chosen: the request's words, GPT4All's defaults, and what GPT4All cannot do."""

from __future__ import annotations

from typing import TypeVar

from langchain_localmodels.engines.base import GenerationSettings, Sampling
from langchain_localmodels.engines.common import warn_once
from langchain_localmodels.engines.gpt4all.values import Choice
from langchain_localmodels.errors import UnsupportedFeatureError

DEFAULTS = Choice(temperature=0.7, top_k=40, top_p=0.4, min_p=0.0, repeat_penalty=1.18, repeat_last_n=64, n_batch=128)
"""Those of gpt4all's own `generate`, but for `n_batch`."""

_NO_PENALTY = 1.0
_MOST = 2**31 - 1
_REFUSED: dict[str, object] = {"typical_p": 1, "mirostat": 0, "dry_multiplier": 0, "xtc_probability": 0}
"""Ways of choosing that GPT4All has not, with the value that turns each off. It would be another model's answer."""
_LEFT_OUT = ("frequency_penalty", "presence_penalty")
"""Adjustments that GPT4All has not; `repeat_penalty` comes near them."""
_ELSEWHERE = "LlamaCpp and ChatLlamaCpp have it, on the same files."
_ASK = "ChatGPT4All asks for JSON in the prompt, and checks it. LlamaCpp and ChatLlamaCpp hold answers to either."

_T = TypeVar("_T")


def choice_of(settings: GenerationSettings, *, n_batch: int, in_form: bool) -> Choice:
    """Give the values that GPT4All is given.

    Args:
        settings: What the request says.
        n_batch: Tokens of the prompt to compute at once.
        in_form: Whether the answer is to have a form, as calls and JSON have, which repeats itself: a penalty for
            repetitions breaks it, and there is none unless it is asked for.

    Raises:
        UnsupportedFeatureError: The request asks for what GPT4All cannot do.
    """
    sampling = settings.sampling
    _refuse(settings)
    for name in _LEFT_OUT:
        if getattr(sampling, name):
            warn_once(f"GPT4All has no `{name}`, which is left out; `repeat_penalty` comes near it.")
    penalty = _NO_PENALTY if in_form else DEFAULTS.repeat_penalty
    return Choice(
        temperature=_or(sampling.temperature, DEFAULTS.temperature),
        top_k=min(_or(sampling.top_k, DEFAULTS.top_k), _MOST),
        top_p=_or(sampling.top_p, DEFAULTS.top_p),
        min_p=_or(sampling.min_p, DEFAULTS.min_p),
        repeat_penalty=_or(sampling.repeat_penalty, penalty),
        repeat_last_n=min(_or(sampling.repeat_last_n, DEFAULTS.repeat_last_n), _MOST),
        n_batch=n_batch,
    )


def _refuse(settings: GenerationSettings) -> None:
    sampling: Sampling = settings.sampling
    for name, off in _REFUSED.items():
        if getattr(sampling, name) not in (None, off):
            raise UnsupportedFeatureError(f"GPT4All has no `{name.partition('_')[0]}` sampling.", hint=_ELSEWHERE)
    if sampling.logit_bias:
        raise UnsupportedFeatureError("GPT4All has no `logit_bias`.", hint=_ELSEWHERE)
    if settings.top_logprobs is not None:
        raise UnsupportedFeatureError("GPT4All tells no log probabilities.", hint=_ELSEWHERE)


def refuse_constraint(settings: GenerationSettings) -> None:
    """Refuse what holds an answer to a form.

    Raises:
        UnsupportedFeatureError: There is such a thing.
    """
    if settings.constraint is not None:
        raise UnsupportedFeatureError("GPT4All cannot hold a text to a grammar or a schema.", hint=_ASK)


def _or(value: _T | None, default: _T) -> _T:
    return default if value is None else value
