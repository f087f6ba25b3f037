"""GPT4All in this process, as an `Engine` that embeds."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_localmodels.engines.base import Capabilities, EmbeddingRequest, Engine, VectorDelta
from langchain_localmodels.engines.gpt4all.binding.vocabulary import has_vocabulary
from langchain_localmodels.engines.gpt4all.config import GPT4AllConfig
from langchain_localmodels.engines.gpt4all.embedding import Embedding, EmbeddingPlan
from langchain_localmodels.engines.gpt4all.thread import GPT4AllThread
from langchain_localmodels.engines.sharing import ThreadHold
from langchain_localmodels.engines.worker import WorkerStream
from langchain_localmodels.errors import InvalidRequestError
from langchain_localmodels.weights.gguf import read_header


class GPT4AllEmbeddingEngine(Engine):
    """One model file. Objects with the same file and parameters share it, its thread and its queue."""

    def __init__(self, config: GPT4AllConfig) -> None:
        self._config = config
        self._hold = ThreadHold(GPT4AllThread, config.params, verbose=config.verbose)

    def embed(self, request: EmbeddingRequest) -> WorkerStream[VectorDelta]:
        """See `Engine.embed`."""
        header = read_header(self._config.path)
        longest, asked = header.embedding_length, self._config.dimensionality
        if asked is not None and longest is not None and asked > longest:
            # GPT4All would read past the end of the vector.
            raise InvalidRequestError(
                f"dimensionality={asked} is more than the {longest} values of this model's vectors.",
                hint=f"Give at most {longest}.",
            )
        plan = EmbeddingPlan(header.name, None if asked == longest else asked, self._config.mean, asked or longest)
        return self._hold.stream(lambda stream: Embedding(stream, request, plan), timeout=request.timeout)

    def capabilities(self) -> Capabilities:
        """See `Engine.capabilities`. Reads the file's header only."""
        window: int = self._hold.key.window
        return Capabilities(
            tools="prompt",
            constrain="none",
            tokenizer=has_vocabulary(),
            chat=False,
            embeds=True,
            context_window=window,
        )

    def tokenize(self, text: str) -> Sequence[int]:
        """See `Engine.tokenize`."""
        vocabulary = self._hold.thread().model().vocabulary
        if vocabulary is None:
            raise NotImplementedError
        return vocabulary.plain_tokens(text)

    def load(self) -> None:
        """Load the model."""
        self._hold.thread().model()

    def close(self) -> None:
        """See `Engine.close`. Frees the model, and waits for that, unless another object uses it."""
        self._hold.close()
