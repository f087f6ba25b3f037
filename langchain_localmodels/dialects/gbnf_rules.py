"""Grammars put together from parts: rules with names of their own, JSON by schema, and text up to a mark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from langchain_localmodels.dialects.json_schema import schema_grammar, schema_rules
from langchain_localmodels.dialects.json_types import COMMON_RULES

_SPACE = " \t\r\n"
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


class Rules:
    """Collects the rules of one grammar. Methods give items, which stand for what may be written at one place.

    Example:
        ```python
        rules = Rules()
        number = rules.json({"type": "integer"})
        rules.grammar(f'"n=" {number}')
        ```
    """

    def __init__(self) -> None:
        self._rules: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._schemas = 0

    def rule(self, body: str) -> str:
        """Name what a rule says, so that it can be repeated or be one of several; the same twice is one rule."""
        name = self._names.get(body)
        if name is None:
            name = self._names[body] = f"a{len(self._names)}"
            self._rules[name] = body
        return name

    def name(self, hint: str) -> str:
        """A name that is free, for a rule that is defined later because it refers to what is made meanwhile."""
        key = f"{hint} {len(self._names)}"
        name = self._names[key] = f"a{len(self._names)}"
        return name

    def define(self, name: str, body: str) -> None:
        """Say what a rule means that `name` has named."""
        self._rules[name] = body

    def one_of(self, items: Iterable[str]) -> str:
        """Any of these."""
        found = list(dict.fromkeys(items))
        return found[0] if len(found) == 1 else self.rule(" | ".join(found))

    def json(self, schema: Mapping[str, Any] | bool) -> str:
        """A JSON value that follows a schema.

        Raises:
            InvalidRequestError: See `schema_grammar`.
        """
        # In the whole grammar it lies too deep for the search for texts that can be read in too many ways.
        schema_grammar(schema)
        found = schema_rules(schema, prefix=f"s{self._schemas}x")
        self._schemas += 1
        self._rules.update(found.rules)
        return self.rule(found.item)

    def text_until(self, marks: Mapping[str, str], *, may_end: bool = False, not_first: str = "") -> str:
        """Any text up to the first of some marks, the mark, and what follows it.

        Args:
            marks: Each mark with the item that follows it.
            may_end: Whether the text may also end without a mark.
            not_first: Characters that it may not begin with, after white space.

        The rules are the states of the automaton of Aho and Corasick (https://doi.org/10.1145/360825.360855).
        """
        states = {"": ""}
        for mark in marks:
            states.update({mark[:length]: "" for length in range(len(mark))})
        for state in states:
            states[state] = self.name(f"state {state}")
        for state, name in states.items():
            self._rules[name] = _ways_on(state, states, marks, may_end=may_end)
        if not not_first:
            return states[""]
        name = self.name("first")
        first = _ways_on("", states, marks, never=f"{not_first}{_SPACE}")
        self._rules[name] = f"({first} | {_class(_SPACE)} {name})" + ("?" if may_end else "")
        return name

    def grammar(self, root: str) -> str:
        """The whole grammar, whose answers are what this item stands for."""
        lines = "".join(f"{name} ::= {body}\n" for name, body in self._rules.items())
        return f"root ::= {root}\n{lines}{COMMON_RULES}"


def _ways_on(
    state: str, states: Mapping[str, str], marks: Mapping[str, str], *, may_end: bool = False, never: str = ""
) -> str:
    ways: dict[str, list[str]] = {}
    for character in sorted({character for mark in marks for character in mark} - set(never)):
        seen = state + character
        ended = max((mark for mark in marks if seen.endswith(mark)), key=len, default=None)
        if ended is not None:
            # Of two marks that end here the longer one counts, and what follows it is what goes on.
            ways.setdefault(marks[ended], []).append(character)
            continue
        reached = next(seen[start:] for start in range(len(seen) + 1) if seen[start:] in states)
        if reached:
            ways.setdefault(states[reached], []).append(character)
    special = "".join(character for found in ways.values() for character in found) + never
    others = f"[^{_class(special)[1:]}" if special else "."
    alternatives = [f"{others} {states['']}"]
    alternatives += [f"{_class(''.join(found))} {item}".rstrip() for item, found in ways.items()]
    body = " | ".join(alternatives)
    return f"({body})?" if may_end else body


def _class(characters: str) -> str:
    plain = (c if c.isascii() and c.isalnum() else f"\\U{ord(c):08X}" for c in characters)
    return f"[{''.join(plain)}]"


def literal(text: str) -> str:
    """An item that stands for exactly this text."""
    written = "".join(
        _ESCAPES.get(character, character if character.isprintable() else f"\\U{ord(character):08X}")
        for character in text
    )
    return f'"{written}"'
