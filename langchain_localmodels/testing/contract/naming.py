"""Names: the classes of an engine, and the one string that makes an object of them."""

from __future__ import annotations

from typing import Any

import pytest

import langchain_localmodels
from langchain_localmodels import init_local_chat_model, init_local_embeddings, init_local_llm
from langchain_localmodels.engines import ENGINES
from langchain_localmodels.errors import UnsupportedFeatureError
from langchain_localmodels.testing.contract.base import EngineContract
from langchain_localmodels.testing.contract.helpers import KINDS, text_of

_SET_BY_LANGCHAIN = frozenset({"metadata", "profile"})


class FactoryContract(EngineContract):
    """Runs for engines that are in the table of engines."""

    def same_by_name(self, model: Any, make: Any) -> Any:
        """Make an equal object from the engine's and the model's name."""
        field = ENGINES[self.engine].model_field
        others = {name: getattr(model, name) for name in model.model_fields_set - {field, *_SET_BY_LANGCHAIN}}
        return make(f"{self.engine}:{getattr(model, field)}", **others)

    @KINDS
    def test_made_by_name(self, kind: str) -> None:
        """`init_local_chat_model` and `init_local_llm` make the objects that the constructors make."""
        self.need(self.engine in ENGINES, "it is not in the table of engines, so that it has no name")
        model = self.model(kind)
        made = self.same_by_name(model, init_local_chat_model if kind == "chat" else init_local_llm)
        assert type(made) is type(model)
        assert made == model
        assert text_of(made.invoke(self.prompt(kind))) == text_of(model.invoke(self.prompt(kind)))

    def test_embeddings_made_by_name(self) -> None:
        """So does `init_local_embeddings`, or it says that the engine has none."""
        self.need(self.engine in ENGINES, "it is not in the table of engines, so that it has no name")
        if ENGINES[self.engine].embeddings is None:
            with pytest.raises(UnsupportedFeatureError):
                init_local_embeddings(f"{self.engine}:any")
            return
        assert self.same_by_name(self.embeddings(), init_local_embeddings) == self.embeddings()

    def test_classes_are_public(self) -> None:
        """The classes are those that the package gives out under their names."""
        self.need(self.engine in ENGINES, "it is not in the table of engines, so that it has no name")
        entry = ENGINES[self.engine]
        assert type(self.chat_model()) is getattr(langchain_localmodels, entry.chat)
        assert type(self.llm()) is getattr(langchain_localmodels, entry.llm)
