"""Headers of GGUF files, read in pure Python: what a model is, before any engine loads it.

Owns the file format and its checks: is it GGUF, is it whole, what does it say. It treats a file as a stranger's: no
length or count in it is believed before it was compared with the size of the file. How bytes become values is left to
`cursor.py`, what they mean to `header.py`, what files that are not GGUF look like to `file_errors.py`, and the weights
to the engine.
"""

from __future__ import annotations

import os
import re
import stat
import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import BinaryIO, TypeAlias

from langchain_localmodels.errors import ModelFileError
from langchain_localmodels.weights.cursor import HeaderCursor, LongArray, Scalar, Value
from langchain_localmodels.weights.file_errors import DOWNLOAD_AGAIN, is_folder, missing_file, not_gguf
from langchain_localmodels.weights.header import GGUFHeader, TensorInfo

__all__ = ["GGUFHeader", "LongArray", "Scalar", "TensorInfo", "Value", "read_header"]

PathArg: TypeAlias = "str | os.PathLike[str]"

_MAX_ENTRIES = 1 << 17
_MAX_DIMENSIONS = 4
_SHARD_NAME = re.compile(r"^(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf$", re.DOTALL)


def read_header(path: PathArg) -> GGUFHeader:
    """Read and check the header of a GGUF file, and that the file, with its further shards, is whole.

    A file is read once for as long as its size and time of change stay the same.

    Args:
        path: The file; for a split model its first shard.

    Returns:
        What the header says.

    Raises:
        ModelFileNotFoundError: There is no such file, or a shard is missing.
        ModelFileError: It is not GGUF, of a version that llama.cpp does not read, damaged or truncated.

    Example:
        ```python
        from langchain_localmodels.demo import model_path
        from langchain_localmodels.weights.gguf import read_header

        print(read_header(model_path).context_length)
        ```
    """
    given = os.fspath(path)
    status = _status(given)
    return _read_whole_model(os.path.abspath(given), status.st_mtime_ns, status.st_size)


def _status(path: str) -> os.stat_result:
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise missing_file(path) from None
    except (OSError, ValueError) as error:
        raise ModelFileError(f"The model file {path!r} cannot be read: {error}.") from error
    if stat.S_ISDIR(status.st_mode):
        raise is_folder(path)
    if not stat.S_ISREG(status.st_mode):
        # Opening a named pipe would wait for ever.
        raise ModelFileError(f"{path!r} is not a regular file.")
    return status


@lru_cache(maxsize=64)
def _read_whole_model(path: str, _mtime_ns: int, size: int) -> GGUFHeader:
    header = _read_file(path, size)
    count = header.metadata.get("split.count")
    if not isinstance(count, int) or count <= 1:
        return header
    shards = _shard_paths(header, count)
    statuses = {shard: _status(shard) for shard in shards}
    for shard in shards[1:]:
        _read_file(shard, statuses[shard].st_size)
    total = sum(status.st_size for status in statuses.values())
    return GGUFHeader(**{**header.__dict__, "shards": shards, "total_size": total})


def _shard_paths(header: GGUFHeader, count: int) -> tuple[str, ...]:
    folder, name = os.path.split(header.path)
    match = _SHARD_NAME.match(name)
    if match is None or int(match["count"]) != count:
        raise ModelFileError(
            f"{header.path!r} is one of {count} shards of a split model, but its name does not say which.",
            hint=f"Give the shards the names they had: <name>-00001-of-{count:05d}.gguf and so on.",
        )
    paths = tuple(os.path.join(folder, f"{match['stem']}-{i + 1:05d}-of-{count:05d}.gguf") for i in range(count))
    if header.metadata.get("split.no", 0) != 0 or header.path != paths[0]:
        raise ModelFileError(
            f"{header.path!r} is not the first shard of its split model.", hint=f"Name the first one: {paths[0]!r}."
        )
    return paths


def _read_file(path: str, size: int) -> GGUFHeader:
    try:
        with open(path, "rb") as file:
            return _parse(path, file, size)
    except OSError as error:
        raise ModelFileError(f"The model file {path!r} cannot be read: {error.strerror or error}.") from error


def _parse(path: str, file: BinaryIO, size: int) -> GGUFHeader:
    beginning = file.read(64)
    if beginning[:4] != b"GGUF" or len(beginning) <= 4:
        raise not_gguf(path, beginning)
    cursor = HeaderCursor(path, file, size)
    cursor.take(4, "magic")
    version = cursor.number(struct.Struct("<I"), "version")
    _check_version(path, version)
    n_tensors = cursor.count("tensors", smallest=24, limit=_MAX_ENTRIES)
    n_keys = cursor.count("metadata keys", smallest=13, limit=_MAX_ENTRIES)
    metadata: dict[str, Value] = {}
    for _ in range(n_keys):
        key = cursor.text("metadata key")
        metadata[key] = cursor.value(key)
    tensors = tuple(_tensor(cursor) for _ in range(n_tensors))
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment <= 0 or alignment & (alignment - 1):
        raise cursor.damaged(f"its alignment is {alignment!r}")
    data_offset = -(-cursor.position // alignment) * alignment
    ends = [data_offset + t.offset + t.nbytes for t in tensors if t.nbytes is not None]
    if (missing := max(ends, default=0) - size) > 0:
        raise ModelFileError(
            f"The model file {path!r} is truncated: it has {size} bytes and {missing} are missing.", hint=DOWNLOAD_AGAIN
        )
    bos, eos = (_token_text(cursor, metadata, f"tokenizer.ggml.{kind}_token_id") for kind in ("bos", "eos"))
    return GGUFHeader(
        path, version, metadata, tensors, data_offset, alignment, size, (path,), size, bos_token=bos, eos_token=eos
    )


def _check_version(path: str, version: int) -> None:
    if version in (2, 3):
        return
    if version == 1:
        problem, hint = "is of GGUF version 1, which llama.cpp no longer reads", DOWNLOAD_AGAIN
    elif version and not version & 0xFFFF:
        problem, hint = "is a big-endian GGUF file", "Get the little-endian one, or use gguf_convert_endian.py."
    elif 3 < version < 1000:
        problem, hint = f"is of GGUF version {version}, newer than this package knows", "Upgrade this package."
    else:
        problem, hint = f"is damaged: it names GGUF version {version}", DOWNLOAD_AGAIN
    raise ModelFileError(f"The model file {path!r} {problem}.", hint=hint)


def _tensor(cursor: HeaderCursor) -> TensorInfo:
    name = cursor.text("tensor name")
    n_dims = cursor.number(struct.Struct("<I"), "dimensions")
    if n_dims > _MAX_DIMENSIONS:
        raise cursor.damaged(f"a tensor has {n_dims} dimensions")
    shape = struct.unpack(f"<{n_dims}Q", cursor.take(8 * n_dims, "shape"))
    type_id, offset = struct.unpack("<IQ", cursor.take(12, "tensor"))
    return TensorInfo(name, shape, type_id, offset)


def _token_text(cursor: HeaderCursor, metadata: Mapping[str, Value], id_key: str) -> str | None:
    token, tokens = metadata.get(id_key), metadata.get("tokenizer.ggml.tokens")
    if not isinstance(token, int) or not isinstance(tokens, tuple | LongArray) or not 0 <= token < len(tokens):
        return None
    text = tokens[token] if isinstance(tokens, tuple) else cursor.string_at(tokens, token)
    return text if isinstance(text, str) else None
