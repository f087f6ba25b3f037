"""`OllamaEngine`: one model on an Ollama server, behind the engine contract.

Owns which endpoint serves what, and the two drivers, for threads and for tasks, of the one parser in `answers.py`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from langchain_localmodels.engines.base import (
    Capabilities,
    ChatRequest,
    CompletionRequest,
    Delta,
    Engine,
    FinishDelta,
)
from langchain_localmodels.engines.ollama.address import base_url as read_address
from langchain_localmodels.engines.ollama.answers import AnswerReader
from langchain_localmodels.engines.ollama.extras import OllamaExtras
from langchain_localmodels.engines.ollama.failures import explain
from langchain_localmodels.engines.ollama.knowledge import Knowledge, read_details, recall, remember, running_window
from langchain_localmodels.engines.ollama.requests import chat_payload, generate_payload
from langchain_localmodels.engines.ollama.silent_faults import fault_check
from langchain_localmodels.engines.ollama.transports import Transports
from langchain_localmodels.errors import EngineClosedError, LocalModelError
from langchain_localmodels.transport.http import HTTPTransport
from langchain_localmodels.transport.items import ItemStream
from langchain_localmodels.transport.stream import ByteStream

__all__ = ["OllamaEngine", "OllamaExtras", "OllamaStream"]


class OllamaEngine(Engine):
    """One model on an Ollama server.

    Args:
        model: The model's name, as `ollama list` gives it.
        base_url: Where the server is, by the rules of `OLLAMA_HOST`; `None` for this machine.
        context_window: Size of the context window that requests ask for, in tokens, where that is known.
        client_options: Arguments for httpx's clients of threads, such as `headers`, `auth` or `verify`.
        async_client_options: The same for those of tasks; `None` for the same arguments.

    Raises:
        InvalidRequestError: `base_url` cannot be read.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        context_window: int | None = None,
        client_options: Mapping[str, Any] | None = None,
        async_client_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.model = model
        self._context_window = context_window
        self._url = read_address(base_url)
        self._transports = Transports(self._url, client_options, async_client_options)

    def chat(self, request: ChatRequest) -> OllamaStream:
        """Begin to answer a conversation. Nothing is sent before the first read."""
        return self._stream("/api/chat", request, partial(chat_payload, request))

    def complete(self, request: CompletionRequest) -> OllamaStream:
        """Begin to continue a text, with the model's own template around it. Nothing is sent before the first read."""
        return self._stream("/api/generate", request, partial(generate_payload, request))

    def capabilities(self) -> Capabilities:
        """What Ollama can do. What this model cannot, the server tells when it is asked for it, or `load` has asked."""
        known = recall(self._url, self.model)
        return Capabilities(
            tools="native",
            constrain="schema",
            tokenizer=False,
            images=known is None or known.details.can("vision") is not False,
            audio=known is None or known.details.can("audio") is not False,
            context_window=known.context_window(self._context_window) if known else self._context_window,
        )

    def load(self) -> None:
        """Check that the server is there and has the model, and learn what that can do.

        Its weights load with the first request.

        Raises:
            EngineUnreachableError: The server is not there.
            ModelMissingError: It does not have the model.
        """
        answer = self._transports.threads.request_json(
            "POST", "/api/show", {"model": self.model}, explain=partial(explain, model=self.model)
        )
        details = read_details(self.model, answer)
        window = None
        if self._context_window is None and not details.remote:
            with suppress(LocalModelError):  # Not all servers tell, and nothing depends on it.
                window = running_window(self.model, self._transports.threads.request_json("GET", "/api/ps"))
        remember(self._url, self.model, Knowledge(details, window))

    def close(self) -> None:
        """End all running requests with `EngineClosedError`. The model stays on the server, as `keep_alive` says."""
        self._transports.close(lambda: EngineClosedError(f"The model {self.model!r} was closed while it answered."))

    def _stream(
        self, path: str, request: ChatRequest | CompletionRequest, payload: Callable[[str], dict[str, Any]]
    ) -> OllamaStream:
        settings = request.settings
        model = settings.model or self.model

        def begin(transport: HTTPTransport) -> ByteStream:
            extras = settings.extras
            return transport.stream(
                "POST",
                path,
                payload(model),
                timeout=settings.timeout,
                max_retries=extras.max_retries if isinstance(extras, OllamaExtras) else None,
                explain=partial(explain, model=model),
            )

        return OllamaStream(
            partial(begin, self._transports.threads),
            partial(begin, self._transports.tasks),
            partial(
                AnswerReader,
                model,
                one_call=isinstance(request, ChatRequest) and not request.parallel_tool_calls,
                raw=isinstance(settings.extras, OllamaExtras) and bool(settings.extras.generate.get("raw")),
            ),
            fault_check(request, model, self._window_of(request)),
        )

    def _window_of(self, request: ChatRequest | CompletionRequest) -> int | None:
        extras = request.settings.extras
        asked: Any = {"num_ctx": extras.num_ctx, **extras.options} if isinstance(extras, OllamaExtras) else {}
        return asked.get("num_ctx") or self._context_window


class OllamaStream(ItemStream[Delta]):
    """One answer as it is made; see `Stream`.

    Args:
        begin: Makes the request of a thread, at the first read.
        abegin: The same for a task.
        answer: Makes what reads the answer.
        check: Hears of the end of the answer.
    """

    def __init__(
        self,
        begin: Callable[[], ByteStream],
        abegin: Callable[[], ByteStream],
        answer: Callable[[], AnswerReader],
        check: Callable[[FinishDelta, AnswerReader], None],
    ) -> None:
        super().__init__()
        self._begin = begin
        self._abegin = abegin
        self._answer = answer
        self._check = check

    def _read(self) -> Generator[Delta, None, None]:
        if self._ended():
            return
        answer, source = self._answer(), self._hold(self._begin())
        try:
            for data in source:
                for delta in answer.feed(data):
                    if isinstance(delta, FinishDelta):
                        self._check(delta, answer)
                        source.finish()  # A reader that stops at the last delta leaves nothing open.
                    if self._ended():
                        return
                    yield delta
                if answer.done or self._ended():
                    return
            if not self._ended():
                yield from answer.finish()
        finally:
            source.close()

    async def _aread(self) -> AsyncGenerator[Delta, None]:
        if self._ended():
            return
        answer, source = self._answer(), self._hold(self._abegin())
        try:
            async for data in source:
                for delta in answer.feed(data):
                    if isinstance(delta, FinishDelta):
                        self._check(delta, answer)
                        await source.afinish()
                    if self._ended():
                        return
                    yield delta
                if answer.done or self._ended():
                    return
            if not self._ended():
                for delta in answer.finish():
                    yield delta
        finally:
            await source.aclose()
