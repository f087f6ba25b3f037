"""From the words of a request, as `vocabulary.py` has checked them, to the contract's `GenerationSettings`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from langchain_localmodels.engines.base import (
    Constraint,
    EngineExtras,
    GenerationSettings,
    Grammar,
    JsonOutput,
    Sampling,
)
from langchain_localmodels.vocabulary import Vocabulary

_SAMPLING = tuple(n for n in Sampling.__dataclass_fields__ if n not in ("logit_bias", "dry_sequence_breakers"))


def to_settings(words: Vocabulary, *, model: str | None, extras: EngineExtras | None) -> GenerationSettings:
    """Give what a request says about its answer.

    Args:
        words: What was given, checked.
        model: Name of another model for this request.
        extras: The engine's own values.

    Raises:
        ValueError: If words contradict one another.
    """
    return GenerationSettings(
        max_tokens=words.max_tokens,
        stop=tuple(words.stop or ()),
        sampling=_sampling(words),
        constraint=_constraint(words),
        top_logprobs=_top_logprobs(words),
        timeout=words.timeout,
        model=model,
        extras=extras,
    )


def _sampling(words: Vocabulary) -> Sampling:
    breakers = words.dry_sequence_breakers
    return Sampling(
        **{name: getattr(words, name) for name in _SAMPLING},
        logit_bias=tuple(sorted((words.logit_bias or {}).items())),
        dry_sequence_breakers=None if breakers is None else tuple(breakers),
    )


def _top_logprobs(words: Vocabulary) -> int | None:
    """Bring OpenAI's pair (a switch and a number) and llama.cpp's number to the contract's one number."""
    if words.logprobs is False:
        return None
    asked = None if words.logprobs is None or words.logprobs is True else words.logprobs
    if asked is not None and words.top_logprobs not in (None, asked):
        raise ValueError(f"logprobs={asked} and top_logprobs={words.top_logprobs} both say how many; give one of them")
    number = words.top_logprobs if asked is None else asked
    return 0 if number is None and words.logprobs else number


def _constraint(words: Vocabulary) -> Constraint | None:
    found: list[Constraint] = []
    if words.grammar is not None:
        found.append(Grammar(words.grammar))
    if words.format:
        found.append(JsonOutput(None if words.format == "json" else words.format))
    if words.response_format is not None and (output := _from_openai(words.response_format)) is not None:
        found.append(output)
    if len(found) > 1:
        raise ValueError("`grammar`, `format` and `response_format` all say what the answer looks like; give one")
    return found[0] if found else None


def _from_openai(form: Mapping[str, Any]) -> JsonOutput | None:
    kind = form.get("type")
    if kind == "text":
        return None
    if kind == "json_object":
        return JsonOutput(form.get("schema"))
    envelope = form.get("json_schema")
    if kind == "json_schema" and isinstance(envelope, Mapping) and isinstance(envelope.get("schema"), Mapping):
        # OpenAI shows its models the schema, so that users of this form do not.
        return JsonOutput(envelope["schema"], explained=True)
    raise ValueError(
        f"response_format={dict(form)!r} is none of {{'type': 'text'}}, {{'type': 'json_object'}} and "
        "{'type': 'json_schema', 'json_schema': {'schema': {…}}}"
    )


def in_words(error: ValidationError) -> str:
    """Put pydantic's report in one line, without its links."""
    faults = (f"{'.'.join(map(str, fault['loc']))}={fault['input']!r}: {fault['msg']}" for fault in error.errors())
    return "; ".join(faults)
