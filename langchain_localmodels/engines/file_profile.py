"""What a model file's header tells of a chat model, as LangChain's `ModelProfile`, for engines in this process."""

from __future__ import annotations

from typing import Any

from langchain_localmodels.dialects.reasoning import reasoning_format
from langchain_localmodels.weights.gguf import GGUFHeader

_NOT_HERE = (
    "image_inputs",
    "image_url_inputs",
    "pdf_inputs",
    "audio_inputs",
    "video_inputs",
    "image_tool_message",
    "pdf_tool_message",
    "image_outputs",
    "audio_outputs",
    "video_outputs",
    "attachment",
)
"""Keys of a profile for what these engines do with no model."""


def profile_of(header: GGUFHeader, template: str | None, *, name: str, window: int, held: bool) -> dict[str, Any]:
    """What a model's file tells of it, as LangChain's `ModelProfile`; the model itself is not loaded.

    A chat template without a place for tools has them explained in the prompt, and calls can be forced, or asked for
    and checked, whatever the model was trained on. Without a template nothing of this is so: what is not text going on
    cannot be told to the model.

    Args:
        header: The header of the model file.
        template: The chat template that is used.
        name: What to call a model whose file does not say.
        window: Tokens that prompt and answer share.
        held: Whether the engine can hold an answer to a schema, and not only ask for it.
    """
    chats = bool(template)
    return {
        "name": header.name or name,
        "max_input_tokens": window,
        "max_output_tokens": window,
        "text_inputs": chats,
        "text_outputs": chats,
        **dict.fromkeys(_NOT_HERE, False),
        "reasoning_output": reasoning_format(template) is not None,
        "tool_calling": chats,
        "tool_choice": chats,
        "tool_call_streaming": chats,
        "structured_output": chats and held,
        "temperature": True,
    }
