"""HTTP to a model server: the only module that imports httpx, and it does so at the first request.

Owns connections, timeouts, hanging up, and the translation of httpx's errors into this package's. What is asked and
what the answers mean belongs to the engines; how an answer's bytes become events belongs to `framing`.

Every request has a connection of its own, which ends with it. A local server is a fraction of a millisecond away, and
in return there is no idle connection that the server may have closed meanwhile, that keeps an event loop alive, or that
outlives it; and the socket of each request is known, so that any thread can hang up, also while another waits for the
first byte.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Callable, Mapping
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary, WeakSet

from langchain_localmodels.errors import (
    EngineError,
    EngineTimeoutError,
    EngineUnreachableError,
    InvalidRequestError,
    LocalModelError,
)
from langchain_localmodels.transport.failures import Explain, error_for_status, error_text
from langchain_localmodels.transport.framing import excerpt
from langchain_localmodels.transport.stream import ByteStream, Call

if TYPE_CHECKING:
    import httpx

_MOST_CONNECTIONS = 128
CONNECT_TIMEOUT = 5.0
"""Longest wait for a connection, in seconds. httpx would wait this long for everything, a model being loaded too."""


class HTTPTransport:
    """Sends requests to one server, from any number of threads and event loops.

    Making one opens nothing. After `close` the next request opens it again.

    Args:
        base_url: Where the server is, without a slash at the end.
        server: The server's name for error messages.
        headers: Sent with every request.
        timeout: Longest wait for the next bytes of an answer, in seconds, where a request says nothing; `None` for
            no limit, since a server is silent while it loads a model.
        client_options: More arguments for httpx's clients, such as `auth`, `verify` or `proxy`.
        hint: What to do when the server cannot be reached.
    """

    def __init__(
        self,
        base_url: str,
        *,
        server: str = "the server",
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        client_options: Mapping[str, Any] | None = None,
        hint: str | None = None,
    ) -> None:
        self.base_url = base_url
        self.server = server
        self.timeout = timeout
        self.hint = hint
        self._headers = dict(headers or {})
        self._options = dict(client_options or {})
        # Not a plain lock: the garbage collection may close an engine in a thread that holds it.
        self._lock = threading.RLock()
        self._client: httpx.Client | None = None
        self._async_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = WeakKeyDictionary()
        self._running: WeakSet[ByteStream] = WeakSet()

    @property
    def place(self) -> str:
        """The server's name and address as error messages give them: without a password."""
        parts = urlsplit(self.base_url)
        return f"{self.server} at {parts._replace(netloc=parts.netloc.rpartition('@')[2]).geturl()}"

    def stream(
        self,
        method: str,
        path: str,
        payload: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        explain: Explain | None = None,
    ) -> ByteStream:
        """Begin a request whose answer is read piece by piece. Nothing is sent before the first read.

        Args:
            method: `GET`, `POST`, …
            path: Where, below the base URL, with a slash at its beginning.
            payload: What to send, as JSON.
            timeout: Longest wait for the next bytes, in seconds; `None` for the transport's own.
            explain: Makes errors of answers whose status is not 200.
        """
        return ByteStream(self, Call(method, path, payload, self.timeout if timeout is None else timeout, explain))

    def request_json(
        self,
        method: str,
        path: str,
        payload: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        explain: Explain | None = None,
    ) -> Any:
        """Ask and give the whole answer, parsed; `None` for an empty one. Arguments and errors are those of `stream`.

        Raises:
            EngineError: The answer is not JSON.
        """
        with closing(self.stream(method, path, payload, timeout=timeout, explain=explain)) as stream:
            return _parse(b"".join(stream))

    async def arequest_json(
        self,
        method: str,
        path: str,
        payload: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        explain: Explain | None = None,
    ) -> Any:
        """The same, from a task."""
        async with aclosing(self.stream(method, path, payload, timeout=timeout, explain=explain)) as stream:
            return _parse(b"".join([chunk async for chunk in stream]))

    def close(self, error: Callable[[], LocalModelError] | None = None) -> None:
        """Hang up on all running requests, whose readers get an `error()` each, and let go of the clients.

        The clients are dropped, not closed: they own no connection beyond those of running requests, and each of these
        is closed by the thread or task that reads it, so that no file descriptor is closed under a reader.
        """
        with self._lock:
            running = list(self._running)
            self._client = None
            self._async_clients.clear()
        for stream in running:
            stream.hang_up(error() if error else None)

    # --- for `ByteStream` -------------------------------------------------------------------------------------------

    def client_for(self, stream: ByteStream) -> httpx.Client:
        """The client of all threads; `stream` is hung up when this transport is closed."""
        import httpx

        with self._lock:
            self._running.add(stream)
            if self._client is None:
                self._client = httpx.Client(**self._client_arguments())
            return self._client

    def async_client_for(self, stream: ByteStream, loop: asyncio.AbstractEventLoop) -> httpx.AsyncClient:
        """The client of one event loop; `stream` is hung up when this transport is closed."""
        import httpx

        with self._lock:
            self._running.add(stream)
            for other in [other for other in self._async_clients if other.is_closed()]:
                # A loop closed under a running request is still referred to by that request's connection.
                del self._async_clients[other]
            client = self._async_clients.get(loop)
            if client is None:
                client = self._async_clients[loop] = httpx.AsyncClient(**self._client_arguments())
            return client

    def request_arguments(self, call: Call) -> dict[str, Any]:
        """What httpx's `stream` is called with."""
        import httpx

        arguments: dict[str, Any] = {"method": call.method, "url": self.base_url + call.path, "content": call.body()}
        if call.payload is not None:
            arguments["headers"] = {"Content-Type": "application/json"}
        if call.timeout is not None or "timeout" not in self._options:
            arguments["timeout"] = httpx.Timeout(call.timeout, connect=CONNECT_TIMEOUT, pool=None)
        return arguments

    def error_of_response(self, response: httpx.Response, call: Call) -> LocalModelError:
        """The error that a response other than 200, read to its end, stands for."""
        text = error_text(response.content)
        error = call.explain(response.status_code, text) if call.explain else None
        error = error or error_for_status(response.status_code, text, self.place)
        error.response = response
        return error

    def error_of_failure(self, failure: Exception, call: Call) -> LocalModelError | None:
        """The error that an exception of httpx stands for; `None` for any other exception."""
        import httpx

        if not isinstance(failure, httpx.HTTPError | httpx.InvalidURL):
            return None
        detail = str(failure) or type(failure).__name__
        if isinstance(failure, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
            return EngineUnreachableError(f"Cannot connect to {self.place}: {detail}", hint=self.hint)
        if isinstance(failure, httpx.TimeoutException):
            limit = "the time allowed" if call.timeout is None else f"{call.timeout:g} seconds"
            return EngineTimeoutError(
                f"Nothing came from {self.place} for {limit}.",
                hint="Give a larger `timeout`, or none: a model that is not in memory is loaded before it answers.",
            )
        if isinstance(failure, httpx.InvalidURL | httpx.UnsupportedProtocol | httpx.LocalProtocolError):
            return InvalidRequestError(f"The request to {self.place} cannot be sent: {detail}")
        if isinstance(failure, httpx.DecodingError):
            return EngineError(f"The answer of {self.place} cannot be decoded: {detail}")
        return EngineUnreachableError(f"The connection to {self.place} broke off: {detail}")

    def _client_arguments(self) -> dict[str, Any]:
        import httpx

        options = dict(self._options)
        # A compressing proxy would hold tokens back until its window is full.
        headers = {"Accept-Encoding": "identity", **dict(options.pop("headers", None) or {}), **self._headers}
        arguments: dict[str, Any] = {
            "headers": headers,
            "timeout": httpx.Timeout(None, connect=CONNECT_TIMEOUT),
            # Requests beyond these wait for one to end: a process may open so many files only, often 1024 or 256.
            "limits": httpx.Limits(max_connections=_MOST_CONNECTIONS, max_keepalive_connections=0),
        }
        parts = urlsplit(self.base_url)
        if parts.hostname == "localhost" or (parts.hostname or "").startswith("127.") or parts.hostname == "::1":
            # A proxy of the environment is for the way out; it cannot reach this machine's own servers.
            arguments["trust_env"] = False
            if parts.scheme == "http":
                # Loading the certificate authorities takes longer than connecting. This context trusts none.
                arguments["verify"] = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        return {**arguments, **options}


def _parse(body: bytes) -> Any:
    if not body:
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise EngineError(f"The server's answer is not JSON: {excerpt(body)}") from error
