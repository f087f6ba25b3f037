"""The constructor fields of `OllamaEmbeddings`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from langchain_localmodels.engines.ollama.server_options import OllamaRunnerWords, OllamaServerOptions

if TYPE_CHECKING:
    from langchain_localmodels.engines.base import Engine

_OPTIONS = ("num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread", "use_mmap")


class OllamaEmbeddingOptions(OllamaServerOptions, OllamaRunnerWords):
    """What can be said to Ollama about embedding."""

    _aliases: ClassVar[Mapping[str, str]] = {
        "model_name": "model",
        "host": "base_url",
        "n_ctx": "num_ctx",
        "n_batch": "num_batch",
        "n_gpu_layers": "num_gpu",
        "n_threads": "num_thread",
    }
    _retired: ClassVar[Mapping[str, object]] = {
        # How tokens are chosen: nothing is written here.
        "mirostat": ...,
        "mirostat_eta": ...,
        "mirostat_tau": ...,
        "repeat_last_n": ...,
        "repeat_penalty": ...,
        "temperature": ...,
        "stop": ...,
        "tfs_z": ...,
        "top_k": ...,
        "top_p": ...,
    }
    _not_identity: ClassVar[frozenset[str]] = frozenset({"batch_size"})

    dimensions: Annotated[int, Field(ge=1)] | None = None
    """Length of the vectors, for models that were trained to be cut; `None` for all that the model gives."""

    batch_size: Annotated[int, Field(ge=1)] = 64
    """Most texts of one request."""

    def _new_engine(self) -> Engine:
        from langchain_localmodels.engines.ollama.embedding_engine import OllamaEmbeddingEngine
        from langchain_localmodels.engines.ollama.vectors import EmbeddingPlan

        own = {name: getattr(self, name) for name in _OPTIONS}
        return OllamaEmbeddingEngine(
            EmbeddingPlan(
                model=self.model,
                dimensions=self.dimensions,
                keep_alive=self.keep_alive,
                options={**{name: value for name, value in own.items() if value is not None}, **self.options},
                batch_size=self.batch_size,
            ),
            base_url=self._address(),
            max_retries=self.max_retries,
            client_options=self._client_options(self.sync_client_kwargs),
            async_client_options=self._client_options(self.async_client_kwargs),
        )
