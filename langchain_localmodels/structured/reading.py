"""From a chat model's messages to what a schema describes: one answer, several tries, or an answer while it grows.

Whether a message holds what was asked for is decided here, in one place, for `invoke` and for streams. What asks the
model is in `output.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    HumanMessage,
    ToolMessage,
    convert_to_messages,
)
from langchain_core.prompt_values import PromptValue

from langchain_localmodels.errors import StructuredOutputError
from langchain_localmodels.structured.answers import GrowingObject, NotJsonError, read_json
from langchain_localmodels.structured.schema import MismatchError, Wanted

Method = Literal["json_schema", "function_calling", "json_mode"]


# --- reading an answer ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AnswerReader:
    """Takes the value out of a message."""

    wanted: Wanted
    method: Method

    def read(self, message: AIMessage) -> tuple[Any, Any]:
        """Give the value of JSON, and what becomes of it.

        Raises:
            StructuredOutputError: The answer does not fit.
        """
        if message.response_metadata.get("finish_reason") == "length":
            raise _error(
                message,
                f"The answer was cut off before {self.wanted.name} was whole.",
                hint="Raise `max_tokens`, or the context window (`n_ctx`, `num_ctx`), or ask for less.",
            )
        if message.invalid_tool_calls:
            bad = message.invalid_tool_calls[0]
            raise _error(message, f"The call of {bad['name'] or 'a tool'} cannot be read: {bad['error'] or 'no JSON.'}")
        value = self._from_call(message) if self.method == "function_calling" else self._from_text(message)
        try:
            return value, self.wanted.read(value)
        except MismatchError as error:
            faults = "".join(f"\n- {fault}" for fault in error.faults)
            raise _error(message, f"The answer does not fit {self.wanted.name}:{faults}") from error

    def _from_text(self, message: AIMessage) -> Any:
        text = str(message.text)
        if message.tool_calls and not text.strip():
            names = ", ".join(call["name"] for call in message.tool_calls)
            raise _error(message, f"Instead of answering, the model called {names}.")
        try:
            return read_json(text)
        except NotJsonError as error:
            raise _error(message, str(error)) from error

    def _from_call(self, message: AIMessage) -> Any:
        name, calls = self.wanted.name, message.tool_calls
        if not calls:
            raise _error(message, f"The model answered without calling {name}.")
        if strangers := [call["name"] for call in calls if call["name"] != name]:
            raise _error(message, f"Instead of {name}, the model called {', '.join(strangers)}.")
        if len(calls) > 1:
            raise _error(
                message,
                f"The model called {name} {len(calls)} times, where one answer is expected.",
                hint="If there may be several, ask for an object with a list of them.",
            )
        return calls[0]["args"]


def _error(message: AIMessage, what: str, *, hint: str | None = None) -> StructuredOutputError:
    return StructuredOutputError(
        what,
        llm_output=_written(message),
        finish_reason=message.response_metadata.get("finish_reason"),
        raw=message,
        hint=hint,
    )


def _written(message: AIMessage) -> str:
    """What the model wrote, calls included."""
    calls = [json.dumps({"name": call["name"], "arguments": call["args"]}) for call in message.tool_calls]
    bad = [call["args"] or "" for call in message.invalid_tool_calls]
    return "\n".join(part for part in (str(message.text), *calls, *bad) if part)


def _result(message: AIMessage, parsed: Any, error: Exception | None) -> dict[str, Any]:
    return {"raw": message, "parsed": parsed, "parsing_error": error}


# --- asking again ---------------------------------------------------------------------------------------------------


class Tries:
    """One question, and the answers to it until one fits or no more are allowed.

    Args:
        reader: Reads the answers.
        given: The question.
        repairs: How many more answers may be asked for.

    Attributes:
        question: What to ask the model next.
        go_on: Whether to ask it.
    """

    def __init__(self, reader: AnswerReader, given: LanguageModelInput, repairs: int) -> None:
        self.question = given
        self.go_on = True
        self._given = given
        self._reader = reader
        self._left = repairs
        self._failures: list[str] = []
        self._message: AIMessage | None = None
        self._value: Any = None
        self._error: Exception | None = None

    @property
    def tag(self) -> str | None:
        """What the run of the next try is tagged with."""
        return f"repair:{len(self._failures)}" if self._failures else None

    def take(self, message: AIMessage) -> None:
        """Read an answer, and decide whether to ask again."""
        self._message, self.go_on, self._error = message, False, None
        try:
            _, self._value = self._reader.read(message)
        except StructuredOutputError as error:
            self._refuse(message, error)
        except Exception as error:  # noqa: BLE001 - the schema's own validators may raise anything; see `result`
            self._error = error

    def fail(self, error: StructuredOutputError) -> None:
        """Take the error of a model that was asked for this, by an engine that cannot hold it to anything."""
        self._message, self.go_on = _message_of(error), False
        self._refuse(self._message, error)

    def _refuse(self, message: AIMessage, error: StructuredOutputError) -> None:
        self._error = error
        if self._left and error.is_retryable:
            self.question = [*_messages(self._given), *_complaint(message, error, self._reader)]
            self._failures.append(error.message)
            self._left -= 1
            self.go_on = True

    def result(self, include_raw: bool) -> Any:
        """Give what the last answer came to.

        Raises:
            StructuredOutputError: It did not fit, nor did those before it.
        """
        error = self._error
        if isinstance(error, StructuredOutputError) and self._failures:
            error = _with_failures(error, self._failures)
        if include_raw:
            return _result(cast("AIMessage", self._message), self._value if error is None else None, error)
        if error is not None:
            raise error
        return self._value


def _message_of(error: StructuredOutputError) -> AIMessage:
    """What the model wrote, as a message, and as the error's `raw`."""
    if not isinstance(error.raw, AIMessage):
        metadata = {"finish_reason": error.finish_reason} if error.finish_reason else {}
        error.raw = AIMessage(error.llm_output or "", response_metadata=metadata)
    return error.raw


