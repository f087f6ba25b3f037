"""A KV cache, the batches that fill it, and decoding."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_localmodels.engines.llamacpp.binding.library import latest_troubles, lib, library_log, np, said
from langchain_localmodels.engines.llamacpp.binding.model import Model
from langchain_localmodels.errors import EngineError, ModelFileError

if TYPE_CHECKING:
    import numpy.typing as npt

KV_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8, "iq4_nl": 20, "bf16": 30}
"""Names of the element types that a KV cache may have, with llama.cpp's numbers (`enum ggml_type`)."""
POOLINGS = {"mean": 1, "cls": 2, "last": 3}
"""Ways to make one vector of many, with llama.cpp's numbers (`enum llama_pooling_type`)."""
_NO_POOLING, _MODELS_OWN_POOLING, _RANK = 0, -1, 4
_adapters_lock = threading.Lock()  # a model keeps a list of its adapters, and contexts of several threads change it
MAX_SEQUENCES = 256
"""Most sequences of one context (`llama_max_parallel_sequences`)."""


@dataclass(frozen=True, slots=True)
class ContextParams:
    """What decides a context; requests with equal values share one.

    Attributes:
        window: Most tokens of one request, prompt and answer together.
        cells: Tokens that the KV cache holds for all sequences together.
        n_batch: Most tokens of one call of `decode`.
        n_ubatch: Most tokens that are computed at once.
        prefill_chunk: Most tokens of one prompt in a call of `decode`.
        n_parallel: Most sequences.
        n_threads: CPU threads to generate with.
        n_threads_batch: CPU threads to read prompts with.
        type_k: Element type of the cache's keys, a key of `KV_TYPES`.
        type_v: Element type of the cache's values.
        rope_freq_base: RoPE base frequency; 0 for the file's.
        rope_freq_scale: RoPE frequency scale; 0 for the file's.
        flash_attention: `None` to let llama.cpp choose.
        lora: LoRA adapters: absolute path, size and date of the file, and scale.
        embeds: Whether it gives vectors instead of the scores of tokens.
        pooling: How the vectors of a text's tokens become one, a key of `POOLINGS`; `None` for the model's own way.
    """

    window: int
    cells: int
    n_batch: int = 512
    n_ubatch: int = 512
    prefill_chunk: int = 512
    n_parallel: int = 8
    n_threads: int = 1
    n_threads_batch: int = 1
    type_k: str = "f16"
    type_v: str = "f16"
    rope_freq_base: float = 0.0
    rope_freq_scale: float = 0.0
    flash_attention: bool | None = None
    lora: tuple[tuple[str, tuple[int, int], float], ...] = ()
    embeds: bool = False
    pooling: str | None = None


