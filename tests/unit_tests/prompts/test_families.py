"""Families: their turns against chat templates, and how they are recognised."""

from __future__ import annotations

from pathlib import Path

import gguf
import pytest

from langchain_localmodels import ChatLlamaCpp, LlamaCpp
from langchain_localmodels.demo import model_path
from langchain_localmodels.dialects.templates import ChatTemplate
from langchain_localmodels.engines.base import Text, Turn
from langchain_localmodels.errors import InvalidRequestError
from langchain_localmodels.prompts import FAMILIES, PromptFamily, family_of, is_family
from langchain_localmodels.prompts.families import GROUPS
from langchain_localmodels.prompts.recognition import ModelFacts, recognise
from tests.families import FAMILIES as TOOL_FAMILIES
from tests.unit_tests.prompts.turn_templates import GO_TEMPLATES, OTHERS, SPELLINGS, TEMPLATES

SYSTEM, USER = "Be brief: {system}.", "What is {user}, and what {1 + 1}?\nAnd why [INST]?"


def rendered(name: str, *turns: Turn) -> str:
    """What the template writes, without the token that begins a sequence."""
    known = TEMPLATES[name]
    text = ChatTemplate(known.template, **known.tokens).render(turns)
    return text.removeprefix(known.tokens.get("bos_token", ""))


def turn(role, text) -> Turn:
    return Turn(role, (Text(text),))


def test_every_form_has_a_template_here():
    assert TEMPLATES.keys() == FAMILIES.keys()


def test_the_twelve_families_are_there():
    asked = "llama-2 llama-3 mistral qwen gemma phi vicuna alpaca zephyr deepseek command-r gpt-oss granite"
    assert set(GROUPS) == set(asked.split())


@pytest.mark.parametrize("name", FAMILIES)
def test_wrap_writes_what_the_template_writes(name: str):
    family = FAMILIES[name]
    assert family.wrap(SYSTEM, USER) == rendered(name, turn("system", SYSTEM), turn("user", USER))
    assert family.wrap(None, USER) == family.wrap("", USER) == rendered(name, turn("user", USER))


@pytest.mark.parametrize("name", FAMILIES)
def test_what_ends_an_answer_follows_it_in_the_template(name: str):
    """The text after an answer begins, blanks aside, with one of the stop strings, or with the sequence's end."""
    asked, answered, more = turn("user", "Why?"), turn("assistant", "ANSWER"), turn("user", "And why?")
    after = rendered(name, asked, answered, more).partition("ANSWER")[2].lstrip()
    # Harmony's last answer ends in another way than those before it.
    ends = (*FAMILIES[name].stop, *(("<|end|>",) if name == "gpt-oss" else ()))
    assert after.startswith(ends), after


def test_nothing_to_wrap():
    with pytest.raises(InvalidRequestError, match="nothing to wrap"):
        FAMILIES["llama-2"].wrap("Be brief.", "")
    with pytest.raises(InvalidRequestError, match="Hint: Give what the user says"):
        FAMILIES["chatml"].wrap("Be brief.", "")


# --- recognised -------------------------------------------------------------------------------------------------------


def form(**facts: str) -> str | None:
    found = recognise(ModelFacts(**facts))
    return found and found.name


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_template_tells_the_form(name: str):
    assert form(template=TEMPLATES[name].template) == name
    # Neither the architecture nor a name counts before it.
    assert form(template=TEMPLATES[name].template, name="Gemma 7B", architecture="qwen2", called="phi3") == name


@pytest.mark.parametrize("name", GO_TEMPLATES)
def test_templates_of_ollama_tell_it_too(name: str):
    assert form(template=GO_TEMPLATES[name]) == name


@pytest.mark.parametrize(("template", "name"), SPELLINGS)
def test_other_spellings(template: str, name: str | None):
    assert form(template=template) == name


@pytest.mark.parametrize("name", OTHERS)
def test_templates_of_other_families_tell_nothing(name: str):
    assert form(template=TOOL_FAMILIES[name].template) is None


