"""What models write, whole and in pieces: text, reasoning, tool calls, stop strings."""

from __future__ import annotations

import json
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_localmodels.demo import model_path
from langchain_localmodels.dialects.reader import OutputReader, reader_for
from langchain_localmodels.dialects.reasoning import REASONING_FORMATS, ReasoningFormat
from langchain_localmodels.dialects.tool_calls import HermesFormat
from langchain_localmodels.engines.base import (
    InvalidToolCallDelta,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
)
from langchain_localmodels.weights.gguf import read_header

THINK = ReasoningFormat("<think>", "</think>")
THINKING = ReasoningFormat("<think>", "</think>", open_at_start=True)
HERMES = HermesFormat()


def joined(deltas):
    """Deltas as (kind, text), neighbours of one kind joined, ids left out."""
    result: list[tuple] = []
    for delta in deltas:
        if isinstance(delta, ToolCallDelta):
            result.append(("call", delta.index, delta.name, delta.arguments))
        elif isinstance(delta, InvalidToolCallDelta):
            result.append(("invalid", delta.raw, delta.name))
        else:
            kind = "text" if isinstance(delta, TextDelta) else "reasoning"
            if result and result[-1][0] == kind:
                result[-1] = (kind, result[-1][1] + delta.text)
            elif delta.text:
                result.append((kind, delta.text))
    return result


def read(pieces, **options):
    reader = OutputReader(**options)
    deltas = [delta for piece in pieces for delta in reader.feed(piece)]
    return joined([*deltas, *reader.finish()])


def split_at(text: str, cuts) -> list[str]:
    bounds = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    return [text[a:b] for a, b in pairwise(bounds)]


def hermes(name: str = "f", arguments: object = None) -> str:
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments or {}})}\n</tool_call>"


