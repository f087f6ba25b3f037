"""`LocalChatModel`: the chat face, written once for all engines; and the chat classes of all engines by name.

`invoke`, `ainvoke`, `stream` and `astream` drive one and the same stream of an engine's deltas. What becomes of a delta
is in `chunks.py`; what messages become on their way in, in `dialects/messages.py`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.model_profile import ModelProfile
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult, LLMResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool

from langchain_localmodels._lazy import find_class
from langchain_localmodels.chunks import Answer
from langchain_localmodels.dialects.messages import to_tools, to_turns
from langchain_localmodels.engines.base import ChatRequest, DeltaStream, Image, ToolChoice, Turn
from langchain_localmodels.errors import InvalidRequestError, UnsupportedFeatureError
from langchain_localmodels.faces import LocalLanguageModel, ManyAtOnce

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

_TOKENS_AROUND_A_MESSAGE = 4


class LocalChatModel(LocalLanguageModel, ManyAtOnce[AIMessage], BaseChatModel):
    """A chat model on a local engine. What is used are the classes of engines, such as `ChatLlamaCpp`.

    Example:
        ```python
        from langchain_localmodels import ChatLlamaCpp

        chat = ChatLlamaCpp(model_path="model.gguf", temperature=0, max_tokens=200)
        chat.invoke("Who was the first man on the moon?").content
        for chunk in chat.stream("And the second?"):
            print(chunk.text, end="")
        ```
    """

    _ls_model_type: ClassVar[Literal["chat", "llm"]] = "chat"

    @property
    def _llm_type(self) -> str:
        return f"chat-{self._engine_name}"

    # --- one stream, four drivers -----------------------------------------------------------------------------------

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        answer = Answer(self._engine_name)
        tell = self._reports_tokens(run_manager, kwargs)
        with closing(self._begin(messages, stop, kwargs, pieces=tell)) as deltas:
            for delta in deltas:
                if not tell or run_manager is None:
                    answer.add(delta)
                    continue
                for chunk in answer.chat_chunks(delta):
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
        return ChatResult(generations=[answer.chat_generation()])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        answer = Answer(self._engine_name)
        tell = self._reports_tokens(run_manager, kwargs)
        await self._aengine()
        async with aclosing(self._begin(messages, stop, kwargs, pieces=tell)) as deltas:
            async for delta in deltas:
                if not tell or run_manager is None:
                    answer.add(delta)
                    continue
                for chunk in answer.chat_chunks(delta):
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
        return ChatResult(generations=[answer.chat_generation()])

    async def _agenerate_with_cache(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        try:
            return await super()._agenerate_with_cache(messages, stop, run_manager, **kwargs)
        except asyncio.CancelledError as error:
            # langchain-core tells callbacks of every error but this one: the run would stay open in a trace for ever.
            if run_manager is not None:
                await run_manager.on_llm_error(error, response=LLMResult(generations=[]))
            raise

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        answer = Answer(self._engine_name)
        with closing(self._begin(messages, stop, kwargs)) as deltas:
            for delta in deltas:
                for chunk in answer.chat_chunks(delta):
                    if run_manager is not None:
                        run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk
        answer.check_whole()

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        answer = Answer(self._engine_name)
        await self._aengine()
        async with aclosing(self._begin(messages, stop, kwargs)) as deltas:
            async for delta in deltas:
                for chunk in answer.chat_chunks(delta):
                    if run_manager is not None:
                        await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk
        answer.check_whole()

    def _begin(
        self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any], *, pieces: bool = True
    ) -> DeltaStream:
        given = dict(kwargs)
        tools = [convert_to_openai_tool(tool) for tool in given.pop("tools", None) or ()]
        choice = self._tool_choice(given.pop("tool_choice", None))
        turns = to_turns(messages)
        if not any(_says_something(turn) for turn in turns):
            raise InvalidRequestError("There is nothing to answer: no message has any content.")
        settings = replace(self._settings(stop, given), pieces=pieces)
        request = ChatRequest(turns, to_tools(tools), choice, settings)
        return self.engine.chat(request)

    # --- tools ------------------------------------------------------------------------------------------------------

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Give the model tools that it may call.

        Args:
            tools: Functions, pydantic classes, LangChain tools, or dicts in OpenAI's form.
            tool_choice: `None` or `"auto"` to leave it to the model, `"none"` to forbid calls.
            **kwargs: More options for each call, as `bind` takes them.

        Raises:
            UnsupportedFeatureError: If a call is to be forced.
        """
        self._tool_choice(tool_choice)
        converted = [convert_to_openai_tool(tool, strict=kwargs.get("strict")) for tool in tools]
        return self.bind(tools=converted, tool_choice=tool_choice, **kwargs)

    def with_structured_output(
        self, schema: dict[str, Any] | type, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[LanguageModelInput, Any]:
        """Not there yet.

        Raises:
            UnsupportedFeatureError: Always, in this version.
        """
        raise UnsupportedFeatureError(
            f"{type(self).__name__} cannot be held to a schema yet.",
            hint="Say in the prompt which JSON you want, and parse it, for example with PydanticOutputParser; "
            'where the engine takes it, `format="json"` makes sure that it is JSON.',
        )

    def _tool_choice(self, choice: str | dict[str, Any] | bool | None) -> ToolChoice:
        if choice in (None, False, "auto"):
            return "auto"
        if choice == "none":
            return "none"
        raise UnsupportedFeatureError(
            f"{type(self).__name__} cannot be made to call a tool yet: tool_choice={choice!r}.",
            hint='Leave `tool_choice` out, or give "auto", and say in the prompt that the tool is to be used.',
        )

    # --- what else is known of the model ----------------------------------------------------------------------------

    def _resolve_model_profile(self) -> ModelProfile | None:
        return cast("ModelProfile | None", self._profile())

    def get_num_tokens_from_messages(self, messages: list[BaseMessage], tools: Sequence[Any] | None = None) -> int:
        """Count the tokens of messages, about as many as the model will see.

        The texts, calls and tool schemas are counted, and four tokens for what the chat template puts around a message;
        the exact number of a request that has run is in its `usage_metadata`.
        """
        turns = to_turns(messages)
        texts = [turn.text for turn in turns]
        texts += [call.name + call.arguments for turn in turns for call in turn.tool_calls]
        texts += [json.dumps(convert_to_openai_tool(tool)) for tool in tools or ()]
        return sum(self.get_num_tokens(text) for text in texts if text) + _TOKENS_AROUND_A_MESSAGE * len(turns)


def _says_something(turn: Turn) -> bool:
    return bool(turn.tool_calls) or any(isinstance(part, Image) or part.text for part in turn.parts)


def __getattr__(name: str) -> Any:
    return find_class(__name__, "chat", name)
