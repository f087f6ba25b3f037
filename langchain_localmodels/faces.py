"""What the chat face and the text face have in common: identity, traces, token counts, and many inputs at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, closing, contextmanager, nullcontext, suppress
from contextvars import ContextVar
from math import ceil
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, TypeVar, cast, overload

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseLanguageModel, LangSmithParams, LanguageModelInput
from langchain_core.outputs import LLMResult
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.runnables.config import get_config_list
from pydantic import model_validator
from typing_extensions import Self

from langchain_localmodels._version import __version__
from langchain_localmodels.errors import InvalidRequestError, LocalModelError, UnsupportedFeatureError
from langchain_localmodels.event_loop import SyncDriver, run_to_end
from langchain_localmodels.identity import FoundProfile, call_key, plain, without_secrets
from langchain_localmodels.options import LocalModelOptions
from langchain_localmodels.vocabulary import merge_stops

_BYTES_PER_TOKEN = 4

_Output = TypeVar("_Output")
_Places: TypeAlias = AbstractAsyncContextManager[Any]

_call: ContextVar[tuple[object, Mapping[str, Any]] | None] = ContextVar("localmodels_call", default=None)
"""The text model that is being asked, and the options it is asked with."""


class LocalLanguageModel(LocalModelOptions, BaseLanguageModel[Any]):
    """Base of `LocalChatModel` and `LocalLLM`."""

    _ls_model_type: ClassVar[Literal["chat", "llm"]]

    @model_validator(mode="after")
    def _set_localmodels_version(self) -> Self:
        self._add_version("langchain-localmodels", __version__)
        return self

    def _changed(self, names: set[str]) -> None:
        super()._changed(names)
        chat: Any = self
        if "profile" not in names and isinstance(self.__dict__.get("profile"), FoundProfile):
            try:
                self.__dict__["profile"] = chat._resolve_model_profile()
            except LocalModelError:  # which the first request will tell
                self.__dict__["profile"] = None

    def _learnt(self) -> None:
        chat: Any = self
        if "profile" in type(self).model_fields and isinstance(self.__dict__.get("profile"), FoundProfile | None):
            self.__dict__["profile"] = chat._resolve_model_profile()

    # --- identity and traces ----------------------------------------------------------------------------------------

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        model, options = _call.get() or (None, {})
        call = call_key(options) if model is self else {}
        return {**self._identity(), **({"call": call} if call else {})}

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        # langchain-core would take the form for dumps, which says nothing of the model file but its path.
        model: Any = self
        return json.dumps({**plain(model.asdict()), "stop": stop, "call": call_key(kwargs)})

    def _get_invocation_params(self, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        model: Any = self
        return {**model.asdict(), "stop": stop, **without_secrets(kwargs)}

    if not TYPE_CHECKING:  # a type checker sees the signatures of LangChain's bases

        def generate(self, *args: Any, **kwargs: Any) -> LLMResult:
            """See LangChain's base class."""
            with self._in_call(kwargs):
                return super().generate(*args, **kwargs)

        async def agenerate(self, *args: Any, **kwargs: Any) -> LLMResult:
            """See LangChain's base class."""
            with self._in_call(kwargs):
                return await super().agenerate(*args, **kwargs)

    @contextmanager
    def _in_call(self, options: Mapping[str, Any]) -> Iterator[None]:
        """Let the cache key of a text model hold the options of a call, which langchain-core leaves out there."""
        outer = _call.get()
        _call.set((self, options) if self._ls_model_type == "llm" else outer)
        try:
            yield
        finally:
            _call.set(outer)  # no token: a task that is dropped ends in another context

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        aliases = self._all_aliases()
        given = {aliases.get(name, name): value for name, value in kwargs.items()}
        params = LangSmithParams(ls_provider=self._engine_name, ls_model_type=self._ls_model_type)
        model = given.get("model")
        params["ls_model_name"] = model if isinstance(model, str) else self._model_name()
        temperature = given.get("temperature", self.temperature)
        if isinstance(temperature, int | float):
            params["ls_temperature"] = temperature
        max_tokens = given.get("max_tokens", self.max_tokens)
        if isinstance(max_tokens, int):
            params["ls_max_tokens"] = max_tokens
        with suppress(ValueError):  # which the request itself will tell of
            if stops := merge_stops(self.stop, stop, given.get("stop")):
                params["ls_stop"] = stops
        return params

    def _reports_tokens(
        self, run_manager: CallbackManagerForLLMRun | AsyncCallbackManagerForLLMRun | None, kwargs: Mapping[str, Any]
    ) -> bool:
        """Whether `invoke` tells callbacks of each token: if there are any, and nobody has forbidden streaming."""
        if run_manager is None or not run_manager.handlers:
            return False
        disabled = getattr(self, "disable_streaming", False)
        in_general = disabled is True or (disabled == "tool_calling" and bool(kwargs.get("tools")))
        return not in_general and self.streaming is not False and kwargs.get("stream") is not False

    def get_token_ids(self, text: str) -> list[int]:
        """Turn text into the model's token ids, without special tokens. Loads the model if need be.

        Raises:
            UnsupportedFeatureError: Where the engine has no tokenizer to offer.
        """
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        if not self.engine.capabilities().tokenizer:
            raise UnsupportedFeatureError(
                f"{type(self).__name__} has no access to the model's tokenizer.",
                hint="Give `custom_get_token_ids=`, or use `get_num_tokens`, which estimates.",
            )
        return list(self.engine.tokenize(text))

    def get_num_tokens(self, text: str) -> int:
        """Count the tokens of a text, without special tokens.

        Where the engine has no tokenizer to offer, this is an estimate: one token for four bytes of UTF-8.
        """
        if self.custom_get_token_ids is None and not self.engine.capabilities().tokenizer:
            return ceil(len(text.encode("utf-8", "surrogatepass")) / _BYTES_PER_TOKEN)
        return len(self.get_token_ids(text))


