"""Many inputs at once, on real llama.cpp and gpt4all, and over real sockets."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler

from langchain_localmodels import ChatGPT4All, ChatLlamaCpp, GPT4All, LlamaCpp
from langchain_localmodels.demo import model_path
from langchain_localmodels.engines.llamacpp.stats import EngineStats
from langchain_localmodels.errors import EngineError, InvalidRequestError, PromptTooLongError
from tests.doubles.ollama_server import Reply

PROMPTS = [f"{number}: The first man on the moon was" for number in range(20)]


class Tokens(BaseCallbackHandler):
    """Notes the text of each run, and the threads that it is told in."""

    def __init__(self) -> None:
        self.texts: dict[Any, str] = {}
        self.ends: list[str] = []
        self.threads: set[int] = set()
        self.most_threads = 0

    def on_llm_new_token(self, token: str, *, run_id: Any, **kwargs: Any) -> None:
        self.texts[run_id] = self.texts.get(run_id, "") + token
        self.threads.add(threading.get_ident())
        self.most_threads = max(self.most_threads, threading.active_count())

    def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        self.ends.append("end")

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self.ends.append(type(error).__name__)


def text(answer: Any) -> str:
    return answer if isinstance(answer, str) else str(answer.content)


# --- in this process --------------------------------------------------------------------------------------------------


@pytest.fixture(params=[LlamaCpp, ChatLlamaCpp])
def llama(request: pytest.FixtureRequest) -> Any:
    with request.param(
        model_path=model_path, temperature=0, max_tokens=24, n_threads=1, n_parallel=4, n_ctx=512
    ) as model:
        model.load()
        yield model


@pytest.fixture(params=[LlamaCpp, ChatLlamaCpp, GPT4All, ChatGPT4All])
def in_process(request: pytest.FixtureRequest) -> Any:
    """A model of each engine of this process, on one thread."""
    name = "model" if request.param in (GPT4All, ChatGPT4All) else "model_path"
    with request.param(**{name: model_path}, temperature=0, max_tokens=24, n_threads=1, n_ctx=512) as model:
        model.load()
        yield model


def stats(model: Any) -> EngineStats:
    found: EngineStats = model.engine.stats()
    return found


def wait_until_idle(model: Any) -> None:
    end = time.monotonic() + 30
    while stats(model).running or stats(model).queued:
        assert time.monotonic() < end, f"still at work: {stats(model)}"
        time.sleep(0.005)


def never_ending(model: Any) -> dict[str, Any]:
    """Options under which an answer fills the context window."""
    vocabulary = model.engine._borrowed().model()
    ends = [token for token in range(vocabulary.vocab_size) if vocabulary.ends_generation(token)]
    return {"max_tokens": None, "logit_bias": dict.fromkeys(ends, -1000.0)}


def test_a_batch_answers_as_single_calls_do_and_takes_no_threads(in_process: Any) -> None:
    alone = [text(in_process.invoke(prompt)) for prompt in PROMPTS]
    heard, before = Tokens(), threading.active_count()
    assert [text(answer) for answer in in_process.batch(PROMPTS, {"callbacks": [heard]})] == alone
    assert sorted(heard.texts.values()) == sorted(alone)
    assert heard.threads == {threading.get_ident()}
    assert heard.most_threads == before
    as_completed = dict(in_process.batch_as_completed(PROMPTS))
    assert [text(as_completed[number]) for number in range(len(PROMPTS))] == alone
    assert [text(answer) for answer in asyncio.run(in_process.abatch(PROMPTS, {"max_concurrency": 2}))] == alone


def test_an_error_is_the_engines_own_and_frees_the_others(llama: Any) -> None:
    too_long = "word " * 2000
    heard = Tokens()
    with pytest.raises(PromptTooLongError):
        llama.batch([*PROMPTS, too_long], {"callbacks": [heard]}, **never_ending(llama))
    wait_until_idle(llama)
    assert sorted(heard.ends) == ["CancelledError"] * len(PROMPTS) + ["PromptTooLongError"]
    answers = llama.batch([PROMPTS[0], too_long, ""], return_exceptions=True)
    assert text(answers[0]) == text(llama.invoke(PROMPTS[0]))
    assert [type(answer) for answer in answers[1:]] == [PromptTooLongError, InvalidRequestError]


def test_breaking_out_of_a_batch_frees_the_slots(llama: Any) -> None:
    answers = llama.batch_as_completed(PROMPTS)
    next(answers)
    answers.close()
    wait_until_idle(llama)


def test_ctrl_c_frees_the_slots(llama: Any) -> None:
    running = threading.Event()

    class Watch(BaseCallbackHandler):
        def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
            running.set()

    def interrupt() -> None:
        running.wait()
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    # Python's own answer to SIGINT, which a process started in the background does not have.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            llama.batch(PROMPTS, {"callbacks": [Watch()]}, **never_ending(llama))
    finally:
        running.set()
        thread.join()
        signal.signal(signal.SIGINT, before)
    wait_until_idle(llama)


async def test_a_batch_in_a_notebooks_cell(llama: Any) -> None:
    before, heard = threading.active_count(), Tokens()
    answers = llama.batch(PROMPTS[:5], {"callbacks": [heard]})
    assert [text(answer) for answer in answers] == [text(answer) for answer in await llama.abatch(PROMPTS[:5])]
    assert len(heard.threads) == 1
    assert heard.most_threads == before + 1


# --- Ollama -----------------------------------------------------------------------------------------------------------


def test_a_batch_over_http_is_sent_at_once_and_read_in_one_thread(server: Any, model: Any) -> None:
    server.reply = Reply(first_delay=1.0)
    heard = Tokens()
    answers = model.batch(PROMPTS, {"callbacks": [heard]})
    assert [text(answer) for answer in answers] == [f"You said: {prompt}" for prompt in PROMPTS]
    assert server.most_at_once == len(PROMPTS)
    assert heard.threads == {threading.get_ident()}
    server.reply, server.most_at_once = Reply(delay=0.01), 0
    assert len(model.batch(PROMPTS, {"max_concurrency": 3})) == len(PROMPTS)
    assert server.most_at_once <= 3


def test_an_error_over_http_hangs_up_on_the_others(server: Any, model: Any) -> None:
    server.reply = Reply(delay=0.05, error_after=2, error="out of memory")
    with pytest.raises(EngineError, match="out of memory"):
        model.batch(PROMPTS)
    server.wait_until("open_connections", 0)
    server.reply = Reply(delay=0.01)
    answers = model.batch_as_completed(PROMPTS)
    next(answers)
    answers.close()
    server.wait_until("open_connections", 0)


async def test_a_batch_over_http_in_a_notebooks_cell(server: Any, model: Any) -> None:
    before = threading.active_count()
    assert [text(answer) for answer in model.batch(["a", "b"])] == ["You said: a", "You said: b"]
    assert [text(answer) for answer in await model.abatch(["a", "b"])] == ["You said: a", "You said: b"]
    server.wait_until("open_connections", 0)
    assert threading.active_count() <= before + 2  # the double has a thread for each connection


def test_a_reader_that_takes_its_time_is_no_timeout(server: Any, model: Any) -> None:
    server.reply = Reply(delay=0.02)
    patient = model.model_copy(update={"timeout": 1.0})
    answers = []
    for index, answer in patient.batch_as_completed(["a b c", "a b c d e f", "a b"]):
        answers.append((index, text(answer)))
        if len(answers) == 1:
            time.sleep(1.5)
    assert [answer for _, answer in sorted(answers)] == ["You said: a b c", "You said: a b c d e f", "You said: a b"]
