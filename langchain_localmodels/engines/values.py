"""The plain frozen values of the contract: what a face asks of an engine, and what an engine answers.

`base.py` gives them out together with the abstract class that they belong to; import them from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

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


@dataclass(frozen=True, slots=True)
class Audio:
    """Recorded sound in a turn: raw bytes, already read and decoded.

    Attributes:
        data: The encoded audio file (WAV, MP3, …).
        mime_type: Its type, such as `audio/wav`.
    """

    data: bytes
    mime_type: str


Part: TypeAlias = Text | Image | Audio


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
    dry_multiplier: float | None = None
    dry_base: float | None = None
    dry_allowed_length: int | None = None
    dry_penalty_last_n: int | None = None
    dry_sequence_breakers: tuple[str, ...] | None = None
    xtc_probability: float | None = None
    xtc_threshold: float | None = None
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
        explained: Whether the model is also told of the schema, in the system turn. The face does that.
    """

    schema: Mapping[str, Any] | None = None
    explained: bool = False


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
        pieces: Whether the reader looks at pieces as they come. If not, the engine may leave it asleep until the end.
        extras: The engine's own values.
    """

    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)
    constraint: Constraint | None = None
    top_logprobs: int | None = None
    timeout: float | None = None
    model: str | None = None
    pieces: bool = True
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
        parallel_tool_calls: Whether an answer may hold several calls.
        settings: What is said about the answer.
    """

    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = "auto"
    parallel_tool_calls: bool = True
    settings: GenerationSettings = field(default_factory=GenerationSettings)

    @property
    def must_call(self) -> bool:
        """Whether the answer has to be a call."""
        return self.tool_choice not in ("auto", "none")

    @property
    def callable_tools(self) -> tuple[Tool, ...]:
        """Those of the tools that the answer may call."""
        if self.tool_choice == "none":
            return ()
        if self.tool_choice in ("auto", "any"):
            return self.tools
        return tuple(tool for tool in self.tools if tool.name == self.tool_choice)


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """Give a vector for each of these texts.

    Attributes:
        texts: The texts as the model is to read them, prefixes included.
        normalize: Scale each vector to length 1.
        truncate: Cut a text that is too long for the model, instead of refusing it.
        timeout: Longest wait for the next vector, in seconds; `None` for no limit.
    """

    texts: tuple[str, ...]
    normalize: bool = True
    truncate: bool = False
    timeout: float | None = None


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


@dataclass(frozen=True, slots=True)
class VectorDelta:
    """The embedding of one text.

    Attributes:
        index: Which text of the request, from 0.
        vector: Its embedding.
    """

    index: int
    vector: tuple[float, ...]


Delta: TypeAlias = TextDelta | ReasoningDelta | ToolCallDelta | InvalidToolCallDelta | FinishDelta
