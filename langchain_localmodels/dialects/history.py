"""What servers have no place for in a conversation: calls that went wrong, and tools that failed."""

from __future__ import annotations

import json
from typing import Any

from langchain_localmodels.engines.base import Turn

_INVALID = "invalid_json"
"""Name of the argument that holds what a call had in place of arguments."""


def read_arguments(text: str) -> dict[str, Any] | None:
    """The arguments of a call; `None` where they are no JSON object."""
    try:
        arguments = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return None
    return arguments if isinstance(arguments, dict) else None


def in_place_of_arguments(text: str) -> dict[str, Any]:
    """What is sent where a call had none.

    Servers refuse what is no object, and the model has to see what it wrote to do better the next time.
    """
    return {_INVALID: text}


def failure_text(turn: Turn) -> str | None:
    """What is sent as the result of a tool that failed, where that would not say so itself; else `None`."""
    if turn.role == "tool" and turn.is_error and not turn.text.lower().startswith("error"):
        return f"Error: {turn.text}"
    return None
