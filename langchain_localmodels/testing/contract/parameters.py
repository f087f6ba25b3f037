"""One vocabulary: the same words in the constructor, in `bind` and per call, with the same ranges, on every engine."""

from __future__ import annotations

import json
import uuid
import warnings
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from pydantic import ValidationError

from langchain_localmodels.errors import InvalidRequestError
from langchain_localmodels.testing.contract.base import EngineContract
from langchain_localmodels.testing.contract.helpers import KINDS, text_of

_WORDS: dict[str, Any] = {
    "temperature": 0.7,
    "top_k": 20,
    "top_p": 0.9,
    "min_p": 0.05,
    "seed": 7,
    "repeat_penalty": 1.1,
    "repeat_last_n": 32,
    "frequency_penalty": 0.1,
    "presence_penalty": 0.1,
    "max_tokens": 4,
}
_OUT_OF_RANGE: list[tuple[str, Any]] = [
    ("temperature", -1),
    ("temperature", float("nan")),
    ("top_p", 2),
    ("top_k", -5),
    ("min_p", 1.5),
    ("max_tokens", 0),
    ("max_tokens", "many"),
    ("repeat_penalty", 0),
    ("frequency_penalty", 3),
    ("timeout", 0),
    ("stop", [""]),
]
_LANGCHAINS: dict[str, Any] = {
    "api_key": "not asked for",
    "timeout": 60,
    "max_retries": 2,
    "streaming": True,
    "max_tokens": 100,
    "temperature": 0,
    "stop": [],
}


class ParameterContract(EngineContract):
    """What can be said about an answer, and where."""

    @KINDS
    def test_words_are_known_everywhere(self, kind: str) -> None:
        """The common words are taken by constructor, `bind` and call, without a warning, and an answer comes."""
        prompt = self.prompt(kind)
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            assert text_of(self.model(kind, **_WORDS).invoke(prompt))
            assert text_of(self.model(kind).bind(**_WORDS).invoke(prompt))
            assert text_of(self.model(kind).invoke(prompt, **_WORDS))

    def test_a_word_means_the_same_everywhere(self) -> None:
        """`max_tokens` cuts the answer wherever it is given, and what is given later counts."""
        places = [
            self.chat_model(max_tokens=2).invoke(self.question),
            self.chat_model().bind(max_tokens=2).invoke(self.question),
            self.chat_model().invoke(self.question, max_tokens=2),
            self.chat_model(max_tokens=1000).invoke(self.question, max_tokens=2),
            self.chat_model(max_new_tokens=2).invoke(self.question),
            self.chat_model().invoke(self.question, num_predict=2),
            self.chat_model(model_kwargs={"n_predict": 2}).invoke(self.question),
        ]
        assert {_reason(message) for message in places} == {"length"}
        assert len({message.text for message in places}) == 1
        whole = self.chat_model(max_tokens=2).invoke(self.question, max_tokens=None)
        assert _reason(whole) == "stop"
        assert whole.text == self.chat_model().invoke(self.question).text

    @pytest.mark.parametrize(("name", "value"), _OUT_OF_RANGE, ids=str)
    def test_values_out_of_range(self, name: str, value: Any) -> None:
        """A wrong value is an error: pydantic's at construction, ours per call and in `bind`."""
        with pytest.raises(ValidationError, match=name):
            self.chat_model(**{name: value})
        for ask in (self.chat_model().invoke, self.llm().invoke):
            with pytest.raises(InvalidRequestError, match=name):
                ask(self.question, **{name: value})
        with pytest.raises(InvalidRequestError, match=name):
            self.chat_model().bind(**{name: value}).invoke(self.question)

    def test_a_value_given_under_two_names(self) -> None:
        """Two names for one thing may not say different things."""
        with pytest.raises(ValidationError, match="max_tokens"):
            self.chat_model(max_tokens=3, num_predict=4)
        with pytest.raises(InvalidRequestError, match="max_tokens"):
            self.chat_model().invoke(self.question, max_tokens=3, num_predict=4)

    def test_unknown_names_are_warned_of(self) -> None:
        """A name that nobody knows is warned of, with the nearest one, and once only per call."""
        with pytest.warns(UserWarning, match="Did you mean `temperature`"):
            self.chat_model(temprature=0.5)
        name = f"unheard_of_{uuid.uuid4().hex}"
        chat: Any = self.chat_model(max_tokens=2)
        with pytest.warns(UserWarning, match=name):
            chat.invoke(self.question, **{name: 1})
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            chat.invoke(self.question, **{name: 1})

    @KINDS
    def test_what_langchain_gives_every_model(self, kind: str) -> None:
        """What LangChain and its tests pass to all models is known, without a warning."""
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            assert text_of(self.model(kind, **_LANGCHAINS).invoke(self.prompt(kind)))

    @KINDS
    def test_a_seed_makes_it_repeatable(self, kind: str) -> None:
        """The same seed gives the same answer, at any temperature."""
        prompt = self.prompt(kind)
        first = text_of(self.model(kind, temperature=1.5, seed=11, max_tokens=8).invoke(prompt))
        assert text_of(self.model(kind, temperature=1.5).invoke(prompt, seed=11, max_tokens=8)) == first

    def test_another_model_per_call(self) -> None:
        """`model=` per call is followed and told in metadata where the engine can, and refused clearly where not."""
        chat, name = self.chat_model(), self.other_model
        assert chat._get_ls_params(model="another")["ls_model_name"] == "another"
        if name is None:
            with pytest.raises(InvalidRequestError, match="another"):
                chat.invoke(self.question, model="another")
            return
        message = chat.invoke(self.question, model=name)
        assert message.response_metadata["model_name"] == name
        streamed = list(chat.bind(model=name).stream(self.question))
        assert streamed[-1].response_metadata["model_name"] == name

    @pytest.mark.parametrize("form", [{"format": "json"}, {"response_format": {"type": "json_object"}}])
    def test_any_json(self, form: dict[str, Any]) -> None:
        """Where answers can be constrained, `format` and `response_format` make them JSON."""
        self.need(self.capabilities.constrain != "none", "answers cannot be constrained")
        asked = f"{self.joke_question} Return the result as a JSON with 'setup' and 'punchline' keys."
        message = self.chat_model().invoke(asked, **form)
        assert _reason(message) == "stop"
        json.loads(message.text)

    def test_a_schema_per_call(self) -> None:
        """Where answers can be held to a schema, `format` takes one."""
        self.need(self.capabilities.constrain != "none", "answers cannot be constrained")
        schema = {"type": "object", "properties": {"ok": {"const": "so it is"}}, "required": ["ok"]}
        message = self.chat_model().invoke(self.question, format={**schema, "additionalProperties": False})
        assert json.loads(message.text) == {"ok": "so it is"}


def _reason(message: AIMessage) -> str:
    return str(message.response_metadata["finish_reason"])
