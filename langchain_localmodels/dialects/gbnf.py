"""GBNF, llama.cpp's notation for grammars: checked here before the native parser sees it.

That parser prints its complaints to stderr, overruns its stack on deep nesting, and takes minutes over some
repetitions; none of that can be caught. So a grammar must pass `check_grammar` first. The notation is described at
https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md.
"""

from __future__ import annotations

from functools import lru_cache

from langchain_localmodels.dialects.gbnf_parser import Alternatives, Item, Parser, Rule, may_be_empty
from langchain_localmodels.dialects.gbnf_tokens import (
    rule_with_negated_token_after_characters,
    token_after_its_own_beginning,
)
from langchain_localmodels.dialects.gbnf_walk import text_of_many_readings
from langchain_localmodels.errors import InvalidRequestError

MAX_LENGTH = 500_000
"""Longest grammar, in characters."""
MAX_NULLABLE_REPETITION = 50
"""The same for something that may be empty: the number of ways to match it grows with every repetition."""
MAX_WAYS = 100
"""Most ways to go on from one place: llama.cpp follows all of them at once, and compares each with each."""
MAX_READINGS = 1000
"""Most ways to read one text: llama.cpp keeps them all, and a text that has so many mostly has twice as many soon."""

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


@lru_cache(maxsize=64)
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
    parser = Parser(gbnf)
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
        if most > MAX_NULLABLE_REPETITION and may_be_empty(item, nullable):
            raise InvalidRequestError(
                f"Line {parser.line(position)} of the grammar repeats something that may be empty {most} times; "
                f"{MAX_NULLABLE_REPETITION} are allowed.",
                hint="Make what is repeated match at least one character.",
            )
    _check_ways(rules, _without_left_recursion(rules, nullable))
    if "<" in gbnf:
        _check_tokens(rules, nullable)
    if (text := text_of_many_readings(rules, MAX_READINGS)) is not None:
        raise InvalidRequestError(
            f"The grammar can read {text!r} in more than {MAX_READINGS} ways.",
            hint="Let alternatives differ as early as they can, above all those that hold themselves again.",
        )


def _check_tokens(rules: dict[str, Rule], nullable: set[str]) -> None:
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


def _nullable_rules(rules: dict[str, Rule]) -> set[str]:
    users: dict[str, set[str]] = {}
    for name, rule in rules.items():
        for reference, _ in rule.references:
            users.setdefault(reference, set()).add(name)
    nullable: set[str] = set()
    waiting = list(rules)
    while waiting:
        name = waiting.pop()
        if name not in nullable and may_be_empty(rules[name].body, nullable):
            nullable.add(name)
            waiting.extend(users.get(name, ()))
    return nullable


def _first_names(body: Alternatives, nullable: set[str]) -> set[str]:
    """Rules that may be entered before any character was taken."""
    names: set[str] = set()
    for sequence in body.sequences:
        for item in sequence.items:
            if isinstance(item.what, str):
                names.add(item.what)
            elif item.what is not None:
                names |= _first_names(item.what, nullable)
            if not item.optional and not may_be_empty(item.what, nullable):
                break
    return names


def _without_left_recursion(rules: dict[str, Rule], nullable: set[str]) -> list[str]:
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


def _check_ways(rules: dict[str, Rule], order: list[str]) -> None:
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


def _ways_of(body: Alternatives, known: dict[str, _Ways]) -> _Ways:
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


def _ways_of_item(item: Item, known: dict[str, _Ways]) -> _Ways:
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


def _most_ways(body: Alternatives, known: dict[str, _Ways]) -> int:
    """The largest number of ways from any place inside, however it is come to."""
    most = 0
    for sequence in body.sequences:
        ways = (1, 0)
        for item in reversed(sequence.items):
            ways = _then(_ways_of_item(item, known), ways)
            most = max(most, *ways)
            if isinstance(item.what, Alternatives):
                most = max(most, _most_ways(item.what, known))
    return most