CASES = {
    "text": ("Hello, world. ", {}, [("text", "Hello, world. ")]),
    "nothing": ("", {}, []),
    "markup is text where it means nothing": (
        "<think>x</think>" + hermes(),
        {},
        [("text", "<think>x</think>" + hermes())],
    ),
    "stop": ("one\nObservation: two", {"stop": ["\nObservation"]}, [("text", "one")]),
    "reasoning": (
        "<think>\nLet me see.\n</think>\n\n42",
        {"reasoning": THINK},
        [("reasoning", "Let me see."), ("text", "42")],
    ),
    "reasoning after white space": ("\n <think>a</think>b", {"reasoning": THINK}, [("reasoning", "a"), ("text", "b")]),
    "reasoning open in the prompt": (
        "\nLet me see.\n\n</think>\n\n42",
        {"reasoning": THINKING},
        [("reasoning", "Let me see."), ("text", "42")],
    ),
    "reasoning that never ends": ("<think>a </b> <", {"reasoning": THINK}, [("reasoning", "a </b> <")]),
    "empty reasoning": ("<think>\n\n</think>\n\nHi", {"reasoning": THINK}, [("text", "Hi")]),
    "no reasoning": (" Hi", {"reasoning": THINK}, [("text", " Hi")]),
    "only white space": (" \n", {"reasoning": THINK, "tools": HERMES}, [("text", " \n")]),
    "a tag in the middle is text": ("a <think>b</think>", {"reasoning": THINK}, [("text", "a <think>b</think>")]),
    "stop in reasoning": ("<think>a STOP b</think>c", {"reasoning": THINK, "stop": ["STOP"]}, [("reasoning", "a ")]),
    "line breaks after reasoning do not stop": (
        "<think>a</think>\n\nb\n\nc",
        {"reasoning": THINK, "stop": ["\n\n"]},
        [("reasoning", "a"), ("text", "b")],
    ),
    "call": (hermes("f", {"x": 1}), {"tools": HERMES}, [("call", 0, "f", '{"x": 1}')]),
    "text and calls": (
        "Let me look.\n" + hermes("f", {"city": "Köln"}) + "\n" + hermes("g") + "\nDone.",
        {"tools": HERMES},
        [("text", "Let me look."), ("call", 0, "f", '{"city": "Köln"}'), ("call", 1, "g", "{}"), ("text", "Done.")],
    ),
    "reasoning, text, call": (
        "<think>hm</think>\n\nOK\n\n" + hermes() + "\n",
        {"reasoning": THINK, "tools": HERMES},
        [("reasoning", "hm"), ("text", "OK"), ("call", 0, "f", "{}")],
    ),
    "stop strings do not count in calls": (
        hermes("f", {"x": "a\n}"}) + "\nb} c",
        {"tools": HERMES, "stop": ["\n", "}"]},
        [("call", 0, "f", '{"x": "a\\n}"}'), ("text", "b")],
    ),
    "a stop string that is the mark": ("a<tool_call>{", {"tools": HERMES, "stop": ["<tool"]}, [("text", "a")]),
    "the mark in an argument": (
        '<tool_call>{"name": "f", "arguments": {"x": "a \\"</tool_call><tool_call> b"}}</tool_call>c',
        {"tools": HERMES},
        [("call", 0, "f", '{"x": "a \\"</tool_call><tool_call> b"}'), ("text", "c")],
    ),
    "mark after a call forgotten": (
        '<tool_call>{"name": "f"}\n<tool_call>{"name": "g"}',
        {"tools": HERMES},
        [("call", 0, "f", "{}"), ("call", 1, "g", "{}")],
    ),
    "call cut off": (
        'a<tool_call>\n{"name": "f", "argum',
        {"tools": HERMES},
        [("text", "a"), ("invalid", '{"name": "f", "argum', None)],
    ),
    "call cut off in the mark after it": (
        '<tool_call>{"name": "f"}</tool',
        {"tools": HERMES},
        [("call", 0, "f", "{}")],
    ),
    "bad call, then a good one": (
        "<tool_call>{broken}</tool_call>" + hermes(),
        {"tools": HERMES},
        [("invalid", "{broken}", None), ("call", 0, "f", "{}")],
    ),
    "quote never closed, then a good call": (
        '<tool_call>{"name": "f}</tool_call> b ' + hermes("g"),
        {"tools": HERMES},
        [("invalid", '{"name": "f}', None), ("text", "b"), ("call", 0, "g", "{}")],
    ),
    "beginning of a mark at the end": ("a <tool_ca", {"tools": HERMES}, [("text", "a <tool_ca")]),
    "less than": ("if a <b and c< d <<tool_call", {"tools": HERMES}, [("text", "if a <b and c< d <<tool_call")]),
}


@pytest.mark.parametrize("name", CASES)
def test_output_whole_and_cut_anywhere(name) -> None:
    text, options, expected = CASES[name]
    assert read([text], **options) == expected
    assert read(list(text), **options) == expected
    for cut in range(len(text)):
        assert read([text[:cut], text[cut:]], **options) == expected


# --- the JSON of a call -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"name": "f", "parameters": {"a": 1}}', [("call", 0, "f", '{"a": 1}')]),
        ('{"name": "f", "arguments": "{\\"a\\": 1}"}', [("call", 0, "f", '{"a": 1}')]),
        ('{"name": "f", "arguments": ""}', [("call", 0, "f", "{}")]),
        ('{"name": "f", "arguments": null}', [("call", 0, "f", "{}")]),
        ('{"arguments": {"a": [1, {"b": null}]}, "name": "f"}', [("call", 0, "f", '{"a": [1, {"b": null}]}')]),
        ('{"type": "function", "function": {"name": "f", "arguments": {}}}', [("call", 0, "f", "{}")]),
        ('[{"name": "f"}, {"name": "g"}]', [("call", 0, "f", "{}"), ("call", 1, "g", "{}")]),
        ('{"name": "f"}\n{"name": "g"}', [("call", 0, "f", "{}"), ("call", 1, "g", "{}")]),
        ('{"name": "f", "arguments": {"a": "two\nlines"}}', [("call", 0, "f", '{"a": "two\\nlines"}')]),
        ('{"name": "f", "arguments": {"a": "\\ud83e\\udd99"}}', [("call", 0, "f", '{"a": "🦙"}')]),
        ('{"name": "f", "arguments": {"a": "\\ud83e"}}', [("call", 0, "f", '{"a": "\\ud83e"}')]),
        ('{"name": "f", "arguments": [1]}', [("invalid", '{"name": "f", "arguments": [1]}', "f")]),
        ('{"name": "f", "arguments": "no json"}', [("invalid", '{"name": "f", "arguments": "no json"}', "f")]),
        ('{"name": "f", "arguments": {"a": NaN}}', [("invalid", '{"name": "f", "arguments": {"a": NaN}}', None)]),
        ('{"arguments": {}}', [("invalid", '{"arguments": {}}', None)]),
        ('{"name": 3}', [("invalid", '{"name": 3}', None)]),
        ("[]", [("invalid", "[]", None)]),
        ("", [("invalid", "", None)]),
        ("7", [("invalid", "7", None)]),
        ("{'name': 'f'}", [("invalid", "{'name': 'f'}", None)]),
        ("[" * 100_000, [("invalid", "[" * 100_000, None)]),
        ('{"name": "f", "arguments": {"a": ' + "9" * 10_000 + "}}", None),
    ],
)
def test_calls(body, expected) -> None:
    found = read([f"<tool_call>{body}</tool_call>"], tools=HERMES)
    assert found == expected if expected else found[0][0] == "invalid"


