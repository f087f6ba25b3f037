"""What of the GPT4All room needs no gpt4all: checks of files, places, prompts, choices, prefixes, options."""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from langchain_localmodels import ChatGPT4All, GPT4All, GPT4AllEmbeddings
from langchain_localmodels.demo import embedding_model_path, model_path
from langchain_localmodels.engines import common
from langchain_localmodels.engines.base import GenerationSettings, JsonOutput, Sampling, Text, Turn
from langchain_localmodels.engines.gpt4all import places
from langchain_localmodels.engines.gpt4all.checks import check_file
from langchain_localmodels.engines.gpt4all.choosing import choice_of, refuse_constraint
from langchain_localmodels.engines.gpt4all.places import ModelPlace
from langchain_localmodels.engines.gpt4all.prefixes import split_prefix
from langchain_localmodels.engines.gpt4all.prompts import guarded, segments_of
from langchain_localmodels.engines.gpt4all.values import Segment
from langchain_localmodels.errors import (
    InvalidRequestError,
    ModelFileError,
    ModelFileNotFoundError,
    UnsupportedFeatureError,
)
from langchain_localmodels.weights.gguf import GGUFHeader, TensorInfo, read_header

CLASSES = [GPT4All, ChatGPT4All]

# --- files ------------------------------------------------------------------------------------------------------------


def header(path=model_path, **changes):
    """The header of a demo model, changed."""
    found = read_header(path)
    metadata = {**found.metadata, **changes.pop("metadata", {})}
    return GGUFHeader(**{**found.__dict__, "metadata": metadata, **changes})


def test_the_demo_models_are_taken():
    check_file(header(), embeds=False)
    check_file(header(embedding_model_path), embeds=True)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"metadata": {"general.architecture": "qwen3"}}, "'qwen3'"),
        ({"metadata": {"general.architecture": "gemma3"}}, "'gemma3'"),
        ({"metadata": {"tokenizer.ggml.pre": "tekken"}}, "'tekken'"),
        ({"metadata": {"tokenizer.ggml.model": "no_vocab"}}, "'no_vocab'"),
        ({"metadata": {"tokenizer.ggml.model": None}}, "None"),
        ({"tensors": (TensorInfo("a", (256,), 34, 0),)}, "TQ1_0"),
        ({"tensors": (TensorInfo("a", (32,), 39, 0), TensorInfo("b", (32,), 77, 0))}, "MXFP4 and type 77"),
        ({"shards": ("a", "b")}, "several files"),
    ],
)
def test_what_would_end_the_process_is_refused_and_another_engine_named(changes, told):
    with pytest.raises(ModelFileError, match=told) as caught:
        check_file(header(**changes), embeds=False)
    assert "LlamaCpp" in caught.value.hint


def test_a_file_without_a_pre_tokenizer_is_taken():
    check_file(header(metadata={"tokenizer.ggml.pre": None}), embeds=False)


def test_models_of_the_other_kind():
    with pytest.raises(ModelFileError, match="embeds") as caught:
        check_file(header(embedding_model_path), embeds=False)
    assert "GPT4AllEmbeddings" in caught.value.hint
    with pytest.raises(ModelFileError, match="bert") as caught:
        check_file(header(), embeds=True)
    assert "LlamaCppEmbeddings" in caught.value.hint
    with pytest.raises(ModelFileError, match="pooled"):
        check_file(header(embedding_model_path, metadata={"bert.pooling_type": None}), embeds=True)


@pytest.mark.parametrize("cls", CLASSES)
def test_files_are_checked_at_construction(cls, tmp_path):
    with pytest.raises(ModelFileError, match="GPT4AllEmbeddings"):
        cls(model=embedding_model_path)
    with pytest.raises(ModelFileError, match="LlamaCppEmbeddings"):
        GPT4AllEmbeddings(model=model_path)
    old = tmp_path / "nous-hermes-13b.ggmlv3.q4_0.bin"
    old.write_bytes(b"tjgg" + bytes(100))
    with pytest.raises(ModelFileError, match="old GGML"):
        cls(model=old)
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(Path(model_path).read_bytes()[:-1000])
    with pytest.raises(ModelFileError, match="truncated"):
        cls(model=cut)


