"""From a request of the contract to the JSON that a server is sent. Pure: no I/O, and nothing given is changed."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from langchain_localmodels.dialects.gbnf import check_grammar
from langchain_localmodels.dialects.history import failure_text, in_place_of_arguments, read_arguments
from langchain_localmodels.dialects.json_schema import schema_grammar
from langchain_localmodels.dialects.media import audio_format
from langchain_localmodels.engines.base import (
    Audio,
    ChatRequest,
    CompletionRequest,
    Constraint,
    GenerationSettings,
    Grammar,
    Image,
    JsonOutput,
    Part,
    Sampling,
    Text,
    ToolCall,
    Turn,
)
from langchain_localmodels.engines.llamafile.extras import LLAMAS_OWN, LlamafileExtras
from langchain_localmodels.engines.llamafile.server import ServerFacts
from langchain_localmodels.errors import InvalidRequestError, UnsupportedContentError, UnsupportedFeatureError

ANY_JSON = schema_grammar(True).gbnf


def chat_payload(request: ChatRequest, facts: ServerFacts, model: str) -> dict[str, Any]:
    """The body of `POST /v1/chat/completions`.

    Raises:
        InvalidRequestError: There is no turn, or a grammar is wrong.
        UnsupportedFeatureError: The request asks for what the server cannot do.
    """
    settings = request.settings
    payload = {"model": model, **conversation(request, facts)}
    streamed = True
    if "tools" in payload:
        # llama.cpp's server tells log probabilities with tools only in a whole answer.
        streamed = facts.streams_calls and not (facts.is_llama and settings.top_logprobs is not None)
        if not request.parallel_tool_calls:
            payload["parallel_tool_calls"] = False
    payload["stream"] = streamed
    if streamed:
        payload["stream_options"] = {"include_usage": True}
    if settings.top_logprobs is not None:
        if facts.kind in ("old_llama", "llamafiler"):
            raise UnsupportedFeatureError(
                "This server is too old for log probabilities in a chat.", hint="Use llamafile 0.10 or newer."
            )
        payload["logprobs"] = True
        # llama.cpp's server takes 0 for "none at all".
        payload["top_logprobs"] = max(1, settings.top_logprobs)
    if (most := _most_tokens(settings, facts)) is not None:
        payload["max_tokens"] = most
    payload.update(_thinking(settings, facts))
    payload.update(_constraint(settings.constraint, facts, with_tools="tools" in payload))
    return {**payload, **_settings(settings, facts)}


def conversation(request: ChatRequest, facts: ServerFacts) -> dict[str, Any]:
    """The part of a chat request that becomes the prompt.

    Raises:
        InvalidRequestError: There is no turn.
        UnsupportedFeatureError: The server knows no tools.
    """
    if not request.turns:
        raise InvalidRequestError("There is no message to answer.", hint="Give at least one.")
    if request.must_call:
        raise UnsupportedFeatureError(
            f"The server cannot be made to call a tool (tool_choice={request.tool_choice!r}).",
            hint='Use tool_choice="auto", or ask through the chat model, which forces calls by a schema.',
        )
    payload: dict[str, Any] = {"messages": [_message(turn, facts) for turn in request.turns]}
    if request.tools and request.tool_choice == "auto":
        if facts.kind in ("old_llama", "llamafiler"):
            raise UnsupportedFeatureError(
                "This server is too old for tools.",
                hint='Use llamafile 0.10 or newer, or force the call: tool_choice="any".',
            )
        payload["tools"] = [tool.as_openai() for tool in request.tools]
    return payload


def completion_payload(request: CompletionRequest, facts: ServerFacts, model: str) -> tuple[str, dict[str, Any]]:
    """The path and the body that continue a text.

    Raises:
        InvalidRequestError: The prompt is empty, or a grammar is wrong.
        UnsupportedFeatureError: The request asks for what the server cannot do.
    """
    if not request.prompt:
        raise InvalidRequestError("The prompt is empty.", hint="Give at least one character.")
    settings = request.settings
    payload: dict[str, Any] = {"model": model, "prompt": request.prompt, "stream": True}
    if facts.is_llama:
        if (most := _most_tokens(settings, facts)) is not None:
            payload["n_predict"] = most
        if settings.top_logprobs is not None:
            payload["n_probs"] = max(1, settings.top_logprobs)
    else:
        payload["stream_options"] = {"include_usage": True}
        # Left out, it means 16 to several servers; null means as many as there is room for.
        payload["max_tokens"] = settings.max_tokens
        if settings.top_logprobs is not None:
            payload["logprobs"] = max(1, settings.top_logprobs)
    payload.update(_constraint(settings.constraint, facts, with_tools=False, native=facts.is_llama))
    return "/completion" if facts.is_llama else "/v1/completions", {**payload, **_settings(settings, facts)}


def extras_of(settings: GenerationSettings) -> LlamafileExtras:
    """The engine's own values of a request."""
    return settings.extras if isinstance(settings.extras, LlamafileExtras) else LlamafileExtras()


def _most_tokens(settings: GenerationSettings, facts: ServerFacts) -> int | None:
    # Such a server forgets the beginning where the window is full, and may write for ever.
    return facts.context_window if settings.max_tokens is None and facts.shifts else settings.max_tokens


# --- what is said about the answer ------------------------------------------------------------------------------------


