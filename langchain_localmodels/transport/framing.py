"""Cuts a stream of bytes into JSON events: `NDJSONDecoder` and `SSEDecoder`. No I/O; `http.py` brings the bytes.

The lines are cut here, on bytes, because httpx's `iter_lines` splits as `str.splitlines` does: it also breaks at
U+0085, U+2028 and other characters that may stand unescaped in JSON, so that one such character in an answer ends it.

Both decoders work alike. `feed` takes bytes as they come, cut anywhere, and gives the events that they complete;
`finish` is told that no more come. Where a line cannot be read, the events before it are still given and the error is
raised by the call after (`check` is such a call), so that how the bytes were cut never changes what a reader sees.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from pydantic_core import from_json

from langchain_localmodels.errors import EngineError, EngineUnreachableError, LocalModelError

Event: TypeAlias = dict[str, Any]
"""One JSON object of a stream."""

MAX_LINE = 16 * 1024 * 1024
"""Longest line taken, in bytes. Ollama's own client takes 8 MiB; without a bound a broken server fills the memory."""

EXCERPT = 200
"""How much of an unreadable line goes into the error message, in bytes."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class _LineDecoder:
    """Collects bytes, and remembers an error until the events before it have been given."""

    def __init__(self, max_line: int = MAX_LINE) -> None:
        self._buffer = bytearray()
        self._max_line = max_line
        self._error: LocalModelError | None = None

    def check(self) -> None:
        """Raise what is wrong with the bytes so far, if anything is.

        Raises:
            EngineError: A line is not a JSON object, or is too long.
            EngineUnreachableError: The stream ended inside a line.
        """
        if self._error is not None:
            raise self._error

    def _raise_or_give(self, events: list[Event]) -> list[Event]:
        if not events:
            self.check()
        return events

    def _whole_lines(self, lines: list[bytes], size: int) -> Iterable[bytes]:
        """Give the lines that are whole, and keep the beginning of the next.

        Args:
            lines: The new bytes, cut at the line ends: the first goes on where the last bytes ended, the last one goes
                on in the next.
            size: How many bytes they were.
        """
        longest = len(self._buffer) + size  # At most: no line has to be measured if this is no more than the bound.
        rest = lines.pop()
        if lines and self._buffer:
            lines[0] = bytes(self._buffer + lines[0])
            self._buffer.clear()
        self._buffer += rest
        return lines if longest <= self._max_line else self._up_to_the_bound(lines)

    def _up_to_the_bound(self, lines: list[bytes]) -> Iterator[bytes]:
        for line in lines:
            if len(line) > self._max_line:
                self._error = self._too_long()
                return
            yield line
        if self._error is None and len(self._buffer) > self._max_line:
            self._error = self._too_long()

    def _too_long(self) -> EngineError:
        return EngineError(f"The server sent a line of more than {self._max_line} bytes.")

    def _parse(self, line: bytes, *, at_end: bool = False) -> Event | None:
        try:
            value = from_json(line)
        except ValueError:
            try:
                # The judge of what is JSON: it takes halves of surrogate pairs, and nests more deeply.
                value = json.loads(line.decode("utf-8"))
            except (ValueError, RecursionError):
                return self._refuse(line, at_end=at_end)
        if not isinstance(value, dict):
            self._error = EngineError(f"The server sent JSON that is not an object: {excerpt(line)}")
            return None
        return value

    def _refuse(self, line: bytes, *, at_end: bool) -> Event | None:
        if line.startswith(_BYTE_ORDER_MARK):
            return self._parse(line.removeprefix(_BYTE_ORDER_MARK), at_end=at_end)
        if at_end:
            message = f"The connection broke off in the middle of a line: {excerpt(line)}"
            self._error = EngineUnreachableError(message)
        else:
            self._error = EngineError(f"The server sent a line that is not JSON: {excerpt(line)}")
        return None


class NDJSONDecoder(_LineDecoder):
    r"""Reads one JSON object per line, lines ended by `\n` and nothing else.

    Args:
        max_line: Longest line taken, in bytes.

    Example:
        ```python
        decoder = NDJSONDecoder()
        decoder.feed(b'{"a": 1}\n{"b"')  # [{"a": 1}]
        decoder.feed(b": 2}\n")  # [{"b": 2}]
        decoder.finish()  # []
        ```
    """

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes and give the events they complete.

        Raises:
            EngineError: An earlier line is not a JSON object, or is too long.
        """
        self.check()
        events: list[Event] = []
        for line in self._whole_lines(data.split(b"\n"), len(data)):
            if not line.strip():
                continue
            event = self._parse(line)
            if event is None:
                break
            events.append(event)
        return self._raise_or_give(events)

    def finish(self) -> list[Event]:
        r"""Hear that the stream has ended and give what that completes.

        A last object without its `\n` counts: Ollama answers so when there is nothing to generate.

        Raises:
            EngineUnreachableError: The stream ended inside a line.
            EngineError: An earlier line is not a JSON object, or is too long.
        """
        self.check()
        line = bytes(self._buffer)
        self._buffer.clear()
        event = self._parse(line, at_end=True) if line.strip() else None
        return self._raise_or_give([] if event is None else [event])


