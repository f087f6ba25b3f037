"""Reads GBNF into rules, alternatives, sequences and items; `gbnf.py` judges what was read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from langchain_localmodels.errors import InvalidRequestError

MAX_RULES = 10_000
MAX_DEPTH = 100
"""Deepest nesting of parentheses."""
MAX_REPETITION = 2_000
"""Largest number in `{m,n}`."""
MAX_REPEATED_RULES = 2_000
"""Most rules that one repetition may make: llama.cpp makes them of all that is within it, and has this limit."""
MAX_ELEMENTS = 500_000
"""Most characters and references, with what is repeated written out."""

_NAME = re.compile(r"[a-zA-Z0-9-]+")
_BLANK = re.compile(r"(?:[ \t]|#[^\r\n]*)+")
_BLANK_LINES = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)+")
_STRING = re.compile(r'"((?:[^"\\\r\n]|\\.)*)"')
_CLASS = re.compile(r"\[((?:[^\]\\\r\n]|\\.)*)\]")
_TOKEN = re.compile(r"!?<(?:\[[0-9]{1,9}\]|[^<>\s\[][^<>\s]*)>")
_ESCAPE = re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[tnrs\"\\\[\]\-/^.]|.)", re.DOTALL)
_KNOWN_ESCAPE = re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[tnr\"\\\[\]\-])\Z")
_REPEAT = re.compile(r"\{[ \t]*([0-9]+)[ \t]*(,?)[ \t]*([0-9]*)[ \t]*\}")


@dataclass(slots=True)
class Item:
    """Alternatives, the name of a rule, or `None` for what takes characters; and how often it stands there."""

    what: Alternatives | str | None
    optional: bool
    most: int
    """1 where it is not repeated, or without end."""
    source: str = ""
    """How it is written, without what says how often."""
    repeated: bool = False

    @property
    def negated_token(self) -> bool:
        """Whether it is a token whose text the grammar does not tell."""
        return self.source.startswith(("!", "<["))

    @property
    def character(self) -> bool:
        """Whether it takes characters."""
        return self.what is None and self.source[:1] not in "!<"


@dataclass(slots=True)
class Sequence:
    """Items one after the other."""

    items: list[Item] = field(default_factory=list)


@dataclass(slots=True)
class Alternatives:
    """Sequences of which one stands there."""

    sequences: list[Sequence] = field(default_factory=list)


@dataclass(slots=True)
class Rule:
    """What a name stands for, and the names that are used there, with their positions."""

    body: Alternatives
    references: list[tuple[str, int]]


class Parser:
    """Reads one grammar; `repeated` is what stands before a `{m,n}`, with `n` and its position."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._references: list[tuple[str, int]] = []
        self._elements = 0
        self._symbols: set[str] = set()
        self._made = 0  # rules without a name, which llama.cpp makes of groups and repetitions
        self.repeated: list[tuple[Alternatives | str, int, int]] = []

    def parse(self) -> dict[str, Rule]:
        """Give the rules by name.

        Raises:
            InvalidRequestError: If it is no GBNF, or too large.
        """
        rules: dict[str, Rule] = {}
        self._skip(_BLANK_LINES)
        while self._at < len(self._text):
            name = self._expect(_NAME, "the name of a rule").group()
            self._symbols.add(name)
            self._skip(_BLANK)
            if not self._text.startswith("::=", self._at):
                raise self._error("expected ::=")
            self._at += 3
            self._skip(_BLANK_LINES)
            self._references = []
            rules[name] = Rule(self._alternatives(0), self._references)
            if len(rules) > MAX_RULES:
                raise self._error(f"more than {MAX_RULES} rules")
            if self._at < len(self._text) and self._text[self._at] not in "\r\n":
                raise self._error("expected the end of the rule")
            self._skip(_BLANK_LINES)
        return rules

    def _alternatives(self, depth: int) -> Alternatives:
        if depth > MAX_DEPTH:
            raise self._error(f"parentheses nested deeper than {MAX_DEPTH}")
        found = Alternatives([self._sequence(depth)])
        while self._text.startswith("|", self._at):
            self._at += 1
            self._skip(_BLANK_LINES)
            found.sequences.append(self._sequence(depth))
        return found

    def _sequence(self, depth: int) -> Sequence:
        sequence = Sequence()
        while True:
            before, rules_before = self._at, len(self._symbols) + self._made
            what = self._item(depth)
            if isinstance(what, _End):
                return sequence
            # Of what is repeated, a string is written out again and again, a group only referred to.
            length = self._at - before if what is None else 1
            rules = len(self._symbols) + self._made - rules_before if isinstance(what, Alternatives) else 1
            item = self._repetitions(
                Item(what, False, 1, self._text[before : self._at] if what is None else ""), max(rules, 1)
            )
            self._elements += length * max(item.most, 1)
            if self._elements > MAX_ELEMENTS:
                raise self._error(f"more than {MAX_ELEMENTS} characters and references, repetitions written out")
            sequence.items.append(item)
            self._skip(_BLANK_LINES if depth else _BLANK)

    def _item(self, depth: int) -> Alternatives | str | _End | None:
        text, at = self._text, self._at
        head = text[at : at + 1]
        if head == '"':
            literal = self._expect(_STRING, "the end of a string")
            self._check_escapes(literal.group(1))
            return None if literal.group(1) else Alternatives([Sequence()])
        if head and head in "[.<!":
            self._character(head)
            return None
        if head == "(":
            self._at += 1
            self._made += 1
            self._skip(_BLANK_LINES)
            inner = self._alternatives(depth + 1)
            if not text.startswith(")", self._at):
                raise self._error("expected )")
            self._at += 1
            return inner
        name = _NAME.match(text, at)
        # A name that ::= follows begins the next rule, where a rule may run over several lines.
        if name and not re.compile(r"[ \t]*::=").match(text, name.end()):
            self._at = name.end()
            self._symbols.add(name.group())
            self._references.append((name.group(), self._at))
            return name.group()
        return _END

    def _character(self, head: str) -> None:
        if head == "[":
            self._check_escapes(self._expect(_CLASS, "the end of a character class").group(1))
        elif head == ".":
            self._at += 1
        else:
            self._expect(_TOKEN, "a token as in <think> or <[42]>")

    def _repetitions(self, item: Item, rules: int) -> Item:
        """Read what follows an item that makes a number of rules."""
        while True:
            self._skip(_BLANK)
            head = self._text[self._at : self._at + 1]
            if head and head in "*+?":
                self._at += 1
                item.optional = item.optional or head != "+"
                item.repeated = item.repeated or head != "?"
                self._made += 1
                continue
            if head != "{":
                return item
            bounds = self._expect(_REPEAT, "a repetition as in {2,5}")
            least = _number(bounds.group(1))
            most = _number(bounds.group(3)) if bounds.group(3) else least
            if most > MAX_REPETITION or least > MAX_REPETITION:
                raise self._error(f"more than {MAX_REPETITION} repetitions")
            if most < least:
                raise self._error("a repetition whose end is before its beginning")
            rules *= (most if bounds.group(3) or not bounds.group(2) else least) or 1
            if rules > MAX_REPEATED_RULES:
                raise self._error(f"a repetition that makes more than {MAX_REPEATED_RULES} rules")
            self._made += most - least if bounds.group(3) or not bounds.group(2) else 1
            item.optional = item.optional or least == 0
            item.repeated = True
            item.most = max(1, item.most) * most
            if item.what is not None:
                self.repeated.append((item.what, most, self._at))

    def _check_escapes(self, literal: str) -> None:
        for escape in _ESCAPE.finditer(literal):
            if not _KNOWN_ESCAPE.match(escape.group()):
                raise self._error(f"the unknown escape {escape.group()}")

    def _skip(self, blanks: re.Pattern[str]) -> None:
        if found := blanks.match(self._text, self._at):
            self._at = found.end()

    def _expect(self, pattern: re.Pattern[str], what: str) -> re.Match[str]:
        found = pattern.match(self._text, self._at)
        if not found:
            raise self._error(f"expected {what}")
        self._at = found.end()
        return found

    def line(self, position: int) -> int:
        """Number of the line at a position."""
        return self._text.count("\n", 0, position) + 1

    def _error(self, what: str) -> InvalidRequestError:
        rest = self._text[self._at : self._at + 20].split("\n")[0]
        return InvalidRequestError(f"Line {self.line(self._at)} of the grammar: {what}, at {rest!r}.")


class _End:
    """No further item."""


_END = _End()


def _number(digits: str) -> int:
    return int(digits) if len(digits) < 10 else MAX_REPETITION + 1


def may_be_empty(what: Alternatives | str | None, nullable: set[str]) -> bool:
    """Whether alternatives, a rule or (`None`) what takes characters match no text; `nullable` names such rules."""
    if what is None:
        return False
    if isinstance(what, str):
        return what in nullable
    return any(
        all(item.optional or may_be_empty(item.what, nullable) for item in sequence.items)
        for sequence in what.sequences
    )
