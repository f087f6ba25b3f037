"""One row per engine for the contract suite: how to make its objects on a model that is there."""

from __future__ import annotations

from tests.integration_tests.rows.gpt4all import GPT4AllRow
from tests.integration_tests.rows.llamacpp import LlamaCppRow
from tests.integration_tests.rows.llamafile import LlamafileRow
from tests.integration_tests.rows.ollama import OllamaRow

ROWS = (LlamaCppRow, OllamaRow, GPT4AllRow, LlamafileRow)

__all__ = ["ROWS", "GPT4AllRow", "LlamaCppRow", "LlamafileRow", "OllamaRow"]
