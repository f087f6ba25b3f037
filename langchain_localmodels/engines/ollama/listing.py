"""The models that an Ollama server has, and those that are loaded: plain values, and how they are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_localmodels.errors import EngineError


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model that a server has.

    Attributes:
        name: Its name, with its tag.
        size: Its size in bytes.
        digest: What tells its content from all others.
        modified_at: When it was changed, as the server writes times.
        family: Its kind, such as `llama`.
        parameter_size: How many parameters it has, such as `8.0B`.
        quantization: How they are stored, such as `Q4_K_M`.
    """

    name: str
    size: int
    digest: str = ""
    modified_at: str = ""
    family: str = ""
    parameter_size: str = ""
    quantization: str = ""


@dataclass(frozen=True, slots=True)
class RunningModel:
    """A model that is loaded.

    Attributes:
        name: Its name, with its tag.
        size: How much memory it takes, in bytes.
        size_vram: How much of that is on GPUs, in bytes.
        context_window: Tokens that prompt and answer share; `None` from servers before 0.10.
        expires_at: When it will be unloaded if nobody asks it, as the server writes times.
    """

    name: str
    size: int
    size_vram: int = 0
    context_window: int | None = None
    expires_at: str = ""


def listed(answer: object) -> list[ListedModel]:
    """Read the answer of `/api/tags`.

    Raises:
        EngineError: It is no list of models.
    """
    models = []
    for entry in _entries(answer):
        details = entry.get("details")
        details = details if isinstance(details, Mapping) else {}
        models.append(
            ListedModel(
                name=_text(entry, "name") or _text(entry, "model"),
                size=_whole(entry, "size") or 0,
                digest=_text(entry, "digest"),
                modified_at=_text(entry, "modified_at"),
                family=_text(details, "family"),
                parameter_size=_text(details, "parameter_size"),
                quantization=_text(details, "quantization_level"),
            )
        )
    return models


def running(answer: object) -> list[RunningModel]:
    """Read the answer of `/api/ps`.

    Raises:
        EngineError: It is no list of models.
    """
    return [
        RunningModel(
            name=_text(entry, "name") or _text(entry, "model"),
            size=_whole(entry, "size") or 0,
            size_vram=_whole(entry, "size_vram") or 0,
            context_window=_whole(entry, "context_length"),
            expires_at=_text(entry, "expires_at"),
        )
        for entry in _entries(answer)
    ]


def version(answer: object) -> str:
    """Read the answer of `/api/version`.

    Raises:
        EngineError: It tells no version.
    """
    if isinstance(answer, Mapping) and (found := _text(answer, "version")):
        return found
    raise EngineError("The server tells no version.", hint="Check `base_url`: is it an Ollama server?")


def _entries(answer: object) -> list[Mapping[str, Any]]:
    models = answer.get("models") if isinstance(answer, Mapping) else None
    if models is None and isinstance(answer, Mapping) and "models" in answer:
        return []  # Go writes an empty list so.
    if not isinstance(models, list) or not all(isinstance(entry, Mapping) for entry in models):
        raise EngineError("The server's answer is no list of models.", hint="Check `base_url`: is it an Ollama server?")
    return models


def _text(entry: Mapping[str, Any], name: str) -> str:
    value = entry.get(name)
    return value if isinstance(value, str) else ""


def _whole(entry: Mapping[str, Any], name: str) -> int | None:
    value = entry.get(name)
    return value if isinstance(value, int) else None
