"""Arguments that stand as bare text between two marks: what they mean by the tool's schema, and the grammar for them.

A string is written as it is, anything else as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_localmodels.dialects.gbnf_rules import Rules, literal
from langchain_localmodels.dialects.notations.base import ToolCallSyntaxError
from langchain_localmodels.dialects.notations.json_calls import decode, encode
from langchain_localmodels.dialects.notations.python_calls import read_python_value
from langchain_localmodels.dialects.notations.schemas import ALL_KINDS, followed, kind_of, kinds_of, part_of

_NONE_SUCH = object()


def typed_value(text: str, schema: object, root: Mapping[str, Any], name: str) -> object:
    """The value that a text stands for.

    Where a schema allows strings and other values, a text that can be another value is that one. A text that can be no
    value that the schema allows is left as it is, for whoever validates the arguments to say so.

    Args:
        text: The text.
        schema: Schema of the value; `True` where nothing is known.
        root: The schema that it is a part of.
        name: The tool, for the error.

    Raises:
        ToolCallSyntaxError: It should be an object or a list, begins like one, and is none.
    """
    kinds = kinds_of(schema, root)
    if kinds == {"string"}:
        return text
    value = _parsed(text)
    if value is not _NONE_SUCH:
        if kind_of(value) in kinds and (kinds == ALL_KINDS or not isinstance(value, str)):
            return value
        return text if "string" in kinds else value
    if "string" not in kinds and text.strip()[:1] in ("{", "["):
        raise ToolCallSyntaxError(f"An argument is not valid JSON: {text.strip():.100}", name)
    return text


def _parsed(text: str) -> object:
    try:
        return decode(text)
    except ToolCallSyntaxError:
        pass
    try:
        # Many templates write True, False and None in Python's way, and some whole lists.
        value: object = read_python_value(text)
    except ToolCallSyntaxError:
        return _NONE_SUCH
    return _NONE_SUCH if isinstance(value, str | int | float) and not isinstance(value, bool) else value


class RawValues:
    """Makes the items of values up to the mark after them, the mark included.

    Args:
        rules: Takes in the rules.
        closing: The mark.
        on_lines: Whether a value stands on lines of its own.
        python_words: Whether `True` and `False` may be written for `true` and `false`.
    """

    def __init__(self, rules: Rules, closing: str, *, on_lines: bool, python_words: bool) -> None:
        self._rules = rules
        self._closing = closing
        self._break = '"\\n"?' if on_lines else ""
        self._python_words = python_words
        self._text = ""

    def item(self, schema: Any, root: Mapping[str, Any]) -> str:
        """The item of a value, held to its schema; strings are held only to `enum` and `const`.

        Args:
            schema: The schema.
            root: The one that it is a part of.

        Raises:
            InvalidRequestError: The schema cannot be followed.
        """
        ways = self._ways(schema, root)
        if ways is None:
            # The line breaks around it are text here too, or there would be several ways to read them.
            self._text = self._text or self._rules.text_until({self._closing: ""})
            return self._text
        return self._rules.rule(f"{self._break} {self._rules.one_of(ways)} {self._break} {literal(self._closing)}")

    def _ways(self, schema: Any, root: Mapping[str, Any]) -> list[str] | None:
        """What the value can be; `None` where that is any text."""
        kinds = kinds_of(schema, root)
        if kinds == {"boolean"} and self._python_words:
            return ['"true"', '"false"', '"True"', '"False"']
        if "string" not in kinds:
            return [self._rules.json(part_of(schema, root))]
        known = followed(schema, root)
        found: list[str] | None = None
        if "const" in known or "enum" in known:
            values = [known["const"]] if "const" in known else known["enum"]
            texts = [value if isinstance(value, str) else encode(value) for value in values]
            found = [literal(text) for text in texts if self._closing not in text]
        elif isinstance(members := known.get("anyOf", known.get("oneOf")), list):
            each = [self._ways(member, root) for member in members if member is not False]
            found = None if None in each else [way for ways in each for way in ways or ()]
        if found and known.get("nullable") is True:
            found.append('"null"')
        return found or None
