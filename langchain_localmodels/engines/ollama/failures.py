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
_NO_IMAGES = re.compile(r"image input is not supported|does not support (multimodal|images)", re.I)
_UNSUPPORTED = re.compile(r"does not support", re.I)
_BAD_VALUE = re.compile(r"^option \"|^invalid format:|invalid think|^invalid options", re.I)
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
        error = EngineError(f"Ollama failed while it answered: {message}")
    return error


def _refusal(message: str, model: str) -> LocalModelError | None:
    if _NO_IMAGES.search(message):
        return UnsupportedContentError(f"Ollama: {message}", hint="Use a model that reads images.")
    if _UNSUPPORTED.search(message):
        return UnsupportedFeatureError(f"Ollama: {message}", hint=f"`ollama show {model}` tells what the model can do.")
    if _BAD_VALUE.search(message):
        return InvalidRequestError(f"Ollama: {message}")  # Ollama answers these with 500, but asking again is no use.
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
