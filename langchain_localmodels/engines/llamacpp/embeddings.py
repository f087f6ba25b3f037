"""`LlamaCppEmbeddings`."""

from __future__ import annotations

from langchain_localmodels.embeddings import LocalEmbeddings
from langchain_localmodels.engines.llamacpp.embedding_options import LlamaCppEmbeddingOptions


class LlamaCppEmbeddings(LlamaCppEmbeddingOptions, LocalEmbeddings):
    """A model file gives vectors for texts, on llama.cpp in this process.

    The weights are shared with every other object on the same file. Several texts are computed in each step, and
    requests of several threads or tasks take turns.

    Example:
        ```python
        from langchain_localmodels import LlamaCppEmbeddings
        from langchain_localmodels.demo import embedding_model_path

        embeddings = LlamaCppEmbeddings(model_path=embedding_model_path)
        vector = embeddings.embed_query("Who was the first man on the moon?")
        ```
    """
