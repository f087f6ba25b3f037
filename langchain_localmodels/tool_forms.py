"""Tools in OpenAI's form, from all that users give as tools: langchain-core's conversion, mended where it loses a part.

Not with core's `strict`, which makes every parameter a required one: OpenAI needs that, and nobody else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel

from langchain_localmodels.errors import InvalidRequestError


def as_openai(tools: Iterable[Any]) -> list[dict[str, Any]]:
    """Give tools as dicts in OpenAI's form.

    Args:
        tools: Functions, pydantic classes, LangChain tools, or dicts.

    Raises:
        InvalidRequestError: One is none of these.
    """
    try:
        return [_converted(tool) for tool in tools]
    except (AttributeError, LookupError, NameError, RuntimeError, TypeError, ValueError) as error:
        raise InvalidRequestError(
            f"No tool can be made of what was given: {' '.join(str(error).split())[:300]}",
            hint="Give a list of functions, pydantic classes, LangChain tools, or dicts in OpenAI's form.",
        ) from error


def _converted(tool: Any) -> dict[str, Any]:
    made = convert_to_openai_tool(tool)
    if "{}" not in json.dumps(made.get("function"), default=str):
        return made
    # Where arguments refer to themselves, core leaves `{}`, which says nothing to the model, and holds it to nothing.
    arguments = tool.tool_call_schema if isinstance(tool, BaseTool) else tool
    if not (isinstance(arguments, type) and issubclass(arguments, BaseModel)):
        return made
    from langchain_localmodels.structured.schema import wanted_from

    try:
        parameters = wanted_from(arguments).as_tool(None)["function"]["parameters"]
    except InvalidRequestError:  # what core can make of it is better than nothing
        return made
    if not _is_recursive(parameters):
        return made
    return {**made, "function": {**made["function"], "parameters": parameters}}


def _is_recursive(schema: Mapping[str, Any]) -> bool:
    """Whether one of its definitions refers to itself, be it by way of others."""
    refers = {f"#/$defs/{name}": set(_references(part)) for name, part in schema.get("$defs", {}).items()}
    for start in refers:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            for ref in refers.get(waiting.pop(), set()) - seen:
                if ref == start:
                    return True
                seen.add(ref)
                waiting.append(ref)
    return False


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for part in value.values():
            yield from _references(part)
    elif isinstance(value, list):
        for part in value:
            yield from _references(part)
