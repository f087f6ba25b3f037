"""What may be given to every engine, under which names, and what becomes of it."""

import copy
import gc
import os
import pickle
import threading
import warnings
import weakref

import pytest
from langchain_core.callbacks import CallbackManager, StreamingStdOutCallbackHandler
from langchain_core.runnables import ConfigurableField
from pydantic import ValidationError

from langchain_localmodels import options as options_module
from langchain_localmodels._version import __version__
from langchain_localmodels.engines.base import Grammar, JsonOutput, Sampling
from langchain_localmodels.errors import InvalidRequestError, UnsupportedFeatureError
from langchain_localmodels.vocabulary import merge_stops, unify
from tests.unit_tests.scripted import LOGS, ChatScripted, Log, ScriptedExtras, ScriptedLLM, words

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


@pytest.fixture(autouse=True)
def log():
    LOGS["default"] = Log()
    options_module._warned.clear()
    return LOGS["default"]


@pytest.fixture(params=[ChatScripted, ScriptedLLM])
def cls(request):
    return request.param


def settings(llm, stop=None, **overrides):
    return llm._settings(stop, overrides)


# --- values -----------------------------------------------------------------------------------------------------------


def test_nothing_given_leaves_everything_to_the_engine(cls):
    given = settings(cls())
    assert given.sampling == Sampling()
    assert (given.max_tokens, given.stop, given.constraint, given.top_logprobs, given.timeout, given.model) == (
        (None, (), None, None, None, None)
    )
    assert given.extras is None


SAMPLING = {
    "temperature": 0.5,
    "top_k": 10,
    "top_p": 0.9,
    "min_p": 0.05,
    "typical_p": 0.8,
    "repeat_penalty": 1.1,
    "repeat_last_n": 64,
    "frequency_penalty": 0.1,
    "presence_penalty": -0.1,
    "mirostat": 2,
    "mirostat_tau": 5.0,
    "mirostat_eta": 0.1,
    "seed": 7,
}


@pytest.mark.parametrize("where", ["constructor", "call"])
def test_every_sampling_word_arrives(cls, where):
    given = settings(cls(**SAMPLING)) if where == "constructor" else settings(cls(), **SAMPLING)
    assert given.sampling == Sampling(**SAMPLING)


def test_a_call_overrides_the_constructor_and_leaves_it_as_it_was(cls):
    llm = cls(temperature=0.1, max_tokens=10, seed=3)
    given = settings(llm, temperature=0.9, seed=None)
    assert (given.sampling.temperature, given.max_tokens, given.sampling.seed) == (0.9, 10, None)
    assert settings(llm).sampling == Sampling(temperature=0.1, seed=3)


OUT_OF_RANGE = [
    {"temperature": -0.1},
    {"temperature": float("nan")},
    {"temperature": float("inf")},
    {"temperature": "hot"},
    {"max_tokens": 0},
    {"max_tokens": -3},
    {"top_k": -2},
    {"top_p": 0},
    {"top_p": 1.1},
    {"min_p": -0.1},
    {"typical_p": 0},
    {"repeat_penalty": 0},
    {"repeat_last_n": -2},
    {"frequency_penalty": 2.1},
    {"presence_penalty": -2.1},
    {"mirostat": 3},
    {"mirostat_tau": -1},
    {"logit_bias": {"x": 1}},
    {"logit_bias": {1: float("inf")}},
    {"stop": ["a", ""]},
    {"stop": ""},
    {"logprobs": -1},
    {"top_logprobs": -1},
    {"grammar": ""},
    {"format": "xml"},
    {"timeout": 0},
]


@pytest.mark.parametrize("wrong", OUT_OF_RANGE, ids=str)
def test_values_out_of_range_are_refused(cls, wrong):
    with pytest.raises(ValidationError):
        cls(**wrong)
    name = next(iter(wrong))
    with pytest.raises(InvalidRequestError, match=name):
        settings(cls(), **wrong)


@pytest.mark.parametrize("unlimited", [-1, -2, None])
def test_max_tokens_without_limit(cls, unlimited):
    assert cls(max_tokens=unlimited).max_tokens is None
    assert settings(cls(max_tokens=5), max_tokens=unlimited).max_tokens is None


def test_minus_one_is_off_or_any(cls):
    llm = cls(top_k=-1, seed=-1, repeat_last_n=-1)
    assert (llm.top_k, llm.seed, llm.repeat_last_n) == (0, None, -1)


def test_logit_bias_has_token_ids_as_numbers_or_text(cls):
    given = settings(cls(logit_bias={"7": -1, 3: 2.5}))
    assert given.sampling.logit_bias == ((3, 2.5), (7, -1.0))


