"""What `with_structured_output` is given as a schema, and what each kind of it means.

Owns which JSON Schema the model is held to, what LangChain's traces are told, and how a value of JSON becomes a result
or is refused.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_json_schema
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from typing_extensions import is_typeddict

from langchain_localmodels.errors import InvalidRequestError
from langchain_localmodels.schema_check import check_schema, fault_of
from langchain_localmodels.structured.forms import as_plain_json, check_references, in_new_form, resolve_top, top_types

_NAMELESS = "answer"
_LONGEST_NAME = 64
_MOST_FAULTS = 8
_ANY_OBJECT: Mapping[str, Any] = {"type": "object"}
_SCHEMA_KEYS = ("parameters", "schema", "input_schema")


class MismatchError(ValueError):
    """A value does not follow its schema.

    Args:
        faults: What is wrong, each with its place.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an answer is to be.

    Attributes:
        name: Name of the schema, such as a tool may have.
        schema: JSON Schema that the model is held to and told of.
        traced: JSON Schema for LangChain's traces: what `convert_to_json_schema` makes of it, where that knows the
            kind of schema.
        read: From a value of JSON to the result; raises `MismatchError` where it does not fit.
        output_type: Type of the result, as far as pydantic can say it.
        gives_dict: Whether the result is the value of JSON itself.
    """

    name: str
    schema: dict[str, Any]
    traced: dict[str, Any]
    read: Callable[[Any], Any]
    output_type: Any = dict[str, Any]
    gives_dict: bool = False

    @property
    def types(self) -> frozenset[str]:
        """Which types of JSON the answer may be of, such as `object`."""
        return top_types(self.schema)

    def as_tool(self, strict: bool | None) -> dict[str, Any]:
        """The schema as a function that the model calls with its answer, in OpenAI's form."""
        parameters = resolve_top(self.schema)
        description = parameters.pop("description", "")
        parameters.pop("title", None)
        function = {"name": self.name, "description": description, "parameters": {"type": "object", **parameters}}
        if strict is not None:
            function["strict"] = strict
        return {"type": "function", "function": function}


def wanted_from(schema: Any) -> Wanted:
    """Say what is meant by a schema.

    Args:
        schema: A pydantic class (also of `pydantic.v1`), a `TypedDict`, a JSON Schema in any of the forms that people
            have it in, a function or tool, or any other type that pydantic validates. `None` for any JSON object.

    Raises:
        InvalidRequestError: It is none of these, or it is wrong.
    """
    if schema is None:
        return _of_json_schema(dict(_ANY_OBJECT), "object", traced={"title": "object", **_ANY_OBJECT})
    if isinstance(schema, Mapping):
        return _of_dict(schema)
    if is_typeddict(schema):
        return _of_typed_dict(schema)
    if _is_pydantic_v1(schema):
        return _of_pydantic_v1(schema)
    if inspect.isroutine(schema) or isinstance(schema, BaseTool):
        # Pydantic would take a function, too, and call it in order to validate.
        converted = _converted(schema)
        if converted is None:
            raise InvalidRequestError(f"No JSON Schema can be made of the arguments of {schema!r:.200}.")
        return _of_json_schema(converted, str(converted["title"]), traced=converted)
    if isinstance(schema, str | bytes | int | float | list | tuple | set | BaseModel):
        raise InvalidRequestError(
            f"A schema is a type or a JSON Schema, not a value of type {type(schema).__name__}: {schema!r:.100}",
            hint="Give a pydantic class, a TypedDict, a JSON Schema as a dict, or a type such as list[Person].",
        )
    return _of_type(schema)


# --- JSON Schema ----------------------------------------------------------------------------------------------------


def _of_dict(given: Mapping[str, Any]) -> Wanted:
    schema = as_plain_json(given)
    traced = _converted(schema)
    for envelope in ("function", "json_schema"):
        if schema.get("type") == envelope and isinstance(schema.get(envelope), dict):
            schema = schema[envelope]
    name = schema.get("title")
    if _is_envelope(schema):
        name, description = schema["name"], schema.get("description")
        form = next((key for key in _SCHEMA_KEYS if isinstance(schema.get(key), dict)), None)
        # langchain-core knows this form by its name only, and would trace that alone.
        traced = None if form == "schema" else traced
        schema = schema[form] if form else {"type": "object", "properties": {}}
        if isinstance(description, str) and description:
            schema = {"description": description, **schema}
    return _of_json_schema(schema, name if isinstance(name, str) else _NAMELESS, traced=traced)


def _is_envelope(schema: Mapping[str, Any]) -> bool:
    """Whether this is no schema but has one in it, with a name, as OpenAI and Anthropic put functions and formats."""
    named = isinstance(schema.get("name"), str)
    return named and schema.get("type") in (None, "function") and not schema.keys() & {"properties", "anyOf", "$ref"}


def _of_json_schema(schema: dict[str, Any], name: str, *, traced: dict[str, Any] | None) -> Wanted:
    try:
        modern = in_new_form(schema)
        check_schema(modern)
        check_references(modern)
    except RecursionError as error:
        raise InvalidRequestError("The JSON Schema is nested too deeply.") from error

    def read(value: Any) -> Any:
        fault = fault_of(value, modern)
        if fault is not None:
            raise MismatchError([fault])
        return value

    name = _as_name(name)
    return Wanted(name, schema, traced or {"title": name, **schema}, read, _json_type(schema), gives_dict=True)


def _json_type(schema: dict[str, Any]) -> Any:
    return dict[str, Any] if top_types(schema) == {"object"} else Any


