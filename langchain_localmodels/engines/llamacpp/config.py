"""How a model file is run: what the user says, and what becomes of it for the weights and for a context."""

from __future__ import annotations

import os
from dataclasses import dataclass

from langchain_localmodels.engines.common import usable_cpus, warn_once
from langchain_localmodels.engines.llamacpp.binding.context import ContextParams
from langchain_localmodels.engines.llamacpp.binding.library import has_gpu_support, package_version
from langchain_localmodels.engines.llamacpp.binding.model import ModelParams
from langchain_localmodels.errors import InvalidRequestError
from langchain_localmodels.weights.gguf import GGUFHeader, read_header
from langchain_localmodels.weights.memory import available_memory, choose_window, window_for

_GPU_HINT = """\
n_gpu_layers=%d was asked for, but the installed llama-cpp-python was built without GPU support:
all layers run on the CPU. Reinstall it with support for yours:
  NVIDIA: CMAKE_ARGS="-DGGML_CUDA=on" pip install --force-reinstall --no-cache-dir llama-cpp-python==%s
  Apple:  CMAKE_ARGS="-DGGML_METAL=on" pip install --force-reinstall --no-cache-dir llama-cpp-python==%s
  Vulkan: CMAKE_ARGS="-DGGML_VULKAN=on" pip install --force-reinstall --no-cache-dir llama-cpp-python==%s"""

_PREFILL_CHUNK = 64
"""Most tokens of a prompt in one step on a CPU. There, the time of a step grows with its tokens, all of it time that
requests which arrive meanwhile wait, and from some 64 tokens on larger steps do not make a token cheaper."""
_LONGEST_TEXT = 2048
"""Window of an embedding context that nobody chose: its buffers grow with it, and few models were trained on more."""
_SHORTEST_TEXT = 64
_BYTES_PER_SCORE = 4
_CELL_UNIT = 256  # llama.cpp rounds a context up to this, but clips batches to what was asked for


@dataclass(frozen=True, slots=True)
class WeightsConfig:
    """Which file to load, and how.

    Attributes:
        path: Path of the GGUF file.
        n_gpu_layers: Layers to put on the GPU; `None` for all where there is one.
        main_gpu: Which GPU.
        tensor_split: How much of the model each GPU takes, in proportion.
        use_mmap: Map the file.
        use_mlock: Keep the weights from being swapped out.
    """

    path: str
    n_gpu_layers: int | None = None
    main_gpu: int = 0
    tensor_split: tuple[float, ...] = ()
    use_mmap: bool = True
    use_mlock: bool = False

    @property
    def uses_gpu(self) -> bool:
        """Whether anything is computed on a GPU."""
        return self.n_gpu_layers != 0 and has_gpu_support()

    def params(self) -> ModelParams:
        """Give it as llama.cpp's side wants it; warns where GPU layers are asked for in vain."""
        if self.n_gpu_layers and not has_gpu_support():
            warn_once(_GPU_HINT % (self.n_gpu_layers, *[package_version()] * 3))
        status = os.stat(self.path)
        return ModelParams(
            path=os.path.realpath(self.path),
            file_id=(status.st_size, status.st_mtime_ns),
            n_gpu_layers=-1 if self.n_gpu_layers is None else self.n_gpu_layers,
            main_gpu=self.main_gpu,
            tensor_split=self.tensor_split,
            use_mmap=self.use_mmap,
            use_mlock=self.use_mlock,
        )