def _settings(settings: GenerationSettings, facts: ServerFacts) -> dict[str, Any]:
    extras = extras_of(settings)
    entries = {name: getattr(settings.sampling, name) for name in _SAMPLING}
    for name in ("repeat_last_n", "dry_penalty_last_n"):
        if entries[name] == -1 and facts.kind == "llama":
            entries[name] = facts.context_window  # Which is what it means, and newer servers refuse.
    if settings.sampling.logit_bias:
        pairs = settings.sampling.logit_bias
        biases = {str(token): bias for token, bias in pairs}
        entries["logit_bias"] = [list(pair) for pair in pairs] if facts.is_llama else biases
    if settings.stop:
        entries["stop"] = list(settings.stop)
    if settings.sampling.dry_sequence_breakers is not None:
        entries["dry_sequence_breakers"] = list(settings.sampling.dry_sequence_breakers)
    if facts.is_llama:
        entries.update({name: getattr(extras, name) for name in LLAMAS_OWN})
    return {**{name: value for name, value in entries.items() if value is not None}, **extras.body}


_SAMPLING = tuple(entry.name for entry in fields(Sampling) if entry.name not in ("logit_bias", "dry_sequence_breakers"))


def _thinking(settings: GenerationSettings, facts: ServerFacts) -> dict[str, Any]:
    reasoning = extras_of(settings).reasoning
    if reasoning is None or facts.kind in ("old_llama", "llamafiler"):
        return {}
    if isinstance(reasoning, str):
        return {"reasoning_effort": reasoning}
    return {"chat_template_kwargs": {"enable_thinking": reasoning}}


def _constraint(
    constraint: Constraint | None, facts: ServerFacts, *, with_tools: bool, native: bool = False
) -> dict[str, Any]:
    if constraint is None:
        return {}
    if isinstance(constraint, Grammar):
        if not facts.takes_grammars:
            raise UnsupportedFeatureError(
                "This server takes no grammar.", hint="Ask for JSON, or for a JSON Schema, with `format`."
            )
        if with_tools:
            raise UnsupportedFeatureError(
                "The server takes a grammar or tools, not both.", hint="Leave one of them out."
            )
        check_grammar(constraint.gbnf)
        return {"grammar": constraint.gbnf}
    if native or (facts.takes_grammars and not with_tools and not facts.thinks):
        # Ours: it takes schemas that the server's own converter refuses, and servers of all ages take it.
        return {"grammar": ANY_JSON if constraint.schema is None else schema_grammar(constraint.schema).gbnf}
    return {"response_format": _response_format(constraint, facts)}


def _response_format(constraint: JsonOutput, facts: ServerFacts) -> dict[str, Any]:
    if constraint.schema is None:
        return {"type": "json_object"}
    schema = dict(constraint.schema)
    if facts.kind == "llama":
        return {"type": "json_object", "schema": schema}  # All ages read this form.
    if facts.kind == "llamafiler":
        return {"type": "json_schema", "json_schema": schema}
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}


# --- messages ---------------------------------------------------------------------------------------------------------


def _message(turn: Turn, facts: ServerFacts) -> dict[str, Any]:
    message: dict[str, Any] = {"role": turn.role, "content": _content(turn, facts)}
    if turn.name and turn.role != "assistant":
        message["name"] = turn.name
    if turn.role == "assistant":
        if turn.reasoning and facts.kind in ("llama", "openai"):
            message["reasoning_content"] = turn.reasoning
        if turn.tool_calls:
            message["tool_calls"] = [_call(call) for call in turn.tool_calls]
    if turn.role == "tool":
        message["content"] = failure_text(turn) or message["content"]
        if turn.tool_call_id:
            message["tool_call_id"] = turn.tool_call_id
    return message


def _content(turn: Turn, facts: ServerFacts) -> str | list[dict[str, Any]]:
    if all(isinstance(part, Text) for part in turn.parts):
        return turn.text  # As one text: old servers read nothing else.
    for kind, able, what in ((Image, facts.images, "reads no images"), (Audio, facts.audio, "hears no audio")):
        if any(isinstance(part, kind) for part in turn.parts) and (able is False or facts.kind == "old_llama"):
            raise UnsupportedContentError(
                f"The model on this server {what}.",
                hint="Use a model that does, and give its `--mmproj` file to the server.",
            )
    return [_part(part) for part in turn.parts]


def _part(part: Part) -> dict[str, Any]:
    if isinstance(part, Image):
        return _image(part)
    return _audio(part) if isinstance(part, Audio) else {"type": "text", "text": part.text}


def _audio(audio: Audio) -> dict[str, Any]:
    if (form := audio_format(audio.data)) is None:
        raise UnsupportedContentError(
            f"Servers read no audio of this kind ({audio.mime_type}).", hint="Give it as WAV or MP3."
        )
    data = base64.b64encode(audio.data).decode("ascii")
    return {"type": "input_audio", "input_audio": {"data": data, "format": form}}


def _image(image: Image) -> dict[str, Any]:
    data = base64.b64encode(image.data).decode("ascii")
    return {"type": "image_url", "image_url": {"url": f"data:{image.mime_type};base64,{data}"}}


def _call(call: ToolCall) -> dict[str, Any]:
    arguments = call.arguments or "{}"
    if read_arguments(call.arguments) is None:
        arguments = json.dumps(in_place_of_arguments(call.arguments), ensure_ascii=False)
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def prompt_size(messages: Sequence[Mapping[str, Any]]) -> int:
    """Bytes of the texts of messages, for an estimate of their tokens."""
    return sum(len(str(message.get("content") or "").encode("utf-8", "surrogatepass")) for message in messages)
