"""Where a grammar's tokens may stand: `!<token>` and `<[id]>` not right after characters, `<name>` not after its own.

llama.cpp would let a token stand of which some characters come first and the rest "is another token", or is the token
itself, and then ends the process when that token is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce
from operator import or_

from langchain_localmodels.dialects.gbnf_characters import places
from langchain_localmodels.dialects.gbnf_parser import Alternatives, Item, Rule, Sequence, may_be_empty


def rule_with_negated_token_after_characters(rules: dict[str, Rule], nullable: set[str]) -> str | None:
    """Give the name of a rule where `!<token>` can come right after a character."""
    begins: set[str] = set()  # rules that can begin with such a token
    ends: set[str] = set()  # rules that can end with a character
    search = _Search(begins, ends, nullable)
    grows = True
    while grows:
        before = len(begins) + len(ends)
        begins.update(name for name, rule in rules.items() if name not in begins and search.begins(rule.body))
        ends.update(name for name, rule in rules.items() if name not in ends and search.ends(rule.body))
        grows = len(begins) + len(ends) > before
    return next((name for name, rule in rules.items() if search.meets(rule.body)), None)


class _Search:
    def __init__(self, begins: set[str], ends: set[str], nullable: set[str]) -> None:
        self._begins, self._ends, self._nullable = begins, ends, nullable

    def begins(self, body: Alternatives) -> bool:
        return any(self._reaches(sequence.items, self._item_begins) for sequence in body.sequences)

    def ends(self, body: Alternatives) -> bool:
        return any(self._reaches(sequence.items[::-1], self._item_ends) for sequence in body.sequences)

    def meets(self, body: Alternatives) -> bool:
        return any(self._meets_in(sequence) for sequence in body.sequences)

    def _meets_in(self, sequence: Sequence) -> bool:
        items = sequence.items
        for number, item in enumerate(items):
            if self._item_ends(item):
                # What is repeated comes after itself as well.
                if item.repeated and self._item_begins(item):
                    return True
                if self._reaches(items[number + 1 :], self._item_begins):
                    return True
            if not isinstance(item.what, str | None) and self.meets(item.what):
                return True
        return False

    def _reaches(self, items: list[Item], test: Callable[[Item], bool]) -> bool:
        for item in items:
            if test(item):
                return True
            if not item.optional and not may_be_empty(item.what, self._nullable):
                return False
        return False

    def _item_begins(self, item: Item) -> bool:
        if item.what is None:
            return item.negated_token
        return item.what in self._begins if isinstance(item.what, str) else self.begins(item.what)

    def _item_ends(self, item: Item) -> bool:
        if item.what is None:
            return item.character
        return item.what in self._ends if isinstance(item.what, str) else self.ends(item.what)


# --- <name>, whose text is known --------------------------------------------------------------------------------------


def token_after_its_own_beginning(rules: dict[str, Rule]) -> tuple[str, str] | None:
    """Find a `<name>` that can come right after characters that this token's own text begins with.

    Returns:
        The rule where that is so, and the token; `None` where there is none.
    """
    leaves = [item.source for rule in rules.values() for item in _leaves(rule.body)]
    for token in dict.fromkeys(source for source in leaves if _is_named(source)):
        if (rule := _Walk(rules, token).rule_that_meets()) is not None:
            return rule, token
    return None


def _leaves(body: Alternatives) -> Iterator[Item]:
    for sequence in body.sequences:
        for item in sequence.items:
            if item.what is None:
                yield item
            elif not isinstance(item.what, str):
                yield from _leaves(item.what)


def _is_named(source: str) -> bool:
    return source.startswith("<") and not source.startswith("<[")


class _Walk:
    """Follows how much of a token's text the latest characters spell, through all ways of a grammar at once.

    A state is the number of its characters that were spelt; a set of states is an integer with a bit for each. Nothing
    spelt (bit 0) is always among them, since an answer may have come to a token's end anywhere.
    """

    def __init__(self, rules: dict[str, Rule], token: str) -> None:
        self._rules, self._token = rules, token
        self._through = dict.fromkeys(rules, (0,) * len(token))
        """For each rule and state at its beginning, the states at its end."""
        self._steps: dict[str, list[int]] = {}
        self._met = False

    def rule_that_meets(self) -> str | None:
        """Give a rule in which the token comes after its own beginning."""
        grows = True
        while grows:
            grows = False
            for name, rule in self._rules.items():
                through = tuple(self._after(rule.body, 1 << state, None) for state in range(len(self._token)))
                grows = grows or through != self._through[name]
                self._through[name] = through
        entered = {"root": 1}
        waiting = ["root"]
        while waiting:
            name = waiting.pop()
            self._met = False
            found: dict[str, int] = {}
            self._after(self._rules[name].body, entered[name], found)
            if self._met:
                return name
            for reference, states in found.items():
                if states & ~entered.get(reference, 0):
                    entered[reference] = entered.get(reference, 0) | states
                    waiting.append(reference)
        return None

    def _after(self, body: Alternatives, states: int, entered: dict[str, int] | None) -> int:
        return reduce(or_, (self._after_items(sequence.items, states, entered) for sequence in body.sequences), 0)

    def _after_items(self, items: list[Item], states: int, entered: dict[str, int] | None) -> int:
        for item in items:
            reached = before = states | 1
            while True:
                after = self._after_item(item, reached, entered) | 1
                if not item.repeated or not after & ~reached:
                    break
                reached |= after
            states = after | before if item.optional else after
        return states

    def _after_item(self, item: Item, states: int, entered: dict[str, int] | None) -> int:
        if isinstance(item.what, str):
            if entered is not None:
                entered[item.what] = entered.get(item.what, 0) | states
            through = self._through[item.what]
            return reduce(or_, (through[state] for state in range(len(through)) if states >> state & 1), 0)
        if item.what is not None:
            return self._after(item.what, states, entered)
        if item.source[0] in "<!":
            self._met = self._met or (item.source == self._token and states > 1)
            return 1
        for step in self._spelling(item.source):
            # Spelling it to its end is no beginning any more: the last bit falls out.
            states = (states & step) << 1 | 1
        return states & (1 << len(self._token)) - 1

    def _spelling(self, source: str) -> list[int]:
        """For each character that a string or class takes, the states that it may lead on from."""
        if source not in self._steps:
            self._steps[source] = [
                sum(1 << state for state, wanted in enumerate(self._token[:-1]) if place.takes(wanted))
                for place in places(source)
            ]
        return self._steps[source]
