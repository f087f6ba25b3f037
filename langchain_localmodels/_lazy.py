"""Finds the classes of engines by name, and imports an engine's package only then."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Literal

from langchain_localmodels.engines import ENGINES

Kind = Literal["llm", "chat", "embeddings"]


def public_classes(kind: Kind | None = None) -> dict[str, tuple[str, str]]:
    """Give the public names of the engines' classes.

    Args:
        kind: Only classes of this kind; `None` for all.

    Returns:
        Public name to the module that defines the class and its name there.
    """
    found = {}
    for entry in ENGINES.values():
        for name, (module, target) in entry.classes().items():
            if kind is None or target == getattr(entry, kind):
                found[name] = (module, target)
    return found


def find_class(module: str, kind: Kind | None, name: str) -> Any:
    """Import a class of an engine, for a module's `__getattr__`.

    Args:
        module: Name of the module that is asked.
        kind: Which kind of class it has; `None` for all.
        name: The public name that is asked for.

    Raises:
        AttributeError: If no engine has a class of that name and kind.
    """
    if (found := public_classes(kind).get(name)) is None:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    if found[0].endswith(".chat_models"):
        # What it stands on comes first: come to by way of its parts, the same modules take some 5 % longer to import,
        # because the process's memory then grows and shrinks more often on the way (as page faults show).
        import_module("langchain_core.language_models.chat_models")
    return getattr(import_module(found[0]), found[1])
