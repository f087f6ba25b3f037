"""Several JSON Schemas that must hold at once, as one: `allOf`, and keywords beside a `$ref` or an `anyOf`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_localmodels.dialects.json_literals import as_json
from langchain_localmodels.errors import InvalidRequestError

COMBINING = frozenset(("$ref", "allOf", "anyOf", "oneOf"))
_LARGEST = frozenset(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"))
_SMALLEST = frozenset(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"))
_DEEPEST = 50


@dataclass(slots=True)
class Conjunction:
    """What several schemas ask for together.

    Attributes:
        schema: One schema without `allOf`, `$ref`, `anyOf` and `oneOf`; `None` where nothing can satisfy all.
        choices: From each `anyOf` and `oneOf`, its alternatives.
        left_out: Keywords of which only one could be kept, as paths.
    """

    schema: dict[str, Any] | None = field(default_factory=dict)
    choices: list[Sequence[Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def conjunction(
    schema: Mapping[str, Any] | bool, where: str, resolve: Callable[[str, str], Any], checked: Callable[[Any, str], Any]
) -> Conjunction:
    """Bring a schema, and all that it refers to or lists in `allOf`, together.

    Args:
        schema: The schema.
        where: Its path.
        resolve: Gives the schema of a `$ref`, given that and the path of who asks.
        checked: Gives a schema back, or raises where it is none; also gets a path.
    """
    found = Conjunction()
    _add(found, schema, where, resolve, checked, ())
    return found


def _add(  # noqa: PLR0917
    found: Conjunction,
    schema: Any,
    where: str,
    resolve: Callable[[str, str], Any],
    checked: Callable[[Any, str], Any],
    open_refs: tuple[str, ...],
) -> None:
    if len(open_refs) > _DEEPEST:
        raise InvalidRequestError(f"The JSON Schema nests `allOf` or `$ref` too deeply at {where}.")
    schema = checked(schema, where)
    if schema is True or found.schema is None:
        return
    if schema is False:
        found.schema = None
        return
    if schema.get("nullable") is True:
        found.choices.append([{key: value for key, value in schema.items() if key != "nullable"}, {"type": "null"}])
        return
    own = {key: value for key, value in schema.items() if key not in COMBINING}
    found.schema = _merged(found.schema, own, where, found.left_out)
    if "$ref" in schema:
        ref = schema["$ref"]
        if ref in open_refs:
            raise InvalidRequestError(f"The JSON Schema's {ref!r} refers to itself, with nothing between.")
        _add(found, resolve(ref, where), where, resolve, checked, (*open_refs, ref))
    members = schema.get("allOf", ())
    for number, member in enumerate(members):
        _add(found, member, f"{where}.allOf.{number}".strip("."), resolve, checked, (*open_refs, ""))
    found.choices += [schema[key] for key in ("anyOf", "oneOf") if key in schema]


def _merged(  # noqa: PLR0912
    one: dict[str, Any], other: dict[str, Any], where: str, left_out: list[str]
) -> dict[str, Any] | None:
    if not one:
        return other
    merged = {**one}
    for key in ("properties", "additionalProperties"):
        merged.pop(key, None)
    merged |= _merged_properties(one, other)
    for key, value in other.items():
        if key in ("properties", "additionalProperties"):
            continue
        if key not in one or one[key] == value:
            merged[key] = value
            continue
        here = one[key]
        if key == "type":
            both = _both_types(here, value)
            if not both:
                return None
            merged[key] = both
        elif key == "enum" and isinstance(here, list) and isinstance(value, list):
            known = {as_json(item) for item in here}
            merged[key] = [item for item in value if as_json(item) in known]
            if not merged[key]:
                return None
        elif key == "const":
            return None
        elif key == "required" and isinstance(here, list) and isinstance(value, list):
            merged[key] = [*here, *(name for name in value if name not in here)]
        elif key in _LARGEST | _SMALLEST and _is_number(here) and _is_number(value):
            merged[key] = max(here, value) if key in _LARGEST else min(here, value)
        elif key == "items" and not isinstance(here, list) and not isinstance(value, list):
            merged[key] = {"allOf": [here, value]}
        elif key not in ("title", "description", "default", "examples", "$defs", "definitions", "$schema", "$id"):
            left_out.append(f"{where}.{key}".strip("."))
    return merged


def _merged_properties(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Unite `properties`; where the other side says what may stand beside its own, that holds for them too."""
    sides = (one, other)
    properties = [side.get("properties", {}) for side in sides]
    if not all(isinstance(side, dict) for side in properties):
        return {"properties": next(side for side in properties if not isinstance(side, dict))}
    united: dict[str, Any] = {}
    for name in dict.fromkeys([*properties[0], *properties[1]]):
        asked: list[Any] = []
        for side, own in zip(sides, properties, strict=True):
            if name in own:
                asked.append(own[name])
            elif "additionalProperties" in side and "patternProperties" not in side:
                asked.append(side["additionalProperties"])
        asked = [schema for schema in asked if schema is not True]
        united[name] = {"allOf": asked} if len(asked) > 1 else asked[0] if asked else True
    result: dict[str, Any] = {"properties": united} if any("properties" in side for side in sides) else {}
    extra = [side["additionalProperties"] for side in sides if "additionalProperties" in side]
    if extra:
        result["additionalProperties"] = False if False in extra else extra[0] if len(extra) == 1 else {"allOf": extra}
    return result


def _both_types(one: Any, other: Any) -> list[str]:
    first, second = ([names] if isinstance(names, str) else list(names) for names in (one, other))
    both = [name for name in first if name in second]
    if ("number" in first and "integer" in second) or ("integer" in first and "number" in second):
        both.append("integer")
    return list(dict.fromkeys(both))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