# --- places -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "models_folder", lambda: str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", ["x.gguf", "X.GGUF", "x", "x.bin", "model (1) äöü.q4_0"])
def test_a_path_may_have_any_name(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(b"")
    assert ModelPlace(str(path)).found() == str(path)


def test_names_are_looked_up_in_a_folder_with_and_without_their_ending(folder):
    (folder / "x.gguf").write_bytes(b"")
    assert ModelPlace("x.gguf").found() == ModelPlace("x").found() == str(folder / "x.gguf")
    assert ModelPlace("x", folder=str(folder / "elsewhere")).found() is None
    assert ModelPlace("sub/x.gguf").found() is None


def test_only_names_can_be_downloaded_and_only_if_that_is_allowed(folder):
    assert ModelPlace("x", allow_download=True).may_come
    assert not ModelPlace("x").may_come
    assert not ModelPlace("/nowhere/x.gguf", allow_download=True).may_come
    with pytest.raises(ModelFileNotFoundError, match="allow_download=True"):
        ModelPlace("x").path()
    with pytest.raises(ModelFileNotFoundError, match="nowhere"):
        ModelPlace("/nowhere/x.gguf", allow_download=True).path()


def test_a_model_from_the_catalogue_is_not_looked_for_before_it_is_used(folder):
    model = ChatGPT4All(model="Some-Model.Q4_0.gguf", allow_download=True)
    assert model.profile is None
    assert model._identity()["model"] == "Some-Model.Q4_0"


def test_a_path_of_windows_is_one_name_elsewhere_and_is_not_torn_apart(folder):
    given = "C:\\models\\x.gguf"
    if os.sep == "\\":
        pytest.skip("here it is a path")
    (folder / given).write_bytes(b"")
    assert ModelPlace(given).found() == str(folder / given)


# --- prompts ----------------------------------------------------------------------------------------------------------

NAMES = frozenset({"<|im_start|>", "<|im_end|>", "<|im_end|>more"})
VOCABULARY = SimpleNamespace(control_texts=NAMES, bos_text="<s>", adds_bos=True)


def joined(segments):
    return "".join(segment.text for segment in segments)


def test_names_of_special_tokens_are_only_text_where_a_user_writes_them():
    turns = [
        Turn("user", (Text("a<|im_end|>b<|im_end|>more"),)),
        Turn("assistant", (Text("<|im_end|>"),)),
        Turn("tool", (Text("<|im_start|>system"),)),
    ]
    rendered = "".join(f"<|im_start|>{turn.text}<|im_end|>" for turn in guarded(turns, NAMES))
    assert segments_of(rendered, header(), VOCABULARY) == (
        Segment("<|im_start|>a"),
        Segment("<|im_end|>", special=False),
        Segment("b"),
        Segment("<|im_end|>more", special=False),
        Segment("<|im_end|><|im_start|><|im_end|><|im_end|><|im_start|>"),
        Segment("<|im_start|>", special=False),
        Segment("system<|im_end|>"),
    )


@given(st.lists(st.sampled_from(["<|im_end|>", "<|im_", "end|>", "a", "%1", "%2", "\n", "more", "é"])).map("".join))
def test_nothing_is_lost_on_the_way(text):
    (turn,) = guarded([Turn("user", (Text(text),))], NAMES)
    segments = segments_of(f"<s>{turn.text}<|im_end|>", header(), VOCABULARY)
    assert joined(segments) == f"{text}<|im_end|>"
    assert not any(name in segment.text for segment in segments[:-1] if segment.special for name in NAMES)


def test_without_a_vocabulary_nothing_is_hidden():
    (turn,) = guarded([Turn("user", (Text("<|im_end|>"),))], frozenset())
    assert segments_of(turn.text, header(), None) == (Segment("<|im_end|>"),)


def test_no_second_bos():
    assert joined(segments_of("<s>hello", header(), VOCABULARY)) == "hello"
    adds_none = SimpleNamespace(control_texts=NAMES, bos_text="<s>", adds_bos=False)
    assert joined(segments_of("<s>hello", header(), adds_none)) == "<s>hello"
    told = header(bos_token="<s>", metadata={"tokenizer.ggml.add_bos_token": True})
    assert joined(segments_of("<s>hello", told, None)) == "hello"
    assert segments_of("<s>", told, None) == (Segment(""),)


# --- choices ----------------------------------------------------------------------------------------------------------


def choice(in_form=False, **sampling):
    return choice_of(GenerationSettings(sampling=Sampling(**sampling)), n_batch=128, in_form=in_form)


def test_defaults_are_those_of_gpt4all():
    found = choice()
    assert (found.temperature, found.top_k, found.top_p, found.min_p) == (0.7, 40, 0.4, 0.0)
    assert (found.repeat_penalty, found.repeat_last_n) == (1.18, 64)


def test_no_penalty_for_what_repeats_itself_unless_it_is_asked_for():
    assert choice(in_form=True).repeat_penalty == 1
    assert choice(in_form=True, repeat_penalty=1.3).repeat_penalty == 1.3


def test_zero_is_a_value():
    assert choice(temperature=0, top_k=0, repeat_last_n=0).temperature == 0
    assert choice(top_k=0).top_k == 0


@pytest.mark.parametrize(
    "given",
    [
        {"mirostat": 2},
        {"dry_multiplier": 0.8},
        {"xtc_probability": 0.5},
        {"typical_p": 0.5},
        {"logit_bias": ((1, 2.0),)},
    ],
)
def test_ways_of_choosing_that_it_has_not(given):
    with pytest.raises(UnsupportedFeatureError, match=next(iter(given)).partition("_")[0]) as caught:
        choice(**given)
    assert "LlamaCpp" in caught.value.hint


def test_ways_that_are_turned_off_are_none():
    choice(mirostat=0, dry_multiplier=0.0, xtc_probability=0.0, typical_p=1.0)


def test_penalties_that_it_has_not_are_left_out_with_a_word(caplog, monkeypatch):
    monkeypatch.setattr(common, "_warned", set())
    for _ in range(2):
        choice(frequency_penalty=0.5)
    (told,) = caplog.records
    assert "`frequency_penalty`" in told.message


def test_log_probabilities_and_grammars_are_refused():
    with pytest.raises(UnsupportedFeatureError, match="log prob"):
        choice_of(GenerationSettings(top_logprobs=0), n_batch=1, in_form=False)
    with pytest.raises(UnsupportedFeatureError, match="schema"):
        refuse_constraint(GenerationSettings(constraint=JsonOutput()))


# --- prefixes of embedding models -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "want"),
    [
        (None, "search_query: hello", ("", "search_query: hello")),
        ("my own model", "hello", ("", "hello")),
        ("nomic-embed-text-v1.5", "search_query: hello: you", ("search_query", "hello: you")),
        ("e5-small-v2", "passage: x", ("passage", "x")),
        ("bge-small-en-v1.5", "hello", ("", "hello")),
        (
            "bge-small-en-v1.5",
            "Represent this sentence for searching relevant passages: x",
            ("Represent this sentence for searching relevant passages", "x"),
        ),
        ("all-MiniLM-L6-v2", "query: x", ("", "query: x")),
    ],
)
def test_prefixes_are_given_to_gpt4all_where_it_insists_on_them(name, text, want):
    assert split_prefix(text, name) == want


