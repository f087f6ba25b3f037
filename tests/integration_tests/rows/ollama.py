"""Ollama's row of the contract suite."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from langchain_localmodels import ChatOllama, OllamaEmbeddings, OllamaLLM
from langchain_localmodels.testing.contract import EngineContractTests
from langchain_localmodels.testing.obliging import example
from tests.doubles.ollama_server import OllamaDouble, Reply


class OllamaRow(EngineContractTests):
    """Ollama, played by the double, with a brain that does what it is asked."""

    engine = "ollama"
    missing = {"model": "nobody-has-this"}
    other_model = "llama2:13b"
    thinking = {"reasoning": True}
    not_yet = {
        "test_at_most_one_call": "Ollama cannot be told to call one tool only, where it may call none (issue 5)",
    }

    @pytest.fixture(autouse=True)
    def _server(self) -> Iterator[None]:
        with ThinkingDouble() as self.server:
            yield

    def chat_model(self, **fields: Any) -> ChatOllama:
        return ChatOllama(**{"model": "llama3.1:8b", "base_url": self.server.url, "temperature": 0, **fields})

    def chat_model_that_writes(self, text: str, calls: Sequence[tuple[str, str]], **fields: Any) -> ChatOllama:
        try:
            forms = [{"function": {"name": name, "arguments": dict(json.loads(given))}} for name, given in calls]
        except (ValueError, TypeError):
            pytest.skip("ollama: the server reads calls itself, and gives those that it can read")
        self.server.certain = Reply(pieces=[text], tool_calls=forms)
        return self.chat_model(**fields)

    def llm(self, **fields: Any) -> OllamaLLM:
        return OllamaLLM(**{"model": "llama3.1:8b", "base_url": self.server.url, "temperature": 0, **fields})

    def embeddings(self, **fields: Any) -> OllamaEmbeddings:
        return OllamaEmbeddings(**{"model": "nomic-embed-text", "base_url": self.server.url, **fields})


# --- a brain for the double -------------------------------------------------------------------------------------------


class ThinkingDouble(OllamaDouble):
    """Answers each request by what it asks: tools are called when they are spoken of, schemas are filled."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = _Seen()
        self.certain: Reply | None = None

    @property
    def reply(self) -> Reply:
        return self.certain or think(self.seen.latest())

    @reply.setter
    def reply(self, reply: Reply) -> None:
        """The double sets one when it is made, which this one does not need."""


class _Seen(list[Any]):
    """The requests so far, which tells each thread of the server the one that it is working on."""

    def __init__(self) -> None:
        super().__init__()
        self._mine = threading.local()

    def append(self, request: Any) -> None:
        self._mine.body = request.body
        super().append(request)

    def latest(self) -> Any:
        return self._mine.body


def think(body: dict[str, Any]) -> Reply:
    """What a model would make of a request's body."""
    thinking = ["Let me ", "think."] if body.get("think") else []
    last = (body.get("messages") or [{"role": "user", "content": body.get("prompt", "")}])[-1]
    text = last["content"]
    numbers = [int(number) for number in re.findall(r"\d+", text)]
    form = body.get("format")
    if form:
        schema = form if isinstance(form, dict) else {"required": ["setup", "punchline"], "type": "object"}
        value = json.dumps(example(schema, numbers))
        return Reply(pieces=re.findall(r"\s*\S+", value), thinking=thinking)
    calls = [
        {"function": {"name": tool["name"], "arguments": example(tool["parameters"], numbers)}}
        for tool in (offered["function"] for offered in body.get("tools") or [])
        if last["role"] == "user" and any(word in text for word in tool["name"].split("_") if len(word) > 3)
    ]
    return Reply(pieces=[] if calls else None, tool_calls=calls, thinking=thinking)
