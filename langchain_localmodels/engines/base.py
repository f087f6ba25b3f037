"""The contract between the LangChain faces and the engines: plain frozen values and one abstract class.

A face turns LangChain's input into a `ChatRequest` or `CompletionRequest`; an engine answers with a `DeltaStream`; the
face turns its `Delta`s back into LangChain's chunks. Faces know no engine, engines know no LangChain, and this module
knows neither: it imports nothing of the package.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
FinishReason: TypeAlias = Literal["stop", "length", "tool_calls"]
ToolChoice: TypeAlias = str
"""`"auto"`, `"none"`, `"any"`, or the name of one tool."""


# --- what goes in ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of text in a turn."""

    text: str


@dataclass(frozen=True, slots=True)
class Image:
    """An image in a turn: raw bytes, already read and decoded.

    Attributes:
        data: The encoded image file (PNG, JPEG, …).
        mime_type: Its type, such as `image/png`.
    """

    data: bytes
    mime_type: str


Part: TypeAlias = Text | Image


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model made in an earlier turn.

    Attributes:
        id: The id that its result refers to.
        name: The tool's name.
        arguments: The arguments as a JSON object in text.
    """

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation, free of LangChain.

    Attributes:
        role: Who speaks.
        parts: What is said, in order.
        name: Name of the speaker, or of the tool that answers.
        reasoning: What an assistant thought before it answered.
        tool_calls: The calls that an assistant made.
        tool_call_id: For role `tool`: which call this is the result of.
        is_error: For role `tool`: whether the tool failed.
    """

    role: Role
    parts: tuple[Part, ...] = ()
    name: str | None = None
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    is_error: bool = False

    @property
    def text(self) -> str:
        """All text parts, joined."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the model may call.

    Attributes:
        name: Its name.
        description: What it does, for the model.
        parameters: JSON Schema of its arguments, an object.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]

    def as_openai(self) -> dict[str, Any]:
        """The form that chat templates and servers expect."""
        function = {"name": self.name, "description": self.description, "parameters": dict(self.parameters)}
        return {"type": "function", "function": function}


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen. `None` means the engine's or the model's own default.

    The meaning of each value is that of llama.cpp's samplers, which all four engines descend from.
    """

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    typical_p: float | None = None
    repeat_penalty: float | None = None
    repeat_last_n: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    mirostat: int | None = None
    mirostat_tau: float | None = None
    mirostat_eta: float | None = None
    seed: int | None = None
    logit_bias: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Grammar:
    """Constrains the answer to a grammar in GBNF, llama.cpp's notation, with the start rule `root`."""

    gbnf: str


@dataclass(frozen=True, slots=True)
class JsonOutput:
    """Constrains the answer to JSON.

    Attributes:
        schema: JSON Schema that the answer follows; `None` for any JSON value.
    """

    schema: Mapping[str, Any] | None = None


Constraint: TypeAlias = Grammar | JsonOutput


@dataclass(frozen=True, slots=True)
class EngineExtras:
    """Base of an engine's own per-request values, which only that engine's room defines and reads."""


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """What a request says about the answer, whatever it asks.

    Attributes:
        max_tokens: Most tokens to generate; `None` for as many as the context window has room for.
        stop: Strings that end the answer and are not part of it.
        sampling: How tokens are chosen.
        constraint: What the answer must look like.
        top_logprobs: `None` for no log probabilities, else how many alternatives to report beside each token.
        timeout: Longest wait for the next piece of the answer, in seconds; `None` for no limit.
        model: Name of another model to use for this request, on engines that can.
        extras: The engine's own values.
    """

    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)
    constraint: Constraint | None = None
    top_logprobs: int | None = None
    timeout: float | None = None
    model: str | None = None
    extras: EngineExtras | None = None


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """Continue this text."""

    prompt: str
    settings: GenerationSettings = field(default_factory=GenerationSettings)


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """Answer this conversation.

    Attributes:
        turns: The conversation so far.
        tools: What the model may call.
        tool_choice: Whether it must call, may call, or must not.
        settings: What is said about the answer.
    """

    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = "auto"
    settings: GenerationSettings = field(default_factory=GenerationSettings)


