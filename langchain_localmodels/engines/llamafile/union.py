"""Tools and a form for the answer at once, on servers that take one of them: the answer is a call or fits the form.

llama.cpp's server lets the form win, says nothing, and no tool is ever called. So the model is told of the tools in the
system turn, both possibilities make one schema, and a call is lifted out of what the model writes.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from langchain_localmodels.dialects.instructions import explain_tools
from langchain_localmodels.dialects.notations.schemas import relocated
from langchain_localmodels.engines.base import (
    ChatRequest,
    Delta,
    FinishDelta,
    InvalidToolCallDelta,
    JsonOutput,
    TextDelta,
    Tool,
    ToolCall,
    ToolCallDelta,
)
from langchain_localmodels.engines.llamafile.answers import AnswerReader

_KEY = "tool_call"
_MARK = f'{{"{_KEY}"'
_ANY = {"type": ["object", "array", "string", "number", "integer", "boolean", "null"]}


def is_needed(request: ChatRequest) -> bool:
    """Whether a request wants both."""
    return bool(request.tools) and request.tool_choice == "auto" and isinstance(request.settings.constraint, JsonOutput)


def united(request: ChatRequest) -> ChatRequest:
    """The request for a call or an object, in the form of one schema, without tools."""
    output = request.settings.constraint
    form = dict(output.schema) if isinstance(output, JsonOutput) and output.schema is not None else _ANY
    calls = [_call(tool, f"#/anyOf/{place}") for place, tool in enumerate(request.tools)]
    schema = {"anyOf": [*calls, relocated(form, f"#/anyOf/{len(calls)}")]}
    settings = replace(request.settings, constraint=JsonOutput(schema))
    turns = explain_tools(request.turns, request.tools, _written)
    return replace(request, turns=turns, tools=(), tool_choice="none", settings=settings)


def _call(tool: Tool, place: str) -> dict[str, Any]:
    parameters = relocated(dict(tool.parameters), f"{place}/properties/{_KEY}/properties/arguments")
    inner = {"name": {"type": "string", "const": tool.name}, "arguments": {"type": "object", **parameters}}
    return _closed({_KEY: _closed(inner)})


def _closed(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _written(calls: Sequence[ToolCall]) -> str:
    return "\n".join(f'{_MARK}: {{"name": {json.dumps(call.name)}, "arguments": {call.arguments}}}}}' for call in calls)


class UnionReader:
    """Reads an answer that is a call or an object; holds text back as long as it may be either.

    Args:
        reader: What reads the server's answer.
        tools: What may be called.
    """

    def __init__(self, reader: AnswerReader, tools: Sequence[Tool]) -> None:
        self._reader = reader
        self._names = {tool.name for tool in tools}
        self._held: list[TextDelta] = []
        self._is_call: bool | None = None

    @property
    def done(self) -> bool:
        """Whether the answer has ended."""
        return self._reader.done

    def feed(self, data: bytes) -> Iterator[Delta]:
        """Take the next bytes; see `AnswerReader.feed`."""
        for delta in self._reader.feed(data):
            yield from self._sift(delta)

    def finish(self) -> Iterator[Delta]:
        """Hear that there are no more; see `AnswerReader.finish`."""
        for delta in self._reader.finish():
            yield from self._sift(delta)

    def _sift(self, delta: Delta) -> Iterator[Delta]:
        if isinstance(delta, TextDelta) and self._is_call is not False:
            self._held.append(delta)
            if self._decides_for_text():
                yield from self._held
            return
        if not isinstance(delta, FinishDelta):
            yield delta
            return
        if not self._is_call:
            if self._is_call is None:
                yield from self._held
            yield delta
            return
        for held in self._held:
            if held.logprobs:
                yield TextDelta("", held.logprobs)
        yield self._lifted("".join(held.text for held in self._held))
        yield replace(delta, reason="tool_calls") if delta.reason == "stop" else delta

    def _decides_for_text(self) -> bool:
        if self._is_call is None:
            beginning = re.sub(r"\s", "", "".join(held.text for held in self._held))
            if beginning.startswith(_MARK):
                self._is_call = True
            elif not _MARK.startswith(beginning):
                self._is_call = False
        return self._is_call is False

    def _lifted(self, text: str) -> Delta:
        try:
            call = json.loads(text)[_KEY]
            name, arguments = call["name"], call["arguments"]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            return InvalidToolCallDelta(text, f"The call is not whole: {type(error).__name__}: {error}")
        if name not in self._names or not isinstance(arguments, dict):
            return InvalidToolCallDelta(text, "The call names no tool that was given.")
        return ToolCallDelta(0, f"call_{uuid.uuid4().hex[:24]}", name, json.dumps(arguments, ensure_ascii=False))
