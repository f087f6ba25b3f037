"""What models write, whole and in pieces: text, reasoning, tool calls, stop strings."""

from __future__ import annotations

import json
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_localmodels.demo import model_path
from langchain_localmodels.dialects.chat_dialect import ChatDialect
from langchain_localmodels.dialects.notations import NOTATIONS
from langchain_localmodels.dialects.notations.base import Mark, Notation
from langchain_localmodels.dialects.notations.bodies import JsonBody, MarkedBody
from langchain_localmodels.dialects.notations.generic import Generic
from langchain_localmodels.dialects.notations.hermes import Hermes
from langchain_localmodels.dialects.reader import OutputReader
from langchain_localmodels.dialects.reasoning import REASONING_FORMATS, ReasoningFormat
from langchain_localmodels.dialects.templates import ChatTemplate
from langchain_localmodels.engines.base import (
    InvalidToolCallDelta,
    TextDelta,
    TokenLogprob,
    Tool,
    ToolCallDelta,
)
from langchain_localmodels.weights.gguf import read_header

THINK = ReasoningFormat("<think>", "</think>")
THINKING = ReasoningFormat("<think>", "</think>", open_at_start=True)
OFFERED = tuple(Tool(name, "", {"type": "object", "properties": {}}) for name in ("f", "g"))
HERMES = {"notation": Hermes(), "tools": OFFERED}
GENERIC = {"notation": Generic(), "tools": OFFERED}


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
    "only white space": (" \n", {"reasoning": THINK, **HERMES}, [("text", " \n")]),
    "a tag in the middle is text": ("a <think>b</think>", {"reasoning": THINK}, [("text", "a <think>b</think>")]),
    "stop in reasoning": ("<think>a STOP b</think>c", {"reasoning": THINK, "stop": ["STOP"]}, [("reasoning", "a ")]),
    "line breaks after reasoning do not stop": (
        "<think>a</think>\n\nb\n\nc",
        {"reasoning": THINK, "stop": ["\n\n"]},
        [("reasoning", "a"), ("text", "b")],
    ),
    "call": (hermes("f", {"x": 1}), {**HERMES}, [("call", 0, "f", '{"x": 1}')]),
    "text and calls": (
        "Let me look.\n" + hermes("f", {"city": "Köln"}) + "\n" + hermes("g") + "\nDone.",
        {**HERMES},
        [("text", "Let me look."), ("call", 0, "f", '{"city": "Köln"}'), ("call", 1, "g", "{}"), ("text", "Done.")],
    ),
    "reasoning, text, call": (
        "<think>hm</think>\n\nOK\n\n" + hermes() + "\n",
        {"reasoning": THINK, **HERMES},
        [("reasoning", "hm"), ("text", "OK"), ("call", 0, "f", "{}")],
    ),
    "stop strings do not count in calls": (
        hermes("f", {"x": "a\n}"}) + "\nb} c",
        {**HERMES, "stop": ["\n", "}"]},
        [("call", 0, "f", '{"x": "a\\n}"}'), ("text", "b")],
    ),
    "a stop string that is the mark": ("a<tool_call>{", {**HERMES, "stop": ["<tool"]}, [("text", "a")]),
    "the mark in an argument": (
        '<tool_call>{"name": "f", "arguments": {"x": "a \\"</tool_call><tool_call> b"}}</tool_call>c',
        {**HERMES},
        [("call", 0, "f", '{"x": "a \\"</tool_call><tool_call> b"}'), ("text", "c")],
    ),
    "mark after a call forgotten": (
        '<tool_call>{"name": "f"}\n<tool_call>{"name": "g"}',
        {**HERMES},
        [("call", 0, "f", "{}"), ("call", 1, "g", "{}")],
    ),
    "call cut off": (
        'a<tool_call>\n{"name": "f", "argum',
        {**HERMES},
        [("text", "a"), ("invalid", '{"name": "f", "argum', "f")],
    ),
    "call cut off in the mark after it": (
        '<tool_call>{"name": "f"}</tool',
        {**HERMES},
        [("call", 0, "f", "{}")],
    ),
    "bad call, then a good one": (
        "<tool_call>{broken}</tool_call>" + hermes(),
        {**HERMES},
        [("invalid", "{broken}", None), ("call", 0, "f", "{}")],
    ),
    "quote never closed, then a good call": (
        '<tool_call>{"name": "f}</tool_call> b ' + hermes("g"),
        {**HERMES},
        [("invalid", '{"name": "f}', None), ("text", "b"), ("call", 0, "g", "{}")],
    ),
    "beginning of a mark at the end": ("a <tool_ca", {**HERMES}, [("text", "a <tool_ca")]),
    "less than": ("if a <b and c< d <<tool_call", {**HERMES}, [("text", "if a <b and c< d <<tool_call")]),
}


