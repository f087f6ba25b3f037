"""What sending a request takes, step by step, and the two drivers that take the steps: for threads and for tasks.

A flow (see `stream.py`) is a generator that gives steps and is given their outcomes. It decides; the steps act; so that
what is decided is written once for both drivers.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar


class Step(Protocol):
    """Something that takes time."""

    def do(self) -> Any:
        """Do it in a thread."""
        ...

    async def ado(self) -> Any:
        """Do it in a task."""
        ...


ResultT = TypeVar("ResultT")
Flow: TypeAlias = Generator[Step, Any, ResultT]


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait until woken, or for so many seconds."""

    waiter: Any
    seconds: float | None

    def do(self) -> None:
        """Wait in a thread."""
        self.waiter.wait(self.seconds)

    async def ado(self) -> None:
        """Wait in a task."""
        await self.waiter.wait(self.seconds)


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request and give the response as soon as its status is known."""

    client: Any
    request: Any

    def do(self) -> Any:
        """Send from a thread."""
        return self.client.send(self.request, stream=True)

    async def ado(self) -> Any:
        """Send from a task."""
        return await self.client.send(self.request, stream=True)


@dataclass(frozen=True, slots=True)
class ReadBeginning:
    """Add the beginning of a body to `body`, of about `most` bytes: an error's text may be endless."""

    response: Any
    most: int
    body: bytearray

    def do(self) -> None:
        """Read in a thread."""
        for chunk in self.response.iter_bytes():
            if self._is_enough(chunk):
                return

    async def ado(self) -> None:
        """Read in a task."""
        async with aclosing(self.response.aiter_bytes()) as chunks:
            async for chunk in chunks:
                if self._is_enough(chunk):
                    return

    def _is_enough(self, chunk: bytes) -> bool:
        self.body.extend(chunk[: self.most - len(self.body)])
        return len(self.body) >= self.most


@dataclass(frozen=True, slots=True)
class Close:
    """Close a response or a client."""

    what: Any

    def do(self) -> None:
        """Close in a thread."""
        self.what.close()

    async def ado(self) -> None:
        """Close in a task."""
        await self.what.aclose()


def drive(flow: Flow[ResultT]) -> ResultT:
    """Take the steps of a flow in a thread, and give its result."""
    try:
        step = next(flow)
        while True:
            try:
                outcome = step.do()
            except Exception as error:  # noqa: BLE001 - the flow decides what becomes of it
                step = flow.throw(error)
            else:
                step = flow.send(outcome)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


async def adrive(flow: Flow[ResultT]) -> ResultT:
    """Take the steps of a flow in a task, and give its result."""
    try:
        step = next(flow)
        while True:
            try:
                outcome = await step.ado()
            except Exception as error:  # noqa: BLE001 - the flow decides what becomes of it
                step = flow.throw(error)
            else:
                step = flow.send(outcome)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
