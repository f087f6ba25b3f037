"""What the Ollama double makes of a request for vectors: words have places, and texts that share words are near."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Embedder:
    """How the double embeds, and what goes wrong meanwhile."""

    size: int = 64
    window: int = 512  # words, which stand for tokens
    has_embed: bool = True  # since 0.2.6
    knows_dimensions: bool = True  # since 0.11.11
    not_embedding: set[str] = field(default_factory=set)  # models that only write
    change: Callable[[list[list[float]]], Any] | None = None  # what is sent in place of the vectors

    def answer(self, path: str, body: dict[str, Any], model: str) -> tuple[int, Any]:
        """Status and body of the answer; 0 for a path that this version does not have."""
        legacy = path == "/api/embeddings"
        if not legacy and not self.has_embed:
            return 0, None
        if model in self.not_embedding:
            return 501, {"error": "This server does not support embeddings. Start it with `--embeddings`"}
        if legacy:
            return self._one(body.get("prompt") or "")
        given = body.get("input")
        if given in ("", None, []):
            return 200, {"model": model, "embeddings": []}
        texts = [given] if isinstance(given, str) else given
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            return 400, {"error": "invalid input type"}
        return self._several(body, texts)

    def _one(self, text: str) -> tuple[int, Any]:
        if not text:
            return 200, {"embedding": []}
        if len(text.split()) > self.window:
            return 500, {"error": "the input length exceeds the context length"}
        vector: Any = [3 * number for number in self.vector(text)]  # this one does not scale
        return 200, {"embedding": vector if self.change is None else self.change([vector])[0]}

    def _several(self, body: dict[str, Any], texts: list[str]) -> tuple[int, Any]:
        if body.get("truncate", True) is False and any(len(text.split()) > self.window for text in texts):
            return 400, {"error": "the input length exceeds the context length"}
        vectors: Any = [self.vector(" ".join(text.split()[: self.window])) for text in texts]
        size = body.get("dimensions")
        if size and self.knows_dimensions:
            vectors = [_scaled(vector[:size]) for vector in vectors]
        if self.change is not None:
            vectors = self.change(vectors)
        return 200, {"model": body["model"], "embeddings": vectors, "total_duration": 1, "load_duration": 1}

    def vector(self, text: str) -> list[float]:
        """A vector of length 1."""
        sums = [0.01] * self.size
        for word in text.lower().split():
            for number, byte in enumerate(hashlib.sha512(word.strip(".,?!").encode()).digest()[: self.size]):
                sums[number] += byte / 255 - 0.5
        return _scaled(sums)


def _scaled(vector: list[float]) -> list[float]:
    length = math.hypot(*vector)
    return [number / length for number in vector]
