"""LangChain's own standard tests, on the real gpt4all and the embedded demo models."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests, EmbeddingsUnitTests
from syrupy.assertion import SnapshotAssertion
from syrupy.matchers import path_type

from langchain_localmodels import ChatGPT4All, GPT4AllEmbeddings
from langchain_localmodels.demo import embedding_model_path, model_path


@pytest.fixture
def snapshot(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    """Dumps hold the path of the model file, which every machine has elsewhere."""
    return snapshot.with_defaults(matcher=path_type({"kwargs.model": (str,)}, replacer=lambda *_: "model.gguf"))


class TestChatGPT4AllUnit(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatGPT4All

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": model_path}


class TestChatGPT4AllIntegration(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatGPT4All

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": model_path, "temperature": 0, "max_tokens": 200, "n_threads": 1}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_model_override(self) -> bool:
        # A file is loaded for an object; another model is another object.
        return False


class TestGPT4AllEmbeddingsUnit(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return GPT4AllEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": embedding_model_path}


class TestGPT4AllEmbeddingsIntegration(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return GPT4AllEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": embedding_model_path, "n_threads": 1}
