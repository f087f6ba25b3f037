"""The words that every engine understands in its constructor, in `bind` and per call, each declared once.

`Vocabulary` holds the fields and their ranges; the functions below it bring other names for them to these, and tell
the user of names that nobody knows. What an engine adds of its own is in that engine's `options.py`.
"""

from __future__ import annotations

import difflib
import sys
import warnings
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "temp": "temperature",
        "n_predict": "max_tokens",
        "num_predict": "max_tokens",
        "max_new_tokens": "max_tokens",
        "max_completion_tokens": "max_tokens",
        "repetition_penalty": "repeat_penalty",
        "last_n_tokens_size": "repeat_last_n",
        "typical": "typical_p",
        "stop_sequences": "stop",
        "n_probs": "top_logprobs",
        "json_schema": "format",
    }
)
"""Other names that people know these by, from llama.cpp, Ollama, GPT4All, OpenAI and transformers."""


def _none_below_zero(value: Any) -> Any:
    """Read -1 and -2, by which llama.cpp and Ollama mean "no limit" and "no fixed seed", as `None`."""
    return None if value in (-1, -2) and not isinstance(value, bool) else value


def _off(value: Any) -> Any:
    """Read a top_k of -1, by which some engines mean "off", as 0."""
    return 0 if value == -1 and not isinstance(value, bool) else value


_Number = Annotated[float, Field(allow_inf_nan=False)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
_Penalty = Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)]


