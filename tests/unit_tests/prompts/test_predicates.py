"""Conditions on models, and how they are joined."""

from __future__ import annotations

from dataclasses import replace

import pytest
from langchain_core.language_models import FakeListChatModel, FakeListLLM
from langchain_core.runnables import ConfigurableField
from langchain_core.tools import tool

from langchain_localmodels import ChatLlamaCpp, ChatOllama, LlamaCpp, OllamaLLM
from langchain_localmodels.demo import model_path
from langchain_localmodels.errors import InvalidRequestError
from langchain_localmodels.prompts import (
    Predicate,
    can_call_tools,
    context_at_least,
    family_of,
    has_tools,
    is_chat_model,
    is_engine,
    is_family,
    is_llm,
)
from langchain_localmodels.testing import ScriptedChatModel, ScriptedLLM
from tests.doubles.ollama_server import OllamaDouble


@tool
def now() -> str:
    """Tell the time."""
    return "noon"


LLM, CHAT = ScriptedLLM(answers=["a"]), ScriptedChatModel(answers=["a"])
FILE = LlamaCpp(model_path=model_path)


# --- joined -----------------------------------------------------------------------------------------------------------


def never(model: object) -> bool:
    return False


@pytest.mark.parametrize(
    ("condition", "for_llm", "for_chat"),
    [
        (is_llm, True, False),
        (~is_llm, False, True),
        (is_llm & is_chat_model, False, False),
        (is_llm | is_chat_model, True, True),
        (~(is_llm & is_chat_model) & is_chat_model, False, True),
        (is_llm | never, True, False),
        (never | is_llm, True, False),
        (is_llm & never, False, False),
        (never & is_llm, False, False),
        ((lambda model: model is LLM) & ~is_chat_model, True, False),
        (is_llm & ScriptedLLM, True, False),
        (ScriptedChatModel | is_llm, True, True),
    ],
    ids=repr,
)
def test_conditions_are_joined(condition: Predicate, for_llm: bool, for_chat: bool):
    assert (condition(LLM), condition(CHAT)) == (for_llm, for_chat)
    assert (condition(LLM.bind(stop=["x"])), condition(CHAT.with_retry())) == (for_llm, for_chat)


def test_how_they_are_shown():
    shown = repr(is_llm & ~is_family("llama-2", "mistral") | (never & context_at_least(8)))
    assert shown == "((is_llm & ~is_family('llama-2', 'mistral')) | (never & context_at_least(8)))"


def test_and_or_not_are_refused():
    """They would take a condition for true, and drop another one without a word."""
    for join in (lambda: is_llm and is_chat_model, lambda: is_llm or is_chat_model, lambda: not is_llm):
        with pytest.raises(InvalidRequestError, match=r"is_llm is a condition[^$]*Join conditions with `&`"):
            join()


def test_what_is_no_condition():
    for join in (lambda: is_llm & 3, lambda: "x" | is_llm, lambda: is_llm | None):
        with pytest.raises(InvalidRequestError, match="is no condition on a model"):
            join()


# --- tools ------------------------------------------------------------------------------------------------------------


def test_tools_that_are_bound():
    assert not has_tools(CHAT)
    assert not has_tools(CHAT.bind(tools=[]))
    bound = CHAT.bind_tools([now])
    assert has_tools(bound)
    assert has_tools(bound.with_retry().with_config(tags=["a"]).with_fallbacks([CHAT]))
    assert not has_tools(bound.bind(tools=None))  # the outer binding counts
    assert has_tools(CHAT.configurable_fields(temperature=ConfigurableField(id="t")).bind(tools=[now]))


def test_models_that_can_call_tools():
    assert can_call_tools(CHAT)
    assert can_call_tools(ChatLlamaCpp(model_path=model_path))
    assert not can_call_tools(FakeListChatModel(responses=["a"]))
    assert not can_call_tools(object())


# --- engines ----------------------------------------------------------------------------------------------------------


def test_engines():
    ollama = OllamaLLM(model="llama3.1:8b")
    assert is_engine("llamacpp")(FILE)
    assert is_engine("llamacpp", "ollama")(ollama.bind(raw=True))
    assert not is_engine("ollama")(FILE)
    assert is_engine("ollama")(ollama)
    assert not is_engine("ollama")(LLM)
    assert not is_engine("ollama")(object())


