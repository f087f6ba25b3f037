"""`ScriptedEmbeddings`: vectors for tests, made of words alone, the same in every run and on every machine."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field, PrivateAttr, field_validator

from langchain_localmodels.embeddings import LocalEmbeddings
from langchain_localmodels.engines.base import EmbeddingRequest, Engine
from langchain_localmodels.errors import InvalidRequestError
from langchain_localmodels.testing.engine import ScriptedEmbeddingEngine

_WORD = re.compile(r"\w+|[^\w\s]")


class _Asked(list[EmbeddingRequest]):
    """What was asked, of copies too; two objects are not unequal for it."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Asked)

    __hash__ = None

    def __copy__(self) -> _Asked:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> _Asked:
        return self


class ScriptedEmbeddings(LocalEmbeddings):
    """Embeddings for tests: the more words two texts share, the nearer their vectors are.

    Example:
        ```python
        from langchain_localmodels.testing import ScriptedEmbeddings

        embeddings = ScriptedEmbeddings(vectors={"north": [0, 1], "east": [1, 0]}, size=2)
        embeddings.embed_query("north")  # [0.0, 1.0]
        embeddings.embed_query("any other text")  # two numbers that are always the same
        ```
    """

    _engine_name: ClassVar[str] = "scripted"

    size: Annotated[int, Field(ge=1, le=2**16)] = 64
    """How many numbers a vector has."""

    vectors: Any = None
    """Vectors of certain texts: a dict, or a function that gives a vector, or `None` for a text that it leaves to the
    words. Either may also give an error, which is raised."""

    model: str = "scripted-embeddings"
    """Name of the model."""

    _requests: _Asked = PrivateAttr(default_factory=_Asked)

    @field_validator("vectors")
    @classmethod
    def _vectors_can_be_asked(cls, value: Any) -> Any:
        if value is None or isinstance(value, Mapping) or callable(value):
            return value
        raise ValueError("a dict from texts to vectors, or a function")

    @property
    def requests(self) -> list[EmbeddingRequest]:
        """What was asked, in order: the texts, with their prefixes, and the settings."""
        return list(self._requests)

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """No: a function for `vectors` is an object of this process."""
        return False

    def _model_name(self) -> str:
        return self.model

    async def _aengine(self) -> Engine:
        return self.engine

    def _new_engine(self) -> Engine:
        return ScriptedEmbeddingEngine(_Maker(self.size, self.vectors), self._requests)


class _Maker:
    """Makes the vector of a text."""

    def __init__(self, size: int, given: Mapping[str, Any] | Callable[[str], Any] | None) -> None:
        self._size = size
        self._given = given

    def __call__(self, text: str, normalize: bool) -> tuple[float, ...]:
        words = _WORD.findall(text.casefold())
        if not words:
            raise InvalidRequestError(f"The text {text!r} has no tokens.", hint="Leave empty texts out.")
        given = self._given(text) if callable(self._given) else (self._given or {}).get(text)
        if isinstance(given, BaseException):
            raise given
        vector = self._of_words(words) if given is None else self._checked(text, given)
        length = math.hypot(*vector)
        return tuple(number / length for number in vector) if normalize and length else tuple(vector)

    def _of_words(self, words: Sequence[str]) -> list[float]:
        rows = [_numbers(word, self._size) for word in words]
        return [math.fsum(column) for column in zip(*rows, strict=True)]

    def _checked(self, text: str, given: Any) -> list[float]:
        vector = [float(number) for number in given]
        if len(vector) != self._size:
            raise InvalidRequestError(
                f"The vector given for {text!r} has {len(vector)} numbers, and `size` is {self._size}.",
                hint="All vectors of a model have the same length.",
            )
        return vector


def _numbers(word: str, size: int) -> list[float]:
    """Numbers between -1 and 1 that look random, and depend on the word alone."""
    drawn = hashlib.shake_256(word.encode("utf-8", "surrogatepass")).digest(2 * size)
    return [int.from_bytes(drawn[i : i + 2], "big") / 32767.5 - 1 for i in range(0, 2 * size, 2)]
