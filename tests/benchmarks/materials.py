"""What is measured on: a model that the benchmarks write themselves, and prompts of exact length."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf

from langchain_localmodels.engines.llamacpp.binding.library import lib
from tests.models import write_llama

WINDOW = 16384
_FILE = "benchmark-190m-q4_0-v1.gguf"
_NORMAL = 1  # the token type of plain text
_WORD = re.compile("Ġ[a-z]{2,}")  # "Ġ" is a space in a byte-level vocabulary


def model_file(folder: Path | None = None) -> Path:
    """The model of about 190 million parameters, written if it is not there yet.

    No end token and no piece of a character can come out of it greedily: their rows of the (tied) output matrix are
    zero, and the best of the others is always above that. So every answer has as many tokens as were asked for, and
    nobody needs a `logit_bias`, which would cost each side something else.
    """
    folder = folder or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "langchain-localmodels"
    path = folder / _FILE
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}")
        write_llama(unfinished, width=1024, layers=16, feed_forward=2560, window=WINDOW, quantization="Q4_0", seed=190)
        _silence(unfinished)
        unfinished.replace(path)
    return path


def _silence(path: Path) -> None:
    reader = gguf.GGUFReader(path, "r+")
    texts, kinds = _vocabulary(reader)
    (matrix,) = (tensor for tensor in reader.tensors if tensor.name == "token_embd.weight")
    for token, (text, kind) in enumerate(zip(texts, kinds, strict=True)):
        # A byte-level vocabulary writes other characters for bytes that are not printable ASCII: "Ġ" for a space, "Ċ"
        # for a line end; the rest are control characters and the bytes that UTF-8 is made of.
        if kind != _NORMAL or not all(letter.isascii() or letter in "ĠĊ" for letter in text):
            matrix.data[token] = 0  # a Q4_0 block of nothing but zero bytes has the scale 0
    matrix.data.flush()


def _vocabulary(reader: gguf.GGUFReader) -> tuple[list[str], list[int]]:
    fields = reader.fields
    return fields["tokenizer.ggml.tokens"].contents(), fields["tokenizer.ggml.token_type"].contents()


class Prompts:
    """Texts of an exact number of tokens, random and the same in every run of the program.

    Neighbours begin with different words, so that nobody finds anything in a cache unless it is meant to.
    """

    def __init__(self, model: Path) -> None:
        texts, kinds = _vocabulary(gguf.GGUFReader(model))
        self._words = [
            text.replace("Ġ", " ")
            for text, kind in zip(texts, kinds, strict=True)
            if kind == _NORMAL and _WORD.fullmatch(text)
        ]
        params = lib.llama_model_default_params()
        params.vocab_only = True
        self._model = lib.llama_model_load_from_file(str(model).encode(), params)
        self._random = random.Random(3)
        self._firsts = self._every_word()

    def take(self, tokens: int) -> str:
        """A text of so many tokens: each of its words is one."""
        text = next(self._firsts) + "".join(self._random.choices(self._words, k=tokens - 1))
        if len(tokenize(lib.llama_model_get_vocab(self._model), text)) != tokens:
            raise RuntimeError(f"a text has other than {tokens} tokens: {text!r}")
        return text

    def _every_word(self) -> Iterator[str]:
        while True:
            yield from self._random.sample(self._words, len(self._words))


def tokenize(vocab: Any, text: str) -> list[int]:
    """Token ids of a text, without any that the model would add."""
    raw = text.encode()
    ids = (lib.llama_token * (len(raw) + 8))()
    return list(ids[: lib.llama_tokenize(vocab, raw, len(raw), ids, len(ids), False, True)])
