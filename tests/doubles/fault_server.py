"""A server over a real socket for what a healthy one will not do. It shares no code with the package.

A test says what happens on a connection by a function that is given each request as an `Exchange`, and that writes the
bytes of the answer, or does not. What goes on is counted, and can be waited for: no test needs to guess times.
"""

from __future__ import annotations

import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass


class HungUp(Exception):
    """The client closed the connection."""


@dataclass
class Request:
    """A request as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int  # Number of the connection, from 1.


class Exchange:
    """A request, and the means to answer it."""

    def __init__(self, server: FaultServer, connection: socket.socket, request: Request) -> None:
        self.server = server
        self.request = request
        self._connection = connection

    def send(self, data: bytes) -> None:
        """Write bytes as they are."""
        try:
            self._connection.sendall(data)
        except OSError as error:
            raise HungUp from error

    def head(self, status: int = 200, kind: str | None = "application/x-ndjson", **headers: str) -> None:
        """Begin an answer in chunks."""
        lines = [f"HTTP/1.1 {status} Anything", "Transfer-Encoding: chunked"]
        lines += [] if kind is None else [f"Content-Type: {kind}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.send("\r\n".join([*lines, "", ""]).encode())

    def chunk(self, data: bytes) -> None:
        """Write a piece of the body."""
        self.send(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self) -> None:
        """End the body."""
        self.send(b"0\r\n\r\n")

    def answer(
        self, body: bytes = b"{}", status: int = 200, kind: str | None = "application/json", **headers: str
    ) -> None:
        """Write a whole answer."""
        self.head(status, kind, **headers)
        if body:
            self.chunk(body)
        self.end()

    def wait_for_hang_up(self) -> None:
        """Wait until the client closes the connection, and note it."""
        end = time.monotonic() + 10
        while time.monotonic() < end and not self.server.stopping:
            self.pause(0.05)
        self.server.note("never_hung_up")

    def pause(self, seconds: float) -> None:
        """Wait, and notice meanwhile that the client hangs up."""
        readable, _, _ = select.select([self._connection], [], [], seconds)
        if readable:
            with suppress(OSError):
                # TLS may have bytes of its own to read; they are no news.
                peek = 0 if isinstance(self._connection, ssl.SSLSocket) else socket.MSG_PEEK
                if self._connection.recv(1, peek):
                    return
            raise HungUp

    def reset(self) -> None:
        """Break off with RST and not with FIN."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._connection.close()
        raise HungUp

    def cut(self) -> None:
        """Break off."""
        raise ConnectionAbortedError


Answer = Callable[[Exchange], None]


class FaultServer:
    """The server; a context manager. `answer` may be changed at any time.

    Attributes:
        requests: What has come.
        counts: `connections` ever accepted, those `open` now, those that the client `hung_up` on while it was owed
            more, and those on which it `never_hung_up` though that was waited for.
    """

    def __init__(self, answer: Answer | None = None, *, tls: ssl.SSLContext | None = None) -> None:
        self.answer: Answer = answer or Exchange.answer
        self.requests: list[Request] = []
        self.counts = dict.fromkeys(("connections", "open", "hung_up", "never_hung_up", "most_open"), 0)
        self.stopping = False
        self._changed = threading.Condition()
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listener.getsockname()[1]
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"
        self._connections: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self) -> FaultServer:
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_connections()
        for thread in [self._accepting, *self._threads]:
            thread.join(15)

    def drop_connections(self) -> None:
        """End all connections, as a server that is restarted does."""
        with self._changed:
            connections = list(self._connections)
        for connection in connections:
            with suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)

    def note(self, what: str, by: int = 1) -> None:
        with self._changed:
            self.counts[what] += by
            self.counts["most_open"] = max(self.counts["most_open"], self.counts["open"])
            self._changed.notify_all()

    def wait_until(self, **counts: int) -> None:
        """Wait until counters have these values; `requests` counts the requests."""
        with self._changed:
            come = self._changed.wait_for(lambda: counts.items() <= self._state().items(), 10)
            assert come, f"{counts} never came: {self._state()}"

    def _state(self) -> dict[str, int]:
        return {**self.counts, "requests": len(self.requests)}

    def _accept(self) -> None:
        while not self.stopping:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.note("connections")
            thread = threading.Thread(target=self._serve, args=(connection, self.counts["connections"]), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        if self._tls is not None:
            try:
                connection = self._tls.wrap_socket(connection, server_side=True)
            except OSError:
                return connection.close()
        else:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._changed:
            self._connections.add(connection)
        self.note("open")
        try:
            while (request := _read_request(connection, number)) is not None:
                with self._changed:
                    self.requests.append(request)
                    self._changed.notify_all()
                self.answer(Exchange(self, connection, request))
        except HungUp:
            self.note("hung_up")
        except OSError:
            pass  # The connection ended between two requests, or the test cut it.
        finally:
            with self._changed:
                self._connections.discard(connection)
            connection.close()
            self.note("open", -1)
        return None


def _read_request(connection: socket.socket, number: int) -> Request | None:
    data = b""
    while b"\r\n\r\n" not in data:
        if not (more := connection.recv(65536)):
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        if not (more := connection.recv(65536)):
            return None
        body += more
    return Request(method, target, headers, body, number)
