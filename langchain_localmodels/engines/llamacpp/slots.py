"""The sequences of a context: what each one holds, and which one suits the next request best. No decoding here."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

from langchain_localmodels.engines.common import common_prefix

if TYPE_CHECKING:
    from langchain_localmodels.engines.llamacpp.binding.context import Context
    from langchain_localmodels.engines.llamacpp.requests import Job

_SMALL_LOSS = 8
"""So many tokens are computed again sooner than another slot is taken: the end of an answer may be written otherwise
in the history of the next request."""

_WORTH_WAITING = 32
"""So long a beginning that another request is just reading is waited for, sooner than read as well."""


class Slot:
    """One sequence of the context. Its tokens stay after a request ends, for the next one that begins alike.

    Attributes:
        sequence: Its number in the context.
        tokens: What it holds.
        cells: For each of them, a number for the place in the KV cache; slots that share a place have it in common.
        job: The request that it works on.
        last_used: When it was given or released last, as a number that grows.
    """

    def __init__(self, sequence: int) -> None:
        self.sequence = sequence
        self.tokens: list[int] = []
        self.cells: list[int] = []
        self.job: Job | None = None
        self.last_used = 0


class Slots:
    """All sequences of one context.

    Args:
        context: The context whose memory they are.
        can_cut_back: Whether a sequence can be cut back to any earlier token (not so for recurrent models).
    """

    def __init__(self, context: Context, *, can_cut_back: bool) -> None:
        self._context = context
        self._can_cut_back = can_cut_back
        self._slots = [Slot(sequence) for sequence in range(context.params.n_parallel)]
        self._clock = itertools.count(1)
        self._next_cell = 0
        self._holders: dict[int, int] = {}
        self.running: list[Slot] = []
        """Slots with a request, the longest at work first."""

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._slots)

    @property
    def cells_used(self) -> int:
        """Places of the KV cache that hold a token."""
        return len(self._holders)

    def has_room_for(self, job: Job) -> bool:
        """Whether there is a free slot, and cells for this request beside what the running ones have yet to hold."""
        if len(self.running) == len(self._slots):
            return False
        wanted = len(job.tokens)
        if sum(len(slot.job.tokens) for slot in self.running if slot.job) + wanted < self._context.cells:
            return True
        # What is shared counts once. Idle sequences do not count: they are forgotten where room is needed.
        held = len(set().union(*(slot.cells for slot in self.running)))
        to_come = sum(len(slot.job.tokens) - len(slot.tokens) for slot in self.running if slot.job)
        lent = max((self._reusable(slot, job) for slot in self.running), default=0) if self._can_cut_back else 0
        return held + to_come + wanted - lent < self._context.cells

    def soon_has_more_for(self, job: Job) -> bool:
        """Whether a request that is being read now begins like this one, further than any sequence does yet.

        All prompts of a batch often begin with the same instructions: one reads them, the others wait for that.
        """
        if not self._can_cut_back:
            return False
        reading = [slot for slot in self.running if slot.job and len(slot.tokens) < len(slot.job.tokens) - 1]
        if not reading:
            return False
        most = len(job.tokens) - 1
        shared = [(common_prefix(slot.job.tokens, job.tokens, most), slot) for slot in reading if slot.job]
        soon = max((common for common, slot in shared if common > len(slot.tokens)), default=0)
        now = max(self._reusable(slot, job) for slot in self._slots)
        return soon >= _WORTH_WAITING and soon - now > _SMALL_LOSS

    def admit(self, job: Job) -> Slot:
        """Give a request a free slot, and put the longest beginning that any sequence shares with it in place."""
        free = [slot for slot in self._slots if slot.job is None]
        source = max(self._slots if self._can_cut_back else free, key=lambda slot: self._worth(slot, job))
        reused = self._reusable(source, job)
        slot = source if reused and not self._can_cut_back else self._place(source, reused, free)
        if slot is not source:
            self._cut(slot, 0)
            if reused and self._can_cut_back:
                self._lend(source, slot, reused)
        self._cut(slot, reused)
        slot.job = job
        slot.last_used = next(self._clock)
        self.running.append(slot)
        return slot

    def _place(self, source: Slot, reused: int, free: list[Slot]) -> Slot:
        """Choose the slot for a request that shares its first `reused` tokens with `source`."""
        oldest = min(free, key=lambda slot: (bool(slot.tokens), slot.last_used))
        if source.job is not None or not reused:
            return oldest
        # A conversation goes on in its own slot, where little is lost. What merely begins alike, as agents with a
        # common system prompt do, is lent to another one: its cells are shared, not copied, and the rest of the lender
        # stays. Where another history would have to go for that, the smaller loss decides.
        loss = len(source.tokens) - reused
        if oldest is source or loss <= _SMALL_LOSS:
            return source
        return source if oldest.tokens and loss <= len(oldest.tokens) else oldest

    def extend(self, slot: Slot, tokens: Sequence[int]) -> None:
        """Note that a slot now holds these tokens more."""
        slot.tokens.extend(tokens)
        cells = range(self._next_cell, self._next_cell + len(tokens))
        self._next_cell += len(tokens)
        slot.cells.extend(cells)
        self._holders.update(dict.fromkeys(cells, 1))

    def release(self, slot: Slot) -> None:
        """Take a request out of its slot; what the sequence holds stays."""
        if slot.job is not None:
            self.running.remove(slot)
        slot.job = None
        slot.last_used = next(self._clock)

    def forget(self, slot: Slot) -> None:
        """Empty a sequence, also of what a batch that failed half-way may have left in it."""
        self._context.cut(slot.sequence, 0)
        self._cut(slot, 0)

    def make_room(self) -> bool:
        """Empty the idle sequence that was used least recently; False when none holds anything."""
        idle = [slot for slot in self._slots if slot.job is None and slot.tokens]
        if not idle:
            return False
        self.forget(min(idle, key=lambda slot: slot.last_used))
        return True

    def _worth(self, slot: Slot, job: Job) -> tuple[int, bool, int]:
        return (self._reusable(slot, job), slot.job is None, -slot.last_used)

    def _reusable(self, slot: Slot, job: Job) -> int:
        """How many tokens of a request a slot can spare it. The last one is always computed, for its logits."""
        shared = common_prefix(slot.tokens, job.tokens, len(job.tokens) - 1)
        if shared == len(slot.tokens):
            return shared
        return shared if self._can_cut_back and self._context.can_go_on_at(slot.sequence, shared) else 0

    def _lend(self, source: Slot, slot: Slot, length: int) -> None:
        """Let an empty slot share the first tokens of another one."""
        self._context.copy(source.sequence, slot.sequence, length)
        slot.tokens = source.tokens[:length]
        slot.cells = source.cells[:length]
        for cell in slot.cells:
            self._holders[cell] += 1

    def _cut(self, slot: Slot, length: int) -> None:
        if len(slot.tokens) > length and not self._context.cut(slot.sequence, length):
            self._context.cut(slot.sequence, 0)
            length = 0
        for cell in slot.cells[length:]:
            if self._holders[cell] == 1:
                del self._holders[cell]
            else:
                self._holders[cell] -= 1
        del slot.tokens[length:], slot.cells[length:]
