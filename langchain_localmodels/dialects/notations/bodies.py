"""What collects the body of a tool call, piece by piece, and sees where it ends. All of it is linear in its length."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from langchain_localmodels.dialects.stopping import first_match, held_back

_SPACE = " \t\r\n"


class Body(ABC):
    """The body of one block of calls, as far as it has come.

    Attributes:
        hopeless: Whether it is certain by now that this is no call, whatever follows.
    """

    hopeless: bool = False

    def __init__(self) -> None:
        self._parts: list[str] = []

    @property
    def text(self) -> str:
        """All that was taken in, up to what closed it."""
        return "".join(self._parts)

    @property
    def raw(self) -> str:
        """All that was taken in, with what closed it."""
        return self.text

    @abstractmethod
    def feed(self, text: str) -> str | None:
        """Take in more. Gives what comes after the body once it is over or hopeless, `None` while it goes on."""

    @abstractmethod
    def endings(self) -> list[tuple[str, str]]:
        """Say what an unfinished body may have been, when the answer is over: bodies with what comes after each.

        The likeliest is first. The last one is what it is taken for when none can be read.
        """


class MarkedBody(Body):
    """A body that ends with a mark, or where another block begins because the model forgot to close this one.

    Args:
        closings: Marks that end it and are dropped.
        reopenings: Marks that end it and begin the next block.
        json: Whether it is JSON, in whose strings marks mean nothing.
    """

    def __init__(self, closings: Sequence[str] = (), reopenings: Sequence[str] = (), *, json: bool = True) -> None:
        super().__init__()
        self._marks = (*closings, *reopenings)
        self._reopenings = frozenset(reopenings)
        self._string = StringState() if json else None
        self._tail = ""

    @property
    def raw(self) -> str:
        """See `Body.raw`."""
        return self.text + self._tail

    def feed(self, text: str) -> str | None:
        """See `Body.feed`."""
        self._tail += text
        while True:
            match = first_match(self._tail, self._marks)
            if match is None:
                cut = len(self._tail) - held_back(self._tail, self._marks)
                self._take(self._tail[:cut])
                self._tail = self._tail[cut:]
                return None
            self._take(self._tail[: match.start])
            rest = self._tail[match.end :]
            if self._string is None or not self._string.inside:
                reopens = match.marker in self._reopenings
                self._tail = "" if reopens else match.marker
                return match.marker + rest if reopens else rest
            self._take(match.marker)
            self._tail = rest

    def endings(self) -> list[tuple[str, str]]:
        """See `Body.endings`: without the beginning of a mark at its end, with it, or up to a mark in a "string"."""
        certain, whole = self.text, self.raw
        found = [(certain, ""), (whole, "")] if self._tail else [(whole, "")]
        return found + _up_to_a_mark(whole, self._marks, self._reopenings)

    def _take(self, text: str) -> None:
        if text:
            self._parts.append(text)
            if self._string is not None:
                self._string.feed(text)


class JsonBody(Body):
    """A body that ends with the JSON object or list that it is.

    Args:
        more: Characters, white space among them, that may stand between one value and the next. With these, the body
            goes on as long as another value follows.
        again: With `more`: the next value begins a block of its own instead, as if this text stood before it.
        keys: What the first key of the first object may be. With another one, or with no JSON, the body is hopeless.
        head: Marks that may stand before the JSON, in other text, and are none of it in spite of their brackets.
        closings: Marks that end it and are dropped, where it is whole, after white space, and where it is not.
        reopenings: Marks that end it and begin the next block.
    """

    def __init__(
        self,
        *,
        more: str = "",
        again: str | None = None,
        keys: Sequence[str] = (),
        head: Sequence[str] = (),
        closings: Sequence[str] = (),
        reopenings: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self._more = more
        self._again = again
        self._keys = keys
        self._is_checked = bool(keys)
        self._head = tuple(head)
        self._closings = tuple(closings)
        self._reopenings = frozenset(reopenings)
        self._marks = (*closings, *reopenings)
        self._openers = frozenset(mark[0] for mark in (*head, *self._marks))
        self._between: list[str] = []  # what came after a whole value
        self._tail = ""  # what may become a mark
        self._depth = 0
        self._string = StringState()
        self._begun = False

    @property
    def raw(self) -> str:
        """See `Body.raw`."""
        return self.text + "".join(self._between) + self._tail

    def feed(self, text: str) -> str | None:
        """See `Body.feed`."""
        text = self._tail + text
        self._tail = ""
        at = 0
        while at < len(text):
            character = text[at]
            if character in self._openers and not self._string.inside:
                marks = self._marks if self._begun else (*self._head, *self._marks)
                mark = next((mark for mark in marks if text.startswith(mark, at)), None)
                if mark is None and any(mark.startswith(text[at:]) for mark in marks):
                    self._tail = text[at:]
                    return None
                if mark in self._head:
                    self._parts.append(mark)
                    at += len(mark)
                    continue
                if mark is not None:
                    return self._closed(mark, text[at + len(mark) :])
            if self._begun and self._depth <= 0:
                if character in self._more or (self._closings and character in _SPACE):
                    self._between.append(character)
                    at += 1
                    continue
                if not self._more or character not in "{[" or self._again is not None:
                    return self._over(text[at:])
                self._parts += self._between
                self._between = []
            elif self._is_checked and not self._begun and character not in "{[" and not character.isspace():
                self.hopeless = True
                return text[at:]
            at += 1
            self._take(character)
            if self.hopeless or (self._begun and self._depth <= 0 and not self._more and not self._closings):
                return text[at:]
        return None

    def endings(self) -> list[tuple[str, str]]:
        """See `Body.endings`: the whole value without the beginning of a mark, or up to a mark in a "string"."""
        if self._begun and self._depth <= 0:
            return [(self.text, "")]
        return [(self.raw, ""), *_up_to_a_mark(self.raw, self._marks, self._reopenings)]

    def _take(self, character: str) -> None:
        self._parts.append(character)
        if not self._begun and character not in "{[":
            return
        self._string.feed(character)
        if self._string.inside:
            return
        if character in "{[":
            self._depth += 1
            self._begun = True
        elif character in "}]":
            self._depth -= 1
        elif character == '"' and self._keys:
            key = self.text.lstrip("[{ \t\r\n").strip('"')
            self.hopeless = key not in self._keys
            self._keys = ()

    def _closed(self, mark: str, rest: str) -> str:
        if mark in self._reopenings:
            return mark + rest
        self._tail = mark
        return rest

    def _over(self, rest: str) -> str:
        """What comes after the value: another one, or what stood between as well."""
        if self._more and self._again is not None and rest.startswith(("{", "[")):
            return self._again + rest
        between = "".join(self._between)
        self._between = []
        return between + rest


class StringState:
    """Whether a text in JSON is inside of a string, after as much of it as was fed.

    Attributes:
        inside: Whether it is.
    """

    def __init__(self) -> None:
        self.inside = False
        self._escaped = False

    def feed(self, text: str) -> None:
        """Read on."""
        for character in text:
            if self._escaped:
                self._escaped = False
            elif character == "\\":
                self._escaped = True
            elif character == '"':
                self.inside = not self.inside


def _up_to_a_mark(whole: str, marks: Sequence[str], reopenings: frozenset[str]) -> list[tuple[str, str]]:
    match = first_match(whole, marks)
    if match is None:
        return []
    rest = whole[match.end :]
    return [(whole[: match.start], match.marker + rest if match.marker in reopenings else rest)]
