"""From a request of the contract to the JSON that Ollama is sent. Pure: no I/O, and nothing it is given is changed."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from langchain_localmodels.dialects.history import failure_text, in_place_of_arguments, read_arguments
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
    Text,
    Tool,
    ToolCall,
    Turn,
)
from langchain_localmodels.engines.ollama.extras import OPTIONS, OllamaExtras
from langchain_localmodels.engines.ollama.property_order import in_order
from langchain_localmodels.engines.ollama.tool_schemas import tool_parameters
from langchain_localmodels.errors import InvalidRequestError, UnsupportedContentError, UnsupportedFeatureError


def chat_payload(request: ChatRequest, model: str) -> dict[str, Any]:
    """The body of `POST /api/chat`.

    Raises:
        InvalidRequestError: There is no turn.
        UnsupportedFeatureError: The request asks for what Ollama cannot do.
    """
    if not request.turns:
        raise InvalidRequestError("There is no message to answer.")
    payload = {"model": model, "messages": _messages(request.turns), "stream": True}
    if request.tool_choice not in ("auto", "none"):
        raise UnsupportedFeatureError(
            f"Ollama cannot be made to call a tool (tool_choice={request.tool_choice!r}): the model decides.",
            hint='Use tool_choice="auto", or ask for structured output.',
        )
    if generate := _extras(request.settings).generate:
        raise UnsupportedFeatureError(f"Ollama knows {', '.join(generate)} for text alone, not in a conversation.")
    if request.tools and request.tool_choice == "auto":
        payload["tools"] = [_tool(tool) for tool in request.tools]
    return {**payload, **_settings(request.settings)}


def generate_payload(request: CompletionRequest, model: str) -> dict[str, Any]:
    """The body of `POST /api/generate`.

    Raises:
        InvalidRequestError: The prompt is empty: Ollama would load the model and generate nothing.
        UnsupportedFeatureError: The request asks for what Ollama cannot do.
    """
    if not request.prompt:
        raise InvalidRequestError("The prompt is empty.")
    payload = {"model": model, "prompt": request.prompt, "stream": True, **_settings(request.settings)}
    return {**payload, **_extras(request.settings).generate}


_NOT_OLLAMAS = ("logit_bias", "dry_", "xtc_")


def _settings(settings: GenerationSettings) -> dict[str, Any]:
    extras = _extras(settings)
    entries = {"format": _format(settings.constraint), "think": extras.think, "keep_alive": extras.keep_alive}
    payload = {name: value for name, value in entries.items() if value is not None}
    if settings.top_logprobs is not None:
        payload["logprobs"] = True
        payload["top_logprobs"] = settings.top_logprobs
    options = _options(settings, extras)
    if options:
        payload["options"] = options
    return {**payload, **extras.body}


def _extras(settings: GenerationSettings) -> OllamaExtras:
    return settings.extras if isinstance(settings.extras, OllamaExtras) else OllamaExtras()


def _options(settings: GenerationSettings, extras: OllamaExtras) -> dict[str, Any]:
    for name in ("logit_bias", "dry_multiplier", "xtc_probability"):
        if getattr(settings.sampling, name):
            raise UnsupportedFeatureError(f"Ollama has no `{name}`.")
    # The other fields of `Sampling` carry Ollama's names; the server ignores those that it no longer has (mirostat).
    names = [field.name for field in fields(settings.sampling) if not field.name.startswith(_NOT_OLLAMAS)]
    sampling = {name: getattr(settings.sampling, name) for name in names}
    own = {name: getattr(extras, name) for name in OPTIONS}
    stop = list(settings.stop) or None
    options = {**sampling, "num_predict": settings.max_tokens, "stop": stop, **own, **extras.options}
    return {name: value for name, value in options.items() if value is not None}


def _format(constraint: Constraint | None) -> Any:
    if isinstance(constraint, Grammar):
        raise UnsupportedFeatureError(
            "Ollama takes no grammar.", hint="Ask for JSON, or for a JSON Schema, with `format` or structured output."
        )
    if isinstance(constraint, JsonOutput):
        return "json" if constraint.schema is None else in_order(constraint.schema)
    return None


def _tool(tool: Tool) -> dict[str, Any]:
    return replace(tool, parameters=tool_parameters(tool)).as_openai()


def _messages(turns: Sequence[Turn]) -> list[dict[str, Any]]:
    called: dict[str, str] = {}
    messages = []
    for turn in turns:
        called.update((call.id, call.name) for call in turn.tool_calls)
        messages.append(_message(turn, called))
    return messages


def _message(turn: Turn, called: Mapping[str, str]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": turn.role, "content": turn.text}
    media = [_media(part) for part in turn.parts if not isinstance(part, Text)]
    if media:
        message["images"] = media
    if turn.reasoning:
        message["thinking"] = turn.reasoning
    if turn.tool_calls:
        message["tool_calls"] = [_call(call, index) for index, call in enumerate(turn.tool_calls)]
    if turn.role == "tool":
        message["content"] = failure_text(turn) or message["content"]
        # Old servers know results by the tool's name alone, new ones by the call's id.
        name = turn.name or called.get(turn.tool_call_id or "")
        if name:
            message["tool_name"] = name
        if turn.tool_call_id:
            message["tool_call_id"] = turn.tool_call_id
    return message


def _media(part: Image | Audio) -> str:
    # Ollama takes audio in the place of images, and tells by the first bytes which it is: what else it would take for
    # an image.
    if isinstance(part, Audio) and audio_format(part.data) is None:
        raise UnsupportedContentError(
            f"Ollama reads no audio of this kind ({part.mime_type}).", hint="Give it as WAV or MP3."
        )
    return base64.b64encode(part.data).decode("ascii")


def _call(call: ToolCall, index: int) -> dict[str, Any]:
    arguments = read_arguments(call.arguments)
    if arguments is None:
        arguments = in_place_of_arguments(call.arguments)
    return {"id": call.id, "function": {"index": index, "name": call.name, "arguments": arguments}}
