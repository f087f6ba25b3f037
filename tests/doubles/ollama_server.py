"""A server that speaks Ollama's protocol over a real socket, with the faults that a healthy one will not produce.

It shares no code with the package: what it says was taken from Ollama's own sources, and from a true server's answers.
Its brain is an echo, a script that a test gives it, or real models (`ollama_llama.py`).
"""

from __future__ import annotations

import json
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, islice
from typing import Any

from tests.doubles.go_decoding import Refused
from tests.doubles.ollama_answers import Reply, encode, joined, line_of, lines_of
from tests.doubles.ollama_checks import Refusal, check_abilities, check_model, check_text_request
from tests.doubles.ollama_decoding import decode, parse
from tests.doubles.ollama_embedding import Embedder
from tests.doubles.ollama_library import Library
from tests.doubles.ollama_llama import LlamaBrain

MODELS = ("llama3.1:8b", "llama2:13b", "tiny:latest", "nomic-embed-text")
_POSTED = {
    f"/api/{name}" for name in ("chat", "generate", "embed", "embeddings", "show", "pull", "create", "copy", "push")
}


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
    """The server; a context manager.

    Args:
        ipv6: Whether it listens there.
        brain: Real models that answer. `reply`, once it is set, goes before them; without a brain it is an echo.
    """

    def __init__(self, *, ipv6: bool = False, brain: LlamaBrain | None = None) -> None:
        self.brain = brain
        self.reply: Reply | None = None if brain else Reply()
        self.models = set(MODELS)
        self.embedder = Embedder()
        self.library = Library()
        self.shown: dict[str, Any] = {  # what /api/show tells of every model; None takes an entry out
            "details": {"format": "gguf", "family": "llama", "parameter_size": "8.0B", "quantization_level": "Q4_K_M"},
            "model_info": {"general.architecture": "llama", "llama.context_length": 8192},
            "capabilities": ["completion", "tools", "vision", "thinking"],
        }
        self.shown_of: dict[str, dict[str, Any]] = {}  # what it tells of single models
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

    def details(self, model: str) -> dict[str, Any]:
        """What `/api/show` tells of a model."""
        shown = self.shown_of.get(model, self.shown)
        return {name: value for name, value in shown.items() if value is not None}

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
        double = self.double
        if self.path == "/":
            return self._send(200, b"Ollama is running", "text/plain; charset=utf-8")
        if self.path == "/api/ps" and double.running is not None:
            return self._json(200, {"models": double.running})
        if (told := double.library.told(self.path, double.models, double.details)) is not None:
            return self._json(200, told)
        return self._not_here()

    def do_PUT(self) -> None:
        self._body()
        self._not_here()

    def _not_here(self) -> None:
        if self.path in _POSTED:
            self._send(405, b"405 method not allowed")
        else:
            self._send(404, b"404 page not found")

    def do_HEAD(self) -> None:
        self._note(None)
        there = self.path in ("/", "/api/version", "/api/tags") or self._digest in self.double.library.blobs
        self.send_response(200 if there else 404)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", "0")
        self.end_headers()

    @property
    def _digest(self) -> str:
        return self.path.rpartition("/")[2]

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
        if body.get("stream") is False:
            failed = "error" in answer[-1]
            return self._send(500 if failed else 200, encode(answer[-1]), "application/json")
        self._begin()
        return self._stream(iter(answer), self.double.library.faults)

    def do_POST(self) -> None:
        raw = self._body()
        if self.path.startswith("/api/blobs/"):
            self._note(len(raw))
            return self._send(self.double.library.take(self._digest, raw), b"")
        try:
            body = parse(raw)
        except Refused as error:
            self._note(None)
            return self._json(400, {"error": str(error)})
        self._note(body)
        try:
            self._posted(body)
        except Refused as error:
            self._json(400, {"error": str(error)})
        except Refusal as refusal:
            self._json(refusal.status, {"error": refusal.error})
        except (HungUp, BrokenPipeError, ConnectionResetError):
            with self.double.lock:
                self.double.hang_ups += 1
            self.close_connection = True
        return None

    def _posted(self, given: Any) -> None:
        if self.path == "/api/show":
            body = decode(self.path, given)
            model = check_model(self.path, body.get("model") or body.get("name", ""), self.double.models)
            self._json(200, self.double.details(model))
        elif self.path in ("/api/pull", "/api/create", "/api/copy"):
            self._managed(given)
        elif self.path in ("/api/embed", "/api/embeddings"):
            self._embed(decode(self.path, given))
        elif self.path in ("/api/chat", "/api/generate"):
            self._answer(given, chat=self.path == "/api/chat")
        else:
            self._not_here()

    # --- endpoints --------------------------------------------------------------------------------------------------

    def _embed(self, body: dict[str, Any]) -> None:
        double = self.double
        model = check_model(self.path, body.get("model", ""), double.models)
        if double.brain is None:
            status, value = double.embedder.answer(self.path, body, model)
        else:
            able = "embedding" in double.details(model)["capabilities"]
            status, value = double.brain.embed(self.path, body, embeds=able)
        if status:
            self._json(status, value)
        else:
            self._send(404, b"404 page not found")

    def _answer(self, given: Any, *, chat: bool) -> None:
        double, reply = self.double, self.double.reply
        if reply is not None:
            if reply.first_delay:
                self._pause(reply.first_delay)
            if reply.status != 200:
                error = {"error": reply.error}
                return self._json(reply.status, error) if reply.error else self._send(reply.status, b"")
        body = decode(self.path, given)
        model = check_text_request(self.path, body, double.models)
        asked = body.get("messages" if chat else "prompt")
        unload = not asked and body.get("keep_alive") == 0
        if not unload:
            check_abilities(self.path, body, model, double.details(model).get("capabilities"))
        if not asked:
            reason = double.library.keep(model, given.get("keep_alive"), unload=unload)
            return self._json(200, {**line_of(body["model"], "", chat), "done": True, "done_reason": reason})
        if reply is None and body.get("_debug_render_only"):
            assert double.brain is not None
            return self._json(200, double.brain.rendered(self.path, body))
        return self._answer_with(self._lines(body, reply, chat), body, reply or Reply(), chat)

    def _lines(self, body: dict[str, Any], reply: Reply | None, chat: bool) -> Iterator[dict[str, Any]]:
        if reply is not None:
            return iter(lines_of(body, reply, chat))
        assert self.double.brain is not None
        return self.double.brain.answer(self.path, body)

    def _answer_with(self, lines: Iterator[dict[str, Any]], body: dict[str, Any], reply: Reply, chat: bool) -> None:
        if body.get("stream") is False:
            return self._json(200, joined(list(lines) or [line_of("", "", chat)], chat))
        first = list(islice(lines, 1))  # What is refused is refused before the answer begins.
        self._begin()
        try:
            return self._stream(chain(first, lines), reply)
        finally:
            if hasattr(lines, "close"):
                lines.close()  # Nobody reads on: the models need not write on.

    def _begin(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _stream(self, lines: Iterable[dict[str, Any]], reply: Reply) -> None:
        for number, line in enumerate(self._until_refused(lines)):
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

    def _until_refused(self, lines: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        try:
            yield from lines
        except Refusal as refusal:
            yield {"error": refusal.error}

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
        self._send(status, encode(value).rstrip(b"\n"), "application/json; charset=utf-8")

    def _send(self, status: int, body: bytes, kind: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _note(self, body: Any) -> None:
        with self.double.lock:
            self.double.seen.append(Seen(self.command, self.path, dict(self.headers), body))
