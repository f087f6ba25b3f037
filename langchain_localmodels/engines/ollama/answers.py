"""From Ollama's bytes to the contract's deltas. Pure: the drivers in `engine.py` bring the bytes."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from langchain_localmodels.dialects.inline_thoughts import InlineThoughts
from langchain_localmodels.engines.base import (
    Delta,
    FinishDelta,
    FinishReason,
    InvalidToolCallDelta,
    ReasoningDelta,
    TextDelta,
    Timings,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from langchain_localmodels.engines.ollama.failures import explain
from langchain_localmodels.errors import EngineError, EngineUnreachableError
from langchain_localmodels.transport.framing import NDJSONDecoder


class AnswerReader:
    """Reads one answer of `/api/chat` or `/api/generate`.

    Args:
        model: The model that was asked for.
        one_call: Whether the first tool call of the answer is the only one that is given: Ollama has no way to ask for
            no more.
        raw: Whether text is given as it comes, with marks of reasoning that the server has left in it.

    Attributes:
        done: Whether the answer has ended; what follows is not read.
        silent: Whether nothing has come yet.
        has_logprobs: Whether log probabilities have come.
    """

    def __init__(self, model: str, *, one_call: bool = False, raw: bool = False) -> None:
        self.done = False
        self.silent = True
        self.has_logprobs = False
        self._thoughts = InlineThoughts(over=raw)
        self._model = model
        self._one_call = one_call
        self._decoder = NDJSONDecoder()
        self._calls = 0
        self._calls_given = 0
        self._started = time.monotonic()

    def feed(self, data: bytes) -> Iterator[Delta]:
        """Take the next bytes and give the deltas they complete.

        Raises:
            LocalModelError: The server tells of a failure, or sends what cannot be read; after the deltas before it.
        """
        yield from self._read(self._decoder.feed(data))
        if not self.done:
            self._decoder.check()

    def finish(self) -> Iterator[Delta]:
        """Hear that the connection has ended and give what that completes.

        Raises:
            EngineUnreachableError: The answer had not ended.
        """
        yield from self._read(self._decoder.finish())
        if not self.done:
            raise EngineUnreachableError(
                f"The connection to Ollama broke off before the answer of {self._model!r} was whole.",
                hint="Ollama's log tells why; a model that repeats one token over and over is cut off so.",
            )

    def _read(self, events: list[dict[str, Any]]) -> Iterator[Delta]:
        for event in events:
            if self.done:
                return
            if event.get("error"):
                raise self._error(event["error"])
            if pieces := self._pieces(event):
                self.silent = False
                yield from pieces
            if event.get("done"):
                self.done = True
                yield self._finish(event)

    def _error(self, error: object) -> Exception:
        text = error if isinstance(error, str) else json.dumps(error, ensure_ascii=False)
        return explain(None, text, model=self._model) or EngineError(text)

    def _pieces(self, event: Mapping[str, Any]) -> list[Delta]:
        # A list: this is run for each token, and a generator costs more. The last line may carry any of these too:
        # parsers flush there, and native tool calls come only there.
        message = event.get("message")
        if isinstance(message, dict):
            content = message.get("content")
        else:
            message, content = event, event.get("content", event.get("response"))
        pieces: list[Delta] = []
        thinking = message.get("thinking")
        if thinking:
            pieces += self._thoughts.rest()
            pieces.append(ReasoningDelta(thinking))
        told = event.get("logprobs")
        # A token held back by a parser is reported without text; one of the reasoning is not part of the text.
        logprobs: tuple[TokenLogprob, ...] = ()
        if told:
            self.has_logprobs = True
            logprobs = _logprobs(told) if content or not thinking else ()
        if content or logprobs:
            if self._thoughts.over:
                pieces.append(TextDelta(content or "", logprobs))
            else:
                pieces += self._thoughts.read(content or "", logprobs)
        for call in message.get("tool_calls") or ():
            if self._one_call and self._calls_given:
                break
            pieces += self._thoughts.rest()
            self._calls_given += 1
            pieces.append(self._call(call))
        if event.get("done"):
            pieces += self._thoughts.rest()
        return pieces

    def _call(self, call: Any) -> Delta:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict):
            return InvalidToolCallDelta(raw=_json(call), error="a tool call without a function")
        name, arguments = function.get("name"), function.get("arguments")
        if not isinstance(name, str) or not name:
            return InvalidToolCallDelta(raw=_json(function), error="a tool call without a name")
        if arguments is None:
            arguments = {}
        if not isinstance(arguments, dict):
            return InvalidToolCallDelta(raw=_json(arguments), error="the arguments are not a JSON object", name=name)
        # Ollama counts its `index` anew in each line, before 0.12.6 left it out where it was 0, and before 0.12.10
        # gave no ids.
        index, self._calls = self._calls, self._calls + 1
        return ToolCallDelta(index, call.get("id") or f"call_{uuid.uuid4().hex[:24]}", name, _json(arguments))

    def _finish(self, event: Mapping[str, Any]) -> FinishDelta:
        reason = event.get("done_reason")
        if reason in ("load", "unload"):
            raise EngineError(f"Ollama has only {reason}ed the model {self._model!r} and generated nothing.")
        finish: FinishReason = "length" if reason == "length" else "tool_calls" if self._calls else "stop"
        measured = time.monotonic() - self._started
        return FinishDelta(
            reason=finish,
            # A count of 0 is left out, and before 0.30 that of a prompt that was cached as a whole.
            usage=Usage(event.get("prompt_eval_count") or 0, event.get("eval_count") or 0),
            timings=Timings(
                total=_seconds(event, "total_duration") or measured,
                load=_seconds(event, "load_duration"),
                prompt=_seconds(event, "prompt_eval_duration"),
                generation=_seconds(event, "eval_duration"),
            ),
            model=event.get("model") or self._model,
        )


def _seconds(event: Mapping[str, Any], name: str) -> float | None:
    nanoseconds = event.get(name)
    return nanoseconds / 1e9 if isinstance(nanoseconds, int | float) else None


def _logprobs(entries: Any) -> tuple[TokenLogprob, ...]:
    try:
        return tuple(
            TokenLogprob(
                token=entry["token"],
                logprob=entry["logprob"],
                top=tuple((other["token"], other["logprob"]) for other in entry.get("top_logprobs") or ()),
            )
            for entry in entries
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise EngineError(f"Ollama sent log probabilities that cannot be read: {_json(entries)[:200]}") from error


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
