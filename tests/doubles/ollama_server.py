"""A server that speaks Ollama's protocol over a real socket, with the faults that a healthy one will not produce.

It shares no code with the package: what it says was taken from Ollama's own sources. Its brain is an echo, or a script
that a test gives it.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.doubles.ollama_answers import Reply, encode, joined, line_of, lines_of, refusal
from tests.doubles.ollama_embedding import Embedder
from tests.doubles.ollama_library import Library

MODELS = ("llama3.1:8b", "llama2:13b", "tiny:latest", "nomic-embed-text")


@dataclass
class Seen:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


class HungUp(Exception):
    """The client closed the connection before it had the whole answer."""


class OllamaDouble:
    """The server; a context manager."""

    def __init__(self, *, ipv6: bool = False) -> None:
        self.reply = Reply()
        self.models = set(MODELS)
        self.embedder = Embedder()
        self.library = Library()
        self.shown: dict[str, Any] = {  # what /api/show tells of every model; None takes an entry out
            "details": {"format": "gguf", "family": "llama", "parameter_size": "8.0B", "quantization_level": "Q4_K_M"},
            "model_info": {"general.architecture": "llama", "llama.context_length": 8192},
            "capabilities": ["completion", "tools", "vision", "thinking"],
        }
        self.running: list[dict[str, Any]] | None = []  # None: a server without /api/ps
        self.seen: list[Seen] = []
        self.lock = threading.Lock()
        self.hang_ups = 0
        self.lines_sent = 0
        self.open_connections = 0
        self.most_at_once = 0
        server_class = type("_Server", (_Server,), {"address_family": socket.AF_INET6}) if ipv6 else _Server
        self._server = server_class(("::1" if ipv6 else "127.0.0.1", 0), _Handler)
        self._server.double = self
        self.port = self._server.server_address[1]
        self.url = f"http://{'[::1]' if ipv6 else '127.0.0.1'}:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> OllamaDouble:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def last(self) -> Any:
        """Body of the latest request."""
        return self.seen[-1].body

    def wait_for_request(self) -> None:
        """Wait until a request has come."""
        self._wait(lambda: bool(self.seen), lambda: "no request came")

    def wait_until(self, what: str, value: int) -> None:
        """Wait until a counter has a value: the server's threads learn of things later than the client."""
        self._wait(lambda: getattr(self, what) == value, lambda: f"{what} is {getattr(self, what)}, not {value}")

    def _wait(self, come: Callable[[], bool], complaint: Callable[[], str]) -> None:
        end = time.monotonic() + 5
        while not come():
            assert time.monotonic() < end, complaint()
            time.sleep(0.005)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    double: OllamaDouble

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # A client that goes away is no news.


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        pass

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.double.lock:
            self.double.open_connections += 1
            self.double.most_at_once = max(self.double.most_at_once, self.double.open_connections)

    def finish(self) -> None:
        with self.double.lock:
            self.double.open_connections -= 1
        super().finish()

    @property
    def double(self) -> OllamaDouble:
        return self.server.double

    def do_GET(self) -> None:
        self._note(None)
        if self.path == "/api/ps" and self.double.running is not None:
            return self._json(200, {"models": self.double.running})
        if (told := self.double.library.told(self.path, self.double.models)) is not None:
            return self._json(200, told)
        return self._send(*((200, b"Ollama is running") if self.path == "/" else (404, b"404 page not found")))

    def do_HEAD(self) -> None:
        self._note(None)
        self.send_response(200 if self.path.rpartition("/")[2] in self.double.library.blobs else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_DELETE(self) -> None:
        body = json.loads(self._body())
        self._note(body)
        self._managed(body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _managed(self, body: dict[str, Any]) -> None:
        answer = self.double.library.answer(self.path, body, self.double.models)
        if isinstance(answer, tuple):
            status, error = answer
            return self._json(status, {"error": error}) if error else self._send(status, b"")
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        return self._stream(answer, self.double.library.faults)

    def do_POST(self) -> None:
        raw = self._body()
        if self.path.startswith("/api/blobs/"):
            self._note(len(raw))
            return self._send(self.double.library.take(self.path.rpartition("/")[2], raw), b"")
        try:
            body = json.loads(raw)
        except ValueError:
            body = None
        self._note(body)
        if not raw:
            self._json(400, {"error": "missing request body"})
        elif not isinstance(body, dict):
            self._json(400, {"error": "invalid character 'x' looking for beginning of value"})
        elif self.path == "/api/show":
            self._show(body)
        elif self.path in ("/api/pull", "/api/create", "/api/copy"):
            self._managed(body)
        elif self.path in ("/api/embed", "/api/embeddings"):
            status, value = self.double.embedder.answer(self.path, body, self.double.models)
            self._json(status, value) if status else self._send(404, b"404 page not found", "text/plain")
        elif self.path in ("/api/chat", "/api/generate"):
            try:
                self._answer(body, chat=self.path == "/api/chat")
            except (HungUp, BrokenPipeError, ConnectionResetError):
                with self.double.lock:
                    self.double.hang_ups += 1
                self.close_connection = True
        else:
            self._send(404, b"404 page not found", "text/plain")
        return None

    # --- endpoints --------------------------------------------------------------------------------------------------

    def _show(self, body: dict[str, Any]) -> None:
        if body.get("model") not in self.double.models:
            self._json(404, {"error": f"model '{body.get('model')}' not found"})
        else:
            self._json(200, {name: value for name, value in self.double.shown.items() if value is not None})

    def _answer(self, body: dict[str, Any], *, chat: bool) -> None:
        reply, model = self.double.reply, body.get("model")
        if reply.first_delay:
            self._pause(reply.first_delay)
        if reply.status != 200:
            return self._json(reply.status, {"error": reply.error}) if reply.error else self._send(reply.status, b"")
        if problem := refusal(body, chat, self.double.models):
            return self._json(*problem)
        if not (body.get("messages") if chat else body.get("prompt")):
            if not chat and model in self.double.embedder.only_embedding:
                return self._json(400, {"error": f'"{model}" does not support generate'})
            reason = self.double.library.keep(model, body.get("keep_alive"))
            return self._json(200, {**line_of(model, "", chat), "done": True, "done_reason": reason})
        lines = lines_of(body, reply, chat)
        if body.get("stream") is False:
            return self._json(200, joined(lines, chat))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        return self._stream(lines, reply)

    def _stream(self, lines: list[dict[str, Any]], reply: Reply) -> None:
        for number, line in enumerate(lines):
            if number == reply.error_after:
                self._chunks(encode({"error": reply.error}), reply)
                break
            if reply.raw_after is not None and number == reply.raw_after[0]:
                self._chunks(reply.raw_after[1], reply)
                break
            if number == reply.cut_after:
                return self._cut(line, reply)
            if number == reply.end_after:
                break
            self._pause(reply.delay)
            self._chunks(encode(line), reply)
            with self.double.lock:
                self.double.lines_sent += 1
        with suppress(OSError):  # The client has the last line; it need not wait for this.
            self.wfile.write(b"0\r\n\r\n")
        self.close_connection = True
        return None

    # --- bytes ------------------------------------------------------------------------------------------------------

    def _pause(self, seconds: float) -> None:
        """Wait, and notice meanwhile that the client hangs up, as Go's server does."""
        readable, _, _ = select.select([self.connection], [], [], seconds)
        if readable and not self.connection.recv(1, socket.MSG_PEEK):
            raise HungUp

    def _chunks(self, data: bytes, reply: Reply) -> None:
        size = reply.split or len(data)
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.flush()

    def _cut(self, line: dict[str, Any], reply: Reply) -> None:
        half = encode(line)[:10]
        self.wfile.write(b"%x\r\n%b\r\n" % (len(half), half))
        self.wfile.flush()
        self.close_connection = True
        if reply.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _json(self, status: int, value: Any) -> None:
        self._send(status, json.dumps(value).encode(), "application/json; charset=utf-8")

    def _send(self, status: int, body: bytes, kind: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _note(self, body: Any) -> None:
        with self.double.lock:
            self.double.seen.append(Seen(self.command, self.path, dict(self.headers), body))
