"""A thread per context that decodes for everybody: requests join and leave between two calls of `decode`.

Each step builds one batch out of the next token of every running request and a slice of the prompts that are still
being read, so that running streams go on while a long prompt comes in. Requests are served first come, first served;
when the KV cache is full, idle sequences are forgotten first, then the youngest request waits and is computed again.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable

from langchain_localmodels.engines.llamacpp import weights
from langchain_localmodels.engines.llamacpp.binding.context import Batch, Context, ContextParams
from langchain_localmodels.engines.llamacpp.binding.library import library_log
from langchain_localmodels.engines.llamacpp.binding.model import Model, ModelParams
from langchain_localmodels.engines.llamacpp.binding.samplers import Candidates
from langchain_localmodels.engines.llamacpp.requests import Job, Task
from langchain_localmodels.engines.llamacpp.sampling import TokenSampler, logprob_of
from langchain_localmodels.engines.llamacpp.slots import Slot, Slots
from langchain_localmodels.engines.worker import WorkerStream, wake
from langchain_localmodels.errors import EngineClosedError, EngineError, LocalModelError, ModelFileError

_PREFILL_BESIDE_OTHERS = 128
"""Most prompt tokens in a batch that others wait for: a longer slice would make their streams stutter."""


class Scheduler:
    """The thread that owns a context. `pool` makes it, shares it and decides when it goes.

    Args:
        model_params: The weights to run on.
        context_params: The context to make on them.
        verbose: Show llama.cpp's log.
        may_leave: Asked by the thread, when `leave_at` has passed without work, whether it should end.
        on_end: Called by the thread when it ends, for whatever reason.
    """

    def __init__(
        self,
        model_params: ModelParams,
        context_params: ContextParams,
        *,
        verbose: bool,
        may_leave: Callable[[Scheduler], bool],
        on_end: Callable[[Scheduler], None],
    ) -> None:
        self.pid = os.getpid()
        self.key = (model_params, context_params)
        self.leave_at: float | None = None
        """When to ask whether to end, by `time.monotonic`; set by the pool, followed by `nudge`."""
        self._model_params = model_params
        self._context_params = context_params
        self._verbose = verbose
        self._may_leave = may_leave
        self._on_end = on_end
        self._news = threading.Condition()
        self._inbox: deque[Task] = deque()
        self._waiting: deque[Job] = deque()
        self._opened = threading.Event()
        self._error: BaseException | None = None
        self._loaded_at = 0.0
        self._context: Context | None = None
        self._slots: Slots | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="localmodels-llamacpp", daemon=True)

    def start(self) -> None:
        """Start the thread, which loads the model."""
        try:
            self._thread.start()
        except BaseException as error:
            self._error = error
            self._opened.set()
            self._on_end(self)
            self._refuse_rest()
            raise

    # --- for any thread ---------------------------------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        """Whether it takes requests: not after it was stopped, nor in a process forked off its own."""
        return not self._stopping and self.pid == os.getpid()

    def submit(self, task: Task) -> None:
        """Queue a request."""
        with self._news:
            refused = self._stopping
            if not refused:
                self._inbox.append(task)
                self._news.notify()
        if refused:
            task.stream.fail(self._end_error())

    def nudge(self) -> None:
        """Make the thread look around: a stream was closed, or `leave_at` was set."""
        with self._news:
            self._news.notify()

    def model(self) -> Model:
        """Wait until the model is loaded, and give it."""
        self._opened.wait()
        if self._slots is None or self._stopping:
            raise self._end_error()
        return self._model

    def stop(self) -> None:
        """End all requests and free the context; the computation that is running is given up."""
        with self._news:
            self._stopping = True
            self._news.notify()
        if self._context is not None:
            self._context.abort()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the thread to end."""
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    # --- the thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            with library_log(self._verbose):
                self._open()
                self._serve()
        except BaseException as error:  # noqa: BLE001 - there is no caller here: the requests get it
            self._error = (
                error if isinstance(error, LocalModelError) else EngineError(f"llama.cpp's thread ended: {error!r}")
            )
        finally:
            self._opened.set()
            self._on_end(self)
            self._refuse_rest()
            if self._context is not None:
                self._context.free()
                weights.give_back(self._model_params)

    def _open(self) -> None:
        self._model = weights.borrow(self._model_params, verbose=self._verbose)
        try:
            if not self._model.can_generate:
                raise ModelFileError(
                    f"{self._model_params.path!r} holds a model that does not write text, such as one for embeddings."
                )
            self._context = Context(self._model, self._context_params, verbose=self._verbose)
        except BaseException:
            weights.give_back(self._model_params)
            raise
        self._batch = Batch(self._context.n_batch)
        self._candidates = Candidates(self._model.vocab_size)
        self._slots = Slots(self._context, can_cut_back=self._model.can_cut_back)
        self._loaded_at = time.perf_counter()
        self._opened.set()

    def _serve(self) -> None:
        slots, context = self._slots, self._context
        assert slots is not None
        assert context is not None
        while True:
            with self._news:
                if not (self._inbox or self._waiting or slots.running() or self._stopping):
                    self._news.wait(self._patience())
                if self._stopping:
                    return
                arrivals, self._inbox = self._inbox, deque()
            for task in arrivals:
                self._plan(task)
            self._drop_closed(slots)
            self._admit(slots)
            if slots.running():
                self._step(slots, context)
            elif self._left_alone():
                return

    def _patience(self) -> float | None:
        leave_at = self.leave_at
        return None if leave_at is None else max(0.0, leave_at - time.monotonic())

    def _left_alone(self) -> bool:
        leave_at = self.leave_at
        return leave_at is not None and time.monotonic() >= leave_at and self._may_leave(self)

    def _plan(self, task: Task) -> None:
        if task.stream.closed:
            return
        try:
            plan = task.plan(self._model)
            sampler = TokenSampler(self._model, plan.sampling, grammar=plan.grammar, candidates=self._candidates)
            sampler.read(plan.prompt)
        except BaseException as error:  # noqa: BLE001 - it belongs to the reader of this one stream
            task.stream.fail(error)
        else:
            self._waiting.append(Job(task, plan, sampler, self._model, loaded=self._loaded_at))

    def _drop_closed(self, slots: Slots) -> None:
        for job in [job for job in self._waiting if job.stream.closed]:
            self._waiting.remove(job)
            job.sampler.free()
        for slot in slots.running():
            if slot.job is not None and slot.job.stream.closed:
                slot.job.sampler.free()
                slots.release(slot)

    def _admit(self, slots: Slots) -> None:
        while self._waiting and slots.has_room_for(self._waiting[0]):
            job = self._waiting.popleft()
            try:
                slots.admit(job)
            except BaseException as error:  # noqa: BLE001 - it belongs to the reader of this one stream
                job.fail(error)

    def _step(self, slots: Slots, context: Context) -> None:
        while running := slots.running():
            outputs = self._fill_batch(running)
            try:
                code = context.decode(self._batch)
            except EngineError as error:
                self._fail(slots, [slot for slot, _, _ in outputs], error)
                return
            if code == 0:
                self._take_outputs(slots, context, outputs)
                return
            if code != 1:
                return  # aborted by `stop`
            if not slots.make_room() and not self._preempt(slots, running):
                self._fail(slots, running, EngineError("The KV cache has no room even for one request."))
                return

    def _fill_batch(self, running: list[Slot]) -> list[tuple[Slot, int, int]]:
        """Put tokens of the running requests into the batch.

        Returns:
            For each slot in it: how many of its tokens, and the index of its logits, or -1 where none are wanted.
        """
        self._batch.clear()
        room = self._batch.size
        anyone_generates = any(slot.job.generating for slot in running if slot.job)
        budget = min(room, _PREFILL_BESIDE_OTHERS) if anyone_generates else room
        outputs: list[tuple[Slot, int, int]] = []
        # Requests that generate have one token each to compute and go first; prompts share what room is left.
        for slot in sorted(running, key=lambda slot: not (slot.job and slot.job.generating)):
            job = slot.job
            assert job is not None
            held = len(slot.tokens)
            rest = len(job.tokens) - held
            count = min(rest, room - self._batch.count)
            if rest > 1:
                count = min(count, budget)
                budget -= count
            if count <= 0:
                continue
            index = self._batch.add(job.tokens[held : held + count], held, slot.sequence, want_logits=count == rest)
            outputs.append((slot, count, index if count == rest else -1))
        return outputs

    def _take_outputs(self, slots: Slots, context: Context, outputs: list[tuple[Slot, int, int]]) -> None:
        touched: list[WorkerStream] = []
        for slot, count, index in outputs:
            job = slot.job
            assert job is not None
            held = len(slot.tokens)
            slot.tokens.extend(job.tokens[held : held + count])
            if index < 0:
                continue
            touched.append(job.stream)
            try:
                self._advance(slots, context, slot, job, index)
            except BaseException as error:  # noqa: BLE001 - one request's failure must not end the others'
                slots.release(slot)
                job.fail(error)
        wake(touched)

    def _advance(self, slots: Slots, context: Context, slot: Slot, job: Job, index: int) -> None:
        began = time.perf_counter()
        logits = context.logits(index)
        token = job.sampler.choose(logits)
        top = job.plan.top_logprobs
        logprob = None if top is None else logprob_of(logits, token, top, self._model)
        job.sampling_seconds += time.perf_counter() - began
        reason = job.take(token, logprob)
        if reason is not None:
            slots.release(slot)
            job.finish(reason)

    def _preempt(self, slots: Slots, running: list[Slot]) -> bool:
        """Send the youngest request back to the queue; False when there is only one."""
        if len(running) < 2:
            return False
        slot = running[-1]
        assert slot.job is not None
        self._waiting.appendleft(slot.job)
        slots.release(slot)
        slots.forget(slot)
        return True

    def _fail(self, slots: Slots, running: list[Slot], error: BaseException) -> None:
        """Fail what was in a failed batch, whose sequences may hold half of it."""
        for slot in running:
            job = slot.job
            slots.release(slot)
            slots.forget(slot)
            if job is not None:
                job.fail(error)

    def _refuse_rest(self) -> None:
        with self._news:
            self._stopping = True
            tasks, self._inbox = self._inbox, deque()
        error = self._end_error()
        for task in tasks:
            task.stream.fail(error)
        running = self._slots.running() if self._slots is not None else []
        for job in [*self._waiting, *(slot.job for slot in running if slot.job)]:
            job.fail(error)

    def _end_error(self) -> BaseException:
        return self._error or EngineClosedError("The model was closed while it was in use.")
