"""The chat face: one stream of deltas, whichever way it is asked for."""

import asyncio
import contextlib
import json
from unittest.mock import ANY

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler, StreamingStdOutCallbackHandler
from langchain_core.callbacks.usage import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.tools import tool
from langchain_core.utils.json import parse_partial_json
from langchain_tests.unit_tests import ChatModelUnitTests

from langchain_localmodels.chunks import _spoil
from langchain_localmodels.engines.base import InvalidToolCallDelta, TextDelta, ToolCallDelta
from langchain_localmodels.errors import EngineError, InvalidRequestError
from tests.unit_tests.scripted import LOGS, TWO_CALLS, WITH_LOGPROBS, ChatScripted, Log, finish, words

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")

WAYS = ["invoke", "ainvoke", "stream", "astream", "streaming", "v3", "av3"]


@pytest.fixture(autouse=True)
def log():
    LOGS["default"] = Log()
    return LOGS["default"]


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return f"rain in {city}"


async def ask(model, how, messages="hi", config=None, **kwargs):
    """Ask in one of the ways there are and give one message."""
    if how == "invoke":
        return model.invoke(messages, config, **kwargs)
    if how == "ainvoke":
        return await model.ainvoke(messages, config, **kwargs)
    if how == "stream":
        return joined(list(model.stream(messages, config, **kwargs)))
    if how == "astream":
        return joined([chunk async for chunk in model.astream(messages, config, **kwargs)])
    if how == "streaming":
        return model.model_copy(update={"streaming": True}).invoke(messages, config, **kwargs)
    if how == "v3":
        return model.stream_events(messages, config, version="v3", **kwargs).output
    return await (await model.astream_events(messages, config, version="v3", **kwargs)).output


def joined(chunks):
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole


# --- text, metadata, usage --------------------------------------------------------------------------------------------

METADATA = {
    "model_provider": "scripted",
    "model_name": "scripted-model",
    "model": "scripted-model",
    "finish_reason": "stop",
    "done": True,
    "done_reason": "stop",
    "created_at": ANY,
    "prompt_eval_count": 5,
    "eval_count": 3,
    "total_duration": 500_000_000,
    "prompt_eval_duration": 250_000_000,
    "eval_duration": 125_000_000,
}


@pytest.mark.parametrize("how", WAYS)
async def test_all_ways_give_the_same_message(how, log):
    message = await ask(ChatScripted(), how)
    assert message.text == "Hello world"
    metadata = {name: value for name, value in message.response_metadata.items() if name != "output_version"}
    assert metadata == METADATA
    assert message.usage_metadata == {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8}
    assert message.id.startswith("lc_run-")
    assert (message.tool_calls, message.invalid_tool_calls) == ([], [])
    assert all(stream.closed.is_set() for stream in log.streams)


def test_invoke_gives_a_message_and_stream_gives_chunks():
    model = ChatScripted()
    assert type(model.invoke("hi")) is AIMessage
    chunks = list(model.stream("hi"))
    assert [chunk.content for chunk in chunks] == ["Hello", " wor", "ld", ""]
    assert all(type(chunk) is AIMessageChunk for chunk in chunks)
    assert [chunk.chunk_position for chunk in chunks] == [None, None, None, "last"]
    assert [bool(chunk.usage_metadata) for chunk in chunks] == [False, False, False, True]
    assert [chunk.response_metadata for chunk in chunks[:3]] == [{"model_provider": "scripted"}] * 3


@pytest.mark.parametrize("how", WAYS)
async def test_prompt_tokens_read_from_the_cache(how):
    message = await ask(ChatScripted(script=words("a", read=100, cached=90)), how)
    assert message.usage_metadata["input_token_details"] == {"cache_read": 90}
    assert message.usage_metadata["input_tokens"] == 100


@pytest.mark.parametrize("how", WAYS)
async def test_logprobs_come_whole(how):
    message = await ask(ChatScripted(script=WITH_LOGPROBS), how)
    tokens = message.response_metadata["logprobs"]["content"]
    assert [(token["token"], token["logprob"]) for token in tokens] == [("a", -0.5), ("", -0.25), ("b", -2.0)]
    assert tokens[0]["top_logprobs"] == [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -1.5}]
    assert message.text == "ab"


