"""The constructor fields of `LlamaCppEmbeddings`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from langchain_localmodels.engines.llamacpp.file_options import LlamaCppFileOptions

if TYPE_CHECKING:
    from langchain_localmodels.engines.base import Engine


class LlamaCppEmbeddingOptions(LlamaCppFileOptions):
    """What llama.cpp needs to know to embed."""

    _retired: ClassVar[Mapping[str, object]] = {"f16_kv": ..., "seed": ..., "device": None}

    n_ctx: Annotated[int, Field(ge=0, le=2**24)] | None = None
    """Most tokens of one text. `None` takes what the model was trained on, at most 2048; 0 all that it was trained on.
    Memory grows with it."""

    n_batch: Annotated[int, Field(ge=1, le=2**16)] | None = None
    """Most tokens of all texts of one step; `None` for `n_ctx`, which is also the least."""

    n_parallel: Annotated[int, Field(ge=1, le=256)] = 32
    """Most texts of one step."""

    pooling_type: Literal["mean", "cls", "last"] | None = None
    """How the vectors of a text's tokens become one: their mean, that of the first token, or that of the last. `None`
    goes by the file; where that does not say, it is the mean."""

    verbose: bool = False
    """Show llama.cpp's log."""

    def _names(self) -> list[str]:
        """Names that tell which model it is, for what is known of it."""
        header = self._header
        named = [header.metadata.get(f"general.{key}") for key in ("name", "basename")]
        return [self._model_name(), *(name for name in named if isinstance(name, str))]

    def _new_engine(self) -> Engine:
        from langchain_localmodels.engines.llamacpp.config import EmbeddingConfig
        from langchain_localmodels.engines.llamacpp.embedding_engine import LlamaCppEmbeddingEngine

        return self._engine_of(
            LlamaCppEmbeddingEngine,
            EmbeddingConfig(
                weights=self._weights(),
                n_ctx=self.n_ctx,
                n_batch=self.n_batch,
                n_parallel=self.n_parallel,
                n_threads=self.n_threads,
                pooling=self.pooling_type,
                rope_freq_base=self.rope_freq_base,
                rope_freq_scale=self.rope_freq_scale,
                flash_attention=self.flash_attention,
                verbose=self.verbose,
            ),
        )
