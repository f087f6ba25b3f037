"""llama.cpp's own matcher for grammars, asked text by text through the demo model's vocabulary."""

from __future__ import annotations

import os

from langchain_localmodels.demo import model_path
from langchain_localmodels.engines.llamacpp.binding.model import Model, ModelParams
from langchain_localmodels.engines.llamacpp.binding.samplers import Candidates, grammar_sampler


class Matcher:
    """Says whether a grammar takes a text as a whole."""

    def __init__(self) -> None:
        status = os.stat(model_path)
        params = ModelParams(model_path, (status.st_size, status.st_mtime_ns), n_gpu_layers=0)
        self.model = Model(params, verbose=False)
        self._end = next(token for token in range(self.model.vocab_size) if self.model.ends_generation(token))
        self._one = Candidates(1)

    def takes(self, gbnf: str, text: str) -> bool:
        """Whether the grammar allows the text, and then an end."""
        sampler = grammar_sampler(self.model, gbnf)
        try:
            tokens = [
                token
                for character in text
                for token in self.model.tokenize(character, add_special=False, parse_special=False)
            ]
            for token in [*tokens, self._end]:
                self._one.fill_one(token)
                sampler.apply(self._one)
                if not self._one.first_allowed():
                    return False
                sampler.accept(token)
            return True
        finally:
            sampler.free()

    def free(self) -> None:
        self.model.free()