class SSEDecoder(_LineDecoder):
    r"""Reads server-sent events whose data are JSON objects.

    Lines end with `\n`, `\r\n` or `\r`; an event ends with an empty line; its `data` lines are joined; comments and
    other fields are skipped. What follows `data: [DONE]` is not read; whether an answer without it is whole is for the
    caller to say, since not every server sends it. A line `error: {…}`, which llama-server sent
    until September 2025 in place of an event, gives `{"error": {…}}`, as newer ones send it.

    Args:
        max_line: Longest line and longest event taken, in bytes.

    Attributes:
        done: Whether `[DONE]` has come.
    """

    def __init__(self, max_line: int = MAX_LINE) -> None:
        super().__init__(max_line)
        self.done = False
        self._data: list[bytes] = []
        self._data_size = 0
        self._after_cr = False
        self._first = True

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes and give the events they complete.

        Raises:
            EngineError: An earlier event is not a JSON object, or is too long.
        """
        self.check()
        if self.done or not data:
            return []
        if self._after_cr:  # The second half of a \r\n that was cut between two feeds.
            data = data.removeprefix(b"\n")
        self._after_cr = data.endswith(b"\r")
        lines = data.splitlines()  # On bytes this knows \n, \r and \r\n alone.
        if not data or data.endswith((b"\n", b"\r")):
            lines.append(b"")
        return self._raise_or_give(self._read_lines(lines, len(data)))

    def finish(self) -> list[Event]:
        """Hear that the stream has ended and give what that completes.

        A last event without its empty line counts, if it is whole.

        Raises:
            EngineUnreachableError: The stream ended inside an event.
            EngineError: An earlier event is not a JSON object, or is too long.
        """
        self.check()
        if self.done:
            return []
        events = self._read_lines([b"", b""], 0) if self._buffer else []  # As if its line end had come.
        return self._raise_or_give(events + self._last())

    def _read_lines(self, lines: list[bytes], size: int) -> list[Event]:
        events: list[Event] = []
        for given in self._whole_lines(lines, size):
            line = given
            if self._first:
                line = line.removeprefix(_BYTE_ORDER_MARK)
                self._first = False
            event = self._read_field(line) if line else self._dispatch()
            if event is not None:
                events.append(event)
            elif self.done or self._error is not None:
                break
        return events

    def _last(self) -> list[Event]:
        event = None if self._error is not None else self._dispatch(at_end=True)
        return [] if event is None else [event]

    def _read_field(self, line: bytes) -> Event | None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._data_size += len(value) + 1
            if self._data_size > self._max_line:
                self._error = EngineError(f"The server sent an event of more than {self._max_line} bytes.")
        elif name == b"error":
            event = self._parse(value)
            return None if event is None else {"error": event}
        return None

    def _dispatch(self, *, at_end: bool = False) -> Event | None:
        if self.done or not self._data:
            return None
        data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        self._data, self._data_size = [], 0
        if data.strip() == b"[DONE]":
            self.done = True
            return None
        return self._parse(data, at_end=at_end) if data.strip() else None


def excerpt(raw: bytes) -> str:
    """The beginning of `raw` as text that can stand in an error message."""
    text = raw[:EXCERPT].decode("utf-8", errors="replace").strip()
    return f"{text!r}…" if len(raw) > EXCERPT else repr(text)
