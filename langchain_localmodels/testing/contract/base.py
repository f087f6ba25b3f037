"""`EngineContract`: what a row of the contract suite says of its engine, and how it leaves tests out in the open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import pytest
from langchain_core.language_models import BaseLanguageModel

from langchain_localmodels.chat_models import LocalChatModel
from langchain_localmodels.embeddings import LocalEmbeddings
from langchain_localmodels.engines.base import Capabilities
from langchain_localmodels.llms import LocalLLM


class EngineContract:
    """Base of the areas of the suite. A row derives from `EngineContractTests`, which has all of them.

    A row must give `engine`, `missing`, `chat_model` and `llm`, and `embeddings` where the engine embeds. Everything
    else has a value that fits the demo model that comes with this package; give prompts that your model answers.

    Tests are left out in two ways, and both are shown in pytest's report with their reasons:

    - what `Capabilities` says that the engine cannot do is skipped, or tested to be refused with a clear error;
    - what `not_yet` names is run, expected to fail, and reported as soon as it passes.
    """

    # --- what a row gives -------------------------------------------------------------------------------------------

    engine: ClassVar[str]
    """The engine's name, as `model_provider` in metadata tells it."""

    missing: ClassVar[Mapping[str, Any]]
    """Fields that name a model which is not there."""

    missing_embeddings: ClassVar[Mapping[str, Any] | None] = None
    """The same for embeddings; `None` for those of `missing`."""

    not_yet: ClassVar[Mapping[str, str]] = {}
    """Tests that are known to fail: name of the test, or of one case as in `test_stop[llm]`, and the reason."""

    other_model: ClassVar[str | None] = None
    """Another model to ask for per call; `None` where the engine has one model, and refuses."""

    thinking: ClassVar[Mapping[str, Any] | None] = None
    """Fields with which the model thinks before it answers `question`; `None` where there is no such model."""

    text: ClassVar[str] = "The first man on the moon was ..."
    """A text that the model continues with several words."""

    question: ClassVar[str] = "Who was the first man on the moon?"
    """A question that the model answers with several words, without any tool."""

    tool_question: ClassVar[str] = "What is the value of magic_function(3)? Use the tool."
    """A question that makes the model call `magic_function` with the input 3, without being forced."""

    weather_question: ClassVar[str] = "What is the weather in San Francisco, CA?"
    """A question that makes the model call `get_weather` with any location, without being forced."""

    joke_question: ClassVar[str] = "Tell me a joke about cats."
    """A question that the model answers in the form `Joke`, with `setup` and `punchline`, where it is told to."""

    def chat_model(self, **fields: Any) -> LocalChatModel:
        """Make the chat model, answering deterministically unless the fields say otherwise."""
        raise NotImplementedError

    def llm(self, **fields: Any) -> LocalLLM:
        """Make the text-in, text-out model, answering deterministically unless the fields say otherwise."""
        raise NotImplementedError

    def embeddings(self, **fields: Any) -> LocalEmbeddings:
        """Make the embeddings."""
        pytest.skip(f"{self.engine} has no class for embeddings")

    def chat_model_that_writes(self, text: str, calls: Sequence[tuple[str, str]], **fields: Any) -> LocalChatModel:
        """Make a chat model that writes certain calls, whatever it is asked; a grammar or a double can do that.

        Args:
            text: What it writes before them.
            calls: The tool's name and the arguments of each call, which may be no JSON.
            **fields: More fields.
        """
        pytest.skip(f"{self.engine}: there is no model here that can be made to write certain calls")

    # --- what the tests share ---------------------------------------------------------------------------------------

    def model(self, kind: str, **fields: Any) -> Any:
        """Make the chat model for `"chat"`, and the other one for `"llm"`."""
        return self.chat_model(**fields) if kind == "chat" else self.llm(**fields)

    def prompt(self, kind: str) -> str:
        """What to ask it."""
        return self.question if kind == "chat" else self.text

    @property
    def capabilities(self) -> Capabilities:
        """What the engine says that it can do."""
        return self.chat_model().engine.capabilities()

    def need(self, met: object, reason: str) -> None:
        """Skip the test, and say why, unless what it needs is there."""
        if not met:
            pytest.skip(f"{self.engine}: {reason}")

    @pytest.fixture(autouse=True)
    def _expect_what_is_not_there_yet(self, request: pytest.FixtureRequest) -> None:
        names = (request.node.name, getattr(request.node, "originalname", None))
        for name in names:
            if (reason := self.not_yet.get(str(name))) is not None:
                request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
                return

    def test_what_is_not_there_yet_names_tests(self) -> None:
        """Every name in `not_yet` is that of a test, and has a reason."""
        for name, reason in self.not_yet.items():
            assert callable(getattr(self, name.partition("[")[0], None)), f"{name} is no test"
            assert reason.strip(), f"{name} has no reason"

    def test_the_engine_is_what_it_says(self) -> None:
        """Both classes carry the engine's name, and say what they can do."""
        for model in (self.chat_model(), self.llm()):
            assert isinstance(model, BaseLanguageModel)
            assert model._engine_name == self.engine
            assert isinstance(model.engine.capabilities(), Capabilities)
