"""Samplers and grammars in C, and the candidates they choose from."""

from __future__ import annotations

import ctypes
import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from langchain_localmodels.engines.llamacpp.binding.library import lib, np
from langchain_localmodels.engines.llamacpp.binding.model import Model
from langchain_localmodels.errors import EngineError, InvalidRequestError, UnsupportedFeatureError

if TYPE_CHECKING:
    import numpy.typing as npt

# The same library through PyDLL keeps the GIL: for a call of some microseconds, handing the GIL to a busy thread and
# waiting to get it back costs a thousand times the call.
_keeping_gil = ctypes.PyDLL(lib._lib._name)


def _keep_gil(name: str) -> Any:
    function, original = getattr(_keeping_gil, name), getattr(lib, name)
    function.argtypes, function.restype = original.argtypes, original.restype
    return function


_apply_keeping_gil = _keep_gil("llama_sampler_apply")
_accept_keeping_gil = _keep_gil("llama_sampler_accept")

_LONGEST_PIECE = 1000
"""In bytes: llama.cpp follows a token with a call in a call for each character, and 3300 overrun one MiB of stack."""

_SLOW_SECONDS = 2.0
"""Masking a vocabulary of 130,000 tokens takes 0.04 seconds, where the grammar can go on in few ways."""

_CANDIDATE = np.dtype([("id", "<i4"), ("logit", "<f4"), ("p", "<f4")])  # struct llama_token_data


class Candidates:
    """The tokens that samplers choose from, with their scores; reused from call to call."""

    def __init__(self, size: int) -> None:
        self._rows = np.zeros(size, _CANDIDATE)
        self._all_ids = np.arange(size, dtype=np.int32)
        self.array = lib.llama_token_data_array()
        self._data = self._rows.ctypes.data_as(lib.llama_token_data_p)

    def fill(self, logits: npt.NDArray[np.float32]) -> None:
        """Offer the whole vocabulary."""
        self._offer(self._all_ids, logits)

    def fill_one(self, token: int) -> None:
        """Offer one token, to see whether a grammar lets it stand; needs a size of 1."""
        self._offer(token, 1.0)

    def _offer(self, ids: Any, logits: Any) -> None:
        self._rows["id"] = ids
        self._rows["logit"] = logits
        self.array.data, self.array.size = self._data, len(self._rows)  # samplers move and shrink it
        self.array.selected, self.array.sorted = -1, False

    def selected(self) -> tuple[int, float]:
        """Give the chosen token and its score.

        Raises:
            EngineError: Nothing was chosen.
        """
        index = self.array.selected
        if not 0 <= index < self.array.size:
            raise EngineError("The samplers chose no token.")
        row = self.array.data[index]
        return int(row.id), float(row.logit)

    def best(self) -> tuple[int, float]:
        """Give the candidate with the highest score."""
        row = self._rows[self._rows["logit"].argmax()]
        return int(row["id"]), float(row["logit"])

    def first_allowed(self) -> bool:
        """Whether the only candidate still stands."""
        return bool(np.isfinite(self._rows["logit"][0]))


class Sampler:
    """One of llama.cpp's samplers, owned by this object.

    Args:
        handle: What a `llama_sampler_init_*` gave.
        brief: Whether a call is so short that the GIL should be kept.
    """

    def __init__(self, handle: Any, *, brief: bool = True) -> None:
        if not handle:
            raise InvalidRequestError("llama.cpp refused to make a sampler.")
        self._handle = handle
        self._brief = brief

    def apply(self, candidates: Candidates) -> None:
        """Let it mask, rescale, or choose among the candidates."""
        call = _apply_keeping_gil if self._brief else lib.llama_sampler_apply
        call(self._handle, ctypes.byref(candidates.array))

    def accept(self, token: int) -> None:
        """Tell it which token was taken."""
        _accept_keeping_gil(self._handle, token)

    def free(self) -> None:
        """Free it."""
        handle, self._handle = self._handle, None
        if handle:
            lib.llama_sampler_free(handle)


class SamplerChain(Sampler):
    """Samplers applied one after the other; the last must choose."""

    def __init__(self, *, brief: bool) -> None:
        super().__init__(lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params()), brief=brief)

    def add(self, name: str, *args: Any) -> None:
        """Append the sampler that `llama_sampler_init_<name>(*args)` makes; the chain owns it."""
        handle = getattr(lib, f"llama_sampler_init_{name}")(*args)
        if not handle:
            raise InvalidRequestError(f"llama.cpp refused to make the sampler {name} with {args}.")
        lib.llama_sampler_chain_add(self._handle, handle)

    def add_dry(self, samplers: DrySamplers, **params: Any) -> None:
        """Append a DRY sampler; see `DrySamplers.make`."""
        lib.llama_sampler_chain_add(self._handle, samplers.make(**params))

    def add_logit_bias(self, vocab_size: int, biases: Sequence[tuple[int, float]]) -> None:
        """Append a sampler that adds to the scores of some tokens."""
        array = (lib.llama_logit_bias * len(biases))(*biases)
        self.add("logit_bias", vocab_size, len(biases), array)


