"""From a request of the contract to the JSON that Ollama is sent. Pure: no I/O, and nothing it is given is changed."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from langchain_localmodels.engines.base import (
    ChatRequest,
    CompletionRequest,
    Constraint,
    EngineExtras,
    GenerationSettings,
    Grammar,
    Image,
    JsonOutput,
    Tool,
    ToolCall,
    Turn,
)
from langchain_localmodels.errors import InvalidRequestError, UnsupportedFeatureError


@dataclass(frozen=True, slots=True)
class OllamaExtras(EngineExtras):
    """What a request can say to Ollama beyond the contract. `None` leaves a value to the server.

    Attributes:
        num_ctx: Size of the context window, in tokens. A value other than the loaded model's loads it anew; so do the
            next five.
        num_batch: Prompt tokens processed in one step.
        num_gpu: Layers on the GPU; 0 for none, -1 for as many as fit.
        main_gpu: Which GPU holds what is not split.
        num_thread: CPU threads; 0 for the server's choice.
        use_mmap: Whether weights are mapped from the file and not read.
        num_keep: Tokens at the prompt's beginning that stay when the window overflows.
        keep_alive: How long the model stays loaded after this request: seconds, or a duration such as `"10m"`;
            negative for ever, 0 not at all.
        think: Whether the model thinks first: `True`, `False`, or how much: `"low"`, `"medium"`, `"high"`, `"max"`.
        options: More entries of Ollama's `options`, by Ollama's names; they come before all others.
        body: More entries of the request itself, such as `truncate`.
        generate: The same for text requests alone: `raw`, `suffix`, `system`, `template`.
        max_retries: How often to send the request again when nothing came of it; `None` for the default.
    """

    num_ctx: int | None = None
    num_batch: int | None = None
    num_gpu: int | None = None
    main_gpu: int | None = None
    num_thread: int | None = None
    use_mmap: bool | None = None
    num_keep: int | None = None
    keep_alive: int | float | str | None = None
    think: bool | str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    generate: Mapping[str, Any] = field(default_factory=dict)
    max_retries: int | None = None


OPTIONS = ("num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread", "use_mmap", "num_keep")
"""The fields of `OllamaExtras` that go into `options`, under their own names."""


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
        return "json" if constraint.schema is None else constraint.schema
    return None


def _tool(tool: Tool) -> dict[str, Any]:
    entry = tool.as_openai()
    # Without these two keys Ollama's decoder and some templates fail.
    entry["function"]["parameters"] = {"type": "object", "properties": {}, **tool.parameters}
    return entry


def _messages(turns: Sequence[Turn]) -> list[dict[str, Any]]:
    called: dict[str, str] = {}
    messages = []
    for turn in turns:
        called.update((call.id, call.name) for call in turn.tool_calls)
        messages.append(_message(turn, called))
    return messages


def _message(turn: Turn, called: Mapping[str, str]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": turn.role, "content": turn.text}
    images = [base64.b64encode(part.data).decode("ascii") for part in turn.parts if isinstance(part, Image)]
    if images:
        message["images"] = images
    if turn.reasoning:
        message["thinking"] = turn.reasoning
    if turn.tool_calls:
        message["tool_calls"] = [_call(call, index) for index, call in enumerate(turn.tool_calls)]
    if turn.role == "tool":
        if turn.is_error and not turn.text.lower().startswith("error"):
            message["content"] = f"Error: {turn.text}"  # Ollama's messages have no other place for it.
        # Old servers know results by the tool's name alone, new ones by the call's id.
        name = turn.name or called.get(turn.tool_call_id or "")
        if name:
            message["tool_name"] = name
        if turn.tool_call_id:
            message["tool_call_id"] = turn.tool_call_id
    return message


_INVALID = "invalid_json"
"""Name of the argument that holds what a call had in place of arguments."""


def _call(call: ToolCall, index: int) -> dict[str, Any]:
    try:
        arguments = json.loads(call.arguments or "{}")
    except (ValueError, RecursionError):
        arguments = None
    if not isinstance(arguments, dict):
        # Ollama takes nothing but objects, and the model has to see what it wrote to do better the next time.
        arguments = {_INVALID: call.arguments}
    return {"id": call.id, "function": {"index": index, "name": call.name, "arguments": arguments}}
