"""GPT4All's row of the contract suite."""

from __future__ import annotations

import atexit
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from langchain_localmodels import ChatGPT4All, GPT4All, GPT4AllEmbeddings
from langchain_localmodels.demo import embedding_model_path, model_path
from langchain_localmodels.testing.contract import EngineContractTests
from langchain_localmodels.weights.gguf import read_header
from tests.chain_model import in_pieces, write_chain

TEMPLATE = read_header(model_path).chat_template or ""
FOLDER = tempfile.TemporaryDirectory(prefix="gpt4all-row-")
atexit.register(FOLDER.cleanup)


def written(text: str, template: str = TEMPLATE) -> Path:
    """A model that writes this text, whatever it is asked."""
    path = Path(FOLDER.name) / f"{abs(hash((text, template)))}.gguf"
    return path if path.exists() else write_chain(path, in_pieces(text), template=template)


class GPT4AllRow(EngineContractTests):
    """GPT4All on the demo models."""

    engine = "gpt4all"
    missing = {"model": "/nowhere/model.gguf"}
    not_yet = {
        "test_log_probabilities": "GPT4All tells no log probabilities",
        "test_tools_in_all_forms[pydantic]": "the demo model calls tools by the name that a question has for them, "
        "and GPT4All cannot hold it to another",
        "test_the_one_that_is_named[magic_function]": "the demo model calls what a question speaks of, and GPT4All "
        "cannot hold it to another",
    }

    thinking = {
        "model": written(
            "<think>\nThe moon is far away.\n</think>\n\nIt was Neil Armstrong.", f"{TEMPLATE}{{# <think></think> #}}"
        )
    }

    def chat_model(self, **fields: Any) -> ChatGPT4All:
        return ChatGPT4All(**{"model": model_path, "temperature": 0, "n_threads": 1, **fields})

    def chat_model_that_writes(self, text: str, calls: Sequence[tuple[str, str]], **fields: Any) -> ChatGPT4All:
        forms = [
            f'<tool_call>\n{{"name": {json.dumps(name)}, "arguments": {given}}}\n</tool_call>' for name, given in calls
        ]
        return self.chat_model(model=written("\n".join([text, *forms])), **fields)

    def llm(self, **fields: Any) -> GPT4All:
        return GPT4All(**{"model": model_path, "temperature": 0, "n_threads": 1, **fields})

    def embeddings(self, **fields: Any) -> GPT4AllEmbeddings:
        return GPT4AllEmbeddings(**{"model": embedding_model_path, "n_threads": 1, **fields})
