"""`ScriptedChatModel` and `ScriptedLLM`: models for tests, which answer what the test says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, cast

from pydantic import BeforeValidator, Field, InstanceOf

from langchain_localmodels.chat_models import LocalChatModel
from langchain_localmodels.engines.base import Capabilities, ChatRequest, CompletionRequest, Engine
from langchain_localmodels.llms import LocalLLM
from langchain_localmodels.options import LocalModelOptions
from langchain_localmodels.testing.answers import Given
from langchain_localmodels.testing.engine import ScriptedEngine
from langchain_localmodels.testing.script import Script

_CAPABLE = Capabilities(tools="native", constrain="grammar", tokenizer=True, images=True, audio=True)


class ScriptedOptions(LocalModelOptions):
    """Fields of the models that play a script."""

    _engine_name: ClassVar[str] = "scripted"
    _aliases: ClassVar[Mapping[str, str]] = {"responses": "answers", "model_name": "model"}
    _not_identity: ClassVar[frozenset[str]] = frozenset({"answers", "capabilities"})

    answers: Annotated[Any, BeforeValidator(Script.of)]
    """What it answers: a list of answers in order, a function of the request, a dict whose keys are looked for in the
    last message, or one answer for every request. See `Answer` for what an answer may be."""

    model: Annotated[str, Field(min_length=1)] = "scripted-model"
    """Name of the model, in metadata."""

    capabilities: InstanceOf[Capabilities] = _CAPABLE
    """What the engine behind it is taken to be able to do; by default everything, with an unlimited window. Where it
    has a `context_window`, a longer prompt is refused as real engines do."""

    @property
    def script(self) -> Script:
        """The script, which all copies of this model play together."""
        return cast("Script", self.answers)

    @property
    def unused(self) -> list[Given]:
        """Answers of a list that nobody has asked for yet."""
        return self.script.unused

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """No: a script is an object of this process."""
        return False

    async def _aengine(self) -> Engine:
        # Made at once, in no helper thread: requests reach the script in the order in which they are made.
        return self.engine

    def _new_engine(self) -> Engine:
        return ScriptedEngine(self.script, self.capabilities, model=self.model)

    def _model_name(self) -> str:
        return self.model

    def _identity_extra(self) -> dict[str, Any]:
        return {"script": self.script.key, "capabilities": repr(self.capabilities)}


class ScriptedChatModel(ScriptedOptions, LocalChatModel):
    """A chat model that answers what a test says.

    It is a chat model of this package on an engine that plays a script, so streaming, callbacks, token counts, tool
    calls, structured output, caches, batches and cancellation are those of the real ones. Answers that are bound,
    copied, configured or pickled go on with the same script. No model is loaded and nothing is asked of any server.

    Example:
        ```python
        from langchain_localmodels.testing import Call, ScriptedChatModel

        model = ScriptedChatModel(answers=[Call("weather", {"city": "Paris"}), "It rains in Paris."])
        model.invoke("How is the weather in Paris?").tool_calls[0]["args"]  # {"city": "Paris"}
        model.invoke("And now in words?").text  # "It rains in Paris."
        model.requests[0].turns[-1].text  # "How is the weather in Paris?"
        ```
    """

    @property
    def requests(self) -> list[ChatRequest]:
        """What was asked of this model and its copies, in order: turns, tools, tool choice and settings."""
        return cast("list[ChatRequest]", self.script.requests)

    def _profile(self) -> dict[str, Any] | None:
        can = self.capabilities
        held = can.constrain != "none"
        known = {"text_inputs": True, "text_outputs": True, "image_inputs": can.images, "audio_inputs": can.audio}
        window = {} if can.context_window is None else {"max_input_tokens": can.context_window}
        return {**known, "tool_calling": True, "tool_choice": True, "structured_output": held, **window}


class ScriptedLLM(ScriptedOptions, LocalLLM):
    """A text-in, text-out model that answers what a test says; see `ScriptedChatModel`.

    Example:
        ```python
        from langchain_localmodels.testing import ScriptedLLM

        llm = ScriptedLLM(answers={"moon": "Neil Armstrong.", "sea": "Nobody knows."})
        llm.invoke("The first man on the moon was")  # "Neil Armstrong."
        ```
    """

    @property
    def requests(self) -> list[CompletionRequest]:
        """What was asked of this model and its copies, in order: prompt and settings."""
        return cast("list[CompletionRequest]", self.script.requests)
