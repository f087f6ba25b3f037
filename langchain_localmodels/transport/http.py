"""HTTP to a model server: the only module that imports httpx, and it does so at the first request.

Owns clients and what they are made from, requests and responses, and the translation of httpx's errors into this
package's. Which connection a request gets is decided in `lanes`, what happens to it in `stream`; what is asked and what
the answers mean belongs to the engines; how an answer's bytes become events belongs to `framing`.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import aclosing, closing, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from langchain_localmodels.errors import (
    EngineError,
    EngineTimeoutError,
    EngineUnreachableError,
    InvalidRequestError,
    LocalModelError,
)
from langchain_localmodels.transport.answers import WholeAnswer, check_headers, comes_of, hear_weakly, public_url
from langchain_localmodels.transport.failures import Explain, error_for_status, error_text, web_page_error
from langchain_localmodels.transport.lanes import MOST_CONNECTIONS, Lanes, LoopLanes
from langchain_localmodels.transport.retries import DEFAULT_MAX_RETRIES, Backoff, retry_after_seconds
from langchain_localmodels.transport.stream import ByteStream, Call

if TYPE_CHECKING:
    import httpx

CONNECT_TIMEOUT = 5.0
"""Longest wait for a connection, in seconds. httpx would wait this long for everything, a model being loaded too."""

DEFAULT_TIMEOUT = 600.0
"""Longest wait for the next bytes where nothing is said, in seconds: large models take minutes to load, in silence, and
a server whose client hangs up meanwhile stops loading."""

_KEPT = 4.0
"""How long an idle connection is taken to be open, in seconds: llama-server closes them after 5."""

_MOST_JSON = 1 << 30
"""Longest JSON answer, in bytes. Vectors of many texts are large; without a bound a broken server fills the memory."""


class HTTPTransport:
    """Sends requests to one server, from any number of threads and event loops, and after a fork in both processes.

    Making one opens nothing. Connections are kept and used again; `close` closes them, and so does the end of their
    event loop, or of this object. After `close` the next request connects anew.

    At most 128 requests run at once, for all threads together and for each event loop; more of them wait.

    Redirections are errors. With `follow_redirects` among the `client_options` they are followed within the same
    server; another host is never given a request, since the prompt and custom headers, which may hold keys, would go
    there too.

    Args:
        base_url: Where the server is, without a slash at the end.
        server: The server's name for error messages.
        headers: Sent with every request.
        client_options: More arguments for httpx's clients, such as `auth`, `verify` or `proxy`.
        hint: What to do when the server cannot be reached.
        backoff: How long the pauses between tries are.
    """

    def __init__(
        self,
        base_url: str,
        *,
        server: str = "the server",
        headers: Mapping[str, str] | None = None,
        client_options: Mapping[str, Any] | None = None,
        hint: str | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self.base_url = base_url
        self.server = server
        self.hint = hint
        self.backoff = backoff or Backoff()
        self._clients = _Clients(base_url, headers, client_options)
        # Not a plain lock: the garbage collection may close an engine in a thread that holds it.
        self._lock = threading.RLock()
        self._lanes = Lanes(self._clients.make, self._clients.most)
        self._loop_lanes = LoopLanes(self._clients.make_async, self._clients.most)
        self._running: weakref.WeakSet[ByteStream] = weakref.WeakSet()
        weakref.finalize(self, self._lanes.close_idle)
        _all.add(self)

    @property
    def place(self) -> str:
        """The server's name and address as error messages give them: without a password."""
        return f"{self.server} at {public_url(self.base_url)}"

    def stream(
        self,
        method: str,
        path: str,
        payload: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = DEFAULT_TIMEOUT,
        max_retries: int | None = None,
        explain: Explain | None = None,
    ) -> ByteStream:
        """Begin a request whose answer is read piece by piece. Nothing is sent before the first read.

        Where the connection is refused, or the server says that it is busy (429, 503), the request is sent again after
        a pause, which grows, or which the server names (`Retry-After`). While a server says that it is loading the
        model it is asked for as long as `timeout` allows.

        Args:
            method: `GET`, `POST`, …
            path: Where, below the base URL, with a slash at its beginning.
            payload: What to send, as JSON.
            timeout: Longest wait for the next bytes, and longest time in which tries begin, in seconds; `None` for no
                limit.
            max_retries: How often to send it again; `None` for the default, which is 2, and 0 for never.
            explain: Makes errors of answers that tell of a failure.
        """
        retries = DEFAULT_MAX_RETRIES if max_retries is None else max_retries
        return ByteStream(self, Call(method, path, payload, timeout, retries, explain))

    def request_json(
        self,
        method: str,
        path: str,
        payload: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = DEFAULT_TIMEOUT,
        max_retries: int | None = None,
        explain: Explain | None = None,
        most: int = _MOST_JSON,
    ) -> Any:
        """Ask and give the whole answer, parsed; `None` for an empty one. Arguments and errors are those of `stream`.

        Raises:
            EngineError: The answer is not JSON, or is longer than `most` bytes.
        """
        stream = self.stream(method, path, payload, timeout=timeout, max_retries=max_retries, explain=explain)
        answer = WholeAnswer(self.place, most)
        with closing(stream):
            for chunk in stream:
                answer.add(chunk)
        return answer.parsed()

    async def arequest_json(
        self,
        method: str,
        path: str,
        payload: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = DEFAULT_TIMEOUT,
        max_retries: int | None = None,
        explain: Explain | None = None,
        most: int = _MOST_JSON,
    ) -> Any:
        """The same, from a task."""
        stream = self.stream(method, path, payload, timeout=timeout, max_retries=max_retries, explain=explain)
        answer = WholeAnswer(self.place, most)
        async with aclosing(stream):
            async for chunk in stream:
                answer.add(chunk)
        return answer.parsed()

    def close(self, error: Callable[[], LocalModelError] | None = None) -> None:
        """Hang up on all running requests, whose readers get an `error()` each, and close the idle connections.

        Connections of running requests are closed by the thread or task that reads them, those of an event loop by a
        task there: no file descriptor is closed under a reader.
        """
        with self._lock:
            running = list(self._running)
        for stream in running:
            stream.hang_up(error() if error else None)
        self._lanes.close_idle()
        self._loop_lanes.close_idle()

    # --- for `ByteStream` -------------------------------------------------------------------------------------------

    @property
    def owns_connections(self) -> bool:
        """Whether connections are made here; those of a transport that the caller gave are the caller's to close."""
        return self._clients.owned

    def thread_lanes(self, stream: ByteStream) -> Lanes:
        """The lanes of all threads; `stream` is hung up when this transport is closed."""
        with self._lock:
            self._running.add(stream)
        return self._lanes

    async def task_lanes(self, stream: ByteStream, loop: asyncio.AbstractEventLoop) -> Lanes:
        """The lanes of one event loop, the running one; `stream` is hung up when this transport is closed."""
        with self._lock:
            self._running.add(stream)
        return await self._loop_lanes.get(loop)

    def request(self, client: Any, call: Call, trace: Callable[[str, Mapping[str, Any]], None]) -> httpx.Request:
        """Make the request that `client` is to send; `trace`, a method, hears of its connection."""
        import httpx

        told = hear_weakly(trace, in_a_task=isinstance(client, httpx.AsyncClient))
        arguments: dict[str, Any] = {"content": call.body(), "extensions": {"trace": told}}
        if call.payload is not None:
            arguments["headers"] = {"Content-Type": "application/json"}
        if not (self._clients.has_timeout and call.timeout == DEFAULT_TIMEOUT):
            arguments["timeout"] = httpx.Timeout(call.timeout, connect=CONNECT_TIMEOUT, pool=None)
        try:
            request: httpx.Request = client.build_request(call.method, self.base_url + call.path, **arguments)
        except (TypeError, ValueError) as error:  # such as a header that is not ASCII
            raise InvalidRequestError(f"The request to {self.place} cannot be sent: {error}") from error
        return request

    def following(self, response: httpx.Response) -> httpx.Request | None:
        """The request that a redirection asks for, if it is to be followed."""
        request = response.next_request
        if request is None or not self._clients.follows:
            return None
        here, there = response.request.url, request.url
        if here.host != there.host:
            return None
        upgraded = (here.scheme, there.scheme, here.port, there.port) == ("http", "https", None, None)
        return request if upgraded or (here.scheme, here.port) == (there.scheme, there.port) else None

    def is_web_page(self, response: httpx.Response) -> bool:
        """Whether the answer is meant for a browser, which no model server's is."""
        kind = str(response.headers.get("Content-Type", ""))
        return kind.lower().startswith(("text/html", "application/xhtml"))

    def error_of_response(self, response: httpx.Response, body: bytes, call: Call) -> LocalModelError:
        """The error that a response stands for that is no answer; `body` is the beginning of its body."""
        import httpx

        status, text = response.status_code, error_text(body)
        location = response.headers.get("Location")
        retry_after = retry_after_seconds(response.headers.get("Retry-After"))
        error: LocalModelError | None = None
        if self.is_web_page(response) and (response.is_success or status in (400, 404, 405)):
            error = web_page_error(status, text, self.place)
        elif call.explain is not None:
            error = call.explain(status, text)
        if error is None:
            error = error_for_status(
                status, text, self.place, location=location and public_url(location), retry_after=retry_after
            )
        # Without the request's headers and address, which hold credentials, and without the connection.
        error.response = httpx.Response(
            status,
            headers=[entry for entry in response.headers.multi_items() if entry[0] not in _OF_THE_BODY],
            content=body,
            request=httpx.Request(call.method, public_url(self.base_url) + call.path),
        )
        return error

    def is_refused(self, failure: Exception) -> bool:
        """Whether nobody listens where the server should be: it may be about to start."""
        import httpx

        return isinstance(failure, httpx.ConnectError) and comes_of(failure, ConnectionRefusedError)

    def broke_off(self, failure: Exception) -> bool:
        """Whether the connection ended: what becomes of one that the server had closed while it was idle."""
        import httpx

        return isinstance(failure, httpx.ReadError | httpx.WriteError | httpx.RemoteProtocolError)

    def error_of(self, failure: Exception, call: Call) -> LocalModelError | None:
        """The error that an exception of httpx or of a socket stands for; `None` for any other exception."""
        import httpx

        if not isinstance(failure, httpx.HTTPError | httpx.InvalidURL | OSError):
            return None
        detail = str(failure) or type(failure).__name__
        if isinstance(failure, httpx.ConnectTimeout):
            detail = "nothing answers there"
        if isinstance(failure, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError | ssl.SSLError):
            return EngineUnreachableError(f"Cannot connect to {self.place}: {detail}", hint=self.hint)
        if isinstance(failure, httpx.TimeoutException):
            limit = "the time allowed" if self._clients.has_timeout else f"{call.timeout:g} seconds"
            return EngineTimeoutError(
                f"Nothing came from {self.place} for {limit}.",
                hint="Give a larger `timeout`, or none: a model that is not in memory is loaded before it answers.",
            )
        if isinstance(failure, httpx.InvalidURL | httpx.UnsupportedProtocol | httpx.LocalProtocolError):
            return InvalidRequestError(f"The request to {self.place} cannot be sent: {detail}")
        if isinstance(failure, httpx.DecodingError):
            return EngineError(f"The answer of {self.place} cannot be decoded: {detail}")
        return EngineUnreachableError(
            f"The connection to {self.place} broke off: {detail}", hint="The server's log may tell why."
        )


