"""The parameters of tools in the words that Ollama keeps. Pure: no I/O, and nothing it is given is changed.

Ollama reads them into fixed structs. What these have no place for never reaches the model, some of it is refused, and
what it passes on unread, the `items` of arrays, can end the process that runs the model where it contradicts itself. So
references are followed, schemas brought together and choices written as `anyOf`; what has no word that Ollama keeps,
such as a range or a default, is told in the description, which models read. `strict` checks whether calls keep to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

from langchain_localmodels.dialects.json_conjunction import conjunction
from langchain_localmodels.dialects.json_keywords import ALL_TYPES, checked
from langchain_localmodels.dialects.json_pointer import pointed_at
from langchain_localmodels.engines.base import Tool
from langchain_localmodels.errors import InvalidRequestError

_KEPT = ("type", "description", "enum", "items", "properties", "required", "anyOf")
_HARMLESS = frozenset(
    {
        *("title", "default", "examples", "deprecated", "format", "pattern", "minLength", "maxLength"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
        *("minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties"),
    }
)
"""What Ollama drops where it reads a schema, which newer servers may not; only at places that are read."""
_TOP = "#"
_DEEPEST = 60
_MOST_SCHEMAS = 2000
_MOST_CHOICES = 32
_MOST_TOLD = 200
"""Longest value that is told in a description, in characters."""


def tool_parameters(tool: Tool) -> dict[str, Any]:
    """The JSON Schema of a tool's arguments as Ollama is sent it.

    Args:
        tool: The tool.

    Raises:
        InvalidRequestError: Its parameters are no JSON Schema, or refer to what is not in it.
    """
    try:
        written = _Writer(tool.parameters).write(tool.parameters, "", (_TOP,)) or {}
    except InvalidRequestError as error:
        raise InvalidRequestError(f"The tool {tool.name!r} cannot be sent: {error.message}", hint=error.hint) from error
    # Ollama knows no choice of whole sets of arguments, and wants the next two.
    choices = [choice for choice in written.pop("anyOf", ()) if isinstance(choice.get("properties"), dict)]
    properties = dict(written.pop("properties", {}))
    for choice in choices:
        properties = {**choice["properties"], **properties}
    always = [set(choice.get("required", ())) for choice in choices]
    needed = [*written.pop("required", ()), *(sorted(set.intersection(*always)) if always else ())]
    required = {"required": list(dict.fromkeys(needed))} if needed else {}
    for name in ("description", "enum", "items"):
        written.pop(name, None)
    return {**written, "type": "object", "properties": properties, **required}


class _Writer:
    """Writes one tool's schemas.

    Args:
        root: Where references lead.
    """

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._count = 0
        self._depth = 0

    def write(self, schema: Any, where: str, around: tuple[str, ...], *, read: bool = True) -> dict[str, Any] | None:
        """Write a schema; `None` where it allows no value.

        Args:
            schema: The schema.
            where: Its path.
            around: The references that led here: one of them again would have no end.
            read: Whether Ollama reads it, and drops what it does not know.
        """
        self._count += 1
        self._depth += 1
        if self._depth > _DEEPEST:
            raise InvalidRequestError(f"The JSON Schema is nested deeper than {_DEEPEST}, at {where[:200]}.")
        try:
            return self._write(schema, where, around, read)
        finally:
            self._depth -= 1

    def _write(self, schema: Any, where: str, around: tuple[str, ...], read: bool) -> dict[str, Any] | None:
        followed: list[str] = []

        def resolve(ref: str, asker: str) -> Any:
            followed.append(ref)
            return self._target(ref, asker)

        together = conjunction(schema, where, resolve, _tolerant)
        if (known := together.schema) is None:
            return None
        again = next((ref for ref in followed if ref in around), None)
        if again is not None or self._count > _MOST_SCHEMAS:
            return _without_parts(known, again)
        around = (*around, *followed)
        written = {key: known[key] for key in known if key in _KEPT or (read and key in _HARMLESS)}
        notes: list[str] = []
        if "const" in known:
            written["enum"] = [known["const"]]
        if "properties" in known:
            written |= self._properties(known, where, around, read)
        notes += self._items(written, known, where, around)
        notes += [*self._others(written, known, where, around, read), *_notes(known)]
        if choices := _combined(together.choices):
            found = [self.write(one, f"{where}.anyOf.{number}", around, read=read) for number, one in choices]
            if not (members := [member for member in found if member is not None]):
                return None
            # What may be anything leaves nothing to choose from.
            written |= {"anyOf": members} if all(members) else {}
        return _described(written, known, notes)

    def _properties(self, known: Mapping[str, Any], where: str, around: tuple[str, ...], read: bool) -> dict[str, Any]:
        written = {
            name: self.write(part, f"{where}.properties.{name}", around, read=read)
            for name, part in known["properties"].items()
        }
        properties = {name: part for name, part in written.items() if part is not None}
        required = [name for name in known.get("required", ()) if written.get(name, {}) is not None]
        return {
            "type": known.get("type", "object"),
            "properties": properties,
            **({"required": required} if "required" in known else {}),
        }

    def _items(
        self, written: dict[str, Any], known: Mapping[str, Any], where: str, around: tuple[str, ...]
    ) -> list[str]:
        """Write what an array holds, and give what has to be told of it."""
        items = written.pop("items", None)
        first = items if isinstance(items, list) else known.get("prefixItems")
        if first:
            parts = [self.write(part, f"{where}.items.{n}", around, read=False) for n, part in enumerate(first)]
            kinds = [part for n, part in enumerate(parts) if part is not None and part not in parts[:n]]
            if all(kinds):  # else one may be anything
                written["items"] = kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
            return [f"in this order: {_told(parts)}"] if len(kinds) > 1 else []
        if items is None:
            return []
        found = self.write(items, f"{where}.items", around, read=False)
        if found:
            written["items"] = found
        return ["no items"] if found is None else []

    def _others(
        self, written: dict[str, Any], known: Mapping[str, Any], where: str, around: tuple[str, ...], read: bool
    ) -> list[str]:
        """Write what an object may hold beside what it lists, and give what has to be told of it."""
        others = known.get("additionalProperties")
        if not isinstance(others, dict):
            written |= {"additionalProperties": others} if read and others is not None else {}
            return []
        written.setdefault("type", "object")
        values = self.write(others, f"{where}.additionalProperties", around, read=False)
        told = _told(values)
        return [f"any names, with values of {told}"] if values and len(told) <= _MOST_TOLD else []

    def _target(self, ref: str, asker: str) -> Any:
        target = pointed_at(ref, self._root)
        if not isinstance(target, Mapping | bool):
            raise InvalidRequestError(
                f"The JSON Schema refers to {ref!r} at {asker or 'its root'}, which is not in it.",
                hint="Only references within the schema are followed, such as '#/$defs/Name'.",
            )
        return target


def _tolerant(schema: Any, where: str) -> Any:
    """Check a schema, but take types that JSON does not have, such as `float`, for what they are to a reader."""
    if isinstance(schema, Mapping):
        schema = dict(schema)
        names = [schema["type"]] if isinstance(schema.get("type"), str) else schema.get("type")
        if (
            isinstance(names, list)
            and all(isinstance(name, str) for name in names)
            and set(names).difference(ALL_TYPES)
        ):
            del schema["type"]
            schema.setdefault("format", " or ".join(names))
        if schema.get("enum") == []:
            del schema["enum"]
        if schema.get("nullable") is True:
            about = {key: schema[key] for key in ("description", "default", "title") if key in schema}
            rest = {key: value for key, value in schema.items() if key not in about and key != "nullable"}
            return {**about, "anyOf": [checked(rest, where), {"type": "null"}]}
    return checked(schema, where)


def _combined(choices: Sequence[Sequence[Any]]) -> list[tuple[int, Any]]:
    """Several choices, each of which has to be made, as one."""
    while len(choices) > 1 and prod(map(len, choices)) > _MOST_CHOICES:
        choices = choices[:-1]
    ways = product(*choices) if choices else ()
    return list(enumerate(way[0] if len(way) == 1 else {"allOf": list(way)} for way in ways))


def _without_parts(known: Mapping[str, Any], again: str | None) -> dict[str, Any]:
    """A schema without those in it: where it is in itself, or where there are too many."""
    written = {key: known[key] for key in ("type", "enum") if key in known}
    if "properties" in known:
        written.setdefault("type", "object")
    if again is None:
        return _described(written, known, [])
    what = "the arguments as a whole" if again == _TOP else f"the {again.rpartition('/')[2]} around it"
    return _described(written, known, [f"like {what}"])


# --- what is told in words ------------------------------------------------------------------------------------------


def _described(written: dict[str, Any], known: Mapping[str, Any], notes: Sequence[str]) -> dict[str, Any]:
    own = known.get("description")
    text = own.strip() if isinstance(own, str) else ""
    told = f"({'; '.join(notes)})" if notes else ""
    written.pop("description", None)
    return {**written, "description": f"{text} {told}".strip()} if text or told else written


def _notes(known: Mapping[str, Any]) -> Iterator[str]:
    if "const" not in known and "enum" not in known:
        yield from _limits(known)
    if isinstance(known.get("format"), str):
        yield f"format: {known['format']}"
    if isinstance(known.get("pattern"), str):
        yield f"pattern: {known['pattern']}"
    if known.get("uniqueItems") is True:
        yield "no item twice"
    default = known.get("default")
    if default not in (None, "", [], {}) and len(_told(default)) <= _MOST_TOLD:
        yield f"default: {_told(default)}"


def _limits(known: Mapping[str, Any]) -> Iterator[str]:
    least, most = known.get("minimum"), known.get("maximum")
    above, below = known.get("exclusiveMinimum"), known.get("exclusiveMaximum")
    # Flags beside the limits are of draft 4.
    least, above = (None, least) if above is True else (least, above)
    most, below = (None, most) if below is True else (most, below)
    yield from _range(least, most, "")
    yield from (f"more than {above}" for _ in range(_is_number(above)))
    yield from (f"less than {below}" for _ in range(_is_number(below)))
    if _is_number(known.get("multipleOf")):
        yield f"a multiple of {known['multipleOf']}"
    yield from _range(known.get("minLength"), known.get("maxLength"), " characters")
    yield from _range(known.get("minItems"), known.get("maxItems"), " items")
    yield from _range(known.get("minProperties"), known.get("maxProperties"), " entries")


def _range(least: Any, most: Any, what: str) -> Iterator[str]:
    if what and least == 0:  # there is never less of what is counted
        least = None
    if what and least == 1 and most is None:
        yield "not empty"
        return
    if _is_number(least) and _is_number(most):
        yield f"{least}{what}" if least == most else f"{least} to {most}{what}"
    elif _is_number(least):
        yield f"at least {least}{what}"
    elif _is_number(most):
        yield f"at most {most}{what}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _told(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
