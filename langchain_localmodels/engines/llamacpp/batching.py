"""Continuous batching: requests join and leave between two calls of `decode`. No threads here, and no LangChain.

Each step builds one batch out of the next token of every running request and slices of the prompts that are still
being read, so that running streams go on while a long prompt comes in. Requests are served first come, first served;
when the KV cache is full, idle sequences are forgotten first, then the youngest request waits and is computed again.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from langchain_localmodels.engines.base import Delta
from langchain_localmodels.engines.llamacpp.slots import Slot, Slots
from langchain_localmodels.engines.llamacpp.stats import EngineStats
from langchain_localmodels.engines.worker import WorkerStream, wake
from langchain_localmodels.errors import EngineError

if TYPE_CHECKING:  # this runs on other contexts as well, in tests without an engine
    from langchain_localmodels.engines.llamacpp.binding.context import Batch, Context
    from langchain_localmodels.engines.llamacpp.requests import Job

_NO_LOGITS = -1


class Batcher:
    """Works on all requests of one context, step by step. One thread uses it; `stats` is for any.

    Args:
        context: The context.
        batch: What it fills.
        slots: The context's sequences.
        chunk: Most tokens of one prompt in a step, and of all prompts together in a step that others wait for.
    """

    def __init__(self, context: Context, batch: Batch, slots: Slots, *, chunk: int) -> None:
        self._context = context
        self._batch = batch
        self._slots = slots
        self._chunk = chunk
        self._waiting: deque[Job] = deque()
        self._short_ones_turn = False
        self._requests = self._prefix_hits = self._prompt_tokens = self._reused_tokens = 0
        self._generated_tokens = self._preemptions = 0
        self._busy_seconds = 0.0

    @property
    def has_work(self) -> bool:
        """Whether any request runs or waits."""
        return bool(self._waiting or self._slots.running)

    def add(self, job: Job) -> None:
        """Queue a request."""
        self._waiting.append(job)

    def step(self) -> None:
        """Drop what was closed, admit what has room, and compute one batch."""
        began = time.perf_counter()
        self._drop_closed()
        self._admit()
        self._compute()
        self._busy_seconds += time.perf_counter() - began

    def fail_all(self, error: BaseException) -> None:
        """End every request with an error."""
        jobs = [*self._waiting, *(slot.job for slot in self._slots.running if slot.job)]
        self._waiting.clear()
        for slot in list(self._slots.running):
            self._slots.release(slot)
        for job in jobs:
            job.fail(error)

    def stats(self, queued: int) -> EngineStats:
        """Give the figures, with so many more requests that have not got here yet."""
        return EngineStats(
            slots=self._slots.count,
            running=len(self._slots.running),
            queued=len(self._waiting) + queued,
            kv_cells=self._context.cells,
            kv_used=self._slots.cells_used,
            requests=self._requests,
            prefix_hits=self._prefix_hits,
            prompt_tokens=self._prompt_tokens,
            reused_tokens=self._reused_tokens,
            generated_tokens=self._generated_tokens,
            preemptions=self._preemptions,
            busy_seconds=self._busy_seconds,
        )

    # --- who works --------------------------------------------------------------------------------------------------

    def _drop_closed(self) -> None:
        for _ in range(len(self._waiting)):
            job = self._waiting.popleft()
            if job.stream.closed:
                job.drop()
            else:
                self._waiting.append(job)
        for slot in list(self._slots.running):
            if slot.job is not None and slot.job.stream.closed:
                slot.job.drop()
                self._slots.release(slot)

    def _admit(self) -> None:
        """Give slots to the requests that came first; one that waits for the beginning of its prompt lets others by."""
        held: list[Job] = []
        try:
            # Who waits for a beginning keeps a slot free for it.
            while self._waiting and len(self._slots.running) + len(held) < self._slots.count:
                job = self._waiting[0]
                if not self._slots.has_room_for(job):
                    break
                is_held = self._slots.soon_has_more_for(job)
                self._waiting.popleft()
                if is_held:
                    held.append(job)
                else:
                    self._begin(job)
        finally:
            self._waiting.extendleft(reversed(held))

    def _begin(self, job: Job) -> None:
        is_new = not job.admitted
        try:
            slot = self._slots.admit(job)
        except BaseException as error:  # noqa: BLE001 - it belongs to the reader of this one stream
            job.fail(error)
            return
        job.admit(len(slot.tokens))
        if is_new:
            self._requests += 1
            self._prompt_tokens += len(job.plan.prompt)
            self._reused_tokens += job.reused
            self._prefix_hits += bool(job.reused)

    def _preempt(self) -> bool:
        """Send the youngest request back to the queue; False when there is only one."""
        if len(self._slots.running) < 2:
            return False
        slot = self._slots.running[-1]
        assert slot.job is not None
        self._waiting.appendleft(slot.job)
        self._slots.release(slot)
        self._slots.forget(slot)
        self._preemptions += 1
        return True

    # --- what is computed -------------------------------------------------------------------------------------------

    def _compute(self) -> None:
        while self._slots.running:
            entries = self._fill_batch()
            try:
                code = self._context.decode(self._batch)
            except EngineError as error:
                self._fail([slot for slot, _, _ in entries], error)
                return
            if code == 0:
                self._take_outputs(entries)
                return
            if code != 1:
                return  # aborted: the thread is being stopped
            if not self._slots.make_room() and not self._preempt():
                full = EngineError("The KV cache has no room even for one request.")
                self._fail(list(self._slots.running), full)
                return

    def _fill_batch(self) -> list[tuple[Slot, int, int]]:
        """Put tokens of the running requests into the batch.

        Returns:
            For each slot in it: how many of its tokens, and the index of its logits, or -1 where none are wanted.
        """
        self._batch.clear()
        entries: list[tuple[Slot, int, int]] = []
        reading: list[tuple[Slot, int]] = []
        for slot in self._slots.running:
            assert slot.job is not None
            rest = len(slot.job.tokens) - len(slot.tokens)
            if rest == 1:
                entries.append(self._put(slot, 1, rest))
            else:
                reading.append((slot, rest))
        for slot, count in self._slices(reading, others_wait=bool(entries)):
            assert slot.job is not None
            entries.append(self._put(slot, count, len(slot.job.tokens) - len(slot.tokens)))
        return entries

    def _slices(self, reading: list[tuple[Slot, int]], *, others_wait: bool) -> list[tuple[Slot, int]]:
        """How much of each prompt to read now, given how much of each is left.

        Prompts that are short, or nearly read, have every second step for themselves: beside a slice of a long one
        they would wait for several times their own time. Of the other steps, half of what there is goes to the prompt
        that came first, so that it cannot be held up for ever, and the rest to the shortest ones.
        """
        if not reading:
            return []
        room = self._batch.size - self._batch.count
        budget = min(room, self._chunk if others_wait else self._chunk * len(reading))
        short = [entry for entry in reading if entry[1] <= self._chunk // 2]
        self._short_ones_turn = bool(short) and len(short) < len(reading) and not self._short_ones_turn
        if self._short_ones_turn:
            reading = short
        oldest, rest = reading[0]
        counts: dict[int, int] = {}
        kept = min(rest, self._chunk, max(1, budget // 2) if len(reading) > 1 else budget)
        budget -= kept
        for slot, left in sorted(reading[1:], key=lambda entry: entry[1]):
            counts[slot.sequence] = min(left, self._chunk, budget)
            budget -= counts[slot.sequence]
        counts[oldest.sequence] = kept + min(rest - kept, self._chunk - kept, budget)
        return [(slot, counts[slot.sequence]) for slot, _ in reading if counts[slot.sequence]]

    def _put(self, slot: Slot, count: int, rest: int) -> tuple[Slot, int, int]:
        job = slot.job
        assert job is not None
        held = len(slot.tokens)
        wanted = count == rest
        index = self._batch.add(job.tokens[held : held + count], held, slot.sequence, want_logits=wanted)
        return slot, count, index if wanted else _NO_LOGITS

    def _take_outputs(self, entries: list[tuple[Slot, int, int]]) -> None:
        touched: list[WorkerStream[Delta]] = []
        for slot, count, index in entries:
            job = slot.job
            assert job is not None
            held = len(slot.tokens)
            self._slots.extend(slot, job.tokens[held : held + count])
            if index == _NO_LOGITS:
                continue
            touched.append(job.stream)
            try:
                self._advance(slot, job, index)
            except BaseException as error:  # noqa: BLE001 - one request's failure must not end the others'
                self._slots.release(slot)
                job.fail(error)
        wake(touched)

    def _advance(self, slot: Slot, job: Job, index: int) -> None:
        before = job.generated
        reason = job.advance(self._context.logits(index))
        self._generated_tokens += job.generated - before
        if reason is not None:
            self._slots.release(slot)
            job.finish(reason)

    def _fail(self, slots: list[Slot], error: BaseException) -> None:
        """Fail what was in a failed batch, whose sequences may hold half of it."""
        for slot in slots:
            job = slot.job
            self._slots.release(slot)
            self._slots.forget(slot)
            if job is not None:
                job.fail(error)
