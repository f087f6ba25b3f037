"""What a server's refusal means: from an HTTP status and a body to an error of this package."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable
from typing import TypeAlias

from langchain_localmodels.errors import (
    AuthenticationError,
    EngineError,
    InvalidRequestError,
    LocalModelError,
    ModelMissingError,
    PermissionDeniedError,
    RateLimitError,
)

Explain: TypeAlias = Callable[[int, str], LocalModelError | None]
"""Makes an engine's own error of a status and the body's text; `None` leaves it to `error_for_status`."""

_MOST_TEXT = 4000
_WEB_PAGE = re.compile(rb"\s*(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body)\b", re.I | re.S)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.I | re.S)
_INVISIBLE = re.compile(r"<(script|style|head)\b.*?</\1\s*>|<!--.*?-->", re.I | re.S)
_TAG = re.compile(r"<[^>]*>")

_HINTS = {
    401: "The server wants a key, or another one: give it as `api_key`, or as a header.",
    403: "The server does not allow this with these credentials, or from this address.",
    404: "Check the model's name and the server's address.",
    407: "The proxy on the way to the server wants credentials: they can stand in its URL.",
    413: "Send less at once: smaller images, or fewer texts.",
    429: "Send fewer requests at once, or wait before the next.",
    502: "A proxy answered in the server's place, which it cannot reach. Is the server running?",
    503: "The server is busy or still loading: a larger `max_retries` asks it more often.",
    504: "A proxy gave up waiting for the server. It has a time limit of its own, which can be raised there.",
}


def error_for_status(
    status: int, text: str, place: str, *, location: str | None = None, retry_after: float | None = None
) -> LocalModelError:
    """The error that a status other than 2xx stands for, where the engine knows nothing more.

    Args:
        status: The HTTP status.
        text: What the server said.
        place: The server's name and address.
        location: Where the server wants the request to go instead.
        retry_after: How long the server asks to wait, in seconds.
    """
    place = place[:1].upper() + place[1:]
    message = f"{place} answered {status}: {text}" if text else f"{place} answered {status}."
    hint = _HINTS.get(status)
    if 300 <= status < 400:
        if location:
            message = f"{place} answered {status} and points to {location}."
        hint = (
            "That is not followed, since the request and its credentials would go there too. If that is where the "
            "server is, give it as `base_url`."
        )
        return InvalidRequestError(message, hint=hint)
    if retry_after is not None:
        hint = f"The server asks to wait for {retry_after:g} seconds."
    for kind, statuses in _KINDS.items():
        if status in statuses:
            return kind(message, hint=hint)
    kind = EngineError if status >= 500 or status == 408 or status < 300 else InvalidRequestError
    return kind(message, hint=hint)


_KINDS: dict[type[LocalModelError], tuple[int, ...]] = {
    AuthenticationError: (401, 407),
    PermissionDeniedError: (403,),
    ModelMissingError: (404,),
    RateLimitError: (429,),
}


def web_page_error(status: int, text: str, place: str) -> LocalModelError:
    """The error for a web page in the place of an answer."""
    return EngineError(
        f"{place[:1].upper()}{place[1:]} answered {status} with a web page: {text or 'an empty one'}",
        hint="A proxy, a login page or another kind of server answers there. Check the address.",
    )


def error_text(body: bytes) -> str:
    """What a server says in the body of an error, in at most 4000 characters.

    Servers send `{"error": "…"}`, `{"error": {"message": "…"}}`, plain text, or a web page, of which the title counts.
    """
    text = _error_text(body)
    return text if len(text) <= _MOST_TEXT else text[:_MOST_TEXT] + "…"


def _error_text(body: bytes) -> str:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return _plain(body)
    error = value.get("error", value) if isinstance(value, dict) else value
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        return str(error["message"])
    return error if isinstance(error, str) else json.dumps(error, ensure_ascii=False)


def _plain(body: bytes) -> str:
    text = body.decode("utf-8", errors="replace").strip()
    if _WEB_PAGE.match(body) is None:
        return text
    title = _TITLE.search(text)
    shown = title[1] if title else _TAG.sub(" ", _INVISIBLE.sub(" ", text))
    return " ".join(html.unescape(shown).split())[:200]
