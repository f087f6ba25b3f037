"""Where a grammar's `!<token>` and `<[id]>` may stand: not right after characters.

llama.cpp would let a token stand of which some characters come first and the rest "is another token", and then ends
the process when that token is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langchain_localmodels.dialects.gbnf import _Alternatives, _Item, _Rule, _Sequence


def rule_with_negated_token_after_characters(rules: dict[str, _Rule], nullable: set[str]) -> str | None:
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

    def begins(self, body: _Alternatives) -> bool:
        return any(self._reaches(sequence.items, self._item_begins) for sequence in body.sequences)

    def ends(self, body: _Alternatives) -> bool:
        return any(self._reaches(sequence.items[::-1], self._item_ends) for sequence in body.sequences)

    def meets(self, body: _Alternatives) -> bool:
        return any(self._meets_in(sequence) for sequence in body.sequences)

    def _meets_in(self, sequence: _Sequence) -> bool:
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

    def _reaches(self, items: list[_Item], test: Callable[[_Item], bool]) -> bool:
        for item in items:
            if test(item):
                return True
            if not item.optional and not self._may_be_empty(item):
                return False
        return False

    def _item_begins(self, item: _Item) -> bool:
        if item.what is None:
            return item.negated_token
        return item.what in self._begins if isinstance(item.what, str) else self.begins(item.what)

    def _item_ends(self, item: _Item) -> bool:
        if item.what is None:
            return item.character
        return item.what in self._ends if isinstance(item.what, str) else self.ends(item.what)

    def _may_be_empty(self, item: _Item) -> bool:
        if item.what is None:
            return False
        if isinstance(item.what, str):
            return item.what in self._nullable
        return any(all(i.optional or self._may_be_empty(i) for i in s.items) for s in item.what.sequences)
