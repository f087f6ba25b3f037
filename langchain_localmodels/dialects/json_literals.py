r"""Pieces of GBNF that know no schema: quoted text, sets of characters, choices between texts, ranges of integers.

What they describe is JSON text in one spelling: `"`, `\` and control characters escaped, as `json.dumps` does it with
`ensure_ascii=False`, all others as they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, TypeAlias

from langchain_localmodels.errors import InvalidRequestError

Ranges: TypeAlias = Sequence[tuple[int, int]]
"""Code points, as first and last of each run; sorted, without overlap."""

MOST_DIGITS = 18
"""Digits of an integer that no maximum bounds."""

EVERY_CHARACTER: Ranges = ((0, 0xD7FF), (0xE000, 0x10FFFF))
_RAW: Ranges = ((0x20, 0x21), (0x23, 0x5B), (0x5D, 0xD7FF), (0xE000, 0x10FFFF))
_SHORT_ESCAPES = {0x22: '"', 0x5C: "\\", 0x08: "b", 0x0C: "f", 0x0A: "n", 0x0D: "r", 0x09: "t"}
_DEEPEST_CHOICE = 40


def quoted(text: str) -> str:
    """Write a text as a literal of GBNF."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def as_json(value: Any) -> str:
    """Write a value as JSON without white space.

    Raises:
        InvalidRequestError: It holds half a character, which no model can write.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidRequestError(f"The JSON Schema asks for {value!r:.80}, which holds half a character.")
    return text


# --- sets of characters ---------------------------------------------------------------------------------------------


def united(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Sort ranges, and join those that touch."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


def without(ranges: Ranges, taken: Ranges) -> Ranges:
    """Give what of some ranges is not in others."""
    left: list[tuple[int, int]] = []
    for first, last in ranges:
        at = first
        for start, end in taken:
            if end < at or start > last:
                continue
            if start > at:
                left.append((at, start - 1))
            at = end + 1
        if at <= last:
            left.append((at, last))
    return left


def character_class(ranges: Ranges) -> str:
    """Write code points as a character class of GBNF."""
    return "[" + "".join(_spelled(a) if a == b else f"{_spelled(a)}-{_spelled(b)}" for a, b in ranges) + "]"


def _spelled(code: int) -> str:
    if code < 0x80 and chr(code).isalnum():
        return chr(code)
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"


def one_character(ranges: Ranges) -> str:
    """Write, as one item of GBNF, a character of these inside a JSON string."""
    ways: list[str] = []
    if raw := without(_RAW, without(EVERY_CHARACTER, ranges)):
        ways.append(character_class(raw))
    special = [code for code in (*range(0x20), 0x22, 0x5C) if any(a <= code <= b for a, b in ranges)]
    if short := [ord(_SHORT_ESCAPES[code]) for code in special if code in _SHORT_ESCAPES]:
        ways.append(f'"\\\\" {character_class(united((code, code) for code in short))}')
    for row in (0, 1):
        if long := [code & 15 for code in special if code >> 4 == row and code not in _SHORT_ESCAPES]:
            digits = character_class(united((ord(f"{low:x}"),) * 2 for low in long))
            ways.append(f"{quoted(chr(92) + f'u00{row}')} {digits}")
    if not ways:
        return "[]"
    return ways[0] if len(ways) == 1 and ways[0][0] == "[" else f"({' | '.join(ways)})"


# --- choices --------------------------------------------------------------------------------------------------------


def choice(tails: Mapping[str, str]) -> str:
    """Write a choice between texts, each with what follows it, as one item of GBNF.

    Texts that begin alike share their beginning, as llama.cpp follows all alternatives at once.

    Args:
        tails: By text, GBNF of what comes after it; empty for nothing.
    """
    return f"({_branch(sorted(tails.items()), 0)})"


def _branch(pairs: Sequence[tuple[str, str]], depth: int) -> str:
    if len(pairs) == 1 or depth > _DEEPEST_CHOICE:
        return " | ".join(f"{quoted(text)} {tail}".rstrip() for text, tail in pairs)
    shared = _shared(pairs[0][0], pairs[-1][0])
    rests = [(text[len(shared) :], tail) for text, tail in pairs]
    ways = [rests.pop(0)[1] or '""'] if not rests[0][0] else []
    # Characters after which the same may follow need only one way.
    alike: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for first, group in groupby(rests, key=lambda pair: pair[0][0]):
        alike.setdefault(tuple((text[1:], tail) for text, tail in group), []).append(ord(first))
    for rest, codes in alike.items():
        head = quoted(chr(codes[0])) if len(codes) == 1 else character_class(united((code, code) for code in codes))
        if len(rest) == 1 and len(codes) == 1:
            ways.append(_branch([(chr(codes[0]) + rest[0][0], rest[0][1])], depth))
        else:
            ways.append(f"{head} ({_branch(rest, depth + 1)})")
    body = " | ".join(ways)
    return body if not shared else f"{quoted(shared)} ({body})"


def _shared(one: str, other: str) -> str:
    """Give what two texts begin with."""
    differ = (at for at, (left, right) in enumerate(zip(one, other, strict=False)) if left != right)
    return one[: next(differ, min(len(one), len(other)))]


def any_key_but(keys: Iterable[str]) -> str:
    """Write a JSON string that is none of some keys (at least one), given as they read, not as JSON spells them."""
    return f'"\\"" ({_other_key(sorted(set(keys)), 0)})'


def _other_key(keys: Sequence[str], depth: int) -> str:
    if depth > _DEEPEST_CHOICE:
        return 'key-character* "\\""'  # where so many keys begin alike, one of them may be written twice
    ways = ['"\\""'] if keys[0] else []
    groups = {first: [key[1:] for key in group] for first, group in groupby(filter(None, keys), key=lambda key: key[0])}
    taken = united((ord(first), ord(first)) for first in groups)
    ways.append(f'{one_character(without(EVERY_CHARACTER, taken))} key-character* "\\""')
    for first, rests in groups.items():
        ways.append(f"{one_character([(ord(first), ord(first))])} ({_other_key(rests, depth + 1)})")
    return " | ".join(ways)


# --- integers -------------------------------------------------------------------------------------------------------


def integer_between(least: int | None, most: int | None) -> str | None:
    """Write the integers of a range, as one item of GBNF; `None` where there are none.

    A side that is open goes on for 18 digits, or for as many as the other side has.
    """
    digits = max(MOST_DIGITS, *(len(str(abs(bound))) for bound in (least, most) if bound is not None), 0)
    low = 1 - 10**digits if least is None else least
    high = 10**digits - 1 if most is None else most
    if low > high:
        return None
    ways: list[str] = []
    if low < 0:
        below = " | ".join(_naturals(max(1, -high), -low))
        ways.append(f'"-" ({below})')
    if high >= 0:
        ways += _naturals(max(0, low), high)
    return f"({' | '.join(ways)})"


def _naturals(low: int, high: int) -> list[str]:
    ways: list[str] = []
    whole: list[int] = []  # numbers of digits of which every number is within the range
    for count in range(len(str(low)), len(str(high)) + 1):
        first, last = max(low, 10 ** (count - 1) if count > 1 else 0), min(high, 10**count - 1)
        if count > 1 and first == 10 ** (count - 1) and last == 10**count - 1:
            whole.append(count)
        else:
            ways.append(_same_length(str(first), str(last)))
    if whole:
        ways.append(f"[1-9] [0-9]{{{whole[0] - 1},{whole[-1] - 1}}}")
    return ways


def _same_length(low: str, high: str) -> str:
    """Write the numbers between two that have the same number of digits."""
    if low == high:
        return quoted(low)
    if set(low) == {"0"} and set(high) == {"9"}:
        return f"[0-9]{{{len(low)}}}"
    if len(low) == 1:
        return f"[{low}-{high}]"
    if shared := _shared(low, high):
        return f"{quoted(shared)} ({_same_length(low[len(shared) :], high[len(shared) :])})"
    rest = len(low) - 1
    first, last = int(low[0]), int(high[0])
    ways: list[str] = []
    if set(low[1:]) != {"0"}:
        ways.append(f"{quoted(low[0])} ({_same_length(low[1:], '9' * rest)})")
        first += 1
    cut = set(high[1:]) != {"9"}
    if first <= last - cut:
        ways.append(f"[{first}-{last - cut}] [0-9]{{{rest}}}")
    if cut:
        ways.append(f"{quoted(high[0])} ({_same_length('0' * rest, high[1:])})")
    return " | ".join(ways)
