"""`Embedding`: the vectors of one request, some texts at a time, so that a query need not wait for a library."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from langchain_localmodels.engines.base import EmbeddingRequest, VectorDelta
from langchain_localmodels.engines.gpt4all.binding.model import Model
from langchain_localmodels.engines.gpt4all.prefixes import split_prefix
from langchain_localmodels.engines.gpt4all.thread import Work
from langchain_localmodels.engines.worker import WorkerStream, wake
from langchain_localmodels.errors import EngineError, InvalidRequestError

_AT_ONCE = 16
"""Most texts of one step. A step is not ended halfway, and each costs a line on stderr where GPT4All does not know the
model."""


@dataclass(frozen=True, slots=True)
class EmbeddingPlan:
    """How a file embeds.

    Attributes:
        name: The model's name, as its file says it.
        dimensions: Length of the vectors; `None` for the model's.
        mean: Average over the parts of a text that is too long, instead of cutting it.
        length: How long the vectors are to come, if the file says so.
    """

    name: str | None
    dimensions: int | None
    mean: bool
    length: int | None = None


class Embedding(Work):
    """A request under way."""

    def __init__(self, stream: WorkerStream[VectorDelta], request: EmbeddingRequest, plan: EmbeddingPlan) -> None:
        super().__init__(stream)
        self._request = request
        self._plan = plan
        self._next = 0

    def step(self, model: Model, is_over: Callable[[], bool]) -> bool:
        """Embed the next texts that have the same prefix."""
        texts = self._request.texts
        begin = self._next
        slice_: list[str] = []
        prefix = ""
        for index in range(begin, min(begin + _AT_ONCE, len(texts))):
            if not texts[index].strip():
                raise InvalidRequestError(
                    f"Text {index} is empty: it has no tokens to embed.", hint="Leave empty texts out."
                )
            before, text = split_prefix(texts[index], self._plan.name)
            if slice_ and before != prefix:
                break
            prefix = before
            slice_.append(text)
        if slice_:
            vectors = model.embed(
                slice_,
                prefix=prefix,
                dimensions=self._plan.dimensions,
                mean=self._plan.mean and not self._request.truncate,
            )
            self._give(begin, vectors, len(slice_))
        self._next = begin + len(slice_)
        if self._next >= len(texts) and not is_over():
            self.stream.end()
        wake([self.stream])
        return self._next >= len(texts)

    def _give(self, begin: int, vectors: list[list[float]], count: int) -> None:
        if len(vectors) != count:
            raise EngineError(f"GPT4All gave {len(vectors)} vectors for {count} texts.")
        for offset, vector in enumerate(vectors):
            if self._plan.length not in (None, len(vector)):
                raise EngineError(f"GPT4All gave a vector of {len(vector)} values in place of {self._plan.length}.")
            if not all(map(math.isfinite, vector)):
                raise EngineError(f"The model gave no numbers for text {begin + offset}; the file may be damaged.")
        self.stream.put([VectorDelta(begin + offset, tuple(vector)) for offset, vector in enumerate(vectors)])
