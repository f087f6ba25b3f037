"""Which characters a string, a character class or `.` of a grammar takes, place by place."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}
_CHARACTER = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))|(.)", re.DOTALL)
_COMMON = 'aeb01 "{}[],:.-<\\\n\u00e4\u4e2d'


class Place:
    """A place for one character.

    Args:
        ranges: First and last character of each range.
        negated: Whether it takes all others.
    """

    def __init__(self, ranges: list[tuple[str, str]], *, negated: bool = False) -> None:
        self._ranges = ranges
        self._negated = negated

    def takes(self, character: str) -> bool:
        """Whether a character may stand here."""
        return any(first <= character <= last for first, last in self._ranges) != self._negated

    def example(self, chance: random.Random) -> str | None:
        """Give a character that may stand here, if one is found."""
        if self._negated:
            return next((c for c in chance.sample(_COMMON, len(_COMMON)) if self.takes(c)), None)
        first, last = chance.choice(self._ranges) if self._ranges else ("", "")
        return chr(chance.randint(ord(first), ord(last))) if first and first <= last else None


def places(source: str) -> list[Place]:
    """Give the places of a string, of a class such as `[^a-z]`, or of `.`, as the grammar writes it."""
    if source == ".":
        return [Place([], negated=True)]
    if source[0] == '"':
        return [Place([(character, character)]) for character, _ in _characters(source[1:-1])]
    inner = source[1:-1]
    characters = list(_characters(inner.removeprefix("^")))
    ranges: list[tuple[str, str]] = []
    while characters:
        first, _ = characters.pop(0)
        if len(characters) > 1 and characters[0] == ("-", False):
            characters.pop(0)
            ranges.append((first, characters.pop(0)[0]))
        else:
            ranges.append((first, first))
    return [Place(ranges, negated=inner.startswith("^"))]


def _characters(literal: str) -> Iterator[tuple[str, bool]]:
    """Give the characters of a string or class, and whether each was escaped."""
    for found in _CHARACTER.finditer(literal):
        code = found.group(1) or found.group(2) or found.group(3)
        if code:
            yield chr(min(int(code, 16), 0x10FFFF)), True
        elif found.group(4):
            yield _ESCAPED.get(found.group(4), found.group(4)), True
        else:
            yield found.group(5), False