class Batch:
    """The tokens of one `decode`: numpy owns the arrays, so filling them costs next to nothing."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.count = 0
        self._token, self._pos, self._seq = (np.zeros(size, np.int32) for _ in range(3))
        self._seq_count = np.ones(size, np.int32)
        self._wants_logits = np.zeros(size, np.int8)
        rows = [self._seq.ctypes.data + self._seq.itemsize * i for i in range(size)]
        self._seq_rows = (ctypes.c_void_p * (size + 1))(*rows)
        batch = self.c_batch = lib.llama_batch()
        batch.token = self._token.ctypes.data_as(ctypes.POINTER(lib.llama_token))
        batch.pos = self._pos.ctypes.data_as(ctypes.POINTER(lib.llama_pos))
        batch.n_seq_id = self._seq_count.ctypes.data_as(ctypes.POINTER(ctypes.c_int32))
        batch.seq_id = ctypes.cast(self._seq_rows, ctypes.POINTER(ctypes.POINTER(lib.llama_seq_id)))
        batch.logits = self._wants_logits.ctypes.data_as(ctypes.POINTER(ctypes.c_int8))

    def clear(self) -> None:
        """Empty it."""
        self.count = 0

    def add_text(self, tokens: Sequence[int], sequence: int) -> None:
        """Append a whole text that is to be embedded: each of its tokens has a part in its vector."""
        end = self.add(tokens, 0, sequence, want_logits=True) + 1
        self._wants_logits[end - len(tokens) : end] = 1

    def add(self, tokens: Sequence[int], first_position: int, sequence: int, *, want_logits: bool) -> int:
        """Append consecutive tokens of one sequence.

        Returns:
            Index of the last one, for `Context.logits` if `want_logits`.
        """
        start, end = self.count, self.count + len(tokens)
        if not tokens or end > self.size or first_position < 0:
            raise EngineError(f"A batch of {self.size} cannot take {len(tokens)} tokens at {start}.")
        self._token[start:end] = tokens
        self._pos[start:end] = range(first_position, first_position + len(tokens))
        self._seq[start:end] = sequence
        self._wants_logits[start:end] = 0
        self._wants_logits[end - 1] = want_logits
        self.count = end
        return end - 1


class Context:
    """A KV cache and the buffers to compute with. One thread at a time may use it."""

    def __init__(self, model: Model, params: ContextParams, *, verbose: bool) -> None:
        c_params = lib.llama_context_default_params()
        c_params.n_ctx = params.cells
        if not 0 < params.n_parallel <= min(params.n_ubatch, params.n_batch, MAX_SEQUENCES):
            raise EngineError(f"{params.n_parallel} sequences do not fit into batches of {params.n_ubatch} tokens.")
        if params.embeds and (params.n_ubatch % params.n_parallel or params.n_ubatch < params.n_batch):
            raise EngineError(f"Batches of {params.n_ubatch} tokens cannot be pooled over {params.n_parallel} texts.")
        c_params.n_batch = params.n_batch
        c_params.n_ubatch = params.n_ubatch
        c_params.n_seq_max = params.n_parallel
        c_params.kv_unified = True
        c_params.n_threads = params.n_threads
        c_params.n_threads_batch = params.n_threads_batch
        c_params.type_k, c_params.type_v = KV_TYPES[params.type_k], KV_TYPES[params.type_v]
        c_params.rope_freq_base = params.rope_freq_base
        c_params.rope_freq_scale = params.rope_freq_scale
        c_params.flash_attn_type = -1 if params.flash_attention is None else int(params.flash_attention)
        c_params.embeddings = params.embeds
        c_params.pooling_type = POOLINGS[params.pooling] if params.pooling else _MODELS_OWN_POOLING
        self.params = params
        with library_log(verbose) as troubles:
            self._context = lib.llama_init_from_model(model._model, c_params)
            if self._context and params.embeds and lib.llama_pooling_type(self._context) == _NO_POOLING:
                # A model that was not made for embeddings gives a vector for each token.
                lib.llama_free(self._context)
                c_params.pooling_type = POOLINGS["mean"]
                self._context = lib.llama_init_from_model(model._model, c_params)
            if not self._context:
                raise EngineError(
                    f"llama.cpp cannot make a context of {params.cells} tokens.{said(troubles)}",
                    hint="Give a smaller `n_ctx`; a quantized KV cache needs flash attention and fitting head sizes.",
                )
        self._adapters: list[Any] = []
        self._vector_length: int = lib.llama_model_n_embd_out(model._model)
        try:
            if params.embeds and lib.llama_pooling_type(self._context) == _RANK:
                raise ModelFileError(f"{model.params.path!r} ranks texts (it is a reranker); it does not embed them.")
            self._add_adapters(model)
        except BaseException:
            self.free()
            raise
        self._memory = lib.llama_get_memory(self._context)
        self.vocab_size = model.vocab_size
        self._sliding_window = model.sliding_window
        self.n_batch: int = lib.llama_n_batch(self._context)
        self.cells: int = lib.llama_n_ctx(self._context)
        self._with_logits: frozenset[int] = frozenset()
        # The switch that `abort` throws: C's strlen() is the callback, so that no Python runs inside a decode. It
        # gives 1 once the buffer's first byte is set.
        self._abort_switch = ctypes.create_string_buffer(2)
        strlen = (ctypes.cdll.msvcrt if sys.platform == "win32" else ctypes.CDLL(None)).strlen
        self._abort_callback = ctypes.cast(strlen, lib.ggml_abort_callback)
        lib.llama_set_abort_callback(self._context, self._abort_callback, ctypes.addressof(self._abort_switch))

    def _add_adapters(self, model: Model) -> None:
        lora = self.params.lora
        for path, _, _ in lora:
            with library_log(show=False) as troubles, _adapters_lock:
                adapter = lib.llama_adapter_lora_init(model._model, os.fsencode(path))
            if not adapter:
                raise ModelFileError(
                    f"llama.cpp cannot load the LoRA adapter {path!r}.{said(troubles)}",
                    hint="It must be a GGUF file that was made for this very model.",
                )
            self._adapters.append(adapter)
        if lora:
            adapters = (lib.llama_adapter_lora_p_ctypes * len(lora))(*self._adapters)
            scales = (ctypes.c_float * len(lora))(*(scale for _, _, scale in lora))
            lib.llama_set_adapters_lora(self._context, adapters, len(lora), scales)

    def decode(self, batch: Batch) -> int:
        """Compute a batch. The GIL is released meanwhile.

        Returns:
            0 when done; 1 when the KV cache has no room for the whole batch, and nothing has changed; 2 after `abort`.

        Raises:
            EngineError: The computation failed.
        """
        if not 0 < batch.count <= self.n_batch:
            raise EngineError(f"A batch of {batch.count} tokens cannot be decoded: 1 to {self.n_batch} can.")
        sequences = batch._seq[: batch.count]
        if sequences.min() < 0 or sequences.max() >= self.params.n_parallel:
            raise EngineError(f"A batch holds a sequence outside 0 to {self.params.n_parallel - 1}.")
        tokens = batch._token[: batch.count]
        if tokens.min() < 0 or tokens.max() >= self.vocab_size:
            raise EngineError(f"A batch holds a token outside the vocabulary of {self.vocab_size}.")
        batch.c_batch.n_tokens = batch.count
        self._with_logits = frozenset()
        latest_troubles()
        code: int = lib.llama_decode(self._context, batch.c_batch)
        if code < 0:
            raise EngineError(f"llama.cpp failed to decode (code {code}).{said(latest_troubles())}")
        if code == 0:
            self._with_logits = frozenset(np.flatnonzero(batch._wants_logits[: batch.count]).tolist())
        return code

    def logits(self, index: int) -> npt.NDArray[np.float32]:
        """Give the scores of the whole vocabulary at a batch index; the array is valid until the next `decode`."""
        if index not in self._with_logits:
            raise EngineError(f"The last batch left no logits at {index}.")
        return np.ctypeslib.as_array(lib.llama_get_logits_ith(self._context, index), (self.vocab_size,))

    def vector(self, sequence: int) -> npt.NDArray[np.float32]:
        """Give the embedding of a sequence of the last batch; the array is valid until the next `decode`."""
        self._check_sequence(sequence)
        found = lib.llama_get_embeddings_seq(self._context, sequence)
        if not found or not self._with_logits:
            raise EngineError(f"The last batch left no embedding of sequence {sequence}.")
        return np.ctypeslib.as_array(found, (self._vector_length,))

    def clear(self) -> None:
        """Forget all sequences. Models that only embed keep none."""
        if self._memory:
            lib.llama_memory_clear(self._memory, False)

    def cut(self, sequence: int, length: int) -> bool:
        """Forget what a sequence holds from position `length` on; False where the model's memory cannot do that."""
        self._check_sequence(sequence)
        return bool(lib.llama_memory_seq_rm(self._memory, sequence, length, -1))

    def can_go_on_at(self, sequence: int, length: int) -> bool:
        """Whether a sequence still holds what a token at position `length` looks back on.

        Layers with a sliding window give the cells behind it to other tokens, in a cache of full size as well, and
        always the oldest ones first: what is cut back too far then computes nonsense without an error.
        """
        self._check_sequence(sequence)
        if not self._sliding_window:
            return True
        first = int(lib.llama_memory_seq_pos_min(self._memory, sequence))
        return first <= max(0, length - self._sliding_window)

    def copy(self, source: int, target: int, length: int) -> None:
        """Make `target` hold the first `length` tokens of `source`; the cells are shared, not copied."""
        self._check_sequence(source)
        self._check_sequence(target)
        lib.llama_memory_seq_rm(self._memory, target, -1, -1)
        lib.llama_memory_seq_cp(self._memory, source, target, 0, length)

    def length(self, sequence: int) -> int:
        """How many tokens a sequence holds."""
        self._check_sequence(sequence)
        return int(lib.llama_memory_seq_pos_max(self._memory, sequence)) + 1

    def abort(self) -> None:
        """Make the running and every later `decode` give up, from any thread."""
        self._abort_switch[0] = b"\x01"

    def _check_sequence(self, sequence: int) -> None:
        if not 0 <= sequence < self.params.n_parallel:
            raise EngineError(f"There is no sequence {sequence}: 0 to {self.params.n_parallel - 1} are.")

    def free(self) -> None:
        """Free it; no decode may be running."""
        context, self._context = self._context, None
        if context:
            lib.llama_free(context)
            # The model would keep them until it is freed itself, and others may use it for long.
            with _adapters_lock:
                while self._adapters:
                    lib.llama_adapter_lora_free(self._adapters.pop())
