"""The text face: one stream of deltas, whichever way it is asked for."""

import asyncio
import threading
import time
from unittest.mock import ANY

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler, StreamingStdOutCallbackHandler

from langchain_localmodels.engines.base import ReasoningDelta, TextDelta
from langchain_localmodels.errors import EngineError, InvalidRequestError
from tests.unit_tests.scripted import LOGS, WITH_LOGPROBS, Log, ScriptedLLM, finish, words


@pytest.fixture(autouse=True)
def log():
    LOGS["default"] = Log()
    return LOGS["default"]


class Tokens(BaseCallbackHandler):
    raise_error = True

    def __init__(self, fail=False):
        self.heard = []
        self.fail = fail

    def on_llm_start(self, *args, **kwargs):
        self.heard.append("start")

    def on_llm_new_token(self, token, *, chunk=None, **kwargs):
        assert chunk.text == token
        self.heard.append(token)
        if self.fail:
            raise RuntimeError("handler")

    def on_llm_end(self, *args, **kwargs):
        self.heard.append("end")

    def on_llm_error(self, error, **kwargs):
        self.heard.append("error")


async def test_all_four_ways_give_the_same_text():
    llm = ScriptedLLM()
    assert llm.invoke("hi") == "Hello world"
    assert list(llm.stream("hi")) == ["Hello", " wor", "ld", ""]
    assert await llm.ainvoke("hi") == "Hello world"
    assert [piece async for piece in llm.astream("hi")] == ["Hello", " wor", "ld", ""]


INFO = {
    "model_provider": "scripted",
    "model_name": "scripted-model",
    "model": "scripted-model",
    "finish_reason": "length",
    "done": True,
    "done_reason": "length",
    "created_at": ANY,
    "prompt_eval_count": 5,
    "eval_count": 3,
    "total_duration": 500_000_000,
    "prompt_eval_duration": 250_000_000,
    "eval_duration": 125_000_000,
    "usage_metadata": {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8},
}


async def test_generation_info():
    llm = ScriptedLLM(script=words("a|b", reason="length"))
    for result in (llm.generate(["hi"]), await llm.agenerate(["hi"])):
        assert result.generations[0][0].generation_info == INFO
        assert result.llm_output == {
            "token_usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8},
            "model_name": "scripted-model",
        }
    first, *others = llm._stream("hi")
    for chunk in others:
        first += chunk
    assert (first.text, first.generation_info) == ("ab", INFO)


def test_logprobs():
    llm = ScriptedLLM(script=WITH_LOGPROBS, logprobs=2)
    tokens = llm.generate(["hi"]).generations[0][0].generation_info["logprobs"]["content"]
    assert [(token["token"], token["logprob"]) for token in tokens] == [("a", -0.5), ("", -0.25), ("b", -2.0)]
    assert tokens[0]["top_logprobs"] == [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -1.5}]
    assert list(llm.stream("hi")) == ["a", "b", ""]


def test_reasoning_is_not_part_of_the_text():
    llm = ScriptedLLM(script=[ReasoningDelta("hm, "), ReasoningDelta("yes"), *words("ok")])
    assert llm.invoke("hi") == "ok"
    assert llm.generate(["hi"]).generations[0][0].generation_info["reasoning_content"] == "hm, yes"


def test_the_guides_callback_prints_while_invoke_runs(capsys):
    llm = ScriptedLLM(callbacks=[StreamingStdOutCallbackHandler()])
    assert llm.invoke("hi") == "Hello world"
    assert capsys.readouterr().out == "Hello world"


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
def test_callbacks_hear_everything_in_order_and_once(how):
    tokens = Tokens()
    run(ScriptedLLM(), how, config={"callbacks": [tokens]})
    assert tokens.heard == ["start", "Hello", " wor", "ld", "", "end"]


def test_streaming_false_keeps_tokens_from_callbacks():
    tokens = Tokens()
    ScriptedLLM(streaming=False).invoke("hi", config={"callbacks": [tokens]})
    assert tokens.heard == ["start", "end"]


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
def test_an_exception_in_a_callback_closes_the_stream(how, log):
    tokens = Tokens(fail=True)
    with pytest.raises(RuntimeError, match="handler"):
        run(ScriptedLLM(), how, config={"callbacks": [tokens]})
    (stream,) = log.streams
    assert stream.closed.is_set()
    assert stream.reads == 1
    assert tokens.heard == ["start", "Hello", "error"]


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
def test_errors_of_the_engine_come_through_and_the_stream_is_closed(how, log):
    with pytest.raises(EngineError, match="broken"):
        run(ScriptedLLM(script=[TextDelta("a"), EngineError("broken")]), how)
    assert log.streams[0].closed.is_set()


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream"])
def test_a_stream_without_its_end_is_an_error(how):
    with pytest.raises(EngineError, match="broke off"):
        run(ScriptedLLM(script=[TextDelta("a")]), how)


