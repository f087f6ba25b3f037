"""Identity on real engines: another model per call, switching engines, new processes, dumps that answer the same."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from pathlib import Path

import pytest
from langchain.agents.middleware import SummarizationMiddleware
from langchain_core.caches import InMemoryCache
from langchain_core.embeddings import Embeddings
from langchain_core.load import dumps, loads
from langchain_core.runnables import ConfigurableField

from langchain_localmodels import (
    ChatGPT4All,
    ChatLlamaCpp,
    ChatOllama,
    GPT4All,
    GPT4AllEmbeddings,
    LlamaCpp,
    LlamaCppEmbeddings,
    OllamaLLM,
    init_local_chat_model,
    init_local_embeddings,
    init_local_llm,
)
from langchain_localmodels.demo import embedding_model_path, model_path
from langchain_localmodels.errors import UnsupportedFeatureError
from tests.doubles.asking import text_of
from tests.models import write_llama

pytestmark = pytest.mark.filterwarnings("ignore:The function `loads` is in beta")

QUESTION = "Who was the first man on the moon?"
FAST = {"temperature": 0, "n_threads": 1, "max_tokens": 12}


FILE_FIELD = {ChatLlamaCpp: "model_path", LlamaCpp: "model_path", ChatGPT4All: "model", GPT4All: "model"}
"""The classes on a file, and the field that names it."""


@pytest.fixture(params=list(FILE_FIELD), ids=lambda cls: cls.__name__)
def on_file(request):
    with request.param(**{FILE_FIELD[request.param]: model_path}, **FAST) as made:
        yield made


# --- another model per call -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [ChatOllama, OllamaLLM])
async def test_ollama_takes_another_model_per_call(server, cls):
    llm = cls(model="llama3.1:8b", cache=InMemoryCache())
    bound = llm.bind(model="llama2:13b")
    for ask in (llm.invoke, bound.invoke):
        ask("x")
    await bound.ainvoke("y")
    list(bound.stream("x"))
    assert [seen.body["model"] for seen in server.seen] == ["llama3.1:8b"] + ["llama2:13b"] * 3
    assert llm._get_ls_params(model="llama2:13b")["ls_model_name"] == "llama2:13b"
    assert llm._get_ls_params()["ls_model_name"] == "llama3.1:8b"
    llm.invoke("x", model_name="tiny:latest")
    assert server.last["model"] == "tiny:latest"


def test_metadata_name_the_model_that_answered(server):
    chat = ChatOllama(model="llama3.1:8b")
    for answer in (chat.invoke("x", model="llama2:13b"), list(chat.stream("x", model="llama2:13b"))[-1]):
        assert answer.response_metadata["model_name"] == "llama2:13b"
    result = OllamaLLM(model="llama3.1:8b").generate(["x"], model="llama2:13b")
    assert result.llm_output["model_name"] == "llama2:13b"


async def test_a_model_on_a_file_refuses_another_model_per_call(on_file):
    own = Path(model_path).stem
    assert text_of(on_file.invoke(QUESTION, model=own)) == text_of(on_file.invoke(QUESTION))
    for ask in (on_file.invoke, lambda *args, **more: list(on_file.stream(*args, **more))):
        with pytest.raises(UnsupportedFeatureError, match="cannot switch to the model 'other'") as caught:
            ask(QUESTION, model="other")
        assert "another object" in caught.value.hint
    with pytest.raises(UnsupportedFeatureError):
        await on_file.ainvoke(QUESTION, model="other")


# --- factory ----------------------------------------------------------------------------------------------------------


def test_the_engine_can_be_left_to_the_call(server):
    chat = init_local_chat_model(f"llamacpp:{model_path}", **FAST).configurable_alternatives(
        ConfigurableField(id="engine"),
        default_key="llamacpp",
        ollama=lambda: init_local_chat_model("ollama:llama3.1:8b"),
    )
    there = chat.with_config(configurable={"engine": "ollama"}).invoke("x")
    assert there.text == "You said: x"
    assert there.response_metadata["model_provider"] == "ollama"
    here = chat.invoke(QUESTION)
    assert here.response_metadata["model_provider"] == "llamacpp"
    chat.default.close()


def test_what_the_factory_makes_works(server):
    with init_local_llm(model_path, **FAST) as llm:
        assert llm.invoke(QUESTION) == LlamaCpp(model_path=model_path, **FAST).invoke(QUESTION)
    assert init_local_llm("Ollama:tiny:latest").invoke("x") == "You said: x"
    with init_local_llm(f"gpt4all:{model_path}", **FAST) as llm:
        assert llm.invoke(QUESTION) == GPT4All(model=model_path, **FAST).invoke(QUESTION)
    with init_local_embeddings(f"llama.cpp:{embedding_model_path}", n_threads=1) as embeddings:
        assert isinstance(embeddings, Embeddings)
        assert len(embeddings.embed_query("x")) == len(embeddings.embed_documents(["x"])[0])


# --- rebuilding -------------------------------------------------------------------------------------------------------


def test_a_dump_answers_the_same(on_file):
    dumped = dumps(on_file)
    with loads(dumped, allowed_objects=[type(on_file)], valid_namespaces=["langchain_localmodels"]) as again:
        assert text_of(again.invoke(QUESTION)) == text_of(on_file.invoke(QUESTION))


@pytest.mark.parametrize(("cls", "field"), [(LlamaCppEmbeddings, "model_path"), (GPT4AllEmbeddings, "model")])
def test_a_dump_embeds_the_same(cls, field):
    embeddings = cls(**{field: embedding_model_path}, n_threads=1)
    again = loads(dumps(embeddings), allowed_objects=[cls], valid_namespaces=["langchain_localmodels"])
    assert again.embed_query("x") == embeddings.embed_query("x")


def test_a_new_process_answers_the_same(on_file):
    want = text_of(on_file.invoke(QUESTION))  # and so the object has an engine, which does not go along
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert text_of(pool.apply(on_file.invoke, (QUESTION,))) == want


def test_the_model_file_can_be_left_to_the_call(tmp_path):
    other = write_llama(tmp_path / "other.gguf", window=512)
    with ChatLlamaCpp(model_path=model_path, **FAST) as chat:
        configurable = chat.configurable_fields(model_path=ConfigurableField(id="file"))
        answer = configurable.invoke(QUESTION, config={"configurable": {"file": str(other)}})
        assert answer.response_metadata["model_name"] == "other"
        assert configurable.invoke(QUESTION).response_metadata["model_name"] == Path(model_path).stem
        assert chat.model_copy(update={"model_path": str(other)}).profile["max_input_tokens"] == 512


def test_a_changed_field_is_what_the_engine_runs_with():
    with ChatLlamaCpp(model_path=model_path, n_ctx=256, **FAST) as chat:
        chat.invoke(QUESTION)
        assert chat.engine.capabilities().context_window == 256
        chat.n_ctx = 512
        assert chat.engine.capabilities().context_window == 512
        assert chat.profile["max_input_tokens"] == 512
        chat.invoke(QUESTION)


# --- caches -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", list(FILE_FIELD))
def test_a_file_that_was_replaced_is_another_model_to_a_cache(cls, tmp_path):
    path = tmp_path / "model.gguf"
    shutil.copy(model_path, path)
    asked = []

    class Counting(InMemoryCache):
        def update(self, prompt, llm_string, return_val):
            asked.append(llm_string)
            super().update(prompt, llm_string, return_val)

    cache = Counting()
    fields = {FILE_FIELD[cls]: str(path), "cache": cache, **FAST}
    with cls(**fields) as llm:
        llm.invoke(QUESTION)
    with cls(**{**fields, "n_threads": 2, "n_batch": 64}) as faster:
        faster.invoke(QUESTION)
    assert len(asked) == 1
    os.utime(path, (1, 1))
    with cls(**fields) as llm:
        llm.invoke(QUESTION)
    assert len(set(asked)) == len(asked) == 2


# --- what agents ask of the profile -----------------------------------------------------------------------------------


def test_the_profile_is_what_the_engine_can_do(tmp_path):
    chat = ChatLlamaCpp(model_path=model_path, n_ctx=512)
    profile = chat.profile
    assert profile["max_input_tokens"] == profile["max_output_tokens"] == 512
    can = {"text_inputs", "text_outputs", "tool_calling", "tool_choice", "tool_call_streaming", "structured_output"}
    assert {name for name, value in profile.items() if value is True} == {*can, "temperature"}
    capabilities = chat.engine.capabilities()
    assert capabilities.constrain == "grammar"
    assert profile["image_inputs"] is capabilities.images is False
    thinking = "{% for m in messages %}{{ m.content }}{% endfor %}<think>"
    assert ChatLlamaCpp(model_path=model_path, chat_template=thinking).profile["reasoning_output"] is True
    mute = tmp_path / "mute.gguf"
    write_llama(mute, tokens=[b"a", b"b", b"c"])
    profile = ChatLlamaCpp(model_path=mute).profile
    assert {name for name, value in profile.items() if value is True} == {"temperature"}
    assert profile["name"] == "mute"


def test_summarization_knows_the_window():
    chat = ChatLlamaCpp(model_path=model_path, n_ctx=512)
    middleware = SummarizationMiddleware(model=chat, trigger=("fraction", 0.8), keep=("fraction", 0.3))
    assert middleware._get_profile_limits() == 512
