"""`Vocabulary`: a file's tokens, without its weights.

gpt4all has no function for that. The llama.cpp in its wheel does; its structures are those of the one release that was
looked at, and of any other release there is no vocabulary.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Iterable

from langchain_localmodels.dialects.prompt_text import cut_long_runs, encoded_to_nul
from langchain_localmodels.engines.gpt4all.binding.library import library_path, private_api_is_known
from langchain_localmodels.engines.gpt4all.values import Segment
from langchain_localmodels.errors import EngineClosedError, EngineError

_PARTS = {
    "linux": ("libllamamodel-mainline-kompute.so", "libllamamodel-mainline-kompute-avxonly.so"),
    "darwin": ("libllamamodel-mainline-metal.dylib", "libllamamodel-mainline-cpu.dylib"),
}
_UNKNOWN, _UNUSED, _CONTROL, _USER_DEFINED = 1, 2, 8, 16

_ENDS = (
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<end_of_turn>",
    "<|END_OF_TURN_TOKEN|>",
    "<|user|>",
    "<EOT>",
    "</s>",
)
"""Texts of control tokens that end an answer. Files name one such token, two at most, and GPT4All heeds one."""


class _ModelParams(ctypes.Structure):
    _fields_ = (
        ("n_gpu_layers", ctypes.c_int32),
        ("split_mode", ctypes.c_int),
        ("main_gpu", ctypes.c_int32),
        ("tensor_split", ctypes.c_void_p),
        ("rpc_servers", ctypes.c_void_p),
        ("progress_callback", ctypes.c_void_p),
        ("progress_callback_user_data", ctypes.c_void_p),
        ("kv_overrides", ctypes.c_void_p),
        ("vocab_only", ctypes.c_bool),
        ("use_mmap", ctypes.c_bool),
        ("use_mlock", ctypes.c_bool),
        ("check_tensors", ctypes.c_bool),
    )


def has_vocabulary() -> bool:
    """Whether text can be turned into tokens with this gpt4all, on this system. Loads nothing."""
    names = _PARTS.get(sys.platform, ())
    return private_api_is_known() and any((library_path() / name).exists() for name in names)


def _loaded_part() -> ctypes.CDLL | None:
    """The part that gpt4all has loaded: another one might need a processor that this is not."""
    for name in _PARTS.get(sys.platform, ()):
        try:
            return ctypes.CDLL(str(library_path() / name), mode=os.RTLD_NOLOAD)
        except OSError:
            continue
    return None


class Vocabulary:
    """A file's vocabulary. Any thread may use it.

    Args:
        path: The model file, which gpt4all has loaded before.

    Raises:
        EngineError: It cannot be loaded.
    """

    def __init__(self, path: str) -> None:
        part = _loaded_part()
        if part is None:
            raise EngineError("gpt4all's llama.cpp is not loaded.")
        self._lib = part
        _declare(part)
        params = part.llama_model_default_params()
        params.vocab_only = True
        self._lock = threading.Lock()  # `close` may come while another thread counts
        self._model = part.llama_load_model_from_file(os.fsencode(path), params)
        if not self._model:
            raise EngineError(f"The vocabulary of {path!r} cannot be loaded.")
        self.size: int = part.llama_n_vocab(self._model)
        bos: int = part.llama_token_bos(self._model)
        self.bos_text = self.piece(bos).decode("utf-8", "replace") if 0 <= bos < self.size else ""
        begun = self._tokens(b"", at_start=True, special=False, space=False)
        self.adds_bos = begun[:1] == [bos]
        self.ends, control, self.unused = self._look_through()
        self.control_texts = frozenset(self.piece(token).decode("utf-8", "replace") for token in control) - {""}
        """What control tokens are called: to be taken for them only where a template, not a user, has written it."""

    def tokenize(self, segments: Iterable[Segment], *, after: int | None = None) -> list[int]:
        """Turn a prompt into token ids, as GPT4All does.

        Args:
            segments: The prompt, or its rest.
            after: The token that goes before it; `None` where it is the whole prompt, and gets a BOS.
        """
        tokens: list[int] = []
        last = after
        for segment in segments:
            space = last is None or self.is_special(last)
            tokens += self._tokens(
                encoded_to_nul(segment.text), at_start=last is None, special=segment.special, space=space
            )
            last = tokens[-1] if tokens else after
        return tokens

    def plain_tokens(self, text: str) -> list[int]:
        """Turn text into token ids, without a BOS."""
        pieces = cut_long_runs(text) if text else ()
        return [
            token
            for piece in pieces
            for token in self._tokens(encoded_to_nul(piece), at_start=False, special=True, space=False)
        ]

    def piece(self, token: int) -> bytes:
        """The bytes of a token, which may be half a character; those of control tokens are their names."""
        with self._open() as model:
            room = 64
            while True:
                buffer = ctypes.create_string_buffer(room)
                size: int = self._lib.llama_token_to_piece(model, token, buffer, room, 0, True)
                if size >= 0:
                    return buffer.raw[:size]
                room = -size

    def is_special(self, token: int) -> bool:
        """Whether a token is one that text has only where it is parsed for such tokens."""
        with self._open() as model:
            return bool(self._lib.llama_token_get_attr(model, token) & (_UNKNOWN | _CONTROL | _USER_DEFINED))

    def free(self) -> None:
        """Free it; to be called once."""
        with self._lock:
            model, self._model = self._model, None
        if model:
            self._lib.llama_free_model(model)

    def _look_through(self) -> tuple[frozenset[int], frozenset[int], int]:
        """Find the tokens that end an answer, and those that are no text; count those that are nothing."""
        with self._open() as model:
            ends, attributes = self._lib.llama_token_is_eog, self._lib.llama_token_get_attr
            found = {token for token in range(self.size) if ends(model, token)}
            kinds = [attributes(model, token) for token in range(self.size)]
            control = {token for token, kind in enumerate(kinds) if kind & _CONTROL}
            for text in _ENDS:
                tokens = self._raw_tokens(model, text.encode(), at_start=False, special=True, space=False)
                if len(tokens) == 1 and tokens[0] in control:
                    found.add(tokens[0])
        return frozenset(found), frozenset(control), sum(bool(kind & _UNUSED) for kind in kinds)

    def _tokens(self, raw: bytes, *, at_start: bool, special: bool, space: bool) -> list[int]:
        with self._open() as model:
            return self._raw_tokens(model, raw, at_start=at_start, special=special, space=space)

    def _raw_tokens(self, model: int, raw: bytes, *, at_start: bool, special: bool, space: bool) -> list[int]:
        room = len(raw) + 8
        buffer = (ctypes.c_int32 * room)()
        count: int = self._lib.llama_tokenize_gpt4all(model, raw, len(raw), buffer, room, at_start, special, space)
        if count < 0:
            raise EngineError("GPT4All could not tokenize the text.")
        return list(buffer[:count])

    def _open(self) -> _Held:
        return _Held(self)


class _Held:
    """The model, kept from being freed for a `with` block."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary

    def __enter__(self) -> int:
        self._vocabulary._lock.acquire()
        model = self._vocabulary._model
        if not model:
            self._vocabulary._lock.release()
            raise EngineClosedError("The model was closed while it was in use.")
        return int(model)

    def __exit__(self, *_: object) -> None:
        self._vocabulary._lock.release()


def _declare(part: ctypes.CDLL) -> None:
    pointer, number, flag, text = ctypes.c_void_p, ctypes.c_int32, ctypes.c_bool, ctypes.c_char_p
    functions: dict[str, tuple[object, list[object]]] = {
        "llama_model_default_params": (_ModelParams, []),
        "llama_load_model_from_file": (pointer, [text, _ModelParams]),
        "llama_free_model": (None, [pointer]),
        "llama_n_vocab": (number, [pointer]),
        "llama_token_bos": (number, [pointer]),
        "llama_token_is_eog": (flag, [pointer, number]),
        "llama_token_get_attr": (ctypes.c_int, [pointer, number]),
        "llama_token_to_piece": (number, [pointer, number, text, number, number, flag]),
        "llama_tokenize_gpt4all": (
            number,
            [pointer, text, number, ctypes.POINTER(number), number, flag, flag, flag],
        ),
    }
    for name, (result, arguments) in functions.items():
        function = getattr(part, name)
        function.restype, function.argtypes = result, arguments
