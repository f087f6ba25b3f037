"""The values of one type that a JSON Schema allows, in GBNF; `json_schema.py` brings types and references together."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from langchain_localmodels.dialects.gbnf import check_grammar
from langchain_localmodels.dialects.gbnf_parser import MAX_REPETITION
from langchain_localmodels.dialects.json_literals import any_key_but, as_json, choice, integer_between, quoted
from langchain_localmodels.dialects.json_strings import FORMATS, UnsupportedPattern, form_of_pattern, repetition
from langchain_localmodels.errors import InvalidRequestError

_MOST_OPTIONAL = 50
"""Optional properties in a row that keep their order: llama.cpp follows all that may come next at once."""
_MOST_BOUND_DIGITS = 40

COMMON_RULES = r"""
value ::= object | array | string | number | "true" | "false" | "null"
object ::= "{" (pair ("," sp pair)*)? "}"
pair ::= string ":" sp value
array ::= "[" (value ("," sp value)*)? "]"
string ::= "\"" character* "\""
character ::= [\u0020-\u0021\u0023-\u005B\u005D-\uD7FF\uE000-\U0010FFFF] | "\\" (["\\/bfnrt] | "u" code)
code ::= [0-9abcefABCEF] hex{3} | [dD] [0-7] hex{2} | [dD] [89abAB] hex{2} "\\u" [dD] [c-fC-F] hex{2}
key-character ::= [\u0020-\u0021\u0023-\u005B\u005D-\uD7FF\uE000-\U0010FFFF] | "\\" (["\\bfnrt] | "u00" [01] hex)
hex ::= [0-9a-fA-F]
natural ::= "0" | [1-9] [0-9]{0,17}
float ::= natural ("." [0-9]{1,17})? ([eE] [+\u002D]? [0-9]{1,2})? | [0-9] ("." [0-9]{1,17})? [eE] [+\u002D]? large
large ::= [12] [0-9]{2} | "30" [0-7]
number ::= "-"? float
negative ::= "-" float
integer ::= "-"? natural
sp ::= " "?
"""


class TypeRules(ABC):
    """Makes the rules of each type. Methods give an item of GBNF, or `None` where no value is allowed."""

    @abstractmethod
    def _compile(self, schema: Any, where: str) -> str | None:
        """Give the item of a schema, making what rules it needs; `where` is the path to it."""

    @abstractmethod
    def _one_of(self, ways: Iterable[str | None]) -> str | None:
        """Give the item of several alternatives."""

    @abstractmethod
    def _rule(self, body: str) -> str:
        """Make a rule, and give its name."""

    @abstractmethod
    def _leave(self, where: str, *keywords: str) -> None:
        """Note keywords that the grammar does not enforce."""

    def _integer(self, schema: dict[str, Any], where: str) -> str | None:
        least, most = self._bounds(schema)
        if least is None:
            self._leave(where, *(key for key in ("minimum", "exclusiveMinimum") if key in schema))
        if most is None:
            self._leave(where, *(key for key in ("maximum", "exclusiveMaximum") if key in schema))
        if least is most is None:
            return "integer"
        body = integer_between(least, most)
        return body and self._rule(body)

    def _bounds(self, schema: dict[str, Any]) -> tuple[int | None, int | None]:
        found: list[int | None] = []
        for key, sign in (("inimum", 1), ("aximum", -1)):
            plain, strict = schema.get(f"m{key}"), schema.get(f"exclusiveM{key}")
            if isinstance(strict, bool):  # draft 4: says of the other whether it is one
                plain, strict = (None, plain) if strict else (plain, None)
            # Turned round, a maximum is a minimum.
            ways = [math.ceil(sign * plain)] if plain is not None else []
            ways += [math.floor(sign * strict) + 1] if strict is not None else []
            found.append(sign * max(ways) if ways and abs(max(ways)) < 10**_MOST_BOUND_DIGITS else None)
        return found[0], found[1]

    def _number(self, schema: dict[str, Any], where: str) -> str:
        bounds = [key for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum") if key in schema]
        strict = schema.get("exclusiveMinimum")
        if max(schema.get("minimum", -1), -1 if strict is None or isinstance(strict, bool) else strict) >= 0:
            self._leave(where, *(key for key in bounds if key != "minimum" or schema[key] != 0 or strict is True))
            return "float"
        self._leave(where, *bounds)
        return "negative" if schema.get("maximum", 0) < 0 else "number"

    def _string(self, schema: dict[str, Any], where: str) -> str | None:
        least, most = int(schema.get("minLength", 0)), schema.get("maxLength")
        most = None if most is None else int(most)
        if most is not None and least > most:
            return None
        form = None
        if "pattern" in schema:
            try:
                form = form_of_pattern(schema["pattern"])
                check_grammar(f"root ::= {form.gbnf}\n{COMMON_RULES}")
            except (UnsupportedPattern, InvalidRequestError):
                form = None
                self._leave(where, "pattern")
        if "format" in schema:
            named = FORMATS.get(schema["format"])
            if form or not named:
                self._leave(where, "format")
            form = form or named
        if form and (not form.repeated or max(form.least, least) > MAX_REPETITION):
            self._leave(where, *(["minLength"] if least > form.least else []))
            self._leave(where, *(["maxLength"] if most is not None and (form.most is None or most < form.most) else []))
            return self._rule(f'"\\"" {form.gbnf} "\\""')
        if form:
            least = max(least, form.least)
            most = form.most if most is None or (form.most is not None and form.most < most) else most
            if most is not None and least > most:
                return None
        if least > MAX_REPETITION:
            self._leave(where, "minLength")
            least = MAX_REPETITION
        if most is not None and most > MAX_REPETITION:
            self._leave(where, "maxLength")
            most = None
        unit = self._rule(form.repeated) if form and form.repeated else "character"
        if unit == "character" and (least, most) == (0, None):
            return "string"
        return self._rule(f'"\\"" {unit}{repetition(least, most)} "\\""')

    def _array(self, schema: dict[str, Any], where: str) -> str | None:
        items = schema.get("items", True)
        first, rest = (items, schema.get("additionalItems", True)) if isinstance(items, list) else ([], items)
        first = schema.get("prefixItems", first)
        least, most = int(schema.get("minItems", 0)), schema.get("maxItems")
        most = None if most is None else int(most)
        heads: list[str] = []
        rule: str | None = None
        for number, item in enumerate(first[: len(first) if most is None else most]):
            head = self._compile(item, f"{where}.prefixItems.{number}".strip("."))
            if head is None:
                break
            heads.append(head)
        else:
            if most is None or most > len(first):
                rule = self._compile(rest, f"{where}.items".strip("."))
        if rule is None:
            most = len(heads) if most is None else min(most, len(heads))
        if most is not None and least > most:
            return None
        if (least, most, heads, rule) == (0, None, [], "value"):
            return "array"
        return self._rule(f'"[" {self._items(heads, rule, least, most, where)} "]"')

    def _items(self, heads: list[str], rule: str | None, least: int, most: int | None, where: str) -> str:
        """What is between the brackets: items with a rule each at first, then all of one rule."""
        if rule and not heads:
            heads = [rule]
        low, high = max(least - len(heads), 0), None if most is None else most - len(heads)
        if low > MAX_REPETITION:
            self._leave(where, "minItems")
            low = MAX_REPETITION
        if high is not None and high > MAX_REPETITION:
            self._leave(where, "maxItems")
            high = None
        # What is repeated is a rule: of a group, llama.cpp allows only half as many repetitions.
        body = self._rule(f'"," sp {rule}') + repetition(low, high) if rule and high != 0 else ""
        for number, head in reversed([*enumerate(heads)]):
            body = f"{head} {body}" if number == 0 else self._rule(f'"," sp {head} {body}'.rstrip())
            if number >= least:
                body = f"({body.rstrip()})?"
        return body or '""'

    # --- objects ----------------------------------------------------------------------------------------------------

    def _object(self, schema: dict[str, Any], where: str) -> str | None:
        least, most = int(schema.get("minProperties", 0)), schema.get("maxProperties")
        most = None if most is None else int(most)
        if most is not None and least > most:
            return None
        declared: dict[str, Any] = schema.get("properties", {})
        patterns: dict[str, Any] = schema.get("patternProperties", {})
        extra = schema.get("additionalProperties", "properties" not in schema and not patterns)
        required = dict.fromkeys(schema.get("required", ()))
        if not declared and not patterns and not required and extra is not False:
            return self._map(schema, extra, least, most, where)
        members: list[tuple[str, str, bool]] = []
        for name in dict.fromkeys([*declared, *required]):
            path = f"{where}.properties.{name}".strip(".")
            # What is required but not declared may be anything, if nothing is said of such.
            value = self._compile(
                declared.get(name, True if patterns else schema.get("additionalProperties", True)), path
            )
            if value is None and name in required:
                return None
            if value is not None:
                members.append((as_json(name) + ":", f"sp {value}", name in required))
        if "propertyNames" in schema:
            self._leave(where, "propertyNames")
        parts = self._in_order(members, where)
        if others := self._undeclared([text for text, *_ in members], [*declared], patterns, extra, where):
            parts.append((f'{others} ("," sp {others})*', False))
        elif (least > len(members)) or (most is not None and most < sum(needed for *_, needed in members)):
            return None
        if least > sum(needed for *_, needed in members):
            self._leave(where, "minProperties")
        if most is not None and (others or most < len(members)):
            self._leave(where, "maxProperties")
        return self._rule(f'"{{" {self._members(parts)} "}}"')

    def _map(self, schema: dict[str, Any], extra: Any, least: int, most: int | None, where: str) -> str | None:
        """Make an object of any keys, or of those that `propertyNames` lets stand."""
        value = None if most == 0 else self._compile(extra, f"{where}.additionalProperties".strip("."))
        key: str | None = "string"
        if value and "propertyNames" in schema:
            key = self._compile({"allOf": [schema["propertyNames"], {"type": "string"}]}, f"{where}.propertyNames")
        if value is None or key is None:
            return self._rule('"{}"') if least == 0 else None
        if (key, value, least, most) == ("string", "value", 0, None):
            return "object"
        low = max(least - 1, 0)
        if low > MAX_REPETITION:
            self._leave(where, "minProperties")
        if most is not None and most > MAX_REPETITION:
            self._leave(where, "maxProperties")
        high = None if most is None or most > MAX_REPETITION else most - 1
        pair = self._rule(f'{key} ":" sp {value}')
        more = self._rule(f'"," sp {pair}') + repetition(min(low, MAX_REPETITION), high)
        body = f"{pair} {more}"
        return self._rule(f'"{{" {body} "}}"' if least else f'"{{" ({body})? "}}"')

    def _undeclared(
        self, members: list[str], declared: list[str], patterns: dict[str, Any], extra: Any, where: str
    ) -> str | None:
        """Make the pair of key and value that may stand beside those that are declared."""
        ways: list[str | None] = []
        for pattern, schema in patterns.items():
            key = self._string({"pattern": pattern}, f"{where}.patternProperties.{pattern}".strip("."))
            value = self._compile(schema, f"{where}.patternProperties.{pattern}".strip("."))
            ways.append(self._rule(f'{key} ":" sp {value}') if key and value else None)
        if patterns and extra is not False:
            self._leave(where, "patternProperties")
        if value := self._compile(extra, f"{where}.additionalProperties".strip(".")):
            names = [json.loads(text[:-1]) for text in members]
            key = self._rule(any_key_but([*names, *declared])) if members or declared else "string"
            ways.append(self._rule(f'{key} ":" sp {value}'))
        return self._one_of(ways)

    def _in_order(self, members: list[tuple[str, str, bool]], where: str) -> list[tuple[str, bool]]:
        """Give members as GBNF, with whether they must be there; where too many may be left out, all those as one."""
        parts: list[tuple[str, bool]] = []
        for needed, run in groupby(members, key=lambda member: member[2]):
            tails = {text: tail for text, tail, _ in run}
            if needed or len(tails) <= _MOST_OPTIONAL:
                parts += [(self._rule(f"{quoted(text)} {tail}"), needed) for text, tail in tails.items()]
            else:
                self._leave(where, "properties (in order, and once each)")
                any_of_them = self._rule(choice(tails))
                parts.append((f'{any_of_them} ("," sp {any_of_them})*', False))
        return parts

    def _members(self, parts: Sequence[tuple[str, bool]]) -> str:
        """What is between the braces. After a member, each rest of the list is a rule of its own."""
        rests = [""]
        for body, needed in reversed(parts[1:]):
            rest = f'"," sp {body}' if needed else f'("," sp {body})?'
            rests.append(self._rule(f"{rest} {rests[-1]}".rstrip()))
        ways: list[str] = []
        for (body, needed), rest in zip(parts, reversed(rests), strict=False):
            ways.append(f"{body} {rest}".rstrip())
            if needed:
                return f"({' | '.join(ways)})"
        return f"({' | '.join(ways)})?" if ways else '""'
