"""Reasoning in the text of an answer, from servers that do not tell it apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_localmodels.dialects.inline_thoughts import InlineThoughts
from langchain_localmodels.engines.base import ReasoningDelta, TextDelta, TokenLogprob


def read(pieces):
    thoughts = InlineThoughts()
    deltas = [delta for piece in pieces for delta in thoughts.read(piece)] + thoughts.rest()
    return tuple("".join(d.text for d in deltas if isinstance(d, kind)) for kind in (ReasoningDelta, TextDelta))


@pytest.mark.parametrize(
    ("written", "thought", "said"),
    [
        ("<think>\nHm.\n</think>\n\n42", "Hm.", "42"),
        ("\n<think>Hm.</think>42 <think>", "Hm.", "42 <think>"),
        ("<thinking>a</thinking>b", "a", "b"),
        ("[THINK]a[/THINK]b", "a", "b"),
        ("<seed:think>a</seed:think>b", "a", "b"),
        ("<think></think>b", "", "b"),
        ("<think>never closed", "never closed", ""),
        ("no marks", "", "no marks"),
        ("It says <think>x</think>.", "", "It says <think>x</think>."),
        ("Here is my thought process: none", "", "Here is my thought process: none"),
        ("<thin", "", "<thin"),
        ("<p>x</p>", "", "<p>x</p>"),
        (" ", "", " "),
        ("", "", ""),
    ],
)
def test_what_is_thought_and_what_is_said(written, thought, said):
    assert read([written]) == (thought, said)
    assert read(list(written)) == (thought, said)


WRITTEN = st.lists(
    st.sampled_from(["<think>", "</think>", "<think", "ing>", "</thinking>", "a", " ", "\n", "<seed:think>", "<", "é"])
).map("".join)


@given(WRITTEN, st.data())
def test_it_does_not_matter_where_pieces_end(written, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(written)), max_size=5)))
    pieces = [written[start:end] for start, end in zip([0, *cuts], [*cuts, len(written)], strict=True)]
    assert read(pieces) == read([written])


@given(WRITTEN)
def test_text_that_begins_with_no_mark_stays_as_it_is(written):
    assert read(["x", written]) == ("", f"x{written}")


def test_pieces_of_plain_text_are_given_as_they_come():
    thoughts = InlineThoughts()
    assert thoughts.read("<") == []
    assert thoughts.read("b") == [TextDelta("<b")]
    assert thoughts.over
    assert thoughts.read("<think>") == [TextDelta("<think>")]


def test_log_probabilities_are_kept():
    token = TokenLogprob("<", -0.5)
    thoughts = InlineThoughts()
    assert thoughts.read("<", (token,)) == []
    assert thoughts.read("b") == [TextDelta("<b", (token,))]


def test_what_is_held_back_can_be_had():
    thoughts = InlineThoughts()
    thoughts.read("<thi")
    assert thoughts.rest() == [TextDelta("<thi")]
    assert thoughts.rest() == []