@dataclass(frozen=True, slots=True)
class GenerationConfig:
    """How to run a file that writes; the fields of `LlamaCppOptions`, checked, without defaults filled in."""

    weights: WeightsConfig
    model_name: str
    n_ctx: int | None = None
    n_parallel: int = 8
    n_batch: int = 512
    n_ubatch: int | None = None
    n_threads: int | None = None
    n_threads_batch: int | None = None
    type_k: str = "f16"
    type_v: str = "f16"
    rope_freq_base: float = 0.0
    rope_freq_scale: float = 0.0
    flash_attention: bool | None = None
    lora_path: str | None = None
    lora_scale: float = 1.0
    chat_template: str | None = None
    tool_notation: str | None = None
    verbose: bool = False

    def params(self) -> tuple[ModelParams, ContextParams]:
        """Choose what is left open: the window goes by the file and by the memory that is free now."""
        header = read_header(self.weights.path)  # first, since its errors say what to do
        window = window_for(header, self.n_ctx, type_k=self.type_k, type_v=self.type_v)
        # llama.cpp aborts when a batch, or what it computes at once, cannot hold a token of every sequence.
        n_batch = max(min(self.n_batch, window), self.n_parallel)
        return self.weights.params(), ContextParams(
            window=window,
            cells=-(-window // _CELL_UNIT) * _CELL_UNIT,
            n_batch=n_batch,
            n_ubatch=max(min(self.n_ubatch or n_batch, n_batch), self.n_parallel),
            prefill_chunk=n_batch if self.weights.uses_gpu else min(_PREFILL_CHUNK, n_batch),
            n_parallel=self.n_parallel,
            n_threads=self.n_threads or default_threads(),
            n_threads_batch=self.n_threads_batch or self.n_threads or usable_cpus(),
            type_k=self.type_k,
            type_v=self.type_v,
            rope_freq_base=self.rope_freq_base,
            rope_freq_scale=self.rope_freq_scale,
            flash_attention=self.flash_attention,
            lora=(_lora(self.lora_path, self.lora_scale),) if self.lora_path else (),
        )


@dataclass(frozen=True, slots=True)
class EmbeddingConfig:
    """How to run a file that embeds; the fields of `LlamaCppEmbeddingOptions`, without defaults filled in."""

    weights: WeightsConfig
    n_ctx: int | None = None
    n_batch: int | None = None
    n_parallel: int = 32
    n_threads: int | None = None
    pooling: str | None = None
    rope_freq_base: float = 0.0
    rope_freq_scale: float = 0.0
    flash_attention: bool | None = None
    verbose: bool = False

    def params(self) -> tuple[ModelParams, ContextParams]:
        """Choose what is left open."""
        header = read_header(self.weights.path)
        trained = header.context_length or _LONGEST_TEXT
        window = min(trained, _LONGEST_TEXT) if self.n_ctx is None else choose_window(header, self.n_ctx)
        most = _most_scored_tokens(header)
        if most is not None and window > most:
            if self.n_ctx is not None:
                raise InvalidRequestError(
                    f"To embed texts of {window} tokens takes more memory than is free.",
                    hint=f"Give an `n_ctx` of at most {most}: llama.cpp keeps scores of the whole vocabulary for each "
                    "token.",
                )
            window = most
        # A text is pooled over what is computed at once, so that has to hold the longest one: llama.cpp gives a wrong
        # vector, and no error, where it does not.
        # And llama.cpp aborts where it is no multiple of the number of sequences.
        n_batch = -(-max(self.n_batch or 0, window) // self.n_parallel) * self.n_parallel
        return self.weights.params(), ContextParams(
            window=window,
            cells=-(-n_batch // _CELL_UNIT) * _CELL_UNIT,
            n_batch=n_batch,
            n_ubatch=n_batch,
            n_parallel=self.n_parallel,
            n_threads=self.n_threads or usable_cpus(),
            n_threads_batch=self.n_threads or usable_cpus(),
            rope_freq_base=self.rope_freq_base,
            rope_freq_scale=self.rope_freq_scale,
            flash_attention=self.flash_attention,
            embeds=True,
            pooling=self.pooling,
        )


def _most_scored_tokens(header: GGUFHeader) -> int | None:
    """How long a text half of the free memory allows for a model that also writes, as Qwen3's for embeddings do.

    For each token of a text, llama.cpp keeps the scores of the whole vocabulary, which nobody asked for.
    """
    memory = available_memory()
    writes = header.metadata.get(f"{header.architecture}.attention.causal") is not False
    if memory is None or not writes or "bert" in (header.architecture or ""):
        return None
    return max(_SHORTEST_TEXT, memory // 2 // (2 * _BYTES_PER_SCORE * (header.vocab_size or 1)))


def _lora(path: str, scale: float) -> tuple[str, tuple[int, int], float]:
    status = os.stat(path)
    return os.path.realpath(path), (status.st_size, status.st_mtime_ns), scale


def default_threads() -> int:
    """Threads to generate with: that is bound by memory, and the second thread of a core adds nothing to it."""
    usable = usable_cpus()
    return usable if usable <= 4 else usable // 2
