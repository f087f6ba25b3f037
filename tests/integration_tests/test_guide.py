"""The guide "Run models locally", cell by cell; only imports and paths are others."""

from __future__ import annotations

import re

import pytest
from langchain_core.callbacks import CallbackManager, StreamingStdOutCallbackHandler
from langchain_core.prompts import PromptTemplate

from langchain_localmodels import ChatLlamaCpp, ConditionalPromptSelector, LlamaCpp
from langchain_localmodels.demo import model_path

DEFAULT_LLAMA_SEARCH_PROMPT = PromptTemplate(
    input_variables=["question"],
    template="""<<SYS>> \n You are an assistant tasked with improving Google search \
results. \n <</SYS>> \n\n [INST] Generate THREE Google search queries that \
are similar to this question. The output should be a numbered list of questions \
and each should have a question mark at the end: \n\n {question} [/INST]""",
)

DEFAULT_SEARCH_PROMPT = PromptTemplate(
    input_variables=["question"],
    template="""You are an assistant tasked with improving Google search \
results. Generate THREE Google search queries that are similar to \
this question. The output should be a numbered list of questions and each \
should have a question mark at the end: {question}""",
)

QUESTION_PROMPT_SELECTOR = ConditionalPromptSelector(
    default_prompt=DEFAULT_SEARCH_PROMPT,
    conditionals=[(lambda llm: isinstance(llm, LlamaCpp), DEFAULT_LLAMA_SEARCH_PROMPT)],
)

QUESTION = "What NFL team won the Super Bowl in the year that Justin Bieber was born?"


def test_the_llamacpp_cell(capfd: pytest.CaptureFixture[str]):
    llm = LlamaCpp(
        model_path=model_path,
        n_gpu_layers=1,
        n_batch=512,
        n_ctx=2048,
        f16_kv=True,
        callback_manager=CallbackManager([StreamingStdOutCallbackHandler()]),
        verbose=True,
    )
    answer = llm.bind(temperature=0).invoke("The first man on the moon was ... Let's think step by step")
    captured = capfd.readouterr()
    assert "Neil Armstrong" in answer
    assert captured.out == answer  # streamed to the console while it came
    for name in ("load time", "sample time", "prompt eval time", "eval time", "total time"):
        assert name in captured.err
    llm.bind(temperature=0).invoke("The first man on the moon was ... Let's think step by step")
    assert "prefix reused" in capfd.readouterr().err
    llm.close()


@pytest.mark.parametrize("kind", [LlamaCpp, ChatLlamaCpp])
def test_the_prompt_selector_cells(kind: type[LlamaCpp] | type[ChatLlamaCpp]):
    llm = kind(model_path=model_path, temperature=0, n_threads=1)
    prompt = QUESTION_PROMPT_SELECTOR.get_prompt(llm)
    assert prompt is (DEFAULT_LLAMA_SEARCH_PROMPT if kind is LlamaCpp else DEFAULT_SEARCH_PROMPT)
    assert QUESTION_PROMPT_SELECTOR.get_prompt(llm.bind(stop=["x"]).with_retry()) is prompt
    chain = prompt | llm
    answer = chain.invoke({"question": QUESTION})
    text = answer if isinstance(answer, str) else answer.text
    numbered = re.findall(r"^\s*(\d)\. .*\?$", text, flags=re.MULTILINE)
    assert numbered == ["1", "2", "3"]
    streamed = "".join(
        piece if isinstance(piece, str) else piece.text for piece in chain.stream({"question": QUESTION})
    )
    assert streamed == text
    llm.close()


def test_the_other_prompt_as_text():
    with LlamaCpp(model_path=model_path, temperature=0, n_threads=1) as llm:
        text = (DEFAULT_SEARCH_PROMPT | llm).invoke({"question": QUESTION})
    assert len(re.findall(r"^\s*\d\. .*\?$", text, flags=re.MULTILINE)) == 3


def test_the_chat_question():
    with ChatLlamaCpp(model_path=model_path, temperature=0, n_threads=1) as chat:
        message = chat.invoke("Who was the first man on the moon?")
    assert "Neil Armstrong" in message.text
    for key in ("model", "created_at", "done", "done_reason", "total_duration", "load_duration", "prompt_eval_count"):
        assert key in message.response_metadata
    for key in ("prompt_eval_duration", "eval_count", "eval_duration"):
        assert key in message.response_metadata