class Vocabulary(BaseModel):
    """How an answer is to be made. `None` means the engine's or the model's own default."""

    # Built at the first use of a class: building all of them would make the import of any a third slower.
    model_config = ConfigDict(extra="ignore", protected_namespaces=(), populate_by_name=True, defer_build=True)

    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """How freely tokens are chosen: 0 always takes the likeliest one, 1 follows the model."""

    max_tokens: Annotated[Annotated[int, Field(ge=1)] | None, BeforeValidator(_none_below_zero)] = None
    """Most tokens to generate; `None`, -1 and -2 for as many as the context window has room for."""

    top_k: Annotated[Annotated[int, Field(ge=0)] | None, BeforeValidator(_off)] = None
    """Choose among this many of the likeliest tokens; 0 or -1 for all."""

    top_p: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    """Choose among the likeliest tokens that together have this probability; 1 for all."""

    min_p: _Fraction | None = None
    """Leave out tokens less likely than this fraction of the likeliest one; 0 for none."""

    typical_p: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    """Locally typical sampling; 1 for off."""

    repeat_penalty: _Positive | None = None
    """Divides the logits of tokens that came lately; 1 for off."""

    repeat_last_n: Annotated[int, Field(ge=-1)] | None = None
    """How many tokens back `repeat_penalty` looks; 0 for off, -1 for the whole context window."""

    frequency_penalty: _Penalty | None = None
    """Lowers a token's logit by this much for each time it came; -2 to 2, 0 for off."""

    presence_penalty: _Penalty | None = None
    """Lowers a token's logit by this much once it has come; -2 to 2, 0 for off."""

    mirostat: Literal[0, 1, 2] | None = None
    """Mirostat sampling in place of top_k, top_p and typical_p: version 1 or 2, 0 for off."""

    mirostat_tau: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """The surprise, in bits per token, that Mirostat aims at."""

    mirostat_eta: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """How fast Mirostat learns."""

    dry_multiplier: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """How strongly DRY ("don't repeat yourself") lowers tokens that would continue a repetition; 0 for off."""

    dry_base: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None
    """By which factor DRY's penalty grows with each token that the repetition is longer."""

    dry_allowed_length: Annotated[int, Field(ge=0)] | None = None
    """Repetitions of up to this many tokens are not penalized by DRY."""

    dry_penalty_last_n: Annotated[int, Field(ge=-1)] | None = None
    """How many tokens back DRY looks; 0 for off, -1 for the whole context window."""

    dry_sequence_breakers: list[Annotated[str, Field(min_length=1)]] | None = None
    """Strings at which DRY takes a repetition to end, such as the end of a line."""

    xtc_probability: _Fraction | None = None
    """How often XTC ("exclude top choices") leaves out the likeliest tokens; 0 for off."""

    xtc_threshold: _Fraction | None = None
    """XTC leaves out all tokens that are at least this likely, but for the least likely of them; above 0.5 for off."""

    seed: Annotated[int | None, BeforeValidator(_none_below_zero)] = None
    """Seed of the random choices: the same seed, model and prompt give the same answer; `None` and -1 for any."""

    logit_bias: dict[int, _Number] | None = None
    """Added to the logits of these tokens, by token id."""

    stop: list[str] | None = None
    """Strings that end the answer and are not part of it. Those given per call are added to these."""

    logprobs: bool | Annotated[int, Field(ge=0)] | None = None
    """Whether to report the log probability of each token; a number also asks for so many alternatives to each."""

    top_logprobs: Annotated[int, Field(ge=0)] | None = None
    """How many alternatives to report beside each token; implies `logprobs`."""

    grammar: Annotated[str, Field(min_length=1)] | None = None
    """A grammar in GBNF, llama.cpp's notation, that the answer follows; its start rule is `root`."""

    format: Literal["json", ""] | dict[str, Any] | None = None
    """`"json"` for any JSON, or a JSON Schema that the answer follows."""

    response_format: dict[str, Any] | None = None
    """The same in OpenAI's form: `{"type": "json_object"}` or `{"type": "json_schema", "json_schema": {…}}`."""

    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Longest wait for the next piece of the answer, in seconds; `None` for no limit."""

    @field_validator("stop", mode="before")
    @classmethod
    def _stop_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else list(value) if isinstance(value, tuple | set) else value

    @field_validator("stop", mode="after")
    @classmethod
    def _stop_is_not_empty(cls, value: list[str] | None) -> list[str] | None:
        if value and "" in value:
            raise ValueError("an empty stop string would end every answer at once")
        return value

    @field_validator("logit_bias", mode="before")
    @classmethod
    def _logit_bias_may_be_text(cls, value: Any) -> Any:
        # JSON, and so OpenAI's API, has token ids as strings.
        return {int(k) if isinstance(k, str) else k: v for k, v in value.items()} if isinstance(value, dict) else value


CONSTRAINTS = frozenset({"grammar", "format", "response_format"})
"""Fields that say what the answer must look like; one given per call takes the place of any in the constructor."""


def unify(values: Mapping[str, Any], aliases: Mapping[str, str]) -> dict[str, Any]:
    """Bring other names to the names of fields.

    Args:
        values: What the user gave, by the user's names.
        aliases: Other name to field name.

    Returns:
        The same values by the names of fields. Stop strings given under two names are joined.

    Raises:
        ValueError: If a value is given under two names, and differs.
    """
    unified = {name: value for name, value in values.items() if name not in aliases}
    for alias, value in values.items():
        name = aliases.get(alias)
        if name is None:
            continue
        if unified.get(name) is None:
            unified[name] = value
        elif name == "stop" and value is not None:
            unified[name] = merge_stops(unified[name], value)
        elif value is not None and unified[name] != value:
            raise ValueError(f"`{alias}` means `{name}`, and both are given: {value!r} and {unified[name]!r}")
    return unified


def merge_stops(*lists: str | Iterable[str] | None) -> list[str]:
    """Join lists of stop strings, each string once, in the order given.

    Raises:
        ValueError: If one of them is neither a list nor a string.
    """
    for item in lists:
        if not isinstance(item, Iterable | None):
            raise ValueError(f"stop={item!r} is neither a text nor a list of texts")
    strings = [string for item in lists if item is not None for string in ([item] if isinstance(item, str) else item)]
    return list(dict.fromkeys(strings))


def warn_unknown(owner: str, unknown: Iterable[str], known: Iterable[str]) -> None:
    """Warn of names that nobody knows, with the nearest ones that somebody does."""
    choices = sorted(known)
    for name in unknown:
        near = difflib.get_close_matches(name, choices, n=1)
        guess = f" Did you mean `{near[0]}`?" if near else ""
        warn(f"{owner} does not know `{name}`, which is ignored.{guess}")


def warn(message: str) -> None:
    """Warn, pointing at the first line of code outside this package and what it stands on."""
    level, frame = 2, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _INSIDE:
        frame = frame.f_back
        level += 1
    warnings.warn(message, UserWarning, stacklevel=level)


_INSIDE = frozenset({"langchain_localmodels", "langchain_core", "pydantic", "contextlib", "concurrent", "threading"})
