"""Weights and their vocabulary."""

from __future__ import annotations

import ctypes
import os
from dataclasses import dataclass

from langchain_localmodels.dialects.prompt_text import cut_long_runs, encoded
from langchain_localmodels.engines.llamacpp.binding.library import lib, library_log, said, uses_amx
from langchain_localmodels.errors import EngineError, InvalidRequestError, ModelFileError
from langchain_localmodels.weights.tokens import check_tokens


@dataclass(frozen=True, slots=True)
class ModelParams:
    """What decides how a file's weights are loaded; equal values share one load.

    Attributes:
        path: Absolute path of the GGUF file.
        file_id: Size and modification time, so that a replaced file is another model.
        n_gpu_layers: Layers to put on the GPU; negative for all.
        main_gpu: Which GPU, when one is used.
        tensor_split: How much of the model each GPU takes, in proportion; empty to go by their free memory.
        use_mmap: Map the file instead of reading it.
        use_mlock: Keep the weights from being swapped out.
        check_tensors: Look for damaged weights while loading.
    """

    path: str
    file_id: tuple[int, int]
    n_gpu_layers: int = -1
    main_gpu: int = 0
    tensor_split: tuple[float, ...] = ()
    use_mmap: bool = True
    use_mlock: bool = False
    check_tensors: bool = False


