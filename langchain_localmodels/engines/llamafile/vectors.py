"""Vectors in the shapes in which servers give them."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Sequence
from typing import Any

from langchain_localmodels.errors import EngineError, UnsupportedFeatureError


def read_vectors(answer: Any, count: int) -> list[tuple[float, ...]]:
    """The vectors of an answer, in the order of the texts.

    There are OpenAI's shape, with numbers or as base64; llama.cpp's list of `{"index", "embedding": [[…]]}`; the
    single `{"embedding": […]}` that it had until the end of 2024, and llamafiler has; and `{"embeddings": [[…]]}`.

    Args:
        answer: What the server gave.
        count: How many texts there were.

    Raises:
        EngineError: It is none of these, or has another number of vectors.
        UnsupportedFeatureError: There is a vector for each token and none for the text.
    """
    entries: Any = answer
    if isinstance(answer, dict):
        entries = answer.get("data", answer.get("embeddings", answer.get("results")))
        if entries is None and "embedding" in answer:
            entries = [answer]
    if not isinstance(entries, list) or len(entries) != count:
        found = f"{len(entries)} vectors" if isinstance(entries, list) else "no vectors"
        raise EngineError(f"The server gave {found} for {count} texts.", hint="Is it one that embeds?")
    vectors: dict[int, tuple[float, ...]] = {}
    for place, entry in enumerate(entries):
        index = entry.get("index") if isinstance(entry, dict) else None
        vectors[index if isinstance(index, int) else place] = _vector(
            entry.get("embedding") if isinstance(entry, dict) else entry
        )
    if sorted(vectors) != list(range(count)):
        raise EngineError("The server numbered its vectors otherwise than the texts.")
    return [vectors[index] for index in range(count)]


def _vector(value: Any) -> tuple[float, ...]:
    if isinstance(value, str):
        try:
            raw = base64.b64decode(value, validate=True)
            return struct.unpack(f"<{len(raw) // 4}f", raw)
        except (ValueError, struct.error) as error:
            raise EngineError(f"The server gave a vector that cannot be read: {error}") from error
    if isinstance(value, list) and value and isinstance(value[0], list):
        if len(value) > 1:
            raise UnsupportedFeatureError(
                "The server gives a vector for each token, not for each text.",
                hint="Start it with `--pooling mean`, or as the model wants it.",
            )
        value = value[0]
    if not isinstance(value, list) or not value or not all(isinstance(number, int | float) for number in value):
        raise EngineError("The server gave something else than numbers in a vector's place.")
    return tuple(float(number) for number in value)


def scaled(vector: Sequence[float]) -> tuple[float, ...]:
    """The vector at length 1; one of zeros stays as it is."""
    length = math.sqrt(math.fsum(number * number for number in vector))
    return tuple(vector) if length == 0 else tuple(number / length for number in vector)