def test_breaking_out_of_a_stream_closes_it(log):
    for _ in ScriptedLLM().stream("hi"):
        break
    assert log.streams[0].closed.is_set()
    assert log.streams[0].reads == 1


async def test_breaking_out_of_an_async_stream_closes_it(log):
    async for _ in ScriptedLLM().astream("hi"):
        break
    for _ in range(10):
        await asyncio.sleep(0)
    assert log.streams[0].closed.is_set()


@pytest.mark.parametrize("how", ["ainvoke", "astream"])
async def test_cancelling_a_task_closes_the_stream(how, log):
    task = asyncio.ensure_future(arun(ScriptedLLM(script=[TextDelta("a"), 60, finish()]), how))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert log.streams[0].closed.is_set()


def test_an_empty_prompt_is_refused(log):
    for prompts in ([""], ["a", ""]):
        with pytest.raises(InvalidRequestError, match="prompt is empty"):
            ScriptedLLM().generate(prompts)
    with pytest.raises(InvalidRequestError, match="prompt is empty"):
        list(ScriptedLLM().stream(""))
    assert log.engines == []


# --- several prompts --------------------------------------------------------------------------------------------------

SLOW = {name: [0.2, TextDelta(name.upper()), finish()] for name in "abcdefgh"}


@pytest.mark.parametrize("how", ["batch", "abatch"])
def test_prompts_run_at_the_same_time_and_keep_their_order(how):
    llm = ScriptedLLM(script=SLOW)
    begin = time.monotonic()
    answers = llm.batch(list(SLOW)) if how == "batch" else asyncio.run(llm.abatch(list(SLOW)))
    assert time.monotonic() - begin < 0.2 * len(SLOW) / 2
    assert answers == [name.upper() for name in SLOW]


@pytest.mark.parametrize("how", ["batch", "abatch"])
def test_one_failure_ends_the_others(how, log):
    scripts = {"bad": [0.05, EngineError("broken")], "slow": [60, finish()], "slower": [60, finish()]}
    llm = ScriptedLLM(script=scripts)
    begin = time.monotonic()
    with pytest.raises(EngineError, match="broken"):
        llm.batch(list(scripts)) if how == "batch" else asyncio.run(llm.abatch(list(scripts)))
    assert time.monotonic() - begin < 10
    assert all(stream.closed.is_set() for stream in log.streams)


def test_usage_of_several_prompts_is_added_up():
    result = ScriptedLLM().generate(["a", "b"])
    assert result.llm_output["token_usage"]["total_tokens"] == 16


def test_cancelling_a_batch_closes_every_stream(log):
    async def main():
        task = asyncio.ensure_future(ScriptedLLM(script={"a": [60, finish()], "b": [60, finish()]}).abatch(["a", "b"]))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert [stream.closed.is_set() for stream in log.streams] == [True, True]


async def test_async_callbacks_run_in_the_loop():
    here = threading.get_ident()
    heard = []

    class Handler(AsyncCallbackHandler):
        async def on_llm_new_token(self, token, **kwargs):
            heard.append((token, threading.get_ident() == here))

    await ScriptedLLM().ainvoke("hi", config={"callbacks": [Handler()]})
    assert heard == [("Hello", True), (" wor", True), ("ld", True), ("", True)]


def test_a_cache_never_answers_with_another_models_text():
    cache = InMemoryCache()
    a = ScriptedLLM(model="a", script=words("from a"), cache=cache)
    b = ScriptedLLM(model="b", script=words("from b"), cache=cache)
    cut = ScriptedLLM(model="a", script=words("from a"), cache=cache, stop=["a"])
    assert [a.invoke("hi"), b.invoke("hi"), a.invoke("hi")] == ["from a", "from b", "from a"]
    cut.invoke("hi")
    assert len(cache._cache) == 3


# --- ways of asking ---------------------------------------------------------------------------------------------------


def run(llm, how, config=None):
    if how == "invoke":
        return llm.invoke("hi", config)
    if how == "stream":
        return "".join(llm.stream("hi", config))
    return asyncio.run(arun(llm, how, config))


async def arun(llm, how, config=None):
    if how == "ainvoke":
        return await llm.ainvoke("hi", config)
    return "".join([piece async for piece in llm.astream("hi", config)])
