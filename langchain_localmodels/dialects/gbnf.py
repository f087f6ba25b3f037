"""GBNF, llama.cpp's notation for grammars: checked here before the native parser sees it.

That parser prints its complaints to stderr, overruns its stack on deep nesting, and takes minutes over some
repetitions; none of that can be caught. So a grammar must pass `check_grammar` first. The notation is described at
https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from langchain_localmodels.dialects.gbnf_tokens import (
    rule_with_negated_token_after_characters,
    token_after_its_own_beginning,
)
from langchain_localmodels.errors import InvalidRequestError

MAX_LENGTH = 500_000
"""Longest grammar, in characters."""
MAX_RULES = 10_000
MAX_DEPTH = 100
"""Deepest nesting of parentheses."""
MAX_REPETITION = 2_000
"""Largest number in `{m,n}`."""
MAX_REPEATED_RULES = 2_000
"""Most rules that one repetition may make: llama.cpp makes them of all that is within it, and has this limit."""
MAX_NULLABLE_REPETITION = 50
"""The same for something that may be empty: the number of ways to match it grows with every repetition."""
MAX_WAYS = 100
"""Most ways to go on from one place: llama.cpp follows all of them at once, and compares each with each."""
MAX_ELEMENTS = 500_000
"""Most characters and references, with what is repeated written out."""

JSON_GRAMMAR = r"""
root ::= object | array
value ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" ws (member ("," ws member)*)? "}"
member ::= string ":" ws value ws
array ::= "[" ws (value ws ("," ws value ws)*)? "]"
string ::= "\"" char* "\""
char ::= [^"\\\x00-\x1F\x7F] | "\\" (["\\/bfnrt] | "u" hex hex hex hex)
hex ::= [0-9a-fA-F]
number ::= "-"? ("0" | [1-9] [0-9]{0,30}) ("." [0-9]{1,30})? ([eE] [-+]? [0-9]{1,3})?
ws ::= (" " | "\n" [ \t]{0,20})?
"""
"""A JSON object or array, with little room for white space: models that may write blanks without end do so."""

_NAME = re.compile(r"[a-zA-Z0-9-]+")
_BLANK = re.compile(r"(?:[ \t]|#[^\r\n]*)+")
_BLANK_LINES = re.compile(r"(?:[ \t\r\n]|#[^\r\n]*)+")
_STRING = re.compile(r'"((?:[^"\\\r\n]|\\.)*)"')
_CLASS = re.compile(r"\[((?:[^\]\\\r\n]|\\.)*)\]")
_TOKEN = re.compile(r"!?<(?:\[[0-9]{1,9}\]|[^<>\s\[][^<>\s]*)>")
_ESCAPE = re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[tnrs\"\\\[\]\-/^.]|.)", re.DOTALL)
_KNOWN_ESCAPE = re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[tnr\"\\\[\]\-])\Z")
_REPEAT = re.compile(r"\{[ \t]*([0-9]+)[ \t]*(,?)[ \t]*([0-9]*)[ \t]*\}")


def check_grammar(gbnf: str) -> None:
    """Check that a grammar is one that llama.cpp reads, and can follow without overrunning anything.

    Args:
        gbnf: The grammar; its start rule is `root`.

    Raises:
        InvalidRequestError: It is not; the message tells the line.
    """
    if len(gbnf) > MAX_LENGTH:
        raise InvalidRequestError(f"The grammar is {len(gbnf)} characters long; {MAX_LENGTH} are allowed.")
    if "\0" in gbnf or any("\ud800" <= character <= "\udfff" for character in gbnf):
        raise InvalidRequestError("The grammar holds a NUL, or half a character.")
    parser = _Parser(gbnf)
    rules = parser.parse()
    if "root" not in rules:
        raise InvalidRequestError("The grammar has no rule named `root`.", hint="The answer begins with that rule.")
    for name, rule in rules.items():
        for reference, position in rule.references:
            if reference not in rules:
                raise InvalidRequestError(
                    f"The grammar's rule `{name}` uses `{reference}` (line {parser.line(position)}), "
                    "which is not defined."
                )
    nullable = _nullable_rules(rules)
    for item, most, position in parser.repeated:
        if most > MAX_NULLABLE_REPETITION and _may_be_empty(item, nullable):
            raise InvalidRequestError(
                f"Line {parser.line(position)} of the grammar repeats something that may be empty {most} times; "
                f"{MAX_NULLABLE_REPETITION} are allowed.",
                hint="Make what is repeated match at least one character.",
            )
    _check_ways(rules, _without_left_recursion(rules, nullable))
    if "<" in gbnf:
        _check_tokens(rules, nullable)


def _check_tokens(rules: dict[str, _Rule], nullable: set[str]) -> None:
    if (place := rule_with_negated_token_after_characters(rules, nullable)) is not None:
        raise InvalidRequestError(
            f"In the grammar's rule `{place}`, a token of the form !<…> or <[…]> can come right after a character.",
            hint="llama.cpp can follow such tokens only after other tokens, or at the beginning.",
        )
    if (met := token_after_its_own_beginning(rules)) is not None:
        raise InvalidRequestError(
            f"In the grammar's rule `{met[0]}`, the token {met[1]} can come right after characters that it begins with "
            "itself.",
            hint="llama.cpp cannot tell the two apart. Keep such characters out of what comes before, as in [^<].",
        )


@dataclass(slots=True)
class _Item:
    """Alternatives, the name of a rule, or `None` for what takes characters; and how often it stands there."""

    what: _Alternatives | str | None
    optional: bool
    most: int
    """1 where it is not repeated, or without end."""
    source: str = ""
    """How it is written, without what says how often."""
    repeated: bool = False

    @property
    def negated_token(self) -> bool:
        return self.source.startswith(("!", "<["))

    @property
    def character(self) -> bool:
        return self.what is None and self.source[:1] not in "!<"


@dataclass(slots=True)
class _Sequence:
    """Items one after the other."""

    items: list[_Item] = field(default_factory=list)


@dataclass(slots=True)
class _Alternatives:
    sequences: list[_Sequence] = field(default_factory=list)


@dataclass(slots=True)
class _Rule:
    body: _Alternatives
    references: list[tuple[str, int]]


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._references: list[tuple[str, int]] = []
        self._elements = 0
        self._symbols: set[str] = set()
        self._made = 0  # rules without a name, which llama.cpp makes of groups and repetitions
        self.repeated: list[tuple[_Alternatives | str, int, int]] = []

    def parse(self) -> dict[str, _Rule]:
        rules: dict[str, _Rule] = {}
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
            rules[name] = _Rule(self._alternatives(0), self._references)
            if len(rules) > MAX_RULES:
                raise self._error(f"more than {MAX_RULES} rules")
            if self._at < len(self._text) and self._text[self._at] not in "\r\n":
                raise self._error("expected the end of the rule")
            self._skip(_BLANK_LINES)
        return rules

    def _alternatives(self, depth: int) -> _Alternatives:
        if depth > MAX_DEPTH:
            raise self._error(f"parentheses nested deeper than {MAX_DEPTH}")
        found = _Alternatives([self._sequence(depth)])
        while self._text.startswith("|", self._at):
            self._at += 1
            self._skip(_BLANK_LINES)
            found.sequences.append(self._sequence(depth))
        return found

    def _sequence(self, depth: int) -> _Sequence:
        sequence = _Sequence()
        while True:
            before, rules_before = self._at, len(self._symbols) + self._made
            what = self._item(depth)
            if isinstance(what, _End):
                return sequence
            # Of what is repeated, a string is written out again and again, a group only referred to.
            length = self._at - before if what is None else 1
            rules = len(self._symbols) + self._made - rules_before if isinstance(what, _Alternatives) else 1
            item = self._repetitions(
                _Item(what, False, 1, self._text[before : self._at] if what is None else ""), max(rules, 1)
            )
            self._elements += length * max(item.most, 1)
            if self._elements > MAX_ELEMENTS:
                raise self._error(f"more than {MAX_ELEMENTS} characters and references, repetitions written out")
            sequence.items.append(item)
            self._skip(_BLANK_LINES if depth else _BLANK)

    def _item(self, depth: int) -> _Alternatives | str | _End | None:
        text, at = self._text, self._at
        head = text[at : at + 1]
        if head == '"':
            literal = self._expect(_STRING, "the end of a string")
            self._check_escapes(literal.group(1))
            return None if literal.group(1) else _Alternatives([_Sequence()])
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

    def _repetitions(self, item: _Item, rules: int) -> _Item:
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


def _may_be_empty(what: _Alternatives | str | None, nullable: set[str]) -> bool:
    if what is None:
        return False
    if isinstance(what, str):
        return what in nullable
    return any(
        all(item.optional or _may_be_empty(item.what, nullable) for item in sequence.items)
        for sequence in what.sequences
    )


def _nullable_rules(rules: dict[str, _Rule]) -> set[str]:
    users: dict[str, set[str]] = {}
    for name, rule in rules.items():
        for reference, _ in rule.references:
            users.setdefault(reference, set()).add(name)
    nullable: set[str] = set()
    waiting = list(rules)
    while waiting:
        name = waiting.pop()
        if name not in nullable and _may_be_empty(rules[name].body, nullable):
            nullable.add(name)
            waiting.extend(users.get(name, ()))
    return nullable


def _first_names(body: _Alternatives, nullable: set[str]) -> set[str]:
    """Rules that may be entered before any character was taken."""
    names: set[str] = set()
    for sequence in body.sequences:
        for item in sequence.items:
            if isinstance(item.what, str):
                names.add(item.what)
            elif item.what is not None:
                names |= _first_names(item.what, nullable)
            if not item.optional and not _may_be_empty(item.what, nullable):
                break
    return names


def _without_left_recursion(rules: dict[str, _Rule], nullable: set[str]) -> list[str]:
    """Order the rules so that each comes after those that it can begin with.

    Raises:
        InvalidRequestError: One can begin with itself; llama.cpp would never come to a character.
    """
    edges = {name: sorted(_first_names(rule.body, nullable)) for name, rule in rules.items()}
    done: dict[str, None] = {}
    for start in rules:
        path: list[tuple[str, int]] = [(start, 0)]
        on_path = {start}
        while path:
            name, next_edge = path.pop()
            if next_edge >= len(edges[name]) or name in done:
                on_path.discard(name)
                done[name] = None
                continue
            path.append((name, next_edge + 1))
            target = edges[name][next_edge]
            if target in on_path:
                raise InvalidRequestError(
                    f"The grammar's rule `{target}` can begin with itself (left recursion).",
                    hint="Write it with a repetition, such as `list ::= item list-rest*`.",
                )
            if target not in done:
                path.append((target, 0))
                on_path.add(target)
    return list(done)


_Ways = tuple[int, int]
"""In how many ways something can be empty, and how many places for a first character it offers."""
_CAP = 10**6  # numbers beyond the limit need not be exact


def _check_ways(rules: dict[str, _Rule], order: list[str]) -> None:
    """Refuse a grammar that offers too many ways to go on: each token would take llama.cpp seconds, or for ever."""
    known: dict[str, _Ways] = {}
    for name in order:
        known[name] = _ways_of(rules[name].body, known)
    for name, rule in rules.items():
        if _most_ways(rule.body, known) > MAX_WAYS:
            raise InvalidRequestError(
                f"The grammar's rule `{name}` leaves more than {MAX_WAYS} ways to go on from one place.",
                hint="Many optional parts in a row do that; write them as one repetition of alternatives.",
            )


def _ways_of(body: _Alternatives, known: dict[str, _Ways]) -> _Ways:
    """Ways through alternatives. Only what can come first counts, so `known` need not have the rest."""
    empty = width = 0
    for sequence in body.sequences:
        head: list[_Ways] = []
        for item in sequence.items:
            head.append(_ways_of_item(item, known))
            if not head[-1][0]:
                break
        ways = (1, 0)
        for first in reversed(head):
            ways = _then(first, ways)
        empty, width = min(_CAP, empty + ways[0]), min(_CAP, width + ways[1])
    return empty, width


def _ways_of_item(item: _Item, known: dict[str, _Ways]) -> _Ways:
    if item.what is None:
        empty, width = 0, 1
    elif isinstance(item.what, str):
        empty, width = known[item.what]
    else:
        empty, width = _ways_of(item.what, known)
    if empty and item.most > 1:
        one, ways = (empty, width), (1, 0)
        for _ in range(min(item.most, MAX_NULLABLE_REPETITION)):
            again = _then(one, ways)
            ways = (min(_CAP, again[0] + 1), again[1])
        empty, width = ways
    return (min(_CAP, empty + 1), width) if item.optional else (empty, width)


def _then(first: _Ways, rest: _Ways) -> _Ways:
    """Ways through two things in a row."""
    return min(_CAP, first[0] * rest[0]), min(_CAP, first[1] + first[0] * rest[1])


def _most_ways(body: _Alternatives, known: dict[str, _Ways]) -> int:
    """The largest number of ways from any place inside, however it is come to."""
    most = 0
    for sequence in body.sequences:
        ways = (1, 0)
        for item in reversed(sequence.items):
            ways = _then(_ways_of_item(item, known), ways)
            most = max(most, *ways)
            if isinstance(item.what, _Alternatives):
                most = max(most, _most_ways(item.what, known))
    return most