CALL_F = '{"name": "f", "arguments": {"x": 1}}'
CALLED_F = ("call", 0, "f", '{"x": 1}')
SOFT = {
    "JSON that is a call": (CALL_F, [CALLED_F]),
    "in a fence": (f"Well:\n```json\n{CALL_F}\n```\nb", [("text", "Well:"), CALLED_F, ("text", "b")]),
    "in a fence that is not closed": (f"```\n{CALL_F}", [CALLED_F]),
    "in a list": (f'[{CALL_F}, {{"name": "g"}}]', [CALLED_F, ("call", 1, "g", "{}")]),
    "as OpenAI has it": (f'{{"tool_calls": [{{"function": {CALL_F}}}]}}', [CALLED_F]),
    "between marks": (f"<tool_call>{CALL_F}</tool_call>", [CALLED_F]),
    "on a line of its own": (f"a\n  {CALL_F}\n\nb", [("text", "a"), CALLED_F, ("text", "b")]),
    "within a line": (f"a {CALL_F} b", [("text", f"a {CALL_F} b")]),
    "a tool that was not offered": ('{"name": "h"}\n b', [("text", '{"name": "h"}\n b')]),
    "an offered one beside it": ('[{"name": "h"}, {"name": "f"}]', [("text", '[{"name": "h"}, {"name": "f"}]')]),
    "between marks in a fence": (f"```\n<tool_call>{CALL_F}</tool_call>", [("text", "```"), CALLED_F]),
    "other JSON": (' {"x": [1, {"name": "f"}]}', [("text", ' {"x": [1, {"name": "f"}]}')]),
    "other JSON, then a call": (f'{{"x": 1}}\n{CALL_F}', [("text", '{"x": 1}'), CALLED_F]),
    "other code": ("```json\n[1]\n```\n```\nx = {}\n```\n", [("text", "```json\n[1]\n```\n```\nx = {}\n```\n")]),
    "code in a language": ("```python\n{}\n```", [("text", "```python\n{}\n```")]),
    "braces": ("{{ x }}\n{", [("text", "{{ x }}\n{")]),
    "cut off": ('{"name": "f", "argum', [("invalid", '{"name": "f", "argum', "f")]),
    "cut off, of an unknown tool": ('{"name": "h", "argum', [("text", '{"name": "h", "argum')]),
    "cut off in the name": ('a\n{"name": "', [("text", 'a\n{"name": "')]),
    "broken": ('{"name": "f", "arguments": {x: 1}}', [("invalid", '{"name": "f", "arguments": {x: 1}}', "f")]),
    "a mark in what was taken for a call": ('{"x <tool_call>', [("text", '{"x <tool_call>')]),
    "a call after what was taken for one": (
        '{"x": <tool_call>{"name": "f"}</tool_call>',
        [("text", '{"x":'), ("call", 0, "f", "{}")],
    ),
}


@pytest.mark.parametrize("name", SOFT)
def test_what_may_be_a_call_whole_and_cut_anywhere(name) -> None:
    text, expected = SOFT[name]
    assert read([text], **GENERIC) == expected
    assert read(list(text), **GENERIC) == expected
    for cut in range(len(text)):
        assert read([text[:cut], text[cut:]], **GENERIC) == expected


def test_a_stop_string_in_what_was_taken_for_a_call() -> None:
    text = 'a\n{"name": "h", "x": 1}\nb'
    for pieces in ([text], list(text)):
        assert read(pieces, stop=["x"], **GENERIC) == [("text", 'a\n{"name": "h", "')]
        assert read(pieces, stop=["\nb"], **GENERIC) == [("text", 'a\n{"name": "h", "x": 1}')]


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
        ('{"name": "f", "arguments": {"a": NaN}}', [("invalid", '{"name": "f", "arguments": {"a": NaN}}', "f")]),
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
    found = read([f"<tool_call>{body}</tool_call>"], **HERMES)
    assert found == expected if expected else found[0][0] == "invalid"


def test_a_call_that_is_complete_needs_no_closing_mark() -> None:
    assert read(['<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n'], **HERMES) == [("call", 0, "f", '{"a": 1}')]


def test_ids_and_counts() -> None:
    reader = OutputReader(**HERMES)
    first, second, bad = reader.feed(hermes() + hermes() + "<tool_call>x</tool_call>")
    assert first.id != second.id
    assert first.id.startswith("call_")
    assert len(first.id) == 29
    assert bad.error
    assert reader.tool_calls == 3
    assert reader.finish() == []


