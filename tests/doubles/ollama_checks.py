"""What an Ollama server refuses before it asks a model, and in which order: names, capabilities, options."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

_PART = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_NAME = re.compile(rf"(?:(?:(?P<host>{_PART}(?::\d+)?)/)?(?P<space>{_PART})/)?(?P<model>{_PART})(?::(?P<tag>{_PART}))?")


@dataclass
class Refusal(Exception):
    """A refusal before anything is generated.

    Attributes:
        status: The status of the answer.
        error: What it says.
    """

    status: int
    error: str


DEFAULTS: dict[str, Any] = {
    "num_keep": 4,
    "seed": -1,
    "num_predict": -1,
    "top_k": 40,
    "top_p": 0.9,
    "min_p": 0.0,
    "typical_p": 1.0,
    "repeat_last_n": 64,
    "temperature": 0.8,
    "repeat_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "stop": None,
}
OF_LOADING = {
    "num_ctx": "integer",
    "num_batch": "integer",
    "num_gpu": "integer",
    "main_gpu": "integer",
    "use_mmap": "boolean",
    "num_thread": "integer",
    "draft_num_predict": "integer",
}
_KINDS = {int: "integer", float: "float32", type(None): "array"}
_OPTIONS = {name: _KINDS[type(value)] for name, value in DEFAULTS.items()} | OF_LOADING


def options_of(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """The options that hold for a request. Unknown ones are passed over, and so are those that are `null`.

    Raises:
        Refusal: One has another type.
    """
    options = dict(DEFAULTS)
    for name, value in (given or {}).items():
        if value is None or (kind := _OPTIONS.get(name)) is None:
            continue
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if kind == "array":
            if not isinstance(value, list):
                raise Refusal(500, f'option "{name}" must be of type array')
            if not all(isinstance(item, str) for item in value):
                raise Refusal(500, f'option "{name}" must be of an array of strings')
        elif not (isinstance(value, bool) if kind == "boolean" else number):
            raise Refusal(500, f'option "{name}" must be of type {kind}')
        options[name] = int(value) if kind == "integer" else value
    return options


def full_name(name: str) -> str:
    """A model's name with everything that may be left out."""
    found = _NAME.fullmatch(name)
    assert found is not None
    host, space, model, tag = found["host"], found["space"], found["model"], found["tag"]
    return f"{host or 'registry.ollama.ai'}/{space or 'library'}/{model}:{tag or 'latest'}"


def is_name(name: str) -> bool:
    """Whether that can be a model's name."""
    return _NAME.fullmatch(name) is not None


def find_model(name: str, models: Collection[str]) -> str | None:
    """The model of that name among those that there are, whose case and `:latest` do not matter."""
    if name in models or not is_name(name):
        return name if name in models else None
    wanted = full_name(name).lower()
    return next((model for model in models if full_name(model).lower() == wanted), None)


def check_model(path: str, name: str, models: Collection[str]) -> str:
    """Find the model that a request is for.

    Raises:
        Refusal: There is none, or it is no name.
    """
    if not name:
        if path in ("/api/generate", "/api/embed"):
            raise Refusal(404, "model '' not found")
        raise Refusal(400, "model is required")
    if not is_name(name):
        raise Refusal(400, "invalid model name")
    if (found := find_model(name, models)) is None:
        if path.startswith("/api/embed"):
            raise Refusal(404, f'model "{name}" not found, try pulling it first')
        shown = full_name(name).removeprefix("registry.ollama.ai/library/") if path == "/api/show" else name
        raise Refusal(404, f"model '{shown}' not found")
    return found


def check_text_request(path: str, body: Mapping[str, Any], models: Collection[str]) -> str:
    """What is refused of a request for text whatever the model can do; gives the model's name on this server."""
    if not 0 <= body.get("top_logprobs", 0) <= 20:
        raise Refusal(400, "top_logprobs must be between 0 and 20")
    return check_model(path, body.get("model", ""), models)


def check_abilities(path: str, body: Mapping[str, Any], model: str, abilities: Collection[str] | None) -> None:
    """What is refused because the model cannot do it; `None` for a server that does not know."""
    if path == "/api/generate" and body.get("raw") and (body.keys() & {"template", "system", "context"}):
        raise Refusal(400, "raw mode does not support template, system, or context")
    if abilities is not None:
        if body.get("think") and "thinking" not in abilities:
            raise Refusal(400, f'"{body["model"]}" does not support thinking')
        if "completion" not in abilities:
            raise Refusal(400, f'"{body["model"]}" does not support {path.removeprefix("/api/")}')
        for name, ability in (("tools", "tools"), ("suffix", "insert")):
            if body.get(name) and ability not in abilities:
                raise Refusal(400, f"{full_name(model)} does not support {ability}")
    options_of(body.get("options"))


def check_format(given: Any) -> None:
    """A form that is neither JSON nor a schema is found only when the model is asked."""
    if given not in (None, "", "json") and not isinstance(given, dict):
        quoted = json.dumps(json.dumps(given, separators=(",", ":"), ensure_ascii=False), ensure_ascii=False)
        raise Refusal(500, f'invalid format: {quoted}; expected "json" or a valid JSON Schema object')
