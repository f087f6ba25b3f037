"""Identity: which object gives which answer, for caches, traces, pickles and copies; and secrets, which stay out."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.load import dumpd, dumps, load
from langchain_core.runnables import ConfigurableField

from langchain_localmodels.testing.contract.base import EngineContract
from langchain_localmodels.testing.contract.helpers import KINDS, Recorder, as_json, magic_function, run, text_of

_SECRET = "sk-nobody-may-see-this"


class IdentityContract(EngineContract):
    """Caches, LangSmith's parameters, `dumpd` and `load`, pickles, copies, configurable fields, secrets."""

    def test_langsmith_params(self) -> None:
        """Traces tell the engine, the model and the settings."""
        params = self.chat_model(max_tokens=9)._get_ls_params(stop=["x"])
        assert params["ls_provider"] == self.engine
        assert params["ls_model_type"] == "chat"
        assert params["ls_temperature"] == 0
        assert params["ls_max_tokens"] == 9
        assert params["ls_stop"] == ["x"]
        llm_params = self.llm()._get_ls_params()
        assert llm_params["ls_model_type"] == "llm"
        assert llm_params["ls_model_name"] == params["ls_model_name"]

    @KINDS
    def test_a_shared_cache_keeps_answers_apart(self, kind: str) -> None:
        """A cache gives an answer to the same model and question only, and then without asking the engine."""
        cache, prompt = InMemoryCache(), self.prompt(kind)
        short, whole = self.model(kind, max_tokens=2, cache=cache), self.model(kind, cache=cache)
        want = text_of(self.model(kind).invoke(prompt))
        assert text_of(short.invoke(prompt)) != want
        assert text_of(whole.invoke(prompt)) == want
        recorder = Recorder()
        assert text_of(whole.invoke(prompt, config={"callbacks": [recorder]})) == want
        assert "token" not in recorder.events, "the second answer was to come from the cache"
        assert text_of(run(whole.ainvoke(prompt, max_tokens=2))) != want
        assert text_of(whole.invoke(prompt, stop=[want[len(want) // 2 :][:3]])) != want

    def test_a_cache_knows_of_tools(self) -> None:
        """An answer given without tools is not given where there are some."""
        cache = InMemoryCache()
        chat = self.chat_model(cache=cache)
        chat.invoke(self.question)
        recorder = Recorder()
        chat.bind_tools([magic_function]).invoke(self.question, config={"callbacks": [recorder]})
        assert "token" in recorder.events

    @KINDS
    def test_what_changes_the_answer_is_in_the_identity(self, kind: str) -> None:
        """`_identifying_params` differ where answers may, and are the same for objects that are."""
        plain = self.model(kind)._identifying_params
        assert plain == self.model(kind)._identifying_params
        for field in ({"temperature": 0.5}, {"max_tokens": 3}, {"seed": 4}, {"stop": ["x"]}, {"top_k": 5}):
            assert self.model(kind, **field)._identifying_params != plain, field
        assert self.model(kind, verbose=True, tags=["a"], api_key=_SECRET)._identifying_params == plain

    @KINDS
    def test_rebuilding(self, kind: str) -> None:
        """A model that comes out of a pickle, or is copied, is equal and answers alike."""
        model, prompt = self.model(kind), self.prompt(kind)
        want = text_of(model.invoke(prompt))
        for again in (pickle.loads(pickle.dumps(model)), copy.copy(model), copy.deepcopy(model), model.model_copy()):
            assert again == model
            assert text_of(again.invoke(prompt)) == want
            again.close()
        assert self.model(kind, max_tokens=3) != model

    @KINDS
    def test_configurable_fields(self, kind: str) -> None:
        """A field that is made configurable is set for one call."""
        model, prompt = self.model(kind), self.prompt(kind)
        configurable = model.configurable_fields(max_tokens=ConfigurableField(id="most"))
        cut = text_of(configurable.invoke(prompt, config={"configurable": {"most": 2}}))
        whole = text_of(configurable.invoke(prompt))
        assert len(cut) < len(whole)
        assert whole == text_of(model.invoke(prompt))

    @KINDS
    def test_dumping_and_loading(self, kind: str) -> None:
        """`dumpd` either gives what `load` makes an equal model of, or says that it cannot."""
        model = self.model(kind, max_tokens=9)
        dumped = dumpd(model)
        if not type(model).is_lc_serializable():
            assert dumped["type"] == "not_implemented"
            return
        assert dumped["type"] == "constructor"
        namespace = type(model).__module__.split(".")[0]
        loaded = load(dumped, valid_namespaces=[namespace], allowed_objects=[type(model)])
        assert loaded == model
        assert text_of(loaded.invoke(self.prompt(kind))) == text_of(model.invoke(self.prompt(kind)))

    @KINDS
    def test_secrets_stay_secret(self, kind: str) -> None:
        """A key is in no repr, dump, trace or cache key."""
        model = self.model(kind, api_key=_SECRET)
        params: Any = dict(model._identifying_params)
        for shown in (repr(model), str(model), dumps(model), json.dumps(dumpd(model)), as_json(params)):
            assert _SECRET not in shown
        assert _SECRET not in as_json(model._get_ls_params())
        assert _SECRET not in as_json(getattr(model, "_serialized", {}))
        assert model.api_key.get_secret_value() == _SECRET
        assert pickle.loads(pickle.dumps(model)).api_key.get_secret_value() == _SECRET

    @pytest.mark.parametrize("kind", ["llm", "chat"])
    def test_a_repr_is_short(self, kind: str) -> None:
        """What a notebook shows of a model fits on a screen."""
        assert len(repr(self.model(kind))) < 2000
