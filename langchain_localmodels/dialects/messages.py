"""From LangChain's messages and tools to the contract's turns and tools.

Owns what each kind of message means; what the blocks inside of it mean is left to `content.py`. The only module of the
dialects that knows LangChain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_localmodels.dialects.content import Content, json_text, read_content
from langchain_localmodels.engines.base import Role, Text, Tool, ToolCall, Turn
from langchain_localmodels.errors import InvalidRequestError

_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
}


def to_turns(messages: Sequence[BaseMessage]) -> tuple[Turn, ...]:
    """Turn a conversation of LangChain messages into the contract's turns.

    Args:
        messages: The conversation. Blocks of one message are joined as they are, with nothing between.

    Raises:
        UnsupportedContentError: A message holds content that local models do not take.
        InvalidRequestError: A message is of a kind or role that says nothing to a model, or is malformed.
    """
    turns: list[Turn] = []
    names: dict[str, str] = {}
    for message in messages:
        for turn in _turns_of(message, turns):
            named = replace(turn, name=names.get(turn.tool_call_id or "")) if _nameless_result(turn) else turn
            names.update({call.id: call.name for call in named.tool_calls})
            turns.append(named)
    return tuple(turns)


def to_tools(tools: Sequence[Mapping[str, Any]]) -> tuple[Tool, ...]:
    """Turn tools in OpenAI's form, as `bind_tools` makes them, into the contract's.

    A function without its wrapping, and Anthropic's form, are understood too.

    Raises:
        InvalidRequestError: One of them has no name, or its parameters are not a schema.
    """
    return tuple(_tool(tool) for tool in tools)


def _nameless_result(turn: Turn) -> bool:
    return turn.role == "tool" and not turn.name


def _turns_of(message: BaseMessage, earlier: Sequence[Turn]) -> list[Turn]:
    role = _role(message)
    content = read_content(message.content, role)
    if role == "assistant":
        return [_assistant(message, content)]
    parts = tuple(content.parts)
    if role == "tool":
        return [_result(message, Turn("tool", parts, name=message.name), earlier)]
    # Anthropic's users hand over the results of tools before they speak.
    said = [Turn(role, parts, name=message.name)] if parts or not content.results else []
    return [*content.results, *said]


def _role(message: BaseMessage) -> Role:
    for kind, role in _KINDS.items():
        if isinstance(message, kind):
            return role
    if isinstance(message, ChatMessage) and message.role.lower() in _ROLES:
        return _ROLES[message.role.lower()]
    what = f"role {message.role!r}" if isinstance(message, ChatMessage) else f"type {type(message).__name__}"
    raise InvalidRequestError(
        f"A message of {what} cannot be given to a model.",
        hint="Roles are system, user (human), assistant (ai) and tool; remove other messages first.",
    )


_KINDS: dict[type[BaseMessage], Role] = {
    SystemMessage: "system",
    HumanMessage: "user",
    AIMessage: "assistant",
    ToolMessage: "tool",
    FunctionMessage: "tool",
}


def _assistant(message: BaseMessage, content: Content) -> Turn:
    calls: list[ToolCall] = []
    extra: list[Text] = []
    if isinstance(message, AIMessage):
        calls += [ToolCall(call["id"] or "", call["name"], json_text(call["args"])) for call in message.tool_calls]
        for bad in message.invalid_tool_calls:
            # What the model wrote stays to be seen, so that it can do better after the complaint that follows.
            if bad["name"]:
                calls.append(ToolCall(bad["id"] or "", bad["name"], bad["args"] or ""))
            elif bad["args"]:
                extra.append(Text(bad["args"]))
    if isinstance(old := message.additional_kwargs.get("function_call"), Mapping) and not calls:
        calls.append(ToolCall("", str(old.get("name") or ""), json_text(old.get("arguments"))))
    # Other providers write their calls into the content, mostly the same ones once more.
    known = {key for call in calls for key in (call.id, call.name)}
    for call in content.calls:
        if call.name and (call.id or call.name) not in known:
            calls.append(call)
        elif not call.name and not extra:
            extra.append(Text(call.arguments))
    thought = message.additional_kwargs.get("reasoning_content")
    reasoning = "".join(content.reasoning) or (thought if isinstance(thought, str) else "")
    return Turn("assistant", (*content.parts, *extra), name=message.name, reasoning=reasoning, tool_calls=tuple(calls))


def _result(message: BaseMessage, turn: Turn, earlier: Sequence[Turn]) -> Turn:
    if isinstance(message, ToolMessage):
        return replace(turn, tool_call_id=message.tool_call_id, is_error=message.status == "error")
    # The messages before there were ids answer the last call of that name.
    calls = (call for other in reversed(earlier) for call in reversed(other.tool_calls))
    return replace(turn, tool_call_id=next((call.id for call in calls if call.name == message.name), None))


def _tool(tool: Mapping[str, Any]) -> Tool:
    function = tool.get("function", tool)
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str) or not name:
        raise InvalidRequestError(
            f"A tool has no name: {str(dict(tool))[:200]}.",
            hint='Use `bind_tools`, or give {"type": "function", "function": {"name": …, "parameters": …}}.',
        )
    parameters = function.get("parameters", function.get("input_schema"))
    if parameters is None:
        parameters = {"type": "object", "properties": {}}
    if not isinstance(parameters, Mapping):
        raise InvalidRequestError(f"The parameters of the tool {name!r} are not a JSON Schema.")
    return Tool(name, str(function.get("description") or ""), parameters)
