"""How one request's next token is chosen: llama.cpp's samplers in its own order, a grammar checked after, not before.

The order and the defaults are those of llama.cpp's `common_sampler`
(https://github.com/ggml-org/llama.cpp/blob/master/common/sampling.cpp).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from langchain_localmodels.engines.base import Sampling, TokenLogprob
from langchain_localmodels.engines.llamacpp.binding.library import np
from langchain_localmodels.engines.llamacpp.binding.model import Model
from langchain_localmodels.engines.llamacpp.binding.samplers import (
    Candidates,
    DrySamplers,
    SamplerChain,
    grammar_sampler,
)
from langchain_localmodels.errors import EngineError, InvalidRequestError

if TYPE_CHECKING:
    import numpy.typing as npt

DEFAULTS = Sampling(
    temperature=0.8,
    top_k=40,
    top_p=0.95,
    min_p=0.05,
    typical_p=1.0,
    repeat_penalty=1.0,
    repeat_last_n=64,
    frequency_penalty=0.0,
    presence_penalty=0.0,
    mirostat=0,
    mirostat_tau=5.0,
    mirostat_eta=0.1,
    dry_multiplier=0.0,
    dry_base=1.75,
    dry_allowed_length=2,
    dry_penalty_last_n=64,
    dry_sequence_breakers=("\n", ":", '"', "*"),
    xtc_probability=0.0,
    xtc_threshold=0.1,
)
"""llama.cpp's defaults, used where neither the request nor the model file says otherwise."""

_MIROSTAT_M = 100  # the paper's m, as in llama.cpp
_LONGEST_LOOK_BACK = 2**17


def random_seed() -> int:
    """A seed for a request that names none. 2**32 - 1 is left out: llama.cpp takes it for "random again"."""
    return int.from_bytes(os.urandom(4), "little") % 0xFFFFFFFF


class TokenSampler:
    """Chooses the tokens of one request. Used by the scheduler's thread only.

    Args:
        model: The model.
        sampling: What the request says; `None` values are filled from `DEFAULTS`.
        grammar: GBNF that the answer must follow.
        candidates: Room for the whole vocabulary, shared by all requests of the thread.
        dry: DRY samplers, likewise shared.
    """

    def __init__(
        self, model: Model, sampling: Sampling, *, grammar: str | None, candidates: Candidates, dry: DrySamplers
    ) -> None:
        self._candidates = candidates
        self._last_n = _look_back(sampling, "repeat_last_n", model)
        self._penalizes = (
            _value(sampling, "repeat_penalty") != 1.0
            or _value(sampling, "frequency_penalty") != 0.0
            or _value(sampling, "presence_penalty") != 0.0
        ) and self._last_n > 0
        self._dry_last_n = _look_back(sampling, "dry_penalty_last_n", model)
        self._dries = _value(sampling, "dry_multiplier") > 0.0 and self._dry_last_n > 0
        greedy = _value(sampling, "temperature") <= 0.0
        # The plain argmax gives the same token as a chain that ends in llama.cpp's greedy sampler, 15 times faster.
        is_plain = greedy and not (self._penalizes or self._dries or sampling.logit_bias)
        self._chain = None if is_plain else self._build(model, sampling, greedy, dry)
        self._grammar = None
        if grammar is not None:
            try:
                self._grammar = grammar_sampler(model, grammar)
            except BaseException:
                self.free()
                raise
            self._proposed = Candidates(1)

    def _build(self, model: Model, sampling: Sampling, greedy: bool, dry: DrySamplers) -> SamplerChain:
        chain = SamplerChain(brief=greedy or not _sorts_all(sampling))
        try:
            self._add_what_looks_back(chain, model, sampling, dry)
            if greedy:
                chain.add("greedy")
            elif _value(sampling, "mirostat"):
                _add_mirostat(chain, model, sampling)
            else:
                _add_choice(chain, model, sampling)
        except BaseException:
            chain.free()
            raise
        return chain

    def _add_what_looks_back(self, chain: SamplerChain, model: Model, sampling: Sampling, dry: DrySamplers) -> None:
        if sampling.logit_bias:
            if strange := [token for token, _ in sampling.logit_bias if not 0 <= token < model.vocab_size]:
                raise InvalidRequestError(
                    f"`logit_bias` names the token {strange[0]}; the vocabulary has {model.vocab_size} tokens."
                )
            chain.add_logit_bias(model.vocab_size, sampling.logit_bias)
        if self._penalizes:
            chain.add(
                "penalties",
                model.vocab_size,
                self._last_n,
                _value(sampling, "repeat_penalty"),
                _value(sampling, "frequency_penalty"),
                _value(sampling, "presence_penalty"),
            )
        if self._dries:
            chain.add_dry(
                dry,
                multiplier=_value(sampling, "dry_multiplier"),
                base=_value(sampling, "dry_base"),
                allowed_length=_value(sampling, "dry_allowed_length"),
                last_n=self._dry_last_n,
                breakers=_value(sampling, "dry_sequence_breakers"),
            )

    def read(self, tokens: Sequence[int]) -> None:
        """Take note of the prompt, which penalties look back on as well."""
        back = max(self._last_n if self._penalizes else 0, self._dry_last_n if self._dries else 0)
        if self._chain is not None and back:
            for token in tokens[-back:]:
                self._chain.accept(token)

    def choose(self, logits: npt.NDArray[np.float32]) -> int:
        """Choose the next token, given the model's score of every token.

        Raises:
            EngineError: The grammar lets no token stand.
        """
        token = self._propose(logits)
        if self._grammar is not None:
            self._proposed.fill_one(token)
            self._grammar.apply(self._proposed)
            if not self._proposed.first_allowed():
                token = self._choose_masked(logits)
        return token

    def accept(self, token: int) -> None:
        """Take note of a token that goes on; not for one that ended the answer."""
        if self._chain is not None:
            self._chain.accept(token)
        if self._grammar is not None:
            self._grammar.accept(token)

    def _propose(self, logits: npt.NDArray[np.float32]) -> int:
        if self._chain is None:
            return int(logits.argmax())
        self._candidates.fill(logits)
        self._chain.apply(self._candidates)
        return self._candidates.selected()[0]

    def _choose_masked(self, logits: npt.NDArray[np.float32]) -> int:
        # Masking the vocabulary costs 200 times the check of one token, so it is only done when that one was refused.
        assert self._grammar is not None
        self._candidates.fill(logits)
        self._grammar.apply(self._candidates)
        if self._chain is None:
            token, score = self._candidates.best()
        else:
            self._chain.apply(self._candidates)
            token, score = self._candidates.selected()
        if not np.isfinite(score):
            raise EngineError(
                "The grammar lets no token of the vocabulary stand here.",
                hint="The grammar contradicts itself, or asks for a character that the model cannot write.",
            )
        return token

    def free(self) -> None:
        """Free what it holds in C."""
        for sampler in (self._chain, getattr(self, "_grammar", None)):
            if sampler is not None:
                sampler.free()
        self._chain = self._grammar = None


