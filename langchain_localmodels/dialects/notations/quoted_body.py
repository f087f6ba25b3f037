"""A body in which strings stand between marks of their own."""

from __future__ import annotations

from langchain_localmodels.dialects.notations.bodies import Body
from langchain_localmodels.dialects.stopping import first_match, held_back


class QuotedBody(Body):
    """A body that ends with a mark outside of its strings.

    Args:
        quote: What begins and ends a string.
        closing: Mark that ends the body and is dropped.
        reopening: Mark that begins the next one, and so ends this one when its own was forgotten.
    """

    def __init__(self, quote: str, closing: str, reopening: str) -> None:
        super().__init__()
        self._quote = quote
        self._closing = closing
        self._reopening = reopening
        self._tail = ""
        self._is_quoted = False

    def feed(self, text: str) -> str | None:
        """See `Body.feed`."""
        self._tail += text
        while True:
            marks = [self._quote] if self._is_quoted else [self._quote, self._closing, self._reopening]
            match = first_match(self._tail, marks)
            if match is None:
                cut = len(self._tail) - held_back(self._tail, marks)
                self._parts.append(self._tail[:cut])
                self._tail = self._tail[cut:]
                return None
            end = match.end if match.marker == self._quote else match.start
            self._parts.append(self._tail[:end])
            rest, self._tail = self._tail[match.end :], ""
            if match.marker == self._reopening:
                return match.marker + rest
            if match.marker == self._closing:
                return rest
            self._is_quoted = not self._is_quoted
            self._tail = rest

    def endings(self) -> list[tuple[str, str]]:
        """See `Body.endings`: without the beginning of a mark at its end, with it, or up to a mark in a string."""
        certain, whole = self.text, self.text + self._tail
        found = [(certain, ""), (whole, "")] if self._tail else [(whole, "")]
        match = first_match(whole, [self._closing, self._reopening])
        if match is not None:
            rest = whole[match.end :]
            found.append((whole[: match.start], match.marker + rest if match.marker == self._reopening else rest))
        return found
