"""llama.cpp's row of the contract suite."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from langchain_localmodels import ChatLlamaCpp, LlamaCpp, LlamaCppEmbeddings
from langchain_localmodels.demo import embedding_model_path, model_path
from langchain_localmodels.testing.contract import EngineContractTests
from langchain_localmodels.weights.gguf import read_header

TEMPLATE = read_header(model_path).chat_template


class LlamaCppRow(EngineContractTests):
    """llama.cpp on the demo models."""

    engine = "llamacpp"
    missing = {"model_path": "/nowhere/model.gguf"}
    # The demo model does not think by itself: a grammar has it write as if it did, and the template tells of the marks.
    # No more than a few words, for it would ramble until rounding decides which one is next.
    thinking = {
        "chat_template": f"{TEMPLATE}{{# <think></think> #}}",
        "grammar": 'root ::= "<think>\\nI know " [a-z]{1,9} ".\\n</think>\\n\\n" [A-Z] [A-Za-z ]{1,20} "."',
    }

    def chat_model(self, **fields: Any) -> ChatLlamaCpp:
        return ChatLlamaCpp(**{"model_path": model_path, "temperature": 0, "n_threads": 1, **fields})

    def llm(self, **fields: Any) -> LlamaCpp:
        return LlamaCpp(**{"model_path": model_path, "temperature": 0, "n_threads": 1, **fields})

    def chat_model_that_writes(self, text: str, calls: Sequence[tuple[str, str]], **fields: Any) -> ChatLlamaCpp:
        forms = [f'<tool_call>\n{{"name": "{name}", "arguments": {given}}}\n</tool_call>' for name, given in calls]
        return self.chat_model(grammar=f"root ::= {json.dumps(chr(10).join([text, *forms]))}", **fields)

    def embeddings(self, **fields: Any) -> LlamaCppEmbeddings:
        return LlamaCppEmbeddings(**{"model_path": embedding_model_path, "n_threads": 1, **fields})
