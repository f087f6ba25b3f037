"""JSON Schema as a grammar in GBNF, for engines that hold an answer to a grammar.

What a grammar cannot say is left to validation afterwards, and told. How strings, literals and integers are written is
in `json_strings.py` and `json_literals.py`; what several schemas mean together in `json_conjunction.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from langchain_localmodels.dialects.gbnf import check_grammar
from langchain_localmodels.dialects.json_conjunction import COMBINING, conjunction
from langchain_localmodels.dialects.json_keywords import CONSTRAINTS, NEVER_ENFORCED, TYPES, checked, is_integral
from langchain_localmodels.dialects.json_literals import as_json, choice
from langchain_localmodels.dialects.json_pointer import pointed_at
from langchain_localmodels.dialects.json_types import COMMON_RULES, TypeRules
from langchain_localmodels.errors import InvalidRequestError

MAX_SCHEMA_LENGTH = 500_000
"""Longest schema, in characters of JSON."""
MAX_SCHEMA_DEPTH = 60
"""Deepest nesting of schemas within schemas."""
_MOST_CHOICES = 64
"""Alternatives that several `anyOf` beside one another may multiply to."""
_MOST_ROUNDS = 10


@dataclass(frozen=True, slots=True)
class SchemaGrammar:
    """A schema as a grammar.

    Attributes:
        gbnf: The grammar; its start rule is `root`.
        unenforced: Paths of what the grammar does not hold the answer to, such as `properties.age.multipleOf`.
    """

    gbnf: str
    unenforced: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SchemaRules:
    """A schema as a part of a larger grammar, which also holds `COMMON_RULES`.

    Attributes:
        item: What stands for a value.
        rules: Name to body of the rules that it needs.
        unenforced: As in `SchemaGrammar`.
    """

    item: str
    rules: Mapping[str, str]
    unenforced: tuple[str, ...]


def schema_grammar(schema: Mapping[str, Any] | bool) -> SchemaGrammar:
    """Give the grammar of the JSON values that a schema allows.

    Each allowed value can be written in one spelling at least: keys in the order in which the schema declares them,
    white space nowhere but one blank after a colon or comma, integers without exponent and with at most 18 digits.
    In three points a schema is read as its author will have meant it, not to the letter: properties that are not
    declared are forbidden where some are (also by an empty `properties`) and `additionalProperties` is missing; a
    schema without `type` is about the types that its keywords are about; a schema of no keywords at all allows all.

    Args:
        schema: JSON Schema (2020-12, or the older drafts' `definitions` and lists in `items`; `nullable` of OpenAPI).
            References stay within it.

    Raises:
        InvalidRequestError: It is no JSON Schema, refers to what is not there, allows no value, or is too large.
    """
    return _grammar_of(_text_of(schema))


def schema_rules(schema: Mapping[str, Any] | bool, *, prefix: str) -> SchemaRules:
    """Give the rules of a schema as `schema_grammar` has them, for a grammar that says more.

    Args:
        schema: JSON Schema.
        prefix: Beginning of the names of its rules.

    Raises:
        InvalidRequestError: As in `schema_grammar`, but for its size as a grammar, which is to be checked as a whole.
    """
    return _rules_of(_text_of(schema), prefix)


def _text_of(schema: Mapping[str, Any] | bool) -> str:
    if not isinstance(schema, Mapping | bool):
        raise InvalidRequestError(f"A JSON Schema is an object or a boolean, not {type(schema).__name__}.")
    try:
        text = json.dumps(schema, default=_plain, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"The JSON Schema cannot be written as JSON: {str(error)[:200]}") from error
    if len(text) > MAX_SCHEMA_LENGTH:
        raise InvalidRequestError(f"The JSON Schema has {len(text)} characters; {MAX_SCHEMA_LENGTH} are allowed.")
    return text


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


@lru_cache(maxsize=64)
def _grammar_of(text: str) -> SchemaGrammar:
    found = _rules_of(text, "r")
    rules = "".join(f"{name} ::= {body}\n" for name, body in found.rules.items())
    gbnf = f"root ::= {found.item}\n{rules}{COMMON_RULES}"
    try:
        check_grammar(gbnf)
    except InvalidRequestError as error:
        what = "refers to itself with nothing between" if "begin with itself" in error.message else "is too large"
        raise InvalidRequestError(
            f"The JSON Schema {what}. As a grammar: {error.message}", hint="Split it, or leave out limits and choices."
        ) from error
    return SchemaGrammar(gbnf, found.unenforced)


@lru_cache(maxsize=256)
def _rules_of(text: str, prefix: str) -> SchemaRules:
    try:
        compiler, root = _compiled(json.loads(text), prefix)
    except RecursionError as error:
        raise InvalidRequestError("The JSON Schema is nested too deeply.") from error
    if root is None:
        raise InvalidRequestError("The JSON Schema allows no value: what it asks for contradicts itself.")
    return SchemaRules(root, compiler.rules, tuple(compiler.unenforced))


def _compiled(schema: Any, prefix: str) -> tuple[_Compiler, str | None]:
    impossible: set[str] = set()
    compiler, root = _Compiler(schema, impossible, prefix), None
    for _ in range(_MOST_ROUNDS):
        compiler = _Compiler(schema, impossible, prefix)
        root = compiler.run()
        if compiler.impossible == impossible:
            break
        # What a reference leads to is compiled after it is used; where that is impossible, what uses it changes.
        impossible = compiler.impossible
    return compiler, root


class _Compiler(TypeRules):
    """Turns one schema into rules. Methods give an item of GBNF, or `None` where no value is allowed."""

    def __init__(self, root: Any, impossible: set[str], prefix: str) -> None:
        self._root = root
        self._prefix = prefix
        self._known_impossible = impossible
        self.impossible = set(impossible)
        self.rules: dict[str, str] = {}
        self.unenforced: dict[str, None] = {}
        self._names: dict[str, str] = {}
        self._waiting: list[tuple[str, str, Callable[[], str | None]]] = []
        self._depth = 0

    def run(self) -> str | None:
        root = self._compile(self._root, "")
        while self._waiting:
            name, key, body = self._waiting.pop()
            found = body()
            if found is None:
                self.impossible.add(key)
            self.rules[name] = found or "[]"
            if len(self.rules) > 8_000:
                raise InvalidRequestError("The JSON Schema is too large: more than 8000 rules of grammar.")
        return root

    def _leave(self, where: str, *keywords: str) -> None:
        for keyword in keywords:
            self.unenforced.setdefault(f"{where}.{keyword}".strip("."))

    def _rule(self, body: str) -> str:
        name = self._names.setdefault(body, f"{self._prefix}{len(self._names)}")
        self.rules[name] = body
        return name

    def _later(self, key: str, body: Callable[[], str | None]) -> str | None:
        """Name what is compiled once all that is open is done, so that it may refer to itself."""
        if key in self._known_impossible:
            return None
        if key not in self._names:
            self._names[key] = f"{self._prefix}{len(self._names)}"
            self._waiting.append((self._names[key], key, body))
        return self._names[key]

    # --- what kind of schema ----------------------------------------------------------------------------------------

    def _compile(self, schema: Any, where: str) -> str | None:
        schema = checked(schema, where)
        if isinstance(schema, bool):
            return "value" if schema else None
        self._depth += 1
        if self._depth > MAX_SCHEMA_DEPTH:
            raise InvalidRequestError(f"The JSON Schema is nested deeper than {MAX_SCHEMA_DEPTH}, at {where:.200}.")
        try:
            return self._of_any_kind(schema, where)
        finally:
            self._depth -= 1

    def _of_any_kind(self, schema: dict[str, Any], where: str) -> str | None:
        if schema.get("nullable") is True:
            rest = self._compile({key: value for key, value in schema.items() if key != "nullable"}, where)
            return self._rule(f'{rest} | "null"') if rest else '"null"'
        combining = schema.keys() & COMBINING
        beside = schema.keys() & CONSTRAINTS
        if combining == {"$ref"} and not beside:
            ref = schema["$ref"]
            target = self._resolve(ref, where)
            return self._later(f"ref {ref}", lambda: self._compile(target, _path(ref)))
        if combining in ({"anyOf"}, {"oneOf"}) and not beside:
            (keyword,) = combining
            if keyword == "oneOf" and not self._excludes(schema, where):
                self._leave(where, "oneOf")
            return self._alternatives(schema[keyword], f"{where}.{keyword}".strip("."))
        if combining:
            return self._later(f"all {json.dumps(schema)}", lambda: self._together(schema, where))
        return self._plain_schema(schema, where)

    def _alternatives(self, members: Iterable[Any], where: str) -> str | None:
        return self._one_of(self._compile(member, f"{where}.{number}") for number, member in enumerate(members))

    def _one_of(self, ways: Iterable[str | None]) -> str | None:
        found = list(dict.fromkeys(way for way in ways if way is not None))
        if "value" in found:
            return "value"
        return None if not found else found[0] if len(found) == 1 else self._rule(" | ".join(found))

    def _together(self, schema: dict[str, Any], where: str) -> str | None:
        found = conjunction(schema, where, self._resolve, checked)
        self._leave("", *found.left_out)
        if found.schema is None:
            return None
        if not found.choices:
            return self._compile(found.schema, where)
        if "oneOf" in schema:
            self._leave(where, "oneOf")
        kept, product = found.choices[:1], len(found.choices[0])
        for members in found.choices[1:]:
            product *= len(members)
            if product <= _MOST_CHOICES:
                kept.append(members)
            else:
                self._leave(where, "anyOf")
        merged, others = found.schema, [{"anyOf": members} for members in kept[1:]]
        return self._one_of(self._compile({"allOf": [merged, member, *others]}, where) for member in kept[0])

    def _resolve(self, ref: str, where: str) -> Any:
        target = pointed_at(ref, self._root)
        if target is None:
            raise InvalidRequestError(
                f"The JSON Schema refers to {ref!r} at {where or 'its root'}, which is not in it.",
                hint="Only references within the schema are followed, such as '#/$defs/Name'.",
            )
        return target

    def _excludes(self, schema: dict[str, Any], where: str) -> bool:
        """Whether at most one alternative of a `oneOf` can hold: they differ in type, or a `discriminator` says so."""
        if "discriminator" in schema:
            return True
        seen: set[str] = set()
        for member in schema["oneOf"]:
            target = checked(member, where)
            if isinstance(target, dict) and "$ref" in target:
                target = self._resolve(target["$ref"], where)
            names = target.get("type") if isinstance(target, dict) else None
            names = {names} if isinstance(names, str) else set(names) if isinstance(names, list) else set()
            if not names or names & seen:
                return False
            seen |= names | ({"number", "integer"} if names & {"number", "integer"} else set())
        return True

    def _plain_schema(self, schema: dict[str, Any], where: str) -> str | None:
        self._leave(where, *(key for key, applies in NEVER_ENFORCED.items() if key in schema and applies(schema)))
        types = schema.get("type")
        types = [types] if isinstance(types, str) else types
        if "const" in schema or "enum" in schema:
            return self._literals(schema, types, where)
        if types is None:
            types = [name for name, keywords in TYPES.items() if schema.keys() & keywords]
        if not types:
            return "value"
        if "number" in types:
            types = [name for name in types if name != "integer"]
        makers: dict[str, Callable[[dict[str, Any], str], str | None]] = {
            "object": self._object,
            "array": self._array,
            "string": self._string,
            "number": self._number,
            "integer": self._integer,
        }
        constants = {"boolean": '("true" | "false")', "null": '"null"'}
        return self._one_of(constants.get(name) or makers[name](schema, where) for name in types)

    def _literals(self, schema: dict[str, Any], types: Sequence[str] | None, where: str) -> str | None:
        texts = {as_json(value): _types_of(value) for value in schema.get("enum", [schema.get("const")])}
        if "const" in schema:
            only = as_json(schema["const"])
            texts = {only: _types_of(schema["const"])} if only in texts or "enum" not in schema else {}
        self._leave(where, *sorted(schema.keys() & CONSTRAINTS - {"const", "enum", "type"} - NEVER_ENFORCED.keys()))
        allowed = [text for text, kinds in texts.items() if types is None or kinds & set(types)]
        return self._rule(choice(dict.fromkeys(allowed, ""))) if allowed else None


def _types_of(value: Any) -> set[str]:
    if isinstance(value, bool):
        return {"boolean"}
    if isinstance(value, int | float):
        return {"number", "integer"} if is_integral(value) else {"number"}
    kinds: dict[type, str] = {str: "string", list: "array", dict: "object"}
    return {kinds.get(type(value), "null")}


def _path(ref: str) -> str:
    return unquote(ref[2:]).replace("/", ".")
