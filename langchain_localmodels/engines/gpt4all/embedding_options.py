"""The constructor fields of `GPT4AllEmbeddings`, beside those that all embeddings have and what loads a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from langchain_localmodels.engine_options import spread
from langchain_localmodels.engines.gpt4all.file_options import GPT4AllFileOptions

if TYPE_CHECKING:
    from langchain_localmodels.engines.base import Engine

_ITS_OWN = "all-MiniLM-L6-v2.gguf2.f16.gguf"


class GPT4AllEmbeddingOptions(GPT4AllFileOptions):
    """What GPT4All needs to know to embed."""

    _retired: ClassVar[Mapping[str, object]] = {"seed": ..., "n_batch": ..., "f16_kv": ...}
    _embeds: ClassVar[bool] = True

    model: str = _ITS_OWN
    """Path of the model file, in GGUF, whatever it is called; or the name of a model in `model_path`, or in GPT4All's
    catalogue. The default is the one that gpt4all embeds with unless told otherwise, `all-MiniLM-L6-v2`; it, too, is
    downloaded only with `allow_download=True`."""

    task_type: str | None = None
    """What the vectors are for, where the model was trained for several tasks: `"search_query"`, `"classification"`,
    `"clustering"` and so on. It goes before queries and documents alike, where they have no prefix of their own."""

    dimensionality: Annotated[int, Field(ge=1, le=2**16)] | None = None
    """Length of the vectors, for models that were trained to be cut; `None` for all that they have."""

    long_text_mode: Literal["mean", "truncate"] = "mean"
    """What becomes of a text that is too long for the model: `"mean"` averages over its parts, `"truncate"` embeds its
    beginning. `truncate=True` says the latter as well."""

    verbose: bool = False
    """Let GPT4All print which of its parts it cannot load."""

    @model_validator(mode="before")
    @classmethod
    def _spread_gpt4all_kwargs(cls, values: Any) -> Any:
        # langchain-community's name for what it passed on.
        if isinstance(values, dict) and "gpt4all_kwargs" in values:
            if not isinstance(values["gpt4all_kwargs"] or {}, Mapping):
                raise ValueError("`gpt4all_kwargs` takes a dict of further fields")
            rest = {name: value for name, value in values.items() if name != "gpt4all_kwargs"}
            return spread(rest, values["gpt4all_kwargs"] or {})
        return values

    @model_validator(mode="after")
    def _task_is_a_prefix(self) -> Self:
        if self.task_type is not None:
            for name in ("query_prefix", "document_prefix"):
                if getattr(self, name, None) is None:
                    # Not through the field, which would validate all again.
                    self.__dict__[name] = f"{self.task_type}: "
        return self

    def _names(self) -> list[str]:
        """Names that tell which model it is, for what is known of it."""
        if self._place.found() is None:  # it is downloaded at the first use, under the name that it is known by
            return [self._model_name()]
        named = [self._header.metadata.get(f"general.{key}") for key in ("name", "basename")]
        return [*(name for name in named if isinstance(name, str)), self._model_name()]

    def _new_engine(self) -> Engine:
        from langchain_localmodels.engines.gpt4all.config import GPT4AllConfig
        from langchain_localmodels.engines.gpt4all.embedding_engine import GPT4AllEmbeddingEngine

        return self._engine_of(
            GPT4AllEmbeddingEngine,
            GPT4AllConfig(
                path=self._place.path(),
                model_name=self._model_name(),
                embeds=True,
                n_ctx=self.n_ctx,
                n_threads=self.n_threads,
                device=self.device,
                ngl=self.ngl,
                dimensionality=self.dimensionality,
                mean=self.long_text_mode == "mean",
                verbose=self.verbose,
            ),
        )
