"""Whether a JSON value follows a JSON Schema, in words that tell a user, or a model, what is wrong.

The check itself is the jsonschema library's. References are followed within the schema only: nothing is ever fetched.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING, Any

from langchain_localmodels.errors import InvalidRequestError

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

_MOST_CHARACTERS = 300


def fault_in(value: Any, schema: Mapping[str, Any]) -> str | None:
    """Say what is wrong with a value, in a sentence; `None` where it follows the schema.

    Args:
        value: A JSON value, or its text.
        schema: JSON Schema, of draft 2020-12 unless its `$schema` says otherwise.

    Raises:
        InvalidRequestError: The schema is not one, or refers to what is not in it.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            return f"It is not JSON: {error}."
    return fault_of(value, schema)


def fault_of(value: Any, schema: Mapping[str, Any] | bool) -> str | None:
    """The same for a value that is never JSON text, so that a string is a value like any other."""
    from jsonschema.exceptions import best_match
    from referencing.exceptions import Unresolvable

    try:
        error = best_match(_validator(json.dumps(schema)).iter_errors(value))
    except Unresolvable as missing:
        raise InvalidRequestError(f"The JSON Schema refers to {missing.ref!r}, which is not in it.") from missing
    except RecursionError as deep:
        raise InvalidRequestError("The JSON Schema, or the value, is nested too deeply.") from deep
    if error is None:
        return None
    where = error.json_path.removeprefix("$").removeprefix(".")
    return f"{where or 'the value'}: {error.message[:_MOST_CHARACTERS]}."


def check_schema(schema: Mapping[str, Any] | bool) -> None:
    """Make sure that something is a JSON Schema.

    Raises:
        InvalidRequestError: It is not.
    """
    _validator(json.dumps(schema))


@lru_cache(maxsize=64)
def _validator(schema: str) -> Validator:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import extend, validator_for
    from referencing import Registry

    parsed = json.loads(schema)
    kind = validator_for(parsed, default=Draft202012Validator)
    try:
        # What is no schema would break the check of a value with errors of all kinds.
        kind.check_schema(parsed)
    except SchemaError as error:
        where = ".".join(map(str, error.absolute_path)) or "its root"
        raise InvalidRequestError(f"That is no JSON Schema, at {where}: {error.message[:_MOST_CHARACTERS]}") from error
    # Its own default would fetch what a reference names from the network.
    extended = extend(kind, {"multipleOf": _multiple_of})
    made: Validator = extended(parsed, registry=Registry(), format_checker=kind.FORMAT_CHECKER)
    return made


def _multiple_of(validator: Validator, step: float, value: Any, schema: Any) -> Iterator[ValidationError]:
    """The library divides binary fractions, of which 19.99 is no multiple of 0.01."""
    from jsonschema.exceptions import ValidationError

    if not validator.is_type(value, "number"):
        return
    is_number = isinstance(value, int) or isfinite(value)
    if not is_number or (_exact(value) / _exact(step)).denominator != 1:
        yield ValidationError(f"{value!r} is not a multiple of {step}")


def _exact(number: float) -> Fraction:
    return Fraction(number if isinstance(number, int) else repr(number))
