"""The HTTP transports of one Ollama server: one for threads, and another for tasks where their arguments differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from langchain_localmodels.engines.ollama.address import REACH_HINT
from langchain_localmodels.errors import LocalModelError
from langchain_localmodels.transport.http import HTTPTransport


class Transports:
    """The two transports of a server, which may be one and the same.

    Args:
        base_url: Where the server is.
        client_options: Arguments for httpx's clients of threads.
        async_client_options: The same for those of tasks; `None` for the same arguments.

    Attributes:
        threads: For synchronous calls.
        tasks: For asynchronous ones.
    """

    def __init__(
        self,
        base_url: str,
        client_options: Mapping[str, Any] | None = None,
        async_client_options: Mapping[str, Any] | None = None,
    ) -> None:
        def made(options: Mapping[str, Any] | None) -> HTTPTransport:
            return HTTPTransport(base_url, server="Ollama", client_options=options, hint=REACH_HINT)

        same = async_client_options is None or async_client_options == client_options
        self.threads = made(client_options)
        self.tasks = self.threads if same else made(async_client_options)

    def close(self, error: Callable[[], LocalModelError] | None = None) -> None:
        """Hang up on all running requests, whose readers get an `error()` each, and close the idle connections."""
        self.threads.close(error)
        if self.tasks is not self.threads:
            self.tasks.close(error)
