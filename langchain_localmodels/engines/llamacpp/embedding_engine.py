"""llama.cpp in this process, as an `Engine` that embeds."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_localmodels.engines.base import Capabilities, EmbeddingRequest, Engine, VectorDelta
from langchain_localmodels.engines.llamacpp import weights
from langchain_localmodels.engines.llamacpp.config import EmbeddingConfig
from langchain_localmodels.engines.llamacpp.embedder import Embedder, EmbeddingTask
from langchain_localmodels.engines.sharing import ThreadHold
from langchain_localmodels.engines.worker import WorkerStream


class LlamaCppEmbeddingEngine(Engine):
    """One model file; its weights are shared with whatever else runs on them, its context with engines like it."""

    def __init__(self, config: EmbeddingConfig) -> None:
        self._hold = ThreadHold(Embedder, config.params, verbose=config.verbose)

    def embed(self, request: EmbeddingRequest) -> WorkerStream[VectorDelta]:
        """See `Engine.embed`."""
        return self._hold.stream(lambda stream: EmbeddingTask(stream, request), timeout=request.timeout)

    def capabilities(self) -> Capabilities:
        """See `Engine.capabilities`. Reads the file's header only."""
        window = self._hold.key[1].window
        return Capabilities(
            tools="prompt", constrain="none", tokenizer=True, chat=False, embeds=True, context_window=window
        )

    def tokenize(self, text: str) -> Sequence[int]:
        """See `Engine.tokenize`."""
        with weights.lent(self._hold.thread().model().params) as model:
            return model.tokenize(text, add_special=False)

    def load(self) -> None:
        """Load the weights and make the context."""
        self._hold.thread().model()

    def close(self) -> None:
        """See `Engine.close`. Frees the weights, and waits for that, unless another object uses them."""
        self._hold.close()
