"""How Ollama reads a request's body: into fixed structs, which drop what they do not know and refuse other types.

The texts of the refusals are those of Go's decoder, as a true server gives them.
"""

from __future__ import annotations

import binascii
import json
import re
from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from tests.doubles.go_decoding import (
    ANYTHING,
    FLAG,
    STRINGS,
    TEXT,
    WHOLE,
    Checked,
    Kind,
    ListOf,
    Map,
    Ordered,
    OwnReader,
    Place,
    Refused,
    Struct,
    Types,
    read,
)

# --- values with readers of their own ---------------------------------------------------------------------------------


class _Image(Kind):
    """Bytes, as text in base64."""

    name = "api.ImageData"

    def read(self, value: Any, place: Place) -> bytes:
        if not isinstance(value, str):
            raise self.wrong(value, place)
        text = re.sub("[\r\n]", "", value)
        if strange := re.search("[^A-Za-z0-9+/=]", text):
            raise Refused(f"illegal base64 data at input byte {strange.start()}")
        try:
            return b64decode(text, validate=True)
        except binascii.Error:
            raise Refused(f"illegal base64 data at input byte {len(text.rstrip('='))}") from None


def _think(value: Any) -> bool | str:
    levels = '"high", "medium", "low", "max", true, or false'
    if isinstance(value, bool):
        return value
    if not isinstance(value, str):
        raise Refused(f"think must be a boolean or string ({levels})")
    if value not in ("high", "medium", "low", "max"):
        raise Refused(f"invalid think value: {json.dumps(value)} (must be {levels})")
    return value


_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}


def _duration(value: Any) -> float:
    """Seconds; those below 0 mean for ever."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        kind = {bool: "bool", list: "[]interface {}", dict: "map[string]interface {}"}[type(value)]
        raise Refused(f"Unsupported type: '{kind}'")
    if not isinstance(value, str):
        return value
    rest = value[1:] if value[:1] in ("+", "-") else value
    if rest == "0":
        return 0
    if not rest:
        raise Refused(f"time: invalid duration {json.dumps(value)}")
    seconds = 0.0
    while rest:
        if not (found := re.match(r"(\d+\.?\d*|\.\d+)([^\d.]*)", rest)):
            raise Refused(f"time: invalid duration {json.dumps(value)}")
        number, unit = found.groups()
        if not unit:
            raise Refused(f"time: missing unit in duration {json.dumps(value)}")
        if unit not in _UNITS:
            raise Refused(f"time: unknown unit {json.dumps(unit)} in duration {json.dumps(value)}")
        seconds += float(number) * _UNITS[unit]
        rest = rest[found.end() :]
    return -seconds if value[0] == "-" else seconds


# --- the structs ------------------------------------------------------------------------------------------------------

_IMAGES = ListOf(_Image(), "[]api.ImageData")


def _struct(name: str, fields: Mapping[str, Kind], /, **always: Any) -> Struct:
    return Struct(name, fields, always)


_PROPERTY_FIELDS: dict[str, Kind] = {}
_PROPERTY = _struct("api.ToolProperty", _PROPERTY_FIELDS)
_PROPERTIES = OwnReader(Ordered(OwnReader(_PROPERTY)))
_PROPERTY_FIELDS |= {
    "anyOf": ListOf(_PROPERTY, "[]api.ToolProperty"),
    "type": OwnReader(Types()),
    "items": ANYTHING,
    "description": TEXT,
    "enum": ListOf(ANYTHING, "[]interface {}"),
    "properties": _PROPERTIES,
    "required": STRINGS,
}
_PARAMETERS = _struct(
    "api.ToolFunctionParameters",
    {"type": TEXT, "$defs": ANYTHING, "items": ANYTHING, "required": STRINGS, "properties": _PROPERTIES},
    type="",
    properties=None,
)
_FUNCTION = _struct(
    "api.ToolFunction",
    {"name": TEXT, "description": TEXT, "parameters": _PARAMETERS},
    name="",
    parameters=dict,
)
TOOL = _struct("api.Tool", {"type": TEXT, "items": ANYTHING, "function": _FUNCTION}, type="", function=dict)
ARGUMENTS = OwnReader(Ordered(ANYTHING))
_CALL = _struct(
    "api.ToolCall",
    {
        "id": TEXT,
        "function": _struct("api.ToolCallFunction", {"index": WHOLE, "name": TEXT, "arguments": ARGUMENTS}),
    },
)
_MESSAGE = _struct(
    "api.Alias",
    {
        "role": TEXT,
        "content": TEXT,
        "thinking": TEXT,
        "images": _IMAGES,
        "tool_calls": ListOf(_CALL, "[]api.ToolCall"),
        "tool_name": TEXT,
        "tool_call_id": TEXT,
    },
)
_COMMON: dict[str, Kind] = {
    "model": TEXT,
    "stream": FLAG,
    "format": ANYTHING,
    "keep_alive": Checked(_duration),
    "options": Map(),
    "think": Checked(_think),
    "truncate": FLAG,
    "shift": FLAG,
    "_debug_render_only": FLAG,
    "logprobs": FLAG,
    "top_logprobs": WHOLE,
}
REQUESTS = {
    "/api/chat": _struct(
        "api.ChatRequest",
        {
            **_COMMON,
            "messages": ListOf(OwnReader(_MESSAGE), "[]api.Message"),
            "tools": ListOf(TOOL, "api.Tools"),
        },
    ),
    "/api/generate": _struct(
        "api.GenerateRequest",
        {
            **_COMMON,
            "prompt": TEXT,
            "suffix": TEXT,
            "system": TEXT,
            "template": TEXT,
            "context": ListOf(WHOLE, "[]int"),
            "raw": FLAG,
            "images": _IMAGES,
        },
    ),
    "/api/embed": _struct(
        "api.EmbedRequest",
        {
            "model": TEXT,
            "input": ANYTHING,
            "keep_alive": Checked(_duration),
            "truncate": FLAG,
            "dimensions": WHOLE,
            "options": Map(),
        },
    ),
    "/api/embeddings": _struct(
        "api.EmbeddingRequest",
        {"model": TEXT, "prompt": TEXT, "keep_alive": Checked(_duration), "options": Map()},
    ),
    "/api/show": _struct(
        "api.ShowRequest",
        {"model": TEXT, "system": TEXT, "verbose": FLAG, "options": Map(), "name": TEXT},
    ),
}


def sorted_maps(value: Any) -> Any:
    """A value as Go writes it that has read it into a map."""
    return ANYTHING.write(value)


def parse(raw: bytes) -> Any:
    """The first value of a body.

    Raises:
        Refused: There is none.
    """
    text = raw.decode(errors="replace").lstrip(" \t\r\n")
    if not text:
        raise Refused("missing request body")
    try:
        return json.JSONDecoder().raw_decode(text)[0]
    except ValueError as error:
        position = getattr(error, "pos", 0)
        began = '{["'.find(text[0]) >= 0
        if began and (position >= len(text) - 1 or "Unterminated" in str(error)):
            raise Refused("unexpected EOF") from None
        raise Refused(f"invalid character '{text[position]}' looking for beginning of value") from None


def decode(path: str, value: Any) -> dict[str, Any]:
    """Read a request of an endpoint; what is `null` is left out.

    Raises:
        Refused: A value has another type than its field.
    """
    kind = REQUESTS[path]
    known = read(kind, value, Place()) or {}
    return {name: item for name, item in known.items() if item is not None}