CALLED = {
    "llama2:13b": "llama-2",
    "llama-2-7b-chat.Q4_K_M": "llama-2",
    "LLaMA v2": "llama-2",
    "CodeLlama-34b-Instruct-hf": "llama-2",
    "llama3.1:8b": "llama-3",
    "Meta-Llama-3-8B-Instruct.Q4_0": "llama-3",
    "hf.co/bartowski/Llama-3.2-3B-Instruct-GGUF:Q4_K_M": "llama-3",
    "mistral-7b-instruct-v0.2.Q4_K_M": "mistral-v1",
    "mixtral:8x7b": "mistral-v1",
    "mistral:7b": "mistral-v3",
    "mixtral:8x22b": "mistral-v3",
    "mistral-nemo": "mistral-tekken",
    "Mistral-Large-Instruct-2411": "mistral-v7",
    "mistral-small3.2:24b": "mistral-v7-tekken",
    "qwen3:8b": "chatml",
    "dolphin-llama3": "chatml",
    "OpenHermes-2.5-Mistral-7B": "chatml",
    "gemma3:4b": "gemma-3",
    "gemma4:e4b": "gemma-4",
    "phi3:mini": "phi-3",
    "Phi-3.5-mini-instruct": "phi-3",
    "phi4-mini": "phi-4-mini",
    "phi4": "phi-4",
    "vicuna:13b": "vicuna",
    "nous-hermes-13b.ggmlv3.q4_0": "alpaca",
    "openorca-platypus2-13b.gguf.q4_0": "alpaca",
    "zephyr:7b": "zephyr",
    "tinyllama-1.1b-chat-v1.0": "zephyr",
    "deepseek-r1:8b": "deepseek-r1",
    "DeepSeek-R1-Distill-Llama-8B": "deepseek-r1",
    "deepseek-v3.1:671b": "deepseek-v3.1",
    "deepseek-v3": "deepseek-v3",
    "deepseek-v2.5": "deepseek-v3",
    "deepseek-coder-v2:16b": "deepseek-v2",
    "command-r:35b": "command-r",
    "gpt-oss:20b": "gpt-oss",
    "granite3.3:8b": "granite",
    "open_llama_3b": None,
    "llama-30b": None,
    "granite-3b-code-instruct": None,
    "glm4:9b": None,
    "nemotron-mini": None,
    "model": None,
    "": None,
}


@pytest.mark.parametrize("called", CALLED)
def test_the_name_tells_it_in_the_end(called: str):
    assert form(called=called) == CALLED[called]
    assert form(called=called, template="{{ .Prompt }}", architecture="llama") == CALLED[called]
    assert form(name=called, called="llama-3") == (CALLED[called] or "llama-3")


def test_every_form_has_a_name_that_tells_it():
    assert set(CALLED.values()) == {*FAMILIES, None}


@pytest.mark.parametrize(("architecture", "name"), [("gemma2", "gemma-3"), ("gpt-oss", "gpt-oss"), ("llama", None)])
def test_the_architecture_tells_it_before_what_the_user_says(architecture: str, name: str | None):
    assert form(architecture=architecture, called="my-model") == name
    assert form(architecture=architecture, called="phi3") == (name or "phi-3")


def test_a_strangers_template_and_name_take_no_time():
    """Each would take hours if a pattern went over the whole text from each of its places."""
    for piece in ("<|start|>", "thinking ", "<｜Assistant｜>", "USER: ", "<|user|>", "<|end|>", "User: ", "x"):
        recognise(ModelFacts(template=piece * (1_000_000 // len(piece))))
    for piece in ("mistral", "deepseek-", "mixtral", "tinyllama", "codellama", "m"):
        recognise(ModelFacts(name=piece * 200_000, called=piece * 200_000))


# --- files ------------------------------------------------------------------------------------------------------------


def write_header(path: Path, *, architecture: str = "llama", name: str = "", template: str = "") -> Path:
    """Write a GGUF file without weights."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_context_length(4096)
    if name:
        writer.add_name(name)
    if template:
        writer.add_chat_template(template)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


def of_file(path: Path, **fields: object) -> PromptFamily | None:
    return family_of(LlamaCpp(model_path=path, **fields))


def test_a_file_is_asked_by_its_header(tmp_path: Path):
    told = write_header(tmp_path / "phi-3.gguf", template=TEMPLATES["zephyr"].template)
    assert of_file(told) is FAMILIES["zephyr"]
    assert of_file(told, chat_template=TEMPLATES["granite"].template) is FAMILIES["granite"]
    assert of_file(write_header(tmp_path / "a.gguf", name="Mixtral 8x7B Instruct")) is FAMILIES["mistral-v1"]
    assert of_file(write_header(tmp_path / "b.gguf", architecture="gemma2")) is FAMILIES["gemma-3"]
    assert of_file(write_header(tmp_path / "llama-2-7b-chat.gguf")) is FAMILIES["llama-2"]
    assert of_file(write_header(tmp_path / "c.gguf")) is None


def test_the_folder_of_a_file_tells_nothing(tmp_path: Path):
    folder = tmp_path / "llama-2"
    folder.mkdir()
    assert of_file(write_header(folder / "model.gguf")) is None


def test_the_demo_model():
    for kind in (LlamaCpp, ChatLlamaCpp):
        model = kind(model_path=model_path)
        assert family_of(model) is FAMILIES["chatml"]
        assert is_family("qwen")(model)
        assert is_family("chatml")(model)
        assert not is_family("llama-2", "llama-3", "mistral")(model)
        assert model._handle._engine is None  # nothing was loaded for that
