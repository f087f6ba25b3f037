"""Prompts that suit the model."""

from __future__ import annotations

from langchain_localmodels.prompts.selector import ConditionalPromptSelector, is_chat_model, is_llm

__all__ = ["ConditionalPromptSelector", "is_chat_model", "is_llm"]
