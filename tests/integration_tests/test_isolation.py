"""`isolate=True`: llama.cpp in a child process, which may die without taking this one with it."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import subprocess
import sys
import time
import warnings
from contextlib import suppress

import pytest

from langchain_localmodels import ChatLlamaCpp, LlamaCpp, LlamaCppEmbeddings
from langchain_localmodels.demo import embedding_model_path, model_path
from langchain_localmodels.errors import (
    EngineClosedError,
    EngineCrashedError,
    EngineTimeoutError,
    InvalidRequestError,
    PromptTooLongError,
)
from tests.gguf_edit import write_changed

PROMPT = "The first man on the moon was"
ENDLESS = {"grammar": "root ::= [a-z] root", "max_tokens": 1900}

posix_only = pytest.mark.skipif(os.name == "nt", reason="it sends signals")


def llm(**fields):
    return LlamaCpp(**{"model_path": model_path, "temperature": 0, "n_threads": 1, "isolate": True, **fields})


def chat(**fields):
    return ChatLlamaCpp(**{"model_path": model_path, "temperature": 0, "n_threads": 1, "isolate": True, **fields})


@pytest.fixture
def model():
    with llm() as made:
        yield made


def is_there(pid):
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(came, complaint):
    end = time.monotonic() + 20
    while not came():
        assert time.monotonic() < end, complaint
        time.sleep(0.01)


# --- the same as without ----------------------------------------------------------------------------------------------


async def test_all_drivers_give_what_they_give_without(model):
    with llm(isolate=False) as plain:
        expected = plain.invoke(PROMPT)
    assert model.invoke(PROMPT) == expected
    assert "".join(model.stream(PROMPT)) == expected
    assert await model.ainvoke(PROMPT) == expected
    assert "".join([piece async for piece in model.astream(PROMPT)]) == expected
    assert model.batch([PROMPT] * 4) == [expected] * 4
    assert model.engine.pid != os.getpid()


def test_conversations_tools_counts_and_figures():
    with chat() as isolated, chat(isolate=False) as plain:
        question = "Who was the first man on the moon?"
        ours, theirs = isolated.invoke(question), plain.invoke(question)
        assert (ours.content, ours.usage_metadata["output_tokens"]) == (
            theirs.content,
            theirs.usage_metadata["output_tokens"],
        )

        def add(a: int, b: int) -> int:
            """Add two numbers."""
            return a + b

        message = isolated.bind_tools([add], tool_choice="add").invoke("What is 2 plus 3?")
        assert message.tool_calls[0]["name"] == "add"
        assert isolated.get_num_tokens("hello") == plain.get_num_tokens("hello")
        assert isolated.get_num_tokens_from_messages([("human", "hi")]) == plain.get_num_tokens_from_messages(
            [("human", "hi")]
        )
        assert isolated.engine_stats().generated_tokens > 0
        assert isolated.profile == plain.profile


def test_vectors():
    fields = {"model_path": embedding_model_path, "n_threads": 1}
    with LlamaCppEmbeddings(**fields, isolate=True) as isolated, LlamaCppEmbeddings(**fields) as plain:
        assert isolated.embed_documents(["a", "b"]) == plain.embed_documents(["a", "b"])
        assert isolated.engine.pid != os.getpid()


def test_errors_come_as_they_are(model):
    with pytest.raises(PromptTooLongError) as caught:
        model.invoke("word " * 9000)
    assert caught.value.prompt_tokens > caught.value.context_window > 0
    with pytest.raises(InvalidRequestError, match="grammar"):
        model.invoke(PROMPT, grammar="root ::= (")
    with pytest.raises(EngineTimeoutError):
        model.invoke(PROMPT, **ENDLESS, timeout=1e-6)
    assert model.invoke(PROMPT, max_tokens=4)


def test_what_the_engine_logs_is_logged_here(caplog):
    schema = {"type": "string", "not": {"const": "x"}}
    with chat() as model, caplog.at_level(logging.WARNING):
        form = {"type": "json_schema", "json_schema": {"schema": schema}}
        model.invoke("Say something.", response_format=form, max_tokens=10)
        wait_until(lambda: caplog.records, "nothing was logged")
    assert "not" in caplog.text
    assert any(record.process != os.getpid() for record in caplog.records)


# --- the process ------------------------------------------------------------------------------------------------------


def test_objects_of_equal_settings_share_a_process_and_the_last_one_ends_it():
    first, second, other = llm(), chat(), llm(n_ctx=512)
    pid = first.engine.pid
    assert second.engine.pid == pid
    assert other.engine.pid != pid
    first.close()
    assert is_there(pid)
    assert second.invoke("Hello.").content
    second.close()
    assert not is_there(pid)
    assert is_there(other.engine.pid)
    other.close()


def test_one_that_is_forgotten_ends_its_process():
    model = llm()
    pid = model.engine.pid
    assert model.invoke(PROMPT)
    del model
    gc.collect()
    wait_until(lambda: not is_there(pid), "the process goes on")


def test_a_closed_one_opens_again(model):
    pid = model.engine.pid
    stream = model.stream(PROMPT, **ENDLESS)
    next(stream)
    model.close()
    with pytest.raises(EngineClosedError):
        list(stream)
    assert not is_there(pid)
    assert model.invoke(PROMPT)


async def test_leaving_a_stream_stops_the_engine(model):
    with chat() as same:
        for piece in model.stream(PROMPT, **ENDLESS):
            assert piece
            break
        wait_until(lambda: same.engine_stats().running == 0, "it writes on")
        assert same.engine_stats().generated_tokens < 1900
        task = asyncio.create_task(model.ainvoke(PROMPT, **ENDLESS))
        await anext(model.astream(PROMPT))
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        wait_until(lambda: same.engine_stats().running == 0, "it writes on")


# --- crashes ----------------------------------------------------------------------------------------------------------


@posix_only
def test_a_process_that_is_killed_mid_stream(model):
    stream = model.stream(PROMPT, **ENDLESS)
    next(stream)
    dead = model.engine.pid
    os.kill(dead, signal.SIGKILL)
    with pytest.raises(EngineCrashedError, match="SIGKILL") as caught:
        list(stream)
    assert caught.value.exit_code == -signal.SIGKILL
    assert model.invoke(PROMPT).strip().startswith("Neil")
    assert model.engine.pid != dead


@posix_only
async def test_all_requests_of_a_process_hear_of_its_end(model):
    tasks = [asyncio.create_task(model.ainvoke(PROMPT, **{**ENDLESS, "max_tokens": 600})) for _ in range(3)]
    await anext(model.astream(PROMPT))  # the others were begun before
    os.kill(model.engine.pid, signal.SIGKILL)
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(end) for end in ended] == [EngineCrashedError] * 3
    assert await model.ainvoke(PROMPT, max_tokens=4)


@posix_only
def test_a_file_that_aborts_the_engine(tmp_path):
    # ggml asserts that an epsilon is not negative, when it is first used.
    file = tmp_path / "hostile.gguf"
    write_changed(file, {"llama.attention.layer_norm_rms_epsilon": -1.0})
    with llm(model_path=file) as model:
        for _ in range(2):
            with pytest.raises(EngineCrashedError, match="SIGABRT[^$]*GGML_ASSERT"):
                model.invoke(PROMPT)


@posix_only
def test_an_interrupt_from_the_terminal_does_not_end_it(model):
    assert model.invoke(PROMPT)
    pid = model.engine.pid
    os.kill(pid, signal.SIGINT)
    assert model.invoke(PROMPT)
    assert model.engine.pid == pid


PARENT = """
import sys, time
from langchain_localmodels import LlamaCpp
model = LlamaCpp(model_path=sys.argv[1], n_threads=1, isolate=True)
stream = model.stream("x", grammar="root ::= [a-z] root", max_tokens=1900)
next(stream)
print(model.engine.pid, flush=True)
if sys.argv[2] == "wait":
    time.sleep(60)
"""


@posix_only
@pytest.mark.parametrize("how", ["wait", "leave"])
def test_it_ends_with_its_parent(how):
    parent = subprocess.Popen([sys.executable, "-c", PARENT, model_path, how], stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    if how == "wait":
        assert is_there(pid)
        parent.kill()
    parent.communicate(timeout=30)
    assert how == "wait" or parent.returncode == 0
    wait_until(lambda: not is_there(pid), "it outlives its parent")


@posix_only
def test_a_fork_starts_a_process_of_its_own(model):
    assert model.invoke(PROMPT)
    pid = model.engine.pid
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads and fork do not mix well, which is the point
        forked = os.fork()
    if forked == 0:
        with suppress(BaseException):
            ok = model.invoke(PROMPT).strip().startswith("Neil") and model.engine.pid != pid
            model.close()
            os._exit(0 if ok else 1)
        os._exit(2)
    _, status = os.waitpid(forked, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert model.invoke(PROMPT)
    assert model.engine.pid == pid
