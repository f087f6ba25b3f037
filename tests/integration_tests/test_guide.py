"""The guide "Run models locally", cell by cell; only imports and paths are others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from langchain_core.callbacks import CallbackManager, StreamingStdOutCallbackHandler
from langchain_core.prompts import PromptTemplate

from langchain_localmodels import (
    ChatLlamaCpp,
    ChatOllama,
    ConditionalPromptSelector,
    GPT4All,
    LlamaCpp,
    Llamafile,
    OllamaLLM,
)
from langchain_localmodels.demo import model_path
from langchain_localmodels.engines.gpt4all import config as gpt4all_config
from langchain_localmodels.errors import ModelFileError
from tests.llama_server import chat_server, chat_server_at
from tests.ollama_server import serving

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


@pytest.fixture
def ollama(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An Ollama where the guide's cells look for one, whose models of these names are the demo model."""
    with serving("llama3.1:8b", "llama2:13b") as url:
        monkeypatch.setenv("OLLAMA_HOST", url)
        yield


def test_the_ollama_cells(ollama: None, capsys: pytest.CaptureFixture[str]):
    llm = OllamaLLM(model="llama3.1:8b")
    assert "moon" in llm.bind(temperature=0).invoke("The first man on the moon was ...")
    for chunk in llm.stream("The first man on the moon was ..."):
        print(chunk, end="|", flush=True)
    printed = capsys.readouterr().out
    assert printed.endswith("|")
    assert printed.count("|") > 3
    llm = OllamaLLM(model="llama2:13b")
    assert llm.invoke("The first man on the moon was ... think step by step")


def test_the_ollama_chat_cell(ollama: None):
    chat_model = ChatOllama(model="llama3.1:8b")
    message = chat_model.bind(temperature=0).invoke("Who was the first man on the moon?")
    assert "Neil Armstrong" in message.text
    told = message.response_metadata
    for key in ("model", "created_at", "done_reason", "done", "total_duration", "load_duration", "prompt_eval_count"):
        assert told[key], key
    for key in ("prompt_eval_duration", "eval_count", "eval_duration"):
        assert told[key] > 0, key
    assert told["model"] == "llama3.1:8b"
    usage = message.usage_metadata
    assert usage["input_tokens"] == told["prompt_eval_count"] == 19
    assert usage["output_tokens"] == told["eval_count"] > 3
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


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


def test_the_gpt4all_cell(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(gpt4all_config, "usable_cpus", lambda: 1)  # others may need theirs
    llm = GPT4All(model=model_path)
    answer = llm.invoke("The first man on the moon was ... Let's think step by step")
    assert isinstance(answer, str)
    assert answer.strip()
    assert "Neil Armstrong" in llm.invoke("The first man on the moon was ...", temperature=0)
    llm.close()


def test_the_file_of_the_gpt4all_cell(tmp_path: Path):
    """It is in GGML's format of before GGUF, of which nothing but the first bytes is looked at."""
    path = tmp_path / "nous-hermes-13b.ggmlv3.q4_0.bin"
    path.write_bytes(b"tjgg\x03\0\0\0" + bytes(100))
    with pytest.raises(ModelFileError, match="old GGML format") as caught:
        GPT4All(model=path)
    assert "nous-hermes-13b" in str(caught.value.hint)


def test_the_llamafile_cell(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("LLAMAFILE_BASE_URL", raising=False)
    with chat_server_at(8080) as is_there:
        if not is_there:  # Something else has the port that the guide speaks of.
            monkeypatch.setenv("LLAMAFILE_BASE_URL", chat_server().url)
        llm = Llamafile()
        answer = llm.invoke("The first man on the moon was ... Let's think step by step.")
        assert isinstance(answer, str)
        assert answer
        assert "Neil Armstrong" in llm.invoke("The first man on the moon was ...", temperature=0)
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
