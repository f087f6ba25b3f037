"""`isolate=True`: llama.cpp and GPT4All in a child process: the same as without, and the life of the process."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest

from langchain_localmodels import ChatLlamaCpp, LlamaCpp
from langchain_localmodels.demo import model_path
from langchain_localmodels.engines.isolation import process
from langchain_localmodels.errors import (
    EngineClosedError,
    EngineError,
    EngineTimeoutError,
    InvalidRequestError,
    PromptTooLongError,
    UnsupportedFeatureError,
)
from tests.isolated import CLASSES, PROMPT, WINDOW, Engine, fork, is_there, posix_only, wait_until, write_endless


@pytest.fixture(scope="module")
def endless_file(tmp_path_factory):
    return write_endless(tmp_path_factory.mktemp("endless"))


@pytest.fixture(params=CLASSES)
def engine(request, endless_file):
    return Engine(request.param, endless_file)


@pytest.fixture
def model(engine):
    with engine.llm() as made:
        yield made


@pytest.fixture
def endless(engine):
    with engine.endless() as made:
        yield made


# --- the same as without ----------------------------------------------------------------------------------------------


async def test_all_drivers_give_what_they_give_without(engine, model):
    with engine.llm(isolate=False) as plain:
        expected = plain.invoke(PROMPT)
    assert model.invoke(PROMPT) == expected
    assert "".join(model.stream(PROMPT)) == expected
    assert await model.ainvoke(PROMPT) == expected
    assert "".join([piece async for piece in model.astream(PROMPT)]) == expected
    assert model.batch([PROMPT] * 4) == [expected] * 4
    assert await model.abatch([PROMPT] * 4) == [expected] * 4
    assert model.engine.pid != os.getpid()


def test_conversations_tools_counts_and_profiles(engine):
    with engine.chat() as isolated, engine.chat(isolate=False) as plain:
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
        assert isolated.profile == plain.profile


def test_figures():
    with ChatLlamaCpp(model_path=model_path, n_threads=1, isolate=True) as isolated:
        assert isolated.invoke("Hello.", max_tokens=4).content
        assert isolated.engine_stats().generated_tokens > 0


def test_vectors(engine):
    with engine.embeddings() as isolated, engine.embeddings(isolate=False) as plain:
        assert isolated.embed_documents(["a", "b"]) == plain.embed_documents(["a", "b"])
        assert isolated.embed_query("a") == plain.embed_query("a")
        assert isolated.engine.pid != os.getpid()
        with pytest.raises(InvalidRequestError, match="surrogate|character"):
            isolated.embed_documents(["a", "half \ud800"])


def test_errors_come_as_they_are(engine, model, endless):
    with pytest.raises(PromptTooLongError) as caught:
        model.invoke("word " * 9000)
    assert caught.value.prompt_tokens > caught.value.context_window > 0
    with pytest.raises(InvalidRequestError, match="surrogate|character"):
        model.invoke("half \ud800 a character")
    refused = {
        "llamacpp": (InvalidRequestError, "grammar", {"grammar": "root ::= ("}),
        "gpt4all": (UnsupportedFeatureError, "mirostat", {"mirostat": 2}),
    }
    error, told, asked = refused[engine.name]
    with pytest.raises(error, match=told):
        model.invoke(PROMPT, **asked)
    with pytest.raises(EngineTimeoutError):
        endless.invoke(PROMPT, timeout=1e-6)
    assert model.invoke(PROMPT, max_tokens=4)


def test_what_the_engine_logs_is_logged_here(engine, caplog):
    schema = {"type": "json_schema", "json_schema": {"schema": {"type": "string", "not": {"const": "x"}}}}
    asked, told = {
        "llamacpp": ({"response_format": schema}, "not"),
        "gpt4all": ({"frequency_penalty": 0.5}, "frequency_penalty"),
    }[engine.name]
    with engine.chat() as model, caplog.at_level(logging.WARNING):
        model.invoke("Say something.", **asked, max_tokens=10)
        wait_until(lambda: caplog.records, "nothing was logged")
    assert told in caplog.text
    assert any(record.process != os.getpid() for record in caplog.records)


# --- the process ------------------------------------------------------------------------------------------------------


def test_objects_of_equal_settings_share_a_process_and_the_last_one_ends_it(engine):
    first, second, other = engine.llm(), engine.chat(), engine.llm(n_ctx=512)
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


def test_one_that_is_forgotten_ends_its_process(engine):
    model = engine.llm()
    pid = model.engine.pid
    assert model.invoke(PROMPT)
    del model
    gc.collect()
    wait_until(lambda: not is_there(pid), "the process goes on")


def test_a_closed_one_opens_again(endless):
    pid = endless.engine.pid
    stream = endless.stream(PROMPT)
    next(stream)
    endless.close()
    with pytest.raises(EngineClosedError):
        list(stream)
    assert not is_there(pid)
    assert endless.invoke(PROMPT, max_tokens=4)


def test_calls_that_are_running_when_it_is_closed_hear_that_it_was_closed(model):
    """Nothing has crashed."""
    heard = []
    closed = threading.Event()

    def count() -> None:
        while not closed.is_set():
            with suppress(EngineClosedError):
                try:
                    model.engine.tokenize("hello " * 200)
                except EngineError as error:
                    heard.append(type(error))
                    raise

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 60
    while not heard and time.monotonic() < end:
        model.close()
    closed.set()
    for thread in threads:
        thread.join()
    assert set(heard) == {EngineClosedError}


async def test_leaving_a_stream_stops_the_engine(endless):
    """What goes on would take minutes, and GPT4All answers one after the other."""
    for piece in endless.stream(PROMPT):
        assert piece
        break
    assert endless.invoke(PROMPT, max_tokens=4, timeout=60)
    task = asyncio.create_task(endless.ainvoke(PROMPT))
    stream = endless.astream(PROMPT)
    if isinstance(endless, LlamaCpp):
        await anext(stream)
    else:
        await asyncio.sleep(0.2)  # it waits for the first
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await stream.aclose()
    assert await endless.ainvoke(PROMPT, max_tokens=4, timeout=60)


def test_a_program_that_cannot_be_started(engine, monkeypatch):
    monkeypatch.setattr(process.sys, "executable", "/nowhere/python")
    with engine.llm() as model, pytest.raises(EngineError, match="cannot be started") as caught:
        model.invoke(PROMPT)
    assert "isolate" in caught.value.hint


@posix_only
def test_an_interrupt_from_the_terminal_does_not_end_it(model):
    assert model.invoke(PROMPT)
    pid = model.engine.pid
    os.kill(pid, signal.SIGINT)
    assert model.invoke(PROMPT)
    assert model.engine.pid == pid


PARENT = """
import sys, time
import langchain_localmodels
kind, field, path, how = sys.argv[1:]
model = getattr(langchain_localmodels, kind)(**{field: path}, temperature=0, n_threads=1, n_ctx=%d, isolate=True)
stream = model.stream("x")
next(stream)
print(model.engine.pid, flush=True)
if how == "wait":
    time.sleep(60)
