"""Presets: their texts, their variables, and the form that each kind and family of models gets."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from langchain_core.documents import Document
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_core.runnables import RunnableLambda
from pydantic import ValidationError
from syrupy.assertion import SnapshotAssertion

from langchain_localmodels import ChatOllama, LlamaCpp, OllamaLLM
from langchain_localmodels import prompts as public
from langchain_localmodels.errors import InvalidRequestError
from langchain_localmodels.prompts import (
    DEFAULT_LLAMA_SEARCH_PROMPT,
    DEFAULT_SEARCH_PROMPT,
    FAMILIES,
    PRESETS,
    RAG_PROMPT_LLAMA,
    SEARCH_QUERIES,
    FamilyPromptSelector,
    format_documents,
    is_llm,
)
from langchain_localmodels.testing import ScriptedChatModel, ScriptedLLM
from tests.unit_tests.prompts.test_families import write_header
from tests.unit_tests.prompts.turn_templates import TEMPLATES

VARIABLES = {
    "search_queries": {"question"},
    "multi_query": {"question"},
    "question_rewriting": {"chat_history", "question"},
    "rag": {"context", "question"},
    "step_by_step": {"question"},
    "summary": {"text"},
    "summary_map": {"text"},
    "summary_reduce": {"text"},
    "extraction": {"schema", "text"},
    "tagging": {"schema", "text"},
    "classification": {"classes", "text"},
}
TEXT, CHAT = ScriptedLLM(answers=["a"]), ScriptedChatModel(answers=["a"])
GUIDES_LLAMA = """<<SYS>> \n You are an assistant tasked with improving Google search \
results. \n <</SYS>> \n\n [INST] Generate THREE Google search queries that \
are similar to this question. The output should be a numbered list of questions \
and each should have a question mark at the end: \n\n {question} [/INST]"""
GUIDES_DEFAULT = """You are an assistant tasked with improving Google search \
results. Generate THREE Google search queries that are similar to \
this question. The output should be a numbered list of questions and each \
should have a question mark at the end: {question}"""
"""Both as the guide's cells write them."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LlamaCpp]:
    """A text model of each family, whose file has nothing but a header."""
    folder: Path = tmp_path_factory.mktemp("families")
    return {
        name: LlamaCpp(model_path=write_header(folder / f"{number}.gguf", template=turns.template))
        for number, (name, turns) in enumerate(TEMPLATES.items())
    }


def written(prompt: PromptTemplate | ChatPromptTemplate) -> object:
    """A prompt with its variables in place, as text or as messages."""
    if isinstance(prompt, PromptTemplate):
        return prompt.template
    names = {name: f"{{{name}}}" for name in prompt.input_variables}
    return [(message.type, message.content) for message in prompt.format_messages(**names)]


# --- texts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", PRESETS)
def test_what_each_says(task: str, files: dict[str, LlamaCpp], snapshot: SnapshotAssertion):
    """As text, as messages, and in the turns of three families; those of the others are put together alike."""
    models = {"text": TEXT, "chat": CHAT, **{name: files[name] for name in ("llama-2", "chatml", "gemma-3")}}
    assert {kind: written(PRESETS[task].get_prompt(model)) for kind, model in models.items()} == snapshot


def test_search_prompts_are_the_guides_to_the_letter():
    assert DEFAULT_LLAMA_SEARCH_PROMPT.template == GUIDES_LLAMA
    assert DEFAULT_SEARCH_PROMPT.template == GUIDES_DEFAULT
    assert DEFAULT_LLAMA_SEARCH_PROMPT.input_variables == DEFAULT_SEARCH_PROMPT.input_variables == ["question"]


def test_search_queries_give_the_guides_prompts(files: dict[str, LlamaCpp]):
    assert SEARCH_QUERIES.get_prompt(files["llama-2"].with_retry()) is DEFAULT_LLAMA_SEARCH_PROMPT
    assert SEARCH_QUERIES.get_prompt(TEXT) is DEFAULT_SEARCH_PROMPT


def test_the_prompt_of_the_hub():
    """`rlm/rag-prompt-llama`, to the letter."""
    assert RAG_PROMPT_LLAMA.template == (
        "[INST]<<SYS>> You are an assistant for question-answering tasks. Use the following pieces of retrieved "
        "context to answer the question. If you don't know the answer, just say that you don't know. Use three "
        "sentences maximum and keep the answer concise.<</SYS>> \nQuestion: {question} \nContext: {context} \n"
        "Answer: [/INST]"
    )
    assert set(RAG_PROMPT_LLAMA.input_variables) == {"context", "question"}


@pytest.mark.parametrize("task", PRESETS)
def test_all_forms_have_the_same_variables(task: str, files: dict[str, LlamaCpp]):
    assert VARIABLES.keys() == PRESETS.keys()
    for model in (TEXT, CHAT, *files.values()):
        assert set(PRESETS[task].get_prompt(model).input_variables) == VARIABLES[task]


