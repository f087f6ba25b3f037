"""Errors: one tree, each with a hint, whichever way the model is asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.exceptions import ModelError
from langchain_core.messages import AIMessage, HumanMessage

from langchain_localmodels.errors import (
    InvalidRequestError,
    LocalModelError,
    PromptTooLongError,
    UnsupportedContentError,
)
from langchain_localmodels.testing.contract.base import EngineContract
from langchain_localmodels.testing.contract.helpers import KINDS, run, text_of


class ErrorContract(EngineContract):
    """What is wrong is told at once, by the same classes of errors, and never by an empty answer."""

    @KINDS
    def test_a_missing_model(self, kind: str) -> None:
        """A model that is not there is an error of LangChain's tree, with a hint, however it is asked for."""

        def ask() -> list[Callable[[], Any]]:
            # Some engines see it at construction, others at the first request.
            model, prompt = self.model(kind, **self.missing), self.prompt(kind)

            async def stream() -> list[Any]:
                return [piece async for piece in model.astream(prompt)]

            return [
                lambda: model.invoke(prompt),
                lambda: list(model.stream(prompt)),
                lambda: run(model.ainvoke(prompt)),
                lambda: run(stream()),
                lambda: model.batch([prompt, prompt]),
                model.load,
            ]

        try:
            ways = ask()
        except ModelError as error:
            _check(error)
            return
        for way in ways:
            with pytest.raises(ModelError) as caught:
                way()
            _check(caught.value)

    @KINDS
    def test_errors_in_a_batch(self, kind: str) -> None:
        """`return_exceptions` gives an error in the place of the one input that is wrong."""
        model, prompt = self.model(kind), self.prompt(kind)
        wrong: Any = "" if kind == "llm" else []
        first, error, last = model.batch([prompt, wrong, prompt], return_exceptions=True)
        assert isinstance(error, InvalidRequestError)
        assert text_of(first) == text_of(last) == text_of(model.invoke(prompt))

    def test_empty_input(self) -> None:
        """There is no answer to nothing."""
        with pytest.raises(InvalidRequestError):
            self.llm().invoke("")
        with pytest.raises(InvalidRequestError):
            self.chat_model().invoke([])
        with pytest.raises(InvalidRequestError):
            self.chat_model().invoke([HumanMessage("")])

    def test_content_that_no_local_model_reads(self) -> None:
        """Content that cannot be given to the model is refused, not left out."""
        audio = {"type": "audio", "base64": "AAAA", "mime_type": "audio/wav"}
        with pytest.raises(UnsupportedContentError) as caught:
            self.chat_model().invoke([HumanMessage([{"type": "text", "text": "What is this?"}, audio])])
        _check(caught.value)

    def test_images_where_there_is_no_eye(self) -> None:
        """An engine without images refuses them."""
        self.need(not self.capabilities.images, "it reads images")
        image = {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"}
        with pytest.raises(InvalidRequestError) as caught:
            self.chat_model().invoke([HumanMessage([{"type": "text", "text": "What is this?"}, image])])
        _check(caught.value)

    def test_a_prompt_that_is_too_long(self) -> None:
        """Where the window is known, a prompt that leaves no room is an error with both numbers."""
        window = self.capabilities.context_window
        self.need(window is not None, "the engine does not tell its context window")
        with pytest.raises(PromptTooLongError) as caught:
            self.chat_model().invoke("word " * (window or 0))
        assert caught.value.context_window == window
        assert caught.value.prompt_tokens is None or caught.value.prompt_tokens >= (window or 0)
        _check(caught.value)

    def test_a_conversation_goes_in_whole(self) -> None:
        """System, user and assistant messages, with names, several of a kind in a row, all are accepted."""
        conversation: list[Any] = [
            ("system", "Answer briefly."),
            ("human", "Hello"),
            AIMessage("Hello! How can I help you?"),
            HumanMessage("hi", name="example_user"),
            HumanMessage([{"type": "text", "text": self.question}]),
        ]
        assert self.chat_model().invoke(conversation).text


def _check(error: Exception) -> None:
    assert isinstance(error, LocalModelError), f"{error!r} is none of this package's errors"
    assert error.message
    assert error.hint, f"{error!r} does not say what to do"
