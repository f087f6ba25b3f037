"""`LocalEmbeddings`: the embedding face, written once for all engines; and the embedding classes of engines by name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, closing
from typing import Annotated, Any

from langchain_core.embeddings import Embeddings
from pydantic import Field

from langchain_localmodels._lazy import find_class
from langchain_localmodels.dialects.prefixes import known_prefixes
from langchain_localmodels.engine_options import EngineOptions
from langchain_localmodels.engines.base import EmbeddingRequest, VectorDelta
from langchain_localmodels.errors import EngineError, InvalidRequestError


class LocalEmbeddings(EngineOptions, Embeddings):
    """Embeddings from a local engine. What is used are the classes of engines, such as `LlamaCppEmbeddings`.

    Every text gives one vector. Models that were trained with words before a query or a document get them: they are
    known by the model's name, and can be set.
    """

    normalize: bool = True
    """Scale each vector to length 1, so that dot product and cosine similarity are the same."""

    truncate: bool = False
    """Cut a text that is too long for the model. Otherwise it is an error, since its end would be lost unseen."""

    query_prefix: str | None = None
    """What goes before a query; `None` for what the model is known to want, `""` for nothing."""

    document_prefix: str | None = None
    """What goes before a document; `None` for what the model is known to want, `""` for nothing."""

    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Longest wait for the next vector, in seconds; `None` for no limit."""

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts that queries are to find.

        Args:
            texts: The texts.

        Returns:
            A vector for each, in their order.

        Raises:
            PromptTooLongError: If a text is too long for the model, without `truncate`.
            InvalidRequestError: If something is no text, or has no tokens.
        """
        return self._embed(self._documents(texts))

    def embed_query(self, text: str) -> list[float]:
        """Embed a query; see `embed_documents`."""
        return self._embed(self._query(text))[0]

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts that queries are to find, without blocking the event loop; see `embed_documents`."""
        return await self._aembed(self._documents(texts))

    async def aembed_query(self, text: str) -> list[float]:
        """Embed a query, without blocking the event loop; see `embed_documents`."""
        return (await self._aembed(self._query(text)))[0]

    # --- what engines' mixins may fill in -----------------------------------------------------------------------------

    def _names(self) -> list[str]:
        """Names that tell which model it is."""
        return [self._model_name()]

    # --- one stream, two drivers ------------------------------------------------------------------------------------

    def _embed(self, texts: Sequence[str]) -> list[list[float]]:
        with closing(self.engine.embed(self._request(texts))) as vectors:
            deltas: Iterator[VectorDelta] = iter(vectors)
            return _in_order(list(deltas), len(texts))

    async def _aembed(self, texts: Sequence[str]) -> list[list[float]]:
        engine = await self._aengine()
        async with aclosing(engine.embed(self._request(texts))) as vectors:
            deltas: AsyncIterator[VectorDelta] = aiter(vectors)
            return _in_order([delta async for delta in deltas], len(texts))

    def _request(self, texts: Sequence[str]) -> EmbeddingRequest:
        return EmbeddingRequest(tuple(texts), normalize=self.normalize, truncate=self.truncate, timeout=self.timeout)

    def _query(self, text: str) -> list[str]:
        prefix = known_prefixes(self._names()).query if self.query_prefix is None else self.query_prefix
        return _prefixed(prefix, [text])

    def _documents(self, texts: Sequence[str]) -> list[str]:
        if isinstance(texts, str):
            raise InvalidRequestError(
                "embed_documents takes a list of texts, and got one text.", hint="Give [text], or use embed_query."
            )
        prefix = known_prefixes(self._names()).document if self.document_prefix is None else self.document_prefix
        return _prefixed(prefix, list(texts))


def _prefixed(prefix: str, texts: Sequence[Any]) -> list[str]:
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidRequestError(
                f"Text {index} is no text but of type {type(text).__name__}.",
                hint="Of a Document, embed the `page_content`.",
            )
    return [prefix + text for text in texts]


def _in_order(deltas: Sequence[VectorDelta], count: int) -> list[list[float]]:
    found = {delta.index: list(delta.vector) for delta in deltas}
    if len(found) != count:
        raise EngineError(f"The engine gave {len(found)} vectors for {count} texts.")
    return [found[index] for index in range(count)]


def __getattr__(name: str) -> Any:
    return find_class(__name__, "embeddings", name)
