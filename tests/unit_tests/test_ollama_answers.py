"""What becomes of Ollama's lines, whatever bytes they come in."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_localmodels.engines.base import FinishDelta, InvalidToolCallDelta, ReasoningDelta, TextDelta
from langchain_localmodels.engines.ollama.answers import AnswerReader
from langchain_localmodels.errors import EngineError

END = {"model": "m", "done": True, "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 2}


def call(name, **arguments):
    return {"function": {"name": name, "arguments": arguments}}


def said(content="", **more):
    return {"model": "m", "message": {"role": "assistant", "content": content, **more}, "done": False}


def lines(*events):
    return "".join(json.dumps(event) + "\n" for event in events).encode()


def read(*events, **options):
    return list(AnswerReader("m", **options).feed(lines(*events)))


def calls(deltas):
    return [(delta.index, delta.name, delta.arguments) for delta in deltas if hasattr(delta, "index")]


def test_all_calls_are_given():
    deltas = read(said(tool_calls=[call("f", a=1), call("g")]), said(tool_calls=[call("h")]), END)
    assert calls(deltas) == [(0, "f", '{"a": 1}'), (1, "g", "{}"), (2, "h", "{}")]
    assert deltas[-1].reason == "tool_calls"


def test_one_call_is_the_first_of_the_answer():
    events = [said("so", tool_calls=[call("f", a=1), call("g")]), said(tool_calls=[call("h")]), {**said("!"), **END}]
    deltas = read(*events, one_call=True)
    assert calls(deltas) == [(0, "f", '{"a": 1}')]
    assert [delta.text for delta in deltas if isinstance(delta, TextDelta)] == ["so", "!"]
    assert deltas[-1].reason == "tool_calls"


def test_a_first_call_that_cannot_be_read_is_the_one_that_is_given():
    deltas = read(said(tool_calls=[{"function": {}}, call("g")]), END, one_call=True)
    assert [type(delta) for delta in deltas] == [InvalidToolCallDelta, FinishDelta]


def test_thinking_comes_before_text_and_calls():
    deltas = read(said("a", thinking="b", tool_calls=[call("f")]), END)
    assert deltas[:2] == [ReasoningDelta("b"), TextDelta("a")]
    assert calls(deltas) == [(0, "f", "{}")]


def test_log_probabilities_are_those_of_the_text():
    told = [{"token": "a", "logprob": -1.0}]
    deltas = read({**said("a"), "logprobs": told}, {**said(thinking="b"), "logprobs": told}, END)
    assert [len(delta.logprobs) for delta in deltas if isinstance(delta, TextDelta)] == [1]


@pytest.mark.parametrize("more", [{}, {"response": "a"}])
def test_generate_has_its_text_beside_the_rest(more):
    deltas = read({"response": "x", "thinking": "y"}, {**END, **more})
    assert deltas[:-1] == [ReasoningDelta("y"), TextDelta("x"), *([TextDelta("a")] if more else [])]


def test_what_comes_before_an_error_is_given_first():
    reader = AnswerReader("m")
    deltas = reader.feed(lines(said("a"), {"error": "it broke"}, said("b")))
    assert next(deltas) == TextDelta("a")
    with pytest.raises(EngineError, match="it broke"):
        next(deltas)


@given(st.lists(st.text()), st.lists(st.integers(0, 2000), max_size=8))
def test_the_deltas_are_the_same_however_the_bytes_come(texts, places):
    data = lines(*map(said, texts), END)
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    reader = AnswerReader("m", raw=True)
    deltas = [delta for start, end in itertools.pairwise(edges) for delta in reader.feed(data[start:end])]
    assert deltas[:-1] == [TextDelta(text) for text in texts if text]
    assert isinstance(deltas[-1], FinishDelta)
    assert reader.done


def test_reasoning_that_an_older_server_left_in_the_text_comes_apart():
    deltas = read(said("<thi"), said("nk>Hm.</think>"), said("\n\n42"), END)
    assert deltas[:-1] == [ReasoningDelta("Hm."), TextDelta("42")]
    assert read(said("<think>Hm.</think>42"), END, raw=True)[0] == TextDelta("<think>Hm.</think>42")
    assert read(said(thinking="Hm."), said("<think> is a mark"), END)[1] == TextDelta("<think> is a mark")
    assert read(said("<thi", tool_calls=[call("f")]), END)[0] == TextDelta("<thi")


@pytest.mark.parametrize("told", [[{}], [1], 5, [{"token": "a"}]])
def test_log_probabilities_that_cannot_be_read_are_an_error(told):
    with pytest.raises(EngineError, match="log probabilities"):
        read({**said("a"), "logprobs": told}, END)


@pytest.mark.parametrize(("event", "silent"), [(said(), True), (said("a"), False), (said(thinking="a"), False)])
def test_it_tells_whether_anything_came(event, silent):
    reader = AnswerReader("m")
    list(reader.feed(lines(event, END)))
    assert reader.silent is silent