def test_a_call_that_is_complete_needs_no_closing_mark() -> None:
    assert read(['<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n'], tools=HERMES) == [("call", 0, "f", '{"a": 1}')]


def test_ids_and_counts() -> None:
    reader = OutputReader(tools=HERMES)
    first, second, bad = reader.feed(hermes() + hermes() + "<tool_call>x</tool_call>")
    assert first.id != second.id
    assert first.id.startswith("call_")
    assert len(first.id) == 29
    assert bad.error
    assert reader.tool_calls == 3
    assert reader.finish() == []


# --- streaming ----------------------------------------------------------------------------------------------------


def test_text_streams_without_delay() -> None:
    reader = OutputReader(stop=["\nUser:"], reasoning=THINK, tools=HERMES)
    for piece in ("Hello", " world", ".", " A", " <", "b>"):
        reader.feed(piece)
    reader = OutputReader(stop=["\nUser:"], reasoning=THINK, tools=HERMES)
    given = [[d.text for d in reader.feed(piece)] for piece in ("Hello", " world", ". A", " <", "b> ", "c", "\nU", "p")]
    assert given == [["Hello"], [" world"], [". A"], [], [" <b>"], [" c"], [], ["\nUp"]]


def test_reasoning_streams_without_delay() -> None:
    reader = OutputReader(reasoning=THINKING)
    given = [[d.text for d in reader.feed(piece)] for piece in ("\n", "One", " two", "\n", "three </", "i>")]
    assert given == [[], ["One"], [" two"], [], ["\nthree"], [" </i>"]]


def test_everything_after_a_stop_string_is_ignored() -> None:
    reader = OutputReader(stop=["END"])
    assert reader.feed("a E") == [TextDelta("a ")]
    assert not reader.stopped
    assert reader.feed("ND b") == []
    assert reader.stopped
    assert reader.feed("more") == []
    assert reader.finish() == []


def test_logprobs_ride_on_the_next_text_and_none_is_lost() -> None:
    given = [TokenLogprob(str(i), -i / 10) for i in range(9)]
    pieces = ["a", "<tool", "_x", " ", "b", *hermes().partition("}"), "<"]
    reader = OutputReader(tools=HERMES)
    deltas = []
    for piece, logprob in zip(pieces, given, strict=True):
        deltas += reader.feed(piece, (logprob,))
    deltas += reader.finish()
    texts = [delta for delta in deltas if isinstance(delta, TextDelta)]
    assert [logprob for delta in texts for logprob in delta.logprobs] == given
    assert texts[0] == TextDelta("a", (given[0],))
    assert texts[1] == TextDelta("<tool_x", tuple(given[1:3]))
    only_calls = OutputReader(tools=HERMES)
    only_calls.feed(hermes(), tuple(given))
    assert only_calls.finish() == [TextDelta("", tuple(given))]


