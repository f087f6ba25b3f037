"""What GPT4All knows of embedding models by their names, and insists on: the prefixes that each of them takes.

To a model that it knows it gives no text without one of these, to any other it says of each request that it does not
know the model, and takes what it is given. Texts come here with their prefix before them, as on every engine; it is
taken off again where GPT4All is to put it there.
"""

from __future__ import annotations

from collections.abc import Mapping

from langchain_localmodels.errors import InvalidRequestError

_NOMIC = ("search_document", "search_query", "clustering", "classification")
_E5 = ("passage", "query")
_BGE = ("", "Represent this sentence for searching relevant passages")
_LLM_EMBEDDER = ("Represent this document for retrieval", "Represent this query for retrieving relevant documents")
_SIZES = ("small", "base", "large")

_KNOWN: Mapping[str, tuple[str, ...]] = {
    **{f"all-MiniLM-L{layers}-v{version}": ("",) for layers in (6, 12) for version in (1, 2)},
    **dict.fromkeys((f"nomic-embed-text-v1{kind}" for kind in ("", "-ablated", "-unsupervised", ".5")), _NOMIC),
    "llm-embedder": _LLM_EMBEDDER,
    **{f"bge-{size}-en{version}": _BGE for size in _SIZES for version in ("", "-v1.5")},
    **{f"e5-{size}{kind}": _E5 for size in _SIZES for kind in ("", "-unsupervised", "-v2")},
}
"""The model's name, as its file says it, to its prefixes, without the colon that GPT4All puts after them."""


def split_prefix(text: str, name: str | None) -> tuple[str, str]:
    """Take the prefix off a text that GPT4All is to put there.

    Args:
        text: The text with its prefix.
        name: The model's name, as its file says it.

    Returns:
        The prefix, without a colon, and the rest.

    Raises:
        InvalidRequestError: GPT4All knows the model, and does not take such a text from it.
    """
    taken = _KNOWN.get(name or "")
    if taken is None:
        return "", text
    for prefix in taken:
        if prefix and text.startswith(f"{prefix}:"):
            return prefix, text[len(prefix) + 1 :].removeprefix(" ")
    if "" in taken:
        return "", text
    listed = ", ".join(repr(f"{prefix}: ") for prefix in taken)
    raise InvalidRequestError(
        f"GPT4All gives texts to {name} with one of these prefixes alone: {listed}.",
        hint="Leave `query_prefix` and `document_prefix` at None, or use LlamaCppEmbeddings, which takes any.",
    )
