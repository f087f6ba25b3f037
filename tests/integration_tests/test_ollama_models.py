"""Ollama with real models behind it, on the double or where OLLAMA_HOST says: what a script cannot show."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from pydantic import BaseModel

from langchain_localmodels import ChatOllama, OllamaEmbeddings, OllamaLLM, OllamaServer
from langchain_localmodels.demo import model_path
from langchain_localmodels.engines.ollama import knowledge
from langchain_localmodels.errors import (
    PromptTooLongError,
    UnsupportedContentError,
    UnsupportedFeatureError,
)
from tests.doubles.asking import drivers, failures
from tests.ollama_server import ollama_embedding_model, ollama_model, ollama_url

QUESTION = "Who was the first man on the moon?"
ZEBRA_FIRST = {
    "type": "object",
    "properties": {"zebra": {"enum": ["z"]}, "middle": {"enum": ["m"]}, "ant": {"enum": ["a"]}},
    "required": ["zebra", "middle", "ant"],
}


@pytest.fixture(autouse=True)
def _nothing_is_known_yet() -> None:
    """What one test has loaded another one does not know."""
    knowledge._kept.clear()


def chat(**fields: Any) -> ChatOllama:
    return ChatOllama(**{"model": ollama_model(), "base_url": ollama_url(), "temperature": 0, **fields})


def llm(**fields: Any) -> OllamaLLM:
    return OllamaLLM(**{"model": ollama_model(), "base_url": ollama_url(), "temperature": 0, **fields})


# --- order ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [chat, llm])
def test_properties_are_written_in_the_order_of_the_schema(make):
    """Ollama itself would have them sorted by their names."""
    answers = set(drivers(make(format=ZEBRA_FIRST, max_tokens=60), QUESTION).values())
    for answer in answers:
        assert list(json.loads(answer)) == ["zebra", "middle", "ant"]


def test_a_call_that_is_forced_names_its_tool_first():
    def look_up(anything: str) -> str:
        """Look up anything."""
        return anything

    def add(augend: int, addend: int) -> int:
        """Add two numbers."""
        return augend + addend

    message = chat(max_tokens=200).bind_tools([look_up, add], tool_choice="any").invoke("Add 3 and 4. Use the tool.")
    (call,) = message.tool_calls
    assert call["name"] == "add"
    assert list(call["args"]) == ["augend", "addend"]


def test_fields_of_a_class_keep_their_order():
    class Verdict(BaseModel):
        """A verdict."""

        why: str
        answer: int

    output = chat(max_tokens=400).with_structured_output(Verdict, include_raw=True).invoke("What is 3 plus 4?")
    assert output["raw"].text.index('"why"') < output["raw"].text.index('"answer"')


# --- text -------------------------------------------------------------------------------------------------------------


def test_chat_and_text_ask_the_same_model():
    assert "Neil Armstrong" in chat().invoke(QUESTION).text
    assert llm().invoke(QUESTION) == chat().invoke(QUESTION).text


def test_a_raw_prompt_has_no_template():
    model = llm(max_tokens=8)
    with_template = model.invoke("Hello")
    assert model.invoke("Hello", raw=True) != with_template
    rendered = "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    assert model.invoke(rendered, raw=True) == with_template


def test_a_tool_is_called_and_its_result_read():
    def magic_function(input: int) -> int:
        """Apply the magic function to an input."""
        return input + 2

    model = chat().bind_tools([magic_function])
    asked = HumanMessage("What is the value of magic_function(3)? Use the tool.")
    for called in (model.invoke([asked]), asyncio.run(model.ainvoke([asked]))):
        (call,) = called.tool_calls
        assert (call["name"], call["args"], called.response_metadata["finish_reason"]) == (
            "magic_function",
            {"input": 3},
            "tool_calls",
        )
        answer = model.invoke([asked, called, ToolMessage("5", tool_call_id=call["id"])])
        assert answer.tool_calls == []
        assert "5" in answer.text


def test_log_probabilities_are_those_of_the_text():
    message = chat(logprobs=True, top_logprobs=3, max_tokens=6).invoke(QUESTION)
    content = message.response_metadata["logprobs"]["content"]
    assert "".join(entry["token"] for entry in content) == message.text
    for entry in content:
        assert entry["logprob"] <= 0
        assert entry["top_logprobs"][0]["token"] == entry["token"]
        assert len(entry["top_logprobs"]) == 3
    assert "logprobs" not in chat().invoke(QUESTION).response_metadata


def test_what_the_model_cannot_do_is_told():
    for error in failures(chat(reasoning=True)):
        assert type(error) is UnsupportedFeatureError
        assert "thinking" in str(error)
    for error in failures(chat(model=ollama_embedding_model())):
        assert type(error) is UnsupportedFeatureError
    image = HumanMessage([{"type": "image", "base64": "aGk=", "mime_type": "image/png"}])
    for model in (chat(), chat().load()):
        with pytest.raises(UnsupportedContentError):
            model.invoke([image])


# --- the window -------------------------------------------------------------------------------------------------------


def test_the_profile_is_that_of_the_model():
    profile = chat().load().profile
    assert (profile["max_input_tokens"], profile["tool_calling"], profile["image_inputs"]) == (2048, True, False)


def test_a_conversation_that_does_not_fit(caplog):
    """Ollama drops the oldest messages and says nothing; where one alone is too long, it refuses."""
    with pytest.raises(PromptTooLongError, match="2048"):
        chat().invoke("word " * 3000)
    turns = [kind("one two three four " * 100) for _ in range(4) for kind in (HumanMessage, AIMessage)]
    with caplog.at_level(logging.WARNING):
        message = chat(max_tokens=5).invoke([*turns, HumanMessage(QUESTION)])
    assert message.usage_metadata["input_tokens"] < 2048
    assert "num_ctx" in caplog.text
    caplog.clear()
    assert "Neil Armstrong" in chat().invoke(QUESTION).text
    assert not caplog.records


def test_a_text_of_which_the_middle_was_cut_out(caplog):
    with caplog.at_level(logging.WARNING):
        llm(max_tokens=5).invoke("word " * 3000)
    assert "num_ctx" in caplog.text


def test_a_smaller_window():
    small = chat(num_ctx=256, max_tokens=5)
    assert small.invoke(QUESTION).text
    with pytest.raises(PromptTooLongError, match="256"):
        small.invoke("word " * 400)


# --- vectors ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def embeddings() -> Iterator[Any]:
    made = []

    def make(**fields: Any) -> OllamaEmbeddings:
        made.append(OllamaEmbeddings(**{"model": ollama_embedding_model(), "base_url": ollama_url(), **fields}))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_near_texts_have_near_vectors(embeddings):
    moon, lunar, bread = embeddings().embed_documents(["the moon", "a moon landing", "a recipe for bread"])

    def near(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert near(moon, lunar) > near(moon, bread)
    assert near(moon, moon) == pytest.approx(1, abs=1e-5)
    short = embeddings(dimensions=8).embed_query("the moon")
    assert len(short) == 8
    assert near(short, short) == pytest.approx(1, abs=1e-5)


def test_a_text_that_is_too_long_to_embed(embeddings):
    long = "moon " * 900
    with pytest.raises(PromptTooLongError, match="text 1"):
        embeddings().embed_documents(["moon", long])
    (cut,) = embeddings(truncate=True).embed_documents([long])
    assert len(cut) == 192
    with pytest.raises(UnsupportedFeatureError, match="embed"):
        embeddings(model=ollama_model()).embed_query("moon")


# --- models -----------------------------------------------------------------------------------------------------------


def test_a_model_is_made_used_and_deleted(capsys):
    with OllamaServer(ollama_url()) as server:
        server.create("made-by-a-test", model_path, show_progress=False)
        try:
            assert "made-by-a-test" in {model.name.removesuffix(":latest") for model in server.list()}
            assert "Neil Armstrong" in chat(model="made-by-a-test").invoke(QUESTION).text
            server.load("made-by-a-test")
            server.unload("made-by-a-test")
        finally:
            server.delete("made-by-a-test")
        assert "made-by-a-test" not in {model.name.removesuffix(":latest") for model in server.list()}
        assert server.version()
    assert capsys.readouterr().err == ""
