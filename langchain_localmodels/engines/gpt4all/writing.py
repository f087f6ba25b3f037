"""`Writing`: one answer, from the request to its last delta."""

from __future__ import annotations

import codecs
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from langchain_localmodels.dialects.reader import OutputReader
from langchain_localmodels.engines.base import (
    Delta,
    FinishDelta,
    FinishReason,
    InvalidToolCallDelta,
    Timings,
    ToolCallDelta,
    Usage,
)
from langchain_localmodels.engines.common import warn_once
from langchain_localmodels.engines.gpt4all.binding.model import Model
from langchain_localmodels.engines.gpt4all.reuse import Start, start_of
from langchain_localmodels.engines.gpt4all.thread import Work
from langchain_localmodels.engines.gpt4all.values import Choice, Segment
from langchain_localmodels.engines.worker import WorkerStream, wake
from langchain_localmodels.errors import EngineError, InvalidRequestError, PromptTooLongError

_ROOM = 4
"""Tokens of its context that GPT4All's prompts must leave free."""
_CELLS = 32
_MARKS = tuple(f"### {word}" for word in ("Instruction", "Prompt", "Response", "Human", "Assistant", "Context"))
"""GPT4All ends every answer before one of these, and cannot be told otherwise."""
_CUT = "GPT4All has ended an answer before %r, as it does before several such words; LlamaCpp and ChatLlamaCpp do not."


@dataclass(frozen=True, slots=True)
class Plan:
    """A request in the model's own terms.

    Attributes:
        prompt: The prompt, in pieces.
        max_tokens: Most tokens to write; `None` for as many as there is room for.
        choice: How tokens are chosen.
        seed: Where the random choices begin; `None` for anywhere.
        reader: Turns the text into deltas.
        one_call: Whether the answer ends after its first tool call.
        model_name: What the answer's metadata call the model.
    """

    prompt: tuple[Segment, ...]
    max_tokens: int | None
    choice: Choice
    seed: int | None
    reader: OutputReader
    one_call: bool
    model_name: str


class Writing(Work):
    """An answer under way.

    Args:
        stream: The stream of its deltas.
        plan: Makes the plan, on the thread, once the model is loaded.
    """

    def __init__(self, stream: WorkerStream[Delta], plan: Callable[[Model], Plan]) -> None:
        super().__init__(stream)
        self._make_plan = plan
        self._submitted = time.perf_counter()

    def step(self, model: Model, is_over: Callable[[], bool]) -> bool:
        """Write all of it."""
        began = time.perf_counter()
        plan = self._make_plan(model)
        start = start_of(model, plan.prompt, may_reuse=not self._seed(model, plan))
        room = _room(model, start)
        answer = _Answer(self.stream, plan, model, is_over, most=min(plan.max_tokens or room, room), start=start)
        try:
            model.generate(
                start.rest,
                plan.choice,
                keep=start.keep,
                max_tokens=answer.most,
                on_prompt=answer.on_prompt,
                on_token=answer.on_token,
            )
        except EngineError as error:
            raise _told(error, model) from error
        if not is_over():
            if answer.ended_by_gpt4all and (mark := _mark_before(model.likeliest_next(plan.choice))) is not None:
                warn_once(_CUT % mark)
            answer.finish(submitted=self._submitted, began=began)
        if len(model.cached) != answer.read + start.keep + answer.written or len(model.cached) >= model.window:
            model.forget()
        return True

    def _seed(self, model: Model, plan: Plan) -> bool:
        """Begin the random choices where they are to begin; gives whether that has cost what was cached."""
        if plan.choice.temperature == 0 or (plan.seed is None and model.is_random):
            return False
        model.seed(int.from_bytes(os.urandom(4), "little") if plan.seed is None else plan.seed)
        model.is_random = plan.seed is None
        return True