@pytest.mark.parametrize("how", WAYS)
async def test_finish_reason_length(how):
    message = await ask(ChatScripted(script=words("a", reason="length")), how)
    assert message.response_metadata["finish_reason"] == message.response_metadata["done_reason"] == "length"


def test_usage_callback():
    usage = UsageMetadataCallbackHandler()
    ChatScripted().invoke("hi", config={"callbacks": [usage]})
    assert usage.usage_metadata["scripted-model"]["total_tokens"] == 8


# --- reasoning and tool calls -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["v0", "v1"])
@pytest.mark.parametrize("how", WAYS)
async def test_reasoning_text_and_two_calls(how, version):
    message = await ask(ChatScripted(script=TWO_CALLS, output_version=version), how)
    assert message.text == "Let me look."
    assert [(call["id"], call["name"], call["args"]) for call in message.tool_calls] == [
        ("call_a", "weather", {"city": "Paris"}),
        ("call_b", "time", {}),
    ]
    assert message.invalid_tool_calls == []
    assert message.response_metadata["finish_reason"] == "tool_calls"
    assert message.response_metadata["done_reason"] == "stop"
    blocks = message.content_blocks
    assert [block["type"] for block in blocks] == ["reasoning", "text", "tool_call", "tool_call"]
    assert blocks[0]["reasoning"] == "I need tools."
    assert [block["args"] for block in blocks[2:]] == [{"city": "Paris"}, {}]
    if "v3" not in how and version == "v0":
        assert message.additional_kwargs["reasoning_content"] == "I need tools."


def test_chunks_of_calls_have_numbers_of_their_own_and_no_text():
    chunks = list(ChatScripted(script=TWO_CALLS).stream("hi"))
    assert not any(chunk.content and chunk.tool_call_chunks for chunk in chunks)
    pieces = [piece for chunk in chunks for piece in chunk.tool_call_chunks]
    assert [(piece["index"], piece["id"], piece["name"]) for piece in pieces] == [
        (1000, "call_a", "weather"),
        (1000, None, None),
        (1001, "call_b", "time"),
    ]


@pytest.mark.parametrize("how", WAYS)
async def test_calls_that_come_mixed_are_kept_apart(how):
    script = [
        ToolCallDelta(0, "a", "one", '{"x"'),
        ToolCallDelta(1, "b", "two", '{"y"'),
        ToolCallDelta(0, None, None, ": 1}"),
        ToolCallDelta(1, None, None, ": 2}"),
        finish("tool_calls"),
    ]
    message = await ask(ChatScripted(script=script), how)
    assert [call["args"] for call in message.tool_calls] == [{"x": 1}, {"y": 2}]


@pytest.mark.parametrize("how", WAYS)
async def test_a_call_without_id_gets_one(how):
    script = [ToolCallDelta(0, None, "one", '{"x"'), ToolCallDelta(0, arguments=": 1}"), finish("tool_calls")]
    (call,) = (await ask(ChatScripted(script=script), how)).tool_calls
    assert call["id"].startswith("call_")
    assert call["args"] == {"x": 1}


NOT_WHOLE = [
    '{"path": "/home/x/tm',
    '{"path": ["a", "b"',
    "{'x': 1}",
    '{"x": "a\\',
    '{"x": 1}}',
    "[1]",
    '"x"',
    "{",
    "nonsense",
]


@pytest.mark.parametrize("arguments", NOT_WHOLE)
@pytest.mark.parametrize("how", WAYS)
async def test_arguments_that_are_not_whole_never_make_a_call(how, arguments):
    script = [ToolCallDelta(0, "a", "delete", arguments), ToolCallDelta(1, "b", "fine", "{}"), finish("length")]
    message = await ask(ChatScripted(script=script), how)
    assert [call["id"] for call in message.tool_calls] == ["b"]
    (invalid,) = message.invalid_tool_calls
    assert (invalid["id"], invalid["name"]) == ("a", "delete")
    assert invalid["args"].startswith(arguments)
    if how in ("invoke", "ainvoke"):
        assert invalid["args"] == arguments
        assert invalid["error"]


