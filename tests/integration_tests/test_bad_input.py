"""When something is wrong with what the user gives: a clear error of ours, and the model goes on working."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from langchain_localmodels import ChatGPT4All, ChatLlamaCpp, GPT4All, LlamaCpp
from langchain_localmodels.demo import model_path
from langchain_localmodels.engines.base import Sampling
from langchain_localmodels.errors import (
    ChatTemplateError,
    InvalidRequestError,
    LocalModelError,
    ModelFileError,
    ModelFileNotFoundError,
    PromptTooLongError,
)
from langchain_localmodels.weights.gguf import read_header

PROMPT = "The first man on the moon was ..."
GOOD = Path(model_path).read_bytes()


@pytest.fixture(scope="module")
def llm() -> Iterator[LlamaCpp]:
    """One model for all: after each mishap it must still answer as before."""
    with LlamaCpp(model_path=model_path, temperature=0, n_threads=1) as made:
        yield made


@pytest.fixture(autouse=True)
def still_usable(llm: LlamaCpp) -> Iterator[None]:
    want = llm.invoke(PROMPT)
    yield
    assert llm.invoke(PROMPT) == want


Make = Callable[[Path], LlamaCpp | GPT4All]


def on_llamacpp(path: Path) -> LlamaCpp:
    return LlamaCpp(model_path=str(path), temperature=0, n_threads=1)


def on_gpt4all(path: Path) -> GPT4All:
    return GPT4All(model=str(path), temperature=0, n_threads=1)


@pytest.fixture(params=[on_llamacpp, on_gpt4all])
def make(request: pytest.FixtureRequest) -> Make:
    """Makes a model on a file, on each engine that reads files."""
    made: Make = request.param
    return made


# --- files ----------------------------------------------------------------------------------------------------------


def test_a_missing_file(make: Make, tmp_path: Path):
    with pytest.raises(ModelFileNotFoundError, match=r"no-such\.gguf") as caught:
        make(tmp_path / "no-such.gguf")
    assert isinstance(caught.value, FileNotFoundError)
    assert caught.value.hint


def test_a_directory(make: Make, tmp_path: Path):
    with pytest.raises(ModelFileError, match=r"director|folder"):
        make(tmp_path)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"),
        (b"hello, I am a text", "GGUF"),
        (b"<!DOCTYPE html><html>", "HTML|web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "[Gg]it.LFS|git lfs"),
        (b"PK\x03\x04" + bytes(64), "zip|PyTorch"),
        (b"tjgg" + bytes(64), "GGML|ggml"),
        (b"lmgg" + bytes(64), "GGML|ggml"),
        (b"GGUF\x09\x00\x00\x00" + bytes(64), "version"),
    ],
)
def test_not_a_model_file(make: Make, tmp_path: Path, content: bytes, told: str):
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=told) as caught:
        make(path)
    assert str(path) in str(caught.value)


def test_the_old_name_of_the_guide(make: Make, tmp_path: Path):
    path = tmp_path / "nous-hermes-13b.ggmlv3.q4_0.bin"
    path.write_bytes(b"tjgg" + bytes(64))
    with pytest.raises(ModelFileError, match="GGML") as caught:
        make(path)
    assert "GGUF" in str(caught.value.hint)


@pytest.mark.parametrize("part", [0.0001, 0.01, 0.5, 0.999])
def test_a_truncated_file(make: Make, tmp_path: Path, part: float):
    path = tmp_path / "model.gguf"
    path.write_bytes(GOOD[: int(len(GOOD) * part)])
    with pytest.raises(ModelFileError):
        make(path)


def test_an_unknown_architecture(make: Make, tmp_path: Path):
    path = tmp_path / "model.gguf"
    path.write_bytes(GOOD.replace(b"general.architecture", b"general.architecture", 1).replace(b"llama", b"xlama"))
    with pytest.raises(ModelFileError, match="xlama") as caught:
        make(path).invoke(PROMPT)
    hint = {on_llamacpp: "newer llama-cpp-python", on_gpt4all: "LlamaCpp and ChatLlamaCpp"}[make]
    assert hint in str(caught.value.hint)


def test_a_file_without_a_vocabulary(make: Make, tmp_path: Path):
    path = tmp_path / "model.gguf"
    path.write_bytes(GOOD.replace(b"gpt2", b"none", 1))
    with pytest.raises(ModelFileError):
        make(path).invoke(PROMPT)


@pytest.mark.parametrize(("key", "value"), [("temp", -3.0), ("temp", float("nan")), ("top_p", 5.0)])
def test_odd_recommendations_of_a_file_are_not_followed(key: str, value: float):
    header = read_header(model_path)

    def filled(sampling: Sampling, **recommended: float) -> Sampling:
        told = {f"general.sampling.{name}": number for name, number in recommended.items()}
        engine = LlamaCpp(model_path=model_path).engine
        with pytest.MonkeyPatch.context() as patch:
            changed = dataclasses.replace(header, metadata={**header.metadata, **told})
            patch.setattr(type(engine), "_header", property(lambda _: changed))
            found: Sampling = engine._with_defaults_of_file(sampling)  # type: ignore[attr-defined]
            return found

    assert filled(Sampling(), **{key: value}) == Sampling()
    assert filled(Sampling(), top_k=7).top_k == 7
    assert filled(Sampling(top_k=3), top_k=7).top_k == 3


def test_a_file_that_vanishes_after_construction(make: Make, tmp_path: Path):
    path = tmp_path / "model.gguf"
    path.write_bytes(GOOD)
    llm = make(path)
    path.unlink()
    with pytest.raises(ModelFileNotFoundError):
        llm.invoke(PROMPT)


def test_a_failed_load_can_be_tried_again(make: Make, tmp_path: Path):
    path = tmp_path / "model.gguf"
    path.write_bytes(GOOD)
    llm = make(path)
    path.rename(tmp_path / "away.gguf")
    with pytest.raises(LocalModelError):
        llm.invoke(PROMPT)
    (tmp_path / "away.gguf").rename(path)
    assert llm.invoke(PROMPT)
    llm.close()


# --- parameters -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": -1},
        {"temperature": float("nan")},
        {"temperature": "hot"},
        {"top_p": 0},
        {"top_p": 1.5},
        {"top_k": -5},
        {"repeat_penalty": 0},
        {"max_tokens": 0},
        {"stop": [""]},
        {"n_ctx": -1},
        {"n_ctx": 10**12},
        {"n_batch": 0},
        {"n_parallel": 0},
        {"n_parallel": 1000},
        {"n_threads": 0},
        {"type_k": "q9"},
        {"mirostat": 3},
        {"model_path": None},
        {"model_path": 7},
        {"grammar_path": "/nowhere.gbnf"},
        {"timeout": 0},
    ],
)
def test_absurd_parameters(fields: dict[str, Any]):
    with pytest.raises(ValidationError) as caught:
        LlamaCpp(**{"model_path": model_path, **fields})
    assert next(iter(fields)) in str(caught.value)


@pytest.mark.parametrize("given", [{"temperature": -1}, {"top_p": 2}, {"max_tokens": 0}, {"seed": "x"}])
def test_absurd_parameters_of_a_call(llm: LlamaCpp, given: dict[str, Any]):
    with pytest.raises(InvalidRequestError, match=next(iter(given))):
        llm.invoke(PROMPT, **given)


def test_a_window_that_no_memory_holds():
    with pytest.raises(InvalidRequestError, match="GB"):
        LlamaCpp(model_path=model_path, n_ctx=2**24, type_k="f32", type_v="f32").invoke(PROMPT)


@pytest.mark.parametrize("n_ctx", [1, 8, 100])
def test_a_tiny_window(n_ctx: int):
    with LlamaCpp(model_path=model_path, temperature=0, n_ctx=n_ctx, n_threads=1) as tiny:
        if n_ctx == 100:
            assert tiny.invoke(PROMPT)
        else:
            with pytest.raises(PromptTooLongError):
                tiny.invoke(PROMPT)


def test_a_misspelt_parameter():
    with pytest.warns(UserWarning, match="temprature.*Did you mean `temperature`"):
        LlamaCpp(model_path=model_path, temprature=0)
    with pytest.warns(UserWarning, match="n_gpu_layer.*Did you mean `n_gpu_layers`"):
        LlamaCpp(model_path=model_path, n_gpu_layer=1)


def test_fields_of_old_are_accepted_silently():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LlamaCpp(model_path=model_path, n_parts=-1, logits_all=False, vocab_only=False, echo=False)
    with pytest.warns(UserWarning, match="echo"):
        LlamaCpp(model_path=model_path, echo=True)


# --- prompts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt", ["", "\ud83d", "half \udc00 a character"])
def test_what_is_no_prompt(llm: LlamaCpp, prompt: str):
    with pytest.raises(InvalidRequestError) as caught:
        llm.invoke(prompt)
    assert caught.value.hint


def test_a_prompt_that_is_too_long(llm: LlamaCpp):
    with pytest.raises(PromptTooLongError, match=r"\d+ tokens.*2048") as caught:
        llm.invoke("word " * 5000)
    assert caught.value.prompt_tokens > caught.value.context_window == 2048
    with pytest.raises(PromptTooLongError):
        list(llm.stream("word " * 5000))


def test_a_prompt_with_a_nul(llm: LlamaCpp):
    assert isinstance(llm.invoke("The first\0 man", max_tokens=3), str)


# --- chat templates -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{{ raise_exception('not like this') }}", "not like this"),
        ("{% if %}", "line 1"),
        ("{{ ''.__class__.__mro__ }}", "sandbox"),
        ("{{ messages.append(1) }}", "sandbox"),
        ("{{ undefined_thing.deeper }}", "undefined"),
        (
            "{% for a in range(9999) %}{% for b in range(9999) %}{{ b }}{% endfor %}{% endfor %}",
            "too|limit|more",
        ),
    ],
)
@pytest.mark.parametrize("kind", [partial(ChatLlamaCpp, model_path=model_path), partial(ChatGPT4All, model=model_path)])
def test_a_bad_chat_template(template: str, told: str, kind: Callable[..., ChatLlamaCpp | ChatGPT4All]):
    chat = kind(chat_template=template, n_threads=1)
    with pytest.raises(ChatTemplateError, match=told):
        chat.invoke("Hello")
    chat.close()


def test_no_chat_template(tmp_path: Path):
    path = tmp_path / "base.gguf"
    path.write_bytes(GOOD.replace(b"tokenizer.chat_template", b"tokenizer.chat_tempxxxx"))
    with ChatLlamaCpp(model_path=str(path), n_threads=1) as chat:
        with pytest.raises(ChatTemplateError, match="no chat template") as caught:
            chat.invoke("Hello")
        assert "chat_template" in str(caught.value.hint)
    with on_llamacpp(path) as llm:
        assert llm.invoke(PROMPT)
