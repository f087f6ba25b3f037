"""The content blocks that LangChain messages may hold, in all the forms they have had.

Owns which block becomes what: text, image, reasoning, tool call or tool result, and which are refused. Nothing that a
model could read is left out silently; what only another provider's server can read is (see `_FOREIGN`). The messages
around the blocks are read in `messages.py`.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from langchain_localmodels.engines.base import Image, Part, Text, ToolCall, Turn
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
# Traces of other providers' servers in an answer of theirs: opaque to any other model, and told in its text anyway.
_FOREIGN = frozenset(
    {
        "non_standard",
        "redacted_thinking",
        "server_tool_call",
        "server_tool_call_chunk",
        "server_tool_result",
        "server_tool_use",
        "web_search_tool_result",
    }
)
_PAYLOAD = frozenset({"base64", "data", "file", "file_id", "input_audio", "source", "url"})
"""Keys under which blocks hold what is not text, or say where it is."""


@dataclass(slots=True)
class Content:
    """What a message's content holds, by kind, each in order."""

    parts: list[Part] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    results: list[Turn] = field(default_factory=list)


def read_content(content: object, speaker: str) -> Content:
    """Sort a message's content.

    Args:
        content: A text, or a list of texts and blocks.
        speaker: The message's role. Only an assistant thinks and calls, only a user hands over results.

    Raises:
        UnsupportedContentError: There is a block that local models do not take.
        InvalidRequestError: A block is malformed.
    """
    found = Content()
    blocks = content if isinstance(content, list | tuple) else [content]
    for block in blocks:
        if isinstance(block, str):
            found.parts.append(Text(block))
        elif isinstance(block, Mapping):
            _read_block(block, speaker, found)
        else:
            raise InvalidRequestError(
                f"The content of a message holds a {type(block).__name__}, not a text or a block."
            )
    found.parts = [part for part in found.parts if part != Text("")]
    return found


def json_text(value: object) -> str:
    """Arguments of a call as JSON text; a text is taken to be that already."""
    if isinstance(value, str):
        return value
    try:
        return json.dumps({} if value is None else value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"The arguments of a tool call cannot be written as JSON: {error}.") from error


def _read_block(block: Mapping[str, Any], speaker: str, found: Content) -> None:
    kind = str(block.get("type", "text" if isinstance(block.get("text"), str) else None))
    if kind in _TEXT_KEYS:
        found.parts.append(Text(_string(block, _TEXT_KEYS[kind], kind)))
    elif kind in _PARTS:
        found.parts.append(_PARTS[kind](block))
    elif kind in _REASONING and speaker == "assistant":
        found.reasoning.append(_REASONING[kind](block))
    elif kind in _CALL_KEYS and speaker == "assistant":
        found.calls.append(_call(block, *_CALL_KEYS[kind]))
    elif kind == "tool_result" and speaker == "user":
        found.results.append(_result(block))
    elif speaker == "tool" and not block.keys() & _PAYLOAD:
        # A tool's own list of dicts, such as the entries of a folder: core takes it for blocks because of a `type`.
        found.parts.append(Text(json_text(block)))
    elif not (kind in _FOREIGN and speaker == "assistant"):
        raise UnsupportedContentError(
            f"A message of the {speaker} holds content of type {kind!r}, which local models do not take.",
            hint="Local models read text, and some of them images. Turn other content into text first.",
        )


def _string(block: Mapping[str, Any], key: str, kind: str) -> str:
    value = block.get(key)
    if not isinstance(value, str):
        raise InvalidRequestError(f"A content block of type {kind!r} has no text under {key!r}.")
    return value


def _plain_text(block: Mapping[str, Any]) -> Part:
    if isinstance(block.get("text"), str):
        return Text(block["text"])
    if isinstance(block.get("base64"), str):
        return Text(_decoded(block["base64"], "text").decode("utf-8", errors="replace"))
    raise UnsupportedContentError(
        "A content block of type 'text-plain' only refers to its text.", hint="Put the text itself into the block."
    )


def _image_url(block: Mapping[str, Any]) -> Part:
    source = block.get("image_url")
    url = source.get("url") if isinstance(source, Mapping) else source
    if not isinstance(url, str):
        raise InvalidRequestError("A content block of type 'image_url' has no URL.")
    return _image_from_url(url, None)


def _image(block: Mapping[str, Any]) -> Part:
    # Anthropic nests what LangChain's blocks of today and of before 1.0 hold themselves.
    source = block["source"] if isinstance(block.get("source"), Mapping) else block
    mime = source.get("mime_type") or source.get("media_type")
    data = source.get("base64") or source.get("data")
    if isinstance(data, bytes):
        return _image_of(data, mime)
    if isinstance(data, str):
        return _image_of(_decoded(data, "image"), mime)
    if isinstance(source.get("url"), str):
        return _image_from_url(source["url"], mime)
    raise UnsupportedContentError(
        "A content block of type 'image' holds no image data.", hint="Put the image into it as base64."
    )


def _image_from_url(url: str, mime: str | None) -> Image:
    if match := _DATA_URI.fullmatch(url.strip()):
        encoded = "base64" in match["params"].lower()
        data = _decoded(match["data"], "image") if encoded else unquote_to_bytes(match["data"])
        return _image_of(data, match["mime"] or mime)
    if not _SCHEME.match(url):
        return _image_of(_decoded(url, "image"), mime)
    raise UnsupportedContentError(
        f"An image is given by its address, {url[:200]!r}. Nothing is downloaded or opened on a message's behalf.",
        hint="Read the image yourself and pass its bytes: "
        '{"type": "image", "base64": base64.b64encode(data).decode(), "mime_type": "image/png"}.',
    )


def _image_of(data: bytes, mime: object) -> Image:
    guessed = next((known for magic, known in _IMAGE_MAGIC if data.startswith(magic)), "image/png")
    return Image(data, mime if isinstance(mime, str) and mime else guessed)


def _decoded(data: str, what: str) -> bytes:
    try:
        decoded = base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequestError(
            f"The data of a content block of type {what!r} are not base64: {error}.",
            hint="Encode the bytes with base64.b64encode(data).decode().",
        ) from error
    if not decoded:
        raise InvalidRequestError(f"A content block of type {what!r} is empty.")
    return decoded


def _summary(block: Mapping[str, Any]) -> str:
    """Reasoning in LangChain's own form, or in that of OpenAI's responses."""
    if isinstance(block.get("reasoning"), str):
        return str(block["reasoning"])
    entries = block.get("summary") or block.get("content") or []
    return "\n\n".join(str(entry.get("text", "")) for entry in entries if isinstance(entry, Mapping))


def _bedrock_reasoning(block: Mapping[str, Any]) -> str:
    inner = block.get("reasoning_content")
    return str(inner.get("text", "")) if isinstance(inner, Mapping) else str(inner or "")


def _call(block: Mapping[str, Any], id_key: str, arguments_key: str) -> ToolCall:
    return ToolCall(str(block.get(id_key) or ""), str(block.get("name") or ""), json_text(block.get(arguments_key)))


def _result(block: Mapping[str, Any]) -> Turn:
    inner = read_content(block.get("content") or "", "tool")
    call_id = _string(block, "tool_use_id", "tool_result")
    return Turn("tool", tuple(inner.parts), tool_call_id=call_id, is_error=bool(block.get("is_error")))


_TEXT_KEYS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}
_PARTS: dict[str, Callable[[Mapping[str, Any]], Part]] = {
    "text-plain": _plain_text,
    "image": _image,
    "image_url": _image_url,
}
_REASONING: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "reasoning": _summary,
    "thinking": lambda block: _string(block, "thinking", "thinking"),
    "reasoning_content": _bedrock_reasoning,
}
# Type of block to where it keeps the call's id and its arguments.
_CALL_KEYS: dict[str, tuple[str, str]] = {
    "tool_call": ("id", "args"),
    "tool_call_chunk": ("id", "args"),
    "invalid_tool_call": ("id", "args"),
    "tool_use": ("id", "input"),
    "function_call": ("call_id", "arguments"),
}
