"""`OllamaOptions`: what can be said to Ollama beyond the words that every engine knows, each declared once."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, field_validator

from langchain_localmodels.engines.base import Engine
from langchain_localmodels.engines.ollama.address import base_url as read_address
from langchain_localmodels.engines.ollama.requests import OPTIONS, OllamaExtras
from langchain_localmodels.errors import InvalidRequestError
from langchain_localmodels.options import LocalModelOptions

_DURATION = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))*")

_BODY = ("truncate", "shift")
_GENERATE = ("raw", "suffix", "system", "template")


class OllamaWords(BaseModel):
    """Ollama's own words, in the constructor, in `bind` and per call. `None` leaves a value to the server."""

    num_ctx: Annotated[int, Field(ge=4)] | None = None
    """Size of the context window, in tokens. Another value than the loaded model's loads it anew."""

    num_batch: Annotated[int, Field(ge=1)] | None = None
    """Prompt tokens processed in one step."""

    num_gpu: Annotated[int, Field(ge=-1)] | None = None
    """Layers on the GPU; 0 for none, -1 for as many as fit."""

    main_gpu: Annotated[int, Field(ge=0)] | None = None
    """Which GPU holds what is not split."""

    num_thread: Annotated[int, Field(ge=0)] | None = None
    """CPU threads; 0 for the server's choice."""

    use_mmap: bool | None = None
    """Whether weights are mapped from the file and not read."""

    num_keep: Annotated[int, Field(ge=-1)] | None = None
    """Tokens at the prompt's beginning that stay when the context window overflows."""

    keep_alive: int | float | str | None = None
    """How long the model stays loaded after a request: seconds, or a duration such as `"10m"`; negative for ever."""

    reasoning: bool | Literal["low", "medium", "high", "max"] | None = None
    """Whether the model thinks first, or how much; `None` for the model's default, which is to think if it can."""

    options: dict[str, Any] = Field(default_factory=dict)
    """More of Ollama's `options`, by Ollama's names. Those given per call are added to these."""

    @field_validator("keep_alive", mode="before")
    @classmethod
    def _keep_alive_is_a_time(cls, value: Any) -> Any:
        if isinstance(value, bool):
            raise ValueError("a time, not a bool")
        if not isinstance(value, str):
            return value
        text = value.strip()
        if re.fullmatch(r"[+-]?\d+(\.\d+)?", text):
            # A number without a unit means seconds to everyone; Ollama takes it as a number alone.
            return float(text) if "." in text else int(text)
        if not _DURATION.fullmatch(text):
            raise ValueError('a number of seconds, or a duration such as "90s", "10m" or "1h30m"')
        return text

    @field_validator("options", mode="before")
    @classmethod
    def _options_may_be_none(cls, value: Any) -> Any:
        return {} if value is None else value


class OllamaOptions(LocalModelOptions, OllamaWords):
    """Options of the models on an Ollama server."""

    _engine_name: ClassVar[str] = "ollama"
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
        # langchain-ollama's; `load()` asks the server when the user wants it.
        "validate_model_on_init": False,
    }
    _not_identity: ClassVar[frozenset[str]] = frozenset(
        # `base_url` may hold a password; `_identity_extra` gives it without.
        {"base_url", "client_kwargs", "keep_alive", "num_batch", "num_gpu", "main_gpu", "num_thread", "use_mmap"}
    )

    model: Annotated[str, Field(min_length=1)]
    """The model's name, as `ollama list` gives it, such as `llama3.1:8b`."""

    base_url: str | None = None
    """Where the server is: host, `host:port` or URL; `None` for what OLLAMA_HOST says, or else this machine."""

    client_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Arguments for the HTTP clients, by httpx's names, such as `headers`, `auth` or `verify`."""

    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = 600.0
    """Longest wait for the next bytes of an answer, in seconds; `None` for no limit. A server that loads a model is
    silent, and stops loading when its client hangs up."""

    max_retries: Annotated[int, Field(ge=0)] | None = None
    """How often a request is sent again when the connection is refused or the server busy; `None` for twice."""

    @field_validator("base_url", mode="after")
    @classmethod
    def _base_url_can_be_read(cls, value: str | None) -> str | None:
        read_address(value)
        return value

    @field_validator("client_kwargs", mode="before")
    @classmethod
    def _client_kwargs_may_be_none(cls, value: Any) -> Any:
        return {} if value is None else value

    def _model_name(self) -> str:
        return self.model

    def _new_engine(self) -> Engine:
        from langchain_localmodels.engines.ollama.engine import OllamaEngine

        options = dict(self.client_kwargs)
        if self.api_key is not None:
            bearer = {"Authorization": f"Bearer {self.api_key.get_secret_value()}"}
            options["headers"] = {**bearer, **dict(options.get("headers") or {})}
        return OllamaEngine(self.model, base_url=self._address(), context_window=self.num_ctx, client_options=options)

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

    def _identity_extra(self) -> dict[str, Any]:
        # Two servers may have different models under one name.
        try:
            parts = urlsplit(self._address())
        except InvalidRequestError:
            return {}
        return {"server": parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()}

    def _profile(self) -> dict[str, Any] | None:
        return None if self.num_ctx is None else {"max_input_tokens": self.num_ctx}

    def _address(self) -> str:
        return read_address(self.base_url or os.environ.get("OLLAMA_HOST"))


def _whole(max_retries: Any) -> int | None:
    if max_retries is not None and (not isinstance(max_retries, int) or max_retries < 0):
        raise InvalidRequestError(f"`max_retries` is a whole number from 0 up, not {max_retries!r}.")
    return max_retries
