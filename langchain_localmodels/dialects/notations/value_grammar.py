"""Values that follow a JSON Schema, in notations that spell them otherwise than JSON does, as grammar.

Numbers are JSON's in all of them. Keywords that are not known here hold the answer to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_localmodels.dialects.gbnf_rules import Rules, literal
from langchain_localmodels.dialects.notations.json_calls import encode
from langchain_localmodels.dialects.notations.schemas import arguments_of_tool, followed

_BARE_KEY = "[a-zA-Z_] [a-zA-Z0-9_]{0,63}"
_NUMBER_KEYWORDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_STRING_KEYWORDS = ("minLength", "maxLength", "pattern", "format")
_MOST_ITEMS = 100


@dataclass(frozen=True, slots=True)
class Spelling:
    """How values are written.

    Attributes:
        quote: What stands before and after a string, whose text is raw; empty where strings are JSON's.
        words: For `True`, `False` and `None`.
        has_bare_keys: Whether the keys of objects are written without quotes.
        sorts_keys: Whether keys come in alphabetical order, as chat templates with `dictsort` write them, and the
            models that learned from them.
    """

    quote: str = ""
    words: tuple[str, str, str] = ("true", "false", "null")
    has_bare_keys: bool = False
    sorts_keys: bool = False

    def written(self, value: Any) -> str:
        """A value as text."""
        if value is None or isinstance(value, bool):
            return self.words[2 if value is None else 0 if value else 1]
        if isinstance(value, str):
            return f"{self.quote}{value}{self.quote}" if self.quote else encode(value)
        if isinstance(value, Mapping):
            names = sorted(value, key=str.lower) if self.sorts_keys else value
            pairs = (f"{self.key(name)}:{self.written(value[name])}" for name in names)
            return f"{{{','.join(pairs)}}}"
        if isinstance(value, list | tuple):
            return f"[{','.join(map(self.written, value))}]"
        return encode(value)

    def key(self, name: str) -> str:
        """The key of an object."""
        return name if self.has_bare_keys else self.written(name)


PYTHON = Spelling(words=("True", "False", "None"))
"""Literals of Python."""


class ValueGrammar:
    """Makes the items of values.

    Args:
        rules: Takes in the rules.
        spelling: How values are written.
    """

    def __init__(self, rules: Rules, spelling: Spelling) -> None:
        self._rules = rules
        self._spelling = spelling
        self._root: Mapping[str, Any] = {}
        self._named: dict[str, str] = {}
        self._text = ""

    def members(self, root: Mapping[str, Any], separator: str) -> str:
        """The item of a call's arguments, parted by commas; all of them, or nothing where none is required.

        Args:
            root: The schema of the arguments.
            separator: What stands between a name and its value.

        Raises:
            InvalidRequestError: A schema cannot be followed.
        """
        self._root = root
        return self._members(root, separator, lambda name: name, _BARE_KEY)

    def _value(self, schema: Any) -> str:
        if not isinstance(schema, Mapping):
            return self._any()
        ref = schema.get("$ref")
        if not isinstance(ref, str):
            return self._known(schema)
        if ref not in self._named:
            # Named before it is made, so that it may refer to itself.
            self._named[ref] = self._rules.name(f"value {ref}")
            self._rules.define(self._named[ref], self._known(followed(schema, self._root)))
        return self._named[ref]

    def _known(self, schema: Mapping[str, Any]) -> str:
        ways = self._ways(schema)
        if schema.get("nullable") is True:
            ways.append(literal(self._spelling.words[2]))
        return self._rules.one_of(ways) if ways else self._any()

    def _ways(self, schema: Mapping[str, Any]) -> list[str]:
        if "const" in schema or isinstance(schema.get("enum"), list):
            values = [schema["const"]] if "const" in schema else schema["enum"]
            return [literal(self._spelling.written(value)) for value in values]
        members = schema.get("anyOf", schema.get("oneOf"))
        if isinstance(members, list):
            return [self._value(member) for member in _distinct(members) if member is not False]
        kinds = [schema["type"]] if isinstance(schema.get("type"), str) else schema.get("type")
        if kinds is None:
            kinds = ["object"] if "properties" in schema else ["array"] if "items" in schema else []
        if "allOf" in schema and "properties" not in schema:
            only = schema["allOf"]
            return [self._value(only[0])] if len(only) == 1 else []
        makers: dict[str, Callable[[Mapping[str, Any]], str]] = {
            "string": self._string,
            "number": self._number,
            "integer": self._number,
            "boolean": lambda _: self._rules.one_of([literal(word) for word in self._spelling.words[:2]]),
            "null": lambda _: literal(self._spelling.words[2]),
            "array": self._array,
            "object": self._object,
        }
        known = [kind for kind in kinds if kind in makers and not _is_number_too(kind, kinds)]
        return [makers[kind]({**schema, "type": kind}) for kind in known]

    def _string(self, schema: Mapping[str, Any]) -> str:
        if not self._spelling.quote:
            return self._rules.json({"type": "string", **_only(schema, _STRING_KEYWORDS)})
        self._text = self._text or self._rules.text_until({self._spelling.quote: ""})
        return self._rules.rule(f"{literal(self._spelling.quote)} {self._text}")

    def _number(self, schema: Mapping[str, Any]) -> str:
        return self._rules.json(_only(schema, ("type", *_NUMBER_KEYWORDS)))

    def _array(self, schema: Mapping[str, Any]) -> str:
        items = schema.get("items", True)
        item = self._any() if isinstance(items, list) else self._value(items)
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        least = min(int(least), _MOST_ITEMS)
        most = int(most) if most is not None and int(most) <= _MOST_ITEMS else None
        if most == 0 or items is False:
            return self._rules.rule('"[" "]"')
        more = self._rules.rule(f'"," sp {item}')
        times = f"{{{max(least - 1, 0)},{'' if most is None else most - 1}}}"
        body = f"{item} {more}{times}"
        return self._rules.rule(f'"[" {body if least else f"({body})?"} "]"')

    def _object(self, schema: Mapping[str, Any]) -> str:
        key = _BARE_KEY if self._spelling.has_bare_keys else "string"
        return self._rules.rule(f'"{{" {self._members(schema, ":", self._spelling.key, key)} "}}"')

    def _members(self, schema: Mapping[str, Any], separator: str, written: Callable[[str], str], other_key: str) -> str:
        listed, required, others = arguments_of_tool(schema)
        names = sorted(listed, key=str.lower) if self._spelling.sorts_keys else list(listed)
        between = f"{literal(separator)} sp" if separator == ":" else literal(separator)
        # From behind: what may come first, and what may follow something that was written.
        first, following = '""', '""'
        if others is not False:
            pair = self._rules.rule(f"{other_key} {between} {self._value(others)}")
            more = self._rules.rule(f'"," sp {pair}')
            first, following = f"({pair} {more}*)?", f"{more}*"
        for name in reversed(names):
            pair = self._rules.rule(f"{literal(written(name))} {between} {self._value(listed[name])}")
            with_pair = f"{pair} {following}"
            first = self._rules.rule(with_pair if name in required else f"{with_pair} | {first}")
            after_comma = self._rules.rule(f'"," sp {with_pair}')
            following = after_comma if name in required else self._rules.rule(f"{after_comma} | {following}")
        return first

    def _any(self) -> str:
        """The item of a value of any kind."""
        if "" not in self._named:
            self._named[""] = self._rules.name("value")
            plain = [self._string({}), "number", *map(literal, self._spelling.words)]
            self._rules.define(self._named[""], " | ".join([*plain, self._array({}), self._object({})]))
        return self._named[""]


def _only(schema: Mapping[str, Any], keywords: Sequence[str]) -> dict[str, Any]:
    return {key: schema[key] for key in keywords if key in schema}


def _is_number_too(kind: str, kinds: Sequence[str]) -> bool:
    return kind == "integer" and "number" in kinds


def _distinct(members: Sequence[Any]) -> list[Any]:
    """Alternatives without integers where there are numbers: each of them could be read in two ways."""
    kinds = [str(member.get("type")) if isinstance(member, Mapping) else "" for member in members]
    return [member for member, kind in zip(members, kinds, strict=True) if not _is_number_too(kind, kinds)]
