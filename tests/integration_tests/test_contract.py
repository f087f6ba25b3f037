"""What every engine must do, alike: a new engine is done when its row passes."""

from __future__ import annotations

import asyncio
import copy
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler, CallbackManager
from langchain_core.exceptions import ModelError
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.runnables import ConfigurableField, RunnableParallel

from langchain_localmodels.engines import ENGINES
from langchain_localmodels.errors import LocalModelError
from tests.integration_tests.rows import ROWS, Row

PROMPT = "The first man on the moon was ..."
QUESTION = "Who was the first man on the moon?"
ASK = {"llm": PROMPT, "chat": QUESTION}


@pytest.fixture(scope="module", params=list(ENGINES))
def row(request: pytest.FixtureRequest) -> Iterator[Row]:
    with ROWS[request.param]() as made:
        yield made


def test_every_engine_has_a_row():
    assert ROWS.keys() == ENGINES.keys()


class Recorder(BaseCallbackHandler):
    """Writes down what callbacks are told, in order."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.tokens: list[str] = []
        self.chunks: list[Any] = []

    def on_llm_start(self, *args: Any, **kwargs: Any) -> None:
        self.events.append("start")

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        self.events.append("start")

    def on_llm_new_token(self, token: str, *, chunk: Any = None, **kwargs: Any) -> None:
        self.events.append("token")
        self.tokens.append(token)
        self.chunks.append(chunk)

    def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        self.events.append("end")

    def on_llm_error(self, *args: Any, **kwargs: Any) -> None:
        self.events.append("error")


class Failing(Recorder):
    """Raises at the second token."""

    raise_error = True

    def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
        super().on_llm_new_token(token, **kwargs)
        if len(self.tokens) == 2:
            raise ValueError("enough")


# --- one stream, four drivers ---------------------------------------------------------------------------------------


async def test_llm_drivers_agree(row: Row):
    llm = row.llm()
    text = llm.invoke(PROMPT)
    pieces = list(llm.stream(PROMPT))
    assert len(pieces) > 2
    assert "".join(pieces) == text
    assert await llm.ainvoke(PROMPT) == text
    assert "".join([piece async for piece in llm.astream(PROMPT)]) == text


async def test_chat_drivers_agree(row: Row):
    chat = row.chat()
    message = chat.invoke(QUESTION)
    assert isinstance(message, AIMessage)
    chunks = list(chat.stream(QUESTION))
    assert len(chunks) > 3
    joined = sum(chunks[1:], chunks[0])
    assert joined.text == message.text
    assert [chunk.chunk_position for chunk in chunks].count("last") == 1
    assert (await chat.ainvoke(QUESTION)).text == message.text
    joined_async = None
    async for chunk in chat.astream(QUESTION):
        joined_async = chunk if joined_async is None else joined_async + chunk
    assert joined_async.text == message.text
    events = chat.stream_events(QUESTION, version="v3")
    assert str(events.text) == message.text
    streamed = await chat.astream_events(QUESTION, version="v3")
    assert await streamed.text == message.text


def test_both_ways_give_the_same_metadata(row: Row):
    chat = row.chat()
    message = chat.invoke(QUESTION)
    chunks = list(chat.stream(QUESTION))
    joined = sum(chunks[1:], chunks[0])

    def steady(found: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in found.items() if key != "created_at" and not key.endswith("_duration")}

    assert steady(joined.response_metadata) == steady(message.response_metadata)
    assert joined.response_metadata.keys() == message.response_metadata.keys()


# --- metadata -------------------------------------------------------------------------------------------------------


def test_usage(row: Row):
    chat = row.chat()
    usage = chat.invoke(QUESTION).usage_metadata
    assert usage is not None
    assert usage["input_tokens"] > 0
    assert usage["output_tokens"] > 0
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    streamed = [chunk.usage_metadata for chunk in chat.stream(QUESTION) if chunk.usage_metadata]
    assert len(streamed) == 1
    assert streamed[0]["total_tokens"] == usage["total_tokens"]
    result = row.llm().generate([PROMPT])
    assert result.llm_output is not None
    assert result.llm_output["token_usage"]["total_tokens"] > 0


def test_metadata(row: Row, request: pytest.FixtureRequest):
    metadata = row.chat().invoke(QUESTION).response_metadata
    assert metadata["model_provider"] in ENGINES
    assert metadata["model_name"] == metadata["model"]
    assert metadata["finish_reason"] == metadata["done_reason"] == "stop"
    assert metadata["done"] is True
    assert metadata["created_at"]
    for key in ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration"):
        assert isinstance(metadata[key], int)
        assert metadata[key] >= 0
    assert metadata["prompt_eval_count"] > 0
    assert metadata["eval_count"] > 0


def test_finish_reasons(row: Row):
    assert row.chat().invoke(QUESTION).response_metadata["finish_reason"] == "stop"
    assert row.chat(max_tokens=2).invoke(QUESTION).response_metadata["finish_reason"] == "length"
    cut = row.llm().generate([PROMPT], max_tokens=2).generations[0][0]
    assert cut.generation_info is not None
    assert cut.generation_info["finish_reason"] == "length"


def test_langsmith_params(row: Row):
    chat = row.chat(max_tokens=9)
    params = chat._get_ls_params(stop=["x"])
    assert params["ls_provider"] in ENGINES
    assert params["ls_model_type"] == "chat"
    assert params["ls_temperature"] == 0
    assert params["ls_max_tokens"] == 9
    assert params["ls_stop"] == ["x"]
    assert row.llm()._get_ls_params()["ls_model_name"] == params["ls_model_name"]


# --- stop -----------------------------------------------------------------------------------------------------------


async def test_stop(row: Row):
    llm = row.llm()
    text = llm.invoke(PROMPT)
    mark = text[len(text) // 2 :][:3]
    want = text[: text.index(mark)]
    assert llm.invoke(PROMPT, stop=[mark]) == want
    assert "".join(llm.stream(PROMPT, stop=["never there", mark])) == want
    assert row.llm(stop=["never there"]).invoke(PROMPT, stop=[mark]) == want
    assert row.llm(stop=[mark]).invoke(PROMPT) == want
    assert await llm.bind(stop=[mark]).ainvoke(PROMPT) == want
    message = row.chat().invoke(QUESTION, stop=["the"])
    assert "the" not in message.text
    assert message.response_metadata["finish_reason"] == "stop"


# --- callbacks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["llm", "chat"])
@pytest.mark.parametrize("place", ["call", "callbacks", "callback_manager"])
def test_callbacks(row: Row, kind: str, place: str):
    recorder = Recorder()
    given: dict[str, Any] = {}
    if place == "callbacks":
        given["callbacks"] = [recorder]
    elif place == "callback_manager":
        given["callback_manager"] = CallbackManager([recorder])
    model = getattr(row, kind)(**given)
    config = {"callbacks": [recorder]} if place == "call" else None
    text = "".join(
        piece.text if isinstance(piece, AIMessageChunk) else piece for piece in model.stream(ASK[kind], config=config)
    )
    assert recorder.events[0] == "start"
    assert recorder.events[-1] == "end"
    assert set(recorder.events[1:-1]) == {"token"}
    assert "".join(recorder.tokens) == text
    assert all(chunk is not None for chunk in recorder.chunks)


@pytest.mark.parametrize("kind", ["llm", "chat"])
async def test_invoke_reports_tokens(row: Row, kind: str):
    recorder = Recorder()
    model = getattr(row, kind)()
    answer = model.invoke(ASK[kind], config={"callbacks": [recorder]})
    text = answer if isinstance(answer, str) else answer.text
    assert "".join(recorder.tokens) == text
    again = Recorder()
    await model.ainvoke(ASK[kind], config={"callbacks": [again]})
    assert "".join(again.tokens) == text


@pytest.mark.parametrize("kind", ["llm", "chat"])
async def test_an_exception_in_a_callback_ends_the_answer_only(row: Row, kind: str):
    model = getattr(row, kind)()
    want = model.invoke(ASK[kind])
    failing = Failing()
    with pytest.raises(ValueError, match="enough"):
        list(model.stream(ASK[kind], config={"callbacks": [failing]}))
    assert failing.events[-1] == "error"
    with pytest.raises(ValueError, match="enough"):
        [piece async for piece in model.astream(ASK[kind], config={"callbacks": [Failing()]})]
    again = model.invoke(ASK[kind])
    assert getattr(again, "content", again) == getattr(want, "content", want)


# --- cancellation ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["llm", "chat"])
async def test_cancellation(row: Row, kind: str):
    model = getattr(row, kind)()
    for _ in model.stream(ASK[kind]):
        break
    async for _ in model.astream(ASK[kind]):
        break
    task = asyncio.ensure_future(model.ainvoke(ASK[kind]))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert model.invoke(ASK[kind])


# --- many at once ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["llm", "chat"])
async def test_batch(row: Row, kind: str):
    model = getattr(row, kind)()
    want = model.invoke(ASK[kind])
    want = getattr(want, "content", want)
    answers = model.batch([ASK[kind]] * 5)
    assert [getattr(answer, "content", answer) for answer in answers] == [want] * 5
    answers = await model.abatch([ASK[kind]] * 5)
    assert [getattr(answer, "content", answer) for answer in answers] == [want] * 5
    both = RunnableParallel(a=model, b=model).invoke(ASK[kind])
    assert getattr(both["a"], "content", both["a"]) == want


def test_two_event_loops(row: Row):
    llm = row.llm()
    assert asyncio.run(llm.ainvoke(PROMPT)) == asyncio.run(llm.ainvoke(PROMPT))


# --- errors ---------------------------------------------------------------------------------------------------------


async def test_a_missing_model(row: Row):
    with pytest.raises(ModelError) as caught:
        row.llm(**row.missing).invoke(PROMPT)
    assert isinstance(caught.value, LocalModelError)
    assert caught.value.hint
    with pytest.raises(ModelError):
        await row.chat(**row.missing).ainvoke(QUESTION)


def test_empty_input(row: Row):
    with pytest.raises(LocalModelError):
        row.llm().invoke("")
    with pytest.raises(LocalModelError):
        row.chat().invoke([])


# --- identity -------------------------------------------------------------------------------------------------------


def test_a_shared_cache_keeps_answers_apart(row: Row):
    cache = InMemoryCache()
    short, long = row.chat(max_tokens=2, cache=cache), row.chat(cache=cache)
    assert short.invoke(QUESTION).text != long.invoke(QUESTION).text
    recorder = Recorder()
    long.invoke(QUESTION, config={"callbacks": [recorder]})
    assert "token" not in recorder.events  # this one came from the cache
    assert row.llm(temperature=0.5)._identifying_params != row.llm()._identifying_params
    assert row.llm()._identifying_params == row.llm()._identifying_params


@pytest.mark.parametrize("kind", ["llm", "chat"])
def test_rebuilding(row: Row, kind: str):
    model = getattr(row, kind)()
    want = model.invoke(ASK[kind])
    want = getattr(want, "content", want)
    for again in (pickle.loads(pickle.dumps(model)), copy.copy(model), copy.deepcopy(model), model.model_copy()):
        assert again == model
        answer = again.invoke(ASK[kind])
        assert getattr(answer, "content", answer) == want
        again.close()
    configurable = model.configurable_fields(max_tokens=ConfigurableField(id="most"))
    cut = configurable.invoke(ASK[kind], config={"configurable": {"most": 2}})
    assert len(getattr(cut, "content", cut)) < len(want)


def test_closing_and_using_again(row: Row):
    with row.llm() as llm:
        want = llm.invoke(PROMPT)
    llm.close()
    assert llm.invoke(PROMPT) == want
    llm.close()
