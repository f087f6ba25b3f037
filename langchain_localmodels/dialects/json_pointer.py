"""Where references of JSON Schemas lead: `$ref`s within a schema, which are JSON pointers after a `#`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote


def pointed_at(ref: str, root: Any) -> Any:
    """What a reference leads to; `None` where that is nothing, or is not within the schema.

    Args:
        ref: The reference, such as `#/$defs/Name`; `#` is the whole schema.
        root: The whole schema.
    """
    if ref == "#":
        return root
    target = root if ref.startswith("#/") else None
    for part in unquote(ref[2:]).split("/"):
        step = part.replace("~1", "/").replace("~0", "~")
        if isinstance(target, list) and step.isdecimal() and len(step) < 6 and int(step) < len(target):
            target = target[int(step)]
        else:
            target = target.get(step) if isinstance(target, Mapping) else None
    return target
