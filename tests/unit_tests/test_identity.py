"""What tells two objects apart, and what becomes of one that is dumped, copied, changed, shown or cached."""

from __future__ import annotations

import copy
import json
import os
import pickle
import re
import shutil

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import StreamingStdOutCallbackHandler
from langchain_core.load import dumpd, dumps, load, loads
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField, RunnableSequence
from langchain_core.tools import tool
from pydantic import BaseModel, ValidationError

from langchain_localmodels import (
    ChatGPT4All,
    ChatLlamaCpp,
    ChatLlamafile,
    ChatOllama,
    GPT4All,
    GPT4AllEmbeddings,
    LlamaCpp,
    LlamaCppEmbeddings,
    Llamafile,
    LlamafileEmbeddings,
    OllamaEmbeddings,
    OllamaLLM,
)
from langchain_localmodels import options as options_module
from langchain_localmodels.demo import embedding_model_path, model_path
from langchain_localmodels.engines import ENGINES
from langchain_localmodels.engines.base import Capabilities
from langchain_localmodels.errors import LocalModelError
from tests.unit_tests.scripted import LOGS, ChatScripted, Log, ScriptedEngine, ScriptedLLM

pytestmark = pytest.mark.filterwarnings("ignore:The function `loads?` is in beta")

MODELS = {
    ChatLlamaCpp: {"model_path": model_path},
    LlamaCpp: {"model_path": model_path},
    LlamaCppEmbeddings: {"model_path": embedding_model_path},
    ChatOllama: {"model": "llama3.1:8b"},
    OllamaLLM: {"model": "llama3.1:8b"},
    OllamaEmbeddings: {"model": "nomic-embed-text"},
    ChatGPT4All: {"model": model_path},
    GPT4All: {"model": model_path},
    GPT4AllEmbeddings: {"model": embedding_model_path},
    ChatLlamafile: {"model": "m"},
    Llamafile: {"model": "m"},
    LlamafileEmbeddings: {"model": "m"},
}
EMBEDDERS = (LlamaCppEmbeddings, OllamaEmbeddings, GPT4AllEmbeddings, LlamafileEmbeddings)
WRITERS = [cls for cls in MODELS if cls not in EMBEDDERS]
ON_SERVERS = [ChatOllama, OllamaLLM, ChatLlamafile, Llamafile]
HUSH = "hush-hush"
SCHEMA = {"type": "object", "properties": {"lc": {"type": "integer"}, "a": {"enum": ["x", "y"]}}}


@pytest.fixture(autouse=True)
def log():
    LOGS["default"] = Log()
    options_module._warned.clear()
    return LOGS["default"]


@pytest.fixture(params=list(MODELS), ids=lambda cls: cls.__name__)
def any_class(request):
    return request.param


def test_every_class_is_looked_at():
    names = {name for entry in ENGINES.values() for _, name in entry.classes().values()}
    assert {cls.__name__ for cls in MODELS} == names


def make(cls, **fields):
    return cls(**{**MODELS[cls], **fields})


def revive(dumped, *classes, **more):
    """What `load` makes of a dump that may hold objects of these classes."""
    return load(dumped, allowed_objects=classes, valid_namespaces=["langchain_localmodels"], **more)


# --- dumps ------------------------------------------------------------------------------------------------------------


def test_a_dump_loads_as_an_equal_object(any_class):
    made = make(any_class)
    dumped = dumpd(made)
    assert dumped["type"] == "constructor"
    assert revive(dumped, any_class) == made
    through_text = loads(dumps(made), allowed_objects=[any_class], valid_namespaces=["langchain_localmodels"])
    assert through_text == made
    assert repr(through_text) == repr(made)


@pytest.mark.parametrize("cls", WRITERS)
@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": 0, "max_tokens": 5, "stop": ["a", "b"], "seed": 3},
        {"stop": [], "top_k": 0, "logprobs": False, "logit_bias": {7: -1.5}},
        {"format": SCHEMA},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "A", "schema": SCHEMA}}},
        {"dry_sequence_breakers": ["\n"], "timeout": 2.5, "streaming": False, "name": "mine"},
    ],
    ids=str,
)
def test_a_dump_has_all_that_was_set(cls, fields):
    made = make(cls, **fields)
    again = loads(dumps(made), allowed_objects=[cls], valid_namespaces=["langchain_localmodels"])
    assert again == made
    assert again._identity() == made._identity()