class _Answer:
    """What has come of a prompt so far."""

    def __init__(
        self,
        stream: WorkerStream[Delta],
        plan: Plan,
        model: Model,
        is_over: Callable[[], bool],
        *,
        most: int,
        start: Start,
    ) -> None:
        self.most = most
        self.read = 0
        self.written = 0
        self._stream = stream
        self._plan = plan
        self._start = start
        self._window = model.window
        self._loaded = model.loaded_at
        self._ends = model.vocabulary.ends if model.vocabulary is not None else frozenset()
        self._is_over = is_over
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._first: float | None = None
        self._ended = False
        self._calls = 0

    def on_prompt(self) -> bool:
        self.read += 1
        return not self._is_over()

    def on_token(self, token: int, piece: bytes) -> bool:
        if self._first is None:
            self._first = time.perf_counter()
        self.written += 1
        if token in self._ends:
            self._ended = True
            return False
        text = self._decoder.decode(piece)
        if text:
            self._give(self._plan.reader.feed(text))
        if self._plan.reader.stopped or (self._plan.one_call and self._calls):
            self._ended = True
            return False
        return not self._is_over() and self._total < self._window

    @property
    def ended_by_gpt4all(self) -> bool:
        """Whether neither this package nor `most` has ended it."""
        return not self._ended and self.written < self.most and self._total < self._window

    @property
    def _total(self) -> int:
        return self._start.keep + self.read + self.written

    def finish(self, *, submitted: float, began: float) -> None:
        """Tell the end. Bytes of a character that was cut off by the end are dropped, never shown as half of it."""
        count = self._start.count
        if count is not None and self._start.keep + self.read < count:
            raise EngineError("GPT4All failed to read the prompt; stderr may tell more.")
        reader = self._plan.reader
        self._give(reader.finish())
        is_cut = not self._ended and (self.written >= self.most or self._total >= self._window)
        reason: FinishReason = "length" if is_cut else "tool_calls" if reader.tool_calls else "stop"
        # The token that ends an answer is no part of it. GPT4All itself does not tell of the one that it knows.
        ended_by_token = self._ended and not reader.stopped and not (self._plan.one_call and self._calls)
        usage = Usage(self._start.keep + self.read, self.written - ended_by_token, self._start.keep)
        loaded, end = max(submitted, self._loaded), time.perf_counter()
        first = self._first or end
        timings = Timings(
            total=end - submitted,
            load=loaded - submitted,
            queue=max(0.0, began - loaded),
            prompt=first - began,
            generation=end - first,
        )
        self._stream.put([FinishDelta(reason, usage, timings, self._plan.model_name)])
        self._stream.end()
        wake([self._stream])

    def _give(self, deltas: list[Delta]) -> None:
        for number, delta in enumerate(deltas):
            if isinstance(delta, ToolCallDelta | InvalidToolCallDelta):
                self._calls += 1
                if self._plan.one_call:
                    deltas = deltas[: number + 1] if self._calls == 1 else deltas[:number]
                    break
        if deltas:
            self._stream.put(deltas)
            wake([self._stream])


def _mark_before(piece: bytes) -> str | None:
    """Give which of GPT4All's own stop strings an answer has ended with, if this would have come next.

    It does not tell, and takes back what it has written of it. What it had computed is still there: the likeliest
    next token then ends one of the strings.
    """
    text = piece.decode("utf-8", "replace")
    for mark in _MARKS:
        if any(text.startswith(mark[start:]) for start in range(len("###"), len(mark) - 1)):
            return mark
    return None


def _room(model: Model, start: Start) -> int:
    """Tokens that an answer may have."""
    window = model.window
    if start.count is None:
        return window
    if start.count == 0:
        raise InvalidRequestError("The prompt is empty.", hint="Give at least one character.")
    if start.count >= window or start.count > -(-window // _CELLS) * _CELLS - _ROOM:
        raise _too_long(model, start.count)
    return window - start.count


def _too_long(model: Model, count: int | None) -> PromptTooLongError:
    has = "is too long" if count is None else f"has {count} tokens"
    return PromptTooLongError(
        f"The prompt {has}, and the context window {model.window}: no room for an answer.",
        prompt_tokens=count,
        context_window=model.window,
        hint="Shorten the prompt or give a larger `n_ctx`, up to what the model was trained on.",
    )


def _told(error: EngineError, model: Model) -> Exception:
    """The error for what GPT4All wrote in place of an answer."""
    return _too_long(model, None) if "exceeds the context window" in error.message else error
