"""`OllamaOptions`: what can be said to Ollama beyond the words that every engine knows, each declared once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from langchain_localmodels.engines.base import Engine
from langchain_localmodels.engines.ollama.extras import OPTIONS, OllamaExtras
from langchain_localmodels.engines.ollama.knowledge import recall
from langchain_localmodels.engines.ollama.server_options import OllamaRunnerWords, OllamaServerOptions
from langchain_localmodels.errors import InvalidRequestError
from langchain_localmodels.options import LocalModelOptions

_BODY = ("truncate", "shift")
_GENERATE = ("raw", "suffix", "system", "template")


class OllamaWords(OllamaRunnerWords):
    """Ollama's own words, in the constructor, in `bind` and per call. `None` leaves a value to the server."""

    num_keep: Annotated[int, Field(ge=-1)] | None = None
    """Tokens at the prompt's beginning that stay when the context window overflows."""

    reasoning: bool | Literal["low", "medium", "high", "max"] | None = None
    """Whether the model thinks first, or how much; `None` for the model's default, which is to think if it can."""


class _AnswerOptions(LocalModelOptions, OllamaWords):
    """All that can be said about an answer. A class of its own, since mypy's plugin trips over three bases."""


class OllamaOptions(OllamaServerOptions, _AnswerOptions):
    """Options of the models on an Ollama server."""

    _aliases: ClassVar[Mapping[str, str]] = {
        "model_name": "model",
        "host": "base_url",
        "think": "reasoning",
        "n_ctx": "num_ctx",
        "n_batch": "num_batch",
        "n_gpu_layers": "num_gpu",
        "n_threads": "num_thread",
        "n_keep": "num_keep",
    }
    _retired: ClassVar[Mapping[str, object]] = {
        # Removed from Ollama in 0.5.2 and 0.7.0.
        "tfs_z": 1.0,
        "penalize_newline": True,
        "use_mlock": False,
        "low_vram": False,
        "f16_kv": True,
        "logits_all": False,
        "vocab_only": False,
        "numa": False,
    }

    _profile_is_told: ClassVar[bool] = True

    def _new_engine(self) -> Engine:
        from langchain_localmodels.engines.ollama.engine import OllamaEngine

        return OllamaEngine(
            self.model,
            base_url=self._address(),
            context_window=self._window(),
            client_options=self._client_options(self.sync_client_kwargs),
            async_client_options=self._client_options(self.async_client_kwargs),
        )

    def _extras(self, overrides: dict[str, Any]) -> OllamaExtras:
        given = {name: overrides.pop(name) for name in OllamaWords.model_fields if name in overrides}
        given["options"] = {**self.options, **(given.get("options") or {})}
        words = OllamaWords.model_validate(
            {**{name: getattr(self, name) for name in OllamaWords.model_fields}, **given}
        )
        return OllamaExtras(
            **{name: getattr(words, name) for name in OPTIONS},
            keep_alive=words.keep_alive,
            think=words.reasoning,
            options=words.options,
            body={name: overrides.pop(name) for name in _BODY if name in overrides},
            generate={name: overrides.pop(name) for name in _GENERATE if name in overrides},
            max_retries=_whole(overrides.pop("max_retries", self.max_retries)),
        )

    def _profile(self) -> dict[str, Any] | None:
        try:
            known = recall(self._address(), self.model)
        except InvalidRequestError:  # OLLAMA_HOST cannot be read, which the first request will tell
            known = None
        if known is not None:
            return known.profile(self._window())
        return None if self._window() is None else {"max_input_tokens": self._window()}

    def _window(self) -> int | None:
        window = self.options.get("num_ctx", self.num_ctx)
        return window if isinstance(window, int) else None


def _whole(max_retries: Any) -> int | None:
    if max_retries is not None and (not isinstance(max_retries, int) or max_retries < 0):
        raise InvalidRequestError(f"`max_retries` is a whole number from 0 up, not {max_retries!r}.")
    return max_retries
