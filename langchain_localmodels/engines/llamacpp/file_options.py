"""The constructor fields that all classes on llama.cpp share: which file, and how its weights are loaded.

Checks the model file's header at construction; llama.cpp itself is not imported before the first use.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from langchain_localmodels.engines.isolation.options import IsolationOptions

if TYPE_CHECKING:
    from langchain_localmodels.engines.llamacpp.config import WeightsConfig
    from langchain_localmodels.weights.gguf import GGUFHeader


class LlamaCppFileOptions(IsolationOptions):
    """What llama.cpp needs to know to load a file."""

    _engine_name: ClassVar[str] = "llamacpp"
    _engine_title: ClassVar[str] = "llama.cpp"
    _aliases: ClassVar[Mapping[str, str]] = {
        "flash_attn": "flash_attention",
        # Ollama's names
        "num_ctx": "n_ctx",
        "num_batch": "n_batch",
        "num_gpu": "n_gpu_layers",
        "num_thread": "n_threads",
    }
    _retired: ClassVar[Mapping[str, object]] = {
        "client": None,
        "n_parts": -1,
        "logits_all": ...,  # log probabilities need it no more
        "vocab_only": False,
        "embedding": ...,
    }
    _not_identity: ClassVar[frozenset[str]] = frozenset(
        {"n_threads", "n_batch", "n_parallel", "main_gpu", "tensor_split", "use_mmap", "use_mlock"}
    )

    model_path: str
    """Path of the model file, in GGUF."""

    n_threads: Annotated[int, Field(ge=1, le=512)] | None = None
    """CPU threads to compute with. `None` goes by the processors that this process may use; to write, by half of them
    where they are more than four."""

    n_gpu_layers: Annotated[int, Field(ge=-1, le=2**16)] | None = None
    """Layers to put on the GPU: 0 for none, -1 for all. `None` takes all where llama.cpp was built for a GPU, and does
    not mind where it was not."""

    main_gpu: Annotated[int, Field(ge=0, le=64)] = 0
    """Which GPU to use, from 0."""

    tensor_split: list[Annotated[float, Field(ge=0, allow_inf_nan=False)]] | None = None
    """How much of the model each GPU takes, in proportion, such as `[3, 1]`; `None` goes by their free memory."""

    use_mmap: bool = True
    """Map the file into memory instead of reading it: loads faster, and processes share it."""

    use_mlock: bool = False
    """Keep the system from swapping the weights out."""

    flash_attention: bool | None = None
    """Whether to use flash attention; `None` lets llama.cpp choose."""

    rope_freq_base: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """RoPE base frequency; 0 takes the file's, which is what the model was trained with."""

    rope_freq_scale: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """RoPE frequency scale; 0 takes the file's."""

    @field_validator("model_path", mode="before")
    @classmethod
    def _model_path_is_text(cls, value: Any) -> Any:
        return path_as_text(value)

    @model_validator(mode="after")
    def _check_model_file(self) -> Self:
        _ = self._header
        return self

    def _model_name(self) -> str:
        return Path(self.model_path).stem

    def _files(self) -> list[str]:
        """All files that the output depends on."""
        return [self.model_path]

    def _identity_extra(self) -> dict[str, Any]:
        # The same path may hold another model tomorrow, and a cache may outlive today.
        stats = {path: os.stat(path) for path in self._files() if os.path.exists(path)}
        return {"files": [(path, status.st_size, status.st_mtime_ns) for path, status in stats.items()]}

    @property
    def _header(self) -> GGUFHeader:
        return header_of(self.model_path)

    def _weights(self) -> WeightsConfig:
        from langchain_localmodels.engines.llamacpp.config import WeightsConfig

        return WeightsConfig(
            path=self.model_path,
            n_gpu_layers=self.n_gpu_layers,
            main_gpu=self.main_gpu,
            tensor_split=tuple(self.tensor_split or ()),
            use_mmap=self.use_mmap,
            use_mlock=self.use_mlock,
        )


def path_as_text(value: Any) -> Any:
    """Give a path as text, with `~` filled in; anything else as it is, for pydantic to refuse."""
    return os.path.expanduser(os.fspath(value)) if isinstance(value, os.PathLike | str) else value


def header_of(path: str) -> GGUFHeader:
    """Read the header of a GGUF file, which raises errors that say what to do."""
    from langchain_localmodels.weights.gguf import read_header  # here, so that importing the class does not wait for it

    return read_header(path)  # cached there, by date and size of the file
