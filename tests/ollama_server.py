"""The Ollama that tests talk to: the server that OLLAMA_HOST names, or else our double with the demo models.

Tests of faults, and of what a request holds, take a double of their own (`tests/doubles/ollama_server.py`).
"""

from __future__ import annotations

import atexit
import json
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from langchain_localmodels import OllamaServer
from langchain_localmodels.demo import embedding_model_path, model_path
from tests.doubles.ollama_children import Children
from tests.doubles.ollama_llama import LlamaBrain
from tests.doubles.ollama_server import OllamaDouble
from tests.llama_server import embedding_server, ollama_chat_server, program

HOST = os.environ.get("OLLAMA_HOST")
"""The true server, as it was named before any test named another."""

CHAT, EMBEDDING = "demo", "demo-embed"
RECORDED = Path(__file__).parent / "recorded" / "ollama"


def ollama_url() -> str:
    """The server's address."""
    if HOST is None:
        return demo_double().url
    _make_models(HOST)
    return HOST


def ollama_model() -> str:
    """The name of the demo chat model there."""
    return CHAT


def ollama_embedding_model() -> str:
    """The name of the demo embedding model there."""
    return EMBEDDING


@contextmanager
def serving(*names: str) -> Iterator[str]:
    """The address of a server that has models of these names: where it lacks one, the demo model is copied."""
    if HOST is None:
        with with_demo_models(*names) as double:
            yield double.url
        return
    with OllamaServer(ollama_url()) as server:
        there = {model.name for model in server.list()}
        missing = [name for name in names if name not in there]
        try:
            for name in missing:
                server.copy(CHAT, name)
            yield HOST
        finally:
            for name in missing:
                server.delete(name)


def need_true_ollama() -> str:
    """The address of a true server with the demo models, or a skip."""
    if HOST is None:
        pytest.skip("there is no Ollama here: name one in OLLAMA_HOST")
    return ollama_url()


@cache
def demo_double() -> OllamaDouble:
    """The double with the demo models, for all tests of a run."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(with_demo_models())


def with_demo_models(*more: str) -> OllamaDouble:
    """Make a double that serves the demo models, the one that writes under more names as well.

    What it says of them a true server has said.
    """
    program()  # The double's threads could not skip a test.
    double = OllamaDouble(brain=brain())
    shown, shown_embedding = _recorded("show"), _recorded("show_embedding")
    double.models = {CHAT, EMBEDDING, *more}
    double.shown_of = {**dict.fromkeys((CHAT, *more), shown), EMBEDDING: shown_embedding}
    double.running = _recorded("ps")["models"]
    return double


@cache
def brain() -> LlamaBrain:
    """The demo models behind the double."""
    lock = threading.Lock()

    def chat(window: int, shift: bool) -> str:
        with lock:
            return ollama_chat_server(window, shift=shift).url

    def embedding() -> str:
        with lock:
            return embedding_server().url

    return LlamaBrain(Children(chat, embedding, window=2048, embedding_window=512))


def _recorded(name: str) -> Any:
    return json.loads(json.loads((RECORDED / f"{name}.json").read_text())["body"])


@cache
def _make_models(host: str) -> None:
    with OllamaServer(host) as server:
        there = {model.name.removesuffix(":latest") for model in server.list()}
        for name, path in ((CHAT, model_path), (EMBEDDING, embedding_model_path)):
            if name not in there:
                server.create(name, path, show_progress=False)
