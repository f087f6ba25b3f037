"""Chunks are made without the constructors of LangChain's classes: what comes of it is what those make."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk, GenerationChunk
from pydantic import ValidationError

from langchain_localmodels.chunks import Answer, _made
from langchain_localmodels.engines.base import (
    FinishDelta,
    InvalidToolCallDelta,
    ReasoningDelta,
    TextDelta,
    Timings,
    ToolCallDelta,
    Usage,
)

END = FinishDelta("stop", Usage(3, 4, 2), Timings(0.5, load=0.1), "a-model")


def state(model):
    """All that an object of pydantic consists of."""
    return (
        type(model),
        {name: state(value) if hasattr(value, "model_fields_set") else value for name, value in vars(model).items()},
        [*vars(model)],
        model.model_fields_set,
        model.model_extra,
        model.__pydantic_private__,
    )


call_pieces = st.fixed_dictionaries(
    {
        "name": st.none() | st.text(max_size=3),
        "args": st.none() | st.sampled_from(['{"a"', "{}", "[1", "]"]),
        "id": st.none() | st.text(max_size=3),
        "index": st.none() | st.integers(),
        "type": st.just("tool_call_chunk"),
    }
)
messages = st.fixed_dictionaries(
    {"content": st.text(), "response_metadata": st.dictionaries(st.text(max_size=3), st.text() | st.integers())},
    optional={
        "additional_kwargs": st.dictionaries(st.text(max_size=3), st.text()),
        "tool_call_chunks": st.lists(call_pieces, max_size=2),
        "usage_metadata": st.just({"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}),
        "chunk_position": st.just("last"),
        "more": st.integers(),
    },
)


@given(messages)
def test_a_chunk_is_what_its_constructor_makes(fields):
    built = AIMessageChunk(**fields)
    made = _made(AIMessageChunk, dict(fields))
    assert state(made) == state(built)
    assert made == built
    assert made.model_dump() == built.model_dump()
    outer = ChatGenerationChunk(message=built)
    assert state(_made(ChatGenerationChunk, {"message": made})) == state(outer)
    assert _made(ChatGenerationChunk, {"message": made}) + outer == outer + outer


@given(st.text())
def test_a_chunk_of_a_text_model_is_what_its_constructor_makes(text):
    assert state(_made(GenerationChunk, {"text": text})) == state(GenerationChunk(text=text))


def test_fields_are_checked():
    for wrong in ({"content": 5}, {}, {"content": "a", "chunk_position": "first"}):
        with pytest.raises(ValidationError):
            AIMessageChunk(**wrong)
        with pytest.raises(ValidationError):
            _made(AIMessageChunk, dict(wrong))


def test_chunks_share_nothing_that_can_be_changed():
    answer = Answer("an-engine")
    one, other = (answer.chat_chunks(TextDelta(text))[0].message for text in "ab")
    for field in ("additional_kwargs", "response_metadata", "tool_calls", "invalid_tool_calls", "tool_call_chunks"):
        assert getattr(one, field) is not getattr(other, field)
    one.response_metadata["mine"] = one.additional_kwargs["mine"] = True
    assert other.response_metadata == {"model_provider": "an-engine"}
    assert other.additional_kwargs == {}


def test_every_kind_of_delta_becomes_a_whole_chunk():
    answer = Answer("an-engine")
    deltas = [
        ReasoningDelta("so"),
        TextDelta("a"),
        ToolCallDelta(0, "x", "f", '{"a": 1}'),
        InvalidToolCallDelta("{", "no JSON", "g"),
        END,
    ]
    chunks = [chunk for delta in deltas for chunk in answer.chat_chunks(delta)]
    for chunk in chunks:
        fields = {name: getattr(chunk.message, name) for name in chunk.message.model_fields_set}
        assert chunk == ChatGenerationChunk(message=AIMessageChunk(**fields))
        assert chunk.text == chunk.message.content
        assert chunk.message.response_metadata["model_provider"] == "an-engine"
    assert next(iter(chunks[-1].message.response_metadata)) == "model_provider"
    assert [chunk.message.chunk_position for chunk in chunks] == [None, None, None, None, "last"]
    assert chunks[-1].message.usage_metadata["total_tokens"] == 7
