"""Continuous batching without a model: on a context that checks every call, whose "scores" tell what it really holds.

A "model" here continues a text with a number made of all tokens that its sequence holds. A token that was not computed
for this request, or not at its place, would change every answer after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from langchain_localmodels.engines.common import common_prefix
from langchain_localmodels.engines.llamacpp import slots as slots_module
from langchain_localmodels.engines.llamacpp.batching import Batcher
from langchain_localmodels.engines.llamacpp.slots import Slots
from langchain_localmodels.engines.worker import WorkerStream
from langchain_localmodels.errors import EngineError

VOCABULARY = 50
_WORTH_WAITING = 6
"""In the machine's short texts; elsewhere it is as it is."""


def score(tokens: Sequence[int]) -> int:
    """What the model says after these tokens."""
    value = 7
    for token in tokens:
        value = (value * 31 + token + 1) % 1_000_003
    return value % VOCABULARY


def answer_alone(prompt: Sequence[int], max_tokens: int) -> list[int]:
    tokens = list(prompt)
    for _ in range(max_tokens):
        tokens.append(score(tokens))
    return tokens[len(prompt) :]


class FakeBatch:
    """The same calls as `binding.context.Batch`, on lists."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.entries: list[tuple[int, int, int, bool]] = []

    @property
    def count(self) -> int:
        return len(self.entries)

    def clear(self) -> None:
        self.entries = []

    def add(self, tokens: Sequence[int], first_position: int, sequence: int, *, want_logits: bool) -> int:
        assert tokens
        assert self.count + len(tokens) <= self.size, "more than n_batch"
        last = len(tokens) - 1
        for i, token in enumerate(tokens):
            self.entries.append((token, first_position + i, sequence, want_logits and i == last))
        return self.count - 1


class FakeContext:
    """The same calls as `binding.context.Context`; holds tokens in cells that sequences share."""

    def __init__(self, *, cells: int, n_parallel: int, n_batch: int, can_cut_back: bool) -> None:
        self.params = SimpleNamespace(n_parallel=n_parallel)
        self.cells = cells
        self.n_batch = n_batch
        self.can_cut_back = can_cut_back
        self.held: list[list[object]] = [[] for _ in range(n_parallel)]
        """The cells of each sequence, in order of position; a cell is known by its identity."""
        self.tokens: dict[int, int] = {}
        self.scores: dict[int, int] = {}
        self.decodes = 0
        self.failures = 0

    def used(self) -> int:
        return len({id(cell) for cells in self.held for cell in cells})

    def read(self, sequence: int) -> list[int]:
        return [cell.token for cell in self.held[sequence]]  # type: ignore[attr-defined]

    def decode(self, batch: FakeBatch) -> int:
        self.decodes += 1
        self.scores = {}
        assert 0 < batch.count <= self.n_batch
        if self.failures:
            self.failures -= 1
            for _, _, sequence, _ in batch.entries[: batch.count // 2]:  # it came half-way
                self.held[sequence].append(SimpleNamespace(token=-1))
            raise EngineError("failed to decode")
        if self.used() + batch.count > self.cells:
            return 1
        for index, (token, position, sequence, wanted) in enumerate(batch.entries):
            assert 0 <= token < VOCABULARY
            assert position == len(self.held[sequence]), "positions of a sequence go on without a gap"
            self.held[sequence].append(SimpleNamespace(token=token))
            if wanted:
                self.scores[index] = score(self.read(sequence))
        return 0

    def logits(self, index: int) -> int:
        return self.scores[index]

    def cut(self, sequence: int, length: int) -> bool:
        if length and length < len(self.held[sequence]) and not self.can_cut_back:
            return False
        del self.held[sequence][length:]
        return True

    def copy(self, source: int, target: int, length: int) -> None:
        assert self.can_cut_back, "a state that cannot be cut back cannot be shared in part"
        assert source != target
        assert length <= len(self.held[source])
        self.held[target] = self.held[source][:length]

    def can_go_on_at(self, sequence: int, length: int) -> bool:
        return True


@dataclass(eq=False)
class FakeJob:
    """The same calls as `requests.Job`."""

    prompt: list[int]
    max_tokens: int
    order: int
    stream: WorkerStream[Any] = field(default_factory=lambda: WorkerStream(lambda _: None))
    admitted: bool = False
    reused: int = 0
    generated: int = 0
    finished: str | None = None
    error: BaseException | None = None
    dropped: bool = False

    def __post_init__(self) -> None:
        self.tokens = list(self.prompt)
        self.plan = SimpleNamespace(prompt=self.prompt)

    def admit(self, reused: int) -> None:
        assert reused < len(self.tokens), "the last token is always computed"
        if not self.admitted:
            self.reused = reused
        self.admitted = True

    def advance(self, logits: int) -> str | None:
        assert not self.over
        self.tokens.append(logits)
        self.generated += 1
        return "length" if self.generated >= self.max_tokens else None

    def finish(self, reason: str) -> None:
        assert not self.over
        self.finished = reason

    def fail(self, error: BaseException) -> None:
        assert not self.over
        self.error = error

    def drop(self) -> None:
        assert not self.over
        self.dropped = True

    @property
    def over(self) -> bool:
        return bool(self.finished or self.error or self.dropped)


class Machine(RuleBasedStateMachine):
    """Requests come, go and fill the cache, in any order."""

    @initialize(
        cells=st.integers(24, 120),
        n_parallel=st.integers(1, 5),
        n_batch=st.integers(6, 40),
        chunk=st.integers(1, 16),
        can_cut_back=st.booleans(),
    )
    def begin(self, cells: int, n_parallel: int, n_batch: int, chunk: int, can_cut_back: bool) -> None:
        self.worth_waiting, slots_module._WORTH_WAITING = slots_module._WORTH_WAITING, _WORTH_WAITING
        self.context = FakeContext(cells=cells, n_parallel=n_parallel, n_batch=n_batch, can_cut_back=can_cut_back)
        self.slots = Slots(self.context, can_cut_back=can_cut_back)  # type: ignore[arg-type]
        self.batch = FakeBatch(n_batch)
        self.batcher = Batcher(self.context, self.batch, self.slots, chunk=min(chunk, n_batch))  # type: ignore[arg-type]
        self.jobs: list[FakeJob] = []

    @rule(
        base=st.integers(0, 2),
        length=st.integers(1, 14),
        own=st.lists(st.integers(0, 3), max_size=4),
        max_tokens=st.integers(1, 8),
    )
    def submit(self, base: int, length: int, own: list[int], max_tokens: int) -> None:
        # Three texts that many requests share beginnings of.
        prompt = [(base * 17 + i * i) % VOCABULARY for i in range(length)] + own
        self._submit(prompt[: self.context.cells - max_tokens - 1], max_tokens)

    @precondition(lambda self: any(job.finished for job in self.jobs))
    @rule(data=st.data(), own=st.lists(st.integers(0, 3), min_size=1, max_size=4))
    def go_on(self, data: st.DataObject, own: list[int]) -> None:
        """Continue a conversation: its whole text, and something new."""
        job = data.draw(st.sampled_from([job for job in self.jobs if job.finished]))
        prompt = job.tokens + own
        if len(prompt) + 4 < self.context.cells:
            self._submit(prompt, 3)

    def _submit(self, prompt: list[int], max_tokens: int) -> None:
        job = FakeJob(prompt, max_tokens, len(self.jobs))
        self.jobs.append(job)
        self.batcher.add(job)  # type: ignore[arg-type]

    @precondition(lambda self: self.batcher.has_work)
    @rule(count=st.integers(1, 6))
    def step(self, count: int) -> None:
        for _ in range(count):
            if self.batcher.has_work:
                self._step()

    def _step(self) -> None:
        closed = [job for job in self.jobs if job.stream.closed and not job.over]
        before = {job.order for job in self.jobs if job.admitted}
        self.batcher.step()
        assert all(job.dropped for job in closed), "a slot is free before the next decode"
        new = sorted(job.order for job in self.jobs if job.admitted and job.order not in before)
        for earlier in self.jobs[: new[-1]] if new else []:
            # A place in the queue is lost only by waiting for a beginning that another one reads.
            if not earlier.admitted and not earlier.over:
                assert any(
                    common_prefix(earlier.tokens, other.tokens, 10_000) >= _WORTH_WAITING
                    for other in self.jobs
                    if other.admitted
                )

    @precondition(lambda self: any(not job.over for job in self.jobs))
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from([job for job in self.jobs if not job.over])).stream.close()

    @precondition(lambda self: self.batcher.has_work)
    @rule()
    def fail_to_decode(self) -> None:
        self.context.failures = 1
        self._step()
        self.context.failures = 0

    @invariant()
    def slots_hold_what_the_context_holds(self) -> None:
        for slot in self.slots._slots:
            assert slot.tokens == self.context.read(slot.sequence)
            assert len(slot.cells) == len(slot.tokens)
            if slot.job is not None:
                assert slot.job.tokens[: len(slot.tokens)] == slot.tokens
                assert len(slot.tokens) < len(slot.job.tokens)
        assert self.slots.cells_used == self.context.used() <= self.context.cells

    @invariant()
    def every_request_is_in_one_place(self) -> None:
        running = [slot.job for slot in self.slots._slots if slot.job]
        assert sorted(map(id, running)) == sorted(id(slot.job) for slot in self.slots.running)
        places = [*running, *self.batcher._waiting]
        assert len(places) == len({id(job) for job in places})
        assert {id(job) for job in places} == {id(job) for job in self.jobs if not job.over}

    @invariant()
    def figures_are_true(self) -> None:
        stats = self.batcher.stats(queued=0)
        assert stats.running == len(self.slots.running) <= stats.slots
        assert stats.running + stats.queued == sum(not job.over for job in self.jobs)
        assert stats.kv_used == self.context.used()
        assert stats.requests == sum(job.admitted for job in self.jobs)
        assert stats.generated_tokens == sum(job.generated for job in self.jobs)
        assert stats.reused_tokens == sum(job.reused for job in self.jobs)
        assert stats.prefix_hits == sum(bool(job.reused) for job in self.jobs)

    def teardown(self) -> None:
        if not hasattr(self, "batcher"):
            return
        try:
            self._finish()
        finally:
            slots_module._WORTH_WAITING = self.worth_waiting

    def _finish(self) -> None:
        # Every token of every request may have to be computed once per preemption at worst; this is far beyond.
        most = 50 + 20 * sum(len(job.prompt) + job.max_tokens for job in self.jobs)
        while self.batcher.has_work:
            self._step()
            most -= 1
            assert most > 0, "requests wait for ever"
        for job in self.jobs:
            assert job.over
            if job.finished:
                assert job.tokens[len(job.prompt) :] == answer_alone(job.prompt, job.max_tokens)
        self.batcher.fail_all(EngineError("end"))


TestBatching = Machine.TestCase
TestBatching.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


# --- what the machine does not look at ------------------------------------------------------------------------------


def make(
    *, cells: int = 4096, n_parallel: int = 4, n_batch: int = 256, chunk: int = 16, can_cut_back: bool = True
) -> tuple[Batcher, FakeContext, FakeBatch]:
    context = FakeContext(cells=cells, n_parallel=n_parallel, n_batch=n_batch, can_cut_back=can_cut_back)
    batch = FakeBatch(n_batch)
    slots = Slots(context, can_cut_back=can_cut_back)  # type: ignore[arg-type]
    return Batcher(context, batch, slots, chunk=chunk), context, batch  # type: ignore[arg-type]


def held(batch: FakeBatch) -> dict[int, int]:
    counts: dict[int, int] = {}
    for _, _, sequence, _ in batch.entries:
        counts[sequence] = counts.get(sequence, 0) + 1
    return counts


def add(batcher: Batcher, length: int, *, seed: int, max_tokens: int = 50) -> FakeJob:
    job = FakeJob([(seed * 13 + i * seed) % VOCABULARY for i in range(length)], max_tokens, 0)
    batcher.add(job)  # type: ignore[arg-type]
    return job


def test_a_long_prompt_holds_up_neither_running_answers_nor_short_prompts():
    batcher, _, batch = make()
    running = add(batcher, 5, seed=1)
    batcher.step()
    long = add(batcher, 300, seed=2)
    for _ in range(3):
        batcher.step()
        assert held(batch) == {0: 1, 1: 16}
    short = add(batcher, 6, seed=3)
    batcher.step()
    assert held(batch) == {0: 1, 2: 6}, "the short one has a step for itself"
    assert short.generated == 1
    add(batcher, 6, seed=4)
    batcher.step()
    assert held(batch) == {0: 1, 1: 10, 2: 1, 3: 6}, "the long one is not left out twice"
    assert running.generated == 6
    assert not long.generated


def test_short_prompts_without_end_do_not_starve_a_long_one():
    batcher, _, _ = make(n_parallel=3)
    long = add(batcher, 200, seed=1)
    for number in range(60):
        add(batcher, 15, seed=number + 2, max_tokens=1)
        add(batcher, 15, seed=number + 70, max_tokens=1)
        batcher.step()
        if long.generated:
            break
    assert long.generated


def test_a_prompt_alone_is_read_in_the_same_slices_whatever_came_before():
    """Slices decide how numbers are rounded: the same seed shall give the same text."""
    seen = []
    for before in (0, 3):
        batcher, _, batch = make()
        for number in range(before):
            add(batcher, 9, seed=number + 2, max_tokens=2)
        while batcher.has_work:
            batcher.step()
        job = add(batcher, 70, seed=1, max_tokens=1)
        slices = []
        while not job.over:
            batcher.step()
            slices.append(batch.count)
        seen.append(slices)
    assert seen[0] == seen[1] == [16, 16, 16, 16, 6]


def test_a_common_beginning_is_computed_once_and_counts_once():
    batcher, context, _ = make(cells=120, n_parallel=4)
    common = [i % VOCABULARY for i in range(80)]
    first = FakeJob([*common, 1], 30, 0)
    batcher.add(first)  # type: ignore[arg-type]
    while first.generated < 2:
        batcher.step()
    others = [FakeJob([*common, 2 + n], 5, n) for n in range(3)]
    for job in others:
        batcher.add(job)  # type: ignore[arg-type]
    batcher.step()
    assert all(job.admitted for job in others), "four times 80 tokens are more than there are cells"
    assert all(job.reused == 80 for job in others)
    assert context.used() < 100


def test_a_common_beginning_that_comes_at_once_is_read_by_one_for_all():
    batcher, context, _ = make(n_parallel=5, chunk=16)
    rules = [i % VOCABULARY for i in range(100)]
    alike = [FakeJob([*rules, n, n, n], 10, n) for n in range(4)]
    other = FakeJob([49, 48, 47], 2, 4)
    for job in [*alike, other]:
        batcher.add(job)  # type: ignore[arg-type]
    batcher.step()
    assert alike[0].admitted
    assert not alike[1].admitted
    assert other.admitted, "who has nothing to wait for goes by"
    while batcher.has_work:
        batcher.step()
        assert context.used() < 100 + 4 * 13 + 3 * 8 + 5
    assert all(job.reused >= 100 - 8 for job in alike[1:])


def test_who_waits_for_a_beginning_keeps_a_slot():
    batcher, _, _ = make(n_parallel=2, chunk=16)
    rules = [i % VOCABULARY for i in range(100)]
    reader, waiting, late = FakeJob([*rules, 1], 500, 0), FakeJob([*rules, 2], 3, 1), FakeJob([49, 48], 500, 2)
    for job in (reader, waiting, late):
        batcher.add(job)  # type: ignore[arg-type]
    for _ in range(15):
        batcher.step()
    assert waiting.finished


def test_who_waits_for_a_beginning_goes_on_when_its_reader_is_gone():
    batcher, _, _ = make(n_parallel=2, chunk=16)
    rules = [i % VOCABULARY for i in range(100)]
    first, second = (FakeJob([*rules, n], 3, n) for n in range(2))
    batcher.add(first)  # type: ignore[arg-type]
    batcher.add(second)  # type: ignore[arg-type]
    batcher.step()
    first.stream.close()
    while batcher.has_work:
        batcher.step()
    assert second.finished
    assert second.reused == 16, "as far as the first one had come"


def test_the_least_recently_used_history_goes_first():
    batcher, context, _ = make(cells=60, n_parallel=3)
    for seed in (1, 2, 3):
        add(batcher, 15, seed=seed, max_tokens=1)
        while batcher.has_work:
            batcher.step()
    kept = context.read(2)
    add(batcher, 40, seed=4, max_tokens=1)
    while batcher.has_work:
        batcher.step()
    assert len(context.read(0)) == 40, "in the place of the oldest"
    assert context.read(1) == [], "for want of room"
    assert context.read(2) == kept


def run(batcher: Batcher, *jobs: FakeJob) -> None:
    for job in jobs:
        batcher.add(job)  # type: ignore[arg-type]
    while batcher.has_work:
        batcher.step()


def test_histories_whose_ends_are_rewritten_do_not_evict_one_another():
    """Agents whose last answer stands in the next prompt otherwise than they wrote it, shortened for example."""
    batcher, _, _ = make(n_parallel=3)
    histories = [[(seed * 7 + i * seed) % VOCABULARY for i in range(60)] for seed in (1, 2, 3)]
    for _ in range(3):
        jobs = [FakeJob(list(history), 20, 0) for history in histories]
        run(batcher, *jobs)
        for history in histories:
            history += [history[-1], 1, 2, 3, 4, 5, 6, 7, 8, 9]
    assert [job.reused for job in jobs] == [70, 70, 70]


def test_what_begins_alike_leaves_a_long_history_where_there_is_an_empty_place():
    batcher, context, _ = make(n_parallel=2)
    rules = [i % VOCABULARY for i in range(30)]
    run(batcher, FakeJob([*rules, *[1] * 40], 1, 0))
    other = FakeJob([*rules, *[2] * 5], 1, 1)
    run(batcher, other)
    assert other.reused == 30
    assert sorted(len(context.read(n)) for n in range(2)) == [35, 70]


def test_a_cache_too_small_for_one_request_is_an_error_and_not_a_loop():
    batcher, _, _ = make(cells=20, n_parallel=2)
    job = add(batcher, 15, seed=1, max_tokens=50)
    while not job.over:
        batcher.step()
    assert isinstance(job.error, EngineError)
    assert not batcher.has_work


@pytest.mark.parametrize(
    ("a", "b", "at_most", "length"),
    [([], [], 9, 0), ([1], [1], 9, 1), ([1], [1], 0, 0), ([1, 2, 3], [1, 2, 4], 9, 2), ([1, 2], [1, 2, 3], 1, 1),
     ([2], [1], 9, 0), ([1, 2, 3, 4], [1, 2, 3, 4, 5], -1, 0)],
)  # fmt: skip
def test_common_prefix(a: list[int], b: list[int], at_most: int, length: int):
    assert common_prefix(a, b, at_most) == length
