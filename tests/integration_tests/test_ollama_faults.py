"""Ollama's engine over a real socket when something goes wrong, is closed early, or runs many times."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import threading
import time
from contextlib import contextmanager

import pytest

from langchain_localmodels import ChatOllama, OllamaLLM
from langchain_localmodels.engines.base import ChatRequest, CompletionRequest, Text, TextDelta, Turn
from langchain_localmodels.engines.ollama.engine import OllamaEngine
from langchain_localmodels.errors import (
    AuthenticationError,
    EngineClosedError,
    EngineError,
    EngineTimeoutError,
    EngineUnreachableError,
    InvalidRequestError,
    ModelMissingError,
    PermissionDeniedError,
    PromptTooLongError,
    RateLimitError,
    UnsupportedContentError,
    UnsupportedFeatureError,
)
from langchain_localmodels.transport.http import DEFAULT_TIMEOUT, HTTPTransport
from langchain_localmodels.transport.retries import DEFAULT_MAX_RETRIES
from tests.doubles.asking import failures, free_port, text_of
from tests.doubles.ollama_server import Reply

MODEL = "llama3.1:8b"


# --- faults ---------------------------------------------------------------------------------------------------------

NESTED = json.dumps(
    {
        "error": {
            "code": 400, "message": "request (5000 tokens) exceeds the available context size (4096 tokens)",
            "type": "exceed_context_size_error", "n_prompt_tokens": 5000, "n_ctx": 4096,
        }
    }
)  # fmt: skip
MAP = "llama-server chat error: map[code:500 message:Compute error. type:server_error]"


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (Reply(status=500, error="llama-server process has terminated"), EngineError, "500: llama-server process"),
        (Reply(status=503, error="server busy"), EngineError, "server busy"),
        (Reply(status=400, error='"x" does not support thinking'), UnsupportedFeatureError, "ollama show"),
        (Reply(status=500, error="image input is not supported"), UnsupportedContentError, "image"),
        (Reply(status=500, error='option "num_ctx" must be of type int'), InvalidRequestError, "num_ctx"),
        (Reply(status=400, error=NESTED), PromptTooLongError, r"5000 tokens.*\nHint: Give a larger `num_ctx`"),
        (Reply(status=401, error="unauthorized"), AuthenticationError, "unauthorized\nHint: .*`api_key`"),
        (Reply(status=403), PermissionDeniedError, "127.0.0.1"),
        (Reply(status=429, error="weekly limit reached"), RateLimitError, "weekly limit"),
        (Reply(error_after=1, error="model runner has unexpectedly stopped"), EngineError, "unexpectedly stopped"),
        (Reply(error_after=1, error=MAP), EngineError, "answered: Compute error.$"),
        (Reply(cut_after=2), EngineUnreachableError, "broke off"),
        (Reply(cut_after=2, reset=True), EngineUnreachableError, "broke off"),
        (Reply(end_after=2), EngineUnreachableError, "broke off before the answer of 'llama3.1:8b' was whole"),
        (Reply(raw_after=(1, b"<html>\n")), EngineError, "not JSON: '<html>'"),
        (Reply(raw_after=(1, b'{"response": "\xff"}\n')), EngineError, "not JSON"),
        (Reply(raw_after=(1, b"x" * (17 << 20))), EngineError, "a line of more than 16777216 bytes"),
        (Reply(done_reason="load"), EngineError, "loaded"),
    ],
)
def test_each_fault_gives_a_clear_error(server, model, reply, kind, words):
    server.reply = reply
    errors = failures(type(model)(model=MODEL, max_retries=0))
    assert {type(error) for error in errors} == {kind}
    for error in errors:
        assert re.search(words, str(error), re.S)
        assert (getattr(error.response, "status_code", None) == reply.status) == (reply.status != 200)


def test_what_came_before_a_fault_was_given(server, model):
    server.reply = Reply(pieces=["a", "b", "c"], error_after=2, error="stopped")
    stream = model.stream("x")
    assert [text_of(next(stream)), text_of(next(stream))] == ["a", "b"]
    with pytest.raises(EngineError, match="stopped"):
        next(stream)


def test_a_model_that_is_not_there(server, model):
    missing = type(model)(model="nomodel")
    for error in failures(missing):
        assert type(error) is ModelMissingError
        assert "`ollama pull nomodel`" in str(error)
        assert error.response.status_code == 404
    with pytest.raises(ModelMissingError, match="ollama pull nomodel"):
        missing.load()
    assert model.load() is model


@pytest.mark.parametrize("cls", [OllamaLLM, ChatOllama])
def test_no_server(cls):
    port = free_port()
    for error in failures(cls(model=MODEL, base_url=f"127.0.0.1:{port}", max_retries=0)):
        assert type(error) is EngineUnreachableError
        assert f"Cannot connect to Ollama at http://127.0.0.1:{port}" in str(error)
        assert "ollama serve" in str(error)


def test_silence_ends_with_the_time_allowed(server, model):
    server.reply = Reply(first_delay=20)
    for error in failures(type(model)(model=MODEL, timeout=0.15)):
        assert type(error) is EngineTimeoutError
        assert "0.15 seconds" in str(error)
    server.wait_until("hang_ups", 4)


def test_a_slow_answer_is_no_silence(server, model):
    server.reply = Reply(pieces=["a"] * 6, delay=0.06)
    assert text_of(model.invoke("x", timeout=0.3)) == "aaaaaa"


def test_a_busy_server_is_asked_again_as_often_as_wanted(server, model):
    server.reply = Reply(status=503, error="server busy")

    def requests_of(ask):
        before = len(server.seen)
        with pytest.raises(EngineError, match="server busy"):
            ask()
        return len(server.seen) - before

    assert requests_of(lambda: model.invoke("x")) == 1 + DEFAULT_MAX_RETRIES
    assert requests_of(lambda: model.invoke("x", max_retries=0)) == 1
    made = type(model)(model=MODEL, max_retries=1)
    assert requests_of(lambda: made.invoke("x")) == 2
    made.max_retries = 0
    assert requests_of(lambda: asyncio.run(made.ainvoke("x"))) == 1
    with pytest.raises(InvalidRequestError, match="max_retries"):
        model.invoke("x", max_retries=-1)


@pytest.mark.parametrize(
    ("given", "per_call", "seconds"),
    [({}, {}, DEFAULT_TIMEOUT), ({"timeout": None}, {}, None), ({"timeout": 7}, {}, 7), ({}, {"timeout": None}, None)],
)
def test_the_time_allowed_reaches_the_request(server, monkeypatch, given, per_call, seconds):
    seen = []
    stream = HTTPTransport.stream

    def noting(self, *arguments, **more):
        seen.append(more["timeout"])
        return stream(self, *arguments, **more)

    monkeypatch.setattr(HTTPTransport, "stream", noting)
    with ChatOllama(model=MODEL, **given) as model:
        model.invoke("x", **per_call)
    assert seen == [seconds]


# --- closing --------------------------------------------------------------------------------------------------------


def test_leaving_a_stream_hangs_up(server, model):
    server.reply = Reply(pieces=["a"] * 1000, delay=0.02)
    stream = model.stream("x")
    next(stream)
    stream.close()
    server.wait_until("hang_ups", 1)

    async def leave():
        stream = model.astream("x")
        await stream.__anext__()
        await stream.aclose()

    asyncio.run(leave())
    server.wait_until("hang_ups", 2)


@pytest.mark.parametrize("reply", [Reply(first_delay=20), Reply(pieces=["a"] * 1000, delay=0.02)])
def test_a_cancelled_task_hangs_up(server, model, reply):
    server.reply = reply

    async def cancel():
        task = asyncio.create_task(model.ainvoke("x"))
        await asyncio.to_thread(server.wait_for_request)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    server.wait_until("hang_ups", 1)


@contextmanager
def when_a_request_has_come(server, act):
    """Do something in another thread as soon as the server works on a request."""

    def wait_and_act():
        server.wait_for_request()
        act()

    thread = threading.Thread(target=wait_and_act)
    thread.start()
    yield
    thread.join()


@pytest.mark.parametrize("reply", [Reply(first_delay=20), Reply(delay=20), Reply(pieces=["a"] * 1000, delay=0.02)])
def test_another_thread_can_close_a_stream(server, reply):
    server.reply = reply
    engine = OllamaEngine(MODEL, base_url=server.url)
    stream = engine.complete(CompletionRequest("x"))
    with when_a_request_has_come(server, stream.close):
        started = time.monotonic()
        assert all(delta == TextDelta("a") for delta in stream)
        assert time.monotonic() - started < 5
    stream.close()
    server.wait_until("hang_ups", 1)


@pytest.mark.parametrize("how", ["aclose", "close", "close in a thread"])
def test_another_task_can_close_a_stream(server, how):
    server.reply = Reply(first_delay=20)
    engine = OllamaEngine(MODEL, base_url=server.url)

    async def run():
        stream = engine.chat(ChatRequest((Turn("user", (Text("x"),)),)))

        async def read():
            return [delta async for delta in stream]

        reader = asyncio.create_task(read())
        await asyncio.to_thread(server.wait_for_request)
        if how == "aclose":
            await stream.aclose()
        elif how == "close":
            stream.close()
        else:
            await asyncio.to_thread(stream.close)
        assert await asyncio.wait_for(reader, 2) == []

    asyncio.run(run())
    server.wait_until("hang_ups", 1)


def test_closing_the_model_ends_its_requests(server, model):
    server.reply = Reply(first_delay=20)
    with (
        when_a_request_has_come(server, model.close),
        pytest.raises(EngineClosedError, match="closed while it answered"),
    ):
        model.invoke("x")
    server.wait_until("hang_ups", 1)
    server.reply = Reply()
    assert text_of(model.invoke("again")) == "You said: again"


def test_a_stream_that_is_not_read_asks_nothing(server):
    engine = OllamaEngine(MODEL, base_url=server.url)
    stream = engine.complete(CompletionRequest("x"))
    stream.close()
    assert list(stream) == []
    assert server.seen == []


# --- many at once, and after one another ----------------------------------------------------------------------------


def test_two_event_loops_one_after_the_other(server, model):
    for _ in range(3):
        assert text_of(asyncio.run(model.ainvoke("x"))) == "You said: x"


def test_many_at_once(server, model):
    server.reply = Reply(first_delay=0.3)
    started = time.monotonic()
    assert len(model.batch(["x"] * 6)) == 6
    assert len(asyncio.run(model.abatch(["x"] * 6))) == 6
    assert time.monotonic() - started < 1.5
    assert server.most_at_once >= 6


def test_nothing_leaks(server, model):
    async def some():
        await asyncio.gather(*(model.ainvoke("x") for _ in range(4)))

    def round_():
        list(model.stream("x"))
        next(iter(model.stream("x")))  # Left behind: only the garbage collection closes it.
        asyncio.run(some())
        gc.collect()

    round_()
    server.wait_until("open_connections", 0)
    before = (len(os.listdir("/proc/self/fd")), threading.active_count())
    for _ in range(5):
        round_()
    server.wait_until("open_connections", 0)
    time.sleep(0.05)
    assert len(os.listdir("/proc/self/fd")) <= before[0]
    assert threading.active_count() <= before[1]
