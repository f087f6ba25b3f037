"""Calls as Python, such as `f(city="Paris", days=3)`: read by a parser of our own, and never evaluated."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from langchain_localmodels.dialects.notations.base import ParsedCall, ToolCallSyntaxError
from langchain_localmodels.dialects.notations.bodies import Body, MarkedBody, StringState
from langchain_localmodels.dialects.notations.json_calls import encode
from langchain_localmodels.dialects.notations.schemas import arguments_object
from langchain_localmodels.engines.base import Tool

_TOKEN = re.compile(
    r"""(?:\s|\#[^\n]*(?:\n|\Z))*(?:
        (?P<string>[rRuU]?(?:
            \"\"\"[^\\]*?(?:\\.[^\\]*?)*?\"\"\" | '''[^\\]*?(?:\\.[^\\]*?)*?'''
            | "[^"\\]*(?:\\.[^"\\]*)*" | '[^'\\]*(?:\\.[^'\\]*)*'
        ))
        | (?P<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
        | (?P<name>[^\W\d]\w*(?:\.[^\W\d]\w*)*)
        | (?P<mark>\*\*|[\[\](){},:;=])
        | (?P<end>\Z)
    )""",
    re.VERBOSE | re.DOTALL,
)
_EQUALS = re.compile(r"\s*=(?!=)")
_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(\n)|(.))", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "a": "\a", "\\": "\\", "'": "'", '"': '"'}
_WORDS = {"True": True, "False": False, "None": None, "true": True, "false": False, "null": None}
_LONGEST_NUMBER = 400


def read_python_calls(text: str, tools: Mapping[str, Tool]) -> list[ParsedCall]:
    """The calls of a text, which stand one after another, in a list, in `print(…)`, or are assigned to something.

    Args:
        text: The code.
        tools: The tools that were offered, by name; they say what arguments without a name are called.

    Raises:
        ToolCallSyntaxError: It is something else.
    """
    reader = _Reader(text, tools)
    try:
        calls = reader.calls()
    except RecursionError as error:
        raise ToolCallSyntaxError("The call is nested too deeply.", reader.name) from error
    if not calls:
        raise ToolCallSyntaxError("There is no call.")
    return calls


def read_python_value(text: str) -> Any:
    """A literal of Python, as `ast.literal_eval` has them, with JSON's words for true, false and nothing besides.

    Raises:
        ToolCallSyntaxError: It is something else.
    """
    reader = _Reader(text, {})
    try:
        value = reader.value()
    except RecursionError as error:
        raise ToolCallSyntaxError("The value is nested too deeply.") from error
    reader.end()
    return value


class _Reader:
    """Goes through code token by token.

    Attributes:
        name: The tool that is being called.
    """

    def __init__(self, text: str, tools: Mapping[str, Tool]) -> None:
        self.name: str | None = None
        self._text = text
        self._tools = tools
        self._at = 0
        self._calls: list[ParsedCall] = []
        self._kind, self._token = "", ""
        self._next()

    def calls(self) -> list[ParsedCall]:
        while self._kind != "end":
            self._statement()
            while self._token == ";":
                self._next()
        return self._calls

    def end(self) -> None:
        if self._kind != "end":
            raise self._strange()

    def value(self) -> Any:
        kind, token = self._kind, self._token
        if kind == "string":
            parts = []
            while self._kind == "string":
                parts.append(_unquoted(self._token))
                self._next()
            return "".join(parts)
        if kind == "number":
            self._next()
            return self._number(token)
        if kind == "name" and token in _WORDS:
            self._next()
            return _WORDS[token]
        if token in ("[", "("):
            return self._list("]" if token == "[" else ")")
        if token == "{":
            return self._dict()
        raise self._strange()

    def _next(self) -> None:
        found = _TOKEN.match(self._text, self._at)
        if found is None or found.lastgroup is None:
            self._kind, self._token = "other", ""
            return
        self._kind, self._token = found.lastgroup, found[found.lastgroup]
        self._at = found.end()

    def _mark(self, token: str) -> None:
        if self._token != token:
            raise self._strange()
        self._next()

    def _strange(self) -> ToolCallSyntaxError:
        if self._kind == "end":
            return ToolCallSyntaxError("The code ends too early.", self.name)
        near = self._token + self._text[self._at : self._at + 20]
        return ToolCallSyntaxError(f"The code is no plain call: {near!r} was not expected.", self.name)

    def _statement(self) -> None:
        if self._token == "[":
            self._group("]")
            return
        name = self._token
        if self._kind != "name":
            raise self._strange()
        self._next()
        if self._token == "=":
            self._next()
            self._statement()
            return
        if self._token != "(":
            raise self._strange()
        if name == "print" and name not in self._tools:
            self._group(")")
            return
        # Some put the tools in a namespace, as in `default_api.f()`.
        self.name = name if name in self._tools else name.rpartition(".")[2]
        self._next()
        self._calls.append(ParsedCall(self.name, encode(self._arguments(self.name))))
        self.name = None

    def _group(self, closing: str) -> None:
        self._next()
        while self._token != closing:
            self._statement()
            if self._token != closing:
                self._mark(",")
        self._next()

    def _arguments(self, name: str) -> dict[str, Any]:
        tool = self._tools.get(name)
        places = list(arguments_object(tool).get("properties", {})) if tool else []
        arguments: dict[str, Any] = {}
        while self._token != ")":
            if self._token == "**":
                self._next()
                inner = self.value()
                if not isinstance(inner, dict):
                    raise ToolCallSyntaxError("What follows ** is not a dictionary.", name)
                arguments.update(inner)
            elif self._kind == "name" and _EQUALS.match(self._text, self._at):
                key = self._token
                self._next()
                self._next()
                arguments[key] = self.value()
            elif len(arguments) < len(places):
                arguments[places[len(arguments)]] = self.value()
            else:
                raise ToolCallSyntaxError(f"It is not known which argument {self._token!r:.50} is.", name)
            if self._token != ")":
                self._mark(",")
        self._next()
        return arguments

    def _number(self, token: str) -> int | float:
        number = float(token) if len(token) <= _LONGEST_NUMBER else float("inf")
        if abs(number) == float("inf"):
            raise ToolCallSyntaxError(f"The number {token:.50} is too large.", self.name)
        return number if set(token) & set(".eE") else int(token)

    def _list(self, closing: str) -> Any:
        self._next()
        values: list[Any] = []
        commas = 0
        while self._token != closing:
            values.append(self.value())
            if self._token != closing:
                self._mark(",")
                commas += 1
        self._next()
        return values[0] if closing == ")" and len(values) == 1 and not commas else values

    def _dict(self) -> dict[str, Any]:
        self._next()
        values: dict[str, Any] = {}
        while self._token != "}":
            key = self.value()
            self._mark(":")
            values[key if isinstance(key, str) else encode(key)] = self.value()
            if self._token != "}":
                self._mark(",")
        self._next()
        return values


def _unquoted(token: str) -> str:
    raw = token[0] in "rR"
    token = token.lstrip("rRuU")
    quotes = 3 if len(token) > 5 and token[:3] in ('"""', "'''") else 1
    text = token[quotes:-quotes]
    return text if raw else _ESCAPE.sub(_meant, text)


def _meant(found: re.Match[str]) -> str:
    octal, *codes, line_break, other = found.groups()
    if line_break:
        return ""
    if other:
        return _ESCAPES.get(other, found[0])
    code = int(octal, 8) if octal else int(next(code for code in codes if code), 16)
    return chr(code) if code < 0x110000 else found[0]


# --- bodies -----------------------------------------------------------------------------------------------------------


class PythonStringState(StringState):
    """Whether a text in Python is inside of a string, after as much of it as was fed."""

    def __init__(self) -> None:
        super().__init__()
        self._quote = ""
        self._run = 0  # so many of the quotes that close the string have come
        self._is_fresh = False
        self._empty = ""  # the quote of an empty string that has just ended: one more opens a long one

    def feed(self, text: str) -> None:
        """See `StringState.feed`."""
        for character in text:
            if self._quote == "#":
                self._quote = "" if character == "\n" else "#"
            elif self._quote:
                self._inside(character)
            else:
                self._outside(character)
        self.inside = self._quote not in ("", "#")

    def _inside(self, character: str) -> None:
        is_fresh, self._is_fresh = self._is_fresh, False
        if self._escaped:
            self._escaped = False
        elif character == "\\":
            self._escaped = True
            self._run = 0
        elif character != self._quote[0]:
            self._run = 0
        else:
            self._run += 1
            if self._run == len(self._quote):
                self._quote = ""
                self._empty = character if is_fresh else ""

    def _outside(self, character: str) -> None:
        if character in "\"'":
            is_long = self._empty == character
            self._quote = character * 3 if is_long else character
            self._is_fresh = not is_long
            self._run = 0
        elif character == "#":
            self._quote = "#"
        self._empty = ""


class PythonBody(MarkedBody):
    """A body of Python code, in whose strings marks mean nothing.

    Args:
        closing: Mark that ends it.
    """

    def __init__(self, closing: str) -> None:
        super().__init__([closing])
        self._string = PythonStringState()


class PythonListBody(Body):
    """A body that ends with the bracket that it begins with, and is hopeless unless a call follows that bracket."""

    def __init__(self) -> None:
        super().__init__()
        self._depth = 0
        self._string = PythonStringState()
        self._name = ""

    def feed(self, text: str) -> str | None:
        """See `Body.feed`."""
        for number, character in enumerate(text):
            self._parts.append(character)
            self._string.feed(character)
            if self._depth == 1 and self._name != "(" and not self._is_name_still(character):
                self.hopeless = True
                return text[number + 1 :]
            if self._string.inside:
                continue
            if character in "([{":
                self._depth += 1
            elif character in ")]}":
                self._depth -= 1
                if self._depth <= 0:
                    return text[number + 1 :]
        return None

    def endings(self) -> list[tuple[str, str]]:
        """See `Body.endings`."""
        return [(self.text, "")]

    def _is_name_still(self, character: str) -> bool:
        """Whether what follows the bracket may still be a name with the bracket of its arguments."""
        if character == "(":
            is_name, self._name = self._name.strip().replace(".", "").isidentifier(), "("
            return is_name
        if character.isspace():
            return True
        self._name += character
        return character == "." or self._name.replace(".", "").isidentifier()
