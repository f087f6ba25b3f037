"""Agents: what `langchain.agents.create_agent` and LangGraph ask of a model, and how they listen to it."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage

from langchain_localmodels.testing.contract.base import EngineContract
from langchain_localmodels.testing.contract.helpers import Joke, get_weather, run, text_of


class AgentContract(EngineContract):
    """Loops of model and tools. Needs the package `langchain`."""

    def agent(self, **options: Any) -> Any:
        """Make an agent on the row's model."""
        from langchain.agents import create_agent

        fields = options.pop("fields", {})
        return create_agent(self.chat_model(**fields), **options)

    def asked(self, question: str) -> dict[str, Any]:
        """What an agent is given."""
        return {"messages": [HumanMessage(question)]}

    @pytest.mark.parametrize("version", ["v0", "v1"])
    def test_an_agent_with_a_tool(self, version: str) -> None:
        """It calls the tool, reads the result, and answers."""
        agent = self.agent(tools=[get_weather], fields={"output_version": version})
        for state in (
            agent.invoke(self.asked(self.weather_question)),
            run(agent.ainvoke(self.asked(self.weather_question))),
        ):
            _, call, result, answer = state["messages"]
            assert [made["name"] for made in call.tool_calls] == ["get_weather"]
            assert isinstance(result, ToolMessage)
            assert result.text == "It's sunny."
            assert result.tool_call_id == call.tool_calls[0]["id"]
            assert answer.text
            assert answer.tool_calls == []

    def test_an_agent_without_need_for_its_tool(self) -> None:
        """It answers at once."""
        state = self.agent(tools=[get_weather]).invoke(self.asked(self.question))
        assert [type(message) for message in state["messages"]] == [HumanMessage, AIMessage]

    @pytest.mark.parametrize("strategy", ["chosen", "provider", "tool"])
    def test_an_agent_with_a_form_for_its_answer(self, strategy: str) -> None:
        """`response_format` gives an object, by the strategy that LangChain chooses and by both that it has."""
        from langchain.agents.structured_output import ProviderStrategy, ToolStrategy

        if strategy == "provider":
            self.need(self.capabilities.constrain != "none", "answers cannot be constrained")
        form: Any = {"chosen": Joke, "provider": ProviderStrategy(Joke), "tool": ToolStrategy(Joke)}[strategy]
        state = self.agent(response_format=form).invoke(self.asked(self.joke_question))
        assert isinstance(state["structured_response"], Joke)

    def test_the_messages_of_an_agent_are_streamed(self) -> None:
        """LangGraph's stream mode `messages` gives the answer in pieces, the call in chunks, and the whole alike."""
        agent = self.agent(tools=[get_weather])
        want = agent.invoke(self.asked(self.weather_question))["messages"]
        seen = [piece for piece, _ in agent.stream(self.asked(self.weather_question), stream_mode="messages")]
        chunks = [piece for piece in seen if isinstance(piece, AIMessageChunk)]
        assert "".join(chunk.text for chunk in chunks) == "".join(m.text for m in want if isinstance(m, AIMessage))
        assert len([chunk for chunk in chunks if chunk.text]) > 2
        assert [part["name"] for chunk in chunks for part in chunk.tool_call_chunks if part["name"]] == ["get_weather"]
        assert [piece.text for piece in seen if isinstance(piece, ToolMessage)] == ["It's sunny."]

    def test_the_steps_of_an_agent_are_streamed(self) -> None:
        """Stream mode `updates` gives a step of the model, one of the tool, and one of the model."""
        agent = self.agent(tools=[get_weather])
        steps = [name for update in agent.stream(self.asked(self.weather_question)) for name in update]
        assert steps == ["model", "tools", "model"]

    def test_the_events_of_an_agent(self) -> None:
        """`astream_events` of version 2 gives the model's tokens from inside of the agent."""
        agent = self.agent(tools=[get_weather])

        async def collect() -> list[Any]:
            return [event async for event in agent.astream_events(self.asked(self.question), version="v2")]

        events = run(collect())
        text = "".join(e["data"]["chunk"].text for e in events if e["event"] == "on_chat_model_stream")
        assert text == text_of(self.chat_model().bind_tools([get_weather]).invoke(self.question))

    def test_summaries(self) -> None:
        """LangChain's middleware for summaries counts with the model, and has it write."""
        from langchain.agents.middleware import SummarizationMiddleware

        summarize: Any = SummarizationMiddleware(
            model=self.chat_model(max_tokens=16), trigger=("messages", 4), keep=("messages", 1)
        )
        told = [text for _ in range(2) for text in (HumanMessage("Hello"), AIMessage("Hello! How can I help you?"))]
        agent = self.agent(middleware=[summarize])
        state = agent.invoke({"messages": [*told, HumanMessage(self.question)]})
        assert len(state["messages"]) == 3, "a summary, the last message, and the answer"
        assert state["messages"][-2].text == self.question
        assert state["messages"][-1].text

    def test_retries(self) -> None:
        """LangChain's middleware for retries leaves a request alone that cannot be served, and says its error."""
        from langchain.agents.middleware import ModelRetryMiddleware

        agent = self.agent(middleware=[ModelRetryMiddleware(max_retries=1, initial_delay=0, on_failure="error")])
        with pytest.raises(ValueError, match="content"):
            agent.invoke({"messages": [HumanMessage("")]})
