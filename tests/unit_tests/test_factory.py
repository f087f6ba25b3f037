"""Which engine and model a string means, and what comes of one that does not say."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
from langchain_core.runnables import ConfigurableField
from pydantic import ValidationError

import langchain_localmodels
from langchain_localmodels import (
    ChatLlamaCpp,
    ChatLlamafile,
    ChatOllama,
    GPT4AllEmbeddings,
    LlamaCpp,
    LlamaCppEmbeddings,
    LlamafileEmbeddings,
    OllamaLLM,
    init_local_chat_model,
    init_local_embeddings,
    init_local_llm,
)
from langchain_localmodels.demo import embedding_model_path, model_path
from langchain_localmodels.engines import ENGINES
from langchain_localmodels.errors import InvalidRequestError, ModelFileNotFoundError, UnsupportedFeatureError

SPELLINGS = [
    "llamacpp",
    "llama.cpp",
    "llama_cpp",
    "llama-cpp",
    "LlamaCpp",
    "LLAMA.CPP",
    "llama-cpp-python",
    "Llama CPP",
]

# --- what a string means ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_engines_are_spelled_as_people_do(spelling):
    for chat in (
        init_local_chat_model(f"{spelling}:{model_path}"),
        init_local_chat_model(model_path, engine=spelling),
        init_local_chat_model(engine=spelling, model_path=model_path),
    ):
        assert type(chat) is ChatLlamaCpp
        assert chat.model_path == model_path


@pytest.mark.parametrize("key", ENGINES)
def test_every_engine_goes_by_its_key_and_its_title(key, monkeypatch):
    entry = ENGINES[key]
    model = "some-model:7b" if key in ("ollama", "llamafile") else model_path
    for name in (key, entry.title, entry.title.upper()):
        chat = init_local_chat_model(f"{name}:{model}")
        assert type(chat).__name__ == entry.chat
        assert getattr(chat, entry.model_field) == model
        assert type(init_local_llm(f"{name}:{model}")).__name__ == entry.llm


def test_each_kind_has_a_function_of_its_own():
    assert type(init_local_llm(f"llamacpp:{model_path}")) is LlamaCpp
    assert type(init_local_embeddings(f"llamacpp:{embedding_model_path}")) is LlamaCppEmbeddings
    assert type(init_local_llm("ollama:llama3.1:8b")) is OllamaLLM
    assert type(init_local_embeddings(f"gpt4all:{embedding_model_path}")) is GPT4AllEmbeddings


@pytest.mark.parametrize("model", ["llama3.1:8b", "hf.co/somebody/some-model-GGUF:Q4_K_M", "me/model", "m.gguf"])
def test_what_follows_the_engine_is_the_model_as_it_is(model):
    for chat in (
        init_local_chat_model(f"ollama:{model}"),
        init_local_chat_model(model, engine="ollama"),
        init_local_chat_model(engine="Ollama", model=model),
    ):
        assert type(chat) is ChatOllama
        assert chat.model == model


@pytest.mark.parametrize("given", ["llamafile", "llamafile:", "Llamafile", "llama-server", "llama_server:"])
def test_a_server_with_one_model_needs_no_name(given):
    chat = init_local_chat_model(given, base_url="gpuserver")
    assert chat == ChatLlamafile(base_url="gpuserver")
    assert chat.model is None
    assert init_local_embeddings("", engine=given) == init_local_embeddings(engine=given) == LlamafileEmbeddings()
    assert init_local_chat_model("llamafile:demo").model == "demo"


def test_an_address_is_no_name_of_a_model():
    with pytest.raises(ValidationError, match="`base_url`"):
        init_local_chat_model("llamafile:http://localhost:8080")


def test_fields_go_to_the_constructor_which_checks_them():
    chat = init_local_chat_model("ollama:m", temp=0.5, num_ctx=512, api_key="x")
    assert chat == ChatOllama(model="m", temperature=0.5, num_ctx=512, api_key="x")
    with pytest.raises(ValidationError, match="temperature"):
        init_local_chat_model("ollama:m", temperature=-1)
    with pytest.warns(UserWarning, match="Did you mean `temperature`"):
        init_local_chat_model("ollama:m", temprature=1)
    with pytest.raises(ValidationError, match="model_path"):
        init_local_chat_model(engine="llamacpp")


# --- without an engine: only what is certain --------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the demo model under several names, which is also the home and the current one."""
    (tmp_path / "a:b").mkdir()
    for name in ("model.gguf", "MODEL.GGUF", "sha256-00ff", "odd:name", "a:b/model.gguf"):
        os.symlink(model_path, tmp_path / name)
    (tmp_path / "mistral").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    "name",
    [
        "model.gguf",
        "./model.gguf",
        "MODEL.GGUF",
        "~/model.gguf",
        "sha256-00ff",
        "odd:name",
        "a:b/model.gguf",
        "./a:b/model.gguf",
    ],
)
def test_a_model_file_needs_no_engine(folder, name):
    chat = init_local_chat_model(name)
    assert type(chat) is ChatLlamaCpp
    assert chat.model_path == os.path.expanduser(name)


