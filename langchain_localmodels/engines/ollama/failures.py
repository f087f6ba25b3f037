"""What Ollama's error texts mean: it has one string for everything, with its own text or llama-server's in it."""

from __future__ import annotations

import json
import re
from typing import Any

from langchain_localmodels.errors import (
    EngineError,
    InvalidRequestError,
    LocalModelError,
    ModelMissingError,
    PermissionDeniedError,
    PromptTooLongError,
    UnsupportedContentError,
    UnsupportedFeatureError,
)

_TOO_LONG = re.compile(
    r"exceeds the available context size|prompt is longer than the context|input length exceeds the context", re.I
)
_REFUSALS: tuple[tuple[str, type[LocalModelError], str, str | None], ...] = (
    # The first that fits counts. What it says, the error, and its hint.
    # What Go's decoder says of newer values in the servers of their day:
    (
        r"cannot unmarshal object into .*\.format of type string",
        UnsupportedFeatureError,
        "This Ollama knows no JSON Schema as a format, which it does from 0.5.0 on: {message}",
        'Update Ollama, or use `format="json"` (`method="json_mode"`) and say in the prompt what is wanted.',
    ),
    (
        r"cannot unmarshal string into .*\.think of type bool",
        UnsupportedFeatureError,
        "This Ollama knows no levels of thinking, which it does from 0.11.0 on: {message}",
        "Update Ollama, or use `reasoning=True`.",
    ),
    (
        r"^invalid think value: \"max\"",
        UnsupportedFeatureError,
        'This Ollama does not know the level "max", which it does from 0.22.0 on: {message}',
        'Update Ollama, or use `reasoning="high"`.',
    ),
    (
        r"(image|audio) input is not supported|does not support (multimodal|images)",
        UnsupportedContentError,
        "Ollama: {message}",
        "Use a model that reads images, or that hears: `ollama show {model}` tells.",
    ),
    (
        r"JSON schema error|failed to (parse|initialize) (grammar|samplers)",
        InvalidRequestError,
        "Ollama cannot hold an answer to this JSON Schema: {message}",
        "Leave out the part that it names.",
    ),
    (
        r"logprobs is not supported with tools",
        UnsupportedFeatureError,
        "Ollama tells no log probabilities of an answer that may call tools: {message}",
        "Ask for them without tools, or force a call with `tool_choice`.",
    ),
    (
        r"invalid tool call arguments|does not match the expected .* format",
        EngineError,
        "Ollama could not read a tool call of {model!r}: {message}",
        "Where `max_tokens` (`num_predict`) cut it off, give a larger one.",
    ),
    # Ollama answers some of these with 500, but asking again is no use.
    (
        r"^option \"|^invalid format:|invalid think|^invalid options|^template: |^raw mode does not|quantization",
        InvalidRequestError,
        "Ollama: {message}",
        None,
    ),
    (
        r"does not support",
        UnsupportedFeatureError,
        "Ollama: {message}",
        "`ollama show {model}` tells what the model can do.",
    ),
)
_GO_MAP = re.compile(r"map\[.*?message:(?P<message>.*?)(?: [a-z_]+:[^ ]*)*\]\s*$", re.S)


def explain(status: int | None, text: str, *, model: str) -> LocalModelError | None:
    """The error that a text of Ollama's stands for; `None` where the status says as much.

    Args:
        status: The HTTP status; `None` for an error inside a stream, whose status was 200.
        text: What the server said.
        model: The model that was asked for.
    """
    details = _details(text)
    message = str(details.get("message") or text)
    if details.get("type") == "exceed_context_size_error" or _TOO_LONG.search(message):
        return PromptTooLongError(
            f"Ollama: {message}",
            prompt_tokens=_whole(details.get("n_prompt_tokens")),
            context_window=_whole(details.get("n_ctx")),
            hint="Give a larger `num_ctx`, or a shorter prompt.",
        )
    if status == 404:
        return _not_found(message, model)
    if status == 403 and not text:
        return PermissionDeniedError(
            "Ollama refused the request and does not say why.",
            hint="It refuses names other than `localhost` while it listens on this machine only: use 127.0.0.1, or "
            "let it listen on all addresses (OLLAMA_HOST=0.0.0.0).",
        )
    error = _refusal(message, model)
    if error is None and status is None:
        return EngineError(f"Ollama failed while it answered: {message}")
    if error is None and details and status in (400, 500):  # as the status says, but without llama-server's wrapping
        return (InvalidRequestError if status == 400 else EngineError)(f"Ollama: {message}")
    return error


def _refusal(message: str, model: str) -> LocalModelError | None:
    for pattern, kind, text, hint in _REFUSALS:
        if re.search(pattern, message, re.I):
            return kind(text.format(message=message, model=model), hint=hint and hint.format(model=model))
    return None


def _not_found(message: str, model: str) -> LocalModelError:
    if "not found" in message and "page not found" not in message:
        return ModelMissingError(
            f"Ollama does not have the model {model!r}: {message}", hint=f"Get it with `ollama pull {model}`."
        )
    return InvalidRequestError(
        f"This server does not know Ollama's API: {message}",
        hint="Check `base_url`: another kind of server may be listening there.",
    )


def _details(text: str) -> dict[str, Any]:
    """What llama-server said, when Ollama passes that on: as JSON inside the string, or as Go prints a map."""
    if text.startswith("{"):
        try:
            value, _ = json.JSONDecoder().raw_decode(text)  # A line about memory may follow.
        except (ValueError, RecursionError):
            return {}
        error = value.get("error", value)
        return error if isinstance(error, dict) else {"message": str(error)}
    found = _GO_MAP.search(text)
    return {"message": found["message"]} if found else {}


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None
