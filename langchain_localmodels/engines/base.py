"""The contract between the LangChain faces and the engines: plain frozen values and one abstract class.

A face turns LangChain's input into a `ChatRequest` or `CompletionRequest`; an engine answers with a `DeltaStream`; the
face turns its `Delta`s back into LangChain's chunks. For embeddings it is an `EmbeddingRequest`, a `VectorStream` and
lists of numbers. Faces know no engine, engines know no LangChain, and this module knows neither. The values are
defined in `values.py`, and imported from here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

from langchain_localmodels.engines.values import (
    Audio,
    ChatRequest,
    CompletionRequest,
    Constraint,
    Delta,
    EmbeddingRequest,
    EngineExtras,
    FinishDelta,
    FinishReason,
    GenerationSettings,
    Grammar,
    Image,
    InvalidToolCallDelta,
    JsonOutput,
    Part,
    ReasoningDelta,
    Role,
    Sampling,
    Text,
    TextDelta,
    Timings,
    TokenLogprob,
    Tool,
    ToolCall,
    ToolCallDelta,
    ToolChoice,
    Turn,
    Usage,
    VectorDelta,
)

__all__ = [
    "Audio",
    "Capabilities",
    "ChatRequest",
    "CompletionRequest",
    "Constraint",
    "Delta",
    "DeltaStream",
    "EmbeddingRequest",
    "Engine",
    "EngineExtras",
    "FinishDelta",
    "FinishReason",
    "GenerationSettings",
    "Grammar",
    "Image",
    "InvalidToolCallDelta",
    "JsonOutput",
    "Part",
    "ReasoningDelta",
    "Role",
    "Sampling",
    "Stream",
    "Text",
    "TextDelta",
    "Timings",
    "TokenLogprob",
    "Tool",
    "ToolCall",
    "ToolCallDelta",
    "ToolChoice",
    "Turn",
    "Usage",
    "VectorDelta",
    "VectorStream",
]


# --- how it comes out -----------------------------------------------------------------------------------------------

ItemT_co = TypeVar("ItemT_co", covariant=True)


@runtime_checkable
class Stream(Protocol[ItemT_co]):
    """An answer as it is made. A thread or an asyncio task reads it, once; either may close it at any time.

    Work begins with the first read, not before. Closing stops the engine's work on this request between two tokens;
    closing twice, or after the end, does nothing. Reading after closing ends at once.
    """

    def __iter__(self) -> Iterator[ItemT_co]:
        """Read from a thread."""
        ...

    def __aiter__(self) -> AsyncIterator[ItemT_co]:
        """Read from a task of an asyncio event loop; nothing here blocks the loop."""
        ...

    def close(self) -> None:
        """Stop and let go of everything, from any thread, without waiting for the engine."""
        ...

    async def aclose(self) -> None:
        """The same, from a task."""
        ...


DeltaStream: TypeAlias = Stream[Delta]
"""An answer in text: its last delta is a `FinishDelta`."""
VectorStream: TypeAlias = Stream[VectorDelta]
"""Embeddings, one for each text of the request, in any order."""


# --- the engine -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do with its model. Faces branch on this alone.

    Attributes:
        tools: `native` where the engine parses calls itself, `template` where the model's chat template has a notation
            that this package parses, `prompt` where tools can only be explained in the prompt.
        constrain: The strongest constraint on the answer: a `grammar`, a JSON `schema`, or `none`.
        tokenizer: Whether text can be turned into the model's tokens here.
        chat: Whether the model has a chat template.
        embeds: Whether it gives embeddings.
        images: Whether it reads images.
        audio: Whether it hears audio.
        context_window: Tokens that prompt and answer share; `None` where unknown.
    """

    tools: Literal["native", "template", "prompt"]
    constrain: Literal["grammar", "schema", "none"]
    tokenizer: bool
    chat: bool = True
    embeds: bool = False
    images: bool = False
    audio: bool = False
    context_window: int | None = None


class Engine(ABC):
    """One model on one engine. Making one is cheap: weights load, or a server is asked, on first use.

    An engine may be used by many threads and event loops at once. After `close` the next use opens it again. One that
    is collected as garbage, or still open at the end of the program, lets go of everything by itself.
    """

    def complete(self, request: CompletionRequest) -> DeltaStream:
        """Begin to continue a text. Never blocks; errors come from reading the stream.

        Raises:
            NotImplementedError: Where this engine only embeds.
        """
        raise NotImplementedError

    def chat(self, request: ChatRequest) -> DeltaStream:
        """Begin to answer a conversation. Never blocks; errors come from reading the stream.

        Raises:
            NotImplementedError: Where this engine only embeds.
        """
        raise NotImplementedError

    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What this engine can do with its model. May load it."""

    def embed(self, request: EmbeddingRequest) -> VectorStream:
        """Begin to embed texts. Never blocks; errors come from reading the stream.

        Raises:
            NotImplementedError: Where `capabilities().embeds` is false.
        """
        raise NotImplementedError

    def tokenize(self, text: str) -> Sequence[int]:
        """Turn text into the model's token ids, without special tokens added. May load the model.

        Raises:
            NotImplementedError: Where `capabilities().tokenizer` is false.
        """
        raise NotImplementedError

    def count(self, turns: Sequence[Turn], tools: Sequence[Tool] = ()) -> int:
        """Count the tokens of the prompt that a chat request with these turns and tools has. May load the model.

        Raises:
            NotImplementedError: Where `capabilities().tokenizer` is false.
            ChatTemplateError: The model's chat template does not take these turns, or there is none.
        """
        raise NotImplementedError

    @abstractmethod
    def load(self) -> None:
        """Do now what the first use would do: load the weights, or check that the server has the model."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the model. Running requests of this engine end with `EngineClosedError`. May be called twice."""

    def __enter__(self) -> Engine:
        """Give itself; `close` follows at the end of the `with` block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()
