"""What crosses between a program and the child process of an isolated engine."""

from __future__ import annotations

import io
import pickle

import pytest

from langchain_localmodels.engines.base import TextDelta
from langchain_localmodels.engines.isolation.protocol import encode, read_message
from langchain_localmodels.errors import EngineError, PromptTooLongError


def sent(*message):
    return read_message(io.BytesIO(encode(message)))


class Unpicklable(Exception):
    def __reduce__(self):
        raise pickle.PicklingError("no")


class Unreadable(Exception):
    def __init__(self, first, second):
        super().__init__(f"{first} {second}")  # pickle would call it with one argument


def test_messages_cross_unchanged():
    assert sent("items", 3, [TextDelta("é")]) == ("items", 3, [TextDelta("é")])
    error = sent("fail", 1, PromptTooLongError("long", prompt_tokens=5, context_window=4, hint="cut"))[2]
    assert (error.prompt_tokens, error.context_window, error.hint) == (5, 4, "cut")


@pytest.mark.parametrize("error", [Unpicklable("told"), Unreadable("to", "ld")])
def test_errors_that_cannot_cross_are_told_in_words(error):
    what, number, told = sent("fail", 7, error)
    assert (what, number, type(told)) == ("fail", 7, EngineError)
    assert f"{type(error).__name__}: {error}" in str(told)


def test_what_else_cannot_cross_is_an_error_at_once():
    with pytest.raises(pickle.PicklingError):
        encode(("begin", 1, "chat", Unpicklable()))


def test_the_end_may_come_anywhere():
    data = encode(("end", 1))
    source = io.BytesIO(data)
    assert read_message(source) == ("end", 1)
    assert read_message(source) is None
    for cut in range(len(data)):
        assert read_message(io.BytesIO(data[:cut])) is None


def test_bytes_may_come_one_by_one():
    class Slow(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, 1))

    assert read_message(Slow(encode(("done", 1, "x" * 300)))) == ("done", 1, "x" * 300)
