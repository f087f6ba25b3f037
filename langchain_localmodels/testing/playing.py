"""From an `Answer` to an engine's deltas: what a real engine would make of this answer, for this request. Pure.

Stop strings end the text, `max_tokens` cuts the answer, and tool calls come in pieces. A word counts as one token, and
so does each piece of a list.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from pydantic import BaseModel

from langchain_localmodels.dialects.stopping import StopMatcher
from langchain_localmodels.engines.base import (
    ChatRequest,
    CompletionRequest,
    Delta,
    FinishDelta,
    FinishReason,
    GenerationSettings,
    InvalidToolCallDelta,
    JsonOutput,
    ReasoningDelta,
    TextDelta,
    Timings,
    TokenLogprob,
    Tool,
    ToolCallDelta,
    Turn,
    Usage,
)
from langchain_localmodels.errors import InvalidRequestError
from langchain_localmodels.testing.answers import Answer, Call, InvalidCall, Piece
from langchain_localmodels.testing.gates import Gate

Request: TypeAlias = ChatRequest | CompletionRequest
Step: TypeAlias = Delta | Gate | BaseException

_PIECE = re.compile(r"\s*\S+|\s+")
_NO_TIME = Timings(total=0.0, load=0.0, prompt=0.0, generation=0.0)
"""Answers of a script are the same each time, down to their times."""


# --- counting ---------------------------------------------------------------------------------------------------------


def pieces_of(text: str) -> list[str]:
    """Cut a text into words, each with the white space before it; joined they are the text."""
    return _PIECE.findall(text)


def token_ids(text: str) -> list[int]:
    """One number for each word, always the same for the same word."""
    return [zlib.crc32(piece.strip().encode("utf-8", "surrogatepass")) for piece in pieces_of(text)]


def count_tokens(turns: Iterable[Turn], tools: Iterable[Tool] = ()) -> int:
    """Count the words of a conversation and its tools, and one for each turn."""
    texts = []
    for turn in turns:
        texts += [turn.role, turn.text, turn.reasoning]
        texts += [f"{call.name} {call.arguments}" for call in turn.tool_calls]
    texts += [json.dumps(tool.as_openai()) for tool in tools]
    return sum(len(pieces_of(text)) for text in texts)


def count_request(request: Request) -> int:
    """Count the words that a request gives the model to read."""
    if isinstance(request, CompletionRequest):
        return len(pieces_of(request.prompt))
    return count_tokens(request.turns, () if request.tool_choice == "none" else request.tools)


# --- playing ----------------------------------------------------------------------------------------------------------


def steps_of(answer: Answer | BaseException, request: Request, *, model: str, number: int) -> list[Step]:
    """Give what happens when a model gives this answer to this request.

    Args:
        answer: The answer, or an error in its place.
        request: What was asked.
        model: Name of the model, for the metadata.
        number: Which answer of the script this is, from 1, for the ids of its calls.

    Raises:
        InvalidRequestError: If the answer cannot be given to this request: a text model calls no tools.
    """
    if isinstance(answer, BaseException):
        return [answer]
    if answer.data is not None:
        answer = _with_data(answer, request)
    if isinstance(request, CompletionRequest) and answer.tool_calls:
        raise InvalidRequestError(
            "A text-in, text-out model calls no tools, and the script has an answer that does.",
            hint="Use ScriptedChatModel for it.",
        )
    if answer.tool_calls and calls_as_json(request):
        answer = _as_json(answer)
    return list(_Writer(request.settings).write(answer, request, model, number))


class _Cut(Exception):
    """The answer has reached `max_tokens`."""


class _Writer:
    """Writes one answer, within the limits of its request."""

    def __init__(self, settings: GenerationSettings) -> None:
        self._most = settings.max_tokens
        self._stop = StopMatcher(settings.stop)
        self._top = settings.top_logprobs
        self._written = 0

    def write(self, answer: Answer, request: Request, model: str, number: int) -> Iterator[Step]:
        reason: FinishReason = answer.finish_reason or "stop"
        try:
            for piece in pieces_of(answer.reasoning):
                self._count()
                yield ReasoningDelta(piece)
            yield from self._text([answer.text] if isinstance(answer.text, str) else answer.text)
            yield from self._released()
            if not self._stop.stopped:
                yield from self._calls(answer.tool_calls, number)
                if answer.tool_calls and answer.finish_reason is None:
                    reason = "tool_calls"
        except _Cut:
            yield from self._released()
            reason = "length"
        if answer.whole:
            usage = answer.usage or Usage(count_request(request), self._written)
            yield FinishDelta(reason, usage, _NO_TIME, request.settings.model or model)

    def _count(self) -> None:
        if self._written == self._most:
            raise _Cut
        self._written += 1

    def _text(self, given: Sequence[Piece]) -> Iterator[Step]:
        for piece in _spread(given):
            if isinstance(piece, Gate | BaseException):
                yield piece
                continue
            self._count()
            token = piece if isinstance(piece, TokenLogprob) else TokenLogprob(piece, 0.0, ((piece, 0.0),))
            released = self._stop.feed(token.token)
            if self._stop.stopped:
                if released:
                    yield TextDelta(released)
                return
            logprobs = () if self._top is None else (_cut_top(token, self._top),)
            if released or logprobs:
                yield TextDelta(released, logprobs)

    def _released(self) -> Iterator[Step]:
        """What was held back, since a stop string might have begun there, is text after all."""
        if rest := self._stop.finish():
            yield TextDelta(rest)

    def _calls(self, calls: Sequence[Call | InvalidCall], number: int) -> Iterator[Step]:
        for index, call in enumerate(calls):
            self._count()
            if isinstance(call, InvalidCall):
                yield InvalidToolCallDelta(call.raw, call.error, call.name)
                continue
            yield ToolCallDelta(index, call.id or f"call_{number}_{index}", call.name)
            text = call.arguments if isinstance(call.arguments, str) else json_text(call.arguments)
            for piece in pieces_of(text):
                self._count()
                yield ToolCallDelta(index, arguments=piece)


def _spread(given: Sequence[Piece]) -> Iterator[Piece]:
    """Cut a lone text into words; pieces that the test has cut stay as they are."""
    if len(given) == 1 and isinstance(given[0], str):
        yield from pieces_of(given[0])
    else:
        yield from given


def _cut_top(token: TokenLogprob, most: int) -> TokenLogprob:
    return TokenLogprob(token.token, token.logprob, token.top[:most])


def json_text(value: Any) -> str:
    """JSON as models write it."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    return json.dumps(value, ensure_ascii=False, default=str)


