"""`tool_choice`: what users may say, and who sees to it that an engine keeps to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_localmodels.engines.base import ChatRequest, DeltaStream, Engine, Grammar, JsonOutput, ToolChoice
from langchain_localmodels.errors import InvalidRequestError, UnsupportedFeatureError

_FORCES_ANY = ("any", "required")
WORDS = frozenset({"auto", "none", *_FORCES_ANY})
"""What is never taken for the name of a tool."""


def read_tool_choice(choice: object, names: Sequence[str]) -> ToolChoice:
    """Bring what users say to the contract's words.

    Args:
        choice: `None`, `"auto"`, `"none"`, `"any"`, `"required"`, a bool, a tool's name, or a dict of OpenAI's or
            Anthropic's form.
        names: Names of the tools that were given.

    Raises:
        InvalidRequestError: It says something else, or a call is to be forced and there is no such tool.
    """
    if isinstance(choice, Mapping):
        choice = _from_dict(choice, names)
    if choice is None or choice is False or choice == "auto":
        return "auto"
    if choice == "none":
        return "none"
    if choice is True or choice in _FORCES_ANY:
        if not names:
            raise InvalidRequestError(
                f"tool_choice={choice!r} forces a call, and there are no tools.", hint="Give some with `bind_tools`."
            )
        return "any"
    if choice in names:
        return str(choice)
    import difflib

    near = difflib.get_close_matches(str(choice), names, n=1)
    guess = f"Did you mean {near[0]!r}? " if near else ""
    raise InvalidRequestError(
        f"tool_choice={choice!r} is not the name of a tool that was given.",
        hint=f'{guess}It may be "auto", "any", "none", or one of: {", ".join(names) or "(there are no tools)"}.',
    )


def _from_dict(choice: Mapping[str, Any], names: Sequence[str]) -> object:
    function = choice.get("function")
    name = function.get("name") if isinstance(function, Mapping) else choice.get("name")
    if isinstance(name, str) and choice.get("type", "function") in ("function", "tool"):
        if name not in WORDS:
            return name
        if list(names) == [name]:
            return "any"
        raise InvalidRequestError(
            f"tool_choice={dict(choice)!r} names a tool, but {name!r} says something else here.",
            hint="Give the tool another name.",
        )
    kind = choice.get("type")
    if kind in WORDS and name is None:
        return kind
    raise InvalidRequestError(
        f"tool_choice={dict(choice)!r} cannot be read.",
        hint='It may be {"type": "function", "function": {"name": "the tool\'s name"}}, or just the name.',
    )


def chat(engine: Engine, request: ChatRequest) -> DeltaStream:
    """Begin to answer a conversation, as `Engine.chat` does, on an engine that may not know how to force a call.

    A forced call comes before a format that the answer would have without it. Where an engine can be held to nothing,
    calls and JSON are asked for in the prompt, and checked.

    Raises:
        InvalidRequestError: There is a grammar beside a call that is forced.
        UnsupportedFeatureError: There is a grammar, and the engine cannot be held to it.
    """
    constraint = request.settings.constraint
    if not request.must_call and constraint is None:
        return engine.chat(request)
    constrain = engine.capabilities().constrain
    if not request.must_call:
        if constrain != "none":
            return engine.chat(request)
        if isinstance(constraint, JsonOutput):
            from langchain_localmodels.asked_output import AskedStream

            return AskedStream(engine, request, constraint)
        raise UnsupportedFeatureError(
            "This engine cannot hold an answer to a grammar.", hint="LlamaCpp and ChatLlamaCpp can."
        )
    if constrain == "grammar":
        return engine.chat(request)
    if isinstance(constraint, Grammar):
        raise InvalidRequestError(
            f"`grammar` and tool_choice={request.tool_choice!r} both say what the answer is.", hint="Give one of them."
        )
    from langchain_localmodels.forced_calls import FlowStream, insisted, lifted

    return FlowStream(engine, lifted(request) if constrain == "schema" else insisted(request))
