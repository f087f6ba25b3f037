"""Prompts that suit the model: a selector with its conditions, families of models with their turns, and presets.

The presets are made when the first of them is asked for: langchain-core's templates load Jinja.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from langchain_localmodels.prompts.families import FAMILIES, PromptFamily
from langchain_localmodels.prompts.for_family import FamilyPromptSelector
from langchain_localmodels.prompts.predicates import (
    Predicate,
    can_call_tools,
    context_at_least,
    has_tools,
    is_chat_model,
    is_engine,
    is_family,
    is_llm,
)
from langchain_localmodels.prompts.recognition import family_of
from langchain_localmodels.prompts.selector import ConditionalPromptSelector, PromptForModel

if TYPE_CHECKING:
    from langchain_localmodels.prompts.presets import (
        CLASSIFICATION,
        DEFAULT_LLAMA_SEARCH_PROMPT,
        DEFAULT_SEARCH_PROMPT,
        EXTRACTION,
        MULTI_QUERY,
        PRESETS,
        QUESTION_REWRITING,
        RAG,
        RAG_PROMPT_LLAMA,
        SEARCH_QUERIES,
        STEP_BY_STEP,
        SUMMARY,
        SUMMARY_MAP,
        SUMMARY_REDUCE,
        TAGGING,
        format_documents,
    )

__all__ = [
    "CLASSIFICATION",
    "DEFAULT_LLAMA_SEARCH_PROMPT",
    "DEFAULT_SEARCH_PROMPT",
    "EXTRACTION",
    "FAMILIES",
    "MULTI_QUERY",
    "PRESETS",
    "QUESTION_REWRITING",
    "RAG",
    "RAG_PROMPT_LLAMA",
    "SEARCH_QUERIES",
    "STEP_BY_STEP",
    "SUMMARY",
    "SUMMARY_MAP",
    "SUMMARY_REDUCE",
    "TAGGING",
    "ConditionalPromptSelector",
    "FamilyPromptSelector",
    "Predicate",
    "PromptFamily",
    "PromptForModel",
    "can_call_tools",
    "context_at_least",
    "family_of",
    "format_documents",
    "has_tools",
    "is_chat_model",
    "is_engine",
    "is_family",
    "is_llm",
]


if not TYPE_CHECKING:  # a type checker that saw this would take every misspelt name for a preset

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.presets"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
