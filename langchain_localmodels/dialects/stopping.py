"""Finding strings in text that arrives in pieces: stop strings, and the marks that open and close things.

Owns the search and the decision what to hold back; what a find means is left to `reader.py`. Of several finds the one
that is complete first wins, as if the text came one character at a time: the result never depends on where pieces end.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Match(NamedTuple):
    """A string that was found: where it starts, where it ends, and which it is."""

    start: int
    end: int
    marker: str


def first_match(text: str, markers: Iterable[str]) -> Match | None:
    """The marker that is complete first; of those that end at one place the longest."""
    found = (Match(start, start + len(marker), marker) for marker in markers if (start := text.find(marker)) >= 0)
    return min(found, key=lambda match: (match.end, match.start), default=None)


def held_back(text: str, markers: Iterable[str]) -> int:
    """Length of the longest end of `text` that could be the beginning of a marker."""
    longest = 0
    for marker in markers:
        for length in range(min(len(marker) - 1, len(text)), longest, -1):
            if marker.startswith(text[-length:]):
                longest = length
                break
    return longest


class StopMatcher:
    r"""Lets text through up to the first stop string.

    Args:
        stops: The stop strings; empty ones mean nothing.

    Attributes:
        stopped: Whether a stop string was met. What comes after it is ignored.

    Example:
        ```python
        matcher = StopMatcher(["\nUser:"])
        matcher.feed("Hello\nUs")  # "Hello"
        matcher.feed("ual")  # "\nUsual"
        matcher.finish()  # ""
        ```
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._pending = ""
        self.stopped = False

    def feed(self, text: str) -> str:
        """Take a piece and give what can be let through now."""
        if self.stopped:
            return ""
        self._pending += text
        match = first_match(self._pending, self._stops)
        if match is not None:
            self.stopped = True
            released, self._pending = self._pending[: match.start], ""
            return released
        cut = len(self._pending) - held_back(self._pending, self._stops)
        released, self._pending = self._pending[:cut], self._pending[cut:]
        return released

    def finish(self) -> str:
        """Give what was held back: no more text will come."""
        released, self._pending = self._pending, ""
        return released
