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


def refusal(body: dict[str, Any], chat: bool, models: set[str]) -> tuple[int, dict[str, Any]] | None:
    model = body.get("model")
    if chat and not model:
        return 400, {"error": "model is required"}
    if model not in models:
        return 404, {"error": f"model '{model}' not found"}
    for message in body.get("messages") or []:
        if not isinstance(message.get("content"), str):
            return 400, {
                "error": "json: cannot unmarshal array into Go struct field ChatRequest.messages of type string"
            }
        for call in message.get("tool_calls") or []:
            if not isinstance(call["function"]["arguments"], dict):
                return 400, {"error": "json: cannot unmarshal string into Go struct field of type map"}
    for name, value in (body.get("options") or {}).items():
        if name == "temperature" and not isinstance(value, int | float):
            return 500, {"error": 'option "temperature" must be of type float32'}
    form = body.get("format")
    if form not in (None, "", "json") and not isinstance(form, dict):
        return 500, {"error": f'invalid format: {form}; expected "json" or a valid JSON Schema object'}
    return None


def lines_of(body: dict[str, Any], reply: Reply, chat: bool) -> list[dict[str, Any]]:
    model, options = body["model"], body.get("options") or {}
    prompt = body["messages"][-1]["content"] if chat else body["prompt"]
    pieces = _words(f"You said: {prompt}") if reply.pieces is None else list(reply.pieces)
    pieces, reason = _limited(pieces, options)
    lines = [line_of(model, "", chat, thinking=thought) for thought in reply.thinking]
    for piece in pieces:
        line = line_of(model, piece, chat)
        if body.get("logprobs"):
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
        "prompt_eval_count": sum(len(message["content"].split()) for message in body["messages"])
        if chat
        else len(prompt.split()),
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
    now = datetime.now(timezone.utc).isoformat()
    if chat:
        message = {"role": "assistant", "content": text, **more}
        return {"model": model, "created_at": now, "message": message, "done": False}
    return {"model": model, "created_at": now, "response": text, **more, "done": False}


def joined(lines: list[dict[str, Any]], chat: bool) -> dict[str, Any]:
    if not chat:
        return {**lines[-1], "response": "".join(line["response"] for line in lines)}
    content = "".join(line["message"]["content"] for line in lines)
    return {**lines[-1], "message": {**lines[-1]["message"], "content": content}}


def encode(line: dict[str, Any]) -> bytes:
    # Go writes U+0085 as it is, and so does this; U+2028 it escapes, but llama-server's texts need not be Go's.
    return json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
