"""What parent and child say to each other, and how it is framed: a length, then a pickled tuple.

Pickles are safe here as far as both ends are one program of one user. The child keeps crashes away, not attackers.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, TypeAlias

from langchain_localmodels.engines.base import Engine
from langchain_localmodels.errors import EngineError

_LENGTH = struct.Struct("!Q")

Message: TypeAlias = tuple[Any, ...]
"""To the child: `("open", recipe, level of the logs)` first; then `("begin", id, method, request)` for a stream,
`("close", id)` to end it, `("call", id, method, arguments)`. From the child: `("items", id, items)`, `("end", id)`,
`("done", id, value)`, `("fail", id, error)`, `("log", record)`."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How an engine is made.

    Attributes:
        kind: Its class, or a function of a module.
        config: The one argument, a plain frozen value: engines of equal recipes share a process.
    """

    kind: Callable[[Any], Engine]
    config: Any

    def make(self) -> Engine:
        """Make the engine."""
        return self.kind(self.config)


def encode(message: Message) -> bytes:
    """Give the bytes of a message. An error that cannot be pickled is told in words."""
    try:
        body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        if message[0] == "fail":
            pickle.loads(body)  # some errors can be written but not read
    except Exception as error:
        if message[0] != "fail":
            raise
        said = EngineError(f"{type(message[2]).__name__}: {message[2]}")
        said.__cause__ = error
        body = pickle.dumps(("fail", message[1], said), pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(body)) + body


def read_message(source: IO[bytes]) -> Message | None:
    """Wait for the next message; `None` at the end, also where that comes in the middle of one."""
    head = _exactly(source, _LENGTH.size)
    body = _exactly(source, *_LENGTH.unpack(head)) if head is not None else None
    return None if body is None else pickle.loads(body)


def _exactly(source: IO[bytes], count: int) -> bytes | None:
    data = bytearray()
    while len(data) < count:
        piece = source.read(count - len(data))
        if not piece:
            return None
        data += piece
    return bytes(data)
