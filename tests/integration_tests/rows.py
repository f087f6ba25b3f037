"""One row per engine for the contract suite: how to make its objects on a model that is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from langchain_localmodels import ChatLlamaCpp, ChatOllama, LlamaCpp, LocalChatModel, LocalLLM, OllamaLLM
from langchain_localmodels.demo import model_path
from tests.doubles.ollama_server import OllamaDouble


@dataclass(frozen=True)
class Row:
    """What the contract suite needs to know of an engine.

    Attributes:
        llm: Makes the text-in, text-out model; keyword arguments are fields.
        chat: Makes the chat model.
        missing: Fields that name a model which is not there.
    """

    llm: Callable[..., LocalLLM]
    chat: Callable[..., LocalChatModel]
    missing: dict[str, Any]


@contextmanager
def llamacpp() -> Iterator[Row]:
    yield Row(
        llm=lambda **fields: LlamaCpp(**{"model_path": model_path, "temperature": 0, "n_threads": 1, **fields}),
        chat=lambda **fields: ChatLlamaCpp(**{"model_path": model_path, "temperature": 0, "n_threads": 1, **fields}),
        missing={"model_path": "/nowhere/model.gguf"},
    )


@contextmanager
def ollama() -> Iterator[Row]:
    with OllamaDouble() as server:
        fields = {"model": "llama3.1:8b", "base_url": server.url, "temperature": 0}
        yield Row(
            llm=lambda **more: OllamaLLM(**{**fields, **more}),
            chat=lambda **more: ChatOllama(**{**fields, **more}),
            missing={"model": "nobody-has-this"},
        )


ROWS = {"llamacpp": llamacpp, "ollama": ollama}
