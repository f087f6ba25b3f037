"""`GPT4AllEmbeddings`."""

from __future__ import annotations

from langchain_localmodels.embeddings import LocalEmbeddings
from langchain_localmodels.engines.gpt4all.embedding_options import GPT4AllEmbeddingOptions


class GPT4AllEmbeddings(GPT4AllEmbeddingOptions, LocalEmbeddings):
    """A model file gives vectors for texts, on GPT4All in this process. They have length 1, whatever `normalize` says.

    Requests of several threads or tasks take turns. GPT4All runs models of two kinds, `bert` and `nomic-bert`. A text
    that is too long is not refused: see `long_text_mode`.

    Example:
        ```python
        from langchain_localmodels import GPT4AllEmbeddings
        from langchain_localmodels.demo import embedding_model_path

        embeddings = GPT4AllEmbeddings(model=embedding_model_path)
        vector = embeddings.embed_query("Who was the first man on the moon?")
        ```
    """
