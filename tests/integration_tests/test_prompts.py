"""Families and presets on real models of every engine; and what `wrap` writes is what the engine writes for a chat."""

from __future__ import annotations

import re

import pytest
from langchain_core.documents import Document
from langchain_core.runnables import ConfigurableField

from langchain_localmodels import ChatLlamaCpp, LlamaCpp, OllamaLLM, init_local_chat_model, init_local_llm
from langchain_localmodels.demo import model_path
from langchain_localmodels.prompts import (
    CLASSIFICATION,
    PRESETS,
    RAG,
    SEARCH_QUERIES,
    FamilyPromptSelector,
    context_at_least,
    family_of,
    format_documents,
    is_engine,
)
from tests.integration_tests.rows import ROWS

QUESTION = {"question": "What NFL team won the Super Bowl in the year that Justin Bieber was born?"}
SOURCES = [Document("Ada lives in Rome.", metadata={"source": "people.txt"}), Document("The bridge was built in 1924.")]
ASKED = {
    "search_queries": (QUESTION, r"1\. .*\?\n2\. .*\?\n3\. .*\?"),
    "rag": ({"context": format_documents(SOURCES), "question": "Where does Ada live?"}, r"\bAda lives in Rome\b"),
    "classification": ({"classes": "positive, negative", "text": "The car was great."}, r"^\s*positive\s*$"),
    "step_by_step": ({"question": "Who was the first man on the moon?"}, "Neil Armstrong"),
}
"""What the demo model can do."""


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.engine)
def test_every_engine_is_recognised(row):
    made = row()
    for model in (made.llm(), made.chat_model()):
        assert is_engine(row.engine)(model)
        assert family_of(model.with_retry()).name == "chatml"
        assert context_at_least(512)(model)
        assert not context_at_least(1 << 20)(model)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.engine)
@pytest.mark.parametrize("task", ASKED)
def test_presets_on_every_engine(row, task: str):
    made, (values, pattern) = row(), ASKED[task]
    # The answers repeat words of the questions, for which GPT4All would penalize them. Outside of a system turn the
    # demo model was taught no classes.
    models = [made.chat_model(repeat_penalty=1), *([] if task == "classification" else [made.llm(repeat_penalty=1)])]
    for model in models:
        answer = (PRESETS[task] | model).invoke(values)
        assert re.search(pattern, answer if isinstance(answer, str) else answer.text), answer


@pytest.mark.parametrize("engine", ["llamacpp", "gpt4all"])
def test_a_text_model_reads_what_the_chat_model_reads(engine: str):
    """Both on the same file, the one by `wrap` and the other by the chat template: the same tokens, the same answer."""
    with (
        init_local_llm(f"{engine}:{model_path}", temperature=0, n_threads=1) as llm,
        init_local_chat_model(f"{engine}:{model_path}", temperature=0, n_threads=1) as chat,
    ):
        for preset, values in (
            (SEARCH_QUERIES, QUESTION),
            (RAG, ASKED["rag"][0]),
            (CLASSIFICATION, ASKED["classification"][0]),
        ):
            text = llm.generate_prompt([preset.get_prompt(llm).invoke(values)])
            message = (preset | chat).invoke(values)
            assert text.generations[0][0].text == message.text
            assert text.llm_output["token_usage"]["prompt_tokens"] == message.usage_metadata["input_tokens"]


def test_raw_prompts_on_ollama():
    """The server puts the turns around a prompt, unless it is told not to: both ways the model reads the same."""
    (row,) = (row for row in ROWS if row.engine == "ollama")
    llm: OllamaLLM = row().llm()
    ask = FamilyPromptSelector(user="{question}")
    question = {"question": "Who was the first man on the moon?"}
    assert ask.get_prompt(llm).template == "{question}"
    assert ask.get_prompt(llm.bind(raw=True)).template.startswith("<|im_start|>user\n{question}")
    answers = [(ask | model).invoke(question) for model in (llm, llm.bind(raw=True))]
    assert "Neil Armstrong" in answers[0]
    assert answers[0].strip() == answers[1].strip()


def test_one_chain_for_two_kinds_of_models():
    llm = LlamaCpp(model_path=model_path, temperature=0, n_threads=1)
    chat = ChatLlamaCpp(model_path=model_path, temperature=0, n_threads=1)
    with llm, chat:
        either = llm.configurable_alternatives(ConfigurableField(id="kind"), default_key="text", chat=chat)
        chain = SEARCH_QUERIES | either
        as_text, as_chat = (chain.invoke(QUESTION, {"configurable": {"kind": kind}}) for kind in ("text", "chat"))
        assert as_text == as_chat.text
