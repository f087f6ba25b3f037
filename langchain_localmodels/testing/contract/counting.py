"""Token counts and profiles: what is told beforehand is what is so."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, trim_messages

from langchain_localmodels.errors import UnsupportedFeatureError
from langchain_localmodels.testing.contract.base import EngineContract
from langchain_localmodels.testing.contract.helpers import get_weather, magic_function

_HELLO = "Hello! How can I help you?"


class CountingContract(EngineContract):
    """`profile`, and the counts that `trim_messages` and summaries go by."""

    def conversation(self) -> list[AnyMessage]:
        """A conversation that ends with a question."""
        return [
            SystemMessage("You are a helpful assistant."),
            HumanMessage("Hello"),
            AIMessage(_HELLO),
            HumanMessage(self.question),
        ]

    # --- profile ----------------------------------------------------------------------------------------------------

    def test_the_profile(self) -> None:
        """Once the model is loaded there is a profile, and it says what the engine says of itself."""
        chat: Any = self.chat_model()
        chat.load()
        profile = chat.profile
        assert profile, "agents find out by the profile what the model can do"
        can = chat.engine.capabilities()
        window = profile.get("max_input_tokens")
        assert isinstance(window, int)
        assert can.context_window is None or window == can.context_window
        assert bool(profile.get("image_inputs")) == can.images
        assert bool(profile.get("tool_calling")) == can.chat
        # Agents ask for answers in a form beside calls of tools, which a grammar allows, and a schema need not.
        assert not profile.get("structured_output") or (can.chat and can.constrain != "none")
        assert profile.get("structured_output") or not can.chat or can.constrain != "grammar"

    def test_a_profile_that_is_given(self) -> None:
        """The user's own profile counts."""
        profile: Any = self.chat_model(profile={"max_input_tokens": 99}).profile
        assert profile["max_input_tokens"] == 99

    # --- counts -----------------------------------------------------------------------------------------------------

    def test_counts_of_text(self) -> None:
        """A longer text has more tokens, no text has none, and the ids are as many."""
        for model in (self.chat_model(), self.llm()):
            assert model.get_num_tokens("") == 0
            short, long = model.get_num_tokens("a word"), model.get_num_tokens("a word and many words more")
            assert 0 < short < long
            if self.capabilities.tokenizer:
                assert len(model.get_token_ids("a word")) == short
            else:
                with pytest.raises(UnsupportedFeatureError):
                    model.get_token_ids("a word")

    def test_counts_of_messages_are_those_of_the_answer(self) -> None:
        """Where there is a tokenizer, the count is what `usage_metadata` then says, tools included."""
        self.need(self.capabilities.tokenizer, "it has no tokenizer to offer, so that counts are estimates")
        chat, messages = self.chat_model(), self.conversation()
        for tools in ([], [magic_function], [magic_function, get_weather]):
            model = chat.bind_tools(tools) if tools else chat
            for asked in (messages, messages[1:], messages[-1:]):
                usage = model.invoke(asked).usage_metadata
                assert usage is not None
                assert chat.get_num_tokens_from_messages(asked, tools=tools or None) == usage["input_tokens"]

    def test_counts_grow_with_messages(self) -> None:
        """More messages and more tools have more tokens, also where it is an estimate."""
        chat, messages = self.chat_model(), self.conversation()
        counts = [chat.get_num_tokens_from_messages(messages[:end]) for end in range(2, len(messages) + 1)]
        assert counts == sorted(set(counts))
        assert chat.get_num_tokens_from_messages(messages, tools=[magic_function]) > counts[-1]

    def test_trimming(self) -> None:
        """`trim_messages` gives a conversation that has room, and no shorter one than it must."""
        chat = self.chat_model()
        long = [
            SystemMessage("Answer briefly."),
            *[HumanMessage("Hello"), AIMessage(_HELLO)] * 8,
            HumanMessage("Hello"),
        ]
        most = chat.get_num_tokens_from_messages(long) // 2
        options: dict[str, Any] = {"strategy": "last", "include_system": True, "start_on": "human"}
        trimmed = trim_messages(long, max_tokens=most, token_counter=chat, **options)
        assert trimmed[0] == long[0]
        assert isinstance(trimmed[1], HumanMessage)
        assert chat.get_num_tokens_from_messages(trimmed) <= most
        more = [long[0], *long[-len(trimmed) - 1 :]]
        assert chat.get_num_tokens_from_messages(more) > most
