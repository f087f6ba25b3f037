"""Reasoning: what a model thinks before it answers is kept apart from its answer, in LangChain's two forms."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import HumanMessage

from langchain_localmodels.chat_models import LocalChatModel
from langchain_localmodels.testing.contract.base import EngineContract
from langchain_localmodels.testing.contract.helpers import joined


class ReasoningContract(EngineContract):
    """Runs where the row has a model that thinks; see `thinking`."""

    def thinker(self, **fields: Any) -> LocalChatModel:
        """Make the model that thinks."""
        self.need(self.thinking is not None, "there is no model here that thinks before it answers")
        return self.chat_model(**{**(self.thinking or {}), **fields})

    def test_reasoning_is_no_part_of_the_text(self) -> None:
        """It is in `additional_kwargs`, streamed or not, and the text is the answer alone."""
        chat = self.thinker()
        message = chat.invoke(self.question)
        streamed = joined(list(chat.stream(self.question)))
        reasoning = message.additional_kwargs["reasoning_content"]
        assert reasoning
        assert message.text
        assert reasoning not in message.text
        assert streamed.text == message.text
        assert streamed.additional_kwargs["reasoning_content"] == reasoning

    def test_reasoning_is_a_standard_block(self) -> None:
        """It is the first of the standard blocks, in every form of the content."""
        for fields in ({}, {"output_version": "v1"}):
            chat = self.thinker(**fields)
            for message in (chat.invoke(self.question), joined(list(chat.stream(self.question)))):
                assert [block["type"] for block in message.content_blocks] == ["reasoning", "text"]
        events = self.thinker().stream_events(self.question, version="v3")
        assert str(events.reasoning)

    def test_reasoning_goes_back(self) -> None:
        """A message with reasoning in it can be part of a conversation."""
        message = self.thinker().invoke(self.question)
        assert self.thinker().invoke([HumanMessage(self.question), message, HumanMessage(self.question)]).text