@pytest.mark.parametrize(
    ("given", "number"),
    [
        ({}, None),
        ({"logprobs": True}, 0),
        ({"logprobs": False}, None),
        ({"logprobs": False, "top_logprobs": 3}, None),
        ({"logprobs": 4}, 4),
        ({"logprobs": 0}, 0),
        ({"logprobs": True, "top_logprobs": 2}, 2),
        ({"top_logprobs": 2}, 2),
        ({"n_probs": 2}, 2),
        ({"logprobs": 2, "top_logprobs": 2}, 2),
    ],
)
def test_logprobs_and_top_logprobs_make_one_number(cls, given, number):
    assert settings(cls(**given)).top_logprobs == number
    assert settings(cls(), **given).top_logprobs == number


def test_logprobs_that_contradict_one_another(cls):
    with pytest.raises(InvalidRequestError, match="both say how many"):
        settings(cls(logprobs=2, top_logprobs=3))


# --- stop strings -----------------------------------------------------------------------------------------------------


def test_stop_strings_of_constructor_and_call_are_joined(cls):
    llm = cls(stop=["END", "\n\n"])
    assert settings(llm, ["Human:", "END"]).stop == ("END", "\n\n", "Human:")
    assert settings(llm, None, stop_sequences="###").stop == ("END", "\n\n", "###")
    assert settings(llm, []).stop == ("END", "\n\n")
    assert llm.stop == ["END", "\n\n"]


def test_one_stop_string_may_stand_alone(cls):
    assert cls(stop="END").stop == ["END"]
    assert cls(stop=[]).stop == []


def test_an_empty_stop_string_per_call_is_refused(cls):
    with pytest.raises(InvalidRequestError, match="empty stop string"):
        settings(cls(), [""])


def test_merge_stops():
    assert merge_stops(["b", "a"], None, "a", ["c"]) == ["b", "a", "c"]


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alias", "name", "value"),
    [
        ("temp", "temperature", 0.3),
        ("n_predict", "max_tokens", 5),
        ("num_predict", "max_tokens", 5),
        ("max_new_tokens", "max_tokens", 5),
        ("max_completion_tokens", "max_tokens", 5),
        ("repetition_penalty", "repeat_penalty", 1.2),
        ("last_n_tokens_size", "repeat_last_n", 32),
        ("typical", "typical_p", 0.5),
        ("stop_sequences", "stop", ["x"]),
        ("n_probs", "top_logprobs", 3),
        ("model_id", "model", "other"),
    ],
)
def test_other_names(cls, alias, name, value):
    assert getattr(cls(**{alias: value}), name) == value
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        by_alias, by_name = settings(cls(), **{alias: value}), settings(cls(), **{name: value})
    assert by_alias == by_name != settings(cls())


def test_two_names_of_one_thing(cls):
    assert cls(temp=0.3, temperature=0.3).temperature == 0.3
    with pytest.raises(ValidationError, match="`temp` means `temperature`"):
        cls(temp=0.3, temperature=0.4)
    with pytest.raises(InvalidRequestError, match="`n_predict` means `max_tokens`"):
        settings(cls(), n_predict=3, max_tokens=4)


def test_unify_keeps_what_it_does_not_know():
    assert unify({"x": 1, "temp": None, "temperature": 2}, {"temp": "temperature"}) == {"x": 1, "temperature": 2}


@pytest.mark.parametrize(
    ("wrong", "guess"), [("temprature", "temperature"), ("max_token", "max_tokens"), ("modle", "model")]
)
def test_a_misspelt_name_warns_with_the_right_one(cls, wrong, guess):
    with pytest.warns(UserWarning, match=f"`{wrong}`.*Did you mean `{guess}`") as caught:
        cls(**{wrong: 1})
    assert [warning.filename for warning in caught] == [__file__]


def test_a_name_like_no_other_warns_without_a_guess(cls):
    with pytest.warns(UserWarning, match="does not know `zzzzzz`, which is ignored.$"):
        cls(zzzzzz=1)


def test_a_misspelt_name_per_call_warns_once(cls):
    llm = cls()
    with pytest.warns(UserWarning, match="Did you mean `temperature`") as caught:
        _ = [llm.bind(temprature=1).invoke("hi") for _ in range(2)]
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_a_constructor_name_per_call_says_so(cls):
    with pytest.warns(UserWarning, match="`n_ctx` of .* is set at construction"):
        cls().invoke("hi", n_ctx=1024)


def test_what_langchain_and_its_tests_pass_everywhere_is_known(cls):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        llm = cls(api_key="secret", timeout=60, max_retries=2, streaming=True, stream_usage=True, stop=[])
        llm._settings(
            None,
            {
                "strict": None,
                "ls_structured_output_format": {},
                "parallel_tool_calls": True,
                "response_format": None,
                "stream": True,
                "api_key": "x",
            },
        )
    assert llm.timeout == 60


