"""What a model file's header tells of a chat model on GPT4All, as LangChain's `ModelProfile`."""

from __future__ import annotations

from typing import Any

from langchain_localmodels.dialects.reasoning import reasoning_format
from langchain_localmodels.engines.gpt4all.chat_template import template_source
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
    "structured_output",
)
"""Keys of what this engine does with no model: it cannot hold an answer to a schema, only ask for it."""


def profile_of(header: GGUFHeader, *, name: str, window: int, chat_template: str | None) -> dict[str, Any]:
    """Tell what a model can do on GPT4All.

    Args:
        header: The header of the model file.
        name: What to call a model whose file does not say.
        window: Tokens that prompt and answer share.
        chat_template: Template that is used in place of the file's own.
    """
    template = template_source(header, chat_template)
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
        "temperature": True,
    }
