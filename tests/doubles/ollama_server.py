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
from dataclasses import dataclass, field
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODELS = ("llama3.1:8b", "llama2:13b", "tiny:latest")


@dataclass
class Reply:
    """What the model answers, and what goes wrong meanwhile. Counts are of NDJSON lines."""

    pieces: list[str] | None = None  # None: echo
    thinking: list[str] = field(default_factory=list)
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    tool_calls_in_last_line: bool = True
    last_text: str = ""  # parsers may flush text into the last line
    done_reason: str | None = None
    final: dict[str, Any] = field(default_factory=dict)  # entries of the last line; None takes one out

    status: int = 200  # another one: answer with it and `error`
    error: str = ""
    error_after: int | None = None  # lines, then an error line
    raw_after: tuple[int, bytes] | None = None  # lines, then these bytes
    cut_after: int | None = None  # lines, then the connection breaks off
    reset: bool = False  # breaks off with RST and not with FIN
    end_after: int | None = None  # lines, then a clean end without `done`
    first_delay: float = 0.0  # as if a model were loaded; before the status line
    delay: float = 0.0  # before each line
    split: int | None = None  # bytes per write


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
        self._send(*((200, b"Ollama is running") if self.path == "/" else (404, b"404 page not found")))

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
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
        elif self.path in ("/api/chat", "/api/generate"):
            try:
                self._answer(body, chat=self.path == "/api/chat")
            except (HungUp, BrokenPipeError, ConnectionResetError):
                with self.double.lock:
                    self.double.hang_ups += 1
                self.close_connection = True
        else:
            self._send(404, b"404 page not found", "text/plain")

    # --- endpoints --------------------------------------------------------------------------------------------------

    def _show(self, body: dict[str, Any]) -> None:
        if body.get("model") not in self.double.models:
            self._json(404, {"error": f"model '{body.get('model')}' not found"})
        else:
            self._json(200, {"details": {}, "model_info": {"llama.context_length": 8192}, "capabilities": ["tools"]})

    def _answer(self, body: dict[str, Any], *, chat: bool) -> None:
        reply, model = self.double.reply, body.get("model")
        if reply.first_delay:
            self._pause(reply.first_delay)
        if reply.status != 200:
            return self._json(reply.status, {"error": reply.error}) if reply.error else self._send(reply.status, b"")
        if problem := _refusal(body, chat, self.double.models):
            return self._json(*problem)
        if not (body.get("messages") if chat else body.get("prompt")):
            return self._json(200, {**_line(model, "", chat), "done": True, "done_reason": "load"})
        lines = _lines(body, reply, chat)
        if body.get("stream") is False:
            return self._json(200, _joined(lines, chat))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        return self._stream(lines, reply)

    def _stream(self, lines: list[dict[str, Any]], reply: Reply) -> None:
        for number, line in enumerate(lines):
            if number == reply.error_after:
                self._chunks(_encode({"error": reply.error}), reply)
                break
            if reply.raw_after is not None and number == reply.raw_after[0]:
                self._chunks(reply.raw_after[1], reply)
                break
            if number == reply.cut_after:
                return self._cut(line, reply)
            if number == reply.end_after:
                break
            self._pause(reply.delay)
            self._chunks(_encode(line), reply)
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
        half = _encode(line)[:10]
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


# --- what Ollama makes of a request ---------------------------------------------------------------------------------


def _refusal(body: dict[str, Any], chat: bool, models: set[str]) -> tuple[int, dict[str, Any]] | None:
    model = body.get("model")
    if chat and not model:
        return 400, {"error": "model is required"}
    if model not in models:
        return 404, {"error": f"model '{model}' not found"}
    for message in body.get("messages") or []:
        if not isinstance(message.get("content"), str):
            return 400, {
                "error": "json: cannot unmarshal array into Go struct field ChatRequest.messages of type string"
            }
        for call in message.get("tool_calls") or []:
            if not isinstance(call["function"]["arguments"], dict):
                return 400, {"error": "json: cannot unmarshal string into Go struct field of type map"}
    for name, value in (body.get("options") or {}).items():
        if name == "temperature" and not isinstance(value, int | float):
            return 500, {"error": 'option "temperature" must be of type float32'}
    form = body.get("format")
    if form not in (None, "", "json") and not isinstance(form, dict):
        return 500, {"error": f'invalid format: {form}; expected "json" or a valid JSON Schema object'}
    return None


def _lines(body: dict[str, Any], reply: Reply, chat: bool) -> list[dict[str, Any]]:
    model, options = body["model"], body.get("options") or {}
    prompt = body["messages"][-1]["content"] if chat else body["prompt"]
    pieces = _words(f"You said: {prompt}") if reply.pieces is None else list(reply.pieces)
    pieces, reason = _limited(pieces, options)
    lines = [_line(model, "", chat, thinking=thought) for thought in reply.thinking]
    for piece in pieces:
        line = _line(model, piece, chat)
        if body.get("logprobs"):
            entry = {"token": piece, "logprob": -0.5, "bytes": list(piece.encode())}
            if body.get("top_logprobs"):
                entry["top_logprobs"] = [{"token": piece, "logprob": -0.5, "bytes": list(piece.encode())}]
            line["logprobs"] = [entry]
        lines.append(line)
    last = _line(model, reply.last_text, chat)
    if reply.tool_calls and reply.tool_calls_in_last_line:
        last["message"]["tool_calls"] = reply.tool_calls
    else:
        lines += [_line(model, "", chat, tool_calls=[call]) for call in reply.tool_calls]
    metrics = {
        "total_duration": 9_000_000,
        "load_duration": 1_000_000,
        "prompt_eval_count": len(_words(prompt)),
        "prompt_eval_duration": 3_000_000,
        "eval_count": len(pieces) + len(reply.thinking),
        "eval_duration": 4_000_000,
    }
    last |= {"done": True, "done_reason": reply.done_reason or reason, **metrics, **reply.final}
    return [*lines, {name: value for name, value in last.items() if value is not None}]


def _limited(pieces: list[str], options: dict[str, Any]) -> tuple[list[str], str]:
    limit = options.get("num_predict")
    for stop in options.get("stop") or []:
        text = "".join(pieces)
        if stop in text:
            pieces = _words(text[: text.index(stop)])
    if limit is not None and 0 < limit < len(pieces):
        return pieces[:limit], "length"
    return pieces, "stop"


def _words(text: str) -> list[str]:
    words = text.split(" ")
    return [word if number == 0 else f" {word}" for number, word in enumerate(words) if word or number]


def _line(model: Any, text: str, chat: bool, **more: Any) -> dict[str, Any]:
    now = datetime.now(timezone.utc).isoformat()
    if chat:
        message = {"role": "assistant", "content": text, **more}
        return {"model": model, "created_at": now, "message": message, "done": False}
    return {"model": model, "created_at": now, "response": text, **more, "done": False}


def _joined(lines: list[dict[str, Any]], chat: bool) -> dict[str, Any]:
    if not chat:
        return {**lines[-1], "response": "".join(line["response"] for line in lines)}
    content = "".join(line["message"]["content"] for line in lines)
    return {**lines[-1], "message": {**lines[-1]["message"], "content": content}}


def _encode(line: dict[str, Any]) -> bytes:
    # Go writes U+0085 as it is, and so does this; U+2028 it escapes, but llama-server's texts need not be Go's.
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