class ManyAtOnce(Runnable[LanguageModelInput, _Output]):
    """`batch` and its relatives: every input is one `ainvoke`, and all of them wait in one thread.

    All inputs are handed to the engine at once, which makes those wait that do not fit, unless `max_concurrency` in the
    (first) config says how many. Each input is a run of its own, with its own id, callbacks, tags and metadata. The
    first error ends the other runs and is raised, unless errors are to be returned in their places.

    Synchronous methods run callbacks in the calling thread; where an event loop runs in it, as in a notebook, in one
    helper thread.
    """

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[_Output]:
        """Answer several inputs at the same time.

        Args:
            inputs: The inputs, each as `invoke` takes it.
            config: One for all, or one for each. `max_concurrency` of the first limits how many run at once.
            return_exceptions: Give an input's error in place of its answer, instead of raising the first error.
            **kwargs: Options for each call, as `invoke` takes them.

        Returns:
            The answers, in the order of the inputs.

        Raises:
            InvalidRequestError: If `max_concurrency` is less than 1.
        """
        if not inputs:
            return []
        configs = get_config_list(config, len(inputs))
        places = _places(configs)
        if len(inputs) == 1:
            return [self._invoke_one(inputs[0], configs[0], return_exceptions, kwargs)]
        return run_to_end(self._answer_all(inputs, configs, places, return_exceptions, kwargs))

    async def abatch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[_Output]:
        """Answer several inputs at the same time. Arguments and errors are those of `batch`."""
        if not inputs:
            return []
        configs = get_config_list(config, len(inputs))
        return await self._answer_all(inputs, configs, _places(configs), return_exceptions, kwargs)

    @overload
    def batch_as_completed(
        self,
        inputs: Sequence[LanguageModelInput],
        config: RunnableConfig | Sequence[RunnableConfig] | None = None,
        *,
        return_exceptions: Literal[False] = False,
        **kwargs: Any,
    ) -> Iterator[tuple[int, _Output]]: ...

    @overload
    def batch_as_completed(
        self,
        inputs: Sequence[LanguageModelInput],
        config: RunnableConfig | Sequence[RunnableConfig] | None = None,
        *,
        return_exceptions: Literal[True],
        **kwargs: Any,
    ) -> Iterator[tuple[int, _Output | Exception]]: ...

    def batch_as_completed(
        self,
        inputs: Sequence[LanguageModelInput],
        config: RunnableConfig | Sequence[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> Iterator[tuple[int, _Output | Exception]]:
        """Answer several inputs at the same time, and give each answer as soon as it is there.

        Arguments and errors are those of `batch`. Between two answers callbacks wait, and so do inputs that
        `max_concurrency` holds back; the engine does not. Breaking out of the loop ends what still runs.

        Yields:
            The place of the input, counted from 0, and its answer.
        """
        if not inputs:
            return
        configs = get_config_list(config, len(inputs))
        places = _places(configs)
        if len(inputs) == 1:
            yield 0, self._invoke_one(inputs[0], configs[0], return_exceptions, kwargs)
            return
        with closing(SyncDriver()) as driver:
            answers = self._answer_as_completed(inputs, configs, places, return_exceptions, kwargs)

            async def step() -> tuple[int, _Output | Exception] | None:
                return await anext(answers, None)

            while (answer := driver.run(step())) is not None:
                yield answer

    @overload
    def abatch_as_completed(
        self,
        inputs: Sequence[LanguageModelInput],
        config: RunnableConfig | Sequence[RunnableConfig] | None = None,
        *,
        return_exceptions: Literal[False] = False,
        **kwargs: Any,
    ) -> AsyncIterator[tuple[int, _Output]]: ...

    @overload
    def abatch_as_completed(
        self,
        inputs: Sequence[LanguageModelInput],
        config: RunnableConfig | Sequence[RunnableConfig] | None = None,
        *,
        return_exceptions: Literal[True],
        **kwargs: Any,
    ) -> AsyncIterator[tuple[int, _Output | Exception]]: ...

    async def abatch_as_completed(
        self,
        inputs: Sequence[LanguageModelInput],
        config: RunnableConfig | Sequence[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> AsyncIterator[tuple[int, _Output | Exception]]:
        """Answer several inputs at the same time, and give each answer as soon as it is there.

        Arguments and errors are those of `batch`. Closing the iterator ends what still runs.

        Yields:
            The place of the input, counted from 0, and its answer.
        """
        if not inputs:
            return
        configs = get_config_list(config, len(inputs))
        answers = self._answer_as_completed(inputs, configs, _places(configs), return_exceptions, kwargs)
        async with aclosing(answers):
            async for answer in answers:
                yield answer

    def _invoke_one(
        self, given: LanguageModelInput, config: RunnableConfig, return_exceptions: bool, kwargs: dict[str, Any]
    ) -> _Output:
        try:
            return self.invoke(given, config, **kwargs)
        except Exception as error:
            if not return_exceptions:
                raise
            return cast("_Output", error)

    async def _answer_all(
        self,
        inputs: Sequence[LanguageModelInput],
        configs: list[RunnableConfig],
        places: _Places,
        return_exceptions: bool,
        kwargs: dict[str, Any],
    ) -> list[_Output]:
        tasks = self._begin_all(inputs, configs, places, return_exceptions, kwargs)
        try:
            return await asyncio.gather(*tasks)
        finally:
            await end_tasks(tasks)

    async def _answer_as_completed(
        self,
        inputs: Sequence[LanguageModelInput],
        configs: list[RunnableConfig],
        places: _Places,
        return_exceptions: bool,
        kwargs: dict[str, Any],
    ) -> AsyncGenerator[tuple[int, _Output], None]:
        ended: asyncio.Queue[asyncio.Task[_Output]] = asyncio.Queue()
        tasks = self._begin_all(inputs, configs, places, return_exceptions, kwargs)
        indexes = {task: index for index, task in enumerate(tasks)}
        try:
            for task in tasks:
                task.add_done_callback(ended.put_nowait)
            for _ in tasks:
                task = await ended.get()
                yield indexes[task], task.result()
        finally:
            await end_tasks(tasks)

    def _begin_all(
        self,
        inputs: Sequence[LanguageModelInput],
        configs: list[RunnableConfig],
        places: _Places,
        return_exceptions: bool,
        kwargs: dict[str, Any],
    ) -> list[asyncio.Task[_Output]]:
        async def answer(given: LanguageModelInput, config: RunnableConfig) -> _Output:
            async with places:
                try:
                    return await self.ainvoke(given, config, **kwargs)
                except Exception as error:
                    if not return_exceptions:
                        raise
                    return cast("_Output", error)

        return [asyncio.create_task(answer(*pair)) for pair in zip(inputs, configs, strict=True)]


async def end_tasks(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel those tasks that still run, and wait until all have ended."""
    running = [task for task in tasks if not task.done()]
    for task in running:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _places(configs: list[RunnableConfig]) -> _Places:
    """What lets as many inputs run at once as the first config says."""
    limit = configs[0].get("max_concurrency")
    if limit is None:
        return nullcontext()
    if not isinstance(limit, int) or limit < 1:
        raise InvalidRequestError(
            f"max_concurrency={limit!r} lets no input run.",
            hint="Give a whole number from 1 up, or leave it out to hand all inputs to the engine at once.",
        )
    return asyncio.Semaphore(limit)
