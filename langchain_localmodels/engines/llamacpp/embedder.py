"""`Embedder`: the thread that embeds for everybody, several texts in each step."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from langchain_localmodels.engines.base import EmbeddingRequest, VectorDelta
from langchain_localmodels.engines.llamacpp.binding.context import Batch, Context
from langchain_localmodels.engines.llamacpp.binding.library import np
from langchain_localmodels.engines.llamacpp.binding.model import Model
from langchain_localmodels.engines.llamacpp.thread import ContextThread
from langchain_localmodels.engines.worker import WorkerStream, wake
from langchain_localmodels.errors import EngineError, InvalidRequestError, ModelFileError, PromptTooLongError


@dataclass(frozen=True, slots=True)
class EmbeddingTask:
    """What is submitted: a request, and the stream that its vectors go to."""

    stream: WorkerStream[VectorDelta]
    request: EmbeddingRequest


class _Job:
    """A request under way.

    Attributes:
        next: Index of the text that comes next.
        tokens: Its tokens, once they are known.
        missing: How many vectors have not been given yet.
    """

    def __init__(self, task: EmbeddingTask) -> None:
        self.stream = task.stream
        self.request = task.request
        self.next = 0
        self.tokens: list[int] | None = None
        self.missing = len(task.request.texts)

    @property
    def all_begun(self) -> bool:
        return self.next >= len(self.request.texts)


class Embedder(ContextThread[EmbeddingTask]):
    """Embeds; see `ContextThread`. Requests take turns, text by text, so that a query need not wait for a library."""

    def _check(self, model: Model) -> None:
        if not model.can_embed:
            raise ModelFileError(f"{model.params.path!r} holds a model that translates texts; it does not embed them.")

    def _open(self, model: Model, context: Context) -> None:
        self._jobs: deque[_Job] = deque()
        self._batch = Batch(context.n_batch)
        self._ready = (model, context)

    def _accept(self, task: EmbeddingTask) -> None:
        if task.request.texts:
            self._jobs.append(_Job(task))
        else:
            task.stream.end()
            wake([task.stream])

    def _has_work(self) -> bool:
        return bool(self._jobs)

    def _work(self) -> None:
        self._drop_closed()
        if entries := self._fill_batch():
            self._compute(entries)
        self._drop_closed()

    def _drop_closed(self) -> None:
        self._jobs = deque(job for job in self._jobs if not job.stream.closed)

    def _compute(self, entries: list[tuple[_Job, int]]) -> None:
        _, context = self._ready
        context.clear()
        try:
            code = context.decode(self._batch)
            if code == 1:
                raise EngineError("The KV cache has no room for the texts of one batch.")
        except EngineError as error:
            for job, _ in entries:
                job.stream.fail(error)
            return
        if code == 0:
            self._give(entries)

    def _fill_batch(self) -> list[tuple[_Job, int]]:
        """Put whole texts into the batch, one of each request in turn; gives whose they are, by sequence."""
        model, context = self._ready
        self._batch.clear()
        entries: list[tuple[_Job, int]] = []
        waiting = deque(job for job in self._jobs if not job.all_begun)
        while waiting and len(entries) < context.params.n_parallel:
            job = waiting.popleft()
            try:
                if job.tokens is None:
                    job.tokens = self._tokenize(model, context, job)
            except BaseException as error:  # noqa: BLE001 - it belongs to the reader of this one stream
                job.stream.fail(error)
                continue
            if self._batch.count + len(job.tokens) > self._batch.size:
                break
            self._batch.add_text(job.tokens, len(entries))
            entries.append((job, job.next))
            job.tokens = None
            job.next += 1
            if not job.all_begun:
                waiting.append(job)
        self._jobs.rotate(-1)
        return entries

    def _tokenize(self, model: Model, context: Context, job: _Job) -> list[int]:
        window = context.params.window
        tokens = model.tokenize(job.request.texts[job.next], add_special=True)
        if not tokens:
            raise InvalidRequestError(f"Text {job.next} is empty: it has no tokens to embed.")
        if len(tokens) <= window:
            return tokens
        if not job.request.truncate:
            raise PromptTooLongError(
                f"Text {job.next} has {len(tokens)} tokens, and the model reads at most {window}.",
                prompt_tokens=len(tokens),
                context_window=window,
                hint="Split it, or give truncate=True to embed its beginning; a larger `n_ctx` helps where the model "
                f"was trained on more (this one on {model.trained_window}).",
            )
        # The token that ends every text, such as [SEP], stays.
        kept = 1 if model.is_control(tokens[-1]) else 0
        return tokens[: window - kept] + tokens[len(tokens) - kept :]

    def _give(self, entries: list[tuple[_Job, int]]) -> None:
        _, context = self._ready
        for sequence, (job, index) in enumerate(entries):
            vector = np.asarray(context.vector(sequence), np.float64)
            if not np.isfinite(vector).all():
                job.stream.fail(EngineError(f"The model gave no numbers for text {index}; the file may be damaged."))
                continue
            length = float(np.linalg.norm(vector)) if job.request.normalize else 0.0
            job.stream.put([VectorDelta(index, tuple((vector / length if length else vector).tolist()))])
            job.missing -= 1
            if not job.missing:
                job.stream.end()
        wake({id(job): job.stream for job, _ in entries}.values())

    def _end(self, error: BaseException) -> None:
        for job in getattr(self, "_jobs", ()):
            job.stream.fail(error)
