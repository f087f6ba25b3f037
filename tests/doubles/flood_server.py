"""A server that sends numbered tokens as fast as the socket takes them, as Ollama or as llama.cpp's server.

It runs in a process of its own, so that its work is not taken for the client's. How many tokens are wanted, and whose
they are, stands in the prompt (`prompt_of`); each token tells its stream and its place in it (`token`), so that one
that is lost, doubled or given to another stream is seen (`faults`). Shares no code with the package.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal, TypeAlias

Form: TypeAlias = Literal["together", "apart", "torn"]
MODEL = "flood"
_ASKED = re.compile(r"stream (\d+): (\d+) tokens, (apart|together|torn)")
_RARE = "é\u2028😀"
"""Characters of several bytes, and one at which careless readers break lines."""
_WHEN = "2026-01-01T00:00:00.000000000Z"


def prompt_of(stream: int, tokens: int, form: Form = "together") -> str:
    """Ask for so many tokens.

    `together` they fill pieces of 16 KiB, as of a server that is faster than the socket; `apart` each has an HTTP chunk
    of its own, as Ollama and llama.cpp's server flush them; `torn` they hold rare characters, and pieces end anywhere.
    """
    return f"stream {stream}: {tokens} tokens, {form}"


def token(stream: int, place: int, *, torn: bool = False) -> str:
    """The text of one token."""
    return f" {stream}:{place}{_RARE if torn and place % 10 == 9 else ''}"


def faults(stream: int, tokens: int, pieces: list[str], *, torn: bool = False) -> int:
    """How many places of an answer do not hold the token that was sent there; pieces without text do not count."""
    came = [piece for piece in pieces if piece]
    wrong = sum(piece != token(stream, place, torn=torn) for place, piece in enumerate(came[:tokens]))
    return wrong + abs(len(came) - tokens)


def _lines(path: str, stream: int, tokens: int, torn: bool) -> Iterator[str]:
    """The lines, or events, of an answer."""
    for place in range(tokens):
        yield _line(path, token(stream, place, torn=torn), place)
    counts = {"total_duration": 5, "load_duration": 1, "prompt_eval_count": 7, "prompt_eval_duration": 2}
    if path.startswith("/api/"):
        text = {"message": {"role": "assistant", "content": ""}} if path == "/api/chat" else {"response": ""}
        end = {"done": True, "done_reason": "stop", **counts, "eval_count": tokens, "eval_duration": 2}
        yield json.dumps({"model": MODEL, "created_at": _WHEN, **text, **end}) + "\n"
    elif path == "/completion":
        end = {"index": 0, "content": "", "tokens": [], "id_slot": 0, "stop": True, "model": MODEL, "stop_type": "eos"}
        yield _sse({**end, "tokens_predicted": tokens, "tokens_evaluated": 7})
    else:
        yield _sse({**_OF_A_CHUNK, "choices": [{"finish_reason": "stop", "index": 0, "delta": {}}]})
        usage = {"completion_tokens": tokens, "prompt_tokens": 7, "total_tokens": tokens + 7}
        yield _sse({**_OF_A_CHUNK, "choices": [], "usage": usage})
        yield "data: [DONE]\n\n"


_OF_A_CHUNK = {"created": 1767225600, "id": "chatcmpl-1", "model": MODEL, "object": "chat.completion.chunk"}


def _line(path: str, text: str, place: int) -> str:
    begin = f'{{"model":"{MODEL}","created_at":"{_WHEN}",'
    if path == "/api/chat":
        return f'{begin}"message":{{"role":"assistant","content":{_json(text)}}},"done":false}}\n'
    if path == "/api/generate":
        return f'{begin}"response":{_json(text)},"done":false}}\n'
    if path == "/completion":
        counts = {"id_slot": 0, "tokens_predicted": place + 1, "tokens_evaluated": 7}
        return _sse({"index": 0, "content": text, "tokens": [place], "stop": False, **counts})
    choice = {"finish_reason": None, "index": 0, "delta": {"content": text}}
    return _sse({"choices": [choice], **_OF_A_CHUNK})


def _sse(event: dict[str, object]) -> str:
    return f"data: {_json(event)}\n\n"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    facts = {
        "/props": {"default_generation_settings": {"n_ctx": 8192}, "total_slots": 64, "build_info": "b9999-0000000"},
        "/v1/models": {"object": "list", "data": [{"id": MODEL, "object": "model"}]},
    }

    def do_GET(self):
        known = self.facts.get(self.path)
        body = json.dumps(known or {"error": {"code": 404, "message": "File Not Found"}}).encode()
        self.send_response(200 if known else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        asked = _ASKED.search(body)
        if asked is None:
            self.send_error(400, "the prompt does not say how many tokens it wants")
            return
        stream, tokens, torn = int(asked[1]), int(asked[2]), asked[3] == "torn"
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson" if "/api/" in self.path else "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        pieces = [line.encode() for line in _lines(self.path, stream, tokens, torn)]
        if asked[3] != "apart":
            chance = random.Random(stream)
            pieces = list(_cut(b"".join(pieces), lambda: chance.randint(1, 400) if torn else 1 << 14))
        sent = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        self.wfile.write(sent)

    def log_message(self, *arguments):
        pass


def _cut(data: bytes, size: Callable[[], int]) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        end = start + size()
        yield data[start:end]
        start = end


class _Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


class FloodServer:
    """The server, in a child process; `url` is where it is."""

    def __enter__(self):
        # The child ends when its standard input does, however this process ends.
        command = [sys.executable, str(Path(__file__).resolve())]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{int(self._child.stdout.readline())}"
        return self

    def __exit__(self, *_):
        self._child.stdin.close()
        self._child.stdout.close()
        self._child.wait(10)


def main() -> None:
    """Serve until the standard input ends."""
    import threading

    server = _Server(("127.0.0.1", 0), _Handler)
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
