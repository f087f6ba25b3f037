"""From an engine's `Delta`s to LangChain's chunks, messages and generations: the only place where that is done.

What langchain-core does with chunks shapes this file:

- Metadata is merged by joining strings and adding numbers, so it rides on the last chunk only, log probabilities too.
- Blocks of a message are merged by their index, whatever their type, and core numbers text and reasoning from 0: tool
  calls have indexes from 1000 up, and never share a chunk with text.
- Core reads the arguments of a streamed call with a parser that completes what is missing: a call that was cut off
  would be run with half its arguments. Such a call gets a last piece that this parser refuses (see `_spoil`).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, TypeVar

from langchain_core.messages import AIMessage, AIMessageChunk, InvalidToolCall, ToolCall
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata
from langchain_core.messages.tool import ToolCallChunk, invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, Generation, GenerationChunk
from pydantic import BaseModel

from langchain_localmodels.engines.base import (
    Delta,
    FinishDelta,
    InvalidToolCallDelta,
    ReasoningDelta,
    TextDelta,
    Timings,
    TokenLogprob,
    ToolCallDelta,
    Usage,
)
from langchain_localmodels.errors import EngineError
from langchain_localmodels.schema_check import fault_of

_FIRST_CALL = 1000
_FIRST_INVALID_CALL = 2000
_ModelT = TypeVar("_ModelT", bound=BaseModel)


@dataclass
class _Call:
    """A tool call as far as it has come."""

    index: int
    id: str
    name: str | None
    schemas: Mapping[str, Mapping[str, Any]] | None = None
    pieces: list[str] = field(default_factory=list)

    def read(self, *, cut: bool) -> tuple[dict[str, Any] | None, str]:
        """Give the arguments, or `None` and what is wrong with them; `cut` tells that the answer was cut off."""
        text = "".join(self.pieces)
        if cut and not text:
            return None, "The answer was cut off before the arguments came."
        if not self.name:
            return None, "The call names no tool."
        try:
            arguments = json.loads(text or "{}")
        except RecursionError:
            return None, "The arguments are nested too deeply."
        except ValueError as error:
            return None, f"The arguments are not JSON: {error}"
        if not isinstance(arguments, dict):
            return None, "The arguments are not a JSON object."
        fault = self._breach(arguments)
        return (None, fault) if fault else (arguments, "")

    def _breach(self, arguments: dict[str, Any]) -> str:
        if self.schemas is None:
            return ""
        schema = self.schemas.get(self.name or "")
        if schema is None:
            return f"There is no tool {self.name!r}."
        fault = fault_of(arguments, schema)
        return f"The arguments break the tool's schema: {fault}" if fault else ""


class Answer:
    """One answer, gathered delta by delta.

    Args:
        provider: The engine's name, for the metadata.
        schemas: JSON Schemas of the arguments of tools, by name, to check calls against; `None` for no check.
    """

    def __init__(self, provider: str, schemas: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self._provider = provider
        self._schemas = schemas
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._logprobs: list[TokenLogprob] = []
        self._calls: dict[int, _Call] = {}
        self._invalid: list[InvalidToolCall] = []
        self._finish: FinishDelta | None = None

    def add(self, delta: Delta) -> None:
        """Take in a delta without making a chunk of it."""
        if isinstance(delta, TextDelta):
            self._text.append(delta.text)
            self._logprobs.extend(delta.logprobs)
        elif isinstance(delta, ReasoningDelta):
            self._reasoning.append(delta.text)
        elif isinstance(delta, ToolCallDelta):
            self._add_call_piece(delta)
        elif isinstance(delta, InvalidToolCallDelta):
            self._add_invalid(delta)
        else:
            self._finish = delta

    def chat_chunks(self, delta: Delta) -> list[ChatGenerationChunk]:
        """Take in a delta and give the chunks that tell of it: none, one, or at the end several."""
        if isinstance(delta, TextDelta):
            self.add(delta)
            return [self._chunk(delta.text)] if delta.text else []
        if isinstance(delta, ReasoningDelta):
            self.add(delta)
            return [self._chunk(additional_kwargs={"reasoning_content": delta.text})]
        if isinstance(delta, ToolCallDelta):
            return [self._chunk(tool_call_chunks=[self._add_call_piece(delta)])]
        if isinstance(delta, InvalidToolCallDelta):
            return [self._chunk(tool_call_chunks=[self._add_invalid(delta)])]
        self.add(delta)
        last = self._chunk(
            told=self._metadata(delta),
            usage_metadata=_usage_metadata(delta.usage),
            chunk_position="last",
        )
        return [*(self._chunk(tool_call_chunks=[piece]) for piece in self._spoiling_pieces()), last]

    def text_chunks(self, delta: Delta) -> list[GenerationChunk]:
        """Take in a delta and give the chunks that tell of it, for a text-in, text-out model."""
        self.add(delta)
        if isinstance(delta, TextDelta):
            return [_made(GenerationChunk, {"text": delta.text})] if delta.text else []
        if isinstance(delta, ReasoningDelta):
            return [GenerationChunk(text="", generation_info={"reasoning_content": delta.text})]
        if isinstance(delta, FinishDelta):
            return [GenerationChunk(text="", generation_info=self._generation_info(delta))]
        return []

    def check_whole(self) -> None:
        """Make sure that the answer came to its end.

        Raises:
            EngineError: If it did not.
        """
        _ = self.finish

    @property
    def finish(self) -> FinishDelta:
        """The end of the answer.

        Raises:
            EngineError: If the stream ended without one.
        """
        if self._finish is None:
            raise EngineError(f"The answer of {self._provider} broke off: its end never came.")
        return self._finish

    @property
    def _is_cut(self) -> bool:
        return self.finish.reason == "length"

    def chat_generation(self) -> ChatGeneration:
        """The whole answer as a message. Only arguments that are whole and valid JSON make a tool call."""
        tool_calls: list[ToolCall] = []
        invalid = list(self._invalid)
        for call in sorted(self._calls.values(), key=lambda call: call.index):
            arguments, fault = call.read(cut=self._is_cut)
            if arguments is not None:
                tool_calls.append(tool_call(name=call.name or "", args=arguments, id=call.id))
            else:
                invalid.append(invalid_tool_call(name=call.name, args="".join(call.pieces), id=call.id, error=fault))
        message = AIMessage(
            content="".join(self._text),
            additional_kwargs={"reasoning_content": "".join(self._reasoning)} if self._reasoning else {},
            tool_calls=tool_calls,
            invalid_tool_calls=invalid,
            response_metadata={"model_provider": self._provider, **self._metadata(self.finish)},
            usage_metadata=_usage_metadata(self.finish.usage),
        )
        return ChatGeneration(message=message)

    def generation(self) -> Generation:
        """The whole answer as text."""
        info = self._generation_info(self.finish)
        if self._reasoning:
            info["reasoning_content"] = "".join(self._reasoning)
        return Generation(text="".join(self._text), generation_info=info)

    # --- pieces -----------------------------------------------------------------------------------------------------

    def _chunk(self, content: str = "", told: Mapping[str, Any] | None = None, **fields: Any) -> ChatGenerationChunk:
        fields["content"] = content
        fields["response_metadata"] = metadata = {"model_provider": self._provider}
        if told is not None:
            metadata.update(told)
        return _made(ChatGenerationChunk, {"message": _made(AIMessageChunk, fields)})

    def _add_call_piece(self, delta: ToolCallDelta) -> ToolCallChunk:
        call = self._calls.get(delta.index)
        first = call is None
        if call is None:
            call_id = delta.id or f"call_{uuid.uuid4().hex}"
            call = self._calls[delta.index] = _Call(delta.index, call_id, delta.name, self._schemas)
        call.pieces.append(delta.arguments)
        return tool_call_chunk(
            id=call.id if first else None,
            name=call.name if first else None,
            args=delta.arguments,
            index=_FIRST_CALL + delta.index,
        )

    def _add_invalid(self, delta: InvalidToolCallDelta) -> ToolCallChunk:
        call_id = f"call_{uuid.uuid4().hex}"
        index = _FIRST_INVALID_CALL + len(self._invalid)
        self._invalid.append(invalid_tool_call(name=delta.name, args=delta.raw, id=call_id, error=delta.error))
        # A chunk has no place for the error: core would drop it when it joins chunks.
        return tool_call_chunk(id=call_id, name=delta.name, args=delta.raw + _spoil(delta.raw), index=index)

    def _spoiling_pieces(self) -> list[ToolCallChunk]:
        """Last pieces for the calls that must not be taken for whole ones."""
        return [
            tool_call_chunk(args=_spoil("".join(call.pieces)), index=_FIRST_CALL + call.index)
            for call in self._calls.values()
            if call.read(cut=self._is_cut)[0] is None
        ]

    # --- metadata ---------------------------------------------------------------------------------------------------

    def _metadata(self, finish: FinishDelta) -> dict[str, Any]:
        metadata: dict[str, Any] = {
            "model_name": finish.model,
            "model": finish.model,
            "finish_reason": finish.reason,
            "done": True,
            "done_reason": "length" if finish.reason == "length" else "stop",
            "created_at": datetime.now(timezone.utc).isoformat(),
            "prompt_eval_count": finish.usage.input_tokens,
            "eval_count": finish.usage.output_tokens,
            **_durations(finish.timings),
        }
        if self._logprobs:
            metadata["logprobs"] = {"content": [_logprob(token) for token in self._logprobs]}
        return metadata

    def _generation_info(self, finish: FinishDelta) -> dict[str, Any]:
        usage = _usage_metadata(finish.usage)
        return {"model_provider": self._provider, **self._metadata(finish), "usage_metadata": usage}


def _made(kind: type[_ModelT], fields: dict[str, Any]) -> _ModelT:
    """What `kind(**fields)` makes, validated alike, in two thirds of the time.

    What is left out are the constructors of LangChain's classes, up to four of them in a row, each of which only hands
    its fields to the next: `pydantic.BaseModel.__init__` does in the end what is done here.
    """
    made = kind.__new__(kind)
    kind.__pydantic_validator__.validate_python(fields, self_instance=made)
    return made


def _spoil(text: str) -> str:
    """Give what to append to a text so that no parser takes it for JSON, not even one that mends what is cut off.

    `langchain_core.utils.json.parse_partial_json` gives up at a bracket that closes what was not opened; a string that
    is open has to be closed first.
    """
    in_string = escaped = False
    opened: list[str] = []
    for char in text:
        if in_string:
            in_string = char != '"' or escaped
            escaped = char == "\\" and not escaped
        elif char == '"':
            in_string = True
        elif char in "{[":
            opened.append(char)
        elif char in "}]" and opened:
            opened.pop()
    closed_string = ('\\"' if escaped else '"') if in_string else ""
    return closed_string + ("}" if opened and opened[-1] == "[" else "]")


def _logprob(token: TokenLogprob) -> dict[str, Any]:
    top = [{"token": text, "logprob": logprob} for text, logprob in token.top]
    return {"token": token.token, "logprob": token.logprob, "top_logprobs": top}


def _usage_metadata(usage: Usage) -> UsageMetadata:
    total = usage.input_tokens + usage.output_tokens
    metadata = UsageMetadata(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, total_tokens=total)
    if usage.cache_read:
        metadata["input_token_details"] = InputTokenDetails(cache_read=usage.cache_read)
    return metadata


def _durations(timings: Timings) -> dict[str, int]:
    """Times under Ollama's names, in nanoseconds; those that the engine does not tell are left out."""
    seconds = {
        "total_duration": timings.total,
        "load_duration": timings.load,
        "queue_duration": timings.queue,
        "prompt_eval_duration": timings.prompt,
        "eval_duration": timings.generation,
    }
    return {name: round(value * 1e9) for name, value in seconds.items() if value is not None}
