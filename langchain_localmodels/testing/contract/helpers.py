"""What several areas of the contract suite need: listeners, tools, schemas, and messages put together from chunks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterable
from typing import Any, TypedDict, TypeVar

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.tools import tool
from pydantic import BaseModel, Field

KINDS = pytest.mark.parametrize("kind", ["llm", "chat"])
"""For tests that hold for both faces."""

_T = TypeVar("_T")


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine on an event loop of its own, so that the suite needs no plugin for asynchronous tests."""
    return asyncio.run(work)


def joined(chunks: Iterable[AIMessageChunk]) -> AIMessageChunk:
    """Put chunks together as LangChain does."""
    whole = None
    for chunk in chunks:
        whole = chunk if whole is None else whole + chunk
    assert isinstance(whole, AIMessageChunk), "the stream was empty"
    return whole


def text_of(answer: Any) -> str:
    """The text of an answer of either face."""
    return answer if isinstance(answer, str) else str(answer.text)


class Recorder(BaseCallbackHandler):
    """Writes down what callbacks are told, in order."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.tokens: list[str] = []
        self.chunks: list[Any] = []
        self.options: list[dict[str, Any]] = []

    def on_llm_start(self, *args: Any, **kwargs: Any) -> None:
        """Note it."""
        self.events.append("start")

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        """Note it, and what was bound."""
        self.events.append("start")
        self.options.append(kwargs.get("options") or {})

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, **kwargs: Any) -> None:
        """Note it."""
        self.events.append("token")
        self.tokens.append(token)
        self.chunks.append(chunk)

    def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        """Note it."""
        self.events.append("end")

    def on_llm_error(self, *args: Any, **kwargs: Any) -> None:
        """Note it."""
        self.events.append("error")


class Failing(Recorder):
    """Raises at the second token."""

    raise_error = True

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        """Note it, and raise."""
        super().on_llm_new_token(token, **kwargs)
        if len(self.tokens) == 2:
            raise ValueError("enough")


@tool
def magic_function(input: int) -> int:
    """Applies a magic function to an input."""
    return input + 2


@tool
def get_weather(location: str) -> str:
    """Get weather at a location."""
    return "It's sunny."


class Joke(BaseModel):
    """Joke to tell user."""

    setup: str = Field(description="question to set up a joke")
    punchline: str = Field(description="answer to resolve the joke")


class JokeDict(TypedDict):
    """Joke to tell user."""

    setup: str
    punchline: str


JOKE_SCHEMA: dict[str, Any] = {
    "title": "Joke",
    "description": "Joke to tell user.",
    "type": "object",
    "properties": {"setup": {"type": "string"}, "punchline": {"type": "string"}},
    "required": ["setup", "punchline"],
}


def arguments_fit(message: AIMessage) -> bool:
    """Whether every call of a message is of a tool above, with the arguments that it takes and an id."""
    wanted: dict[str, tuple[str, type]] = {"magic_function": ("input", int), "get_weather": ("location", str)}
    for call in message.tool_calls:
        name, kind = wanted.get(call["name"], ("", object))
        if set(call["args"]) != {name} or not isinstance(call["args"].get(name), kind) or not call["id"]:
            return False
    return True


def as_json(value: Any) -> str:
    """JSON, with anything else as its repr."""
    return json.dumps(value, default=repr)
