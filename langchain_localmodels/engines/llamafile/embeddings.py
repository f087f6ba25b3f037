"""`LlamafileEmbeddings`."""

from __future__ import annotations

from langchain_localmodels.embeddings import LocalEmbeddings
from langchain_localmodels.engines.llamafile.embedding_options import LlamafileEmbeddingOptions


class LlamafileEmbeddings(LlamafileEmbeddingOptions, LocalEmbeddings):
    """Vectors for texts, from a model on a llamafile, on `llama-server --embedding`, or on another local server.

    Example:
        ```python
        from langchain_localmodels import LlamafileEmbeddings

        embeddings = LlamafileEmbeddings(base_url="http://127.0.0.1:8080")
        vector = embeddings.embed_query("Who was the first man on the moon?")
        ```
    """
