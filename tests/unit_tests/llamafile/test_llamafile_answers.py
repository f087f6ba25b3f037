"""Answers of servers as deltas, whatever way their bytes come."""

from __future__ import annotations

import json

import pytest

from langchain_localmodels.engines.base import (
    FinishDelta,
    InvalidToolCallDelta,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
)
from langchain_localmodels.engines.llamafile.answers import AnswerReader
from langchain_localmodels.errors import EngineError, EngineUnreachableError


def read(data: bytes, size: int | None = None, **options):
    reader = AnswerReader("m", **{"prompt_size": 8, **options})
    deltas = []
    for at in range(0, len(data), size or len(data)):
        deltas += reader.feed(data[at : at + (size or len(data))])
        if reader.done:
            break
    if not reader.done:
        deltas += reader.finish()
    assert reader.done
    return deltas


def events(*values, done=True, end="\n\n"):
    text = "".join(f"data: {json.dumps(value, ensure_ascii=False)}{end}" for value in values)
    return (text + (f"data: [DONE]{end}" if done else "")).encode()


def delta(finish=None, **more):
    return {"choices": [{"index": 0, "delta": more, "finish_reason": finish}]}


WHOLE = events(
    delta(role="assistant", content=None),
    delta(reasoning_content="Hm\u2028"),
    delta(content="Ünï\u2028\u0085code "),
    delta(content="✓"),
    delta(tool_calls=[{"index": 0, "id": "a", "type": "function", "function": {"name": "f"}}]),
    delta(tool_calls=[{"index": 0, "function": {"arguments": '{"x":'}}]),
    delta(tool_calls=[{"index": 0, "function": {"arguments": " 1}"}}]),
    delta(tool_calls=[{"index": 1, "id": "b", "function": {"name": "g", "arguments": "{}"}}]),
    delta(finish="tool_calls"),
    {
        "choices": [],
        "usage": {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 3}},
        "timings": {"prompt_ms": 500, "predicted_ms": 250},
    },
)
NATIVE = events(
    {"content": "a", "stop": False},
    {"content": "b", "stop": False},
    {"content": "", "stop": True, "stop_type": "eos", "tokens_predicted": 2, "tokens_evaluated": 5,
     "timings": {"cache_n": 4}, "model": "file.gguf"},
    done=False,
)  # fmt: skip


@pytest.mark.parametrize("raw", [WHOLE, WHOLE.replace(b"\n", b"\r\n"), NATIVE], ids=["chat", "crlf", "native"])
def test_cuts_between_any_two_bytes_change_nothing(raw):
    want = [d if not isinstance(d, FinishDelta) else (d.reason, d.usage, d.model) for d in read(raw)]
    for size in range(1, 40):
        found = [d if not isinstance(d, FinishDelta) else (d.reason, d.usage, d.model) for d in read(raw, size)]
        assert found == want


def test_a_chat_answer():
    *deltas, finish = read(WHOLE)
    assert "".join(d.text for d in deltas if isinstance(d, TextDelta)) == "Ünï\u2028\u0085code ✓"
    assert [d.text for d in deltas if isinstance(d, ReasoningDelta)] == ["Hm\u2028"]
    calls = [d for d in deltas if isinstance(d, ToolCallDelta)]
    assert [(d.index, d.id, d.name) for d in calls if d.name] == [(0, "a", "f"), (1, "b", "g")]
    assert "".join(d.arguments for d in calls if d.index == 0) == '{"x": 1}'
    assert finish.reason == "tool_calls"
    assert (finish.usage.input_tokens, finish.usage.output_tokens, finish.usage.cache_read) == (9, 4, 3)
    assert (finish.timings.prompt, finish.timings.generation) == (0.5, 0.25)


def test_a_native_answer_has_no_end_mark():
    *deltas, finish = read(NATIVE)
    assert [d.text for d in deltas] == ["a", "b"]
    assert (finish.reason, finish.model) == ("stop", "file.gguf")
    assert (finish.usage.input_tokens, finish.usage.cache_read) == (5, 4)


@pytest.mark.parametrize("raw", [WHOLE, NATIVE])
def test_an_answer_that_is_cut_anywhere_is_no_answer(raw):
    end = raw.rindex(b"tool_calls") if raw is WHOLE else raw.rindex(b'"stop": true')
    for at in range(0, end, 7):
        with pytest.raises(EngineUnreachableError):
            read(raw[:at] if at else b":\n\n")


