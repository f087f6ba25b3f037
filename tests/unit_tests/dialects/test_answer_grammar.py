"""Grammars of whole answers: reasoning, then text, calls or JSON. Read by an interpreter of GBNF of our own."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_localmodels.dialects.answer_grammar import AnswerForm, answer_grammar
from langchain_localmodels.dialects.gbnf import JSON_GRAMMAR, check_grammar
from langchain_localmodels.dialects.gbnf_rules import Rules, literal
from langchain_localmodels.dialects.notations import NOTATIONS, notation_named
from langchain_localmodels.dialects.notations.base import Notation
from langchain_localmodels.dialects.reasoning import ReasoningFormat
from langchain_localmodels.engines.base import JsonOutput, Tool, ToolCall
from langchain_localmodels.errors import InvalidRequestError

# --- an interpreter -------------------------------------------------------------------------------------------------

_TOKEN = re.compile(
    r"""\s*(?: (?P<name>[a-zA-Z0-9-]+) | "(?P<text>(?:\\.|[^"\\])*)" | \[(?P<set>(?:\\.|[^\]\\])*)\]
    | (?P<mark>[().|?*+]) | \{(?P<least>\d+)(?P<comma>,?)(?P<most>\d*)\} )""",
    re.VERBOSE | re.DOTALL,
)
_CHARACTER = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))|(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t"}


def characters(text: str) -> list[tuple[str, bool]]:
    """The characters of a literal or class, and whether each was escaped."""
    found = []
    for match in _CHARACTER.finditer(text):
        code = match[1] or match[2] or match[3]
        plain = match[4] or match[5]
        found.append((chr(int(code, 16)) if code else _ESCAPED.get(plain, plain) if match[4] else plain, not match[5]))
    return found


def regex_of_class(body: str) -> str:
    negated = body.startswith("^")
    parts = characters(body[negated:])
    out = ""
    for number, (character, escaped) in enumerate(parts):
        is_range = character == "-" and not escaped and 0 < number < len(parts) - 1
        out += "-" if is_range else re.escape(character)
    return f"[{'^' if negated else ''}{out}]" if out else ("[\\s\\S]" if negated else "(?!)")


@dataclass(frozen=True)
class Reading:
    """A grammar that is followed in all ways at once; states are stacks of what is still to be read, as tuples."""

    gbnf: str

    @cached_property
    def rules(self) -> dict[str, Any]:
        lines = [line.partition(" ::= ") for line in self.gbnf.splitlines() if " ::= " in line]
        return {name.strip(): self._alternatives(self._tokens(body), 0)[0] for name, _, body in lines}

    @staticmethod
    def _tokens(body: str) -> list[re.Match[str]]:
        found, at = [], 0
        while body[at:].strip():
            match = _TOKEN.match(body, at)
            assert match, body[at:]
            found.append(match)
            at = match.end()
        return found

    def _alternatives(self, tokens: list[re.Match[str]], at: int) -> tuple[Any, int]:
        ways: list[list[Any]] = [[]]
        while at < len(tokens) and tokens[at]["mark"] != ")":
            token = tokens[at]
            at += 1
            item: Any
            if token["mark"] == "|":
                ways.append([])
                continue
            if token["mark"] in ("?", "*", "+") or token["least"] is not None:
                least, most = {"?": (0, 1), "*": (0, None), "+": (1, None)}.get(token["mark"], (None, None))
                if least is None:
                    least = int(token["least"])
                    most = int(token["most"]) if token["most"] else None if token["comma"] else least
                item = ("repeat", ways[-1].pop(), least, most)
            elif token["mark"] == "(":
                item, at = self._alternatives(tokens, at)
                at += 1
            elif token["mark"] == ".":
                item = ("one", "[\\s\\S]")
            elif token["name"]:
                item = ("rule", token["name"])
            elif token["set"] is not None:
                item = ("one", regex_of_class(token["set"]))
            else:
                item = ("all", tuple(("one", re.escape(character)) for character, _ in characters(token["text"])))
            ways[-1].append(item)
        return ("any", tuple(("all", tuple(way)) for way in ways)), at

    def _expanded(self, stacks: set[tuple[Any, ...]]) -> set[tuple[Any, ...]]:
        """All ways to go on until a character is to be read, or nothing is left."""
        seen: set[tuple[Any, ...]] = set()
        waiting = [*stacks]
        while waiting:
            stack = waiting.pop()
            if stack in seen:
                continue
            seen.add(stack)
            if not stack or stack[0][0] == "one":
                continue
            (kind, *what), rest = stack[0], stack[1:]
            if kind == "rule":
                waiting.append((self.rules[what[0]], *rest))
            elif kind == "any":
                waiting += [(way, *rest) for way in what[0]]
            elif kind == "all":
                waiting.append((*what[0], *rest))
            else:
                item, least, most = what
                if least == 0:
                    waiting.append(rest)
                if most != 0:
                    left = ("repeat", item, max(least - 1, 0), None if most is None else most - 1)
                    waiting.append((item, left, *rest))
        return {stack for stack in seen if not stack or stack[0][0] == "one"}

    def takes(self, text: str) -> bool:
        stacks = self._expanded({(("rule", "root"),)})
        for character in text:
            found = {stack[1:] for stack in stacks if stack and re.fullmatch(stack[0][1], character)}
            stacks = self._expanded(found)
            if not stacks:
                return False
        return () in stacks


@pytest.mark.parametrize(
    ("gbnf", "good", "bad"),
    [
        ('root ::= "a" [b-d]{2,3} | e?\ne ::= "\\"\\n"', ["abc", "abcd", "", '"\n'], ["ab", "abbbb", '"', "e"]),
        ("root ::= ([^\\U0000005D-]+ | .{2})*", ["", "ab", "a]", "--", "\n\n\n"], ["]", "-", "]]]"]),
        (JSON_GRAMMAR.strip(), ['{"a": [1, -2.5e3, null]}', "[]"], ["{", "1", '{"a" 1}', ""]),
    ],
)
def test_the_interpreter_itself(gbnf: str, good: list[str], bad: list[str]) -> None:
    reading = Reading(gbnf)
    assert [text for text in good if not reading.takes(text)] == []
    assert [text for text in bad if reading.takes(text)] == []


# --- text up to a mark ----------------------------------------------------------------------------------------------

LETTERS = "ab<|\n é"
WORD = st.text(alphabet=LETTERS, min_size=1, max_size=4)
TEXT = st.text(alphabet=LETTERS + "x", max_size=14)


def first_end(text: str, marks: list[str]) -> int | None:
    """Where the mark ends that is complete first."""
    ends = [text.find(mark) + len(mark) for mark in marks if mark in text]
    return min(ends, default=None)


@settings(max_examples=400, deadline=None)
@given(marks=st.lists(WORD, min_size=1, max_size=3, unique=True), text=TEXT, may_end=st.booleans())
def test_text_until_ends_where_find_finds_the_first_mark(marks: list[str], text: str, may_end: bool) -> None:
    rules = Rules()
    gbnf = rules.grammar(rules.text_until(dict.fromkeys(marks, '"!"'), may_end=may_end))
    check_grammar(gbnf)
    reading = Reading(gbnf)
    end = first_end(text, marks)
    if end is None:
        assert reading.takes(text) is may_end
        assert not reading.takes(text + "!") or may_end
    else:
        assert reading.takes(text[:end] + "!")
        assert not reading.takes(text[:end])
        assert not reading.takes(text + "?")
        assert reading.takes(text + "!") is (end == len(text))


@settings(max_examples=150, deadline=None)
@given(
    marks=st.lists(WORD, min_size=1, max_size=3, unique=True), text=TEXT, not_first=st.sampled_from(["{", "x{", "["])
)
def test_text_until_may_be_kept_from_a_beginning(marks: list[str], text: str, not_first: str) -> None:
    rules = Rules()
    reading = Reading(rules.grammar(rules.text_until(dict.fromkeys(marks, ""), may_end=True, not_first=not_first)))
    begins_well = not text.lstrip(" \t\r\n").startswith(tuple(not_first))
    is_whole = first_end(text, marks) in (None, len(text))
    if any(mark[0] in " \n" for mark in marks):
        return  # A mark of white space begins before it is known what the text begins with.
    assert reading.takes(text) is (begins_well and is_whole)


def test_what_follows_is_that_of_the_longest_mark_that_ends_there() -> None:
    rules = Rules()
    reading = Reading(rules.grammar(rules.text_until({"ab": '"1"', "xab": '"2"', "b!": '"3"'})))
    assert [text for text in ("ab1", "-ab1", "xab2", "xxab2", "b!3") if not reading.takes(text)] == []
    assert [text for text in ("ab2", "xab1", "ab", "ab!3", "a", "") if reading.takes(text)] == []


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=12), other=st.text(max_size=3))
def test_a_literal_is_that_text_and_nothing_else(text: str, other: str) -> None:
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        return
    reading = Reading(f"root ::= {literal(text)}")
    assert reading.takes(text)
    assert reading.takes(other) is (other == text)


def test_rules_that_are_the_same_are_one() -> None:
    rules = Rules()
    assert rules.rule('"a" "b"') == rules.rule('"a" "b"') != rules.rule('"a"')
    assert rules.one_of(["a", "a"]) == "a"
    assert rules.json({"type": "string", "maxLength": 2}) != rules.json({"type": "string", "maxLength": 3})


# --- whole answers --------------------------------------------------------------------------------------------------

ADD = Tool("add", "", {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})
NOW = Tool("now", "", {"type": "object", "properties": {}})
TOOLS = (ADD, NOW)
HERMES = notation_named("hermes")
THINK = ReasoningFormat("<think>", "</think>")
CALL = '<tool_call>\n{"name": "add", "arguments": {"n": 1}}\n</tool_call>'
BAD = '<tool_call>\n{"name": "add", "arguments": {}}\n</tool_call>'
OUTPUT = JsonOutput({"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]})


def reading_of(form: AnswerForm, reasoning: ReasoningFormat | None = None, notation: str = "hermes") -> Reading:
    gbnf = answer_grammar(form, notation_named(notation), reasoning)
    assert gbnf is not None
    return Reading(gbnf)


ANSWERS = {
    "free": (
        AnswerForm(TOOLS),
        ["", "No.", "<tool", CALL, f"Well. {CALL}\n{CALL}", f"\n{CALL}"],
        [BAD, f"Well. {BAD}", f"{CALL}{BAD}", "<tool_call>", f"{CALL}\n<tool_call>{{"],
    ),
    "free, one call": (AnswerForm(TOOLS, parallel=False), ["No.", CALL, f"{CALL}\n"], [f"{CALL}\n{CALL}", f"{CALL}x"]),
    "forced": (AnswerForm(TOOLS, True), [CALL, f"\n\n{CALL}\n{CALL}"], ["", "No.", BAD, f"No. {CALL}", f"{CALL} "]),
    "forced, one call": (AnswerForm(TOOLS, True, False), [CALL], [f"{CALL}\n{CALL}", ""]),
    "forced, one tool": (AnswerForm((NOW,), True), [CALL.replace("add", "now").replace('"n": 1', "")], [CALL]),
    "JSON": (AnswerForm(output=OUTPUT), ['{"ok": true}', ' {"ok":false}'], [CALL, "{}", '{"ok": 1}', '{"ok": true} ']),
    "any JSON": (AnswerForm(output=JsonOutput()), ["{}", "[1]"], ["1", "No.", CALL, ""]),
    "JSON or calls": (
        AnswerForm(TOOLS, output=OUTPUT),
        ['{"ok": true}', CALL, f"{CALL}\n{CALL}"],
        ["No.", "{}", f'{CALL}{{"ok": true}}', BAD, ""],
    ),
    "any JSON or one call": (
        AnswerForm(TOOLS, parallel=False, output=JsonOutput()),
        ["{}", CALL],
        ["No.", f"{CALL}\n{CALL}"],
    ),
    "forced, though JSON is wanted too": (AnswerForm(TOOLS, True, output=OUTPUT), [CALL], ['{"ok": true}']),
}


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize(
    ("reasoning", "before", "never"),
    [
        (None, ("",), ("<think>",)),
        (THINK, ("", "<think>a < b {}</think>", "\n<think></think>\n\n"), ("a</think>", "<think>a", "<think>")),
        (ReasoningFormat("<think>", "</think>", open_at_start=True), ("a <think> b</think>", "</think>"), ("", "a")),
        (ReasoningFormat("<think>", "</think>", closed=True), ("",), ("<think>a</think>",)),
    ],
    ids=["none", "optional", "open", "closed"],
)
def test_answers(name: str, reasoning: ReasoningFormat | None, before: tuple[str, ...], never: tuple[str, ...]) -> None:
    form, good, bad = ANSWERS[name]
    reading = reading_of(form, reasoning)
    for thought in before:
        assert [text for text in good if not reading.takes(thought + text)] == []
        assert [text for text in bad if reading.takes(thought + text)] == []
    if form.must_call or form.output is not None:
        for thought in never:
            assert [text for text in good if reading.takes(thought + text)] == []


@settings(max_examples=60, deadline=None)
@given(text=st.text(alphabet='<>/tool_ca{"n', max_size=20))
def test_any_text_without_a_mark_is_an_answer(text: str) -> None:
    assert reading_of(AnswerForm(TOOLS)).takes(text) is ("<tool_call>" not in text)


def test_what_may_stand_between_reasoning_and_answer() -> None:
    reading = reading_of(AnswerForm(output=OUTPUT), ReasoningFormat("<t>", "</t>", then="<r>"))
    assert reading.takes('<t>a</t><r>{"ok": true}')
    assert reading.takes('<t>a</t>{"ok": true}')
    assert reading.takes('{"ok": true}')
    assert not reading.takes('<r>{"ok": true}')


def test_a_channel_of_its_own_for_text() -> None:
    reading = reading_of(AnswerForm(output=OUTPUT), notation="command_r7b")
    assert reading.takes('<|START_RESPONSE|>{"ok": true}')
    assert reading.takes('{"ok": true}')
    assert not reading.takes("<|START_RESPONSE|>")


def test_calls_without_a_mark() -> None:
    call = '{"name": "now", "parameters": {}}'
    free = reading_of(AnswerForm(TOOLS), notation="llama")
    for text in (call, f"\n{call}", f"{call}; {call}", f"<|python_tag|>{call}", "No.", "", f"a {call}", "[1]"):
        assert free.takes(text), text
    for text in ('{"x": 1}', f"{call}; {{}}", f"{call} No.", "<|python_tag|>x", " {"):
        assert not free.takes(text), text


def test_nothing_is_asked_for() -> None:
    assert answer_grammar(AnswerForm(), HERMES, THINK) is None
    assert answer_grammar(AnswerForm(TOOLS), None, THINK) is None
    assert answer_grammar(AnswerForm(output=JsonOutput()), None, None) == JSON_GRAMMAR


def test_the_same_question_is_worked_out_once() -> None:
    first, second = (answer_grammar(AnswerForm(TOOLS, must), HERMES, None) for must in (True, True))
    assert first is second
    assert first != answer_grammar(AnswerForm(TOOLS, False), HERMES, None)


@pytest.mark.parametrize("notation", NOTATIONS, ids=lambda notation: notation.name)
@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"n": False}, "required": ["n"]},
        {"properties": {"n": {"anyOf": [False]}}, "required": ["n"]},
        {"properties": {"n": {"type": "string", "const": 5}}, "required": ["n"]},
        {"properties": {"n": {"type": "array", "items": False, "minItems": 1}}, "required": ["n"]},
        {"properties": {"o": {"type": "object", "properties": {"n": False}, "required": ["n"]}}, "required": ["o"]},
        {"properties": {}, "additionalProperties": False, "required": ["n"]},
        {"properties": {"n": {"enum": []}}},
    ],
    ids=["false", "any of nothing", "a contradiction", "items", "nested", "none allowed", "an empty enum"],
)
def test_a_schema_that_allows_nothing(notation: Notation, schema: dict[str, Any]) -> None:
    tool = Tool("never", "", {"type": "object", **schema})
    with pytest.raises(InvalidRequestError):
        answer_grammar(AnswerForm((tool,), True), notation, None)


@pytest.mark.parametrize("notation", NOTATIONS, ids=lambda notation: notation.name)
def test_what_may_not_be_given_is_left_out(notation: Notation) -> None:
    properties = {
        "never": False,
        "empty": {"type": "array", "items": False},
        "one": {"anyOf": [False, {"const": 7}]},
    }
    tool = Tool("f", "", {"type": "object", "properties": properties, "required": ["empty", "one"]})
    gbnf = answer_grammar(AnswerForm((tool,), parallel=False), notation, None)
    assert gbnf is not None
    reading = Reading(gbnf)
    assert reading.takes(notation.written([call_with(empty=[], one=7)]))
    for bad in (call_with(empty=[], one=7, never=1), call_with(empty=[1], one=7), call_with(empty=[], one=8)):
        assert not reading.takes(notation.written([bad]))


def call_with(**arguments: Any) -> ToolCall:
    return ToolCall("call00000", "f", json.dumps(arguments))


@pytest.mark.parametrize("strange", ['say "hi"', "back\\slash", "line\nbreak", "ü🦙", "a]b", "{x}"])
def test_strange_names(strange: str) -> None:
    tool = Tool(strange, "", {"type": "object", "properties": {strange: {"const": strange}}, "required": [strange]})
    reading = reading_of(AnswerForm((tool,), True))
    written = json.dumps({"name": strange, "arguments": {strange: strange}}, ensure_ascii=False)
    assert reading.takes(f"<tool_call>\n{written}\n</tool_call>")
    assert not reading.takes(f"<tool_call>\n{written.replace('}}', ', 1}}')}\n</tool_call>")


@pytest.mark.parametrize("must_call", [True, False])
def test_a_schema_of_too_many_readings_is_refused_behind_any_text(must_call):
    lists = [{"type": "array", "items": {"$ref": "#/$defs/n"}, "minItems": least} for least in (0, 1)]
    schema = {
        "type": "object",
        "properties": {"x": {"$ref": "#/$defs/n"}},
        "required": ["x"],
        "$defs": {"n": {"anyOf": [*lists, {"type": "string"}]}},
    }
    form = AnswerForm((Tool("a_tool_with_a_long_name", "", schema),), must_call)
    with pytest.raises(InvalidRequestError, match="in more than 1000 ways"):
        answer_grammar(form, notation_named("hermes"), None)


def test_too_many_tools_are_told_as_such():
    schema = {"type": "object", "properties": {"x": {"type": "string"}}}
    tools = tuple(Tool(f"tool_{number}", "", schema) for number in range(120))
    with pytest.raises(InvalidRequestError, match="120 tools with their schemas make a grammar that is too large"):
        answer_grammar(AnswerForm(tools, must_call=True), notation_named("hermes"), None)
