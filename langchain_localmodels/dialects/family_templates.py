"""Chat templates for files that lost theirs: of families whose special tokens tell them for certain.

A file without a chat template still has the vocabulary that its model was trained with, and in it the tokens that begin
and end turns. Families whose turns are plain text, as Llama 2's, cannot be told by it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

_EACH = "{% for message in messages %}"
_END = "{% endfor %}"


@dataclass(frozen=True, slots=True)
class FamilyTemplate:
    """How a family of models converses.

    Attributes:
        family: The family's name.
        tokens: The special tokens that a vocabulary of this family has, all of them.
        source: The chat template, in Jinja.
    """

    family: str
    tokens: frozenset[str]
    source: str


_FAMILIES = (
    FamilyTemplate(
        "Llama 3",
        frozenset({"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"}),
        "{{ bos_token }}"
        + _EACH
        + "<|start_header_id|>{{ message.role }}<|end_header_id|>\n\n{{ message.content | trim }}<|eot_id|>"
        + _END
        + "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}",
    ),
    FamilyTemplate(
        "Gemma",
        frozenset({"<start_of_turn>", "<end_of_turn>"}),
        "{{ bos_token }}"
        + _EACH
        + "{% if message.role == 'system' %}{{ raise_exception('Gemma has no system turns') }}{% endif %}"
        + "<start_of_turn>{{ 'model' if message.role == 'assistant' else message.role }}\n"
        + "{{ message.content | trim }}<end_of_turn>\n"
        + _END
        + "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}",
    ),
    FamilyTemplate(
        "Phi 3",
        frozenset({"<|system|>", "<|user|>", "<|assistant|>", "<|end|>"}),
        _EACH
        + "<|{{ message.role }}|>\n{{ message.content }}<|end|>\n"
        + _END
        + "{% if add_generation_prompt %}<|assistant|>\n{% endif %}",
    ),
    FamilyTemplate(
        "ChatML",
        frozenset({"<|im_start|>", "<|im_end|>"}),
        _EACH
        + "<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
        + _END
        + "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    ),
)


def family_template(tokens: Collection[str]) -> FamilyTemplate | None:
    """Tell the chat template of the family that a vocabulary is of; `None` where it does not tell.

    Args:
        tokens: The vocabulary.
    """
    return next((family for family in _FAMILIES if family.tokens <= set(tokens)), None)
