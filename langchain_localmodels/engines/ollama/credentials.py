"""Which key goes along with requests to an Ollama server: the one that was given, or that of Ollama's own service."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

_SERVICE = "ollama.com"


def with_key(client_options: Mapping[str, Any], url: str, api_key: str | None) -> dict[str, Any]:
    """Arguments for HTTP clients with a key among the headers, where there is one.

    A key that was given goes to the server that was named. The environment's OLLAMA_API_KEY is a key for Ollama's own
    service: it goes to `ollama.com` and its subdomains over https, and nowhere else. An `Authorization` header or an
    `auth` of the caller's comes before both.

    Args:
        client_options: The arguments; they are not changed.
        url: Where the server is.
        api_key: The key that was given.
    """
    options = dict(client_options)
    key = api_key or (os.environ.get("OLLAMA_API_KEY", "").strip() if _is_the_service(url) else None)
    headers = dict(options.get("headers") or {})
    if key and options.get("auth") is None and not any(_name(header) == "authorization" for header in headers):
        options["headers"] = {"Authorization": f"Bearer {key}", **headers}
    return options


def _is_the_service(url: str) -> bool:
    parts = urlsplit(url)
    host = (parts.hostname or "").rstrip(".")
    return parts.scheme == "https" and (host == _SERVICE or host.endswith(f".{_SERVICE}"))


def _name(header: str | bytes) -> str:
    return (header.decode("latin-1") if isinstance(header, bytes) else header).lower()
