"""`OllamaEmbeddings`."""

from __future__ import annotations

from langchain_localmodels.embeddings import LocalEmbeddings
from langchain_localmodels.engines.ollama.embedding_options import OllamaEmbeddingOptions


class OllamaEmbeddings(OllamaEmbeddingOptions, LocalEmbeddings):
    """An embedding model on an [Ollama](https://ollama.com) server gives vectors for texts.

    `ollama pull nomic-embed-text` gets a model. Many texts are sent in requests of `batch_size` each, one after the
    other, and vectors come back in the order of the texts.

    Example:
        ```python
        from langchain_localmodels import OllamaEmbeddings

        embeddings = OllamaEmbeddings(model="nomic-embed-text")
        vector = embeddings.embed_query("Who was the first man on the moon?")
        ```
    """
