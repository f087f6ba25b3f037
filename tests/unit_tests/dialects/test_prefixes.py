"""Which words go before a query and a document, by the names that model files go by."""

import pytest

from langchain_localmodels.dialects.prefixes import Prefixes, known_prefixes

PASSAGES = "Represent this sentence for searching relevant passages: "


@pytest.mark.parametrize(
    ("name", "query", "document"),
    [
        ("nomic-embed-text-v1.5.Q4_K_M", "search_query: ", "search_document: "),
        ("Nomic Embed Text v2 MoE", "search_query: ", "search_document: "),
        ("multilingual-e5-small-Q8_0", "query: ", "passage: "),
        ("E5 Base v2", "query: ", "passage: "),
        ("bge-small-en-v1.5-f16", PASSAGES, ""),
        ("BAAI/bge-large-en", PASSAGES, ""),
        ("bge-base-zh-v1.5", "为这个句子生成表示以用于检索相关文章：", ""),
        ("bge-m3-Q8_0", "", ""),
        ("mxbai-embed-large-v1-f16", PASSAGES, ""),
        ("snowflake-arctic-embed-m-v1.5", PASSAGES, ""),
        ("snowflake-arctic-embed-l-v2.0", "query: ", ""),
        ("snowflake-arctic-embed2", "query: ", ""),
        ("embeddinggemma-300M-Q8_0", "task: search result | query: ", "title: none | text: "),
        ("all-MiniLM-L6-v2", "", ""),
        ("e5-mistral-7b-instruct", "Instruct: Given a web search query, retrieve relevant passages that answer the "
         "query\nQuery: ", ""),
        ("multilingual-e5-large-instruct", "Instruct: Given a web search query, retrieve relevant passages that answer "
         "the query\nQuery: ", ""),
        ("Qwen3-Embedding-0.6B-Q8_0", "Instruct: Given a web search query, retrieve relevant passages that answer the "
         "query\nQuery:", ""),
        ("something-else", "", ""),
    ],
)  # fmt: skip
def test_known_models(name, query, document):
    assert known_prefixes([name]) == Prefixes(query, document)


def test_the_first_name_that_is_known_decides():
    assert known_prefixes(["model", "nomic-embed-text", "bge-small-en"]).query == "search_query: "
    assert known_prefixes([]) == Prefixes()
