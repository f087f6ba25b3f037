"""What embedding models want to read before a query or a document, known by the models' names.

A model that was trained with such words finds less without them. Each entry is what the model's makers say in its
card, on https://huggingface.co under the name given beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prefixes:
    """What goes before a text.

    Attributes:
        query: Before a question.
        document: Before a text that questions are to find.
    """

    query: str = ""
    document: str = ""


_PASSAGES = "Represent this sentence for searching relevant passages: "
_INSTRUCT = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery: "

_KNOWN: tuple[tuple[str, Prefixes], ...] = (
    # The first pattern that is found in a name decides; names come in lower case, with "-" for what joins their words.
    ("nomic-embed-code", Prefixes("Represent this query for searching relevant code: ")),  # nomic-ai
    ("nomic-embed", Prefixes("search_query: ", "search_document: ")),  # nomic-ai/nomic-embed-text-v1.5, -v2-moe
    ("embeddinggemma|embedding-gemma", Prefixes("task: search result | query: ", "title: none | text: ")),  # google
    ("qwen3-embedding", Prefixes(_INSTRUCT.rstrip(" "))),  # Qwen/Qwen3-Embedding-0.6B
    ("gte-qwen2.*-instruct", Prefixes(_INSTRUCT)),  # Alibaba-NLP/gte-Qwen2-7B-instruct
    ("e5-.*instruct", Prefixes(_INSTRUCT)),  # intfloat/multilingual-e5-large-instruct, e5-mistral-7b-instruct
    (r"\be5-(small|base|large)", Prefixes("query: ", "passage: ")),  # intfloat/e5-base-v2, multilingual-e5-base
    (r"\bbge-(small|base|large)-zh", Prefixes("为这个句子生成表示以用于检索相关文章：")),  # BAAI/bge-base-zh-v1.5
    (r"\bbge-(small|base|large)-en", Prefixes(_PASSAGES)),  # BAAI/bge-base-en-v1.5
    ("mxbai-embed-large", Prefixes(_PASSAGES)),  # mixedbread-ai/mxbai-embed-large-v1
    ("uae-large", Prefixes(_PASSAGES)),  # WhereIsAI/UAE-Large-V1
    ("arctic-embed-.-v2|arctic-embed2", Prefixes("query: ")),  # Snowflake/snowflake-arctic-embed-l-v2.0
    ("arctic-embed", Prefixes(_PASSAGES)),  # Snowflake/snowflake-arctic-embed-m
    (
        "llm-embedder",  # BAAI/llm-embedder, for questions and answers
        Prefixes("Represent this query for retrieving relevant documents: ", "Represent this document for retrieval: "),
    ),
)


def known_prefixes(names: Iterable[str]) -> Prefixes:
    """Give the prefixes that a model is known to want.

    Args:
        names: Names that it goes by, such as that of its file and that within.

    Returns:
        The prefixes; empty ones for a model that wants none, and for an unknown one.
    """
    for name in names:
        joined = re.sub(r"[\s_:/.]+", "-", name.lower())
        for pattern, prefixes in _KNOWN:
            if re.search(pattern, joined):
                return prefixes
    return Prefixes()
