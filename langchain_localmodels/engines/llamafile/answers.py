"""From a server's bytes to the contract's deltas. Pure: the drivers in `streams.py` bring the bytes.

The shapes are those of `/v1/chat/completions`, `/v1/completions` and llama.cpp's own `/completion`, of all ages,
streamed or whole. They differ enough from one another to be told apart by what an event holds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from langchain_localmodels.dialects.inline_thoughts import InlineThoughts
from langchain_localmodels.engines.base import (
    Delta,
    FinishDelta,
    FinishReason,
    ReasoningDelta,
    TextDelta,
    Timings,
    Usage,
)
from langchain_localmodels.engines.llamafile.calls import Calls
from langchain_localmodels.engines.llamafile.failures import explain
from langchain_localmodels.engines.llamafile.logprobs import read_logprobs
from langchain_localmodels.errors import EngineError, EngineUnreachableError
from langchain_localmodels.transport.framing import SSEDecoder, excerpt

_BYTES_PER_TOKEN = 4


class AnswerReader:
    """Reads one answer.

    Args:
        model: The model that was asked for.
        prompt_size: Length of the prompt in bytes, for servers that count no tokens.
        top_logprobs: How many alternatives were asked for.
        streamed: Whether the answer comes as events, or as one JSON object.
        most_calls: How many tool calls are given; `None` for all.
        raw: Whether text is given as it comes, with marks of reasoning that the server has left in it.

    Attributes:
        done: Whether the answer has ended; what follows is not read.
    """

    def __init__(
        self,
        model: str,
        *,
        prompt_size: int,
        top_logprobs: int | None = None,
        streamed: bool = True,
        most_calls: int | None = None,
        raw: bool = False,
    ) -> None:
        self.done = False
        self._thoughts = InlineThoughts(over=raw)
        self._model = model
        self._prompt_size = prompt_size
        self._top = top_logprobs
        self._decoder = SSEDecoder() if streamed else None
        self._whole = bytearray()
        self._begun = False
        self._calls = Calls(most_calls)
        self._started = time.monotonic()
        self._first_at: float | None = None
        self._reason: str | None = None
        self._usage: Mapping[str, Any] = {}
        self._timings: Mapping[str, Any] = {}
        self._pieces = 0

    def feed(self, data: bytes) -> Iterator[Delta]:
        """Take the next bytes and give the deltas they complete.

        Raises:
            LocalModelError: The server tells of a failure, or sends what cannot be read; after the deltas before it.
        """
        if not self._begun and data.strip():
            self._begun = True
            if data.lstrip().startswith(b"{"):  # A server that does not stream, whatever it is asked.
                self._decoder = None
        if self._decoder is None:
            self._whole += data
            return
        for event in self._decoder.feed(data):
            yield from self._read(event)
            if self.done:
                return
        if self._decoder.done:
            yield from self._end()
        else:
            self._decoder.check()

    def finish(self) -> Iterator[Delta]:
        """Hear that the connection has ended and give what that completes.

        Raises:
            EngineUnreachableError: The answer had not ended.
        """
        for event in self._rest():
            yield from self._read(event)
            if self.done:
                return
        if not self.done:
            yield from self._end()

    def _rest(self) -> list[dict[str, Any]]:
        if self._decoder is not None:
            return self._decoder.finish()
        try:
            value = json.loads(self._whole)
        except (ValueError, RecursionError) as error:
            raise EngineError(f"The answer is not JSON: {excerpt(bytes(self._whole[:1000]))}") from error
        if not isinstance(value, dict):
            raise EngineError(f"The answer is no JSON object: {excerpt(bytes(self._whole[:1000]))}")
        return [value]

    def _read(self, event: Mapping[str, Any]) -> list[Delta]:
        # A list: this is run for each token, and a generator costs more.
        if event.get("error") or event.get("object") == "error":
            raise self._error(event.get("error") or event)
        self._note(event)
        if self._first_at is None:
            self._first_at = time.monotonic()
        deltas: list[Delta] = []
        if "choices" in event:
            for choice in event["choices"] or ():
                # Others have an index of their own where several answers were asked for, which is never done here.
                self._add_pieces_of(choice, deltas)
        elif "content" in event:
            self._add_native(event, deltas)
        return deltas

    def _error(self, error: object) -> Exception:
        message = error.get("message") if isinstance(error, dict) else error
        text = message if isinstance(message, str) else json.dumps(error, ensure_ascii=False)
        return explain(None, text) or EngineError(text)

    def _note(self, event: Mapping[str, Any]) -> None:
        usage, timings, model = event.get("usage"), event.get("timings"), event.get("model")
        if isinstance(usage, dict):
            self._usage = usage
        if isinstance(timings, dict):
            self._timings = timings
        if isinstance(model, str) and model:
            self._model = model

    def _add_pieces_of(self, choice: Mapping[str, Any], deltas: list[Delta]) -> None:
        message = choice.get("delta") or choice.get("message") or {"content": choice.get("text")}
        # vLLM renamed its field; DeepSeek's name is what all others have.
        thinking = message.get("reasoning_content") or message.get("reasoning")
        content = message.get("content")
        if thinking and isinstance(thinking, str):
            self._pieces += 1
            deltas += self._thoughts.rest()
            deltas.append(ReasoningDelta(thinking))
        logprobs = () if self._top is None else read_logprobs(choice.get("logprobs"), self._top)
        if content or logprobs:
            self._pieces += 1
            if self._thoughts.over:
                deltas.append(TextDelta(content or "", logprobs))
            else:
                deltas += self._thoughts.read(content or "", logprobs)
        for piece in message.get("tool_calls") or ():
            self._pieces += 1
            deltas += self._thoughts.rest()
            deltas.extend(self._calls.add(piece))
        if choice.get("finish_reason"):
            self._reason = str(choice["finish_reason"])

    def _add_native(self, event: Mapping[str, Any], deltas: list[Delta]) -> None:
        logprobs = () if self._top is None else read_logprobs(event.get("completion_probabilities"), self._top)
        if event.get("stop") and self._pieces:
            logprobs = ()  # The last event of old servers tells those of all tokens again.
        if event["content"] or logprobs:
            self._pieces += 1
            deltas.append(TextDelta(event["content"] or "", logprobs))
        if not event.get("stop"):
            return
        cut = event.get("stop_type") == "limit" or event.get("stopped_limit")
        self._reason = "length" if cut else "stop"
        prompt, written = event.get("tokens_evaluated"), event.get("tokens_predicted")
        if isinstance(prompt, int) and isinstance(written, int):
            self._usage = {"prompt_tokens": prompt, "completion_tokens": written}
        # There is no end mark on this route: the event itself says that it is the last.
        deltas.extend(self._end())

    def _end(self) -> Iterator[Delta]:
        if self._reason is None:
            raise EngineUnreachableError(
                f"The connection broke off before the answer of {self._model!r} was whole.",
                hint="The server's log may tell why: it may have crashed, or run out of memory.",
            )
        yield from self._thoughts.rest()
        yield from self._calls.finish()
        self.done = True
        reason: FinishReason = "stop"
        if self._reason in ("length", "max_tokens"):
            reason = "length"
        elif self._calls.made:
            reason = "tool_calls"
        times, now = self._timings, time.monotonic()
        began = now if self._first_at is None else self._first_at
        prompt, generation = _seconds(times, "prompt_ms"), _seconds(times, "predicted_ms")
        yield FinishDelta(
            reason=reason,
            usage=self._counts(),
            timings=Timings(
                total=now - self._started,
                load=0.0,  # Servers answer when they have loaded, and refuse before.
                prompt=began - self._started if prompt is None else prompt,
                generation=now - began if generation is None else generation,
            ),
            model=self._model,
        )

    def _counts(self) -> Usage:
        usage, times = self._usage, self._timings
        details = usage.get("prompt_tokens_details")
        cached = _count(details, "cached_tokens") if isinstance(details, dict) else None
        cached = cached if cached is not None else _count(times, "cache_n") or 0
        prompt, written = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
        if prompt is None and (computed := _count(times, "prompt_n")) is not None:
            prompt = computed + cached
        if prompt is None:
            prompt = -(-self._prompt_size // _BYTES_PER_TOKEN)
        if written is None:
            written = _count(times, "predicted_n")
        # Servers without counts send an event for each token.
        return Usage(prompt, self._pieces if written is None else written, min(cached, prompt))


def _count(entries: Mapping[str, Any], name: str) -> int | None:
    value = entries.get(name)
    return value if isinstance(value, int) and value >= 0 else None


def _seconds(entries: Mapping[str, Any], name: str) -> float | None:
    value = entries.get(name)
    return value / 1e3 if isinstance(value, int | float) else None