# --- what comes out -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """Log probability of one generated token, and of the most likely ones in its place."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer's text: whole characters, never empty unless it only carries `logprobs`."""

    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A piece of what the model thinks before it answers."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A tool call, or a piece of one.

    Attributes:
        index: Which call of this answer, from 0.
        id: Its id, on the first piece only.
        name: The tool's name, on the first piece only.
        arguments: A piece of the JSON text of the arguments.
    """

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class InvalidToolCallDelta:
    """A tool call that cannot be read.

    Attributes:
        raw: What the model wrote.
        error: What is wrong with it.
        name: The tool's name, if that much could be read.
    """

    raw: str
    error: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one request.

    Attributes:
        input_tokens: Tokens of the prompt, as the engine saw it.
        output_tokens: Tokens generated, those of tool calls and reasoning included.
        cache_read: How many of the prompt's tokens were not computed again.
    """

    input_tokens: int
    output_tokens: int
    cache_read: int = 0


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of one request went, in seconds; `None` where the engine does not tell.

    Attributes:
        total: From the request to the last token.
        load: Loading the model, if this request had to wait for that.
        queue: Waiting for other requests.
        prompt: Reading the prompt.
        generation: Writing the answer.
    """

    total: float
    load: float | None = None
    queue: float | None = None
    prompt: float | None = None
    generation: float | None = None


@dataclass(frozen=True, slots=True)
class FinishDelta:
    """The end of an answer: always the last delta, always there.

    Attributes:
        reason: Why it ended.
        usage: Token counts.
        timings: Times.
        model: The model that answered, as the engine names it.
    """

    reason: FinishReason
    usage: Usage
    timings: Timings
    model: str


Delta: TypeAlias = TextDelta | ReasoningDelta | ToolCallDelta | InvalidToolCallDelta | FinishDelta


@runtime_checkable
class DeltaStream(Protocol):
    """One answer as it is made. A thread or an asyncio task reads it, once; either may close it at any time.

    Work begins with the first read, not before. Closing stops the engine's work on this request between two tokens;
    closing twice, or after the end, does nothing. Reading after closing ends at once.
    """

    def __iter__(self) -> Iterator[Delta]:
        """Read from a thread."""
        ...

    def __aiter__(self) -> AsyncIterator[Delta]:
        """Read from a task of an asyncio event loop; nothing here blocks the loop."""
        ...

    def close(self) -> None:
        """Stop and let go of everything, from any thread, without waiting for the engine."""
        ...

    async def aclose(self) -> None:
        """The same, from a task."""
        ...


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
        context_window: Tokens that prompt and answer share; `None` where unknown.
    """

    tools: Literal["native", "template", "prompt"]
    constrain: Literal["grammar", "schema", "none"]
    tokenizer: bool
    chat: bool = True
    embeds: bool = False
    images: bool = False
    context_window: int | None = None


class Engine(ABC):
    """One model on one engine. Making one is cheap: weights load, or a server is asked, on first use.

    An engine may be used by many threads and event loops at once. After `close` the next use opens it again. One that
    is collected as garbage, or still open at the end of the program, lets go of everything by itself.
    """

    @abstractmethod
    def complete(self, request: CompletionRequest) -> DeltaStream:
        """Begin to continue a text. Never blocks; errors come from reading the stream."""

    @abstractmethod
    def chat(self, request: ChatRequest) -> DeltaStream:
        """Begin to answer a conversation. Never blocks; errors come from reading the stream."""

    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What this engine can do with its model. May load it."""

    def tokenize(self, text: str) -> Sequence[int]:
        """Turn text into the model's token ids, without special tokens added. May load the model.

        Raises:
            NotImplementedError: Where `capabilities().tokenizer` is false.
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
