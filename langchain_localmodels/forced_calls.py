"""How a call is forced on engines that cannot be held to a grammar.

There are two ways, each of which collects the answer before it gives any of it:

- where an engine holds answers to a JSON Schema, the answer is one call as a JSON object, and lifted out of it;
- where it holds them to nothing, the model is told to call, its call is checked, and it is asked once more.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from contextlib import aclosing, closing
from dataclasses import replace
from typing import Any, TypeAlias

from langchain_localmodels.dialects.instructions import add_to_system, explain_tools
from langchain_localmodels.dialects.notations.schemas import relocated
from langchain_localmodels.engines.base import (
    ChatRequest,
    Delta,
    DeltaStream,
    Engine,
    FinishDelta,
    InvalidToolCallDelta,
    JsonOutput,
    Text,
    TextDelta,
    Tool,
    ToolCall,
    ToolCallDelta,
    Turn,
    Usage,
)
from langchain_localmodels.errors import EngineError, StructuredOutputError
from langchain_localmodels.schema_check import fault_in

_AGAIN = "That was not a call that can be run: {fault} Call {which} now, and write nothing else."

Flow: TypeAlias = Generator[ChatRequest, "list[Delta]", "list[Delta]"]
"""Yields what to ask, is sent the whole answer to it, and returns what the user is given in the end."""


def lifted(request: ChatRequest) -> Flow:
    """Ask for one call as a JSON object, and make a tool call of it."""
    tools = request.callable_tools
    turns = add_to_system(explain_tools(request.turns, tools, _as_json), f"You must call {_which(tools)}.")
    settings = replace(request.settings, constraint=JsonOutput(call_schema(tools)), stop=())
    answer = yield replace(request, turns=turns, tools=(), tool_choice="none", settings=settings)
    finish = _finish_of(answer)
    text = "".join(delta.text for delta in answer if isinstance(delta, TextDelta))
    others = [
        TextDelta("", delta.logprobs) if isinstance(delta, TextDelta) else delta
        for delta in answer[:-1]
        if not isinstance(delta, TextDelta) or delta.logprobs
    ]
    call = _call_in(text, tools)
    reason = "tool_calls" if finish.reason == "stop" else finish.reason
    return [*others, call, replace(finish, reason=reason)]


def _call_in(text: str, tools: Sequence[Tool]) -> ToolCallDelta | InvalidToolCallDelta:
    try:
        value = json.loads(text)
        name, arguments = value["name"], value["arguments"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        return InvalidToolCallDelta(text, f"The call is not whole: {type(error).__name__}: {error}", None)
    if name not in {tool.name for tool in tools} or not isinstance(arguments, dict):
        return InvalidToolCallDelta(text, "The call names no tool that was given.", None)
    return ToolCallDelta(0, f"call_{uuid.uuid4().hex}", name, json.dumps(arguments, ensure_ascii=False))


def insisted(request: ChatRequest) -> Flow:
    """Tell the model to call, and if it does not, what was wrong. An answer that is cut off is given as it is.

    Raises:
        StructuredOutputError: It does not the second time either.
    """
    tools = request.callable_tools
    which = _which(tools)
    turns = add_to_system(request.turns, f"You must call {which}.")
    settings = replace(request.settings, constraint=None)
    asked = replace(request, turns=turns, tools=tools, tool_choice="auto", settings=settings)
    answer = yield asked
    first = _finish_of(answer)
    fault = _fault_of(answer, tools)
    if fault is None or first.reason == "length":
        return answer
    said = Turn("assistant", (Text(_written(answer)),))
    complaint = Turn("user", (Text(_AGAIN.format(fault=fault, which=which)),))
    again = yield replace(asked, turns=(*turns, said, complaint))
    last = _finish_of(again)
    fault = _fault_of(again, tools)
    if fault is not None and last.reason != "length":
        raise StructuredOutputError(
            f"The model was to call {which}, and did not in two tries: {fault}",
            llm_output=_written(again),
            finish_reason=last.reason,
            hint="A larger model may do it, or an engine that holds answers to a schema, such as llama.cpp.",
        )
    usage = Usage(
        first.usage.input_tokens + last.usage.input_tokens,
        first.usage.output_tokens + last.usage.output_tokens,
        first.usage.cache_read + last.usage.cache_read,
    )
    return [*again[:-1], replace(last, usage=usage)]


def _fault_of(answer: Sequence[Delta], tools: Sequence[Tool]) -> str | None:
    """What is wrong with the calls of an answer, in a sentence; `None` where nothing is."""
    schemas = {tool.name: tool.parameters for tool in tools}
    calls = _calls_of(answer)
    bad = next((delta for delta in answer if isinstance(delta, InvalidToolCallDelta)), None)
    if bad is not None:
        return bad.error
    if not calls:
        return "There was no call."
    for call in calls:
        if call.name not in schemas:
            return f"There is no tool {call.name!r}."
        if fault := fault_in(call.arguments or "{}", schemas[call.name]):
            return f"The arguments of {call.name} are wrong: {fault}"
    return None


def _calls_of(answer: Sequence[Delta]) -> list[ToolCall]:
    calls: dict[int, ToolCall] = {}
    for delta in answer:
        if isinstance(delta, ToolCallDelta):
            call = calls.get(delta.index) or ToolCall(delta.id or "", delta.name or "", "")
            calls[delta.index] = replace(call, arguments=call.arguments + delta.arguments)
    return [calls[index] for index in sorted(calls)]


def _written(answer: Sequence[Delta]) -> str:
    text = "".join(delta.text for delta in answer if isinstance(delta, TextDelta))
    said = [text] if text else []
    said += [delta.raw for delta in answer if isinstance(delta, InvalidToolCallDelta)]
    said += [_as_json([call]) for call in _calls_of(answer)]
    return "\n".join(said)


def _which(tools: Sequence[Tool]) -> str:
    return f"the tool {tools[0].name}" if len(tools) == 1 else "one of the tools"


def _as_json(calls: Sequence[ToolCall]) -> str:
    return "\n".join(f'{{"name": {json.dumps(call.name)}, "arguments": {call.arguments}}}' for call in calls)


def _finish_of(answer: Sequence[Delta]) -> FinishDelta:
    if answer and isinstance(answer[-1], FinishDelta):
        return answer[-1]
    raise EngineError("The answer broke off: its end never came.")


def call_schema(tools: Sequence[Tool]) -> dict[str, Any]:
    """The JSON Schema of one call of any of these tools."""
    if len(tools) == 1:
        return _one_call(tools[0], "#/properties/arguments")
    return {"anyOf": [_one_call(tool, f"#/anyOf/{n}/properties/arguments") for n, tool in enumerate(tools)]}


def _one_call(tool: Tool, place: str) -> dict[str, Any]:
    arguments = {"type": "object", **relocated(dict(tool.parameters), place)}
    properties = {"name": {"type": "string", "const": tool.name}, "arguments": arguments}
    return {
        "type": "object",
        "properties": properties,
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


# --- the two drivers ------------------------------------------------------------------------------------------------


class FlowStream:
    """The answer that comes of several requests, one after the other. A `DeltaStream`.

    Args:
        engine: Whom to ask.
        flow: What to ask, and what to make of it.
    """

    def __init__(self, engine: Engine, flow: Flow) -> None:
        self._engine = engine
        self._flow = flow
        self._stream: DeltaStream | None = None
        self._closed = False

    def __iter__(self) -> Iterator[Delta]:
        """Read from a thread."""
        request: ChatRequest | None = next(self._flow)
        while request is not None and not self._closed:
            with closing(self._ask(request)) as stream:
                answer = list(stream)
            request, result = self._go_on(answer)
            yield from result

    async def __aiter__(self) -> AsyncIterator[Delta]:
        """Read from a task."""
        request: ChatRequest | None = next(self._flow)
        while request is not None and not self._closed:
            async with aclosing(self._ask(request)) as stream:
                answer = [delta async for delta in stream]
            request, result = self._go_on(answer)
            for delta in result:
                yield delta

    def close(self) -> None:
        """Stop the request that is under way, and ask no more."""
        self._closed = True
        if self._stream is not None:
            self._stream.close()

    async def aclose(self) -> None:
        """The same, from a task."""
        self._closed = True
        if self._stream is not None:
            await self._stream.aclose()

    def _ask(self, request: ChatRequest) -> DeltaStream:
        stream = self._stream = self._engine.chat(request)
        if self._closed:  # By another thread, which found no stream to close.
            stream.close()
        return stream

    def _go_on(self, answer: list[Delta]) -> tuple[ChatRequest | None, list[Delta]]:
        if self._closed:
            return None, []
        try:
            return self._flow.send(answer), []
        except StopIteration as end:
            return None, end.value