class Model:
    """Loaded weights and their vocabulary. Safe for any number of threads until `free`."""

    def __init__(self, params: ModelParams, *, verbose: bool) -> None:
        c_params = lib.llama_model_default_params()
        c_params.n_gpu_layers = params.n_gpu_layers
        c_params.main_gpu = params.main_gpu
        if params.tensor_split:
            devices = int(lib.llama_max_devices())
            if len(params.tensor_split) > devices:
                raise InvalidRequestError(
                    f"`tensor_split` has {len(params.tensor_split)} entries; llama.cpp knows at most {devices} devices."
                )
            split = (ctypes.c_float * devices)(*params.tensor_split)  # llama.cpp reads that many
            c_params.tensor_split = ctypes.cast(split, ctypes.POINTER(ctypes.c_float))
        c_params.load_mode = {
            (True, True): lib.LLAMA_LOAD_MODE_MMAP_MLOCK,
            (True, False): lib.LLAMA_LOAD_MODE_MMAP,
            (False, True): lib.LLAMA_LOAD_MODE_MLOCK,
            (False, False): lib.LLAMA_LOAD_MODE_NONE,
        }[params.use_mmap, params.use_mlock]
        # llama.cpp's kernels for Intel's AMX fault on quantized weights (ggml-org/llama.cpp issue 20824,
        # seen with 0.3.36 as well); without extra buffer types it takes the AVX-512 ones.
        c_params.use_extra_bufts = not uses_amx()
        c_params.check_tensors = params.check_tensors
        long_tokens = check_tokens(params.path)
        with library_log(verbose) as troubles:
            self._model = lib.llama_model_load_from_file(os.fsencode(params.path), c_params)
            if not self._model:
                raise ModelFileError(
                    f"llama.cpp cannot load {params.path!r}.{said(troubles)}",
                    hint="An unknown architecture needs a newer llama-cpp-python; "
                    "too little memory needs a smaller quantization, or fewer `n_gpu_layers` where it is the GPU's.",
                )
        self._vocab = lib.llama_model_get_vocab(self._model)
        self._pieces: dict[int, bytes] = {}
        self._ends: dict[int, bool] = {}
        self.params = params
        self._long_tokens = [*long_tokens]
        self.vocab_size: int = lib.llama_vocab_n_tokens(self._vocab)
        self.trained_window: int = lib.llama_model_n_ctx_train(self._model)
        bos: int = lib.llama_vocab_bos(self._vocab)
        self.adds_bos: bool = bool(lib.llama_vocab_get_add_bos(self._vocab)) and bos >= 0
        self.bos_text: str = self.piece(bos, special=True).decode("utf-8", "replace") if bos >= 0 else ""
        if lib.llama_vocab_type(self._vocab) == lib.LLAMA_VOCAB_TYPE_NONE or self.vocab_size <= 0:
            self.free()
            raise ModelFileError(f"{params.path!r} has no vocabulary, so it can neither read nor write text.")
        self._cuts_runs = lib.llama_vocab_type(self._vocab) == lib.LLAMA_VOCAB_TYPE_BPE
        # A sequence can be cut back to any earlier token only where each token has cells of its own in the KV cache.
        self.can_cut_back: bool = not (
            lib.llama_model_is_recurrent(self._model) or lib.llama_model_is_hybrid(self._model)
        )
        self.sliding_window: int = max(0, lib.llama_model_n_swa(self._model))
        self.can_embed: bool = not (
            lib.llama_model_has_encoder(self._model) and lib.llama_model_has_decoder(self._model)
        )
        self.can_generate: bool = (
            bool(lib.llama_model_has_decoder(self._model))
            and not lib.llama_model_has_encoder(self._model)
            and self._metadata(f"{self._metadata('general.architecture')}.attention.causal") != "false"
        )

    def _metadata(self, key: str) -> str:
        buffer = ctypes.create_string_buffer(256)
        size = lib.llama_model_meta_val_str(self._model, key.encode(), buffer, len(buffer))
        return buffer.value.decode("utf-8", "replace") if size >= 0 else ""

    def tokenize(self, text: str, *, add_special: bool, parse_special: bool = True) -> list[int]:
        """Turn text into token ids.

        Args:
            text: The text.
            add_special: Add the model's BOS (and what else it asks for).
            parse_special: Read `<|im_end|>` and the like as the tokens they name.

        Raises:
            InvalidRequestError: The text holds half a character.
        """
        raw = encoded(text)
        if not self._cuts_runs:
            return self._tokenize(raw, add_special, parse_special)
        tokens: list[int] = []
        for piece in cut_long_runs(text):
            tokens += self._tokenize(piece.encode("utf-8"), add_special and not tokens, parse_special)
        return tokens

    def _tokenize(self, raw: bytes, add_special: bool, parse_special: bool) -> list[int]:
        room = len(raw) + 8
        buffer = (lib.llama_token * room)()
        count = lib.llama_tokenize(self._vocab, raw, len(raw), buffer, room, add_special, parse_special)
        if count < 0:
            room = -count
            buffer = (lib.llama_token * room)()
            count = lib.llama_tokenize(self._vocab, raw, len(raw), buffer, room, add_special, parse_special)
        if count < 0:
            raise EngineError("llama.cpp could not tokenize the text.")
        return list(buffer[:count])

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """Give the bytes of a token, which may be half a character; control tokens are empty unless `special`."""
        self._check_token(token)
        key = ~token if special else token
        piece = self._pieces.get(key)
        if piece is None:
            buffer = ctypes.create_string_buffer(64)
            size = lib.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, special)
            if size < 0:
                buffer = ctypes.create_string_buffer(-size)
                size = lib.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, special)
            piece = self._pieces[key] = buffer.raw[: max(size, 0)]
        return piece

    def longest_piece(self) -> int:
        """Length in bytes of the longest token; 0 where none is longer than those of ordinary vocabularies."""
        return max((len(self.piece(token, special=True)) for token in self._long_tokens), default=0)

    def ends_generation(self, token: int) -> bool:
        """Whether a token ends an answer (EOS, end of turn and the like)."""
        ends = self._ends.get(token)
        if ends is None:
            self._check_token(token)
            ends = self._ends[token] = bool(lib.llama_vocab_is_eog(self._vocab, token))
        return ends

    def is_control(self, token: int) -> bool:
        """Whether a token is one that no text has, such as the mark of its end."""
        self._check_token(token)
        return bool(lib.llama_vocab_is_control(self._vocab, token))

    def _check_token(self, token: int) -> None:
        if not 0 <= token < self.vocab_size:
            raise EngineError(f"Token id {token} is outside the vocabulary of {self.vocab_size}.")

    def free(self) -> None:
        """Free the weights. Every context on them must have been freed before."""
        model, self._model = self._model, None
        if model:
            lib.llama_model_free(model)
