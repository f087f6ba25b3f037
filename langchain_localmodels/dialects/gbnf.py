"""GBNF, llama.cpp's notation for grammars: checked here before the native parser sees it.

That parser prints its complaints to stderr, overruns its stack on deep nesting, and takes minutes over some
repetitions; none of that can be caught. So a grammar must pass `check_grammar` first. The notation is described at
https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from langchain_localmodels.errors import InvalidRequestError

MAX_LENGTH = 500_000
"""Longest grammar, in characters."""
MAX_RULES = 10_000
MAX_DEPTH = 200
"""Deepest nesting of parentheses."""
MAX_REPETITION = 2_000
"""Largest number in `{m,n}`."""
MAX_NULLABLE_REPETITION = 50
"""The same for something that may be empty: the number of ways to match it grows with every repetition."""

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
_TOKEN = re.compile(r"!?<(?:\[\d+\]|[^<>\s]+)>")
_ESCAPE = re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[tnrs\"\\\[\]\-/^.]|.)", re.DOTALL)
_KNOWN_ESCAPE = re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[tnr\"\\\[\]])\Z")
_REPEAT = re.compile(r"\{[ \t]*(\d+)[ \t]*(,?)[ \t]*(\d*)[ \t]*\}")


def check_grammar(gbnf: str) -> None:
    """Check that a grammar is one that llama.cpp reads, and can follow without overrunning anything.

    Args:
        gbnf: The grammar; its start rule is `root`.

    Raises:
        InvalidRequestError: It is not; the message tells the line.
    """
    if len(gbnf) > MAX_LENGTH:
        raise InvalidRequestError(f"The grammar is {len(gbnf)} characters long; {MAX_LENGTH} are allowed.")
    if "\0" in gbnf:
        raise InvalidRequestError("The grammar holds a NUL character.")
    rules = _Parser(gbnf).parse()
    if "root" not in rules:
        raise InvalidRequestError("The grammar has no rule named `root`.", hint="The answer begins with that rule.")
    for name, rule in rules.items():
        for reference, line in rule.references:
            if reference not in rules:
                raise InvalidRequestError(
                    f"The grammar's rule `{name}` uses `{reference}` (line {line}), which is not defined."
                )
    _check_recursion(rules)


@dataclass(slots=True)
class _Sequence:
    """Items one after the other: alternatives, the name of a rule, or `None` for what takes a character."""

    items: list[tuple[_Alternatives | str | None, bool]] = field(default_factory=list)
    """Each with whether it may be left out, as by `?` or `*`."""


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
        self._repeated: list[tuple[_Alternatives | str, int, int]] = []

    def parse(self) -> dict[str, _Rule]:
        rules: dict[str, _Rule] = {}
        self._skip(_BLANK_LINES)
        while self._at < len(self._text):
            name = self._expect(_NAME, "the name of a rule").group()
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
        nullable = _nullable_rules(rules)
        for item, most, line in self._repeated:
            if most > MAX_NULLABLE_REPETITION and _may_be_empty(item, nullable):
                raise InvalidRequestError(
                    f"Line {line} of the grammar repeats something that may be empty {most} times; "
                    f"{MAX_NULLABLE_REPETITION} are allowed.",
                    hint="Make what is repeated match at least one character.",
                )
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
        while (item := self._item(depth)) is not _END:
            assert not isinstance(item, _End)
            sequence.items.append((item, self._repetitions(item)))
            self._skip(_BLANK_LINES if depth else _BLANK)
        return sequence

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
            self._references.append((name.group(), self._line()))
            return name.group()
        return _END

    def _character(self, head: str) -> None:
        if head == "[":
            self._check_escapes(self._expect(_CLASS, "the end of a character class").group(1))
        elif head == ".":
            self._at += 1
        else:
            self._expect(_TOKEN, "a token as in <think> or <[42]>")

    def _repetitions(self, item: _Alternatives | str | None) -> bool:
        """Read what follows an item; gives whether the item may be left out."""
        optional = False
        while True:
            self._skip(_BLANK)
            head = self._text[self._at : self._at + 1]
            if head in ("*", "+", "?") and head:
                self._at += 1
                optional = optional or head != "+"
                continue
            if head != "{":
                return optional
            bounds = self._expect(_REPEAT, "a repetition as in {2,5}")
            least = int(bounds.group(1))
            most = int(bounds.group(3)) if bounds.group(3) else least
            if most > MAX_REPETITION or least > MAX_REPETITION:
                raise self._error(f"more than {MAX_REPETITION} repetitions")
            if bounds.group(3) and most < least:
                raise self._error("a repetition whose end is before its beginning")
            optional = optional or least == 0
            if item is not None:
                self._repeated.append((item, most, self._line()))

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

    def _line(self) -> int:
        return self._text.count("\n", 0, self._at) + 1

    def _error(self, what: str) -> InvalidRequestError:
        rest = self._text[self._at : self._at + 20].split("\n")[0]
        return InvalidRequestError(f"Line {self._line()} of the grammar: {what}, at {rest!r}.")


class _End:
    """No further item."""


_END = _End()


def _may_be_empty(item: _Alternatives | str | None, nullable: set[str]) -> bool:
    if item is None:
        return False
    if isinstance(item, str):
        return item in nullable
    return any(
        all(optional or _may_be_empty(inner, nullable) for inner, optional in sequence.items)
        for sequence in item.sequences
    )


def _nullable_rules(rules: dict[str, _Rule]) -> set[str]:
    nullable: set[str] = set()
    while True:
        more = {name for name, rule in rules.items() if name not in nullable and _may_be_empty(rule.body, nullable)}
        if not more:
            return nullable
        nullable |= more


def _first_names(body: _Alternatives, nullable: set[str]) -> set[str]:
    """Rules that may be entered before any character was taken."""
    names: set[str] = set()
    for sequence in body.sequences:
        for item, optional in sequence.items:
            if isinstance(item, str):
                names.add(item)
            elif item is not None:
                names |= _first_names(item, nullable)
            if not optional and not _may_be_empty(item, nullable):
                break
    return names


def _check_recursion(rules: dict[str, _Rule]) -> None:
    """Refuse a rule that can begin with itself: llama.cpp would never come to a character."""
    nullable = _nullable_rules(rules)
    edges = {name: sorted(_first_names(rule.body, nullable)) for name, rule in rules.items()}
    done: set[str] = set()
    for start in rules:
        path: list[tuple[str, int]] = [(start, 0)]
        on_path = {start}
        while path:
            name, next_edge = path.pop()
            if next_edge >= len(edges[name]) or name in done:
                on_path.discard(name)
                done.add(name)
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
