"""What tests against servers share: the four ways to ask a LangChain model, and a port where nobody answers."""

from __future__ import annotations

import asyncio
import socket

import pytest

from langchain_localmodels.errors import LocalModelError


def text_of(answer) -> str:
    return answer if isinstance(answer, str) else answer.text


def drivers(model, prompt, **more) -> dict[str, str]:
    """The text of the answer by each of the four ways to ask."""

    async def astream():
        return "".join([text_of(chunk) async for chunk in model.astream(prompt, **more)])

    return {
        "invoke": text_of(model.invoke(prompt, **more)),
        "stream": "".join(text_of(chunk) for chunk in model.stream(prompt, **more)),
        "ainvoke": text_of(asyncio.run(model.ainvoke(prompt, **more))),
        "astream": asyncio.run(astream()),
    }


def failures(model, prompt="Hello") -> list[Exception]:
    """The error of each of the four ways to ask."""

    async def astream():
        return [chunk async for chunk in model.astream(prompt)]

    asked = [
        lambda: model.invoke(prompt),
        lambda: list(model.stream(prompt)),
        lambda: asyncio.run(model.ainvoke(prompt)),
        lambda: asyncio.run(astream()),
    ]
    errors = []
    for ask in asked:
        with pytest.raises(LocalModelError) as caught:
            ask()
        errors.append(caught.value)
    return errors


def free_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]
