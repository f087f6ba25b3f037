"""The vocabulary in a GGUF file's header, byte for byte; `gguf.py` passes over it."""

from __future__ import annotations

import os
import struct

from langchain_localmodels.errors import ModelFileError
from langchain_localmodels.weights.cursor import HeaderCursor
from langchain_localmodels.weights.file_errors import DOWNLOAD_AGAIN

_KEY = "tokenizer.ggml.tokens"
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")
_PREFIX = 8 + 8  # magic and version, number of tensors


def token_texts(path: str) -> list[bytes]:
    """Give the text of each token; none where the file has no vocabulary.

    Args:
        path: A file that `read_header` has taken.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        cursor = HeaderCursor(path, file, size)
        cursor.take(_PREFIX, "beginning")
        for _ in range(cursor.number(_U64, "number of metadata keys")):
            key = cursor.text("metadata key")
            if key != _KEY:
                cursor.value(key)
                continue
            kind, element = cursor.number(_U32, key), cursor.number(_U32, key)
            if (kind, element) != (9, 8):
                raise cursor.damaged("its vocabulary is no list of texts")
            count = cursor.number(_U64, key)
            file.seek(cursor.position)
            return [file.read(_U64.unpack(file.read(8))[0]) for _ in range(count)]
    return []


_LONG = 64
"""Bytes in the file; where such a token is spelled out for what it means, it may become 16 times as long."""


def check_tokens(path: str) -> tuple[int, ...]:
    """Refuse a vocabulary that ends the process when llama.cpp loads it.

    Args:
        path: A file that `read_header` has taken.

    Returns:
        The tokens that are longer than 64 bytes.

    Raises:
        ModelFileError: Two tokens have the same text.
    """
    seen: dict[bytes, int] = {}
    texts = token_texts(path)
    for token, text in enumerate(texts):
        # llama.cpp reads a text up to its first NUL, and gives one that is empty a text of its own.
        known = text.partition(b"\0")[0] or b"[EMPTY_%d]" % token
        if (other := seen.setdefault(known, token)) != token:
            raise ModelFileError(
                f"The vocabulary of {path!r} has the text {known[:40]!r} twice, as tokens {other} and {token}: "
                "llama.cpp cannot load that.",
                hint=f"If the file was converted, convert it with a newer llama.cpp. Else: {DOWNLOAD_AGAIN}",
            )
    return tuple(token for token, text in enumerate(texts) if len(text) > _LONG)
