"""What the tests of Ollama share: the double as the server that is found, and both classes on it."""

from __future__ import annotations

import pytest

from langchain_localmodels import ChatOllama, OllamaLLM
from tests.doubles.ollama_server import OllamaDouble


@pytest.fixture
def server(monkeypatch):
    with OllamaDouble() as double:
        monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{double.port}")
        yield double
        double.wait_until("open_connections", 0)  # Whatever a test did, no connection outlives it.


@pytest.fixture(params=[OllamaLLM, ChatOllama])
def model(request, server):
    return request.param(model="llama3.1:8b")