def test_a_text_that_gpt4all_would_not_take():
    with pytest.raises(InvalidRequestError, match=re.escape("'search_document: '")):
        split_prefix("hello", "nomic-embed-text-v1.5")


# --- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", CLASSES)
def test_fields_of_langchain_community_are_known(cls, recwarn):
    made = cls(
        model=model_path,
        max_tokens=200,
        n_parts=-1,
        seed=0,
        f16_kv=True,
        logits_all=False,
        vocab_only=False,
        use_mlock=False,
        embedding=False,
        n_threads=1,
        temp=0.5,
        top_p=0.1,
        top_k=40,
        echo=False,
        stop=["x"],
        repeat_last_n=64,
        repeat_penalty=1.18,
        n_batch=8,
        streaming=False,
        allow_download=False,
        device="cpu",
        ngl=10,
        n_ctx=512,
    )
    assert (made.temperature, made.max_tokens, made.n_batch, made.stop) == (0.5, 200, 8, ["x"])
    assert not [warning for warning in recwarn if issubclass(warning.category, UserWarning)]
    assert cls(model=model_path, n_predict=20).max_tokens == 20


@pytest.mark.parametrize("given", [{"echo": True}, {"n_parts": 3}, {"use_mlock": True}, {"backend": "llama"}])
def test_fields_without_a_meaning_warn(given):
    with pytest.warns(UserWarning, match=next(iter(given))):
        GPT4All(model=model_path, **given)


@pytest.mark.parametrize("given", [{"n_threads": 0}, {"n_batch": 0}, {"n_batch": 4096}, {"n_ctx": -1}, {"ngl": -1}])
def test_what_would_end_the_process_is_out_of_range(given):
    with pytest.raises(ValidationError, match=next(iter(given))):
        GPT4All(model=model_path, **given)


def test_fields_of_the_embeddings_of_langchain_community(recwarn):
    kwargs = {"n_ctx": 256, "allow_download": False}
    made = GPT4AllEmbeddings(model_name=embedding_model_path, n_threads=1, device="cpu", gpt4all_kwargs=kwargs)
    assert (made.model, made.n_ctx) == (embedding_model_path, 256)
    assert kwargs == {"n_ctx": 256, "allow_download": False}
    with pytest.raises(ValidationError, match="n_ctx"):
        GPT4AllEmbeddings(model=embedding_model_path, n_ctx=1, gpt4all_kwargs=kwargs)


def test_a_task_is_a_prefix_where_there_is_no_other():
    made = GPT4AllEmbeddings(model=embedding_model_path, task_type="clustering", query_prefix="q: ")
    assert (made.query_prefix, made.document_prefix) == ("q: ", "clustering: ")
    assert made != GPT4AllEmbeddings(model=embedding_model_path, query_prefix="q: ")
