"""The sequences of a context: what each one holds, and which one suits the next request best. No decoding here."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from langchain_localmodels.engines.llamacpp.binding.context import Context
from langchain_localmodels.engines.llamacpp.requests import Job

_SMALL_LOSS = 8
"""So many tokens are computed again sooner than another slot is taken: the end of an answer may be written otherwise
in the history of the next request."""


class Slot:
    """One sequence of the context. Its tokens stay after a request ends, for the next one that begins alike."""

    def __init__(self, sequence: int) -> None:
        self.sequence = sequence
        self.tokens: list[int] = []
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

    def running(self) -> list[Slot]:
        """Slots with a request, the longest at work first."""
        return sorted((slot for slot in self._slots if slot.job), key=lambda slot: slot.last_used)

    def has_room_for(self, job: Job) -> bool:
        """Whether there is a free slot, and cells for this request beside what the running ones have yet to hold."""
        taken = sum(len(slot.job.tokens) for slot in self._slots if slot.job)
        free_slot = any(slot.job is None for slot in self._slots)
        return free_slot and taken + len(job.tokens) < self._context.cells

    def admit(self, job: Job) -> Slot:
        """Give a request a free slot, and put the longest beginning that any sequence shares with it in place."""
        free = [slot for slot in self._slots if slot.job is None]
        source = max(self._slots if self._can_cut_back else free, key=lambda slot: self._worth(slot, job))
        reused = self._reusable(source, job)
        # A conversation goes on in its own slot, where next to nothing of what that holds is lost. What merely begins
        # alike, as agents with a common system prompt do, is lent to another one: its cells are shared, not copied, and
        # the rest of the lender stays.
        goes_on = source.job is None and len(source.tokens) - reused <= _SMALL_LOSS
        others = [slot for slot in free if slot is not source]
        if (reused and (goes_on or not self._can_cut_back)) or not others:
            slot = source
        else:
            slot = min(others, key=lambda slot: (bool(slot.tokens), slot.last_used))
        if slot is not source:
            self._cut(slot, 0)
            if reused and self._can_cut_back:
                self._context.copy(source.sequence, slot.sequence, reused)
                slot.tokens = job.tokens[:reused]
        self._cut(slot, reused)
        slot.job = job
        slot.last_used = next(self._clock)
        job.admit(len(slot.tokens))
        return slot

    def _worth(self, slot: Slot, job: Job) -> tuple[int, bool, int]:
        return (self._reusable(slot, job), slot.job is None, -slot.last_used)

    def release(self, slot: Slot) -> None:
        """Take a request out of its slot; what the sequence holds stays."""
        slot.job = None
        slot.last_used = next(self._clock)

    def forget(self, slot: Slot) -> None:
        """Empty a sequence."""
        self._cut(slot, 0)

    def make_room(self) -> bool:
        """Empty the idle sequence that was used least recently; False when none holds anything."""
        idle = [slot for slot in self._slots if slot.job is None and slot.tokens]
        if not idle:
            return False
        self.forget(min(idle, key=lambda slot: slot.last_used))
        return True

    def _reusable(self, slot: Slot, job: Job) -> int:
        """How many tokens of a request a slot can spare it. The last one is always computed, for its logits."""
        shared = common_prefix(slot.tokens, job.tokens[:-1])
        return shared if self._can_cut_back or shared == len(slot.tokens) else 0

    def _cut(self, slot: Slot, length: int) -> None:
        if len(slot.tokens) > length and not self._context.cut(slot.sequence, length):
            self._context.cut(slot.sequence, 0)
            length = 0
        del slot.tokens[length:]


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the longest common beginning of two lists, by bisection: list comparison runs in C."""
    low, high = 0, min(len(a), len(b))
    if a[:high] == b[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low
