"""`OllamaEmbeddingEngine`: an embedding model on an Ollama server, behind the engine contract.

Owns the two drivers, for threads and for tasks, of the one flow of questions in `vectors.py`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from functools import partial
from typing import Any

from langchain_localmodels.engines.base import Capabilities, EmbeddingRequest, Engine, VectorDelta
from langchain_localmodels.engines.ollama.address import base_url as read_address
from langchain_localmodels.engines.ollama.failures import explain
from langchain_localmodels.engines.ollama.transports import Transports
from langchain_localmodels.engines.ollama.vectors import Ask, EmbeddingPlan, Known, Step, embedding
from langchain_localmodels.errors import EngineClosedError, LocalModelError
from langchain_localmodels.transport.answers import WholeAnswer
from langchain_localmodels.transport.http import HTTPTransport
from langchain_localmodels.transport.items import ItemStream
from langchain_localmodels.transport.stream import ByteStream

_MOST_ANSWER = 1 << 30
"""Longest answer, in bytes: a bound for broken servers, far above any batch of vectors."""


class OllamaEmbeddingEngine(Engine):
    """One embedding model on an Ollama server.

    Args:
        plan: What all requests have in common.
        base_url: Where the server is, by the rules of `OLLAMA_HOST`; `None` for this machine.
        max_retries: How often a request is sent again when nothing came of it; `None` for the default.
        client_options: Arguments for httpx's clients of threads.
        async_client_options: The same for those of tasks; `None` for the same arguments.

    Raises:
        InvalidRequestError: `base_url` cannot be read.
    """

    def __init__(
        self,
        plan: EmbeddingPlan,
        *,
        base_url: str | None = None,
        max_retries: int | None = None,
        client_options: Mapping[str, Any] | None = None,
        async_client_options: Mapping[str, Any] | None = None,
    ) -> None:
        self._plan = plan
        self._max_retries = max_retries
        self._known = Known()
        self._transports = Transports(read_address(base_url), client_options, async_client_options)

    def embed(self, request: EmbeddingRequest) -> OllamaVectorStream:
        """See `Engine.embed`. Nothing is sent before the first read."""

        def begin(transport: HTTPTransport, ask: Ask) -> ByteStream:
            return transport.stream(
                "POST",
                ask.path,
                ask.payload,
                timeout=request.timeout,
                max_retries=self._max_retries,
                explain=ask.explain,
            )

        return OllamaVectorStream(
            embedding(request, self._plan, self._known),
            partial(begin, self._transports.threads),
            partial(begin, self._transports.tasks),
            self._transports.threads.place,
        )

    def capabilities(self) -> Capabilities:
        """See `Engine.capabilities`. Asks nothing."""
        return Capabilities(
            tools="prompt",
            constrain="none",
            tokenizer=False,
            chat=False,
            embeds=True,
            context_window=self._plan.options.get("num_ctx"),
        )

    def load(self) -> None:
        """Check that the server is there and has the model. Its weights load with the first request.

        Raises:
            EngineUnreachableError: The server is not there.
            ModelMissingError: It does not have the model.
        """
        model = self._plan.model
        self._transports.threads.request_json(
            "POST",
            "/api/show",
            {"model": model},
            max_retries=self._max_retries,
            explain=partial(explain, model=model),
        )

    def close(self) -> None:
        """End all running requests with `EngineClosedError`. The model stays on the server, as `keep_alive` says."""

        def error() -> LocalModelError:
            return EngineClosedError(f"The model {self._plan.model!r} was closed while it embedded.")

        self._transports.close(error)


class OllamaVectorStream(ItemStream[VectorDelta]):
    """The vectors of one request as they come; see `Stream`.

    Args:
        flow: What is asked, and what is made of the answers.
        begin: Makes a request that a thread reads.
        abegin: The same for a task.
        place: The server's name and address.
    """

    def __init__(
        self,
        flow: Generator[Step, Any, None],
        begin: Callable[[Ask], ByteStream],
        abegin: Callable[[Ask], ByteStream],
        place: str,
    ) -> None:
        super().__init__()
        self._flow = flow
        self._begin = begin
        self._abegin = abegin
        self._place = place

    def _read(self) -> Generator[VectorDelta, None, None]:
        answer: object = None
        while (step := self._next(answer)) is not None:
            answer = None
            if not isinstance(step, Ask):
                yield from self._while_open(step)
                continue
            source = self._hold(self._begin(step))
            whole = WholeAnswer(self._place, _MOST_ANSWER)
            try:
                for data in source:
                    whole.add(data)
                answer = None if self._ended() else whole.parsed()
            except LocalModelError as error:
                answer = error
            finally:
                source.close()

    async def _aread(self) -> AsyncGenerator[VectorDelta, None]:
        answer: object = None
        while (step := self._next(answer)) is not None:
            answer = None
            if not isinstance(step, Ask):
                for delta in self._while_open(step):
                    yield delta
                continue
            source = self._hold(self._abegin(step))
            whole = WholeAnswer(self._place, _MOST_ANSWER)
            try:
                async for data in source:
                    whole.add(data)
                answer = None if self._ended() else whole.parsed()
            except LocalModelError as error:
                answer = error
            finally:
                await source.aclose()

    def _next(self, answer: object) -> Step | None:
        """Go on with what came of the last step; `None` at the end."""
        if self._ended() and not isinstance(answer, LocalModelError):
            return None
        try:
            return self._flow.throw(answer) if isinstance(answer, LocalModelError) else self._flow.send(answer)
        except StopIteration:
            return None

    def _while_open(self, deltas: list[VectorDelta]) -> Iterator[VectorDelta]:
        for delta in deltas:
            if self._ended():
                return
            yield delta
