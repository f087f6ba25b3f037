"""`Scheduler`: the thread that generates for everybody. It plans requests; `batching` decides what is computed when."""

from __future__ import annotations

import time

from langchain_localmodels.engines.llamacpp.batching import Batcher
from langchain_localmodels.engines.llamacpp.binding.context import Batch, Context
from langchain_localmodels.engines.llamacpp.binding.model import Model
from langchain_localmodels.engines.llamacpp.binding.samplers import Candidates, DrySamplers
from langchain_localmodels.engines.llamacpp.requests import Job, Task
from langchain_localmodels.engines.llamacpp.sampling import TokenSampler
from langchain_localmodels.engines.llamacpp.slots import Slots
from langchain_localmodels.engines.llamacpp.stats import EngineStats
from langchain_localmodels.engines.llamacpp.thread import ContextThread
from langchain_localmodels.errors import ModelFileError


class Scheduler(ContextThread[Task]):
    """Generates; see `ContextThread`."""

    _batcher: Batcher | None = None
    _dry: DrySamplers | None = None

    def stats(self) -> EngineStats:
        """What it does at this moment, and has done so far; from any thread."""
        batcher = self._batcher
        queued = len(self._inbox)
        return EngineStats(slots=self._context_params.n_parallel) if batcher is None else batcher.stats(queued)

    def _check(self, model: Model) -> None:
        if not model.can_generate:
            raise ModelFileError(
                f"{model.params.path!r} holds a model that does not write text, such as one for embeddings.",
                hint="LlamaCppEmbeddings runs models for embeddings.",
            )

    def _open(self, model: Model, context: Context) -> None:
        self._candidates = Candidates(model.vocab_size)
        self._dry = DrySamplers(model)
        slots = Slots(context, can_cut_back=model.can_cut_back)
        self._batcher = Batcher(context, Batch(context.n_batch), slots, chunk=self._context_params.prefill_chunk)
        self._loaded_at = time.perf_counter()

    def _accept(self, task: Task) -> None:
        assert self._model is not None
        assert self._dry is not None
        assert self._batcher is not None
        try:
            plan = task.plan(self._model)
            sampler = TokenSampler(
                self._model, plan.sampling, grammar=plan.grammar, candidates=self._candidates, dry=self._dry
            )
            sampler.read(plan.prompt)
        except BaseException as error:  # noqa: BLE001 - it belongs to the reader of this one stream
            task.stream.fail(error)
        else:
            self._batcher.add(Job(task, plan, sampler, self._model, loaded=self._loaded_at))

    def _has_work(self) -> bool:
        return self._batcher is not None and self._batcher.has_work

    def _work(self) -> None:
        assert self._batcher is not None
        self._batcher.step()

    def _end(self, error: BaseException) -> None:
        if self._batcher is not None:
            self._batcher.fail_all(error)
        if self._dry is not None:
            self._dry.free()
