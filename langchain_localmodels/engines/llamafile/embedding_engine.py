"""A server as an `Engine` that embeds."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from langchain_localmodels.engines.base import Capabilities, EmbeddingRequest, Engine, VectorDelta
from langchain_localmodels.engines.llamafile.engine import LlamafileEngine, Place
from langchain_localmodels.engines.llamafile.server import Ask, ServerFacts
from langchain_localmodels.engines.llamafile.streams import Flow, FlowStream, Limits
from langchain_localmodels.engines.llamafile.vectors import read_vectors, scaled
from langchain_localmodels.errors import (
    InvalidRequestError,
    LocalModelError,
    ModelMissingError,
    PromptTooLongError,
    UnsupportedFeatureError,
)

_ROOM = 2
"""Tokens that a model may put around a text, which is cut by so much more."""


class LlamafileEmbeddingEngine(Engine):
    """One model on a server.

    Args:
        place: The server.
        batch_size: Most texts of one request.
    """

    def __init__(self, place: Place, *, batch_size: int) -> None:
        self._place = place
        self._batch_size = batch_size
        self._words = LlamafileEngine(place)

    def embed(self, request: EmbeddingRequest) -> FlowStream[VectorDelta]:
        """See `Engine.embed`."""
        limits = Limits(request.timeout, self._place.limits.max_retries)
        return FlowStream(self._place.transport, self._embed(request), limits)

    def capabilities(self) -> Capabilities:
        """What the server can do; see `LlamafileEngine.capabilities`."""
        can = self._words.capabilities()
        return Capabilities(
            tools="prompt",
            constrain="none",
            tokenizer=can.tokenizer,
            chat=False,
            embeds=True,
            context_window=can.context_window,
        )

    def tokenize(self, text: str) -> Sequence[int]:
        """See `Engine.tokenize`."""
        return self._words.tokenize(text)

    def load(self) -> None:
        """Check that the server is there, and wait until its model is loaded."""
        self._words.load()

    def close(self) -> None:
        """End all running requests. The server goes on."""
        self._place.close()

    # --- flows ------------------------------------------------------------------------------------------------------

    def _embed(self, request: EmbeddingRequest) -> Flow:
        try:
            facts = yield from self._place.facts()
            for index, text in enumerate(request.texts):
                if not text:
                    raise InvalidRequestError(f"Text {index} is empty.", hint="Leave it out: it has no tokens.")
            size = 1 if facts.kind == "llamafiler" else self._batch_size
            for start in range(0, len(request.texts), size):
                texts: list[Any] = list(request.texts[start : start + size])
                vectors = yield from self._vectors(texts, request, facts)
                for place, vector in enumerate(vectors):
                    yield VectorDelta(start + place, scaled(vector) if request.normalize else vector)
        except LocalModelError as error:
            self._place.heed(error)
            raise

    def _vectors(
        self, texts: list[Any], request: EmbeddingRequest, facts: ServerFacts
    ) -> Generator[Ask, Any, list[tuple[float, ...]]]:
        try:
            return (yield from self._asked(texts, request, facts))
        except PromptTooLongError as error:
            limit = error.context_window
            if not request.truncate or limit is None or not facts.is_llama:
                raise
        cut = []
        for text in texts:
            tokens = yield from self._words._tokens(text, special=True)
            cut.append(tokens[:limit])
        try:
            return (yield from self._asked(cut, request, facts))
        except PromptTooLongError:
            return (yield from self._asked([tokens[: limit - _ROOM] for tokens in cut], request, facts))

    def _asked(
        self, texts: list[Any], request: EmbeddingRequest, facts: ServerFacts
    ) -> Generator[Ask, Any, list[tuple[float, ...]]]:
        more: dict[str, Any] = {"embd_normalize": -1} if facts.is_llama and not request.normalize else {}
        body = {"model": facts.model, "encoding_format": "float", **more}
        inputs: Any = texts[0] if facts.kind == "llamafiler" else texts
        try:
            answer = yield Ask("POST", "/v1/embeddings", {**body, "input": inputs})
        except ModelMissingError:
            # Servers of before 2024 have the other route alone, for one text at a time.
            found = []
            for text in texts:
                single = yield Ask("POST", "/embedding", {"content": text, **more})
                found += read_vectors(single, 1)
            return found
        except LocalModelError as error:
            if facts.kind == "old_llama" and getattr(getattr(error, "response", None), "status_code", None) == 503:
                raise UnsupportedFeatureError(
                    "This llamafile's server does not embed.",
                    hint="Use llamafile 0.10 or newer, or start it with `--server --v2`.",
                ) from error
            raise
        return read_vectors(answer, len(texts))
