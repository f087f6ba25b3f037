"""What GPT4All makes of answers, on models that write one certain text: ends, marks of its own, half characters."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import tool

from langchain_localmodels import ChatGPT4All, GPT4All
from langchain_localmodels.engines import common
from langchain_localmodels.errors import StructuredOutputError
from tests.chain_model import UNUSED, in_pieces, write_chain

TEXT = "I will say this, and then no more of it."


@pytest.fixture
def chat(tmp_path: Path) -> Any:
    """Makes a chat model that writes these pieces."""

    def make(pieces: Sequence[str | bytes], **options: Any) -> ChatGPT4All:
        known = {name: options.pop(name) for name in ("end", "more_tokens", "template") if name in options}
        path = write_chain(tmp_path / f"{len(list(tmp_path.iterdir()))}.gguf", pieces, **known)
        return ChatGPT4All(model=path, n_threads=1, temperature=0, **options)

    return make


def reason(message: Any) -> str:
    return str(message.response_metadata["finish_reason"])


def test_the_end_of_a_turn_that_is_not_the_end_of_the_file(chat: Any):
    """GPT4All heeds one token, and writes the others, such as Llama 3's, as text, and goes on."""
    model = chat([*in_pieces(TEXT), "<|eot_id|>"], end=None, max_tokens=40)
    message = model.invoke("Hello")
    assert message.text == TEXT
    assert reason(message) == "stop"
    assert message.usage_metadata["output_tokens"] == len(in_pieces(TEXT))
    assert "".join(piece.text for piece in model.stream("Hello")) == TEXT


def test_characters_come_whole_however_their_bytes_are_cut(chat: Any):
    text = "日本語のテキスト🎈と é"
    raw = text.encode()
    pieces = [raw[at : at + 2] for at in range(0, len(raw), 2)]
    model = chat(pieces)
    streamed = [piece.text for piece in model.stream("Hello") if piece.text]
    assert "".join(streamed) == model.invoke("Hello").text == text
    assert all("\ufffd" not in piece for piece in streamed)


def test_half_a_character_at_the_end_is_not_shown(chat: Any):
    raw = "日本語あ".encode()
    model = chat([raw[at : at + 2] for at in range(0, len(raw), 2)], max_tokens=2)
    assert model.invoke("Hello").text == "日"


@pytest.mark.parametrize("mark", ["### Instruction", "### Prompt", "### Response", "### Human", "### Assistant"])
def test_a_mark_of_gpt4all_itself_is_told_of(
    mark: str, chat: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    """It ends every answer there, and says nothing."""
    monkeypatch.setattr(common, "_warned", set())
    pieces = ["As asked, ", "here it is:\n", mark[:4], mark[4:7], mark[7:], " and more."]
    with caplog.at_level(logging.WARNING):
        message = chat([piece for piece in pieces if piece]).invoke("Hello")
    assert message.text == "As asked, here it is:\n"
    assert [record.message for record in caplog.records if mark in record.message]


def test_an_ordinary_end_is_not(chat: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(common, "_warned", set())
    with caplog.at_level(logging.WARNING):
        model = chat(["As asked, ", "### ", "headline"])
        for ask in ({}, {"max_tokens": 2}, {"stop": ["head"]}, {"temperature": 1.0, "seed": 1}):
            model.invoke("Hello", **ask)
        assert model.invoke("Hello").text == "As asked, ### headline"
    assert caplog.records == []


def test_what_is_left_of_a_mark_is_not_in_the_next_answer(chat: Any):
    model = chat(["As asked, ", "here: ", "### ", "Human", " and more."])
    first = model.invoke("Hello")
    assert model.invoke("Hello").text == model.invoke("Hello there").text == first.text == "As asked, here: "


def test_one_call_where_one_is_allowed(chat: Any):
    call = '<tool_call>\n{"name": "add", "arguments": {"a": %d}}\n</tool_call>'
    model = chat(in_pieces(f"{call % 1}\n{call % 22}\nThat is all."))

    @tool
    def add(a: int) -> int:
        """Add one to a number."""
        return a + 1

    both = model.bind_tools([add]).invoke("Hello")
    assert [made["args"] for made in both.tool_calls] == [{"a": 1}, {"a": 22}]
    for choice in ("auto", "any"):
        bound = model.bind_tools([add], tool_choice=choice, parallel_tool_calls=False)
        message = bound.invoke("Hello")
        assert [made["args"] for made in message.tool_calls] == [{"a": 1}]
        assert reason(message) == "tool_calls"
        assert message.usage_metadata["output_tokens"] < both.usage_metadata["output_tokens"]


def test_a_model_that_does_not_call_is_told_of(chat: Any):
    @tool
    def add(a: int) -> int:
        """Add one to a number."""
        return a + 1

    model = chat(in_pieces(TEXT)).bind_tools([add], tool_choice="any")
    with pytest.raises(StructuredOutputError, match="two tries") as caught:
        model.invoke("Hello")
    assert caught.value.llm_output == TEXT


def test_a_stop_string_across_pieces(chat: Any):
    model = chat(["one two", " th", "ree fo", "ur five"])
    assert model.invoke("Hello", stop=["three"]).text == "one two "
    assert "".join(piece.text for piece in model.stream("Hello", stop=["two three f"])) == "one "


@pytest.mark.parametrize("guarded", [True, False])
def test_tokens_that_are_nothing_are_not_written(guarded: bool, tmp_path: Path):
    """GPT4All ends the process over one."""
    path = write_chain(
        tmp_path / "x.gguf", in_pieces(TEXT), more_tokens=[(f"[PAD{number}]", UNUSED) for number in range(200)]
    )
    script = f"""
from langchain_localmodels import GPT4All
from langchain_localmodels.engines.gpt4all.binding.model import Model
if not {guarded}:
    Model._top_k = lambda self, choice: choice.top_k
llm = GPT4All(model={str(path)!r}, n_threads=1, temperature=100.0, top_k=0, top_p=1.0, max_tokens=200)
for seed in range(5):
    llm.invoke("Hello", seed=seed)
print("alive")
"""
    # No debugger is to be found, which ggml would start to look at what is left.
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False, env={"PATH": ""}
    )
    assert ("alive" in done.stdout) == guarded, done.stderr
    assert (done.returncode == 0) == guarded


def test_an_llm_reads_special_tokens_in_a_prompt_of_the_users_own(tmp_path: Path):
    """Who writes a whole prompt means the tokens by their names."""
    path = write_chain(tmp_path / "x.gguf", in_pieces(TEXT))
    llm = GPT4All(model=path, n_threads=1, temperature=0)
    usage = llm.generate(["<|im_start|>user\nhi<|im_end|>"]).llm_output["token_usage"]
    assert usage["prompt_tokens"] == 2 + len("user\nhi")
