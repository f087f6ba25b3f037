"""LangChain's own standard tests, on a real `llama-server` with the demo models."""

from __future__ import annotations

from typing import Any

from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests, EmbeddingsUnitTests

from langchain_localmodels import ChatLlamafile, LlamafileEmbeddings
from tests.llama_server import chat_server, embedding_server


class TestChatLlamafileUnit(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatLlamafile

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"base_url": "http://127.0.0.1:8080"}


class TestChatLlamafileIntegration(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatLlamafile

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"base_url": chat_server().url, "temperature": 0, "max_tokens": 200}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_model_override(self) -> bool:
        # The server has one model; another one takes another server.
        return False


class TestLlamafileEmbeddingsUnit(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return LlamafileEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"base_url": "http://127.0.0.1:8080"}


class TestLlamafileEmbeddingsIntegration(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return LlamafileEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"base_url": embedding_server().url}
