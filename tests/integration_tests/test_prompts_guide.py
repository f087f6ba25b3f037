"""The guide's cells on prompts by model, run as they are written; and what it says of the hub's prompts, offline."""

from __future__ import annotations

import re

import pytest
from langchain_core.prompts import PromptTemplate

from langchain_localmodels import ChatLlamaCpp, ConditionalPromptSelector, LlamaCpp
from langchain_localmodels.demo import model_path
from langchain_localmodels.prompts import (
    DEFAULT_LLAMA_SEARCH_PROMPT,
    DEFAULT_SEARCH_PROMPT,
    RAG_PROMPT_LLAMA,
    SEARCH_QUERIES,
    is_family,
    is_llm,
)

IMPORTS = """
from langchain_core.prompts import PromptTemplate
from langchain_localmodels import ConditionalPromptSelector, LlamaCpp
"""
CELLS = (
    '''DEFAULT_LLAMA_SEARCH_PROMPT = PromptTemplate(
    input_variables=["question"],
    template="""<<SYS>> \\n You are an assistant tasked with improving Google search \\
results. \\n <</SYS>> \\n\\n [INST] Generate THREE Google search queries that \\
are similar to this question. The output should be a numbered list of questions \\
and each should have a question mark at the end: \\n\\n {question} [/INST]""",
)

DEFAULT_SEARCH_PROMPT = PromptTemplate(
    input_variables=["question"],
    template="""You are an assistant tasked with improving Google search \\
results. Generate THREE Google search queries that are similar to \\
this question. The output should be a numbered list of questions and each \\
should have a question mark at the end: {question}""",
)

QUESTION_PROMPT_SELECTOR = ConditionalPromptSelector(
    default_prompt=DEFAULT_SEARCH_PROMPT,
    conditionals=[(lambda llm: isinstance(llm, LlamaCpp), DEFAULT_LLAMA_SEARCH_PROMPT)],
)

prompt = QUESTION_PROMPT_SELECTOR.get_prompt(llm)
''',
    """chain = prompt | llm
question = "What NFL team won the Super Bowl in the year that Justin Bieber was born?"
answer = chain.invoke({"question": question})
""",
)
QUESTION = "What NFL team won the Super Bowl in the year that Justin Bieber was born?"


def queries(answer: object) -> list[str]:
    text = answer if isinstance(answer, str) else answer.text
    return re.findall(r"^\s*\d\. .*\?$", text, flags=re.MULTILINE)


@pytest.mark.parametrize("kind", [LlamaCpp, ChatLlamaCpp])
def test_the_cells(kind: type[LlamaCpp] | type[ChatLlamaCpp]):
    with kind(model_path=model_path, temperature=0, n_threads=1) as llm:
        names = {"llm": llm}
        exec(IMPORTS, names)
        for cell in CELLS:
            exec(cell, names)
    named = "DEFAULT_LLAMA_SEARCH_PROMPT" if kind is LlamaCpp else "DEFAULT_SEARCH_PROMPT"
    assert names["prompt"] is names[named]
    assert len(queries(names["answer"])) == 3
    # Those of the package are the same prompts.
    assert names["DEFAULT_LLAMA_SEARCH_PROMPT"] == DEFAULT_LLAMA_SEARCH_PROMPT
    assert names["DEFAULT_SEARCH_PROMPT"] == DEFAULT_SEARCH_PROMPT


def test_the_cells_in_fewer_words():
    selector = ConditionalPromptSelector(
        default_prompt=DEFAULT_SEARCH_PROMPT,
        conditionals=[(is_llm & is_family("llama-2"), DEFAULT_LLAMA_SEARCH_PROMPT)],
    )
    with LlamaCpp(model_path=model_path, temperature=0, n_threads=1) as llm:
        assert selector.get_prompt(llm) is DEFAULT_SEARCH_PROMPT
        assert len(queries((selector | llm).invoke({"question": QUESTION}))) == 3


@pytest.mark.parametrize("kind", [LlamaCpp, ChatLlamaCpp])
async def test_the_preset(kind: type[LlamaCpp] | type[ChatLlamaCpp]):
    with kind(model_path=model_path, temperature=0, n_threads=1) as llm:
        chain = SEARCH_QUERIES | llm.with_retry()
        assert len(queries(chain.invoke({"question": QUESTION}))) == 3
        assert len(queries(await chain.ainvoke({"question": QUESTION}))) == 3
        pieces = [piece if isinstance(piece, str) else piece.text for piece in chain.stream({"question": QUESTION})]
        assert len(pieces) > 3
        assert len(queries("".join(pieces))) == 3


@pytest.mark.parametrize("kind", [LlamaCpp, ChatLlamaCpp])
def test_the_prompt_of_the_hub_without_the_hub(kind: type[LlamaCpp] | type[ChatLlamaCpp]):
    asked = {"context": "Ada lives in Rome. The bridge was built in 1924.", "question": "When was the bridge built?"}
    with kind(model_path=model_path, temperature=0, n_threads=1) as llm:
        answer = (RAG_PROMPT_LLAMA | llm).invoke(asked)
    assert "1924" in (answer if isinstance(answer, str) else answer.text)


def test_the_guides_template_class_is_the_presets():
    assert type(DEFAULT_SEARCH_PROMPT) is PromptTemplate