# --- streaming ----------------------------------------------------------------------------------------------------


def test_text_streams_without_delay() -> None:
    reader = OutputReader(stop=["\nUser:"], reasoning=THINK, **HERMES)
    for piece in ("Hello", " world", ".", " A", " <", "b>"):
        reader.feed(piece)
    reader = OutputReader(stop=["\nUser:"], reasoning=THINK, **HERMES)
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
    reader = OutputReader(**HERMES)
    deltas = []
    for piece, logprob in zip(pieces, given, strict=True):
        deltas += reader.feed(piece, (logprob,))
    deltas += reader.finish()
    texts = [delta for delta in deltas if isinstance(delta, TextDelta)]
    assert [logprob for delta in texts for logprob in delta.logprobs] == given
    assert texts[0] == TextDelta("a", (given[0],))
    assert texts[1] == TextDelta("<tool_x", tuple(given[1:3]))
    only_calls = OutputReader(**HERMES)
    only_calls.feed(hermes(), tuple(given))
    assert only_calls.finish() == [TextDelta("", tuple(given))]


def test_long_outputs_are_read_in_linear_time() -> None:
    body = json.dumps({"name": "f", "arguments": {"x": "ab <tool " * 100_000}})
    pieces = [body[i : i + 4] for i in range(0, len(body), 4)]
    begin = time.perf_counter()
    assert read(["<tool_call>", *pieces, "</tool_call>"], **HERMES)[0][0] == "call"
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
        '{"x": 1}',
        '{"name": "h"}',
        '[{"name": "f"}, ',
        "]",
        "{",
        "```json\n",
        "```",
    ]
)
OUTPUT = st.lists(PIECE, max_size=14).map("".join)
OPTIONS = st.fixed_dictionaries(
    {
        "stop": st.sampled_from([[], ["STOP"], ["\n"], ["STOP", "TO", "\n\n"], ["<tool"], ["k>a"], [" a", "aSTOP"]]),
        "reasoning": st.sampled_from([None, THINK, THINKING]),
        "offered": st.sampled_from([{}, HERMES, GENERIC]),
    }
).map(lambda options: {**options.pop("offered"), **options})


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


@settings(max_examples=400, deadline=None)
@given(text=OUTPUT)
def test_what_looks_like_a_call_and_is_none_is_given_letter_for_letter(text) -> None:
    """Nothing is taken for a call that is not one, and nothing of it is lost, not even a blank."""
    text = text.replace("tool_call", "tool-call").replace('"f"', '"h"').replace('"g"', '"h"')
    assert read(list(text), **GENERIC) == ([("text", text)] if text else [])


# Pieces of all notations, in any order, so that bodies are cut wherever they can be.
TOKENS = sorted(
    {mark.text for notation in NOTATIONS for mark in (*notation.marks({}), *notation.silent_marks({}))}
    | {
        "[ARGS]",
        "[CALL_ID]",
        "<|/tool_call|>",
        "<|END_ACTION|>",
        "</｜DSML｜invoke>",
        "<｜tool▁call▁end｜>",
        "<｜tool▁sep｜>",
    }
    | {
        '<｜DSML｜parameter name="x" string="true">',
        "</｜DSML｜parameter>",
        ' name="f">',
        "f.call(",
        "x=1)",
        "; ",
        "\n",
    }
    | {'{"name": "f"}', '{"name": "g", "arguments": {"x": "', '{"x": 1}', '"', "}", "]", "[", "f", " ", "a", "<", "```"}
)


@pytest.mark.parametrize("notation", NOTATIONS, ids=lambda notation: notation.name)
@settings(max_examples=60, deadline=None)
@given(
    body=st.lists(st.sampled_from(TOKENS), max_size=9).map("".join),
    first=st.integers(0, 9),
    cuts=st.lists(st.integers(0, 200), max_size=8),
)
def test_any_body_cut_anywhere_gives_the_same(notation: Notation, body: str, first: int, cuts: list[int]) -> None:
    options = {"notation": notation, "tools": OFFERED}
    marks = [mark.text for mark in notation.marks({tool.name: tool for tool in OFFERED})]
    text = marks[first % len(marks)] + body
    whole = read([text], **options)
    assert read(split_at(text, cuts), **options) == whole
    assert read(list(text), **options) == whole


