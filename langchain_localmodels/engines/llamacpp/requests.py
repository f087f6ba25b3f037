"""One request on its way through the scheduler: what was asked, how far it is, and the deltas that come of it."""

from __future__ import annotations

import codecs
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from langchain_localmodels.dialects.reader import OutputReader
from langchain_localmodels.engines.base import Delta, FinishDelta, FinishReason, Sampling, Timings, TokenLogprob, Usage
from langchain_localmodels.engines.llamacpp.binding.model import Model
from langchain_localmodels.engines.llamacpp.sampling import TokenSampler, logprob_of
from langchain_localmodels.engines.worker import WorkerStream
from langchain_localmodels.errors import EngineError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Plan:
    """A request in the model's own terms.

    Attributes:
        prompt: Token ids, at least one.
        max_tokens: Most tokens to generate, already capped to the room in the window.
        sampling: How tokens are chosen.
        grammar: GBNF that the answer must follow.
        reader: Turns the text into deltas.
        top_logprobs: See `GenerationSettings.top_logprobs`.
        model_name: What the answer's metadata calls the model.
        verbose: Print the times of this request to stderr when it ends.
    """

    prompt: list[int]
    max_tokens: int
    sampling: Sampling
    grammar: str | None
    reader: OutputReader
    top_logprobs: int | None
    model_name: str
    verbose: bool


@dataclass(frozen=True, slots=True)
class Task:
    """What an engine submits: a stream to fill, and how to make the plan once the model is loaded."""

    stream: WorkerStream[Delta]
    plan: Callable[[Model], Plan]
    submitted: float = field(default_factory=time.perf_counter)


class Job:
    """A planned request. Its `tokens` are the prompt and what was generated; a slot says how many of them it holds."""

    def __init__(self, task: Task, plan: Plan, sampler: TokenSampler, model: Model, *, loaded: float) -> None:
        self.stream = task.stream
        self.plan = plan
        self.sampler = sampler
        self.tokens = list(plan.prompt)
        self.generated = 0
        self.reused = 0
        self.model = model
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._submitted = task.submitted
        self._loaded = max(loaded, task.submitted)
        self._admitted: float | None = None
        self._first_token: float | None = None
        self.sampling_seconds = 0.0

    @property
    def admitted(self) -> bool:
        """Whether a slot was given, be it for a while."""
        return self._admitted is not None

    def admit(self, reused: int) -> None:
        """Note that a slot was given, which already holds `reused` tokens of this request."""
        if self._admitted is None:  # a request that was preempted keeps the figures of its first admission
            self._admitted = time.perf_counter()
            self.reused = reused

    def advance(self, logits: npt.NDArray[np.float32]) -> FinishReason | None:
        """Choose the next token, given the scores of all; gives why the answer ends with it, or `None` when it goes on.

        Raises:
            EngineError: The grammar lets no token stand, or the model gave no numbers.
        """
        began = time.perf_counter()
        token = self.sampler.choose(logits)
        if math.isnan(logits[token]):
            raise EngineError(
                "The model gave no numbers.", hint="Its file may be damaged, or `rope_freq_base` or `_scale` is off."
            )
        top = self.plan.top_logprobs
        logprob = None if top is None else logprob_of(logits, token, top, self.model)
        self.sampling_seconds += time.perf_counter() - began
        return self._take(token, logprob)

    def _take(self, token: int, logprob: TokenLogprob | None) -> FinishReason | None:
        if self._first_token is None:
            self._first_token = time.perf_counter()
        if self.model.ends_generation(token):
            return "stop"
        self.sampler.accept(token)
        self.tokens.append(token)
        self.generated += 1
        text = self._decoder.decode(self.model.piece(token))
        reader = self.plan.reader
        if text or logprob:
            self.stream.put(reader.feed(text, (logprob,) if logprob else ()))
        if reader.stopped:
            return "stop"
        return "length" if self.generated >= self.plan.max_tokens else None

    def finish(self, reason: FinishReason) -> None:
        """End the answer. Bytes of a character that was cut off by the end are dropped, never shown as half of it."""
        reader = self.plan.reader
        self.stream.put(reader.finish())
        if reason == "stop" and reader.tool_calls:
            reason = "tool_calls"
        usage = Usage(len(self.plan.prompt), self.generated, self.reused)
        timings = self._timings()
        if self.plan.verbose:  # before the end, which a reader may see at once
            sys.stderr.write(_report(usage, timings, self.sampling_seconds))
        self.stream.put([FinishDelta(reason, usage, timings, self.plan.model_name)])
        self.stream.end()
        self.sampler.free()

    def drop(self) -> None:
        """Let go: nobody wants the answer any more."""
        self.sampler.free()

    def fail(self, error: BaseException) -> None:
        """End the answer with an error."""
        self.stream.fail(error)
        self.sampler.free()

    def _timings(self) -> Timings:
        end = time.perf_counter()
        admitted = self._admitted or end
        first = self._first_token or end
        return Timings(
            total=end - self._submitted,
            load=self._loaded - self._submitted,
            queue=max(0.0, admitted - self._loaded),
            prompt=first - admitted,
            generation=end - first,
        )


def _report(usage: Usage, timings: Timings, sampling_seconds: float) -> str:
    """The times of one request, in the layout that llama.cpp's own tools print."""
    read = usage.input_tokens - usage.cache_read
    # The first token comes out of the same computation that ends the prompt.
    steps = max(usage.output_tokens - 1, 0)
    lines = [
        _line("load time", timings.load or 0.0),
        _line("sample time", sampling_seconds, usage.output_tokens, "runs"),
        _line("prompt eval time", timings.prompt or 0.0, read, "tokens"),
        _line("eval time", timings.generation or 0.0, steps, "runs"),
        _line("total time", timings.total, usage.input_tokens + usage.output_tokens, "tokens", rate=False),
    ]
    if usage.cache_read:
        lines.insert(0, f"llama.cpp: prefix reused: {usage.cache_read} of {usage.input_tokens} prompt tokens\n")
    return "".join(lines)


def _line(name: str, seconds: float, count: int | None = None, unit: str = "", *, rate: bool = True) -> str:
    line = f"llama.cpp: {name:>16} = {seconds * 1000:10.2f} ms"
    if count is not None:
        line += f" / {count:5d} {unit:6}"
        if rate and count and seconds > 0:
            line += f" ({seconds * 1000 / count:8.2f} ms per token, {count / seconds:9.2f} tokens per second)"
    return line + "\n"