def test_classes_of_other_packages_count_by_their_names():
    class ChatOllama(FakeListChatModel):
        pass

    class OllamaLLM(FakeListLLM):
        pass

    for model in (ChatOllama(responses=["a"]), OllamaLLM(responses=["a"]).with_retry()):
        assert is_engine("ollama")(model)
        assert not is_engine("llamacpp")(model)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: is_engine("llama.cpp"), "There is no engine 'llama.cpp'.\nHint: Did you mean 'llamacpp'"),
        (lambda: is_engine("ollama", "olama"), "Did you mean 'ollama'"),
        (is_engine, "is_engine() names nothing"),
        (lambda: is_family("llama2"), "There is no family of models 'llama2'.\nHint: Did you mean 'llama-2'"),
        (lambda: is_family("gpt-4"), "Known: 'llama-2'"),
        (is_family, "is_family() names nothing"),
        (lambda: context_at_least(0), "context_at_least(0): a number of tokens"),
        (lambda: context_at_least(8192.0), "a whole number from 1 up"),
        (lambda: context_at_least(True), "a whole number from 1 up"),
    ],
)
def test_what_can_never_hold_is_refused_when_it_is_made(make, told: str):
    with pytest.raises(InvalidRequestError) as caught:
        make()
    assert told in str(caught.value)


# --- families ---------------------------------------------------------------------------------------------------------


def test_families_of_other_packages_models_by_their_names():
    class Model(FakeListLLM):
        model: str

    named = Model(responses=["a"], model="llama2:13b")
    assert is_family("llama-2")(named)
    assert is_family("mistral")(named.bind(model="mistral:7b"))
    assert is_family("mistral-v3")(named.bind(model="mistral:7b").with_retry())
    assert not is_family("mistral-v1")(named.bind(model="mistral:7b"))
    assert family_of(FakeListLLM(responses=["a"])) is None
    assert not is_family("llama-2")(object())


# --- windows ----------------------------------------------------------------------------------------------------------


def test_windows():
    for kind in (LlamaCpp, ChatLlamaCpp):
        model = kind(model_path=model_path, n_ctx=1024)
        assert context_at_least(1024)(model.with_retry())
        assert not context_at_least(1025)(model)
    known = CHAT.model_copy(update={"capabilities": replace(CHAT.capabilities, context_window=64)})
    assert context_at_least(64)(known)
    assert not context_at_least(65)(known)


def test_a_window_that_is_not_known_counts_as_too_small():
    for model in (CHAT, FakeListLLM(responses=["a"]), object()):
        assert not context_at_least(1)(model)


def test_windows_of_other_packages_models():
    class Model(FakeListLLM):
        n_ctx: int

    assert context_at_least(512)(Model(responses=["a"], n_ctx=512))
    assert not context_at_least(513)(Model(responses=["a"], n_ctx=512))


# --- a server is asked ------------------------------------------------------------------------------------------------

SHOWN = {
    "template": "{{ .System }} USER: {{ .Prompt }} ASSISTANT:",
    "details": {"family": "llama"},
    "model_info": {"general.architecture": "llama", "llama.context_length": 8192},
    "capabilities": ["completion", "tools"],
    "parameters": "num_ctx 6000",
}


def asked(double: OllamaDouble) -> int:
    return sum(seen.path == "/api/show" for seen in double.seen)


def test_ollama_is_asked_once():
    with OllamaDouble() as double:
        double.models.add("vic:1")
        double.shown_of["vic:1"] = SHOWN
        url = f"127.0.0.1:{double.port}"
        for kind in (OllamaLLM, ChatOllama):
            model = kind(model="vic:1", base_url=url)
            assert is_family("vicuna")(model)
            assert context_at_least(6000)(model)
            assert not context_at_least(6001)(model)
            assert context_at_least(8000)(model.bind(num_ctx=8000))
            assert context_at_least(8000)(model.bind(n_ctx=8000).with_retry())
            assert can_call_tools(model)
        assert asked(double) == 1
        assert is_family("llama-3")(OllamaLLM(model="vic:1", base_url=url).bind(model="llama3.2:1b"))


def test_a_server_that_is_not_there_leaves_the_name(unused_tcp_port: int):
    model = OllamaLLM(model="zephyr:7b", base_url=f"127.0.0.1:{unused_tcp_port}", max_retries=0)
    assert is_family("zephyr")(model)
    assert not context_at_least(1)(model)
    assert not can_call_tools(model)


def test_one_that_fails_is_asked_once_for_all_conditions():
    with OllamaDouble() as double:
        model = OllamaLLM(model="nobody-has-this:zephyr", base_url=f"127.0.0.1:{double.port}")
        conditions = is_family("llama-2") | is_family("llama-3") | context_at_least(8) | is_family("zephyr")
        assert conditions(model.with_retry())
        assert asked(double) == 1


def test_an_address_that_cannot_be_read_leaves_the_name(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OLLAMA_HOST", "http://[")
    assert is_family("zephyr")(OllamaLLM(model="zephyr:7b"))
