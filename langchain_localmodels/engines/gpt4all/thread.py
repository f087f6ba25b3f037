"""`GPT4AllThread`: the one thread that uses a loaded model, and the queue before it.

GPT4All has one context: an answer is written to its end before the next begins, in the order in which they were asked
for. Work that comes in steps, as embedding many texts does, goes back to the end of the queue after each.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Hashable
from typing import Any, ClassVar

from langchain_localmodels.engines.gpt4all.binding.model import Model
from langchain_localmodels.engines.gpt4all.values import ModelParams
from langchain_localmodels.engines.sharing import free_unused
from langchain_localmodels.engines.threads import ModelThread
from langchain_localmodels.engines.worker import WorkerStream
from langchain_localmodels.errors import ModelFileError


class Work(ABC):
    """A request. Its stream gets what comes of it.

    Args:
        stream: The stream.
    """

    def __init__(self, stream: WorkerStream[Any]) -> None:
        self.stream = stream

    @abstractmethod
    def step(self, model: Model, is_over: Callable[[], bool]) -> bool:
        """Do some of it, on the thread.

        Args:
            model: The model, for as long as this runs.
            is_over: Whether to end at once: nobody wants the result any more.

        Returns:
            Whether all of it is done.
        """


class GPT4AllThread(ModelThread[Model, Work]):
    """Loads a file and does the work; see `ModelThread`."""

    engine: ClassVar[str] = "GPT4All"

    def __init__(self, key: Hashable, **options: Any) -> None:
        super().__init__(key, **options)
        self._queue: deque[Work] = deque()

    def _load(self) -> Model:
        assert isinstance(self.key, ModelParams)
        try:
            return Model(self.key, verbose=self._verbose)
        except ModelFileError:
            # Memory may be short, or the 64 pools that the ggml in GPT4All has: three for each model that is loaded.
            if not free_unused(GPT4AllThread):
                raise
            return Model(self.key, verbose=self._verbose)

    def _free(self, model: Model) -> None:
        model.close()

    def _accept(self, task: Work) -> None:
        self._queue.append(task)

    def _has_work(self) -> bool:
        return bool(self._queue)

    def _work(self) -> None:
        work = self._queue.popleft()
        if work.stream.closed:
            return
        assert self._model is not None
        try:
            done = work.step(self._model, lambda: self._stopping or work.stream.closed)
        except BaseException as error:  # noqa: BLE001 - it belongs to the reader of this one stream
            self._model.forget()  # nobody knows what is in its cache now
            work.stream.fail(error)
            return
        if self._stopping:
            work.stream.fail(self._end_error())
        elif not done:
            self._queue.append(work)

    def _end(self, error: BaseException) -> None:
        while self._queue:
            self._queue.popleft().stream.fail(error)