@pytest.mark.parametrize("task", PRESETS)
def test_each_family_reads_its_own_turns(task: str, files: dict[str, LlamaCpp]):
    preset = PRESETS[task]
    for name, model in files.items():
        prompt = preset.get_prompt(model)
        if prompt is not DEFAULT_LLAMA_SEARCH_PROMPT:
            assert prompt.template == FAMILIES[name].wrap(preset.system, preset.user)


def test_all_are_public():
    constants = [value for name, value in vars(public.presets).items() if isinstance(value, FamilyPromptSelector)]
    assert constants == list(PRESETS.values())
    for name in public.__all__:
        assert getattr(public, name) is not None
        assert name in dir(public)
    with pytest.raises(AttributeError, match="has no attribute 'SUMARY'"):
        _ = public.SUMARY


# --- which form -------------------------------------------------------------------------------------------------------

ASK = FamilyPromptSelector(system="Be {how}.", user="{question}")


def test_ollama_writes_the_turns_itself():
    """In the turns of a family, a prompt would have them twice; with `raw=True` it would have none."""
    model = OllamaLLM(model="llama3.1:8b", base_url="127.0.0.1:1")
    assert written(ASK.get_prompt(model)) == "Be {how}.\n\n{question}"
    for raw in (model.bind(raw=True), model.bind(raw=True).with_retry()):
        assert written(ASK.get_prompt(raw)) == FAMILIES["llama-3"].wrap("Be {how}.", "{question}")
    assert written(ASK.get_prompt(model.bind(raw=False))) == "Be {how}.\n\n{question}"
    messages = [("system", "Be {how}."), ("human", "{question}")]
    assert written(ASK.get_prompt(ChatOllama(model="llama3.1:8b"))) == messages


def test_without_instructions(files: dict[str, LlamaCpp]):
    bare = FamilyPromptSelector(user="{question}")
    assert written(bare.get_prompt(TEXT)) == "{question}"
    assert written(bare.get_prompt(CHAT)) == [("human", "{question}")]
    assert written(bare.get_prompt(files["zephyr"])) == "<|user|>\n{question}</s>\n<|assistant|>\n"


def test_what_is_given_for_a_family_or_a_condition_goes_first(files: dict[str, LlamaCpp]):
    own, all_of_them, default = (PromptTemplate.from_template(f"{name} {{question}}") for name in ("a", "b", "c"))
    selector = FamilyPromptSelector(
        system="Be {how}.",
        user="{question}",
        default_prompt=default,
        family_prompts={"mistral-v7": own, "mistral": all_of_them},
    )
    assert selector.get_prompt(files["mistral-v7"]) is own
    assert selector.get_prompt(files["mistral-tekken"]) is all_of_them
    assert selector.get_prompt(TEXT) is default
    assert written(selector.get_prompt(files["granite"])) == FAMILIES["granite"].wrap("Be {how}.", "{question}")
    first = selector.model_copy(update={"conditionals": [(is_llm, own)]})
    assert first.get_prompt(files["granite"]) is own
    assert written(first.get_prompt(CHAT)) == [("system", "Be {how}."), ("human", "{question}")]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "user"),
        ({"user": ""}, "at least 1 character"),
        ({"user": "{question}", "family_prompts": {"llama2": DEFAULT_SEARCH_PROMPT}}, "Did you mean 'llama-2'"),
        ({"user": "{question"}, "expected '}'"),
        ({"user": "{question}", "system": 3}, "valid string"),
    ],
)
def test_what_it_does_not_take(fields: dict[str, object], told: str):
    with pytest.raises(ValidationError, match=told):
        FamilyPromptSelector(**fields)


def test_a_chain():
    model = ScriptedLLM(answers=["Rome."])
    chain = {"question": RunnableLambda(str.strip), "how": lambda _: "brief"} | ASK | model
    assert chain.invoke(" Where? ") == "Rome."
    assert model.requests[0].prompt == "Be brief.\n\nWhere?"


def test_a_preset_can_be_pickled(files: dict[str, LlamaCpp]):
    step = pickle.loads(pickle.dumps(PRESETS["summary"].for_model(files["vicuna"].with_retry())))
    said = step.invoke({"text": "Long."}).to_string()
    assert said == FAMILIES["vicuna"].wrap(PRESETS["summary"].system, PRESETS["summary"].user.format(text="Long."))


def test_braces_in_what_is_filled_in_stay():
    prompt = PRESETS["extraction"].get_prompt(TEXT)
    assert '{"type": "object"}' in prompt.format(schema='{"type": "object"}', text="{x}")


# --- documents --------------------------------------------------------------------------------------------------------


def test_documents_are_numbered_sources():
    documents = [Document(" Ada lives in Rome.\n", metadata={"source": "people.txt"}), Document("{No} source.")]
    assert format_documents(documents) == "[1] (people.txt) Ada lives in Rome.\n\n[2] {No} source."
    assert format_documents(iter(documents)) == format_documents(documents)
    assert format_documents([]) == ""
    with pytest.raises(InvalidRequestError, match="not a value of type str"):
        format_documents(["Ada lives in Rome."])