JSON_PIECE = st.sampled_from(
    ['"', "\\", "{", "}", "[", "]", "a", '"name"', ":", ",", " ", "\n", "<end>", "<en", "<new>", ";"]
)
BODIES = {
    "marked": lambda: MarkedBody(["<end>"], ["<new>"]),
    "raw": lambda: MarkedBody(["<end>"], ["<new>"], json=False),
    "json": JsonBody,
    "json with more": lambda: JsonBody(more=" ;\n"),
    "json again": lambda: JsonBody(more=" ;\n", again="<new>"),
    "json closed": lambda: JsonBody(closings=["<end>"], reopenings=["<new>"], head=["[a"]),
    "json with keys": lambda: JsonBody(keys=["name"], closings=["<end>"]),
}


@pytest.mark.parametrize("kind", BODIES)
@settings(max_examples=150, deadline=None)
@given(text=st.lists(JSON_PIECE, max_size=16).map("".join), cuts=st.lists(st.integers(0, 60), max_size=6))
def test_a_body_ends_at_the_same_place_wherever_it_is_cut(kind: str, text: str, cuts: list[int]) -> None:
    def collected(pieces):
        body = BODIES[kind]()
        for number, piece in enumerate(pieces):
            rest = body.feed(piece)
            if rest is not None:
                return body.text, body.raw, body.hopeless, rest + "".join(pieces[number + 1 :])
        return body.raw, body.hopeless, body.endings()

    whole = collected([text])
    assert collected(split_at(text, cuts)) == whole
    assert collected(list(text)) == whole or not text


@pytest.mark.parametrize("kind", [kind for kind in BODIES if kind != "json again"])
@settings(max_examples=150, deadline=None)
@given(text=st.lists(JSON_PIECE, max_size=16).map("".join))
def test_a_body_and_what_follows_it_are_the_whole_text(kind: str, text: str) -> None:
    body = BODIES[kind]()
    rest = body.feed(text)
    assert body.raw + (rest or "") == text
    if rest is None:
        assert all(text.startswith(ending) for ending, _ in body.endings())


def test_a_mark_of_ours_is_hard_unless_it_says_otherwise() -> None:
    """`Generic` is soft in all but the marks that it shares with `Hermes`."""
    hard = [mark for mark in Generic().marks({}) if not mark.soft]
    assert hard == [Mark("<tool_call>")]


# --- choosing -----------------------------------------------------------------------------------------------------


def dialect(source: str) -> ChatDialect:
    return ChatDialect(ChatTemplate(source))


def test_reader_for_the_demo_model() -> None:
    source = read_header(model_path).chat_template
    reader = dialect(source).reader("", tools=OFFERED, stop=["x"])
    assert joined(reader.feed(hermes())) == [("call", 0, "f", "{}")]
    assert joined(dialect(source).reader("").feed("a" + hermes())) == [("text", "a" + hermes())]


# Some begin as another one does, and count only where the prompt ends with them.
FROM_PROMPTS = [
    known
    for known in REASONING_FORMATS
    if any(known.opening != other.opening and known.opening.startswith(other.opening) for other in REASONING_FORMATS)
]


@pytest.mark.parametrize("known", REASONING_FORMATS)
def test_reader_for_prompts_that_open_the_reasoning(known) -> None:
    source = (known.signs or (known.opening,))[0]
    reader = dialect(source).reader(f"<|assistant|>\n{known.opening}\n")
    output = f"\na{known.closing}b"
    assert joined([*reader.feed(output), *reader.finish()]) == [("reasoning", "a"), ("text", "b")]


@pytest.mark.parametrize("known", [known for known in REASONING_FORMATS if known not in FROM_PROMPTS])
def test_reader_for_reasoning_models(known) -> None:
    output = f"{known.opening}a{known.closing}b"
    signs = known.signs or (f"{{{{ '{known.opening}' }}}}", f"{{{{ content.split('{known.closing}') }}}}")
    for source in signs:
        reader = dialect(source).reader("")
        assert joined([*reader.feed(output), *reader.finish()]) == [("reasoning", "a"), ("text", "b")]


def test_reader_for_a_prompt_that_opens_the_reasoning() -> None:
    reader = dialect("<think>").reader("<|assistant|>\n<think>\n")
    assert joined(reader.feed("a</think>b")) == [("reasoning", "a"), ("text", "b")]
    reader = dialect("<think>").reader("<think>\n\n</think>\n\n")
    assert joined([*reader.feed("b"), *reader.finish()]) == [("text", "b")]


def test_reader_for_a_template_without_marks() -> None:
    reader = dialect("{{ messages }}").reader("")
    assert joined(reader.feed("<think>a")) == [("text", "<think>a")]


def test_a_template_without_a_place_for_tools_is_read_by_what_the_prompt_explained() -> None:
    reader = dialect("{{ messages }}").reader("", tools=OFFERED)
    assert joined([*reader.feed(hermes()), *reader.finish()]) == [("call", 0, "f", "{}")]