def test_fields_with_model_in_their_name_are_no_trouble():
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        class WithModelPath(ScriptedLLM):
            model_path: str = "x"

        assert WithModelPath(model_path="y").model_path == "y"


def test_model_kwargs_count_as_parameters(cls):
    llm = cls(model_kwargs={"temp": 0.2, "n_ctx": 64}, max_tokens=3)
    assert (llm.temperature, llm.n_ctx, llm.max_tokens, llm.model_kwargs) == (0.2, 64, 3, {})
    assert settings(llm, model_kwargs={"temperature": 0.7}).sampling.temperature == 0.7
    with pytest.raises(ValidationError, match="differs"):
        cls(model_kwargs={"temperature": 0.2}, temperature=0.3)
    with pytest.warns(UserWarning, match="temperature"):
        cls(model_kwargs={"temprature": 0.2})


def test_retired_names(cls):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cls(f16_kv=True, old_anything="whatever")
        cls(f16_kv=None)
    with pytest.warns(UserWarning, match="`f16_kv` of .* has no effect any more: it behaves as f16_kv=True"):
        cls(f16_kv=False)


def test_callback_manager_is_callbacks(cls):
    manager = CallbackManager([StreamingStdOutCallbackHandler()])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cls(callback_manager=manager).callbacks is manager
    with pytest.raises(ValidationError, match="old name"):
        cls(callback_manager=manager, callbacks=[])


# --- what the answer looks like ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "constraint"),
    [
        ({"grammar": 'root ::= "x"'}, Grammar('root ::= "x"')),
        ({"format": "json"}, JsonOutput(None)),
        ({"format": ""}, None),
        ({"format": SCHEMA}, JsonOutput(SCHEMA)),
        ({"json_schema": SCHEMA}, JsonOutput(SCHEMA)),
        ({"response_format": {"type": "text"}}, None),
        ({"response_format": {"type": "json_object"}}, JsonOutput(None)),
        ({"response_format": {"type": "json_object", "schema": SCHEMA}}, JsonOutput(SCHEMA)),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "A", "schema": SCHEMA, "strict": True},
                }
            },
            JsonOutput(SCHEMA, explained=True),
        ),
    ],
    ids=str,
)
def test_constraints(cls, given, constraint):
    assert settings(cls(**given)).constraint == constraint
    assert settings(cls(), **given).constraint == constraint


def test_a_constraint_of_the_call_takes_the_place_of_the_constructors(cls):
    assert settings(cls(format="json"), grammar='root ::= "x"').constraint == Grammar('root ::= "x"')
    assert settings(cls(format="json"), response_format=None).constraint == JsonOutput(None)


@pytest.mark.parametrize(
    "wrong", [{"format": "json", "grammar": "root ::= [a]"}, {"response_format": {"type": "yaml"}}], ids=str
)
def test_constraints_that_make_no_sense(cls, wrong):
    with pytest.raises(InvalidRequestError):
        settings(cls(), **wrong)


def test_another_model_per_call(cls):
    llm = cls(model="a")
    assert settings(llm, model="b").model == "b"
    assert settings(llm, model="a").model is None


def test_the_engines_own_values(cls):
    assert settings(cls(mood="calm")).extras == ScriptedExtras("calm")
    assert settings(cls(mood="calm"), mood="wild").extras == ScriptedExtras("wild")


# --- the engine's life ------------------------------------------------------------------------------------------------


