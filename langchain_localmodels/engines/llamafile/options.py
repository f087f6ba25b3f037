"""`LlamafileOptions`: what can be said to a server beyond the words that every engine knows, each declared once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, Field, field_validator

from langchain_localmodels.engines.base import Engine
from langchain_localmodels.engines.llamafile.extras import LLAMAS_OWN, LlamafileExtras
from langchain_localmodels.engines.llamafile.server_options import LlamafileServerOptions
from langchain_localmodels.errors import InvalidRequestError
from langchain_localmodels.options import LocalModelOptions

_BODY = (
    "adaptive_decay",
    "adaptive_target",
    "chat_template_kwargs",
    "dynatemp_exponent",
    "dynatemp_range",
    "ignore_eos",
    "lora",
    "min_keep",
    "n_cache_reuse",
    "n_discard",
    "n_indent",
    "post_sampling_probs",
    "reasoning_budget_tokens",
    "reasoning_effort",
    "reasoning_format",
    "samplers",
    "t_max_predict_ms",
    "top_n_sigma",
)
"""What llama.cpp's server knows besides; known per call and in `bind`, and passed on as it is."""


class LlamafileWords(BaseModel):
    """The servers' own words, in the constructor, in `bind` and per call. `None` leaves a value to the server."""

    n_keep: Annotated[int, Field(ge=-1)] | None = None
    """Tokens at the prompt's beginning that stay when the context window overflows; -1 for all."""

    tfs_z: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Tail free sampling, 1 for off. Only servers of before 2025 know it."""

    penalize_nl: bool | None = None
    """Whether `repeat_penalty` counts for line ends. Only servers of before 2025 know it."""

    cache_prompt: bool | None = None
    """Whether the beginning that a prompt shares with an earlier one is not computed again."""

    id_slot: Annotated[int, Field(ge=-1)] | None = None
    """Which of the server's slots is to answer, which keeps what it has computed; -1 for any."""

    reasoning: bool | str | None = None
    """Whether the model thinks first, or how much, such as `"low"`; `None` for the model's default."""

    extra_body: dict[str, Any] = Field(default_factory=dict)
    """More entries of the request, by the server's names. Those given per call are added to these."""

    @field_validator("extra_body", mode="before")
    @classmethod
    def _extra_body_may_be_none(cls, value: Any) -> Any:
        return {} if value is None else value


class _AnswerOptions(LocalModelOptions, LlamafileWords):
    """What can be said about answers; apart, since pydantic's plugin for mypy takes two bases at most."""


class LlamafileOptions(LlamafileServerOptions, _AnswerOptions):
    """Options of the models on a server."""

    _aliases: ClassVar[Mapping[str, str]] = {
        "model_name": "model",
        "request_timeout": "timeout",
        "openai_api_base": "base_url",
        "openai_api_key": "api_key",
        "think": "reasoning",
        "num_keep": "n_keep",
        "slot_id": "id_slot",
    }
    _beside_engine: ClassVar[frozenset[str]] = frozenset(LlamafileWords.model_fields)

    _profile_is_told: ClassVar[bool] = True

    def _profile(self) -> dict[str, Any] | None:
        # Asked at construction too, when not even the handle is there, and nothing is known.
        handle = getattr(self, "_handle", None)
        facts = None if handle is None else getattr(handle.peek(), "facts", None)
        found: dict[str, Any] | None = None if facts is None else facts.profile()
        return found

    def _new_engine(self) -> Engine:
        from langchain_localmodels.engines.llamafile.engine import LlamafileEngine, Place
        from langchain_localmodels.engines.llamafile.streams import Limits

        return LlamafileEngine(
            Place(
                self._address(),
                model=self.model,
                headers=self._headers(),
                client_options=self.client_kwargs,
                limits=Limits(self.timeout, self.max_retries),
            )
        )

    def _extras(self, overrides: dict[str, Any]) -> LlamafileExtras:
        given = {name: overrides.pop(name) for name in LlamafileWords.model_fields if name in overrides}
        more = {name: overrides.pop(name) for name in _BODY if name in overrides}
        given["extra_body"] = {**self.extra_body, **more, **(given.get("extra_body") or {})}
        words = LlamafileWords.model_validate(
            {**{name: getattr(self, name) for name in LlamafileWords.model_fields}, **given}
        )
        return LlamafileExtras(
            **{name: getattr(words, name) for name in LLAMAS_OWN},
            reasoning=words.reasoning,
            body=words.extra_body,
            max_retries=_whole(overrides.pop("max_retries", self.max_retries)),
        )


def _whole(max_retries: Any) -> int | None:
    if max_retries is not None and (not isinstance(max_retries, int) or max_retries < 0):
        raise InvalidRequestError(f"`max_retries` is a whole number from 0 up, not {max_retries!r}.")
    return max_retries
