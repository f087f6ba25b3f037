"""The constructor fields that all classes on an Ollama server share: which model, where, and how it is kept in memory.

Nothing is asked of the server at construction, unless `validate_model_on_init` wants it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, Field, field_validator, model_validator
from typing_extensions import Self

from langchain_localmodels.engines.ollama.address import base_url as read_address
from langchain_localmodels.engines.ollama.credentials import with_key
from langchain_localmodels.engines.served import ServedOptions

_DURATION = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))*")


class OllamaRunnerWords(BaseModel):
    """Ollama's words for how a model is loaded and kept. `None` leaves a value to the server."""

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

    keep_alive: int | float | str | None = None
    """How long the model stays loaded after a request: seconds, or a duration such as `"10m"`; negative for ever."""

    options: dict[str, Any] = Field(default_factory=dict)
    """More of Ollama's `options`, by Ollama's names. Those given per call are added to these."""

    @field_validator("keep_alive", mode="before")
    @classmethod
    def _keep_alive_is_a_time(cls, value: Any) -> Any:
        return read_keep_alive(value)

    @field_validator("options", mode="before")
    @classmethod
    def _options_may_be_none(cls, value: Any) -> Any:
        return {} if value is None else value


class OllamaServerOptions(ServedOptions):
    """Which model on which server, and how it is asked."""

    _engine_name: ClassVar[str] = "ollama"
    _not_identity: ClassVar[frozenset[str]] = frozenset(
        # `base_url` may hold a password; `_identity_extra` gives it without.
        {
            "base_url",
            "client_kwargs",
            "sync_client_kwargs",
            "async_client_kwargs",
            "keep_alive",
            "num_batch",
            "num_gpu",
            "main_gpu",
            "num_thread",
            "use_mmap",
            "validate_model_on_init",
        }
    )
    _beside_engine: ClassVar[frozenset[str]] = frozenset({"validate_model_on_init"})

    model: Annotated[str, Field(min_length=1)]
    """The model's name, as `ollama list` gives it, such as `llama3.1:8b`."""

    base_url: str | None = None
    """Where the server is: host, `host:port` or URL; `None` for what OLLAMA_HOST says, or else this machine."""

    client_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Arguments for the HTTP clients, by httpx's names, such as `headers`, `auth` or `verify`."""

    sync_client_kwargs: dict[str, Any] = Field(default_factory=dict)
    """More arguments for the HTTP client of synchronous calls; they come before those of `client_kwargs`."""

    async_client_kwargs: dict[str, Any] = Field(default_factory=dict)
    """More arguments for the HTTP client of asynchronous calls; they come before those of `client_kwargs`."""

    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = 600.0
    """Longest wait for the next bytes of an answer, in seconds; `None` for no limit. A server that loads a model is
    silent, and stops loading when its client hangs up."""

    max_retries: Annotated[int, Field(ge=0)] | None = None
    """How often a request is sent again when the connection is refused or the server busy; `None` for twice."""

    validate_model_on_init: bool = False
    """Whether the server is asked for the model at construction, as `load()` does it, and tells what that can do."""

    @field_validator("base_url", mode="after")
    @classmethod
    def _base_url_can_be_read(cls, value: str | None) -> str | None:
        read_address(value)
        return value

    @field_validator("client_kwargs", "sync_client_kwargs", "async_client_kwargs", mode="before")
    @classmethod
    def _client_kwargs_may_be_none(cls, value: Any) -> Any:
        return {} if value is None else value

    @model_validator(mode="after")
    def _validate_model(self) -> Self:
        return self.load() if self.validate_model_on_init else self

    def load(self) -> Self:
        """Check that the server is there and has the model, and learn what it can do, instead of at the first request.

        The weights themselves load with the first request.

        Raises:
            EngineUnreachableError: The server is not there.
            ModelMissingError: It does not have the model.
        """
        return super().load()

    def _model_name(self) -> str:
        return self.model

    def _client_options(self, more: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments for the HTTP clients, with the key among the headers."""
        key = None if self.api_key is None else self.api_key.get_secret_value()
        return with_key({**self.client_kwargs, **more}, self._address(), key)

    def _address(self) -> str:
        return read_address(self.base_url or os.environ.get("OLLAMA_HOST"))


def read_keep_alive(value: Any) -> Any:
    """Read a time to stay loaded: a number of seconds, or a duration as Go writes it.

    Raises:
        ValueError: It is neither.
    """
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
