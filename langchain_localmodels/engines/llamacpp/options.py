"""The constructor fields of `LlamaCpp` and `ChatLlamaCpp`, under the names that people have in their code.

Those that say which file to load, and how, are in `file_options.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from langchain_localmodels.engines.llamacpp.file_options import LlamaCppFileOptions, header_of, path_as_text
from langchain_localmodels.engines.llamacpp.stats import EngineStats
from langchain_localmodels.errors import ModelFileError
from langchain_localmodels.options import LocalModelOptions

if TYPE_CHECKING:
    from langchain_localmodels.engines.base import Engine
    from langchain_localmodels.engines.isolation.engine import IsolatedEngine
    from langchain_localmodels.engines.llamacpp.engine import LlamaCppEngine

KVType = Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"]
"""Element types that a KV cache may have."""


class _FromFile(str):
    """A grammar that was read from `grammar_path`, not given."""

    __slots__ = ()


class LlamaCppOptions(LlamaCppFileOptions, LocalModelOptions):
    """What llama.cpp needs to know beside the common vocabulary, and beside what loads a file."""

    _retired: ClassVar[Mapping[str, object]] = {
        "lora_base": None,
        "echo": False,
        "suffix": None,
        "offload_kqv": True,
        "chat_format": None,
        "last_n_tokens": None,
    }
    _not_identity: ClassVar[frozenset[str]] = frozenset({"n_threads_batch", "n_ubatch", "grammar_path"})

    n_ctx: Annotated[int, Field(ge=0, le=2**24)] | None = None
    """Context window of one request, in tokens: prompt and answer share it. `None` chooses: the length the model was
    trained on, at most 8192, at most what half of the free memory holds. 0 takes all that the file allows."""

    n_parallel: Annotated[int, Field(ge=1, le=256)] = 8
    """Most requests that are worked on at once; further ones wait. They share the KV cache of `n_ctx` tokens."""

    n_batch: Annotated[int, Field(ge=1, le=2**16)] = 512
    """Most tokens that are computed in one step; at most `n_ctx` are. Smaller ones cancel sooner, larger ones read
    prompts faster."""

    n_ubatch: Annotated[int, Field(ge=1, le=2**16)] | None = None
    """Most tokens that llama.cpp puts through the network at once; `None` for `n_batch`."""

    n_threads_batch: Annotated[int, Field(ge=1, le=512)] | None = None
    """CPU threads to read prompts with; `None` for `n_threads`, or all processors that this process may use."""

    f16_kv: bool = True
    """Keys and values of the cache in 16 bits; `False` takes 32. `type_k` and `type_v` say it more exactly."""

    type_k: KVType | None = None
    """Element type of the cache's keys; `None` goes by `f16_kv`. `q8_0` halves the cache."""

    type_v: KVType | None = None
    """Element type of the cache's values; quantized ones need flash attention."""

    lora_path: str | None = None
    """Path of a LoRA adapter for this model, in GGUF."""

    lora_scale: Annotated[float, Field(allow_inf_nan=False)] = 1.0
    """How strongly the adapter acts."""

    grammar_path: str | None = None
    """File that holds `grammar`."""

    chat_template: str | None = None
    """Chat template, in Jinja, to use in place of the file's own."""

    tool_notation: str | None = None
    """How the model writes tool calls, such as `hermes` or `mistral`; `None` goes by the chat template."""

    @model_validator(mode="before")
    @classmethod
    def _grammar_file_is_read_anew(cls, values: Any) -> Any:
        # Who makes an object from the fields of another may name another file, and this one may have changed.
        if isinstance(values, dict) and isinstance(values.get("grammar"), _FromFile):
            return {name: value for name, value in values.items() if name != "grammar"}
        return values

    @field_validator("lora_path", "grammar_path", mode="before")
    @classmethod
    def _paths_are_text(cls, value: Any) -> Any:
        return path_as_text(value)

    @model_validator(mode="after")
    def _check_files(self) -> Self:
        if self.grammar_path is not None:
            self._read_grammar(self.grammar_path)
        if self.lora_path is not None:
            adapter = header_of(self.lora_path)
            if adapter.metadata.get("general.type") != "adapter":
                raise ModelFileError(
                    f"{self.lora_path!r} is a GGUF file but not a LoRA adapter.",
                    hint="llama.cpp's convert_lora_to_gguf.py makes one from a PEFT adapter.",
                )
        return self

    def _read_grammar(self, path: str) -> None:
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"`grammar_path` cannot be read: {error}") from error
        if self.grammar is not None and self.grammar != text:
            raise ValueError("`grammar` and `grammar_path` are both given; give one of them")
        # Not through the field, which would validate, and so read the file, again.
        self.__dict__["grammar"] = _FromFile(text)

    def _files(self) -> list[str]:
        return [*super()._files(), *([self.lora_path] if self.lora_path else [])]

    def _profile(self) -> dict[str, Any] | None:
        from langchain_localmodels.engines.file_profile import profile_of
        from langchain_localmodels.weights.memory import window_for

        window = window_for(self._header, self.n_ctx, type_k=self._key_type, type_v=self._value_type)
        template = self.chat_template or self._header.chat_template
        return profile_of(self._header, template, name=self._model_name(), window=window, held=True)

    @property
    def _key_type(self) -> str:
        return self.type_k or ("f16" if self.f16_kv else "f32")

    @property
    def _value_type(self) -> str:
        return self.type_v or ("f16" if self.f16_kv else "f32")

    def engine_stats(self) -> EngineStats:
        """Tell what llama.cpp does at this moment, and has done: slots, queue, KV cache, reused prefixes, speed.

        The figures are those of all objects together that share this model and its settings. Loads the model if need
        be. How long a single request waited, read its prompt and wrote, in nanoseconds, is in the metadata of its
        answer: `queue_duration`, `prompt_eval_duration`, `eval_duration`.
        """
        engine = cast("LlamaCppEngine | IsolatedEngine", self.engine)
        if self.isolate:
            return cast("EngineStats", cast("IsolatedEngine", engine).call("stats"))
        return cast("LlamaCppEngine", engine).stats()

    def _new_engine(self) -> Engine:
        from langchain_localmodels.engines.llamacpp.config import GenerationConfig
        from langchain_localmodels.engines.llamacpp.engine import LlamaCppEngine

        return self._engine_of(
            LlamaCppEngine,
            GenerationConfig(
                weights=self._weights(),
                model_name=self._model_name(),
                n_ctx=self.n_ctx,
                n_parallel=self.n_parallel,
                n_batch=self.n_batch,
                n_ubatch=self.n_ubatch,
                n_threads=self.n_threads,
                n_threads_batch=self.n_threads_batch,
                type_k=self._key_type,
                type_v=self._value_type,
                rope_freq_base=self.rope_freq_base,
                rope_freq_scale=self.rope_freq_scale,
                flash_attention=self.flash_attention,
                lora_path=self.lora_path,
                lora_scale=self.lora_scale,
                chat_template=self.chat_template,
                tool_notation=self.tool_notation,
                verbose=bool(getattr(self, "verbose", False)),
            ),
        )
