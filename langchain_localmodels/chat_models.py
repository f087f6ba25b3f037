"""`LocalChatModel`: the chat face, written once for all engines; and the chat classes of all engines by name.

`invoke`, `ainvoke`, `stream` and `astream` drive one and the same stream of an engine's deltas. What becomes of a delta
is in `chunks.py`; what messages become on their way in, in `dialects/messages.py`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing, closing, suppress
from dataclasses import replace
from typing import Any, ClassVar, Literal, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.model_profile import ModelProfile
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult, LLMResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool

from langchain_localmodels._lazy import find_class
from langchain_localmodels.chunks import Answer
from langchain_localmodels.dialects.messages import to_tools, to_turns
from langchain_localmodels.engines.base import ChatRequest, DeltaStream, JsonOutput, Text, Turn
from langchain_localmodels.errors import ChatTemplateError, InvalidRequestError
from langchain_localmodels.faces import LocalLanguageModel, ManyAtOnce
from langchain_localmodels.identity import FoundProfile, ToldProfile
from langchain_localmodels.schema_check import check_schema
from langchain_localmodels.tool_choice import chat, read_tool_choice
from langchain_localmodels.tool_forms import as_openai

_TOKENS_AROUND_A_MESSAGE = 4
_TOKENS_OF_AN_IMAGE = 1000
"""Vision models make some 250 to 2000 tokens of an image; how many, only the engine knows."""


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
        tell = self._reports_tokens(run_manager, kwargs)
        answer, stream = self._begin(messages, stop, kwargs, pieces=tell)
        with closing(stream) as deltas:
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
        tell = self._reports_tokens(run_manager, kwargs)
        await self._aengine()
        answer, stream = self._begin(messages, stop, kwargs, pieces=tell)
        async with aclosing(stream) as deltas:
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
        answer, stream = self._begin(messages, stop, kwargs)
        with closing(stream) as deltas:
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
        await self._aengine()
        answer, stream = self._begin(messages, stop, kwargs)
        async with aclosing(stream) as deltas:
            async for delta in deltas:
                for chunk in answer.chat_chunks(delta):
                    if run_manager is not None:
                        await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk
        answer.check_whole()

    def _begin(
        self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any], *, pieces: bool = True
    ) -> tuple[Answer, DeltaStream]:
        given = dict(kwargs)
        strict = bool(given.pop("strict", None))
        tools = to_tools(as_openai(given.pop("tools", None) or ()))
        choice = read_tool_choice(given.pop("tool_choice", None), [tool.name for tool in tools])
        parallel = given.pop("parallel_tool_calls", None) is not False
        turns = to_turns(messages)
        if not any(_says_something(turn) for turn in turns):
            raise InvalidRequestError("There is nothing to answer: no message has any content.")
        settings = replace(self._settings(stop, given), pieces=pieces)
        output = settings.constraint
        request = ChatRequest(turns, tools, choice, parallel, settings)
        if isinstance(output, JsonOutput) and output.explained and output.schema is not None and not request.must_call:
            from langchain_localmodels.dialects.instructions import explain_schema

            request = replace(request, turns=explain_schema(turns, output.schema))
        answer = Answer(self._engine_name, {tool.name: tool.parameters for tool in tools} if strict else None)
        return answer, chat(self.engine, request)

    # --- tools ------------------------------------------------------------------------------------------------------

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        parallel_tool_calls: bool | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Give the model tools that it may call.

        Args:
            tools: Functions, pydantic classes, LangChain tools, or dicts in OpenAI's form.
            tool_choice: `None` or `"auto"` to leave it to the model, `"none"` to forbid calls, `"any"`, `"required"` or
                `True` to force one, the name of a tool (or OpenAI's dict with it) to force a call of that one.
            parallel_tool_calls: Whether an answer may hold several calls; `None` for yes.
            strict: Whether to check the arguments of every call against the tool's schema: a call that breaks it is
                then in `invalid_tool_calls`.
            **kwargs: More options for each call, as `bind` takes them.

        Raises:
            InvalidRequestError: A tool is none, or `tool_choice` names none that is given, or with `strict` a schema
                is none.
        """
        converted = as_openai(tools)
        given = to_tools(converted)
        read_tool_choice(tool_choice, [tool.name for tool in given])
        for tool in given if strict else ():
            check_schema(tool.parameters)
        if tool_choice is not None:
            kwargs["tool_choice"] = tool_choice
        if parallel_tool_calls is not None:
            kwargs["parallel_tool_calls"] = parallel_tool_calls
        if strict is not None:
            kwargs["strict"] = strict
        return self.bind(tools=converted, **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        method: Literal["json_schema", "function_calling", "json_mode"] | None = None,
        include_raw: bool = False,
        strict: bool | None = None,
        max_repairs: int = 0,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Give objects in place of messages. What comes out has been checked: an answer that is no such object raises.

        Args:
            schema: A pydantic class (of version 2 or 1), a TypedDict, a JSON Schema, or any other type that pydantic
                knows, such as an enum, a union, a dataclass or `list[...]`. Dicts come of TypedDicts and JSON Schemas.
            method: `json_schema` holds the answer to the schema, `function_calling` forces a call of a tool that has
                it, `json_mode` only asks for JSON, and the prompt has to say which. `None` takes the first where the
                engine can be held to a schema, else the second.
            include_raw: Give `{"raw": message, "parsed": object, "parsing_error": error}`, and raise nothing.
            strict: Passed on to `bind_tools`; the result is checked in any case.
            max_repairs: How often to ask again, with what was wrong, when an answer is not such an object.
            **kwargs: None; unknown names are an error. Options for each call go to `bind` of what this gives.

        Raises:
            InvalidRequestError: `schema` is no schema, or another argument is wrong.
            StructuredOutputError: When run: the answer is no such object, or was cut off.
        """
        from langchain_localmodels.structured.output import structured_output

        return structured_output(
            self, schema, method=method, include_raw=include_raw, strict=strict, max_repairs=max_repairs, **kwargs
        )

    # --- what else is known of the model ----------------------------------------------------------------------------

    def _resolve_model_profile(self) -> ModelProfile | None:
        found = self._profile()
        if found is None:
            return None
        # An older langchain-core warns of keys that came later.
        known = {key: value for key, value in found.items() if key in ModelProfile.__annotations__}
        return cast("ModelProfile", ToldProfile(known) if self._profile_is_told else FoundProfile(known))

    def get_num_tokens_from_messages(self, messages: Sequence[BaseMessage], tools: Sequence[Any] | None = None) -> int:
        """Count the tokens of the prompt that these messages become: its `input_tokens`, if they were sent.

        The chat template and what it makes of the tools are counted too. It is an estimate where the engine has no
        tokenizer to offer, with `custom_get_token_ids`, and where the messages are a part of a conversation that the
        chat template does not take alone: the tokens of texts, calls and tool schemas, 4 around each message, and
        1000 for an image or audio.

        Args:
            messages: The messages, in any form that `invoke` takes.
            tools: What the model may call: functions, pydantic classes, LangChain tools, or dicts in OpenAI's form.

        Raises:
            UnsupportedContentError: A message holds content that local models do not take.
        """
        turns = to_turns(self._convert_input(messages).to_messages())
        offered = to_tools(as_openai(tools or ()))
        output = self._settings(None, {}).constraint
        if isinstance(output, JsonOutput) and output.explained and output.schema is not None:
            from langchain_localmodels.dialects.instructions import explain_schema

            turns = explain_schema(turns, output.schema)
        if messages and self.custom_get_token_ids is None and self.engine.capabilities().tokenizer:
            with suppress(ChatTemplateError, NotImplementedError):
                return self.engine.count(turns, offered)
        texts = [turn.text for turn in turns]
        texts += [call.name + call.arguments for turn in turns for call in turn.tool_calls]
        texts += [json.dumps(tool.as_openai()) for tool in offered]
        images = sum(not isinstance(part, Text) for turn in turns for part in turn.parts)
        around = _TOKENS_AROUND_A_MESSAGE * len(turns) + _TOKENS_OF_AN_IMAGE * images
        return sum(self.get_num_tokens(text) for text in texts if text) + around


def _says_something(turn: Turn) -> bool:
    return bool(turn.tool_calls) or any(not isinstance(part, Text) or part.text for part in turn.parts)


def __getattr__(name: str) -> Any:
    return find_class(__name__, "chat", name)
