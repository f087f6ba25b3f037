"""Embeddings: a vector for each text, in order, the same whichever way it is asked for."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.load import dumpd, dumps, load

from langchain_localmodels.errors import InvalidRequestError, LocalModelError
from langchain_localmodels.testing.contract.base import EngineContract
from langchain_localmodels.testing.contract.helpers import run

_TEXTS = ["Imogen lives in Bergen.", "Where does Imogen live?", "The canoe is blue.", "a"]


class EmbeddingContract(EngineContract):
    """Skipped as a whole where the row has no embeddings."""

    def test_vectors(self) -> None:
        """Every text gives a list of Python's floats, all of one length."""
        embeddings = self.embeddings()
        assert isinstance(embeddings, Embeddings)
        vectors = embeddings.embed_documents(_TEXTS)
        assert len(vectors) == len(_TEXTS)
        assert len({len(vector) for vector in vectors}) == 1
        assert all(type(number) is float and math.isfinite(number) for vector in vectors for number in vector)
        assert len(embeddings.embed_query(_TEXTS[1])) == len(vectors[0])
        assert embeddings.embed_documents([]) == []

    def test_length_1(self) -> None:
        """Vectors have length 1, unless it is asked otherwise."""
        for vector in self.embeddings().embed_documents(_TEXTS):
            assert math.hypot(*vector) == pytest.approx(1, abs=1e-3)
        plain = self.embeddings(normalize=False).embed_query(_TEXTS[0])
        assert _nearness(plain, self.embeddings().embed_query(_TEXTS[0])) == pytest.approx(1, abs=1e-3)

    def test_order_and_company_do_not_matter(self) -> None:
        """A text has its own vector, whatever it is embedded with, and results are in the order of the texts."""
        embeddings = self.embeddings()
        alone = [embeddings.embed_documents([text])[0] for text in _TEXTS]
        together = embeddings.embed_documents(list(reversed(_TEXTS)) * 5)
        for number, vector in enumerate(together):
            assert _nearness(vector, alone[len(_TEXTS) - 1 - number % len(_TEXTS)]) > 0.999

    def test_asynchronous_ones_agree(self) -> None:
        """The asynchronous methods give the same vectors, on event loops that come and go."""
        embeddings = self.embeddings()
        documents, query = run(embeddings.aembed_documents(_TEXTS)), run(embeddings.aembed_query(_TEXTS[1]))
        for found, want in zip(documents, embeddings.embed_documents(_TEXTS), strict=True):
            assert _nearness(found, want) > 0.999
        assert _nearness(query, embeddings.embed_query(_TEXTS[1])) > 0.999

    def test_what_is_no_text(self) -> None:
        """One text in place of a list, and what is no text, are errors with a hint."""
        wrong: list[Any] = ["one text", [3], [None]]
        for given in wrong:
            with pytest.raises(InvalidRequestError) as caught:
                self.embeddings().embed_documents(given)
            assert caught.value.hint

    def test_a_missing_embedding_model(self) -> None:
        """A model that is not there is an error with a hint."""
        missing = self.missing if self.missing_embeddings is None else self.missing_embeddings
        with pytest.raises(LocalModelError) as caught:
            self.embeddings(**missing).embed_query("a text")
        assert caught.value.hint

    def test_rebuilding_embeddings(self) -> None:
        """Embeddings that come out of a pickle, or are copied, are equal and embed alike."""
        embeddings = self.embeddings()
        want = embeddings.embed_query(_TEXTS[0])
        copies = (pickle.loads(pickle.dumps(embeddings)), copy.copy(embeddings), copy.deepcopy(embeddings))
        for again in copies:
            assert again == embeddings
            assert again.embed_query(_TEXTS[0]) == pytest.approx(want)
            again.close()
        assert self.embeddings(normalize=False) != embeddings

    def test_dumping_and_loading_embeddings(self) -> None:
        """`dumpd` either gives what `load` makes equal embeddings of, or says that it cannot; and no secret."""
        embeddings: Any = self.embeddings(api_key="sk-nobody-may-see-this")
        assert "sk-nobody" not in repr(embeddings) + dumps(embeddings)
        plain: Any = self.embeddings()
        dumped = dumpd(plain)
        if not getattr(type(plain), "is_lc_serializable", bool)():
            assert dumped["type"] == "not_implemented"
            return
        namespace = type(plain).__module__.split(".")[0]
        assert load(dumped, valid_namespaces=[namespace], allowed_objects=[type(plain)]) == plain

    def test_closing_embeddings(self) -> None:
        """Closed embeddings open again by themselves."""
        with self.embeddings() as embeddings:
            want = embeddings.embed_query(_TEXTS[0])
        assert embeddings.embed_query(_TEXTS[0]) == pytest.approx(want)
        embeddings.close()


def _nearness(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True)) / (math.hypot(*a) * math.hypot(*b))