@pytest.mark.parametrize("how", ["invoke", "ainvoke", "stream", "astream", "streaming"])
async def test_arguments_that_are_nested_too_deeply(how):
    deep = f'{{"path": {"[" * 100_000}{"]" * 100_000}}}'
    message = await ask(ChatScripted(script=[ToolCallDelta(0, "a", "delete", deep), finish()]), how)
    assert message.tool_calls == []
    (invalid,) = message.invalid_tool_calls
    assert invalid["args"].startswith(deep)


@pytest.mark.parametrize("raw", ['{"name": "no_such_tool", "arguments": {}}', "<call>gibberish", '{"a": 1'])
@pytest.mark.parametrize("how", WAYS)
async def test_calls_that_the_engine_could_not_read(how, raw):
    script = [TextDelta("Well: "), InvalidToolCallDelta(raw, "cannot be read", "one"), finish()]
    message = await ask(ChatScripted(script=script), how)
    assert message.tool_calls == []
    (invalid,) = message.invalid_tool_calls
    assert invalid["name"] == "one"
    assert invalid["args"].startswith(raw)
    if how in ("invoke", "ainvoke"):
        assert (invalid["args"], invalid["error"]) == (raw, "cannot be read")


@pytest.mark.parametrize("text", [*NOT_WHOLE, "", "{}", '{"a": "}"}', '["{"', '{"a": "\\"', '{"a": "\\\\'])
def test_spoilt_text_is_no_json_even_to_a_lenient_parser(text):
    spoilt = text + _spoil(text)
    with pytest.raises(json.JSONDecodeError):
        json.loads(spoilt)
    with contextlib.suppress(json.JSONDecodeError):
        assert not isinstance(parse_partial_json(spoilt), dict)


# --- what is asked of the engine --------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", WAYS)
async def test_tools_and_settings_reach_the_engine(how, log):
    model = ChatScripted(stop=["A"], temperature=0.5).bind_tools([weather], tool_choice="none", strict=True)
    message = await ask(model.bound, how, stop=["B"], max_tokens=9, **model.kwargs)
    assert message.text == "Hello world"
    (request,) = log.requests
    assert [turn.text for turn in request.turns] == ["hi"]
    assert [offered.name for offered in request.tools] == ["weather"]
    assert request.tools[0].parameters["required"] == ["city"]
    assert request.tool_choice == "none"
    assert (request.settings.stop, request.settings.max_tokens) == (("A", "B"), 9)


@pytest.mark.parametrize("choice", [None, "auto"])
def test_the_model_may_choose(choice, log):
    ChatScripted().bind_tools([weather], tool_choice=choice).invoke("hi")
    assert log.requests[0].tool_choice == "auto"


@pytest.mark.parametrize("messages", [[], "", [HumanMessage("")]])
def test_there_must_be_something_to_answer(messages, log):
    with pytest.raises(InvalidRequestError, match="nothing to answer"):
        ChatScripted().invoke(messages)
    assert log.engines == []


def test_wrong_values_are_told_before_the_engine_is_made(log):
    with pytest.raises(InvalidRequestError, match="temperature"):
        ChatScripted().invoke("hi", temperature=-1)
    assert log.engines == []


# --- callbacks, errors, closing ---------------------------------------------------------------------------------------


class Tokens(BaseCallbackHandler):
    raise_error = True

    def __init__(self, fail=False):
        self.heard = []
        self.fail = fail

    def on_chat_model_start(self, *args, **kwargs):
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


OLD_WAYS = WAYS[:5]


@pytest.mark.parametrize("how", OLD_WAYS)
async def test_callbacks_hear_everything_in_order_and_once(how):
    tokens = Tokens()
    await ask(ChatScripted(), how, config={"callbacks": [tokens]})
    assert tokens.heard == ["start", "Hello", " wor", "ld", "", "end"]


@pytest.mark.parametrize("given", [{"streaming": False}, {"disable_streaming": True}])
def test_forbidden_streaming_keeps_tokens_from_callbacks(given):
    tokens = Tokens()
    ChatScripted(**given).invoke("hi", config={"callbacks": [tokens]})
    assert tokens.heard == ["start", "end"]