_OF_THE_BODY = ("content-encoding", "content-length", "transfer-encoding", "set-cookie")
_all: weakref.WeakSet[HTTPTransport] = weakref.WeakSet()


class _Clients:
    """Makes clients. Apart from the transport, which could not be collected if what it holds referred to it."""

    def __init__(
        self, base_url: str, headers: Mapping[str, str] | None, client_options: Mapping[str, Any] | None
    ) -> None:
        self._options = dict(client_options or {})
        self._headers = dict(headers or {})
        self._url = urlsplit(base_url)
        self._limits = self._options.pop("limits", None)
        self.follows = bool(self._options.pop("follow_redirects", False))
        self.has_timeout = "timeout" in self._options
        self.owned = not {"transport", "mounts"} & set(self._options)
        self.most = getattr(self._limits, "max_connections", None) or MOST_CONNECTIONS

    def make(self) -> httpx.Client:
        """Make a client for threads."""
        import httpx

        with _told_what_is_wrong():
            return httpx.Client(**self._arguments)

    def make_async(self) -> httpx.AsyncClient:
        """Make a client for tasks."""
        import httpx

        with _told_what_is_wrong():
            return httpx.AsyncClient(**self._arguments)

    @cached_property
    def _arguments(self) -> dict[str, Any]:
        import httpx

        with _told_what_is_wrong():
            # A compressing proxy would hold tokens back until its window is full.
            headers = httpx.Headers({"Accept-Encoding": "identity"})
            headers.update(self._options.get("headers"))
            headers.update(self._headers)
            check_headers(headers.multi_items())
            arguments = {"timeout": httpx.Timeout(None, connect=CONNECT_TIMEOUT), **self._options, "headers": headers}
            kept = getattr(self._limits, "max_keepalive_connections", None)
            expiry = getattr(self._limits, "keepalive_expiry", None)
            arguments["limits"] = httpx.Limits(
                max_connections=1,
                max_keepalive_connections=1 if kept is None else min(kept, 1),
                keepalive_expiry=_KEPT if expiry is None else expiry,
            )
            if self._is_near():
                # A proxy of the environment is for the way out; it cannot reach this machine's own servers.
                arguments.setdefault("trust_env", False)
            if self._is_near() and self._url.scheme == "http" and not {"verify", "cert"} & set(arguments):
                # Loading the certificate authorities takes longer than connecting. This context trusts none.
                arguments["verify"] = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            else:
                verify = arguments.get("verify", True)
                if isinstance(verify, str):  # httpx 0.28 warns of paths
                    is_folder = os.path.isdir(verify)
                    verify = ssl.create_default_context(
                        cafile=None if is_folder else verify, capath=verify if is_folder else None
                    )
                arguments["verify"] = httpx.create_ssl_context(
                    verify=verify,
                    cert=arguments.pop("cert", None),
                    trust_env=arguments.get("trust_env", True),
                )
        return arguments

    def _is_near(self) -> bool:
        host = self._url.hostname or ""
        return host in ("localhost", "::1") or host.startswith("127.")


@contextmanager
def _told_what_is_wrong() -> Iterator[None]:
    """Translate what httpx says of arguments that it does not know or cannot use."""
    try:
        yield
    except LocalModelError:
        raise
    except (TypeError, ValueError, AttributeError, OSError, ImportError) as error:
        raise InvalidRequestError(
            f"The HTTP client cannot be made: {error}",
            hint="Its arguments go by httpx's names, such as `headers`, `auth`, `verify`, `proxy`, `timeout`.",
        ) from error


def _after_fork_in_child() -> None:
    # Another thread may have held a lock, and the connections of running requests are the parent's (see `lanes`).
    for transport in list(_all):
        transport._lock = threading.RLock()
        for stream in list(transport._running):
            stream.leave_to_parent()
        transport._running.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
