"""`with_structured_output`: a chat model whose answers are objects, checked, or errors that say what is wrong.

Owns how the model is asked: three methods, at once or as a stream, and once more to repair an answer. What a schema
means is in `schema.py`; whether an answer is one, in `reading.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from langchain_core.callbacks import AsyncCallbackManagerForChainRun, CallbackManagerForChainRun
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import patch_config
from langchain_core.runnables.utils import ConfigurableFieldSpec

from langchain_localmodels.errors import InvalidRequestError, StructuredOutputError
from langchain_localmodels.faces import ManyAtOnce
from langchain_localmodels.structured.reading import AnswerReader, GrowingAnswer, Method, Tries
from langchain_localmodels.structured.schema import traceable, wanted_from
from langchain_localmodels.tool_choice import WORDS

if TYPE_CHECKING:
    from langchain_localmodels.chat_models import LocalChatModel

METHODS: tuple[Method, ...] = ("json_schema", "function_calling", "json_mode")

_OTHER_METHOD = 'Use method="json_schema", which takes any schema, or put the schema into a field of an object.'


def structured_output(
    model: LocalChatModel,
    schema: Any,
    *,
    method: Method | None = None,
    include_raw: bool = False,
    strict: bool | None = None,
    max_repairs: int = 0,
    **kwargs: Any,
) -> Runnable[LanguageModelInput, Any]:
    """Give a runnable that asks a model, and answers with what the schema describes.

    Args:
        model: The model.
        schema: A pydantic class (also of `pydantic.v1`), a `TypedDict`, a JSON Schema as a dict, a function or tool,
            or any other type that pydantic validates: unions, `list[Person]`, enums, `Literal`, dataclasses. With
            `method="json_mode"` also `None`, for any JSON object.
        method: `"json_schema"` tells the model of the schema and, where the engine can, holds it to it;
            `"function_calling"` has it call a tool whose arguments are the answer; `"json_mode"` asks for any JSON, and
            leaves it to the prompt to say which. `None` for `"json_schema"`, or `"function_calling"` where the engine
            cannot hold an answer to anything.
        include_raw: Give a dict of `raw` (the message), `parsed` and `parsing_error` instead, and raise nothing for an
            answer that does not fit.
        strict: Known for code written for hosted models, and passed on. Answers are checked with any value.
        max_repairs: How many times to ask again, with the answer and what is wrong with it, when an answer does not
            fit. An answer that was cut off is never repaired.
        **kwargs: None; unknown names are an error.

    Returns:
        A runnable. Streaming gives growing dicts, or objects as soon as they validate; its last item is the whole
        answer, checked. What Python's `+` would join, such as lists, comes as a whole, as LangChain adds up streams.

    Raises:
        InvalidRequestError: The schema, the method or another argument is wrong. A `ValueError`, too.
    """
    if kwargs:
        raise InvalidRequestError(
            f"with_structured_output does not know {', '.join(map(repr, sorted(kwargs)))}.",
            hint="It takes schema, method, include_raw, strict and max_repairs; give other options to `bind`.",
        )
    if method is not None and method not in METHODS:
        raise InvalidRequestError(f"method={method!r} is none of {', '.join(map(repr, METHODS))}.")
    if isinstance(max_repairs, bool) or not isinstance(max_repairs, int) or max_repairs < 0:
        raise InvalidRequestError(f"max_repairs={max_repairs!r} is not a whole number from 0 up.")
    if schema is None and method != "json_mode":
        raise InvalidRequestError('A schema is needed, except with method="json_mode".')
    return StructuredOutput(model, schema, Options(method, include_raw, strict, max_repairs))


@dataclass(frozen=True, slots=True)
class Options:
    """How to ask for structured output; see `structured_output`."""

    method: Method | None = None
    include_raw: bool = False
    strict: bool | None = None
    max_repairs: int = 0


class StructuredOutput(ManyAtOnce[Any]):
    """What `with_structured_output` gives."""

    name: str | None = None

    def __init__(self, model: LocalChatModel, schema: Any, options: Options) -> None:
        self._model = model
        self._schema = schema
        self._options = options
        self._wanted = wanted_from(schema)
        if options.method is not None:
            _ = self._bound

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._model, self._schema, self._options)

    def __repr__(self) -> str:
        asked = f"{type(self._model).__name__}, {self._wanted.name}, {self._options}"
        return f"{type(self).__name__}({asked})"

    @property
    def InputType(self) -> Any:
        """What the model takes."""
        return self._model.InputType

    @property
    def OutputType(self) -> Any:
        """What the schema describes."""
        return dict[str, Any] if self._options.include_raw else self._wanted.output_type

    @property
    def config_specs(self) -> list[ConfigurableFieldSpec]:
        """What can be configured of the model."""
        return self._model.config_specs

    # --- how the model is asked -------------------------------------------------------------------------------------

    @cached_property
    def _reader(self) -> AnswerReader:
        method = self._options.method
        if method is None:
            # Not at construction: making the engine imports its library.
            can_hold = self._model.engine.capabilities().constrain != "none"
            by_call = not can_hold and self._wanted.types == {"object"}
            method = "function_calling" if by_call else "json_schema"
        return AnswerReader(self._wanted, method)

    @cached_property
    def _bound(self) -> Runnable[LanguageModelInput, AIMessage]:
        wanted, method = self._wanted, self._reader.method
        traced = {"kwargs": {"method": method, "strict": self._options.strict}, "schema": traceable(wanted.traced)}
        if method == "function_calling":
            if wanted.types != {"object"}:
                raise InvalidRequestError(
                    f"{wanted.name} is not an object, and a tool is called with nothing else.", hint=_OTHER_METHOD
                )
            return self._model.bind_tools(
                [wanted.as_tool(self._options.strict)],
                tool_choice="any" if wanted.name in WORDS else wanted.name,
                parallel_tool_calls=False,
                ls_structured_output_format=traced,
                **({} if self._options.strict is None else {"strict": self._options.strict}),
            )
        if method == "json_mode":
            if "object" not in wanted.types:
                raise InvalidRequestError(f"{wanted.name} is not an object, as JSON mode asks for.", hint=_OTHER_METHOD)
            return self._model.bind(response_format={"type": "json_object"}, ls_structured_output_format=traced)
        envelope: dict[str, Any] = {"name": wanted.name, "schema": wanted.schema}
        if self._options.strict is not None:
            envelope["strict"] = self._options.strict
        form = {"type": "json_schema", "json_schema": envelope}
        return self._model.bind(response_format=form, ls_structured_output_format=traced)

    async def _abound(self) -> Runnable[LanguageModelInput, AIMessage]:
        if "_bound" not in self.__dict__:
            await asyncio.to_thread(getattr, self, "_bound")
        return self._bound

    # --- one answer -------------------------------------------------------------------------------------------------

    def invoke(self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Ask the model, and give its answer as the schema describes it.

        Args:
            input: What a chat model takes.
            config: As for any runnable. Each time the model is asked is a run of its own below this one.
            **kwargs: Options for the model.

        Raises:
            StructuredOutputError: The answer does not fit, unless `include_raw`.
        """
        return self._call_with_config(self._answer, input, config, **kwargs)

    async def ainvoke(self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Ask the model, and give its answer as the schema describes it. Arguments and errors are those of `invoke`."""
        return await self._acall_with_config(self._aanswer, input, config, **kwargs)

    def _answer(
        self, given: LanguageModelInput, run_manager: CallbackManagerForChainRun, config: RunnableConfig, **kwargs: Any
    ) -> Any:
        tries = Tries(self._reader, given, self._options.max_repairs)
        while tries.go_on:
            child = patch_config(config, callbacks=run_manager.get_child(tries.tag))
            try:
                tries.take(self._bound.invoke(tries.question, child, **kwargs))
            except StructuredOutputError as error:
                tries.fail(error)
        return tries.result(self._options.include_raw)

    async def _aanswer(
        self,
        given: LanguageModelInput,
        run_manager: AsyncCallbackManagerForChainRun,
        config: RunnableConfig,
        **kwargs: Any,
    ) -> Any:
        bound = await self._abound()
        tries = Tries(self._reader, given, self._options.max_repairs)
        while tries.go_on:
            child = patch_config(config, callbacks=run_manager.get_child(tries.tag))
            try:
                tries.take(await bound.ainvoke(tries.question, child, **kwargs))
            except StructuredOutputError as error:
                tries.fail(error)
        return tries.result(self._options.include_raw)

    # --- a stream ---------------------------------------------------------------------------------------------------

    def stream(self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Any]:
        """Ask the model, and give its answer while it grows; the last item is the whole one, checked.

        With `max_repairs` there is that one item only. With `include_raw` each item is a dict of `raw`, the message as
        far as it has come, `parsed` and `parsing_error`.

        Raises:
            StructuredOutputError: The answer does not fit, unless `include_raw`.
        """
        # `closing`: whoever stops reading frees the engine at once.
        pieces = self._transform_stream_with_config(iter([input]), self._pieces, config, **kwargs)
        with closing(cast("Any", pieces)):
            yield from pieces

    async def astream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        """Ask the model, and give its answer while it grows. Arguments and errors are those of `stream`."""

        async def only() -> AsyncIterator[LanguageModelInput]:
            yield input

        pieces = self._atransform_stream_with_config(only(), self._apieces, config, **kwargs)
        async with aclosing(cast("Any", pieces)):
            async for piece in pieces:
                yield piece

    def _pieces(
        self,
        inputs: Iterator[LanguageModelInput],
        run_manager: CallbackManagerForChainRun,
        config: RunnableConfig,
        **kwargs: Any,
    ) -> Iterator[Any]:
        given = next(inputs)
        if self._options.max_repairs:
            yield self._answer(given, run_manager, config, **kwargs)
            return
        growing = GrowingAnswer(self._reader, self._options.include_raw)
        with closing(cast("Any", self._bound.stream(given, config, **kwargs))) as chunks:
            try:
                for chunk in chunks:
                    yield from growing.take(chunk)
            except StructuredOutputError as error:
                yield from growing.fail(error)
                return
        yield from growing.end()

    async def _apieces(
        self,
        inputs: AsyncIterator[LanguageModelInput],
        run_manager: AsyncCallbackManagerForChainRun,
        config: RunnableConfig,
        **kwargs: Any,
    ) -> AsyncIterator[Any]:
        given = await anext(inputs)
        if self._options.max_repairs:
            yield await self._aanswer(given, run_manager, config, **kwargs)
            return
        bound = await self._abound()
        growing = GrowingAnswer(self._reader, self._options.include_raw)
        async with aclosing(cast("Any", bound.astream(given, config, **kwargs))) as chunks:
            try:
                async for chunk in chunks:
                    for piece in growing.take(chunk):
                        yield piece
            except StructuredOutputError as error:
                for piece in growing.fail(error):
                    yield piece
                return
        for piece in growing.end():
            yield piece
