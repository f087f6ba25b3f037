"""Images and audio in the content blocks of messages, in all the forms they have had: as bytes, as base64, as a file.

What they are given by is turned into bytes here. Nothing is fetched from an address, and no file is opened because a
text names it: messages come from strangers too, in whose hands a name would read this machine's files. A file is opened
where the program itself gives a `pathlib.Path`, which no text can be.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from langchain_localmodels.engines.base import Audio, Image, Part
from langchain_localmodels.errors import InvalidRequestError, UnsupportedContentError

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_DATA_URI = re.compile(r"data:(?P<mime>[^;,]*)(?P<params>[^,]*),(?P<data>.*)", re.DOTALL | re.IGNORECASE)
_IMAGE_MAGIC = (
    (b"\x89PNG", "image/png"),
    (b"\xff\xd8", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"RIFF", "image/webp"),
    (b"BM", "image/bmp"),
)
_ARTICLES = {"image": "An image", "audio": "Audio"}
_EXAMPLES = {"image": "image/png", "audio": "audio/wav"}


def image(block: Mapping[str, Any]) -> Part:
    """Read a block of type `image`.

    Raises:
        UnsupportedContentError: It only says where the image is.
        InvalidRequestError: It is malformed.
    """
    return _image_of(*_data(block, "image"))


def image_url(block: Mapping[str, Any]) -> Part:
    """Read a block of type `image_url`; see `image`."""
    source = block.get("image_url")
    url = source.get("url") if isinstance(source, Mapping) else source
    if not isinstance(url, str):
        raise InvalidRequestError("A content block of type 'image_url' has no URL.")
    return _image_of(*_from_url(url, None, "image"))


def audio(block: Mapping[str, Any]) -> Part:
    """Read a block of type `audio`; see `image`."""
    return _audio_of(*_data(block, "audio"))


def input_audio(block: Mapping[str, Any]) -> Part:
    """Read a block of type `input_audio`, OpenAI's form; see `image`."""
    source = block.get("input_audio")
    if not isinstance(source, Mapping) or not isinstance(source.get("data"), str):
        raise InvalidRequestError("A content block of type 'input_audio' has no data.")
    return _audio_of(*_from_url(source["data"], None, "audio"))


def audio_format(data: bytes) -> str | None:
    """The kind of an audio file by its first bytes: `wav` or `mp3`, which model servers read; `None` for any other."""
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "wav"
    is_mp3 = data[:3] == b"ID3" or (data[:1] == b"\xff" and len(data) > 1 and data[1] & 0xE0 == 0xE0)
    return "mp3" if is_mp3 else None


def decoded(data: str, what: str) -> bytes:
    """The bytes of a base64 text in a content block.

    Args:
        data: The text; blanks and line ends in it do not count.
        what: The block's type.

    Raises:
        InvalidRequestError: It is not base64, or is empty.
    """
    try:
        found = base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequestError(
            f"The data of a content block of type {what!r} are not base64: {error}.",
            hint="Encode the bytes with base64.b64encode(data).decode().",
        ) from error
    if not found:
        raise InvalidRequestError(f"A content block of type {what!r} is empty.")
    return found


def _data(block: Mapping[str, Any], what: str) -> tuple[bytes, Any]:
    # Anthropic nests what LangChain's blocks of today and of before 1.0 hold themselves.
    source = block["source"] if isinstance(block.get("source"), Mapping) else block
    mime = source.get("mime_type") or source.get("media_type")
    data = source.get("base64") or source.get("data")
    if isinstance(data, bytes):
        return data, mime
    if isinstance(data, str):
        return decoded(data, what), mime
    if source.get("path") is not None:
        return _from_file(source["path"], what), mime
    if isinstance(source.get("url"), str):
        return _from_url(source["url"], mime, what)
    raise UnsupportedContentError(
        f"A content block of type {what!r} holds no {what} data.", hint=f"Put the {what} into it as base64."
    )


def _from_url(url: str, mime: Any, what: str) -> tuple[bytes, Any]:
    if match := _DATA_URI.fullmatch(url.strip()):
        encoded = "base64" in match["params"].lower()
        data = decoded(match["data"], what) if encoded else unquote_to_bytes(match["data"])
        return data, match["mime"] or mime
    if not _SCHEME.match(url):
        return decoded(url, what), mime
    raise UnsupportedContentError(
        f"{_ARTICLES[what]} is given by its address, {url[:200]!r}. Nothing is downloaded or opened on a message's "
        "behalf.",
        hint=f'Give a file as {{"type": "{what}", "path": pathlib.Path(…)}}, or its bytes: '
        f'{{"type": "{what}", "base64": base64.b64encode(data).decode(), "mime_type": "{_EXAMPLES[what]}"}}.',
    )


def _from_file(path: object, what: str) -> bytes:
    if not isinstance(path, os.PathLike):
        raise UnsupportedContentError(
            f"{_ARTICLES[what]} is given by the name of a file, {str(path)[:200]!r}, in a text. Texts may come from "
            "strangers: no file is opened for one.",
            hint=f'Give a path: {{"type": "{what}", "path": pathlib.Path({str(path)[:200]!r})}}.',
        )
    try:
        with open(os.path.expanduser(path), "rb") as file:
            data = file.read()
    except OSError as error:
        raise InvalidRequestError(f"The file of a content block of type {what!r} cannot be read: {error}") from error
    if not data:
        raise InvalidRequestError(f"The file {os.fspath(path)!r} of a content block of type {what!r} is empty.")
    return data


def _image_of(data: bytes, mime: object) -> Image:
    guessed = next((known for magic, known in _IMAGE_MAGIC if data.startswith(magic)), "image/png")
    return Image(data, mime if isinstance(mime, str) and mime else guessed)


def _audio_of(data: bytes, mime: object) -> Audio:
    guessed = {"wav": "audio/wav", "mp3": "audio/mpeg"}.get(audio_format(data) or "", "application/octet-stream")
    return Audio(data, mime if isinstance(mime, str) and mime else guessed)