class DrySamplers:
    """Makes DRY samplers.

    Making one walks through the whole vocabulary, 30 ms for a large one; so it is kept, and others are its clones.

    Source of the method: https://github.com/oobabooga/text-generation-webui/pull/5677.
    """

    _MOST_KEPT = 8

    def __init__(self, model: Model) -> None:
        self._model = model
        self._kept: OrderedDict[tuple[Any, ...], Sampler] = OrderedDict()

    def make(self, *, multiplier: float, base: float, allowed_length: int, last_n: int, breakers: Sequence[str]) -> Any:
        """Give a handle that belongs to the caller.

        Args:
            multiplier: How strong the penalty is.
            base: Its growth with each token of a repetition beyond those allowed.
            allowed_length: Tokens that may be repeated.
            last_n: How many tokens back to look, at least 1.
            breakers: Texts that end a repetition.
        """
        key = (multiplier, base, allowed_length, last_n, tuple(breakers))
        kept = self._kept.get(key)
        if kept is None:
            kept = self._kept[key] = self._first(*key)
            if len(self._kept) > self._MOST_KEPT:
                self._kept.popitem(last=False)[1].free()
        self._kept.move_to_end(key)
        handle = lib.llama_sampler_clone(kept._handle)
        if not handle:
            raise EngineError("llama.cpp could not copy a DRY sampler.")
        return handle

    def _first(
        self, multiplier: float, base: float, allowed_length: int, last_n: int, breakers: Sequence[str]
    ) -> Sampler:
        # llama.cpp takes a breaker as text that ends with NUL.
        if any("\0" in breaker for breaker in breakers):
            raise InvalidRequestError("`dry_sequence_breakers` holds a NUL character.")
        texts = [breaker.encode("utf-8", "replace") for breaker in breakers]
        array = (ctypes.c_char_p * max(len(texts), 1))(*texts)
        length = min(allowed_length, 2**31 - 1)
        return Sampler(
            lib.llama_sampler_init_dry(self._model._vocab, multiplier, base, length, last_n, array, len(texts))
        )

    def free(self) -> None:
        """Free those that were kept; clones live on."""
        while self._kept:
            self._kept.popitem()[1].free()


class GrammarSampler(Sampler):
    """A grammar and how far an answer has come in it.

    Where a grammar can be read in more and more ways, each token takes longer than the one before, and nothing stops a
    call that has begun. So one that is found to be slow is not asked again.
    """

    def __init__(self, handle: Any) -> None:
        super().__init__(handle, brief=False)
        self._slowest = 0.0

    def apply(self, candidates: Candidates) -> None:
        """Mask what the grammar does not allow.

        Raises:
            EngineError: The grammar took too long at an earlier token.
        """
        if self._slowest > _SLOW_SECONDS:
            raise EngineError(
                f"The grammar can go on in so many ways here that one token took {self._slowest:.0f} seconds.",
                hint="Let alternatives differ as early as they can, above all those that hold themselves again.",
            )
        began = time.perf_counter()
        super().apply(candidates)
        self._slowest = max(self._slowest, time.perf_counter() - began)

    def accept(self, token: int) -> None:
        """Tell it which token was taken."""
        began = time.perf_counter()
        super().accept(token)
        self._slowest = max(self._slowest, time.perf_counter() - began)


def takes_grammars(model: Model) -> bool:
    """Whether the vocabulary can be held to grammars."""
    return model.longest_piece() <= _LONGEST_PIECE


def grammar_sampler(model: Model, gbnf: str) -> GrammarSampler:
    """Make a sampler that lets only what a grammar allows stand.

    Raises:
        InvalidRequestError: The grammar does not parse, or the vocabulary has tokens that grammars cannot be held to.
    """
    if not takes_grammars(model):
        raise UnsupportedFeatureError(
            f"This model has a token of {model.longest_piece()} bytes; grammars take up to {_LONGEST_PIECE}.",
            hint="Ask without `grammar`, `format` and `response_format`.",
        )
    handle = lib.llama_sampler_init_grammar(model._vocab, gbnf.encode("utf-8"), b"root")
    if not handle:
        raise InvalidRequestError(
            "llama.cpp cannot read the grammar.", hint="It must be GBNF with a rule named `root` and no left recursion."
        )
    return GrammarSampler(handle)