def test_the_engine_is_made_on_first_use_and_only_once(cls, log):
    llm = cls()
    assert log.engines == []
    engines = []
    threads = [threading.Thread(target=lambda: engines.append(llm.engine)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.engines == [engines[0]]
    assert all(engine is engines[0] for engine in engines)


def test_load_close_and_with(cls, log):
    cls().close()
    assert log.engines == []
    with cls().load() as llm:
        llm.invoke("hi")
    (engine,) = log.engines
    assert (engine.loads, engine.closes) == (1, 1)


def test_the_engine_is_collected_with_its_object(cls, log):
    llm = cls()
    llm.invoke("hi")
    engine = weakref.ref(llm.engine)
    del llm
    log.engines.clear()
    gc.collect()
    assert engine() is None


@pytest.mark.parametrize(
    "make",
    [
        copy.copy,
        copy.deepcopy,
        lambda llm: llm.model_copy(),
        lambda llm: llm.model_copy(deep=True),
        lambda llm: llm.model_copy(update={"temperature": 0.7}),
        lambda llm: pickle.loads(pickle.dumps(llm)),
    ],
)
def test_copies_make_an_engine_of_their_own(cls, make, log):
    llm = cls(temperature=0.5, stop=["x"], api_key="secret", metadata={"a": 1})
    llm.invoke("hi")
    again = make(llm)
    assert again._settings(None, {}).stop == ("x",)
    assert again.engine is not llm.engine
    assert again.invoke("hi") is not None
    assert len(log.engines) == 2
    assert str(again.temperature) in repr(again)


def test_a_copy_equals_what_it_was_made_from(cls):
    llm = cls(temperature=0.5)
    llm.invoke("hi")
    assert copy.copy(llm) == llm


def test_configurable_fields(cls, log):
    llm = cls(temperature=0.1, stop=["x"], temp=0.1).configurable_fields(temperature=ConfigurableField(id="t"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        llm.with_config(configurable={"t": 0.9}).invoke("hi")
        list(llm.with_config(configurable={"t": 0.8}).stream("hi"))
        llm.invoke("hi")
    asked = [request.settings for request in log.requests]
    assert sorted(given.sampling.temperature for given in asked) == [0.1, 0.8, 0.9]
    assert all(given.stop == ("x",) for given in asked)


def test_a_rebuilt_object_still_streams(cls):
    llm = cls().configurable_fields(temperature=ConfigurableField(id="t")).with_config(configurable={"t": 0.9})
    assert len([chunk for chunk in llm.stream("hi") if str(chunk)]) > 1


# --- identity, traces and secrets -------------------------------------------------------------------------------------


def test_whatever_changes_the_output_changes_the_identity(cls):
    different = [
        {},
        {"model": "other"},
        *({name: value} for name, value in SAMPLING.items()),
        {"max_tokens": 5},
        {"stop": ["a"]},
        {"stop": ["b"]},
        {"format": "json"},
        {"format": SCHEMA},
        {"grammar": "root ::= [a]"},
        {"grammar": "root ::= [b]"},
        {"logit_bias": {1: 1.0}},
        {"logprobs": True},
        {"mood": "calm"},
        {"n_ctx": 64},
        {"script": words("other")},
    ]
    identities = {str(sorted(cls(**given).asdict().items())) for given in different}
    assert len(identities) == len(different)


def test_what_does_not_change_the_output_does_not_change_the_identity(cls):
    plain = cls().asdict()
    for given in (
        {"timeout": 5},
        {"api_key": "s"},
        {"tags": ["x"]},
        {"verbose": True},
        {"streaming": True},
        {"log": "x"},
    ):
        assert cls(**given).asdict() == plain


def test_secrets_are_not_shown(cls):
    llm = cls(api_key="hush-hush")
    shown = f"{llm!r} {llm} {llm._identity()} {llm._serialized} {llm.asdict()}"
    assert "hush-hush" not in shown
    assert llm.lc_secrets == {"api_key": "SCRIPTED_API_KEY"}


def test_traces_know_the_model_and_the_versions(cls):
    llm = cls(temperature=0.5, stop=["x"])
    params = llm._get_ls_params(stop=["y"], model="other", n_predict=7)
    assert params == {
        "ls_provider": "scripted",
        "ls_model_name": "other",
        "ls_model_type": "chat" if cls is ChatScripted else "llm",
        "ls_temperature": 0.5,
        "ls_max_tokens": 7,
        "ls_stop": ["x", "y"],
    }
    versions = llm.metadata["lc_versions"]
    assert versions["langchain-localmodels"] == __version__
    assert "langchain-core" in versions


# --- counting tokens --------------------------------------------------------------------------------------------------


def test_token_counts_come_from_the_engines_tokenizer(cls):
    assert cls().get_token_ids("one three") == [3, 5]
    assert cls().get_num_tokens("one three") == 2


def test_token_counts_are_estimated_without_one(cls):
    llm = cls(tokenizer=False)
    assert llm.get_num_tokens("12345") == 2
    with pytest.raises(UnsupportedFeatureError, match="tokenizer"):
        llm.get_token_ids("12345")


def test_a_tokenizer_of_the_users(cls):
    llm = cls(tokenizer=False, custom_get_token_ids=lambda text: list(range(len(text))))
    assert llm.get_num_tokens("abc") == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_fork_while_an_engine_is_being_made_leaves_no_lock_behind(cls):
    model = cls()
    begun, go_on = threading.Event(), threading.Event()
    make = model._handle.get

    def slow():
        begun.set()
        go_on.wait(10)
        return object()

    thread = threading.Thread(target=make, args=(slow,))
    thread.start()
    begun.wait(10)
    child = os.fork()
    if child == 0:
        os._exit(0 if model._handle._lock.acquire(timeout=5) else 1)
    go_on.set()
    thread.join(10)
    assert os.waitpid(child, 0)[1] == 0
