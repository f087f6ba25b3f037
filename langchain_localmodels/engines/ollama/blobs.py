"""How a file comes to an Ollama server: its digest, and a request that sends it piece by piece."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from langchain_localmodels.errors import ModelFileError, ModelFileNotFoundError
from langchain_localmodels.transport.stream import Call

_PIECE = 1 << 20


def digest_of(path: str) -> str:
    """The digest by which a server knows a file. Reads all of it.

    Raises:
        ModelFileNotFoundError: There is no such file.
        ModelFileError: It is no GGUF file, or cannot be read.
    """
    if not os.path.isfile(path):
        raise ModelFileNotFoundError(f"There is no file {path!r}.", hint="Check the path of the model file.")
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            beginning = file.read(4)
            if beginning != b"GGUF":
                raise ModelFileError(
                    f"{path!r} is not a GGUF file: it begins with {beginning!r}.",
                    hint="Convert the model to GGUF first, or get a file that is.",
                )
            digest.update(beginning)
            for piece in _pieces(file):
                digest.update(piece)
    except OSError as error:
        raise ModelFileError(f"{path!r} cannot be read: {error}") from error
    return f"sha256:{digest.hexdigest()}"


@dataclass(frozen=True)
class FileCall(Call):
    """A request whose body is a file, which is read anew for each try.

    Attributes:
        file: The file's path.
        in_a_task: Whether a task sends it.
    """

    file: str = ""
    in_a_task: bool = False

    def body(self) -> Any:
        """The file's bytes, in pieces."""
        return _apieces_of(self.file) if self.in_a_task else _pieces_of(self.file)


def _pieces_of(path: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        yield from _pieces(file)


async def _apieces_of(path: str) -> AsyncIterator[bytes]:
    with open(path, "rb") as file:
        while piece := await asyncio.to_thread(file.read, _PIECE):
            yield piece


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece
