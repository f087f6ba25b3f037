"""The content blocks that LangChain messages may hold, in all the forms they have had.

Owns which block becomes what: text, image, audio, reasoning, tool call or tool result, and which are refused. Nothing
that a model could read is left out silently; what only another provider's server can read is (see `_FOREIGN`). The
messages around the blocks are read in `messages.py`, the bytes of images and audio in `media.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from langchain_localmodels.dialects import media
from langchain_localmodels.engines.base import Part, Text, ToolCall, Turn
from langchain_localmodels.errors import InvalidRequestError, UnsupportedContentError

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
_PAYLOAD = frozenset({"base64", "data", "file", "file_id", "input_audio", "path", "source", "url"})
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
            hint="Local models read text, and some of them images or audio. Turn other content into text first.",
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
        return Text(media.decoded(block["base64"], "text").decode("utf-8", errors="replace"))
    raise UnsupportedContentError(
        "A content block of type 'text-plain' only refers to its text.", hint="Put the text itself into the block."
    )


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
    "image": media.image,
    "image_url": media.image_url,
    "audio": media.audio,
    "input_audio": media.input_audio,
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
