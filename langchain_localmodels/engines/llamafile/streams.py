"""`FlowStream`: several questions to a server as one stream, read by a thread or a task, and closed from anywhere.

A flow is a generator that says what to ask next and knows nothing of sockets; here it is driven, in two ways.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

from langchain_localmodels.engines.base import Delta, FinishDelta, VectorDelta
from langchain_localmodels.engines.llamafile.failures import explain
from langchain_localmodels.engines.llamafile.server import Ask
from langchain_localmodels.errors import LocalModelError
from langchain_localmodels.transport.answers import WholeAnswer
from langchain_localmodels.transport.http import HTTPTransport
from langchain_localmodels.transport.items import ItemStream
from langchain_localmodels.transport.stream import ByteStream


class Reader(Protocol):
    """Turns the bytes of one answer into deltas; see `answers.py`."""

    @property
    def done(self) -> bool:
        """Whether the answer has ended."""
        ...

    def feed(self, data: bytes) -> Iterator[Delta]:
        """Take the next bytes."""
        ...

    def finish(self) -> Iterator[Delta]:
        """Hear that there are no more."""
        ...


@dataclass(frozen=True, slots=True)
class Streamed:
    """A question whose answer is given to the caller as it comes.

    Attributes:
        path: Where to POST.
        payload: What to send.
        reader: What reads the answer.
    """

    path: str
    payload: Mapping[str, Any]
    reader: Reader


ItemT = TypeVar("ItemT", Delta, VectorDelta)
Flow: TypeAlias = "Generator[Ask | Streamed | Delta | VectorDelta, Any, Any]"
"""Yields what to ask, or what to give; is sent the answers to an `Ask`, or has its failure thrown in."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long, and how often.

    Attributes:
        timeout: Longest wait for the next bytes, in seconds; `None` for no limit.
        max_retries: How often a request is sent again; `None` for the default.
    """

    timeout: float | None
    max_retries: int | None = None


def run(transport: HTTPTransport, flow: Generator[Ask, Any, Any], limits: Limits) -> Any:
    """Drive a flow that only asks, from a thread, and give what it returns."""
    answer: Any = None
    failure: LocalModelError | None = None
    while True:
        try:
            step = flow.send(answer) if failure is None else flow.throw(failure)
        except StopIteration as end:
            return end.value
        answer, failure = None, None
        try:
            answer = transport.request_json(
                step.method,
                step.path,
                step.payload,
                timeout=limits.timeout,
                max_retries=limits.max_retries,
                explain=explain,
            )
        except LocalModelError as error:
            failure = error


class FlowStream(ItemStream[ItemT]):
    """One request of the contract; see `Stream`.

    Args:
        transport: Where to ask.
        flow: What to ask and to give.
        limits: How long to wait.
    """

    def __init__(self, transport: HTTPTransport, flow: Flow, limits: Limits) -> None:
        super().__init__()
        self._transport = transport
        self._flow = flow
        self._limits = limits

    def _read(self) -> Generator[ItemT, None, None]:
        step = self._start()
        while step is not None and not self._ended():
            answer: Any = None
            failure: LocalModelError | None = None
            if isinstance(step, Ask | Streamed):
                source = self._open(step)
                try:
                    if isinstance(step, Ask):
                        whole = self._whole()
                        for data in source:
                            whole.add(data)
                        answer = None if self._ended() else whole.parsed()
                    else:
                        yield from self._deltas(step.reader, source)
                except LocalModelError as error:
                    failure = error
                finally:
                    source.close()
            else:
                yield step  # type: ignore[misc]
            step = self._next(answer, failure)

    def _deltas(self, reader: Reader, source: ByteStream) -> Generator[Any, None, None]:
        for data in source:
            for delta in reader.feed(data):
                if isinstance(delta, FinishDelta):
                    source.finish()  # A reader that stops at the last delta leaves nothing open.
                if self._ended():
                    return
                yield delta
            if reader.done or self._ended():
                return
        if not self._ended():
            yield from reader.finish()

    async def _aread(self) -> AsyncGenerator[ItemT, None]:  # noqa: PLR0912 - see below why it is one
        step = self._start()
        while step is not None and not self._ended():
            answer: Any = None
            failure: LocalModelError | None = None
            if isinstance(step, Ask | Streamed):
                source = self._open(step)
                try:
                    if isinstance(step, Ask):
                        whole = self._whole()
                        async for data in source:
                            whole.add(data)
                        answer = None if self._ended() else whole.parsed()
                    else:
                        # Not in a generator of its own: tasks have no `yield from`, and each `async for` that a
                        # delta comes through takes its time.
                        reader = step.reader
                        async for data in source:
                            for delta in reader.feed(data):
                                if isinstance(delta, FinishDelta):
                                    await source.afinish()
                                if self._ended():
                                    return
                                yield delta  # type: ignore[misc]
                            if reader.done or self._ended():
                                break
                        else:
                            if not self._ended():
                                for delta in reader.finish():
                                    yield delta  # type: ignore[misc]
                except LocalModelError as error:
                    failure = error
                finally:
                    await source.aclose()
            else:
                yield step  # type: ignore[misc]
            step = self._next(answer, failure)

    def _start(self) -> Ask | Streamed | Delta | VectorDelta | None:
        return None if self._ended() else next(self._flow, None)

    def _next(self, answer: Any, failure: LocalModelError | None) -> Ask | Streamed | Delta | VectorDelta | None:
        if self._ended():
            return None
        try:
            return self._flow.send(answer) if failure is None else self._flow.throw(failure)
        except StopIteration:
            return None

    def _open(self, step: Ask | Streamed) -> ByteStream:
        source = self._transport.stream(
            step.method if isinstance(step, Ask) else "POST",
            step.path,
            step.payload,
            timeout=self._limits.timeout,
            max_retries=self._limits.max_retries,
            explain=explain,
        )
        return self._hold(source)

    def _whole(self) -> WholeAnswer:
        return WholeAnswer(self._transport.place, _MOST_JSON)


_MOST_JSON = 1 << 30
"""Longest JSON answer, in bytes."""
