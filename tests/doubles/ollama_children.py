"""The `llama-server` processes behind the Ollama double: how one is asked, and what its refusals become."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.doubles.ollama_checks import Refusal

_STOPPED = (
    "model runner has unexpectedly stopped, this may be due to resource limitations or an internal error, check ollama "
    "server logs for details"
)


@dataclass(frozen=True)
class Children:
    """The processes, each made when it is asked for; their URLs.

    Attributes:
        chat: Of the model that writes, for a context window and whether the window may be shifted.
        embedding: Of the model that embeds.
        window: The context window where nobody asks for one.
        embedding_window: That of the model that embeds.
    """

    chat: Callable[[int, bool], str]
    embedding: Callable[[], str]
    window: int
    embedding_window: int


class Child:
    """A `llama-server`."""

    def __init__(self, url: str) -> None:
        self._address = url.partition("://")[2]

    def post(self, path: str, body: dict[str, Any]) -> Any:
        with self._asked(path, body) as answer:
            return json.loads(answer.read())

    def tokens(self, text: str, *, add_special: bool = False) -> list[int]:
        more = {"add_special": True} if add_special else {}
        return list(self.post("/tokenize", {"content": text, **more})["tokens"])

    def text(self, tokens: list[int]) -> str:
        return str(self.post("/detokenize", {"tokens": tokens})["content"])

    def embed(self, text: str) -> tuple[list[float], int]:
        try:
            answer = self.post("/v1/embeddings", {"input": text})
        except Refusal as refusal:
            message = json.loads(refusal.error)["error"]["message"]
            if re.search("too large|context (size|length)|physical batch size", message, re.IGNORECASE):
                raise Refusal(400, "the input length exceeds the context length") from None
            raise Refusal(refusal.status, message) from None
        return answer["data"][0]["embedding"], answer["usage"]["prompt_tokens"]

    @contextmanager
    def stream(self, path: str, body: dict[str, Any]) -> Iterator[Iterator[dict[str, Any]]]:
        with self._asked(path, body) as answer:
            lines = (line.strip().removeprefix(b"data: ") for line in answer)
            yield (json.loads(line) for line in lines if line and line[:1] != b":" and line != b"[DONE]")

    @contextmanager
    def _asked(self, path: str, body: dict[str, Any]) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection(self._address, timeout=120)
        try:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            if answer.status >= 400:
                raise Refusal(answer.status, answer.read().decode().strip())
            yield answer
        except (ConnectionError, http.client.HTTPException):
            raise Refusal(500, _STOPPED) from None
        finally:
            connection.close()
