"""What several files share: the Ollama double as the server that is found, both classes on it, a faulty llama.cpp."""

from __future__ import annotations

import threading

import pytest

from langchain_localmodels import ChatOllama, OllamaLLM
from langchain_localmodels.errors import EngineError
from tests.doubles.ollama_server import OllamaDouble


@pytest.fixture
def server(monkeypatch):
    with OllamaDouble() as double:
        monkeypatch.setenv("OLLAMA_HOST", f"127.0.0.1:{double.port}")
        yield double
        double.wait_until("open_connections", 0)  # Whatever a test did, no connection outlives it.


@pytest.fixture(params=[OllamaLLM, ChatOllama])
def model(request, server):
    with request.param(model="llama3.1:8b") as made:
        yield made


@pytest.fixture
def fail_next_decode(monkeypatch):
    """Makes the next computation of llama.cpp fail, and no other, once it is called."""
    from langchain_localmodels.engines.llamacpp.binding.context import Context

    decode = Context.decode
    fail = threading.Event()

    def failing(self, batch):
        if fail.is_set():
            fail.clear()
            raise EngineError("llama.cpp failed to decode (code -3).")
        return decode(self, batch)

    monkeypatch.setattr(Context, "decode", failing)
    return fail.set
