"""`ScriptedEngine`: an engine that plays a script, by the same contract, and on the same streams, as real ones."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Sequence

from langchain_localmodels.engines.base import (
    Audio,
    Capabilities,
    ChatRequest,
    CompletionRequest,
    Delta,
    EmbeddingRequest,
    Engine,
    Image,
    Tool,
    Turn,
    VectorDelta,
)
from langchain_localmodels.engines.worker import WorkerStream, wake
from langchain_localmodels.errors import EngineClosedError, PromptTooLongError, UnsupportedContentError
from langchain_localmodels.testing.gates import Gate
from langchain_localmodels.testing.playing import Request, Step, count_request, count_tokens, steps_of, token_ids
from langchain_localmodels.testing.script import Script


class ScriptedEngine(Engine):
    """Plays a script.

    Args:
        script: What it answers.
        capabilities: What it is taken to be able to do.
        model: Name of the model, for the metadata.
    """

    def __init__(self, script: Script, capabilities: Capabilities, *, model: str) -> None:
        self._script = script
        self._capabilities = capabilities
        self._model = model
        self._lock = threading.Lock()
        self._streams: weakref.WeakSet[WorkerStream[Delta]] = weakref.WeakSet()

    def chat(self, request: ChatRequest) -> WorkerStream[Delta]:
        """See `Engine.chat`."""
        return self._stream(request)

    def complete(self, request: CompletionRequest) -> WorkerStream[Delta]:
        """See `Engine.complete`."""
        return self._stream(request)

    def capabilities(self) -> Capabilities:
        """See `Engine.capabilities`."""
        return self._capabilities

    def tokenize(self, text: str) -> Sequence[int]:
        """See `Engine.tokenize`. A word is a token."""
        return token_ids(text)

    def count(self, turns: Sequence[Turn], tools: Sequence[Tool] = ()) -> int:
        """Count the tokens of a conversation, as the `usage` of an answer to it does."""
        return count_tokens(turns, tools)

    def load(self) -> None:
        """There is nothing to load."""

    def close(self) -> None:
        """See `Engine.close`. The script goes on where it was."""
        with self._lock:
            running = [stream for stream in self._streams if not stream.closed]
        for stream in running:
            stream.fail(EngineClosedError("The scripted model was closed while it answered."))

    def _stream(self, request: Request) -> WorkerStream[Delta]:
        def begin(stream: WorkerStream[Delta]) -> None:
            with self._lock:
                self._streams.add(stream)
            self._check(request)
            number, answer = self._script.take(request)
            _play(stream, iter(steps_of(answer, request, model=self._model, number=number)))

        return WorkerStream(begin, timeout=request.settings.timeout, eager=request.settings.pieces)

    def _check(self, request: Request) -> None:
        turns = request.turns if isinstance(request, ChatRequest) else ()
        parts = [part for turn in turns for part in turn.parts]
        if not self._capabilities.audio and any(isinstance(part, Audio) for part in parts):
            raise UnsupportedContentError(
                "The scripted model is taken not to hear audio, and a message has some.",
                hint="Give it `capabilities` with audio=True.",
            )
        if not self._capabilities.images and any(isinstance(part, Image) for part in parts):
            raise UnsupportedContentError(
                "The scripted model is taken not to read images, and a message has one.",
                hint="Give it `capabilities` with images=True.",
            )
        window, read = self._capabilities.context_window, count_request(request)
        if window is not None and read >= window:
            raise PromptTooLongError(
                f"The prompt has {read} tokens, and the context window {window}: no room for an answer.",
                prompt_tokens=read,
                context_window=window,
                hint="Shorten the prompt, or give the scripted model a larger `context_window`.",
            )


def _play(stream: WorkerStream[Delta], steps: Iterator[Step]) -> None:
    """Fill a stream up to the next closed gate; the gate goes on from there when it opens."""
    for step in steps:
        if stream.closed:
            return
        if isinstance(step, Gate):
            wake([stream])
            if not step.pass_or_wait(lambda: _play(stream, steps)):
                return
        elif isinstance(step, BaseException):
            stream.fail(step)
            return
        else:
            stream.put([step])
    stream.end()
    wake([stream])


class ScriptedEmbeddingEngine(Engine):
    """Gives vectors that a function makes.

    Args:
        vector: Makes the vector of a text.
        requests: Where requests are noted.
    """

    def __init__(self, vector: Callable[[str, bool], tuple[float, ...]], requests: list[EmbeddingRequest]) -> None:
        self._vector = vector
        self._requests = requests

    def embed(self, request: EmbeddingRequest) -> WorkerStream[VectorDelta]:
        """See `Engine.embed`."""

        def begin(stream: WorkerStream[VectorDelta]) -> None:
            self._requests.append(request)
            vectors = [self._vector(text, request.normalize) for text in request.texts]
            stream.put(VectorDelta(index, vector) for index, vector in enumerate(vectors))
            stream.end()

        return WorkerStream(begin, timeout=request.timeout)

    def capabilities(self) -> Capabilities:
        """See `Engine.capabilities`."""
        return Capabilities(tools="prompt", constrain="none", tokenizer=True, chat=False, embeds=True)

    def tokenize(self, text: str) -> Sequence[int]:
        """See `Engine.tokenize`. A word is a token."""
        return token_ids(text)

    def load(self) -> None:
        """There is nothing to load."""

    def close(self) -> None:
        """There is nothing to let go of."""