@pytest.mark.parametrize(
    ("cls", "fields"),
    [
        (ChatLlamaCpp, {"n_ctx": 0, "use_mmap": False, "f16_kv": False, "tensor_split": [1, 2], "n_gpu_layers": 0}),
        (LlamaCpp, {"chat_template": "{{ messages }}", "lora_scale": 0.0, "type_k": "q8_0"}),
        (OllamaEmbeddings, {"dimensions": 8, "keep_alive": "10m", "truncate": True, "batch_size": 3}),
        (LlamaCppEmbeddings, {"normalize": False, "truncate": True, "query_prefix": "", "pooling_type": "cls"}),
        (ChatOllama, {"options": {"x": [1]}, "keep_alive": 0, "reasoning": False, "num_gpu": 0, "base_url": "h:9"}),
        (OllamaLLM, {"client_kwargs": {"timeout": 5, "verify": False, "http2": True}}),
        (ChatGPT4All, {"n_ctx": 0, "n_batch": 8, "ngl": 0, "device": "cpu", "isolate": True}),
        (GPT4All, {"chat_template": "{{ messages }}", "tool_notation": "mistral", "allow_download": True}),
        (GPT4AllEmbeddings, {"task_type": "clustering", "dimensionality": 8, "long_text_mode": "truncate"}),
        (ChatLlamafile, {"base_url": "h:9", "id_slot": 0, "cache_prompt": False, "extra_body": {"a": [1]}}),
        (Llamafile, {"n_keep": -1, "tfs_z": 0.5, "penalize_nl": False, "reasoning": "low", "timeout": None}),
        (LlamafileEmbeddings, {"batch_size": 3, "normalize": False, "truncate": True, "query_prefix": ""}),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_dump_has_the_engines_own_fields(cls, fields):
    made = make(cls, **fields)
    again = loads(dumps(made), allowed_objects=[cls], valid_namespaces=["langchain_localmodels"])
    assert again == made
    for name, value in fields.items():
        assert getattr(again, name) == value


def test_a_dump_names_the_public_module(any_class):
    module = {"llm": "llms", "chat": "chat_models", "embeddings": "embeddings"}
    (kind,) = {kind for entry in ENGINES.values() for kind in module if getattr(entry, kind) == any_class.__name__}
    assert dumpd(make(any_class))["id"] == ["langchain_localmodels", module[kind], any_class.__name__]


def test_a_class_of_the_users_is_found_where_it_is():
    assert ChatScripted.lc_id() == [*ChatScripted.__module__.split("."), "ChatScripted"]


def test_a_chain_is_dumped_with_its_model():
    chain = ChatPromptTemplate.from_messages([("human", "{x}")]) | make(ChatOllama) | StrOutputParser()
    prompt_class = type(chain.first)
    classes = [RunnableSequence, prompt_class, ChatOllama, StrOutputParser]
    classes += [type(message) for message in chain.first.messages] + [type(chain.first.messages[0].prompt)]
    again = revive(dumpd(chain), *classes)
    assert again.middle == chain.middle
    assert again.first == chain.first


def test_a_dump_is_json_whatever_was_given_beside():
    made = make(
        ChatOllama,
        callbacks=[StreamingStdOutCallbackHandler()],
        custom_get_token_ids=lambda text: [1],
        cache=InMemoryCache(),
        metadata={"a": object()},
        tags=["t"],
    )
    dumped = json.loads(json.dumps(dumpd(made)))
    assert dumped["kwargs"] == {"model": "llama3.1:8b", "timeout": 600.0}


def test_a_value_that_has_no_json_is_never_passed_over():
    made = make(ChatOllama, options={"x": object()})
    with pytest.raises(NotImplementedError):
        revive(dumpd(made), ChatOllama)


# --- secrets ----------------------------------------------------------------------------------------------------------


def all_shown(made):
    """Everything that leaves an object without being asked for by name."""
    shown = [repr(made), str(made), dumps(made), made.cache_namespace, str(made._identity())]
    if not isinstance(made, EMBEDDERS):
        shown += [str(made._serialized), str(made.asdict()), str(made._get_ls_params())]
        shown += [made._get_llm_string(stop=None), str(made._get_invocation_params())]
    return "\n".join(shown)


SECRETS = [
    {"api_key": HUSH},
    {"client_kwargs": {"headers": {"Authorization": f"Bearer {HUSH}"}}},
    {"client_kwargs": {"auth": ("me", HUSH), "timeout": 5}},
    {"client_kwargs": {"proxy": f"http://me:{HUSH}@proxy"}},
    {"client_kwargs": {"verify": {"ca": HUSH}}},
    {"base_url": f"http://me:{HUSH}@host:9"},
    {"base_url": f"me:{HUSH}@host"},
]


@pytest.mark.parametrize("fields", SECRETS, ids=str)
@pytest.mark.parametrize("cls", ON_SERVERS)
def test_secrets_are_not_told(cls, fields):
    made = make(cls, **fields)
    assert HUSH not in all_shown(made)
    for copied in (copy.deepcopy(made), pickle.loads(pickle.dumps(made)), made.model_copy(update={"seed": 1})):
        assert HUSH not in all_shown(copied)


@pytest.mark.parametrize("cls", [ChatLlamaCpp, LlamaCppEmbeddings])
def test_keys_that_an_engine_does_not_need_are_not_told_either(cls):
    assert HUSH not in all_shown(make(cls, api_key=HUSH))


@pytest.mark.parametrize("cls", ON_SERVERS)
def test_secrets_are_not_in_messages_about_other_arguments(cls):
    for wrong in ({"model": 3}, {"model": "m", "temperature": -1}, {"model": "m", "temp": 1, "temperature": 2}):
        with pytest.raises(ValidationError) as caught:
            cls(api_key=HUSH, client_kwargs={"headers": {"x": HUSH}}, **wrong)
        assert HUSH not in str(caught.value)


@pytest.mark.parametrize(("cls", "name"), [(ChatOllama, "OLLAMA_API_KEY"), (Llamafile, "LLAMAFILE_API_KEY")])
def test_an_api_key_is_named_in_a_dump_and_asked_for(monkeypatch, cls, name):
    made = make(cls, api_key=HUSH)
    dumped = dumpd(made)
    assert dumped["kwargs"]["api_key"] == {"lc": 1, "type": "secret", "id": [name]}
    assert revive(dumped, cls, secrets_map={name: HUSH}) == made
    assert revive(dumped, cls).api_key is None
    monkeypatch.setenv(name, HUSH)
    assert revive(dumped, cls, secrets_from_env=True) == made


@pytest.mark.parametrize(
    "fields",
    [
        *SECRETS[1:],
        {"sync_client_kwargs": {"headers": {"x": HUSH}}},
        {"async_client_kwargs": {"auth": ("me", HUSH)}},
    ],
    ids=str,
)
def test_secrets_of_embeddings_are_not_told(fields):
    made = make(OllamaEmbeddings, **fields)
    for copied in (made, copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert HUSH not in all_shown(copied)
    assert dumpd(made)["type"] == "not_implemented"


@pytest.mark.parametrize("fields", SECRETS[1:], ids=str)
@pytest.mark.parametrize("cls", [ChatOllama, ChatLlamafile, LlamafileEmbeddings])
def test_an_object_that_would_lose_a_secret_says_that_it_cannot_be_dumped(cls, fields):
    made = make(cls, **fields)
    assert HUSH not in all_shown(made)
    dumped = dumpd(made)
    assert dumped["type"] == "not_implemented"
    with pytest.raises(NotImplementedError):
        revive(dumped, cls)


@pytest.mark.parametrize("cls", [ChatScripted, ScriptedLLM])
def test_a_key_given_per_call_is_in_no_trace_and_no_cache_key(cls):
    told = []

    class Tracer(StreamingStdOutCallbackHandler):
        def on_llm_start(self, *args, **kwargs):
            told.append((args, kwargs))

        on_chat_model_start = on_llm_start

        def on_llm_new_token(self, *args, **kwargs):
            pass

    class Keys(InMemoryCache):
        def lookup(self, prompt, llm_string):
            told.append(llm_string)
            return super().lookup(prompt, llm_string)

    more = {"api_key": HUSH, "model_kwargs": {"headers": HUSH, "seed": 3}}
    with pytest.warns(UserWarning, match="`headers`"):
        cls(cache=Keys()).invoke("hi", config={"callbacks": [Tracer()]}, **more)
    assert len(told) == 2
    assert HUSH not in str(told)
    assert "seed" in str(told[0]) + str(told[1])


# --- repr -------------------------------------------------------------------------------------------------------------


def test_repr_is_short_and_says_what_was_set():
    shown = repr(make(ChatLlamaCpp, temperature=0.5, chat_template="x" * 5000, grammar="y" * 5000))
    assert "temperature=0.5" in shown
    assert "chat_template='xxx" in shown
    assert len(shown) < len(model_path) + 500
    assert "profile" not in shown
    assert "metadata" not in shown
    assert "kwargs" not in shown
    assert "metadata={'mine': 1}" in repr(make(ChatOllama, metadata={"mine": 1}))
    assert "profile={'name': 'x'}" in repr(make(ChatOllama, profile={"name": "x"}))


def test_repr_shows_which_client_options_there_are():
    shown = repr(make(ChatOllama, client_kwargs={"headers": {"x": HUSH}, "timeout": 5}, base_url=f"http://a:{HUSH}@h"))
    assert "client_kwargs={'headers': …, 'timeout': 5}" in shown
    assert "base_url='http://h'" in shown


# --- caches -----------------------------------------------------------------------------------------------------------


def redefined(doc):
    @tool
    def weather(city: str) -> str:
        """Doc."""
        return city

    weather.description = doc
    return weather


class Person(BaseModel):
    """A person."""

    name: str


def other_person():
    class Person(BaseModel):
        """A person."""

        age: int

    return Person


DIFFERENT = [
    {},
    {"max_tokens": 3},
    {"temperature": 0.5},
    {"seed": 1},
    {"seed": 2},
    {"stop": ["a"]},
    {"stop": ["b"]},
    {"model": "another"},
    {"format": "json"},
    {"format": {"type": "object", "properties": {"a": {}, "b": {}}}},
    {"format": {"type": "object", "properties": {"b": {}, "a": {}}}},
    {"mood": "calm"},
    {"model_kwargs": {"seed": 3}},
    {"model_kwargs": {"stop": ["c"]}},
    {"grammar": 'root ::= "x"'},
]
CALLS_OF_CHAT = [
    {"tools": [Person]},
    {"tools": [other_person()]},
    {"tools": [redefined("One.")]},
    {"tools": [redefined("Two.")]},
    {"tools": [Person], "tool_choice": "none"},
]


def asked_with(cls, calls, log):
    """Ask once with each of these options, on one cache; how often the engine was asked."""
    llm = cls(cache=InMemoryCache())
    for call in calls:
        llm.bind(**call).invoke("hi")
    return len(log.requests)


@pytest.mark.parametrize("cls", [ChatScripted, ScriptedLLM])
def test_different_options_of_a_call_never_share_an_answer(cls, log, monkeypatch):
    # Of an engine that can be held to nothing, a grammar would be refused, and JSON checked.
    able = Capabilities(tools="native", constrain="grammar", tokenizer=False)
    monkeypatch.setattr(ScriptedEngine, "capabilities", lambda self: able)
    calls = [*DIFFERENT, *(CALLS_OF_CHAT if cls is ChatScripted else [])]
    assert asked_with(cls, calls, log) == len(calls)
    assert asked_with(cls, [*calls, *calls], log) == 2 * len(calls)


@pytest.mark.parametrize("cls", [ChatScripted, ScriptedLLM])
def test_options_that_do_not_change_the_answer_share_one(cls, log):
    calls = [{}, {"timeout": 5}, {"api_key": "x"}, {"stream_options": {"include_usage": True}}, {"streaming": False}]
    assert asked_with(cls, calls, log) == 1


def test_equal_tools_share_an_answer_however_they_are_given(log):
    @tool
    def weather(city: str) -> str:
        """Doc."""
        return city

    converted = ChatScripted().bind_tools([weather]).kwargs["tools"]
    assert asked_with(ChatScripted, [{"tools": [weather]}, {"tools": converted}, {"tools": (weather,)}], log) == 1


def test_an_option_that_cannot_be_compared_is_never_found_again(log):
    class Thing:
        def __repr__(self):
            return "always the same"

    with pytest.warns(UserWarning, match="does not know `thing`"):
        assert asked_with(ChatScripted, [{"thing": Thing()}, {"thing": Thing()}], log) == 2


async def test_the_cache_is_the_same_for_all_ways_to_ask_a_text_model(log):
    llm = ScriptedLLM(cache=InMemoryCache())
    llm.invoke("hi", max_tokens=3)
    await llm.ainvoke("hi", max_tokens=3)
    llm.generate(["hi"], max_tokens=3)
    await llm.agenerate(["hi", "hi"], max_tokens=3)
    llm.batch(["hi", "hi"], max_tokens=3)
    assert len(log.requests) == 1
    llm.generate(["hi"])
    await llm.agenerate(["hi"], max_tokens=4)
    assert len(log.requests) == 3
    assert "call" not in llm.asdict()


@pytest.mark.parametrize("cls", [ChatScripted, ScriptedLLM])
def test_fields_and_options_of_the_same_value_are_not_mixed_up(cls, log):
    cache = InMemoryCache()
    cls(cache=cache, stop=["x"]).invoke("hi")
    cls(cache=cache).invoke("hi", stop=["x"])
    cls(cache=cache, stop=["x"]).invoke("hi", stop=["y"])
    cls(cache=cache, stop=["y"]).invoke("hi", stop=["x"])
    assert len(log.requests) == 4


@pytest.mark.parametrize(
    "fields", [{"n_threads": 1}, {"n_batch": 64}, {"verbose": True}, {"use_mmap": False}, {"tags": ["x"]}], ids=str
)
def test_what_only_changes_the_speed_does_not_change_the_identity(any_class, fields):
    fields = {name: value for name, value in fields.items() if name in any_class.model_fields}
    assert make(any_class, **fields).cache_namespace == make(any_class).cache_namespace


def test_the_namespace_of_vectors_tells_models_and_settings_apart(tmp_path):
    path = tmp_path / "odd name&.gguf"
    shutil.copy(embedding_model_path, path)
    variants = [{}, {"normalize": False}, {"pooling_type": "cls"}, {"document_prefix": "x"}, {"query_prefix": ""}]
    spaces = [make(LlamaCppEmbeddings, model_path=path, **fields).cache_namespace for fields in variants]
    os.utime(path, (1, 1))
    spaces.append(make(LlamaCppEmbeddings, model_path=path).cache_namespace)
    assert len(set(spaces)) == len(variants) + 1
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+", space) for space in spaces)
    assert spaces[0].startswith("llamacpp-odd_name_-")


# --- copies and changes -----------------------------------------------------------------------------------------------


def serialized(llm):
    return llm._serialized["kwargs"]


@pytest.mark.parametrize("cls", [ChatScripted, ScriptedLLM])
@pytest.mark.parametrize("deep", [False, True])
def test_a_copy_with_another_value_is_traced_with_it(cls, deep):
    llm = cls(temperature=0.5, n_ctx=64)
    assert serialized(llm)["temperature"] == 0.5
    copied = llm.model_copy(update={"temperature": 0.25}, deep=deep)
    assert serialized(copied)["temperature"] == 0.25
    assert serialized(llm)["temperature"] == 0.5
    assert copied != llm
    assert copied.model_copy(update={"temperature": 0.5}) == llm


@pytest.mark.parametrize("cls", [ChatScripted, ScriptedLLM])
def test_a_changed_field_counts_from_then_on(cls, log):
    llm = cls(temperature=0.5)
    assert serialized(llm)["temperature"] == 0.5
    llm.invoke("hi")
    llm.temperature = 0.25
    llm.tags = ["x"]
    assert serialized(llm)["temperature"] == 0.25
    llm.invoke("hi")
    assert [request.settings.sampling.temperature for request in log.requests] == [0.5, 0.25]
    assert len(log.engines) == 1
    llm.n_ctx = 64
    llm.invoke("hi")
    assert len(log.engines) == 2
    assert llm == cls(temperature=0.25, n_ctx=64, tags=["x"])


def test_the_profile_follows_the_fields_unless_it_was_given():
    chat = ChatScripted(n_ctx=128)
    assert chat.profile == {"max_input_tokens": 128}
    assert chat.model_copy(update={"n_ctx": 64}).profile == {"max_input_tokens": 64}
    configured = chat.configurable_fields(n_ctx=ConfigurableField(id="n")).with_config(configurable={"n": 32})
    assert configured.prepare()[0].profile == {"max_input_tokens": 32}
    again = pickle.loads(pickle.dumps(copy.deepcopy(chat)))
    again.n_ctx = 16
    assert again.profile == {"max_input_tokens": 16}
    assert chat.profile == {"max_input_tokens": 128}
    given = ChatScripted(profile={"max_input_tokens": 7})
    given.n_ctx = 16
    assert given.profile == given.model_copy(update={"n_ctx": 64}).profile == {"max_input_tokens": 7}
    assert given.model_copy(update={"profile": {"max_input_tokens": 8}}).profile == {"max_input_tokens": 8}


def test_another_model_file_has_another_profile_and_identity(tmp_path):
    path = str(tmp_path / "other.gguf")
    shutil.copy(model_path, path)
    chat = make(ChatLlamaCpp, n_ctx=256)
    copied = chat.model_copy(update={"model_path": path, "n_ctx": 128})
    assert copied.profile["max_input_tokens"] == 128
    assert copied.asdict()["model"] == "other"
    configurable = chat.configurable_fields(model_path=ConfigurableField(id="file"))
    other, _ = configurable.with_config(configurable={"file": path}).prepare()
    assert other == make(ChatLlamaCpp, n_ctx=256, model_path=path)
    nowhere = chat.model_copy(update={"model_path": "/nowhere/m.gguf"})
    assert nowhere.profile is None
    with pytest.raises(LocalModelError):
        nowhere.invoke("hi")


def test_a_grammar_file_is_read_again_where_an_object_is_made_from_anothers_fields(tmp_path):
    path, other = tmp_path / "a.gbnf", tmp_path / "b.gbnf"
    path.write_text('root ::= "a"')
    other.write_text('root ::= "b"')
    llm = make(LlamaCpp, grammar_path=path)
    assert llm.grammar == 'root ::= "a"'
    assert loads(dumps(llm), allowed_objects=[LlamaCpp], valid_namespaces=["langchain_localmodels"]) == llm
    path.write_text('root ::= "c"')
    configurable = llm.configurable_fields(grammar_path=ConfigurableField(id="grammar"))
    assert configurable.with_config(configurable={"grammar": str(other)}).prepare()[0].grammar == 'root ::= "b"'
    assert configurable.with_config(configurable={"grammar": str(path)}).prepare()[0].grammar == 'root ::= "c"'
    assert configurable.with_config(configurable={"grammar": None}).prepare()[0].grammar is None
    with pytest.raises(ValidationError, match="both given"):
        make(LlamaCpp, grammar_path=path, grammar='root ::= "z"')


def test_objects_are_equal_by_their_fields_and_cannot_be_hashed(any_class):
    made = make(any_class)
    assert made == make(any_class)
    assert made != make(any_class, timeout=5)
    with pytest.raises(TypeError, match="unhashable"):
        hash(made)
