"""An HTTP server that gives answers from a script, over a real socket: for servers of other ages, and for faults."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Scripted:
    """A server that gives certain answers: path to status, body, and type if it is another; everything else is 404."""

    def __init__(self, answers):
        self.answers = answers
        self.requests = []
        script = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.answer(None)

            def do_POST(self):
                self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            do_DELETE = do_POST

            def answer(self, body):
                script.requests.append((self.path, body, dict(self.headers)))
                found = script.answers.get(self.path, (404, "File Not Found"))
                if callable(found):
                    found = found(body)
                status, body, *kind = found
                raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
                self.send_response(status)
                guessed = "text/event-stream" if raw.startswith((b"data:", b"error:", b":")) else "application/json"
                self.send_header("Content-Type", *kind or [guessed])
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def bodies(self, path):
        return [body for asked, body, _ in self.requests if asked == path]


def sse(*events, done=True):
    lines = [f"data: {json.dumps(event)}\n\n" for event in events]
    return "".join(lines) + ("data: [DONE]\n\n" if done else "")


def delta(content=None, finish=None, **more):
    return {"choices": [{"index": 0, "delta": {"content": content, **more}, "finish_reason": finish}]}