"""


@posix_only
@pytest.mark.parametrize("how", ["wait", "leave"])
@pytest.mark.parametrize("name", CLASSES)
def test_it_ends_with_its_parent(name, how, endless_file):
    kind, *_, field = CLASSES[name]
    command = [sys.executable, "-c", PARENT % WINDOW, kind.__name__, field, str(endless_file), how]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    pid = int(parent.stdout.readline())
    if how == "wait":
        assert is_there(pid)
        parent.kill()
    parent.communicate(timeout=30)
    assert how == "wait" or parent.returncode == 0
    wait_until(lambda: not is_there(pid), "it outlives its parent")


@posix_only
def test_a_fork_starts_a_process_of_its_own(model):
    want = model.invoke(PROMPT)
    pid = model.engine.pid
    pipes = model.engine._child()._process.stdin, model.engine._child()._process.stdout

    def works() -> bool:
        let_go = all(pipe.closed for pipe in pipes)  # or the process would not hear of its parent's end
        works = model.invoke(PROMPT) == want and model.engine.pid != pid
        model.close()
        return let_go and works

    assert fork(works)
    assert model.invoke(PROMPT) == want
    assert model.engine.pid == pid


@posix_only
def test_a_fork_while_another_thread_starts_a_process(model, monkeypatch):
    """Its locks are held by a thread that the forked process does not have."""
    starting, go_on = threading.Event(), threading.Event()
    start = process.ChildProcess._start

    def slowly(self):
        starting.set()
        assert go_on.wait(60)
        return start(self)

    monkeypatch.setattr(process.ChildProcess, "_start", slowly)
    thread = threading.Thread(target=model.invoke, args=(PROMPT,))
    thread.start()
    assert starting.wait(60)

    def works() -> bool:
        process.ChildProcess._start = start
        return bool(model.invoke(PROMPT)) and not model.close()

    try:
        assert fork(works)
    finally:
        go_on.set()
        thread.join()
