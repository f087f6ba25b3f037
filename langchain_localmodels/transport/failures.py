"""What a server's refusal means: from an HTTP status and a body to an error of this package."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeAlias

from langchain_localmodels.errors import EngineError, InvalidRequestError, LocalModelError, ModelMissingError

Explain: TypeAlias = Callable[[int, str], LocalModelError | None]
"""Makes an engine's own error of a status and the body's text; `None` leaves it to `error_for_status`."""


def error_for_status(status: int, text: str, place: str) -> LocalModelError:
    """The error that a status other than 200 stands for, where the engine knows nothing more.

    Args:
        status: The HTTP status.
        text: What the server said.
        place: The server's name and address.
    """
    message = f"{place} answered {status}: {text}" if text else f"{place} answered {status}."
    if status == 404:
        return ModelMissingError(message)
    if status in (401, 403):
        return InvalidRequestError(message, hint="The server wants credentials, or other ones.")
    if status >= 500 or status in (408, 429):
        return EngineError(message)
    return InvalidRequestError(message)


def error_text(body: bytes) -> str:
    """What a server says in the body of an error: `{"error": "…"}`, `{"error": {"message": "…"}}` or plain text."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return body[:2000].decode("utf-8", errors="replace").strip()
    error = value.get("error", value) if isinstance(value, dict) else value
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        return str(error["message"])
    return error if isinstance(error, str) else json.dumps(error, ensure_ascii=False)