def test_the_guides_callback_prints_while_invoke_runs(capsys):
    ChatScripted(callbacks=[StreamingStdOutCallbackHandler()]).invoke("hi")
    assert capsys.readouterr().out == "Hello world"


@pytest.mark.parametrize("how", OLD_WAYS)
async def test_an_exception_in_a_callback_closes_the_stream(how, log):
    tokens = Tokens(fail=True)
    with pytest.raises(RuntimeError, match="handler"):
        await ask(ChatScripted(), how, config={"callbacks": [tokens]})
    for _ in range(10):
        await asyncio.sleep(0)
    assert log.streams[0].closed.is_set()
    assert log.streams[0].reads == 1
    assert tokens.heard == ["start", "Hello", "error"]


@pytest.mark.parametrize("how", WAYS)
async def test_errors_of_the_engine_come_through_and_the_stream_is_closed(how, log):
    with pytest.raises(EngineError, match="broken"):
        await ask(ChatScripted(script=[TextDelta("a"), EngineError("broken")]), how)
    assert log.streams[0].closed.is_set()


@pytest.mark.parametrize("how", WAYS)
async def test_a_stream_without_its_end_is_an_error(how):
    with pytest.raises(EngineError, match="broke off"):
        await ask(ChatScripted(script=[TextDelta("a")]), how)


def test_breaking_out_of_a_stream_closes_it(log):
    for _ in ChatScripted().stream("hi"):
        break
    assert log.streams[0].closed.is_set()
    assert log.streams[0].reads == 1


async def test_breaking_out_of_an_async_stream_closes_it(log):
    async for _ in ChatScripted().astream("hi"):
        break
    for _ in range(10):
        await asyncio.sleep(0)
    assert log.streams[0].closed.is_set()


@pytest.mark.parametrize("how", ["ainvoke", "astream"])
async def test_cancelling_a_task_closes_the_stream(how, log):
    task = asyncio.ensure_future(ask(ChatScripted(script=[TextDelta("a"), 60, finish()]), how))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for _ in range(10):
        await asyncio.sleep(0)
    assert log.streams[0].closed.is_set()


async def test_leaving_an_event_stream_closes_the_stream(log):
    model = ChatScripted(script=[TextDelta("a"), 60, finish()])
    async with await model.astream_events("hi", version="v3") as events:
        async for text in events.text:
            assert text == "a"
            break
    assert log.streams[0].closed.is_set()


async def test_many_at_once_do_not_block_the_loop(log):
    model = ChatScripted(script=[0.1, *words("a")])
    messages = await asyncio.wait_for(asyncio.gather(*(model.ainvoke("hi") for _ in range(20))), 1)
    assert len(messages) == len(log.streams) == 20


# --- caches, profile, counting ----------------------------------------------------------------------------------------


def test_a_cache_never_answers_with_another_models_text():
    cache = InMemoryCache()
    a = ChatScripted(model="a", script=words("from a"), cache=cache)
    b = ChatScripted(model="b", script=words("from b"), cache=cache)
    stopped = ChatScripted(model="a", script=words("from a"), cache=cache, stop=["x"])
    assert [model.invoke("hi").text for model in (a, b, a)] == ["from a", "from b", "from a"]
    stopped.invoke("hi")
    assert len(cache._cache) == 3


def test_the_profile_is_what_is_known_without_loading(log):
    assert ChatScripted(n_ctx=128).profile == {"max_input_tokens": 128}
    assert log.engines == []


def test_tokens_of_messages():
    model = ChatScripted()
    messages = [HumanMessage("one two"), AIMessage("three")]
    assert model.get_num_tokens_from_messages(messages) == 3 + 2 * 4
    assert model.get_num_tokens_from_messages(messages, tools=[weather]) > 3 + 2 * 4


class TestStandard(ChatModelUnitTests):
    """langchain-tests' suite for chat models."""

    @property
    def chat_model_class(self):
        return ChatScripted

    @property
    def chat_model_params(self):
        return {"model": "scripted-model"}
