"""Families of models as fixtures: a small chat template of ours with the published marks of each, and what it writes.

`FAMILIES` is read by the tests of notations, of grammars and of the engine; each family is a module here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from langchain_localmodels.engines.base import Tool

WEATHER = Tool(
    "get_weather",
    "Tell the weather of a city.",
    {
        "type": "object",
        "properties": {
            "city": {"type": "string"},
            "days": {"type": "integer"},
            "unit": {"enum": ["celsius", "fahrenheit"]},
        },
        "required": ["city"],
    },
)
NOTE = Tool(
    "note",
    "Write something down.",
    {
        "type": "object",
        "properties": {
            "text": {"type": "string"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "place": {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]},
            "urgent": {"type": "boolean"},
        },
        "required": ["text"],
    },
)
NOW = Tool("now", "Tell the time.", {"type": "object", "properties": {}})
TOOLS = (WEATHER, NOTE, NOW)


def hard(marks: str) -> dict[str, Any]:
    """Arguments of `note` that are hard to read and write; `marks` are those of the family, here without meaning."""
    text = f'"Quoted", {{braces}}, [lists]; a back\\slash,\na line, ü日🦙 {marks}'
    return {"text": text, "tags": ["", "a, b", '"c"'], "place": {"x": -1.5}, "urgent": True}


@dataclass(frozen=True)
class Output:
    """Something that a model of the family writes.

    Attributes:
        text: What it writes after the prompt, special tokens written out, but not the token that ends its answers.
        deltas: What it means: `("text", str)`, `("reasoning", str)`, `("call", name, arguments)` with the arguments as
            a Python value and the id after them where the model gives one, `("invalid", name or None)`.
        grammar: Whether the grammar of an answer that may call tools takes it; `None` where that is not looked at.
        forced: The same for the grammar of an answer that must be calls.
        parallel: Whether several calls at once are allowed in this case.
    """

    text: str
    deltas: tuple[tuple[Any, ...], ...]
    grammar: bool | None = True
    forced: bool | None = None
    parallel: bool = True


@dataclass(frozen=True)
class Family:
    """One family.

    Attributes:
        template: A small chat template of ours, with tools, calls and results in the family's way.
        notation: Name of the notation that its template is recognised by.
        outputs: By what they show.
        refused: Texts that the grammar of a forced call must refuse.
        prompt_has: What the rendered prompt of a conversation with a call and its result must hold.
        tokens: Special tokens given to the template, such as `bos_token`.
        raw_strings: Whether strings are written as they are, up to a mark. A model that never learned the mark may not
            come to the end of one.
    """

    template: str
    notation: str
    outputs: Mapping[str, Output]
    refused: tuple[str, ...] = ()
    prompt_has: tuple[str, ...] = ()
    tokens: Mapping[str, str] = field(default_factory=dict)
    raw_strings: bool = False


FAMILIES: dict[str, Family] = {
    module.name: import_module(f"{__name__}.{module.name}").FAMILY for module in iter_modules(__path__)
}
