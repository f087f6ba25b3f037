"""An engine that plays single deltas, for tests of the faces: pauses, streams without an end, closes on record.

What answers whole answers is public, `langchain_localmodels.testing`; this one is for what no engine should do, and for
looking at how it is treated.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from langchain_localmodels.chat_models import LocalChatModel
from langchain_localmodels.engines.base import (
    Capabilities,
    ChatRequest,
    CompletionRequest,
    Engine,
    EngineExtras,
    FinishDelta,
    ReasoningDelta,
    TextDelta,
    Timings,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from langchain_localmodels.llms import LocalLLM
from langchain_localmodels.options import LocalModelOptions


def finish(reason="stop", *, read=5, written=3, cached=0, model="scripted-model"):
    times = Timings(total=0.5, load=None, prompt=0.25, generation=0.125)
    return FinishDelta(reason, Usage(read, written, cached), times, model)


def words(text, **end):
    """A script that says these words."""
    return [*(TextDelta(piece) for piece in text.split("|")), finish(**end)]


TWO_CALLS = [
    ReasoningDelta("I need "),
    ReasoningDelta("tools."),
    TextDelta("Let me "),
    TextDelta("look."),
    ToolCallDelta(0, "call_a", "weather", '{"city": '),
    ToolCallDelta(0, None, None, '"Paris"}'),
    ToolCallDelta(1, "call_b", "time", "{}"),
    finish("tool_calls"),
]

WITH_LOGPROBS = [
    TextDelta("a", (TokenLogprob("a", -0.5, (("a", -0.5), ("b", -1.5))),)),
    TextDelta("", (TokenLogprob("", -0.25, ()),)),
    TextDelta("b", (TokenLogprob("b", -2.0, (("b", -2.0),)),)),
    finish(),
]


class ScriptedStream:
    """Plays deltas, raises exceptions, waits for as many seconds as a number says (or until it is closed)."""

    def __init__(self, script: Sequence[Any]) -> None:
        self._script = script
        self.closed = threading.Event()
        self.reads = 0

    def __iter__(self):
        for item in self._script:
            if isinstance(item, int | float):
                self.closed.wait(item)
            if self.closed.is_set():
                return
            if isinstance(item, BaseException):
                raise item
            if not isinstance(item, int | float):
                self.reads += 1
                yield item

    async def __aiter__(self):
        for item in self._script:
            if isinstance(item, int | float):
                await asyncio.sleep(item)
            if self.closed.is_set():
                return
            if isinstance(item, BaseException):
                raise item
            if not isinstance(item, int | float):
                self.reads += 1
                yield item

    def close(self) -> None:
        self.closed.set()

    async def aclose(self) -> None:
        self.close()


@dataclass
class Log:
    """What was done to the engines of one test."""

    engines: list[ScriptedEngine] = field(default_factory=list)

    @property
    def requests(self) -> list[Any]:
        return [request for engine in self.engines for request in engine.requests]

    @property
    def streams(self) -> list[ScriptedStream]:
        return [stream for engine in self.engines for stream in engine.streams]


class ScriptedEngine(Engine):
    def __init__(self, scripts: Mapping[str, Sequence[Any]] | Sequence[Any], tokenizer: bool = True) -> None:
        self._scripts = scripts
        self._tokenizer = tokenizer
        self.requests: list[ChatRequest | CompletionRequest] = []
        self.streams: list[ScriptedStream] = []
        self.loads = 0
        self.closes = 0

    def _play(self, request, prompt):
        script = self._scripts[prompt] if isinstance(self._scripts, Mapping) else self._scripts
        stream = ScriptedStream(script)
        self.requests.append(request)
        self.streams.append(stream)
        return stream

    def complete(self, request: CompletionRequest) -> ScriptedStream:
        return self._play(request, request.prompt)

    def chat(self, request: ChatRequest) -> ScriptedStream:
        return self._play(request, request.turns[-1].text)

    def capabilities(self) -> Capabilities:
        return Capabilities(tools="native", constrain="none", tokenizer=self._tokenizer)

    def tokenize(self, text: str) -> list[int]:
        return [len(word) for word in text.split()]

    def load(self) -> None:
        self.loads += 1

    def close(self) -> None:
        self.closes += 1


@dataclass(frozen=True, slots=True)
class ScriptedExtras(EngineExtras):
    mood: str


LOGS: dict[str, Log] = {}


class ScriptedOptions(LocalModelOptions):
    """An engine's mixin as real engines write it."""

    _engine_name: ClassVar[str] = "scripted"
    _aliases: ClassVar[Mapping[str, str]] = {"model_id": "model"}
    _retired: ClassVar[Mapping[str, object]] = {"f16_kv": True, "old_anything": ...}
    _not_identity: ClassVar[frozenset[str]] = frozenset({"log", "tokenizer", "script"})

    model: str = "scripted-model"
    mood: str | None = None
    script: Any = None
    tokenizer: bool = True
    n_ctx: int = 512
    log: str = "default"
    """Name of the `Log` in `LOGS`; a name, as objects are copied and pickled."""

    def _model_name(self) -> str:
        return self.model

    def _new_engine(self) -> Engine:
        engine = ScriptedEngine(self.script if self.script is not None else words("Hello| wor|ld"), self.tokenizer)
        LOGS.setdefault(self.log, Log()).engines.append(engine)
        return engine

    def _extras(self, overrides: dict[str, Any]) -> EngineExtras | None:
        mood = overrides.pop("mood", self.mood)
        return None if mood is None else ScriptedExtras(mood)

    def _identity_extra(self) -> dict[str, Any]:
        return {"script": repr(self.script)} if self.script is not None else {}

    def _profile(self) -> dict[str, Any] | None:
        return {"max_input_tokens": self.n_ctx}


class ChatScripted(ScriptedOptions, LocalChatModel):
    pass


class ScriptedLLM(ScriptedOptions, LocalLLM):
    pass
