"""Where a server is: `base_url` and LLAMAFILE_BASE_URL, in the forms that people write."""

from __future__ import annotations

from urllib.parse import urlsplit

from langchain_localmodels.errors import InvalidRequestError

DEFAULT_URL = "http://127.0.0.1:8080"
_DEFAULT_PORT = 8080
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}
"""What servers listen on, and no client can ask."""


def base_url(address: str | None) -> str:
    """The URL that an address means.

    Without a scheme it is `http`, and port 8080 where none is given. A path stays as a prefix, but for the `/v1` at
    its end that OpenAI's clients want.

    Args:
        address: A host, `host:port`, or URL; nothing, or blanks, means this machine at port 8080.

    Returns:
        Scheme, host, port and path prefix, without a slash at the end.

    Raises:
        InvalidRequestError: It cannot be read.

    Example:
        ```python
        base_url("gpuserver")  # "http://gpuserver:8080"
        base_url("https://example.org/models/v1/")  # "https://example.org/models"
        ```
    """
    text = (address or "").strip()
    if not text:
        return DEFAULT_URL
    has_scheme = "://" in text
    try:
        parts = urlsplit(text if has_scheme else f"http://{text}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _unreadable(str(error)) from error
    if parts.scheme not in ("http", "https"):
        raise _unreadable(f"the scheme is {parts.scheme!r}, not http or https")
    if not host or any(character.isspace() for character in text) or parts.query or parts.fragment:
        raise _unreadable("it has no host, or it holds a blank, a query or a fragment")
    place = f"[{host}]" if ":" in host else host
    place = _ANYWHERE.get(place, place)
    if port is None and not has_scheme:
        port = _DEFAULT_PORT
    user, at, _ = parts.netloc.rpartition("@")
    path = parts.path.rstrip("/").removesuffix("/v1").rstrip("/")
    return f"{parts.scheme}://{user}{at}{place}{'' if port is None else f':{port}'}{path}"


def _unreadable(reason: str) -> InvalidRequestError:
    # Without the address itself, which may hold a password.
    return InvalidRequestError(
        f"The address of the server cannot be read: {reason}.",
        hint="Write it as `host`, `host:port` or `http://host:port`, in `base_url` or in LLAMAFILE_BASE_URL.",
    )