def test_long_outputs_are_read_in_linear_time() -> None:
    body = json.dumps({"name": "f", "arguments": {"x": "ab <tool " * 100_000}})
    pieces = [body[i : i + 4] for i in range(0, len(body), 4)]
    begin = time.perf_counter()
    assert read(["<tool_call>", *pieces, "</tool_call>"], tools=HERMES)[0][0] == "call"
    assert time.perf_counter() - begin < 10


# --- any output, any split ----------------------------------------------------------------------------------------

PIECE = st.sampled_from(
    [
        "<think>",
        "</think>",
        "<tool_call>",
        "</tool_call>",
        '{"name": "f"}',
        '{"name": "g", "arguments": {"x": "',
        '"',
        "}}",
        "\n",
        " ",
        "a",
        "STOP",
        "ST",
        "<",
        "</",
        "tool_call>",
        "\\",
        "Hello",
    ]
)
OUTPUT = st.lists(PIECE, max_size=14).map("".join)
OPTIONS = st.fixed_dictionaries(
    {
        "stop": st.sampled_from([[], ["STOP"], ["\n"], ["STOP", "TO", "\n\n"], ["<tool"], ["k>a"], [" a", "aSTOP"]]),
        "reasoning": st.sampled_from([None, THINK, THINKING]),
        "tools": st.sampled_from([None, HERMES]),
    }
)


@settings(max_examples=400, deadline=None)
@given(text=OUTPUT, options=OPTIONS, cuts=st.lists(st.integers(0, 200), max_size=8))
def test_any_split_gives_the_same(text, options, cuts) -> None:
    whole = read([text], **options)
    assert read(split_at(text, cuts), **options) == whole
    assert read(list(text), **options) == whole


@settings(max_examples=200, deadline=None)
@given(text=OUTPUT, stop=st.lists(st.text(alphabet="STOP\n a<", min_size=1, max_size=4), max_size=3))
def test_plain_text_never_holds_a_stop_string_and_loses_nothing_else(text, stop) -> None:
    found = read(split_at(text, [3, 5, 8]), stop=stop)
    said = found[0][1] if found else ""
    assert not any(word in said for word in stop)
    assert text.startswith(said)
    assert said == text or any(word in text for word in stop)


@settings(max_examples=200, deadline=None)
@given(text=OUTPUT, options=OPTIONS)
def test_without_stop_no_visible_character_is_lost(text, options) -> None:
    found = read([text], **{**options, "stop": []})
    said = "".join(str(part) for entry in found for part in entry[1:])
    assert said.count("Hello") >= text.count("Hello") or "call" in [entry[0] for entry in found]


# --- choosing -----------------------------------------------------------------------------------------------------


def test_reader_for_the_demo_model() -> None:
    source = read_header(model_path).chat_template
    reader = reader_for(source, tools_offered=True, stop=["x"])
    assert joined(reader.feed(hermes())) == [("call", 0, "f", "{}")]
    assert joined(reader_for(source, tools_offered=False, stop=[]).feed("a" + hermes())) == [("text", "a" + hermes())]


@pytest.mark.parametrize("known", REASONING_FORMATS)
def test_reader_for_reasoning_models(known) -> None:
    output = f"{known.opening}a{known.closing}b"
    for source in (f"{{{{ '{known.opening}' }}}}", f"{{{{ content.split('{known.closing}') }}}}"):
        reader = reader_for(source, tools_offered=False, stop=[])
        assert joined([*reader.feed(output), *reader.finish()]) == [("reasoning", "a"), ("text", "b")]


def test_reader_for_a_prompt_that_opens_the_reasoning() -> None:
    reader = reader_for("<think>", tools_offered=False, stop=[], prompt_tail="<|assistant|>\n<think>\n")
    assert joined(reader.feed("a</think>b")) == [("reasoning", "a"), ("text", "b")]
    reader = reader_for("<think>", tools_offered=False, stop=[], prompt_tail="<think>\n\n</think>\n\n")
    assert joined([*reader.feed("b"), *reader.finish()]) == [("text", "b")]


def test_reader_for_no_template() -> None:
    reader = reader_for(None, tools_offered=False, stop=[])
    assert joined(reader.feed("<think>a")) == [("text", "<think>a")]
