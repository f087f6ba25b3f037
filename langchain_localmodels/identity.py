"""What is told of an object, and how two are told apart: forms for cache keys, `repr` and dumps, without secrets.

Owns which values may hold a secret. Which fields change an answer is said by each class (`engine_options.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from pydantic import SecretStr

_LONGEST = 100
"""Characters of a value in `repr`."""
_PASSWORD = re.compile(r"^(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)?[^/?#]*@")
_OPEN_CLIENT_OPTIONS = frozenset(
    {"default_encoding", "follow_redirects", "http1", "http2", "max_redirects", "timeout", "trust_env", "verify"}
)
"""Arguments of HTTP clients that hold no secret. Headers, `auth`, `cert`, `cookies`, `params` and `proxy` may."""
_CLIENT_OPTIONS = frozenset({"client_kwargs", "sync_client_kwargs", "async_client_kwargs"})
_SECRETS = frozenset({"api_key", "auth", "base_url", "headers"}) | _CLIENT_OPTIONS
_ELSEWHERE = frozenset({"callbacks", "max_retries", "metadata", "model_kwargs", "run_id", "run_name", "stop", "tags"})
_SPEED_ONLY = frozenset({"stream", "stream_options", "stream_usage", "streaming", "timeout"})


class FoundProfile(dict[str, Any]):
    """A profile that was found out about a model, not given by the user.

    An object that is made from the fields of another, as `configurable_fields` does it, finds out its own.
    """


class ToldProfile(FoundProfile):
    """A profile that a server has told. It comes late, and objects that differ in nothing else are equal."""

    def __eq__(self, other: object) -> bool:
        return other is None or isinstance(other, FoundProfile) or super().__eq__(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # type: ignore[assignment]


# --- secrets ----------------------------------------------------------------------------------------------------------


def holds_secret(name: str, value: object) -> bool:
    """Whether a field, beside those that are nothing but a secret, holds one among other things."""
    if name == "base_url":
        return isinstance(value, str) and _PASSWORD.match(value) is not None
    if name in _CLIENT_OPTIONS:
        return isinstance(value, Mapping) and not all(_is_open(key, entry) for key, entry in value.items())
    return False


def without_secrets(options: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out of the options of a call what traces and caches must not see."""
    more = options.get("model_kwargs")
    given = {name: value for name, value in options.items() if name not in _SECRETS}
    return {**given, "model_kwargs": without_secrets(more)} if isinstance(more, Mapping) else given


def _is_open(name: object, value: object) -> bool:
    return name in _OPEN_CLIENT_OPTIONS and (value is None or isinstance(value, str | int | float))


# --- repr -------------------------------------------------------------------------------------------------------------


class _Words(str):
    """A text that shows itself without quotation marks."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def shown(name: str | None, value: object) -> object:
    """Give a field's value as `repr` is to show it: short, and without secrets.

    Args:
        name: The field's name.
        value: Its value.
    """
    if name in _CLIENT_OPTIONS and isinstance(value, Mapping):
        value = {key: entry if _is_open(key, entry) else _Words("…") for key, entry in value.items()}
    elif name == "base_url" and isinstance(value, str):
        value = _PASSWORD.sub(lambda match: match["scheme"] or "", value)
    text = repr(value)
    return _Words(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…")


# --- cache keys -------------------------------------------------------------------------------------------------------


def call_key(options: Mapping[str, Any]) -> dict[str, Any]:
    """Give the options of a call for a cache key, in JSON's types, in the order of their names.

    Args:
        options: What was given per call beside the prompt. Secrets, and what only changes how an answer comes, are
            left out.
    """
    more = options.get("model_kwargs")
    given = {name: value for name, value in options.items() if name not in _ELSEWHERE}
    if isinstance(more, Mapping):
        given = {**more, **given}
    names = sorted(given.keys() - _SECRETS - _SPEED_ONLY)
    return {name: _tools(given[name]) if name == "tools" else plain(given[name]) for name in names}


def plain(value: object) -> Any:
    """Give a value in JSON's types; values that are not equal never get the same form.

    The order of a dict is kept, for that of a JSON Schema shows in the answer. What has no form that would mean the
    same in another process, such as a function, gets one that nothing else has: it is never found in a cache.
    """
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, SecretStr):
        return str(value)
    return f"{type(value).__qualname__} {uuid4().hex}"


def _tools(tools: object) -> Any:
    if not isinstance(tools, list | tuple):
        return plain(tools)
    from langchain_core.utils.function_calling import convert_to_openai_tool  # embeddings have no use for it

    return [plain(convert_to_openai_tool(tool)) for tool in tools]