def pieces_of(*pieces, finish="tool_calls", **options):
    *deltas, end = read(events(*(delta(tool_calls=[piece]) for piece in pieces), delta(finish=finish)), **options)
    return deltas, end


def test_calls_without_indexes_and_with_objects_as_arguments():
    deltas, end = pieces_of(
        {"id": "a", "function": {"name": "f", "arguments": {"x": 1}}},
        {"id": "b", "function": {"name": "g"}},
        finish="stop",
    )
    found = {}
    for call in deltas:
        found.setdefault(call.index, []).append(call)
    assert [json.loads("".join(call.arguments for call in calls)) for calls in found.values()] == [{"x": 1}, {}]
    assert [calls[0].name for calls in found.values()] == ["f", "g"]
    assert end.reason == "tool_calls"


def test_whole_calls_that_all_have_the_index_0():
    deltas, _ = pieces_of(
        {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}},
        {"index": 0, "id": "b", "function": {"name": "g", "arguments": "{}"}},
    )
    assert [(call.index, call.name) for call in deltas] == [(0, "f"), (1, "g")]


def test_a_name_that_comes_late_or_never():
    late, _ = pieces_of(
        {"index": 0, "id": "a", "function": {"arguments": "{"}},
        {"index": 0, "function": {"name": "f", "arguments": "}"}},
    )
    assert [(call.name, call.arguments) for call in late] == [("f", "{}")]
    never, _ = pieces_of({"index": 0, "id": "a", "function": {"arguments": "{}"}})
    assert [type(call) for call in never] == [InvalidToolCallDelta]


def test_more_calls_than_are_wanted_are_dropped():
    call = {"function": {"name": "f", "arguments": "{}"}}
    deltas, _ = pieces_of({"index": 0, "id": "a", **call}, {"index": 1, "id": "b", **call}, most_calls=1)
    assert [delta.id for delta in deltas] == ["a"]


@pytest.mark.parametrize(
    "logprobs",
    [
        {"content": [{"token": "a", "logprob": -1.0, "top_logprobs": [{"token": "a", "logprob": -1.0}]}]},
        {"tokens": ["a"], "token_logprobs": [-1.0], "top_logprobs": [{"a": -1.0, "b": -2.0}]},
        {"content": [{"token": "a", "prob": 0.36787944117, "top_probs": [{"token": "a", "prob": 0.36787944117}]}]},
    ],
)
def test_log_probabilities_in_all_shapes(logprobs):
    event = {"choices": [{"text": "a", "logprobs": logprobs, "finish_reason": "stop"}]}
    text, _ = read(events(event), top_logprobs=1)
    (token,) = text.logprobs
    assert (token.token, pytest.approx(token.logprob, abs=1e-6), len(token.top)) == ("a", -1.0, 1)
    plain, _ = read(events(event))
    assert plain.logprobs == ()


@pytest.mark.parametrize("size", [1, 7, None])
def test_servers_that_do_not_stream(size):
    message = {"content": "Hi", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{}"}}]}
    value = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1}}
    text, call, finish = read(f"\n {json.dumps(value)}".encode(), size)
    assert (text.text, call.name, finish.reason, finish.usage.input_tokens) == ("Hi", "f", "tool_calls", 1)
    text, finish = read(json.dumps({"content": "Hi", "stop": True, "stopped_limit": True}).encode(), size)
    assert (text.text, finish.reason) == ("Hi", "length")


def test_an_error_in_the_place_of_a_whole_answer():
    with pytest.raises(EngineError, match="no luck"):
        read(b'{"error": {"message": "no luck"}}')
    with pytest.raises(EngineError, match="not JSON"):
        read(b'{"choices": [')


def test_reasoning_that_an_older_server_left_in_the_text_comes_apart():
    mixed = events(delta(content="<think>Hm."), delta(content="</think>42"), delta("stop"))
    assert read(mixed)[:-1] == [ReasoningDelta("Hm."), TextDelta("42")]
    assert read(mixed, size=1)[:-1] == [ReasoningDelta("Hm."), TextDelta("42")]
    assert [delta.text for delta in read(mixed, raw=True)[:-1]] == ["<think>Hm.", "</think>42"]
    cut = events(delta(content="<thi"), delta("stop"))
    assert read(cut)[0] == TextDelta("<thi")
