"""The constructor fields that all classes on GPT4All share: which file, and how it is loaded.

Checks the model file's header at construction; gpt4all itself is not imported before the first use.
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
    from langchain_localmodels.engines.gpt4all.places import ModelPlace
    from langchain_localmodels.weights.gguf import GGUFHeader


class GPT4AllFileOptions(IsolationOptions):
    """What GPT4All needs to know to load a file."""

    _engine_name: ClassVar[str] = "gpt4all"
    _engine_title: ClassVar[str] = "GPT4All"
    _aliases: ClassVar[Mapping[str, str]] = {
        "model_name": "model",
        "n_gpu_layers": "ngl",
        # Ollama's names
        "num_ctx": "n_ctx",
        "num_batch": "n_batch",
        "num_gpu": "ngl",
        "num_thread": "n_threads",
    }
    _retired: ClassVar[Mapping[str, object]] = {
        "client": None,
        "backend": None,
        "model_type": None,
        "n_parts": -1,
        "f16_kv": ...,
        "logits_all": False,
        "vocab_only": False,
        "use_mlock": False,
        "embedding": False,
    }
    _not_identity: ClassVar[frozenset[str]] = frozenset(
        {"n_threads", "n_batch", "device", "ngl", "allow_download", "model_path"}
    )
    _embeds: ClassVar[bool] = False

    model: str
    """Path of the model file, in GGUF, whatever it is called; or the name of a model in `model_path`, or in GPT4All's
    catalogue."""

    model_path: str | None = None
    """Folder that a name is looked up in, and downloaded to; `None` for gpt4all's own, `~/.cache/gpt4all`."""

    allow_download: bool = False
    """Whether a name that is not there is downloaded from GPT4All's catalogue, at the first use."""

    n_ctx: Annotated[int, Field(ge=0, le=2**24)] | None = None
    """Context window in tokens: prompt and answer share it. `None` chooses: the length the model was trained on, at
    most 8192 (to embed, 2048), at most what half of the free memory holds. 0 takes all that the file allows."""

    n_threads: Annotated[int, Field(ge=1, le=512)] | None = None
    """CPU threads to compute with; `None` for as many processors as this process may use, at most 4. With more threads
    than free processors GPT4All is a hundred times slower."""

    device: str | None = None
    """Where to compute: `"cpu"`, `"gpu"`, `"cuda"`, `"kompute"`, `"amd"`, `"nvidia"`, or the name of a GPU. `None` for
    the CPU, or Metal on Apple's processors."""

    ngl: Annotated[int, Field(ge=0, le=2**16)] = 100
    """Layers to put on the GPU, where `device` is one."""

    @field_validator("model", "model_path", mode="before")
    @classmethod
    def _paths_are_text(cls, value: Any) -> Any:
        return os.path.expanduser(os.fspath(value)) if isinstance(value, os.PathLike | str) else value

    @model_validator(mode="after")
    def _check_model_file(self) -> Self:
        place = self._place
        if place.found() is not None:
            from langchain_localmodels.engines.gpt4all.checks import check_file

            check_file(self._header, embeds=self._embeds)
        elif not place.may_come:
            raise place.missing()
        return self

    @property
    def _place(self) -> ModelPlace:
        from langchain_localmodels.engines.gpt4all.places import ModelPlace

        return ModelPlace(self.model, self.model_path, self.allow_download)

    @property
    def _header(self) -> GGUFHeader:
        from langchain_localmodels.weights.gguf import read_header

        path = self._place.found()
        if path is None:
            raise self._place.missing()
        return read_header(path)  # cached there, by date and size of the file

    def _model_name(self) -> str:
        path = Path(self.model)
        return path.stem if path.suffix.lower() in (".gguf", ".bin") else path.name

    def _identity_extra(self) -> dict[str, Any]:
        # The same path may hold another model tomorrow, and a cache may outlive today.
        path = self._place.found()
        if path is None:
            return {}
        status = os.stat(path)
        return {"files": [(path, status.st_size, status.st_mtime_ns)]}