def _sorts_all(sampling: Sampling) -> bool:
    """Whether a sampler walks through the whole vocabulary in order, which takes so long that the GIL is let go."""
    sorts = _value(sampling, "top_p") < 1.0 or _value(sampling, "xtc_probability") > 0.0
    return bool(
        _value(sampling, "mirostat")
        or _value(sampling, "typical_p") < 1.0
        or (_value(sampling, "top_k") <= 0 and sorts)
    )


def _seed(sampling: Sampling) -> int:
    # Of 32 bits, all set would mean "random" to llama.cpp.
    return sampling.seed % 0xFFFFFFFF if sampling.seed is not None else random_seed()


def _add_mirostat(chain: SamplerChain, model: Model, sampling: Sampling) -> None:
    chain.add("temp", _value(sampling, "temperature"))
    tau, eta = _value(sampling, "mirostat_tau"), _value(sampling, "mirostat_eta")
    if _value(sampling, "mirostat") == 1:
        chain.add("mirostat", model.vocab_size, _seed(sampling), tau, eta, _MIROSTAT_M)
    else:
        chain.add("mirostat_v2", _seed(sampling), tau, eta)


def _add_choice(chain: SamplerChain, model: Model, sampling: Sampling) -> None:
    seed = _seed(sampling)
    if (top_k := _value(sampling, "top_k")) > 0:
        chain.add("top_k", min(top_k, model.vocab_size))
    for name, off in (("typical_p", 1.0), ("top_p", 1.0), ("min_p", 0.0)):
        if (value := _value(sampling, name)) != off:
            chain.add("typical" if name == "typical_p" else name, value, 1)
    if (probability := _value(sampling, "xtc_probability")) > 0.0:
        chain.add("xtc", probability, _value(sampling, "xtc_threshold"), 1, seed)
    chain.add("temp", _value(sampling, "temperature"))
    chain.add("dist", seed)


def logprob_of(logits: npt.NDArray[np.float32], token: int, top: int, model: Model) -> TokenLogprob:
    """Log probability of a token and of the `top` likeliest, as the model gave them, before any sampler."""
    peak = logits.max()
    log_sum = float(peak) + float(np.log(np.exp(logits - peak).sum(dtype=np.float64)))
    alternatives: list[tuple[str, float]] = []
    if top > 0:
        best = np.argpartition(logits, -min(top, len(logits)))[-top:]
        for candidate in best[np.argsort(-logits[best])]:
            alternatives.append((_text(model, int(candidate)), float(logits[candidate]) - log_sum))
    return TokenLogprob(_text(model, token), float(logits[token]) - log_sum, tuple(alternatives))


def _text(model: Model, token: int) -> str:
    return model.piece(token, special=True).decode("utf-8", "replace")


def _look_back(sampling: Sampling, name: str, model: Model) -> int:
    """How many tokens back a penalty looks. llama.cpp keeps room for all of them, so a number out of reach is cut."""
    last_n: int = _value(sampling, name)
    return model.trained_window if last_n < 0 else min(last_n, max(model.trained_window, _LONGEST_LOOK_BACK))


def _value(sampling: Sampling, name: str) -> Any:
    value = getattr(sampling, name)
    return getattr(DEFAULTS, name) if value is None else value