def test_a_path_object_needs_no_engine(folder):
    chat = init_local_chat_model(folder / "sha256-00ff", n_ctx=64)
    assert (type(chat), chat.model_path, chat.n_ctx) == (ChatLlamaCpp, str(folder / "sha256-00ff"), 64)
    with pytest.raises(ModelFileNotFoundError, match="nothing-here"):
        init_local_llm(Path("nothing-here"))


@pytest.mark.parametrize(
    "name", ["C:\\models\\m.gguf", "C:/models/m.gguf", "c:m.gguf", "llamacpp:C:\\models\\m.gguf", "nowhere/m.gguf"]
)
def test_a_drive_is_no_engine_and_a_missing_file_is_told_of_as_one(name):
    with pytest.raises(ModelFileNotFoundError) as caught:
        init_local_chat_model(name)
    assert repr(name.removeprefix("llamacpp:")) in str(caught.value)


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "guess"),
    [
        ("lamacpp:model.gguf", "llamacpp"),
        ("llamacp:/m.gguf", "llamacpp"),
        ("ollma:llama3.1:8b", "ollama"),
        ("olama:x", "ollama"),
    ],
)
def test_a_misspelt_engine_is_an_error_that_guesses(model, guess):
    with pytest.raises(InvalidRequestError, match=f"Did you mean '{guess}'"):
        init_local_chat_model(model)
    with pytest.raises(InvalidRequestError, match=f"Did you mean '{guess}'"):
        init_local_chat_model("x", engine=model.partition(":")[0])


@pytest.mark.parametrize("model", ["llama3.1:8b", "llama3:latest", "qwen3:8b", "http://localhost:11434"])
def test_a_models_name_is_not_taken_for_an_engine(model):
    with pytest.raises(InvalidRequestError, match="There is no engine named") as caught:
        init_local_chat_model(model)
    assert f"'ollama:{model}'" in str(caught.value)
    assert "Did you mean" not in str(caught.value)


@pytest.mark.parametrize("model", ["mistral", "some/folder:tag", "meta-llama/Llama-3", "hf.co/me/model.gguf:Q4"])
def test_a_name_alone_is_an_error_that_lists_the_engines(folder, model):
    with pytest.raises(InvalidRequestError, match="does not say which engine") as caught:
        init_local_llm(model)
    assert "'llamacpp', 'ollama', 'gpt4all', 'llamafile'" in str(caught.value)


@pytest.mark.parametrize(
    "given", [{}, {"model": ""}, {"model": "ollama:"}, {"model": "llama.cpp"}, {"model": "", "engine": "ollama"}]
)
def test_no_model_is_an_error(given):
    with pytest.raises(InvalidRequestError, match="No model is named|names no model"):
        init_local_chat_model(**given)


def test_other_nonsense():
    with pytest.raises(InvalidRequestError, match="type int"):
        init_local_chat_model(3)
    with pytest.raises(InvalidRequestError, match="no engine named 7"):
        init_local_chat_model("x", engine=7)
    with pytest.raises(InvalidRequestError, match="`model_path` is given"):
        init_local_chat_model(f"llamacpp:{model_path}", model_path=model_path)
    assert issubclass(InvalidRequestError, ValueError)


def test_an_engine_without_that_kind_of_class_says_which_have_one(monkeypatch):
    monkeypatch.setitem(ENGINES, "ollama", dataclasses.replace(ENGINES["ollama"], embeddings=None))
    with pytest.raises(UnsupportedFeatureError, match="Ollama has no embeddings") as caught:
        init_local_embeddings("ollama:nomic-embed-text")
    assert "llama.cpp" in caught.value.hint
    with pytest.raises(InvalidRequestError) as caught:
        init_local_embeddings("nonsense")
    assert "ollama" not in str(caught.value)


# --- the table, imports, alternatives ---------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ENGINES)
def test_the_table_names_fields_that_there_are(key):
    entry = ENGINES[key]
    for kind in ("llm", "chat", "embeddings"):
        if name := getattr(entry, kind):
            cls = getattr(langchain_localmodels, name)
            assert entry.model_field in cls.model_fields


def test_only_the_engine_that_is_named_is_imported():
    code = (
        "import sys\n"
        "from langchain_localmodels import init_local_chat_model\n"
        "assert 'langchain_core.language_models' not in sys.modules\n"
        "init_local_chat_model('ollama:m')\n"
        "assert not any('llamacpp' in name or name.endswith('.embeddings') and 'localmodels' in name\n"
        "               for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_alternatives_switch_the_engine():
    chat = init_local_chat_model(f"llamacpp:{model_path}").configurable_alternatives(
        ConfigurableField(id="engine"),
        default_key="llamacpp",
        ollama=lambda: init_local_chat_model("ollama:llama3.1:8b", temperature=0.5),
    )
    assert type(chat.prepare()[0]) is ChatLlamaCpp
    other, _ = chat.with_config(configurable={"engine": "ollama"}).prepare()
    assert other == ChatOllama(model="llama3.1:8b", temperature=0.5)
