"""How Go reads JSON into types of its own, and what it says where it cannot: the kinds of types that Ollama has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


class Refused(Exception):
    """The body cannot be read; the text is the error."""


class WrongType(Refused):
    def __init__(self, value: str, kind: str, struct: str = "", path: tuple[str, ...] = ()) -> None:
        self.value, self.kind, self.struct, self.path = value, kind, struct, path

    def __str__(self) -> str:
        place = f"struct field {self.struct}.{'.'.join(self.path)}" if self.struct else "value"
        return f"json: cannot unmarshal {self.value} into Go {place} of type {self.kind}"


class Place(NamedTuple):
    """Where the decoder is: the innermost struct that has a name, and the fields on the way."""

    struct: str = ""
    path: tuple[str, ...] = ()


class Kind:
    """A type of Go's; `name` is how Go calls it."""

    name: Any

    def read(self, value: Any, place: Place) -> Any:
        raise NotImplementedError

    def write(self, value: Any) -> Any:
        """What Go makes of the value when it writes JSON again."""
        return value

    def wrong(self, value: Any, place: Place) -> WrongType:
        return WrongType(called(value), self.name, *place)


def called(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, float):
        return f"number {value}"
    names = {str: "string", int: "number", list: "array", dict: "object"}
    return names[type(value)]


@dataclass(frozen=True)
class Plain(Kind):
    name: str
    type: type

    def read(self, value: Any, place: Place) -> Any:
        if type(value) is not self.type:
            if isinstance(value, float) and self.type is not int:
                raise WrongType("number", self.name, *place)
            raise self.wrong(value, place)
        return value


class Anything(Kind):
    name = "interface {}"

    def read(self, value: Any, place: Place) -> Any:
        return value

    def write(self, value: Any) -> Any:
        # Go's maps have no order; it writes them sorted.
        if isinstance(value, dict):
            return {name: self.write(value[name]) for name in sorted(value)}
        return [self.write(item) for item in value] if isinstance(value, list) else value


class Map(Anything):
    name = "map[string]interface {}"

    def read(self, value: Any, place: Place) -> Any:
        if not isinstance(value, dict):
            raise self.wrong(value, place)
        return value


@dataclass(frozen=True)
class ListOf(Kind):
    items: Kind
    name: str

    def read(self, value: Any, place: Place) -> Any:
        if not isinstance(value, list):
            raise self.wrong(value, place)
        return [read(self.items, item, place) for item in value]

    def write(self, value: Any) -> Any:
        return [self.items.write(item) for item in value]


@dataclass(frozen=True)
class OwnReader(Kind):
    """A type that reads itself: it knows nothing of where it stands, and the reader around it adds that."""

    inner: Kind

    def read(self, value: Any, place: Place) -> Any:
        try:
            return self.inner.read(value, Place())
        except WrongType as error:
            struct = place.struct or error.struct
            raise WrongType(error.value, error.kind, struct, (*place.path, *error.path)) from None

    def write(self, value: Any) -> Any:
        return self.inner.write(value)


@dataclass(frozen=True)
class Ordered(Kind):
    """A map that keeps its order."""

    items: Kind

    def read(self, value: Any, place: Place) -> Any:
        if not isinstance(value, dict):
            raise Refused("Value looks like object, but can't find closing '}' symbol")
        return {name: read(self.items, item, place) for name, item in value.items()}

    def write(self, value: Any) -> Any:
        return {name: self.items.write({} if item is None else item) for name, item in value.items()}


@dataclass(frozen=True)
class Struct(Kind):
    """A struct; its fields, where `always` names those that are written also when they are empty."""

    name: str
    fields: Mapping[str, Kind]
    always: Mapping[str, Any]

    def read(self, value: Any, place: Place) -> Any:
        if not isinstance(value, dict):
            raise self.wrong(value, place)
        known = {}
        for given, item in value.items():
            # Go does not mind the case.
            name = given if given in self.fields else given.lower()
            if name in self.fields:
                within = Place(self.name.rpartition(".")[2], (*place.path, name))
                known[name] = read(self.fields[name], item, within)
        return known

    def write(self, value: Any) -> Any:
        written = {}
        for name, kind in self.fields.items():
            given = value.get(name)
            if given:
                written[name] = kind.write(given)
            elif name in self.always:
                empty = self.always[name]
                written[name] = kind.write({}) if empty is dict else empty if given is None else given
        return written


class Types(Kind):
    """One type's name, or a list of them."""

    name = "[]string"

    def read(self, value: Any, place: Place) -> Any:
        return [value] if isinstance(value, str) else STRINGS.read(value, place)

    def write(self, value: Any) -> Any:
        return value[0] if len(value) == 1 else value


@dataclass(frozen=True)
class Checked(Kind):
    """A value with a reader of its own."""

    check: Callable[[Any], Any]

    def read(self, value: Any, place: Place) -> Any:
        return self.check(value)


def read(kind: Kind, value: Any, place: Place) -> Any:
    return None if value is None else kind.read(value, place)


TEXT, WHOLE, FLAG, ANYTHING = Plain("string", str), Plain("int", int), Plain("bool", bool), Anything()
STRINGS = ListOf(TEXT, "[]string")
