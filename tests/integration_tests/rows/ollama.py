"""Ollama's row of the contract suite."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from langchain_localmodels import ChatOllama, OllamaEmbeddings, OllamaLLM
from langchain_localmodels.testing.contract import EngineContractTests
from tests.doubles.ollama_server import OllamaDouble, Reply
from tests.ollama_server import ollama_embedding_model, ollama_model, ollama_url


class OllamaRow(EngineContractTests):
    """Ollama with the demo models: the server that OLLAMA_HOST names, or the double."""

    engine = "ollama"
    missing = {"model": "nobody-has-this"}
    other_model = f"{ollama_model()}:latest"  # another name of the same model, which the answer tells

    @pytest.fixture(autouse=True)
    def _scripted(self) -> Iterator[None]:
        """A server for what the demo model does not do: think, and write certain calls."""
        with OllamaDouble() as self.scripted:
            self.scripted.reply = Reply(thinking=["I know ", "that."], pieces=["Neil ", "Armstrong."])
            yield

    @property
    def thinking(self) -> dict[str, Any]:  # type: ignore[override]
        return {"model": "llama3.1:8b", "base_url": self.scripted.url, "reasoning": True}

    def chat_model(self, **fields: Any) -> ChatOllama:
        return ChatOllama(**{"model": ollama_model(), "base_url": ollama_url(), "temperature": 0, **fields})

    def chat_model_that_writes(self, text: str, calls: Sequence[tuple[str, str]], **fields: Any) -> ChatOllama:
        try:
            forms = [{"function": {"name": name, "arguments": dict(json.loads(given))}} for name, given in calls]
        except (ValueError, TypeError):
            pytest.skip("ollama: the server reads calls itself, and gives those that it can read")
        self.scripted.reply = Reply(pieces=[text], tool_calls=forms)
        return self.chat_model(model="llama3.1:8b", base_url=self.scripted.url, **fields)

    def llm(self, **fields: Any) -> OllamaLLM:
        return OllamaLLM(**{"model": ollama_model(), "base_url": ollama_url(), "temperature": 0, **fields})

    def embeddings(self, **fields: Any) -> OllamaEmbeddings:
        return OllamaEmbeddings(**{"model": ollama_embedding_model(), "base_url": ollama_url(), **fields})
