"""Reading the header of a GGUF file piece by piece, in a small window of memory.

Owns positions, lengths and the values of metadata, and refuses what a file of this size cannot hold; what the pieces
mean is left to `gguf.py`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO, TypeAlias

from langchain_localmodels.errors import ModelFileError
from langchain_localmodels.weights.file_errors import DOWNLOAD_AGAIN

Scalar: TypeAlias = int | float | bool | str

_WINDOW = 1 << 20
_MAX_KEPT = 1 << 28
_MAX_ARRAY = 1 << 23
_SHORT_ARRAY = 512
_STRIDE = 1024
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_SCALARS = {type_id: struct.Struct("<" + letter) for type_id, letter in _FORMATS.items()}
_STRING = 8
_ARRAY = 9


@dataclass(frozen=True, slots=True)
class LongArray:
    """An array in the metadata that was passed over, not read.

    Attributes:
        type: GGUF's type id of its elements; 8 is text.
        count: How many elements there are.
        offset: Where in the file they begin.
        marks: For text: where every 1024th element begins.
    """

    type: int
    count: int
    offset: int
    marks: tuple[int, ...] = ()

    def __len__(self) -> int:
        return self.count


Value: TypeAlias = Scalar | tuple[Scalar, ...] | LongArray


class HeaderCursor:
    """A position in a header that moves forward, and the window of bytes around it.

    Args:
        path: The file's path, for errors.
        file: The open file.
        size: Its size in bytes.
    """

    def __init__(self, path: str, file: BinaryIO, size: int) -> None:
        self._path = path
        self._file = file
        self._size = size
        self._window = b""
        self._start = 0
        self._at = 0
        self._kept = 0

    @property
    def position(self) -> int:
        """Bytes from the beginning of the file."""
        return self._start + self._at

    def take(self, length: int, what: str) -> bytes:
        """The next `length` bytes."""
        if length > _MAX_KEPT - self._kept:
            raise self.damaged(f"{what} of {length} bytes at byte {self.position}")
        self._require(length, what)
        self._kept += length
        piece = self._window[self._at : self._at + length]
        self._at += length
        return piece

    def number(self, layout: struct.Struct, what: str) -> int:
        """The next integer."""
        return int(layout.unpack(self.take(layout.size, what))[0])

    def count(self, what: str, *, smallest: int, limit: int) -> int:
        """A count that comes next, believed only if as many entries could follow.

        Args:
            what: What is counted, for errors.
            smallest: Bytes that one entry takes at the least.
            limit: Most entries that make sense.
        """
        count = self.number(_U64, f"number of {what}")
        if count > limit:
            raise self.damaged(f"it claims to have {count} {what}")
        if count * smallest > self._size - self.position:
            raise self.truncated(f"{count} {what}")
        return count

    def text(self, what: str) -> str:
        """The next string; bytes that are not UTF-8 become U+FFFD."""
        return self.take(self.number(_U64, what), what).decode("utf-8", errors="replace")

    def value(self, key: str) -> Value:
        """The next value of the metadata, its type before it."""
        type_id = self.number(_U32, key)
        return self._array(key) if type_id == _ARRAY else self._scalar(type_id, key)

    def string_at(self, strings: LongArray, index: int) -> str | None:
        """One string of an array that was passed over. Moves the position there."""
        if strings.type != _STRING:
            return None
        self._move(strings.marks[index // _STRIDE])
        for _ in range(index % _STRIDE):
            self._move(self.position + 8 + self._peek_length())
        return self.text("token")

    def damaged(self, why: str) -> ModelFileError:
        """The error for a header that makes no sense."""
        return ModelFileError(f"The model file {self._path!r} is damaged: {why}.", hint=DOWNLOAD_AGAIN)

    def truncated(self, what: str) -> ModelFileError:
        """The error for a file that ends inside its header."""
        return ModelFileError(
            f"The model file {self._path!r} is truncated: its {self._size} bytes end in the header, "
            f"at or before {what!r}.",
            hint=DOWNLOAD_AGAIN,
        )

    def _scalar(self, type_id: int, key: str) -> Scalar:
        if type_id == _STRING:
            return self.text(key)
        layout = _SCALARS.get(type_id)
        if layout is None:
            raise self.damaged(f"the value of {key!r} has the unknown type {type_id}")
        value: Scalar = layout.unpack(self.take(layout.size, key))[0]
        return value

    def _array(self, key: str) -> Value:
        type_id = self.number(_U32, key)
        layout = _SCALARS.get(type_id)
        if layout is None and type_id != _STRING:
            # llama.cpp does not read arrays in arrays either.
            raise self.damaged(f"the array {key!r} has elements of the unsupported type {type_id}")
        count = self.count(f"elements of {key}", smallest=layout.size if layout else 8, limit=_MAX_ARRAY)
        if count <= _SHORT_ARRAY:
            return tuple(self._scalar(type_id, key) for _ in range(count))
        offset = self.position
        if layout is None:
            return LongArray(type_id, count, offset, self._pass_strings(count, key))
        self._move(offset + count * layout.size)
        return LongArray(type_id, count, offset)

    def _pass_strings(self, count: int, what: str) -> tuple[int, ...]:
        # Vocabularies have hundreds of thousands of entries: the one loop here that has to be fast.
        marks: list[int] = []
        unpack = _U64.unpack_from
        for begin in range(0, count, _STRIDE):
            marks.append(self.position)
            at, window, last = self._at, self._window, len(self._window) - 8
            for _ in range(min(_STRIDE, count - begin)):
                if at > last:
                    self._at = at
                    self._require(8, what)
                    at, window, last = self._at, self._window, len(self._window) - 8
                at += 8 + unpack(window, at)[0]
            self._at = at
        self._require(0, what)
        return tuple(marks)

    def _peek_length(self) -> int:
        self._require(8, "token")
        return int(_U64.unpack_from(self._window, self._at)[0])

    def _move(self, position: int) -> None:
        self._at = position - self._start
        if self._at < 0:
            self._start, self._window, self._at = position, b"", 0

    def _require(self, length: int, what: str) -> None:
        """Have the next `length` bytes in the window."""
        if self._at + length <= len(self._window):
            return
        position = self.position
        if position + length > self._size:
            raise self.truncated(what)
        self._file.seek(position)
        self._window = self._file.read(max(length, _WINDOW))
        self._start, self._at = position, 0
        if len(self._window) < length:
            raise self.truncated(what)
