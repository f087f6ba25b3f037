"""Where an Ollama server is: the rules of `OLLAMA_HOST`, without their silent ways out."""

from __future__ import annotations

import ipaddress
import re

from langchain_localmodels.errors import InvalidRequestError

DEFAULT_PORT = 11434
DEFAULT_URL = f"http://127.0.0.1:{DEFAULT_PORT}"
REACH_HINT = "Is `ollama serve` running there? Where the server is, `base_url` or OLLAMA_HOST says."
_SCHEME_PORTS = {"http": 80, "https": 443}
_HOST_NAME = re.compile(r"[^\s\x00-\x1f\[\]:/?#@\\%]+")


def base_url(address: str | None) -> str:
    """The URL that an address means, by Ollama's own rules.

    Without a scheme it is `http` and port 11434; with one, that scheme's own port. A path stays as a prefix, and so do
    a user and a password. The addresses that only a server can use, `0.0.0.0` and `::`, mean this machine. Ollama's
    client falls back to its default where a port cannot be read; here that is an error, since a request would go to
    another machine than the one that was named.

    Args:
        address: A host, `host:port`, or URL; nothing, or blanks, means the default.

    Returns:
        Scheme, host, port and path prefix, without a slash at the end.

    Raises:
        InvalidRequestError: It cannot be read.

    Example:
        ```python
        base_url("gpuserver")  # "http://gpuserver:11434"
        base_url("0.0.0.0:9000")  # "http://127.0.0.1:9000"
        base_url("https://example.org/ollama/")  # "https://example.org:443/ollama"
        ```
    """
    text = (address or "").strip().strip("\"'").strip()
    if not text:
        return DEFAULT_URL
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = ("https", text) if text == "ollama.com" else ("http", text)
        port = 443 if text == "ollama.com" else DEFAULT_PORT
    else:
        scheme = scheme.lower()
        if scheme not in _SCHEME_PORTS:
            raise _unreadable(text, f"the scheme is {scheme!r}, not http or https")
        port = _SCHEME_PORTS[scheme]
    place, slash, path = rest.partition("/")
    if re.search(r"[?#\s\\]", rest):
        raise _unreadable(text, "it holds a blank, a backslash, a query or a fragment")
    user, at, place = place.rpartition("@")
    host, port = _host_and_port(place, port, text)
    prefix = (slash + path).rstrip("/")
    return f"{scheme}://{user}{at}{host}:{port}{prefix}"


def _host_and_port(place: str, port: int, text: str) -> tuple[str, int]:
    if place.startswith("["):
        host, bracket, rest = place[1:].partition("]")
        if not bracket or not (rest == "" or rest.startswith(":")):
            raise _unreadable(text, "the brackets around an IPv6 address do not match")
        port_text = rest[1:]
    elif place.count(":") > 1:
        host, port_text = place, ""  # An IPv6 address without brackets has no port.
    else:
        host, _, port_text = place.partition(":")
    if port_text:
        if not (port_text.isascii() and port_text.isdigit() and int(port_text) < 65536):
            raise _unreadable(text, f"{port_text!r} is not a port")
        port = int(port_text)
    return _client_host(host, text), port


def _client_host(host: str, text: str) -> str:
    if not host:
        return "127.0.0.1"
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        if not _HOST_NAME.fullmatch(host):
            raise _unreadable(text, f"{host!r} is not a host") from None
        return host
    if ip.is_unspecified:
        return "127.0.0.1" if ip.version == 4 else "[::1]"
    return f"[{host}]" if ip.version == 6 else host


def _unreadable(text: str, reason: str) -> InvalidRequestError:
    shown = re.sub(r"[^/@]*@", "…@", text)
    return InvalidRequestError(
        f"The address {shown!r} of an Ollama server cannot be read: {reason}.",
        hint="Write it as `host`, `host:port` or `http://host:port`, in `base_url` or in OLLAMA_HOST.",
    )
