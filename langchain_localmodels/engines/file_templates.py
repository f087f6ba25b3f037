"""The chat template of a model file, for engines that run it in this process."""

from __future__ import annotations

from langchain_localmodels.dialects.templates import ChatTemplate
from langchain_localmodels.engines.common import warn_once
from langchain_localmodels.errors import ChatTemplateError
from langchain_localmodels.weights.gguf import GGUFHeader

_NOTATION_HINT = (
    "The chat template of %s writes tool calls in a notation that is not known here. The model is given the tools, but "
    "only calls that it writes as JSON are read. `tool_notation` may name its notation."
)


def warn_of_notation(model_name: str) -> None:
    """Tell, once, that the calls of a model may not be read."""
    warn_once(_NOTATION_HINT % model_name)


def chat_template_of(header: GGUFHeader, source: str | None, *, model_name: str, text_class: str) -> ChatTemplate:
    """The chat template of a model.

    Args:
        header: The header of the model file.
        source: The template's text.
        model_name: The model's name, for messages.
        text_class: The class that needs no template.

    Raises:
        ChatTemplateError: There is none.
    """
    if not source:
        raise ChatTemplateError(
            f"{model_name} has no chat template: it is not a chat model, or its file lost it.",
            hint=f"Give the template's text as `chat_template`, or use {text_class}, which needs none.",
        )
    return ChatTemplate(source, bos_token=header.bos_token or "", eos_token=header.eos_token or "", origin=model_name)
