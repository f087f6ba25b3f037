"""Tool calls: chosen by the model, forced, forbidden, several, none; whole ones only; and what comes after them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, Field

from langchain_localmodels.errors import InvalidRequestError, LocalModelError
from langchain_localmodels.testing.contract.base import EngineContract
from langchain_localmodels.testing.contract.helpers import (
    arguments_fit,
    get_weather,
    joined,
    magic_function,
    run,
)

_FORCED = ["any", "required", True, "magic_function", {"type": "function", "function": {"name": "magic_function"}}]
_CHOICES = pytest.mark.parametrize("choice", _FORCED, ids=["any", "required", "True", "name", "openai"])


class MagicFunction(BaseModel):
    """Applies a magic function to an input."""

    input: int = Field(description="the input")


class ToolContract(EngineContract):
    """Tools, whichever of them the model may or must call."""

    def chat_ways(self, model: Any, messages: Any) -> list[AIMessage]:
        """Ask in all ways there are."""

        async def others() -> list[AIMessage]:
            streamed = joined([chunk async for chunk in model.astream(messages)])
            return [await model.ainvoke(messages), streamed]

        return [model.invoke(messages), joined(model.stream(messages)), *run(others())]

    # --- left to the model ------------------------------------------------------------------------------------------

    def test_the_model_calls_a_tool(self) -> None:
        """A call has a name, arguments and an id, the same whichever way it is asked for, and ends the answer."""
        model = self.chat_model().bind_tools([magic_function])
        for message in self.chat_ways(model, self.tool_question):
            (call,) = message.tool_calls
            assert call["name"] == "magic_function"
            assert call["args"] == {"input": 3}
            assert call["id"]
            assert message.invalid_tool_calls == []
            assert message.response_metadata["finish_reason"] == "tool_calls"
            assert [block["type"] for block in message.content_blocks].count("tool_call") == 1

    def test_the_model_calls_no_tool(self) -> None:
        """A question that needs none is answered with text, though tools are offered."""
        model = self.chat_model().bind_tools([magic_function])
        for message in self.chat_ways(model, self.question):
            assert message.tool_calls == []
            assert message.text
            assert message.response_metadata["finish_reason"] == "stop"

    @pytest.mark.parametrize("version", ["v0", "v1"])
    def test_a_streamed_call_comes_in_pieces_of_its_own(self, version: str) -> None:
        """Text and pieces of calls never share a chunk; a call begins with its name and id, and has its own index."""
        chunks = list(self.chat_model(output_version=version).bind_tools([magic_function]).stream(self.tool_question))
        pieces = [piece for chunk in chunks for piece in chunk.tool_call_chunks]  # type: ignore[attr-defined]
        assert pieces
        assert pieces[0]["name"] == "magic_function"
        assert pieces[0]["id"]
        assert len({piece["index"] for piece in pieces}) == 1
        assert all(isinstance(piece["index"], int) and piece["index"] >= 1000 for piece in pieces)
        assert not [chunk for chunk in chunks if chunk.text and chunk.tool_call_chunks]  # type: ignore[attr-defined]
        assert [call["args"] for call in joined(chunks).tool_calls] == [{"input": 3}]  # type: ignore[arg-type]

    def test_calls_in_events_of_version_3(self) -> None:
        """`stream_events` of version 3 gives the same call."""
        model: Any = self.chat_model().bind_tools([magic_function])
        output = model.stream_events(self.tool_question, version="v3").output
        assert [(call["name"], call["args"]) for call in output.tool_calls] == [("magic_function", {"input": 3})]

    def test_standard_blocks(self) -> None:
        """With `output_version="v1"` a call is a block of the content, streamed or not."""
        model = self.chat_model(output_version="v1").bind_tools([magic_function])
        for message in self.chat_ways(model, self.tool_question):
            assert [call["args"] for call in message.tool_calls] == [{"input": 3}]
            assert isinstance(message.content, list)
            assert "tool_call" in [block["type"] for block in message.content_blocks]

    @pytest.mark.parametrize("form", ["tool", "function", "pydantic", "openai", "anthropic"])
    def test_tools_in_all_forms(self, form: str) -> None:
        """A tool may be a LangChain tool, a function, a pydantic class, or a dict."""
        schema = convert_to_openai_tool(magic_function)["function"]
        forms: dict[str, Any] = {
            "tool": magic_function,
            "function": magic_function.func,  # type: ignore[attr-defined]
            "pydantic": MagicFunction,
            "openai": {"type": "function", "function": schema},
            "anthropic": {
                "name": schema["name"],
                "description": schema["description"],
                "input_schema": schema["parameters"],
            },
        }
        message = self.chat_model().bind_tools([forms[form]], tool_choice="any").invoke(self.tool_question)
        assert [set(call["args"]) for call in message.tool_calls] == [{"input"}] * len(message.tool_calls)
        assert message.tool_calls

    # --- tool_choice ------------------------------------------------------------------------------------------------

    @_CHOICES
    def test_a_call_that_is_forced(self, choice: Any) -> None:
        """A call that must be made is made, whatever is asked, with arguments that fit."""
        model = self.chat_model().bind_tools([magic_function], tool_choice=choice)
        for message in self.chat_ways(model, "Hello!"):
            assert message.tool_calls, f"no call: {message.text!r}"
            assert arguments_fit(message)
            assert message.invalid_tool_calls == []
            assert message.text == ""
            assert message.response_metadata["finish_reason"] == "tool_calls"

    @pytest.mark.parametrize("name", ["magic_function", "get_weather"])
    def test_the_one_that_is_named(self, name: str) -> None:
        """Of several tools the one that is named is called, though the question speaks of the other."""
        question = self.tool_question if name == "get_weather" else self.weather_question
        model = self.chat_model().bind_tools([magic_function, get_weather], tool_choice=name)
        for message in self.chat_ways(model, question):
            assert {call["name"] for call in message.tool_calls} == {name}
            assert arguments_fit(message)

    def test_any_of_several(self) -> None:
        """Where any must be called, it is one of those that are offered."""
        model = self.chat_model().bind_tools([get_weather, magic_function], tool_choice="any")
        for question in ("Hello!", self.question, self.weather_question):
            message = model.invoke(question)
            assert message.tool_calls
            assert arguments_fit(message)

    def test_none(self) -> None:
        """Tools that are offered and forbidden are not called."""
        model = self.chat_model().bind_tools([magic_function], tool_choice="none")
        for message in self.chat_ways(model, self.tool_question):
            assert message.tool_calls == []
            assert message.invalid_tool_calls == []

    @pytest.mark.parametrize("choice", ["nobodys_tool", {"type": "function", "function": {"name": "nobodys_tool"}}])
    def test_a_tool_that_is_not_offered(self, choice: Any) -> None:
        """A name that no tool has is an error, which names it."""
        with pytest.raises(InvalidRequestError, match="nobodys_tool"):
            self.chat_model().bind_tools([magic_function], tool_choice=choice).invoke("Hello!")

    def test_a_choice_without_tools(self) -> None:
        """A call cannot be forced where no tool is offered."""
        with pytest.raises(InvalidRequestError):
            self.chat_model().invoke("Hello!", tool_choice="any")

    def test_at_most_one_call(self) -> None:
        """`parallel_tool_calls=False` gives at most one call, though two are asked for."""
        question = f"{self.tool_question.rstrip('.')} and {self.weather_question}"
        for choice in ("auto", "any"):
            model = self.chat_model().bind_tools(
                [magic_function, get_weather], tool_choice=choice, parallel_tool_calls=False
            )
            for message in self.chat_ways(model, question):
                assert len(message.tool_calls) <= 1
                assert choice == "auto" or len(message.tool_calls) == 1

    def test_ids_differ(self) -> None:
        """No two calls share an id, in one answer or in two."""
        model = self.chat_model().bind_tools([magic_function], tool_choice="any")
        calls = [call for message in self.chat_ways(model, self.tool_question) for call in message.tool_calls]
        assert len({call["id"] for call in calls}) == len(calls) >= 4

    def test_strict_tools(self) -> None:
        """`strict` is known."""
        message = self.chat_model().bind_tools([magic_function], tool_choice="any", strict=True).invoke("Hello!")
        assert arguments_fit(message)

    # --- calls that are not whole -----------------------------------------------------------------------------------

    @pytest.mark.parametrize("most", [1, 2, 4, 8, 12, 16, 20])
    def test_a_call_that_is_cut_off_is_none(self, most: int) -> None:
        """However soon an answer is cut, half a call is never taken for a whole one."""
        tools, name = [magic_function], "magic_function"
        whole = self.chat_model().bind_tools(tools, tool_choice=name).invoke(self.tool_question)
        allowed = [call["args"] for call in whole.tool_calls]
        assert allowed
        model = self.chat_model(max_tokens=most).bind_tools(tools, tool_choice=name)
        if self.capabilities.constrain == "none":
            # Such an engine is asked again, and may have to tell that there is no call.
            with suppress(LocalModelError):
                assert all(call["args"] in allowed for call in model.invoke(self.tool_question).tool_calls)
            return
        messages = self.chat_ways(model, self.tool_question)
        for message in messages:
            assert all(call["args"] in allowed for call in message.tool_calls)
            assert message.tool_calls or message.response_metadata["finish_reason"] == "length"

    # --- what comes after -------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(
        "content", ["It's sunny.", [{"type": "text", "text": "It's sunny."}]], ids=["text", "list"]
    )
    def test_an_answer_after_a_result(self, content: Any) -> None:
        """The result of a tool goes to the model, which answers with text."""
        model = self.chat_model().bind_tools([get_weather])
        for message in self.chat_ways(model, _history(self.weather_question, content)):
            assert message.text
            assert message.tool_calls == []

    def test_a_result_that_is_an_error(self) -> None:
        """So does the error of a tool."""
        history = _history(self.weather_question, "Error: no such place.", status="error")
        assert isinstance(self.chat_model().bind_tools([get_weather]).invoke(history), AIMessage)

    def test_history_without_tools(self) -> None:
        """A conversation with calls in it can be continued by a model that is offered no tools."""
        history = _history(self.weather_question, "It's sunny.")
        assert isinstance(self.chat_model().invoke(history), AIMessage)

    def test_its_own_message_goes_back(self) -> None:
        """The message that a model answered with is one that it reads, whichever `output_version` it has."""
        for version in ("v0", "v1"):
            model: Any = self.chat_model(output_version=version).bind_tools([get_weather], tool_choice="any")
            for message in (model.invoke(self.weather_question), joined(model.stream(self.weather_question))):
                results = [ToolMessage("It's sunny.", tool_call_id=call["id"]) for call in message.tool_calls]
                again = self.chat_model(output_version=version).bind_tools([get_weather])
                answer = again.invoke([HumanMessage(self.weather_question), message, *results])
                assert isinstance(answer, AIMessage)


def _history(question: str, content: Any, **result: Any) -> Sequence[AnyMessage]:
    call = {"name": "get_weather", "args": {"location": "San Francisco, CA"}, "id": "call_1", "type": "tool_call"}
    return [
        HumanMessage(question),
        AIMessage("", tool_calls=[call]),
        ToolMessage(content, tool_call_id="call_1", name="get_weather", **result),
    ]