def _of_typed_dict(schema: Any) -> Wanted:
    traced = _converted(schema)
    try:
        made = _schema_of(TypeAdapter(schema))
    except (PydanticUserError, NameError, TypeError) as error:
        # Before Python 3.12 pydantic only takes the TypedDict of typing_extensions.
        if traced is None:
            raise _no_schema(schema, error) from error
        made = dict(traced)
        # Where a class says nothing of itself, core takes what Python says of `dict`.
        if made.get("description") == inspect.getdoc(dict):
            del made["description"]
    return _of_json_schema(made, schema.__name__, traced=traced)


def _converted(schema: Any) -> dict[str, Any] | None:
    """What langchain-core makes of a schema, as its standard tests want to see it; `None` where it cannot."""
    try:
        return convert_to_json_schema(schema)
    except (AttributeError, LookupError, NameError, RuntimeError, TypeError, ValueError):
        return None


def traceable(schema: dict[str, Any]) -> dict[str, Any]:
    """Put a schema in a form that arrives in traces as it is.

    langchain-core converts it once more on the way, which fails with some schemas and loses all of others.
    """
    if _converted(schema) == schema:
        return schema
    function = {"name": schema["title"], "parameters": dict(schema)}
    for key in ("title", "description"):
        function["parameters"].pop(key, None)
    if "description" in schema:
        function["description"] = schema["description"]
    return {"type": "function", "function": function}


# --- pydantic -------------------------------------------------------------------------------------------------------


def _of_type(schema: Any) -> Wanted:
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(schema)
        made = _schema_of(adapter)
    except (PydanticUserError, AttributeError, NameError, TypeError, ValueError) as error:
        raise _no_schema(schema, error) from error

    def read(value: Any) -> Any:
        try:
            # From JSON even strict models take dates, enums and tuples.
            return adapter.validate_json(_as_json(value))
        except ValidationError as error:
            raise MismatchError(_faults(error.errors(include_url=False, include_context=False))) from error

    is_model = inspect.isclass(schema) and issubclass(schema, BaseModel)
    name = _as_name(str(made.get("title") or getattr(schema, "__name__", None) or _NAMELESS))
    traced = (_converted(schema) if is_model else None) or {"title": name, **made}
    return Wanted(name, made, traced, read, schema)


def _no_schema(schema: Any, error: Exception) -> InvalidRequestError:
    return InvalidRequestError(
        f"No JSON Schema can be made of {schema!r:.200}: {str(error).partition(chr(10))[0]}",
        hint="Give a pydantic class, a TypedDict, a JSON Schema as a dict, or a type such as list[Person].",
    )


def _is_pydantic_v1(schema: Any) -> bool:
    # Known by its looks: importing `pydantic.v1` warns on Python 3.14, where it does not work.
    return (
        inspect.isclass(schema)
        and not issubclass(schema, BaseModel)
        and all(hasattr(schema, name) for name in ("parse_obj", "schema", "__fields__", "__config__"))
    )


def _of_pydantic_v1(schema: Any) -> Wanted:
    def read(value: Any) -> Any:
        try:
            return schema.parse_obj(value)
        except ValueError as error:
            errors = getattr(error, "errors", None)
            if not callable(errors):
                raise
            raise MismatchError(_faults(errors())) from error

    try:
        made = as_plain_json(schema.schema())
    except (LookupError, TypeError, ValueError) as error:
        raise _no_schema(schema, error) from error
    name = _as_name(str(made.get("title") or schema.__name__))
    return Wanted(name, made, _converted(schema) or made, read, Any)


def _as_json(value: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError) as error:
        raise MismatchError([f"it is no JSON: {error}"]) from error


def _faults(errors: Iterable[Any]) -> list[str]:
    faults = []
    for error in errors:
        place = ".".join(map(str, error["loc"]))
        given = f" (given: {error['input']!r:.80})" if "input" in error and error.get("type") != "missing" else ""
        faults.append(f"{place}: {error['msg']}{given}" if place else f"{error['msg']}{given}")
    return faults[:_MOST_FAULTS]


class _JsonSchema(GenerateJsonSchema):
    """Pydantic's JSON Schema without the titles that only repeat names, and with LangChain's notes in TypedDicts."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """No: each title would cost the model tokens, and say nothing."""
        return False

    def typed_dict_schema(self, schema: Any) -> JsonSchemaValue:
        """Add what `Annotated[type, default, "description"]` says, LangChain's way to describe a field."""
        made = super().typed_dict_schema(schema)
        cls = schema.get("cls")
        for name, note in _notes(cls).items() if cls is not None else ():
            if name in made["properties"]:
                made["properties"][name] = {**made["properties"][name], **note}
                if "default" in note and name in made.get("required", ()):
                    made["required"] = [each for each in made["required"] if each != name]
        return made


def _notes(cls: Any) -> dict[str, dict[str, Any]]:
    notes: dict[str, dict[str, Any]] = {}
    for name, given in get_type_hints(cls, include_extras=True).items():
        hint = given
        while _is_qualifier(hint):
            hint = get_args(hint)[0]
        extras = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
        note: dict[str, Any] = {}
        if extras and isinstance(extras[-1], str) and len(extras) <= 2:
            note["description"] = extras[-1]
        if len(extras) == 2 and note and extras[0] is not ... and _is_plain(extras[0]):
            note["default"] = extras[0]
        notes[name] = note
    return notes


def _is_qualifier(hint: Any) -> bool:
    return str(get_origin(hint)).rpartition(".")[2] in ("Required", "NotRequired", "ReadOnly")


def _is_plain(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True


def _schema_of(adapter: TypeAdapter[Any]) -> dict[str, Any]:
    return as_plain_json(adapter.json_schema(schema_generator=_JsonSchema))


def _as_name(text: str) -> str:
    """A name such as OpenAI's API and chat templates take for a function."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_")[:_LONGEST_NAME] or _NAMELESS
