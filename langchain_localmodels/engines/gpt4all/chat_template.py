"""Which chat template a model converses by: the user's, the file's, or that of its family."""

from __future__ import annotations

from functools import lru_cache

from langchain_localmodels.dialects.family_templates import FamilyTemplate, family_template
from langchain_localmodels.weights.gguf import GGUFHeader
from langchain_localmodels.weights.tokens import token_texts


def template_source(header: GGUFHeader, given: str | None) -> str | None:
    """Give the chat template, in Jinja; `None` where there is none.

    Args:
        header: The header of the model file.
        given: The user's, if there is one.
    """
    if source := given or header.chat_template:
        return source
    family = family_of(header)
    return None if family is None else family.source


@lru_cache(maxsize=64)
def family_of(header: GGUFHeader) -> FamilyTemplate | None:
    """Tell the family by the file's vocabulary."""
    return family_template([text.decode("utf-8", "replace") for text in token_texts(header.path)])
