"""Follows a grammar along texts of its own making, and counts in how many ways each can be read.

llama.cpp keeps all those ways at once. Where a text can be read in twice as many ways with every character, it is busy
for ever after some thirty of them, and no call that has begun can be stopped.
"""

from __future__ import annotations

import random
from dataclasses import replace

from langchain_localmodels.dialects.gbnf_characters import Place, places
from langchain_localmodels.dialects.gbnf_parser import Item, Rule

_WALKS, _LENGTH = 8, 64
_MOST_CHECKS = 200_000
"""Work after which a grammar is taken for good: a hundredth of this is usual."""

_Stack = int
_END: _Stack = 0
_Leaf = tuple[Item, int, _Stack]
"""An item that takes characters, how many of its places are taken, and what comes after it."""


def text_of_many_readings(rules: dict[str, Rule], most: int) -> str | None:
    """Find a text that can be read in too many ways.

    Args:
        rules: A grammar without left recursion, whose references are all defined.
        most: How many ways are too many.

    Returns:
        Such a text; `None` where none was found.
    """
    chance = random.Random(0)  # the same grammar is judged alike each time
    follower = _Follower(rules)
    for _ in range(_WALKS):
        leaves, text = follower.begin(), ""
        while leaves and len(text) < _LENGTH and follower.checks < _MOST_CHECKS:
            if (step := follower.step(leaves, chance)) is None:
                break
            character, leaves = step
            text += character
            if len(leaves) > most:
                return text
    return None


class _Follower:
    def __init__(self, rules: dict[str, Rule]) -> None:
        self._rules = rules
        self._stacks: list[tuple[tuple[Item, ...], int, _Stack]] = [((), 0, _END)]
        self._numbers: dict[tuple[int, int, _Stack], _Stack] = {}
        self._again: dict[int, tuple[Item, ...]] = {}
        self._items: dict[int, tuple[Item, ...]] = {}
        self._places: dict[str, list[Place]] = {}
        self._reached: dict[_Stack, list[_Leaf]] = {}
        self.checks = 0

    def begin(self) -> list[_Leaf]:
        return self._leaves(self._push((Item("root", optional=False, most=1),), 0, _END))

    def step(self, leaves: list[_Leaf], chance: random.Random) -> tuple[str, list[_Leaf]] | None:
        """Take one more character or token, of some that are possible the one that leaves most ways open."""
        best: tuple[str, list[_Leaf]] | None = None
        for item, at, _ in chance.sample(leaves, min(3, len(leaves))):
            character = item.source if item.source[0] in "<!" else self._of(item)[at].example(chance)
            if character is None:
                continue
            taken = self._take(leaves, character)
            if best is None or len(taken) > len(best[1]):
                best = character, taken
        return best

    def _take(self, leaves: list[_Leaf], character: str) -> list[_Leaf]:
        found: dict[tuple[int, int, _Stack], _Leaf] = {}
        for item, at, after in leaves:
            self.checks += 1
            is_token = item.source[0] in "<!"
            by_name = is_token or len(character) > 1
            if not (item.source == character if by_name else self._of(item)[at].takes(character)):
                continue
            rest = [(item, at + 1, after)] if not is_token and at + 1 < len(self._of(item)) else self._leaves(after)
            for leaf in rest:
                found[id(leaf[0]), leaf[1], leaf[2]] = leaf
        return list(found.values())

    def _leaves(self, stack: _Stack) -> list[_Leaf]:
        """All items that can take the next character."""
        if stack not in self._reached:
            found: dict[tuple[int, _Stack], _Leaf] = {}
            seen: set[_Stack] = set()
            waiting = [stack]
            while waiting:
                stack_now = waiting.pop()
                if stack_now == _END or stack_now in seen:
                    continue
                seen.add(stack_now)
                items, at, parent = self._stacks[stack_now]
                item = items[at]
                after = self._push(items, at + 1, parent)
                if item.optional:
                    waiting.append(after)
                if item.repeated:
                    again = self._again.setdefault(id(item), (replace(item, optional=True),))
                    after = self._push(self._again.setdefault(id(again[0]), again), 0, after)
                if item.what is None:
                    found[id(item), after] = (item, 0, after)
                    continue
                body = self._rules[item.what].body if isinstance(item.what, str) else item.what
                waiting += [self._push(self._tuple(sequence.items), 0, after) for sequence in body.sequences]
            self._reached[stack] = list(found.values())
        return self._reached[stack]

    def _push(self, items: tuple[Item, ...], at: int, parent: _Stack) -> _Stack:
        if at >= len(items):
            return parent
        key = (id(items), at, parent)
        if key not in self._numbers:
            self._numbers[key] = len(self._stacks)
            self._stacks.append((items, at, parent))
        return self._numbers[key]

    def _tuple(self, items: list[Item]) -> tuple[Item, ...]:
        return self._items.setdefault(id(items), tuple(items))

    def _of(self, item: Item) -> list[Place]:
        if item.source not in self._places:
            self._places[item.source] = places(item.source)
        return self._places[item.source]
