"""What every class on a server is told of it, whether it writes or embeds; and how it starts one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field, PrivateAttr, SecretStr, field_validator
from typing_extensions import Self

from langchain_localmodels.engines.llamafile.address import base_url as read_address
from langchain_localmodels.engines.served import ServedOptions
from langchain_localmodels.errors import InvalidRequestError


class LlamafileServerOptions(ServedOptions):
    """Where the server is, and how it is reached."""

    _engine_name: ClassVar[str] = "llamafile"
    _not_identity: ClassVar[frozenset[str]] = frozenset(
        # `base_url` may hold a password; `_identity_extra` gives it without.
        {"base_url", "client_kwargs", "cache_prompt", "id_slot"}
    )

    model: Annotated[str, Field(min_length=1)] | None = None
    """Name of the model, where the server has several; `None` for the one that it has."""

    base_url: str | None = None
    """Where the server is: host, `host:port` or URL; `None` for what LLAMAFILE_BASE_URL says, or else this machine at
    port 8080."""

    client_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Arguments for the HTTP clients, by httpx's names, such as `headers`, `auth` or `verify`."""

    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = 600.0
    """Longest wait for the next bytes of an answer, in seconds; `None` for no limit."""

    max_retries: Annotated[int, Field(ge=0)] | None = None
    """How often a request is sent again when the connection is refused or the server busy; `None` for twice."""

    _process: Any = PrivateAttr(default=None)

    @field_validator("model", mode="after")
    @classmethod
    def _model_is_no_address(cls, value: str | None) -> str | None:
        if value is not None and value.startswith(("http://", "https://")):
            # Most servers answer whatever model is named: the one at another address would.
            raise ValueError("`model` is a model's name; where the server is goes into `base_url`")
        return value

    @field_validator("base_url", mode="after")
    @classmethod
    def _base_url_can_be_read(cls, value: str | None) -> str | None:
        read_address(value)
        return value

    @field_validator("client_kwargs", mode="before")
    @classmethod
    def _client_kwargs_may_be_none(cls, value: Any) -> Any:
        return {} if value is None else value

    @classmethod
    def serve(
        cls,
        path: str | os.PathLike[str],
        *,
        server: str | os.PathLike[str] | None = None,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        start_timeout: float = 600.0,
        progress: bool | None = None,
        **fields: Any,
    ) -> Self:
        """Start a server with a model, on a free port that other machines cannot reach, and give an object on it.

        The server ends when the object is closed, at the end of its `with` block, with the last object on it, or with
        the program.

        Args:
            path: A llamafile, which is a program with its model in it, or a GGUF file.
            server: The program that serves a GGUF file, a `llama-server` or a llamafile; `None` looks for
                `llama-server` on the PATH.
            arguments: More arguments for the program, such as `["-c", "8192", "-ngl", "99"]`, but for host and port.
                No shell reads them.
            environment: Variables beside those of this process.
            start_timeout: Longest wait until the model is loaded, in seconds.
            progress: Whether to show on standard error that it loads; `None` for where that is a terminal.
            **fields: The object's other fields.

        Raises:
            InvalidRequestError: `base_url` is given, or an argument says where the server is to be.
            ModelFileNotFoundError: There is no such file.
            EngineNotInstalledError: There is no program that serves it.
            EngineUnreachableError: It ended before it was ready; the last lines of its log are in the message.
            EngineTimeoutError: It was not ready in time.

        Example:
            ```python
            with ChatLlamafile.serve("model.gguf", arguments=["-c", "4096"]) as chat_model:
                chat_model.invoke("Who was the first man on the moon?")
            ```
        """
        if "base_url" in fields:
            raise InvalidRequestError(
                "`base_url` says where a server is, and `serve` starts one.", hint="Leave out `base_url`."
            )
        from langchain_localmodels.engines.llamafile.process import ServerProcess

        key = fields.get("api_key")
        secret = key.get_secret_value() if isinstance(key, SecretStr) else key
        cls(**fields)  # What is wrong with the fields is told before a large model is loaded.
        process = ServerProcess.start(
            path,
            server=server,
            arguments=[*cls._serve_arguments(), *arguments],
            environment={**(environment or {}), **({"LLAMA_API_KEY": str(secret)} if secret else {})},
            start_timeout=start_timeout,
            progress=progress,
        )
        made = cls(base_url=process.url, **fields)
        made._process = process
        return made

    @classmethod
    def _serve_arguments(cls) -> list[str]:
        """What a server needs to be told to serve objects of this class."""
        return []

    def close(self) -> None:
        """Hang up, and end the server if `serve` started it."""
        super().close()
        if self._process is not None:
            self._process.end()

    def _model_name(self) -> str:
        return self.model or "default"

    def _headers(self) -> dict[str, str]:
        key = self.api_key.get_secret_value() if self.api_key else os.environ.get("LLAMAFILE_API_KEY")
        given = {str(name).lower() for name in dict(self.client_kwargs.get("headers") or {})}
        return {"Authorization": f"Bearer {key}"} if key and "authorization" not in given else {}

    def _address(self) -> str:
        return read_address(self.base_url or os.environ.get("LLAMAFILE_BASE_URL"))
