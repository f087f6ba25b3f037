"""What a scripted model answers, in the forms that tests write it, and the one form that it becomes: `Answer`.

How an answer turns into the deltas of an engine is in `playing.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from langchain_core.messages import AIMessage
from pydantic import BaseModel

from langchain_localmodels.engines.base import FinishReason, TokenLogprob, Usage
from langchain_localmodels.errors import InvalidRequestError
from langchain_localmodels.testing.gates import Gate

Piece: TypeAlias = str | TokenLogprob | Gate | BaseException
"""A piece of an answer's text: text, a token with its log probability, a place to wait, or an error that ends it."""


@dataclass(frozen=True)
class Call:
    """A tool call that the model makes.

    Attributes:
        name: The tool's name.
        arguments: The arguments; a text is taken for what the model wrote, so that `'{"city": '` makes an invalid call.
        id: Its id; `None` for one that tells which call of which answer it is, such as `call_2_0`.
    """

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)
    id: str | None = None


@dataclass(frozen=True)
class InvalidCall:
    """A tool call that the engine could not read, as it ends up in `invalid_tool_calls`.

    Attributes:
        raw: What the model wrote.
        error: What is wrong with it.
        name: The tool's name, if that much could be read.
    """

    raw: str
    error: str = "The call cannot be read."
    name: str | None = None


@dataclass(frozen=True)
class Answer:
    """One answer of a scripted model: what it thinks, says and calls, in this order, and how it ends.

    Attributes:
        text: What it says. A text is streamed word by word; a list is streamed piece by piece, and may hold tokens with
            log probabilities, a `Gate` to wait at, and at its end an error that is raised there.
        reasoning: What it thinks first.
        tool_calls: Its tool calls.
        data: An object, as a dict, list or pydantic model, that it gives in the form that is asked for: as the
            arguments of a tool that it must call, else as JSON.
        finish_reason: Why it ends; `None` for `"length"` where `max_tokens` cut it, `"tool_calls"` after calls, and
            else `"stop"`.
        usage: Token counts; `None` counts words, one token for each.
        whole: Whether the end comes. Without it the answer breaks off, as when a server dies.
    """

    text: str | Sequence[Piece] = ""
    reasoning: str = ""
    tool_calls: Sequence[Call | InvalidCall] = ()
    data: Mapping[str, Any] | Sequence[Any] | BaseModel | None = None
    finish_reason: FinishReason | None = None
    usage: Usage | None = None
    whole: bool = True


Given: TypeAlias = (
    str
    | Answer
    | Call
    | InvalidCall
    | AIMessage
    | BaseModel
    | Mapping[str, Any]
    | Sequence[Call | InvalidCall]
    | Sequence[Piece]
    | BaseException
)
"""What a test may write for one answer."""


def to_answer(given: object) -> Answer | BaseException:
    """Give the answer that is meant, or the error that is raised in its place.

    Args:
        given: A text; an `Answer`; one `Call` or a list of them; a list of pieces of text; an `AIMessage`; a dict or
            pydantic object that is given as structured output; an error.

    Raises:
        InvalidRequestError: If it is none of these.
    """
    if isinstance(given, Answer | BaseException):
        return given
    answer = _of_one(given) if not isinstance(given, list | tuple) else _of_many(given)
    if answer is None:
        raise InvalidRequestError(
            f"{given!r} is no answer that a scripted model could give.",
            hint="An answer is a text, an Answer, a Call or a list of them, a list of pieces of text, an AIMessage, a "
            "dict or pydantic object, or an error (an object, not its class).",
        )
    return answer


def _of_one(given: object) -> Answer | None:
    answer = None
    if isinstance(given, str):
        answer = Answer(given)
    elif isinstance(given, Call | InvalidCall):
        answer = Answer(tool_calls=(given,))
    elif isinstance(given, AIMessage):
        answer = _from_message(given)
    elif isinstance(given, Mapping) and given.get("type") == "tool_call":
        answer = Answer(tool_calls=(Call(given["name"], given["args"], given.get("id")),))
    elif isinstance(given, Mapping | BaseModel):
        answer = Answer(data=given)
    return answer


def _of_many(given: Sequence[object]) -> Answer | None:
    calls = [item for item in given if isinstance(item, Call | InvalidCall)]
    pieces = [item for item in given if isinstance(item, str | TokenLogprob | Gate | BaseException)]
    if not given or len(given) not in (len(calls), len(pieces)):
        return None
    return Answer(tool_calls=calls) if calls else Answer(text=pieces)


def _from_message(message: AIMessage) -> Answer:
    calls: list[Call | InvalidCall] = [Call(call["name"], call["args"], call["id"]) for call in message.tool_calls]
    calls += [
        InvalidCall(call["args"] or "", call["error"] or "The call cannot be read.", call["name"])
        for call in message.invalid_tool_calls
    ]
    reasoning = message.additional_kwargs.get("reasoning_content") or "".join(
        str(block.get("reasoning", "")) for block in message.content_blocks if block["type"] == "reasoning"
    )
    counted = message.usage_metadata
    cached = (counted.get("input_token_details") or {}).get("cache_read") or 0 if counted else 0
    reason = message.response_metadata.get("finish_reason")
    return Answer(
        text=message.text,
        reasoning=reasoning,
        tool_calls=calls,
        finish_reason=reason if reason in ("stop", "length", "tool_calls") else None,
        usage=Usage(counted["input_tokens"], counted["output_tokens"], cached) if counted else None,
    )
