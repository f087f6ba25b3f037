"""What the Ollama double makes of a request for text: what it refuses, and the lines of its answer."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any


@dataclass
class Reply:
    """What the model answers, and what goes wrong meanwhile. Counts are of NDJSON lines."""

    pieces: list[str] | None = None  # None: echo
    thinking: list[str] = field(default_factory=list)
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    tool_calls_in_last_line: bool = True
    last_text: str = ""  # parsers may flush text into the last line
    knows_logprobs: bool = True  # servers before 0.12.11 do not
    done_reason: str | None = None
    final: dict[str, Any] = field(default_factory=dict)  # entries of the last line; None takes one out

    status: int = 200  # another one: answer with it and `error`
    error: str = ""
    error_after: int | None = None  # lines, then an error line
    raw_after: tuple[int, bytes] | None = None  # lines, then these bytes
    cut_after: int | None = None  # lines, then the connection breaks off
    reset: bool = False  # breaks off with RST and not with FIN
    end_after: int | None = None  # lines, then a clean end without `done`
    first_delay: float = 0.0  # as if a model were loaded; before the status line
    delay: float = 0.0  # before each line
    split: int | None = None  # bytes per write


def lines_of(body: dict[str, Any], reply: Reply, chat: bool) -> list[dict[str, Any]]:
    model, options = body["model"], body.get("options") or {}
    texts = [message.get("content") or "" for message in body["messages"]] if chat else [body["prompt"]]
    pieces = _words(f"You said: {texts[-1]}") if reply.pieces is None else list(reply.pieces)
    pieces, reason = _limited(pieces, options)
    lines = [line_of(model, "", chat, thinking=thought) for thought in reply.thinking]
    for piece in pieces:
        line = line_of(model, piece, chat)
        if body.get("logprobs") and reply.knows_logprobs:
            entry = {"token": piece, "logprob": -0.5, "bytes": list(piece.encode())}
            if body.get("top_logprobs"):
                entry["top_logprobs"] = [{"token": piece, "logprob": -0.5, "bytes": list(piece.encode())}]
            line["logprobs"] = [entry]
        lines.append(line)
    last = line_of(model, reply.last_text, chat)
    if reply.tool_calls and reply.tool_calls_in_last_line:
        last["message"]["tool_calls"] = reply.tool_calls
    else:
        lines += [line_of(model, "", chat, tool_calls=[call]) for call in reply.tool_calls]
    metrics = {
        "total_duration": 9_000_000,
        "load_duration": 1_000_000,
        "prompt_eval_count": sum(len(text.split()) for text in texts),
        "prompt_eval_duration": 3_000_000,
        "eval_count": len(pieces) + len(reply.thinking),
        "eval_duration": 4_000_000,
    }
    last |= {"done": True, "done_reason": reply.done_reason or reason, **metrics, **reply.final}
    return [*lines, {name: value for name, value in last.items() if value is not None}]


def _limited(pieces: list[str], options: dict[str, Any]) -> tuple[list[str], str]:
    limit = options.get("num_predict")
    for stop in options.get("stop") or []:
        text = "".join(pieces)
        if stop in text:
            pieces = _words(text[: text.index(stop)])
    if limit is not None and 0 < limit < len(pieces):
        return pieces[:limit], "length"
    return pieces, "stop"


def _words(text: str) -> list[str]:
    words = text.split(" ")
    return [word if number == 0 else f" {word}" for number, word in enumerate(words) if word or number]


def line_of(model: Any, text: str, chat: bool, **more: Any) -> dict[str, Any]:
    now = datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")
    if chat:
        message = {"role": "assistant", "content": text, **more}
        return {"model": model, "created_at": now, "message": message, "done": False}
    return {"model": model, "created_at": now, "response": text, **more, "done": False}


def joined(lines: list[dict[str, Any]], chat: bool) -> dict[str, Any]:
    """What is answered with `"stream": false`: the last line, with what all have said."""
    whole = dict(lines[-1])
    parts = [line["message"] if chat else line for line in lines]
    said: dict[str, Any] = {}
    for name in ("content", "response", "thinking"):
        if any(name in part for part in parts):
            said[name] = "".join(part.get(name, "") for part in parts)
    for name, found in (
        ("tool_calls", [call for part in parts for call in part.get("tool_calls", ())]),
        ("logprobs", [entry for line in lines for entry in line.get("logprobs", ())]),
    ):
        if found:
            (said if name == "tool_calls" else whole)[name] = found
    return {**whole, "message": {**whole["message"], **said}} if chat else {**whole, **said}


_ESCAPED = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def go_json(value: Any) -> str:
    """A value as Go writes it."""
    # U+0085 Go writes as it is, and so does this; U+2028 it escapes, but older servers' texts need not be Go's.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).translate(_ESCAPED)


def encode(line: dict[str, Any]) -> bytes:
    return go_json(line).encode() + b"\n"
