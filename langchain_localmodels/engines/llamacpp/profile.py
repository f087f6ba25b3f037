"""What a model file's header tells of a chat model, as LangChain's `ModelProfile`; the model itself is not loaded."""

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
"""Keys of what this engine does with no model."""


def profile_of(header: GGUFHeader, *, name: str, window: int, chat_template: str | None) -> dict[str, Any]:
    """Tell what a model can do on llama.cpp.

    Calls can be forced and answers held to a schema whatever the model was trained on, for that is the grammar's work;
    and a chat template without a place for tools has them explained in the prompt. Without a template nothing of this
    is so: what is not text going on cannot be told to the model.

    Args:
        header: The header of the model file.
        name: What to call a model whose file does not say.
        window: Tokens that prompt and answer share.
        chat_template: Template that is used in place of the file's own.
    """
    template = chat_template or header.chat_template
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
        "structured_output": chats,
        "temperature": True,
    }