# --- what is asked for ------------------------------------------------------------------------------------------------


def calls_as_json(request: Request) -> list[Tool]:
    """The tools of which one must be called as a JSON object, as engines are asked that are held to schemas alone."""
    output = request.settings.constraint
    if not isinstance(output, JsonOutput) or output.schema is None:
        return []
    forms = [form.get("properties") or {} for form in output.schema.get("anyOf", [output.schema])]
    if not all(form.keys() == {"name", "arguments"} and "const" in form["name"] for form in forms):
        return []
    return [Tool(form["name"]["const"], "", form["arguments"]) for form in forms]


def _as_json(answer: Answer) -> Answer:
    """A call as the JSON object that it is then read from. There can be one only."""
    first = answer.tool_calls[0]
    if isinstance(first, InvalidCall):
        text = first.raw
    elif isinstance(first.arguments, str):
        text = f'{{"name": {json_text(first.name)}, "arguments": {first.arguments}}}'
    else:
        text = json_text({"name": first.name, "arguments": first.arguments})
    return replace(answer, text=text, tool_calls=())


def _with_data(answer: Answer, request: Request) -> Answer:
    """Put an answer's data into the form that the request asks for."""
    if answer.text or answer.tool_calls:
        raise InvalidRequestError(
            "An answer with `data` says nothing else: its data is its text, or its tool call.",
            hint="Leave out `text` and `tool_calls`, or write them as the model would.",
        )
    value = answer.data.model_dump(mode="json") if isinstance(answer.data, BaseModel) else answer.data
    tool = _tool_for(type(answer.data).__name__, value, request)
    if tool is None:
        return replace(answer, data=None, text=json_text(value))
    assert isinstance(value, Mapping)
    return replace(answer, data=None, tool_calls=(Call(tool.name, value),))


def _tool_for(name: str, value: Any, request: Request) -> Tool | None:
    """The tool that data is meant for; `None` where it is meant to be JSON."""
    if isinstance(request, CompletionRequest):
        return None
    must = [*(request.callable_tools if request.must_call else ()), *calls_as_json(request)]
    tools = must or request.callable_tools
    if not tools or (not must and request.settings.constraint is not None):
        return None
    fitting = [tool for tool in tools if tool.name == name] or [tool for tool in tools if _takes(tool, value)]
    if len(fitting) == 1 and isinstance(value, Mapping):
        return fitting[0]
    if not must:
        return None
    names = ", ".join(tool.name for tool in tools)
    raise InvalidRequestError(
        f"The model must call one of the tools {names}, and it is not clear which one takes {value!r}.",
        hint="Answer with `Call(name, arguments)`.",
    )


def _takes(tool: Tool, value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    known, needed = tool.parameters.get("properties") or {}, tool.parameters.get("required") or ()
    return set(needed) <= value.keys() <= known.keys()