def _with_failures(last: StructuredOutputError, failures: Sequence[str]) -> StructuredOutputError:
    earlier = "".join(f"\n{number}. {failure}" for number, failure in enumerate(failures, 1))
    told = StructuredOutputError(
        f"{last.message}\nThis was answer {len(failures) + 1}; those before it did not fit either:{earlier}",
        llm_output=last.llm_output,
        finish_reason=last.finish_reason,
        raw=last.raw,
        failures=tuple(failures),
        hint=last.hint,
    )
    told.__cause__ = last.__cause__
    return told


def _messages(given: LanguageModelInput) -> list[BaseMessage]:
    if isinstance(given, PromptValue):
        return given.to_messages()
    return [HumanMessage(given)] if isinstance(given, str) else convert_to_messages(given)


def _complaint(message: AIMessage, error: StructuredOutputError, reader: AnswerReader) -> list[BaseMessage]:
    """The answer, what is wrong with it, and the wish for a better one."""
    ids = [call["id"] for call in (*message.tool_calls, *message.invalid_tool_calls) if call["name"]]
    # Templates and servers expect a result after each call.
    results = [ToolMessage(error.message, tool_call_id=call_id or "", status="error") for call_id in ids]
    if reader.method == "function_calling":
        wish = f"Call {reader.wanted.name} again, once, with corrected arguments."
    else:
        wish = "Answer again with the corrected JSON, and with nothing else."
    return [message, *results, HumanMessage(f"That cannot be used. {error.message}\n{wish}")]


# --- growing --------------------------------------------------------------------------------------------------------

_NOTHING: Any = object()


class GrowingAnswer:
    """An answer that comes in chunks, and what is given of it meanwhile."""

    def __init__(self, reader: AnswerReader, include_raw: bool) -> None:
        self._reader = reader
        self._include_raw = include_raw
        self._chunks: list[AIMessage] = []
        self._object = GrowingObject()
        self._call: Any = _NOTHING
        self._seen: Any = _NOTHING
        self._given: Any = _NOTHING
        self._parsed: Any = None

    def take(self, chunk: AIMessage) -> Iterator[Any]:
        """Give what a chunk makes new: nothing, or one item."""
        if self._include_raw and self._chunks:
            self._chunks = [_joined([*self._chunks, chunk])]
        else:
            self._chunks.append(chunk)
        self._object.feed(self._piece(chunk))
        value = self._object.value()
        if value is not None and value != self._seen:
            self._seen = value
            parsed = self._try(value)
            # LangChain adds up the items of a stream where Python can.
            new = parsed is not _NOTHING and not hasattr(type(parsed), "__add__") and _differ(parsed, self._parsed)
            if new:
                self._given, self._parsed = value, parsed
                if not self._include_raw:
                    yield parsed
        # The item for the last chunk is the one that `end` gives.
        if self._include_raw and getattr(chunk, "chunk_position", "last") != "last":
            yield _result(self._chunks[0], self._parsed, None)

    def end(self) -> Iterator[Any]:
        """Give the whole answer, unless the last item was that.

        Raises:
            StructuredOutputError: The answer does not fit.
        """
        message = _joined(self._chunks)
        try:
            value, parsed = self._reader.read(message)
        except Exception as error:
            if not self._include_raw:
                raise
            yield _result(message, None, error)
            return
        if self._include_raw:
            yield _result(message, parsed, None)
        elif value != self._given:
            yield parsed

    def fail(self, error: StructuredOutputError) -> Iterator[Any]:
        """Give the error of a model that was asked for this, by an engine that cannot hold it to anything.

        Raises:
            StructuredOutputError: That error, unless the message is wanted as well.
        """
        message = _message_of(error)
        if not self._include_raw:
            raise error
        yield _result(message, None, error)

    def _piece(self, chunk: AIMessage) -> str:
        if self._reader.method != "function_calling":
            return str(chunk.text)
        pieces = chunk.tool_call_chunks if isinstance(chunk, AIMessageChunk) else []
        if pieces and self._call is _NOTHING:
            self._call = pieces[0]["index"]
        return "".join(piece["args"] or "" for piece in pieces if piece["index"] == self._call)

    def _try(self, value: Any) -> Any:
        if self._reader.wanted.gives_dict:
            return value
        try:
            return self._reader.wanted.read(value)
        except Exception:  # noqa: BLE001 - what is not whole may break the schema's own validators; the end tells
            return _NOTHING


def _differ(one: Any, other: Any) -> bool:
    try:
        return bool(one != other)
    except Exception:  # noqa: BLE001 - objects with arrays in them cannot be compared as a whole
        return True


def _joined(chunks: Sequence[AIMessage]) -> AIMessage:
    if len(chunks) == 1:
        return chunks[0]
    first, *rest = cast("list[AIMessageChunk]", chunks or [AIMessageChunk(content="")])
    return cast("AIMessage", first + rest)
