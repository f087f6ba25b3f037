"""Stop strings in text that arrives in pieces."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_localmodels.dialects.stopping import StopMatcher, first_match, held_back

LETTERS = st.text(alphabet="ab\n", max_size=30)
STOPS = st.lists(st.text(alphabet="ab\n", max_size=4), max_size=4)


def run(pieces: list[str], stops: list[str]) -> tuple[list[str], bool]:
    matcher = StopMatcher(stops)
    released = [matcher.feed(piece) for piece in pieces]
    return [*released, matcher.finish()], matcher.stopped


def reference(text: str, stops: list[str]) -> str:
    """What is left if the text is looked at after every single character."""
    for end in range(1, len(text) + 1):
        starts = [end - len(stop) for stop in stops if stop and text[:end].endswith(stop)]
        if starts:
            return text[: min(starts)]
    return text


def test_nothing_to_stop_at() -> None:
    assert run(["a", "", "b"], []) == (["a", "", "b", ""], False)
    assert run(["a"], [""]) == (["a", ""], False)


def test_only_what_could_begin_a_stop_string_is_held_back() -> None:
    assert run(["Hi\nUs", "ual\n", "x"], ["\nUser:"]) == (["Hi", "\nUsual", "\nx", ""], False)
    assert run(["Hi\nUs"], ["\nUser:"]) == (["Hi", "\nUs"], False)


def test_stop_string_across_pieces() -> None:
    assert run(["Hi\nU", "ser: more", "and more"], ["\nUser:"]) == (["Hi", "", "", ""], True)


def test_the_first_to_be_complete_wins() -> None:
    assert run(["abcd"], ["abcd", "bc"]) == (["a", ""], True)
    assert run(["xabc"], ["bc", "abc", "c"]) == (["x", ""], True)


def test_a_false_start_does_not_hide_a_real_one() -> None:
    assert run(list("aaab"), ["aab"])[0] == ["", "", "a", "", ""]


def test_helpers() -> None:
    assert first_match("nothing", ["x", "y"]) is None
    assert first_match("a<b>", ["<b>", "a<b>"]).marker == "a<b>"
    assert held_back("abc<thi", ["<think>", "</x>"]) == 4
    assert held_back("abc", []) == 0
    assert held_back("<think>", ["<think>"]) == 0


@given(text=LETTERS, stops=STOPS, cuts=st.lists(st.integers(0, 30), max_size=6))
def test_any_split_gives_the_same(text, stops, cuts) -> None:
    bounds = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[a:b] for a, b in itertools.pairwise(bounds)]
    for split in (pieces, list(text), [text]):
        released, stopped = run(split, stops)
        joined = "".join(released)
        assert joined == reference(text, stops)
        assert stopped == (joined != text)
        assert not any(stop in joined for stop in stops if stop)


@pytest.mark.parametrize("stop", ["\n\n", "é", "🦙!"])
def test_any_characters(stop) -> None:
    assert run(list(f"one{stop}two"), [stop])[0] == ["o", "n", "e", *[""] * (len(stop) + 4)]
