"""GPT4All, the real one, on the demo model: how it is stopped, shared, and asked by many at once."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import HumanMessage

from langchain_localmodels import GPT4All
from langchain_localmodels.engines import sharing
from langchain_localmodels.engines.gpt4all.thread import GPT4AllThread
from langchain_localmodels.errors import EngineClosedError, EngineTimeoutError, ModelFileError
from tests.chain_model import in_pieces, write_chain
from tests.gpt4all_models import PROMPT, WILD, Watch, let_go, make_chat, make_llm


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(monkeypatch)


@pytest.fixture(autouse=True)
def _nothing_left_over() -> Iterator[None]:
    yield
    let_go()


# --- stopping ---------------------------------------------------------------------------------------------------------


def test_closing_a_stream_stops_the_work(watch: Watch):
    llm = make_llm(**WILD)
    stream = llm.stream("Hello")
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    _nothing_more(watch)


def test_closing_a_stream_that_was_asked_for_json_stops_the_work(watch: Watch):
    chat = make_chat(**WILD, format="json")
    stream = chat.stream("Hello")
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    _nothing_more(watch)


async def test_cancelling_a_task_stops_the_work(watch: Watch):
    llm = make_llm(**WILD)
    task = asyncio.create_task(llm.ainvoke("Hello"))
    await asyncio.to_thread(watch.begun.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(_nothing_more, watch)


def test_an_exception_in_a_callback_stops_the_work(watch: Watch):
    class Failing(BaseCallbackHandler):
        raise_error = True

        def on_llm_new_token(self, *_: Any, **__: Any) -> None:
            raise ValueError("enough")

    llm = make_llm(**WILD)
    with pytest.raises(ValueError, match="enough"):
        llm.invoke("Hello", config={"callbacks": [Failing()]})
    _nothing_more(watch)


def _nothing_more(watch: Watch) -> None:
    """A token that was being computed may still come, and one that finds out that it is the last."""
    written = watch.tokens
    assert isinstance(make_llm().invoke("Hello", max_tokens=1), str), "which waits until the worker is free"
    assert watch.tokens - written <= 2 + 1
    assert watch.running == 0


def test_a_request_that_is_closed_while_it_waits_is_never_begun(watch: Watch):
    llm = make_llm(**WILD)
    first = llm.stream("Hello")
    next(first)

    async def give_up() -> None:
        waiting = asyncio.create_task(llm.ainvoke("Hello"))
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.wait([waiting])

    asyncio.run(give_up())
    begun = len(watch.keeps)
    first.close()  # type: ignore[attr-defined]
    llm.invoke("Hello", max_tokens=1)
    assert len(watch.keeps) == begun + 1


def test_timeout(watch: Watch):
    busy = make_llm(**WILD, max_tokens=1900)
    stream = busy.stream("Hello")
    next(stream)
    with pytest.raises(EngineTimeoutError):
        make_llm(timeout=0.01).invoke("Hello")
    stream.close()  # type: ignore[attr-defined]
    assert make_llm().invoke(PROMPT)


# --- sharing ----------------------------------------------------------------------------------------------------------


def thread_of(model: Any) -> GPT4AllThread:
    return model.engine._hold.thread()


def test_objects_on_one_file_share_a_model():
    with make_llm(n_ctx=777) as one, make_chat(n_ctx=777) as other, make_llm(n_ctx=128) as smaller:
        assert thread_of(one) is thread_of(other)
        assert thread_of(one) is not thread_of(smaller)
        assert sharing.users_of(GPT4AllThread, thread_of(one).key) == 2
        other.close()
        assert one.invoke(PROMPT)
    assert sharing.users_of(GPT4AllThread, one.engine._hold.key) == 0


def test_many_at_once_are_written_one_after_the_other_in_their_order(watch: Watch):
    llm = make_llm(max_tokens=4)
    want = llm.invoke(PROMPT)
    assert llm.batch([PROMPT] * 8) == [want] * 8

    async def many() -> list[str]:
        return await asyncio.gather(*(llm.ainvoke(PROMPT) for _ in range(8)))

    assert asyncio.run(many()) == [want] * 8
    assert watch.most_at_once == 1


async def test_the_event_loop_stays_free():
    llm = make_llm(max_tokens=400, **WILD)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    ticking = asyncio.create_task(tick())
    async with aclosing(llm.astream("Hello")) as stream:  # type: ignore[type-var]
        pieces = [piece async for piece in stream]
    ticking.cancel()
    assert ticks > len(pieces)


def test_what_is_in_the_cache_is_not_read_again(watch: Watch):
    chat = make_chat()
    system = ("system", "You are a helpful assistant. " * 8)
    first = chat.invoke([system, ("human", "Hello")])
    again = chat.invoke([system, ("human", "Who was the first man on the moon?")])
    assert again.usage_metadata is not None
    cached = again.usage_metadata["input_token_details"]["cache_read"]  # type: ignore[typeddict-item]
    assert cached == watch.keeps[-1] > 20
    with make_chat(n_ctx=1024) as fresh:
        assert fresh.invoke([system, ("human", "Who was the first man on the moon?")]).text == again.text
        assert fresh.invoke([system, ("human", "Hello")]).text == first.text


def test_a_conversation_goes_on_from_the_cache(watch: Watch):
    chat = make_chat(max_tokens=30)
    history: list[Any] = [HumanMessage("Who was the first man on the moon?")]
    for question in ("My name is Ada.", "What is my name?", "Thanks!"):
        answer = chat.invoke(history)
        with make_chat(max_tokens=30, n_ctx=1024) as fresh:
            assert fresh.invoke(history).text == answer.text
        history += [answer, HumanMessage(question)]
    assert watch.keeps[-2] > watch.keeps[2] > 0


def test_closing_ends_running_requests_with_an_error():
    llm = make_llm(**WILD)
    stream = llm.stream("Hello")
    next(stream)
    llm.close()
    with pytest.raises(EngineClosedError):
        list(stream)
    assert llm.invoke(PROMPT, temperature=0)


def test_counting_while_the_model_is_closed():
    llm = make_llm()
    want = llm.get_num_tokens("hello world")
    wrong: list[Any] = []

    def count() -> None:
        for _ in range(50):
            try:
                found = llm.get_num_tokens("hello world")
            except EngineClosedError:
                continue
            if found != want:
                wrong.append(found)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        llm.close()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_more_models_than_gpt4all_holds(tmp_path: Path):
    """Those that nobody uses any more make room; where all are in use, it is said."""
    path = write_chain(tmp_path / "x.gguf", in_pieces("Let me see this."))

    def make(number: int) -> GPT4All:
        return GPT4All(model=path, n_threads=1, temperature=0, n_ctx=64 + number)

    for number in range(30):
        assert make(number).invoke("Hello") == "Let me see this."
        gc.collect()
    held: list[GPT4All] = []

    def hold_many() -> None:
        for number in range(30):
            held.append(make(number).load())

    with pytest.raises(ModelFileError, match="not loaded") as caught:
        hold_many()
    assert "too many" in caught.value.hint
    assert len(held) > 10
    held.pop().close()
    assert make(200).invoke("Hello") == "Let me see this."
    for model in held:
        model.close()
