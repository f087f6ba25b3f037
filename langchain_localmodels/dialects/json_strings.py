r"""JSON strings in GBNF: regular expressions, and the named formats of JSON Schema.

Of regular expressions, what a grammar can say is read: classes, `.`, `\d \w \s` and their opposites, groups,
alternatives, quantifiers, and anchors at the ends. Assertions, back references and Unicode properties are not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from langchain_localmodels.dialects.json_literals import EVERY_CHARACTER, Ranges, one_character, united, without

_MOST_REPETITIONS = 2_000
_DEEPEST_GROUP = 20

# --- formats --------------------------------------------------------------------------------------------------------

_FOURTHS = '("0" [48] | [2468] [048] | [13579] [26])'
_DATE = (
    '(("000" [1-9] | "00" [1-9] [0-9] | "0" [1-9] [0-9]{2} | [1-9] [0-9]{3}) "-" ('
    '("0" [13578] | "1" [02]) "-" ("0" [1-9] | [12] [0-9] | "3" [01]) | '
    '("0" [469] | "11") "-" ("0" [1-9] | [12] [0-9] | "30") | '
    '"02-" ("0" [1-9] | "1" [0-9] | "2" [0-8])) | '
    f'([0-9]{{2}} {_FOURTHS} | {_FOURTHS} "00") "-02-29")'
)
_CLOCK = '([01] [0-9] | "2" [0-3]) ":" [0-5] [0-9]'
_TIME = f'{_CLOCK} ":" [0-5] [0-9] ("." [0-9]{{1,9}})? ("Z" | [+\\u002D] {_CLOCK})'
_ATOM = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~\\u002D]{1,32}"
_LABEL = "[A-Za-z0-9] ([A-Za-z0-9\\u002D]{0,30} [A-Za-z0-9])?"
_HEX = "[0-9a-fA-F]"
_OCTET = '("25" [0-5] | "2" [0-4] [0-9] | "1" [0-9] [0-9] | [1-9]? [0-9])'


@dataclass(frozen=True, slots=True)
class StringForm:
    """What is between the quotes of a string.

    Attributes:
        gbnf: One item of GBNF.
        least: Its fewest characters.
        most: Its most characters; `None` for no limit.
        repeated: Where it is one kind of character again and again: that character in GBNF.
    """

    gbnf: str
    least: int
    most: int | None
    repeated: str | None = None


FORMATS = {
    "date": StringForm(_DATE, 10, 10),
    "time": StringForm(f"({_TIME})", 9, 24),
    "date-time": StringForm(f'({_DATE} "T" {_TIME})', 20, 35),
    "uuid": StringForm(f'({_HEX}{{8}} ("-" {_HEX}{{4}}){{3}} "-" {_HEX}{{12}})', 36, 36),
    "email": StringForm(f'({_ATOM} ("." {_ATOM}){{0,7}} "@" {_LABEL} ("." {_LABEL}){{1,7}})', 5, None),
    "ipv4": StringForm(f'({_OCTET} ("." {_OCTET}){{3}})', 7, 15),
}
"""By name; the first four as RFC 3339 and RFC 4122 have them, years from 1 and no leap seconds; e-mail addresses
loosely."""


# --- regular expressions --------------------------------------------------------------------------------------------


class UnsupportedPattern(ValueError):
    """A regular expression that cannot be said in a grammar."""


def form_of_pattern(pattern: str) -> StringForm:
    """Give the strings that a regular expression finds itself in.

    Args:
        pattern: A regular expression as in JavaScript or Python, as far as both agree. Where it has no anchor, any
            characters may stand before or after.

    Raises:
        UnsupportedPattern: It has something that a grammar cannot say.
    """
    return _Reader(pattern).read()


_ASCII_WORD: Ranges = ((0x30, 0x39), (0x41, 0x5A), (0x5F, 0x5F), (0x61, 0x7A))
_DIGITS: Ranges = ((0x30, 0x39),)
_SPACES: Ranges = (
    *((0x09, 0x0D), (0x20, 0x20), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A), (0x2028, 0x2029)),
    *((0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000)),
)
_NEWLINES: Ranges = ((0x0A, 0x0A), (0x0D, 0x0D), (0x2028, 0x2029))
_KINDS = {"d": _DIGITS, "w": _ASCII_WORD, "s": _SPACES}
_CONTROLS = {"n": 0x0A, "r": 0x0D, "t": 0x09, "f": 0x0C, "v": 0x0B, "0": 0}
_CODE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]{1,6})\})")
_QUANTIFIER = re.compile(r"(?:\{([0-9]{1,6})(?:(,)([0-9]{0,6}))?\}|([*+?]))\??")
_GROUP = re.compile(r"\((?:\?:|\?P?<[A-Za-z_]\w*>)?")
_ANYTHING = StringForm("character*", 0, None)


class _Reader:
    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0

    def read(self) -> StringForm:
        ways: list[StringForm] = []
        while True:
            starts = self._take("^")
            inner = self._sequence(0)
            ends = self._take("$")
            if starts and ends:
                ways.append(inner)
            else:
                ways.append(_in_a_row([*([] if starts else [_ANYTHING]), inner, *([] if ends else [_ANYTHING])]))
            if not self._take("|"):
                break
        if self._at < len(self._text):
            raise UnsupportedPattern(self._text[self._at :])
        return _either(ways)

    def _take(self, sign: str) -> bool:
        if not self._text.startswith(sign, self._at):
            return False
        self._at += len(sign)
        return True

    def _alternatives(self, depth: int) -> StringForm:
        ways = [self._sequence(depth)]
        while self._take("|"):
            ways.append(self._sequence(depth))
        return _either(ways)

    def _sequence(self, depth: int) -> StringForm:
        if depth > _DEEPEST_GROUP:
            raise UnsupportedPattern("groups nested too deeply")
        items: list[StringForm] = []
        while self._at < len(self._text) and self._text[self._at] not in "|)$":
            items.append(self._quantified(self._item(depth)))
        return _in_a_row(items)

    def _item(self, depth: int) -> StringForm:
        head = self._text[self._at]
        if head == "(":
            opening = _GROUP.match(self._text, self._at)
            assert opening
            self._at = opening.end()
            if self._text.startswith("?", self._at):
                raise UnsupportedPattern(self._text[self._at - 1 : self._at + 3])
            inner = self._alternatives(depth + 1)
            if not self._take(")"):
                raise UnsupportedPattern("a group without end, or an anchor inside of it")
            return StringForm(f"({inner.gbnf})", inner.least, inner.most)
        if head in "*+?{^" or head in "}]":
            raise UnsupportedPattern(head)
        if head == "[":
            self._at += 1
            ranges = self._class()
        elif head == ".":
            self._at += 1
            ranges = without(EVERY_CHARACTER, _NEWLINES)
        else:
            ranges = self._character(in_class=False)
        item = one_character(ranges)
        return StringForm(item, 1, 1, item)

    def _character(self, *, in_class: bool) -> Ranges:
        head = self._text[self._at]
        if head != "\\":
            self._at += 1
            return ((ord(head), ord(head)),)
        if code := _CODE.match(self._text, self._at):
            self._at = code.end()
            number = int(next(filter(None, code.groups())), 16)
            if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
                raise UnsupportedPattern(code.group())
            return ((number, number),)
        letter = self._text[self._at + 1 : self._at + 2]
        self._at += 2
        if letter.lower() in _KINDS and letter:
            kind = _KINDS[letter.lower()]
            return kind if letter.islower() else without(EVERY_CHARACTER, kind)
        if letter in _CONTROLS and letter and not (letter == "0" and self._text[self._at : self._at + 1].isdigit()):
            return ((_CONTROLS[letter],) * 2,)
        if in_class and letter == "b":
            return ((8, 8),)
        if not letter or letter.isalnum():
            raise UnsupportedPattern("\\" + letter)
        return ((ord(letter), ord(letter)),)

    def _class(self) -> Ranges:
        negated = self._take("^")
        found: list[tuple[int, int]] = []
        while not self._take("]"):
            if self._at >= len(self._text) or self._text[self._at] == "[":
                raise UnsupportedPattern("a class without end, or in a class")
            first = self._character(in_class=True)
            following = self._text[self._at + 1 : self._at + 2]
            if self._text.startswith("-", self._at) and following not in ("]", "") and _is_one(first):
                self._at += 1
                last = self._character(in_class=True)
                if not _is_one(last) or last[0][0] < first[0][0]:
                    raise UnsupportedPattern("a range without order")
                found.append((first[0][0], last[0][0]))
            else:
                found.extend(first)
        return without(EVERY_CHARACTER, united(found)) if negated else united(found)

    def _quantified(self, item: StringForm) -> StringForm:
        found = _QUANTIFIER.match(self._text, self._at)
        if not found:
            return item
        self._at = found.end()
        if sign := found.group(4):
            least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[sign]
        else:
            least = int(found.group(1))
            most = least if not found.group(2) else int(found.group(3)) if found.group(3) else None
        if least > _MOST_REPETITIONS or (most is not None and not least <= most <= _MOST_REPETITIONS):
            raise UnsupportedPattern(found.group())
        return StringForm(
            item.gbnf + repetition(least, most),
            item.least * least,
            None if most is None or item.most is None else item.most * most,
            item.repeated if item.least == item.most == 1 else None,
        )


def repetition(least: int, most: int | None) -> str:
    """Write how often something is repeated."""
    if (least, most) in (signs := {(0, None): "*", (1, None): "+", (0, 1): "?"}):
        return signs[least, most]
    return f"{{{least},{'' if most is None else most}}}"


def _is_one(ranges: Ranges) -> bool:
    return len(ranges) == 1 and ranges[0][0] == ranges[0][1]


def _in_a_row(items: list[StringForm]) -> StringForm:
    if len(items) == 1:
        return items[0]
    if not items:
        return StringForm('""', 0, 0)
    most = [item.most for item in items]
    total = None if None in most else sum(filter(None, most))
    return StringForm(f"({' '.join(item.gbnf for item in items)})", sum(item.least for item in items), total)


def _either(ways: list[StringForm]) -> StringForm:
    if len(ways) == 1:
        return ways[0]
    most = [way.most for way in ways]
    longest = None if None in most else max(filter(None, most), default=0)
    return StringForm(f"({' | '.join(way.gbnf for way in ways)})", min(way.least for way in ways), longest)
