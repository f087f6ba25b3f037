"""What is asked of Ollama for vectors, and what its answers mean. Pure: `embedding_engine.py` sends and receives."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from langchain_localmodels.engines.base import EmbeddingRequest, VectorDelta
from langchain_localmodels.engines.ollama.failures import explain
from langchain_localmodels.errors import (
    EngineError,
    InvalidRequestError,
    LocalModelError,
    PromptTooLongError,
    UnsupportedFeatureError,
)

_PULL = "Use a model that was made for embeddings: get one with `ollama pull nomic-embed-text`."


@dataclass(frozen=True, slots=True)
class EmbeddingPlan:
    """What all requests of one object have in common.

    Attributes:
        model: The model's name.
        dimensions: Length of the vectors; `None` for all that the model gives.
        keep_alive: How long the model stays loaded; `None` for the server's default.
        options: Ollama's `options`.
        batch_size: Most texts of one request.
    """

    model: str
    dimensions: int | None = None
    keep_alive: int | float | str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    batch_size: int = 64


@dataclass(slots=True)
class Known:
    """What has been found out about a server.

    Attributes:
        legacy: Whether it is older than 0.2.6, which has no `/api/embed`.
    """

    legacy: bool = False


@dataclass(frozen=True, slots=True)
class Ask:
    """One HTTP request.

    Attributes:
        path: Where.
        payload: What is sent, as JSON.
        model: The model.
        texts: What is to be embedded.
        first: Which text of all is the first of these.
    """

    path: str
    payload: Mapping[str, Any]
    model: str
    texts: tuple[str, ...]
    first: int

    def explain(self, status: int, text: str) -> LocalModelError | None:
        """The error that a failure stands for."""
        error = explain(status, text, model=self.model)
        if isinstance(error, PromptTooLongError):
            return self._too_long(error)
        if isinstance(error, UnsupportedFeatureError):
            return UnsupportedFeatureError(f"The model {self.model!r} does not embed. Ollama: {text}", hint=_PULL)
        if "NaN" in text:
            return EngineError(
                f"Ollama computed no usable vector: {text}",
                hint="The model overflows on a text. Another quantization of it may not, nor may a run without GPU.",
            )
        return error

    def _too_long(self, error: PromptTooLongError) -> PromptTooLongError:
        longest = max(range(len(self.texts)), key=lambda number: len(self.texts[number]))
        return PromptTooLongError(
            f"A text is too long for {self.model!r}. The longest that was sent is text {self.first + longest}, with "
            f"{len(self.texts[longest])} characters. {error.message}",
            prompt_tokens=error.prompt_tokens,
            context_window=error.context_window,
            hint="Split it, or have its end cut off with `truncate=True`. A larger `num_ctx` helps up to the length "
            "that the model was trained on.",
        )


Step: TypeAlias = "Ask | list[VectorDelta]"
"""What an embedding does next: ask the server, whose answer or error it is then given, or give vectors."""


def embedding(request: EmbeddingRequest, plan: EmbeddingPlan, known: Known) -> Generator[Step, Any, None]:
    """Embed the texts of a request, batch by batch.

    Args:
        request: What is to be embedded.
        plan: What all requests have in common.
        known: What has been found out about the server; what is found out now is noted there.

    Raises:
        PromptTooLongError: A text is too long, and must not be cut.
        InvalidRequestError: The model's vectors are shorter than they are to be.
        EngineError: The answer is not what it should be.
    """
    length: int | None = None
    for first in range(0, len(request.texts), plan.batch_size):
        texts = request.texts[first : first + plan.batch_size]
        vectors = yield from _batch(texts, first, request, plan, known)
        vectors = [_finished(vector, request, plan) for vector in vectors]
        lengths = {len(vector) for vector in vectors} | ({length} if length is not None else set())
        if len(lengths) != 1:
            raise EngineError(f"Ollama gave vectors of different lengths: {sorted(lengths)}.")
        (length,) = lengths
        yield [VectorDelta(first + number, vector) for number, vector in enumerate(vectors)]


def _batch(
    texts: tuple[str, ...], first: int, request: EmbeddingRequest, plan: EmbeddingPlan, known: Known
) -> Generator[Step, Any, list[tuple[float, ...]]]:
    common: dict[str, Any] = {"model": plan.model}
    if plan.options:
        common["options"] = dict(plan.options)
    if plan.keep_alive is not None:
        common["keep_alive"] = plan.keep_alive
    if not known.legacy:
        payload = {**common, "input": list(texts), "truncate": request.truncate}
        if plan.dimensions is not None:
            payload["dimensions"] = plan.dimensions
        try:
            answer = yield Ask("/api/embed", payload, plan.model, texts, first)
        except InvalidRequestError as error:
            # A missing model is another error; this is a path that the server does not know.
            if getattr(error.response, "status_code", None) != 404:
                raise
        else:
            return _several(answer, len(texts))
    vectors = []
    for number, text in enumerate(texts):
        answer = yield Ask("/api/embeddings", {**common, "prompt": text}, plan.model, (text,), first + number)
        known.legacy = True
        vectors.append(_vector(_entry(answer, "embedding")))
    return vectors


def _several(answer: object, count: int) -> list[tuple[float, ...]]:
    found = _entry(answer, "embeddings")
    if not isinstance(found, list):
        raise EngineError("Ollama's answer has no list of embeddings.")
    if len(found) != count:
        raise EngineError(
            f"Ollama gave {len(found)} vectors for {count} texts.", hint="Some models refuse a text without words."
        )
    return [_vector(entry) for entry in found]


def _entry(answer: object, name: str) -> object:
    return answer.get(name) if isinstance(answer, Mapping) else None


def _vector(found: object) -> tuple[float, ...]:
    try:
        if isinstance(found, list) and found and all(map(math.isfinite, found)):
            return tuple(map(float, found))
    except TypeError:
        pass
    raise EngineError(
        "Ollama's answer holds something that is no vector.", hint="Some models refuse a text without words."
    )


def _finished(vector: tuple[float, ...], request: EmbeddingRequest, plan: EmbeddingPlan) -> tuple[float, ...]:
    cut = False
    if plan.dimensions is not None and len(vector) != plan.dimensions:
        if len(vector) < plan.dimensions:
            raise InvalidRequestError(
                f"The vectors of {plan.model!r} have {len(vector)} numbers, fewer than the {plan.dimensions} wanted.",
                hint=f"Give `dimensions` of at most {len(vector)}, or none.",
            )
        # Servers before 0.11.11 do not know the word, and give them whole.
        vector, cut = vector[: plan.dimensions], True
    return _scaled(vector) if request.normalize or cut else vector


def _scaled(vector: Sequence[float]) -> tuple[float, ...]:
    length = math.hypot(*vector)
    return tuple(vector) if length in (0.0, 1.0) else tuple(number / length for number in vector)
