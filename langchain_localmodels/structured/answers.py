"""JSON out of what a model wrote: the whole value, read strictly, or as much of it as there is while it is written.

Pure text in, plain values out. What the value has to look like is known to `schema.py`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import isinf
from typing import Any

_CLOSING = {"{": "}", "[": "]"}
_FENCE = "```"
_ESCAPE_LENGTH, _UNICODE_ESCAPE_LENGTH = 2, 6
_HIGH_SURROGATES = ("\\ud8", "\\ud9", "\\uda", "\\udb")


class NotJsonError(ValueError):
    """There is no JSON value in a text, or it is not certain which."""


# --- the whole ------------------------------------------------------------------------------------------------------


def read_json(text: str) -> Any:
    """Read the one JSON value that a text is, or has in it.

    Models that are not held to JSON write words or a Markdown fence around it. It is taken out where there is no doubt
    which part is meant: the text is all JSON; or it has exactly one fenced block; or it has no brackets but those of
    one object or list. JSON is read strictly, except that line breaks may stand in strings as they are.

    Args:
        text: What the model wrote.

    Raises:
        NotJsonError: There is no value, or there are several, or a key is given twice, or a number is no number.
    """
    text = text.strip()
    if not text:
        raise NotJsonError("The answer is empty.")
    try:
        return _parsed(text)
    except NotJsonError:
        inner = _inside(text)
        if inner == text:
            raise
    return _parsed(inner)


def _inside(text: str) -> str:
    """The part that is meant, where there are words around it; otherwise the text as it is."""
    blocks = _fenced_blocks(text)
    if len(blocks) > 1:
        raise NotJsonError(f"The answer has {len(blocks)} blocks of code, and it is not clear which one is meant.")
    if blocks:
        return blocks[0]
    starts = [place for place in map(text.find, _CLOSING) if place >= 0]
    if not starts:
        return text
    start = min(starts)
    end = text.rfind(_CLOSING[text[start]]) + 1
    # An inner part of something that is broken further out is not the answer.
    return text[start:end] if end > start and not set(text[end:]) & set("{}[]") else text


def _fenced_blocks(text: str) -> list[str]:
    blocks: list[str] = []
    lines: list[str] | None = None
    for line in text.split("\n"):
        bare = line.strip()
        if lines is None:
            lines = [] if bare.startswith(_FENCE) and "`" not in bare[len(_FENCE) :] else None
        elif bare == _FENCE:
            blocks.append("\n".join(lines))
            lines = None
        else:
            lines.append(line)
    return blocks


def _parsed(text: str) -> Any:
    try:
        return json.loads(
            text, strict=False, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_without_doubles
        )
    except RecursionError as error:
        raise NotJsonError("The answer is nested too deeply.") from error
    except ValueError as error:
        raise NotJsonError(f"The answer is not JSON: {error}.") from error


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number of JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if isinf(number):
        raise ValueError(f"the number {digits:.40} is too large")
    return number


def _without_doubles(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is given twice")
    return found


# --- as much as there is --------------------------------------------------------------------------------------------


class GrowingObject:
    """A JSON object while it is written.

    Strings grow; numbers, `true`, `false` and `null` appear once they are over, as half a number is another number.
    Only an object that begins the text, or a fenced block that begins it, is followed. Linear in the length of the
    text, but for `value`, which reads all that there is.
    """

    def __init__(self) -> None:
        self._text = ""
        self._begun = False
        self._hopeless = False
        self._closers: list[str] = []
        self._cut = 0
        self._cut_closers = ""
        self._in_string = self._is_key = self._key_next = self._in_literal = False
        self._safe = 0
        self._escape = ""

    def feed(self, piece: str) -> None:
        """Take in more of the text."""
        if self._hopeless or (self._begun and not self._closers):
            return
        start = len(self._text)
        self._text += piece
        if not self._begun:
            self._begin()
            start = 0
        if self._begun:
            for place in range(start, len(self._text)):
                self._see(self._text[place], place)
                if self._hopeless or not self._closers:
                    break

    def value(self) -> dict[str, Any] | None:
        """The object as far as it has come; `None` before it has begun, and where it is no JSON."""
        if not self._begun or self._hopeless:
            return None
        if self._in_string and not self._is_key:
            text = f'{self._text[: self._safe]}"{self._closing()}'
        else:
            text = self._text[: self._cut] + self._cut_closers
        try:
            value = json.loads(text, strict=False)
        except (ValueError, RecursionError):
            self._hopeless = True
            return None
        return value if isinstance(value, dict) else None

    def _begin(self) -> None:
        text = self._text.lstrip()
        if text.startswith(_FENCE):
            _, line_end, text = text.partition("\n")
            text = text.lstrip() if line_end else ""
        elif _FENCE.startswith(text):
            return
        if text:
            self._text = text
            self._begun = text[0] == "{"
            self._hopeless = not self._begun

    def _closing(self) -> str:
        return "".join(reversed(self._closers))

    def _cut_at(self, place: int) -> None:
        """What comes after this place may be left out, and the rest closed."""
        self._cut, self._cut_closers = place, self._closing()

    def _see(self, char: str, place: int) -> None:
        if self._in_string:
            self._see_in_string(char, place)
            return
        if self._in_literal and (char in ",]}" or char.isspace()):
            self._in_literal = False
            self._cut_at(place)
        if char == '"':
            self._in_string, self._is_key, self._safe = True, self._key_next, place + 1
        elif char in _CLOSING:
            self._closers.append(_CLOSING[char])
            self._key_next = char == "{"
            self._cut_at(place + 1)
        elif char in "]}":
            if self._closers.pop() != char:
                self._hopeless = True
            self._cut_at(place + 1)
        elif char == ",":
            self._key_next = self._closers[-1] == "}"
        elif char == ":":
            self._key_next = False
        elif not char.isspace():
            self._in_literal = True

    def _see_in_string(self, char: str, place: int) -> None:
        if self._escape:
            self._escape += char
            length = _UNICODE_ESCAPE_LENGTH if self._escape[1] == "u" else _ESCAPE_LENGTH
            if len(self._escape) == length:
                # The first half of a surrogate pair is no character yet.
                if not self._escape.lower().startswith(_HIGH_SURROGATES):
                    self._safe = place + 1
                self._escape = ""
        elif char == "\\":
            self._escape = char
        elif char == '"':
            self._in_string = False
            if not self._is_key:
                self._cut_at(place + 1)
        else:
            self._safe = place + 1
