"""Calls as models write them: several in one answer, text before them, and some that cannot be read."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage

from langchain_localmodels.testing.contract.base import EngineContract
from langchain_localmodels.testing.contract.helpers import get_weather, joined, magic_function, run

_TEXT = "Let me see."
_GOOD = [
    ("magic_function", '{"input": 3}'),
    ("get_weather", '{"location": "Bergen"}'),
    ("magic_function", '{"input": 4}'),
]
_BROKEN = [
    '{"input": 3',
    '{"input": }',
    '["input"]',
    "3",
    "{'input': 3}",
]
"""Arguments that are no JSON object. No parser may mend them into one."""


class WrittenCallContract(EngineContract):
    """Runs where the row has a model that can be made to write certain calls; see `chat_model_that_writes`."""

    def answers(self, calls: list[tuple[str, str]], **fields: Any) -> list[AIMessage]:
        """Have the model write text and calls, and ask for them in all ways."""
        chat = self.chat_model_that_writes(_TEXT, calls, **fields).bind_tools([magic_function, get_weather])
        model: Any = chat

        async def others() -> list[AIMessage]:
            streamed = joined([chunk async for chunk in model.astream("Hello!")])
            return [await model.ainvoke("Hello!"), streamed]

        return [model.invoke("Hello!"), joined(model.stream("Hello!")), *run(others())]

    @pytest.mark.parametrize("version", ["v0", "v1"])
    def test_several_calls_in_one_answer(self, version: str) -> None:
        """All of them come, in order, each with an id of its own, after the text."""
        for message in self.answers(_GOOD, output_version=version):
            assert message.text.strip() == _TEXT
            assert [(call["name"], call["args"]) for call in message.tool_calls] == [
                ("magic_function", {"input": 3}),
                ("get_weather", {"location": "Bergen"}),
                ("magic_function", {"input": 4}),
            ]
            assert len({call["id"] for call in message.tool_calls}) == 3
            assert message.invalid_tool_calls == []
            assert [block["type"] for block in message.content_blocks] == ["text", *["tool_call"] * 3]

    def test_several_calls_in_events_of_version_3(self) -> None:
        """They stay apart in `stream_events` of version 3."""
        model: Any = self.chat_model_that_writes(_TEXT, _GOOD).bind_tools([magic_function, get_weather])
        output = model.stream_events("Hello!", version="v3").output
        assert [call["args"] for call in output.tool_calls] == [{"input": 3}, {"location": "Bergen"}, {"input": 4}]
        assert output.invalid_tool_calls == []

    @pytest.mark.parametrize("arguments", _BROKEN)
    def test_a_call_that_cannot_be_read(self, arguments: str) -> None:
        """It is in `invalid_tool_calls`, with what the model wrote, and beside it the calls that can be read."""
        for message in self.answers([("magic_function", arguments), _GOOD[1]]):
            assert [(call["name"], call["args"]) for call in message.tool_calls] == [
                ("get_weather", {"location": "Bergen"})
            ]
            (bad,) = message.invalid_tool_calls
            assert arguments in (bad["args"] or "")
            assert bad["id"]
            assert message.text.strip() == _TEXT

    def test_calls_go_back_with_their_results(self) -> None:
        """An answer with calls, one of them not readable, goes back to the model with the results."""
        for message in self.answers([_GOOD[0], ("get_weather", '{"location": '), _GOOD[1]]):
            results = [ToolMessage("5", tool_call_id=call["id"]) for call in message.tool_calls]
            assert len(results) == 2
            model = self.chat_model().bind_tools([magic_function, get_weather])
            assert isinstance(model.invoke([HumanMessage("Hello!"), message, *results]), AIMessage)
