"""`LocalLLM`: the text-in, text-out face, written once for all engines; and the LLM classes of all engines by name.

The text goes to the model as it is, without a chat template. What becomes of an engine's deltas is in `chunks.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing
from dataclasses import replace
from typing import Any, ClassVar, Literal

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseLLM
from langchain_core.outputs import GenerationChunk, LLMResult

from langchain_localmodels._lazy import find_class
from langchain_localmodels.chunks import Answer
from langchain_localmodels.engines.base import CompletionRequest, DeltaStream
from langchain_localmodels.errors import InvalidRequestError
from langchain_localmodels.event_loop import run_to_end
from langchain_localmodels.faces import LocalLanguageModel, ManyAtOnce, end_tasks


class LocalLLM(LocalLanguageModel, ManyAtOnce[str], BaseLLM):
    """A text-in, text-out model on a local engine. What is used are the classes of engines, such as `LlamaCpp`.

    Several prompts given together (`batch`, `generate`) run at the same time. In `generate` callbacks hear of single
    tokens when one prompt runs alone: LangChain gives a single run to report to, whatever the number of prompts.

    Example:
        ```python
        from langchain_localmodels import LlamaCpp

        llm = LlamaCpp(model_path="model.gguf", temperature=0, max_tokens=50)
        llm.invoke("The first man on the moon was")
        for piece in llm.stream("The first man on the moon was"):
            print(piece, end="")
        ```
    """

    _ls_model_type: ClassVar[Literal["chat", "llm"]] = "llm"

    @property
    def _llm_type(self) -> str:
        return self._engine_name

    # --- one stream, four drivers -----------------------------------------------------------------------------------

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        teller = run_manager if len(prompts) == 1 and self._reports_tokens(run_manager, kwargs) else None
        if len(prompts) > 1:
            return run_to_end(self._agenerate(prompts, stop, None, **kwargs))
        requests = self._requests(prompts, stop, kwargs, pieces=teller is not None)
        return _result([self._answer(self.engine.complete(request), teller) for request in requests])

    def _answer(self, stream: DeltaStream, run_manager: CallbackManagerForLLMRun | None = None) -> Answer:
        answer = Answer(self._engine_name)
        with closing(stream):
            for delta in stream:
                if run_manager is None:
                    answer.add(delta)
                    continue
                for chunk in answer.text_chunks(delta):
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
        answer.check_whole()
        return answer

    async def _agenerate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        teller = run_manager if len(prompts) == 1 and self._reports_tokens(run_manager, kwargs) else None
        requests = self._requests(prompts, stop, kwargs, pieces=teller is not None)
        engine = await self._aengine()
        if len(requests) == 1:
            return _result([await self._aanswer(engine.complete(requests[0]), teller)])
        tasks = [asyncio.create_task(self._aanswer(engine.complete(request), teller)) for request in requests]
        try:
            return _result(await asyncio.gather(*tasks))
        finally:
            await end_tasks(tasks)

    async def _aanswer(self, stream: DeltaStream, run_manager: AsyncCallbackManagerForLLMRun | None) -> Answer:
        answer = Answer(self._engine_name)
        async with aclosing(stream):
            async for delta in stream:
                if run_manager is None:
                    answer.add(delta)
                    continue
                for chunk in answer.text_chunks(delta):
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
        answer.check_whole()
        return answer

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        answer = Answer(self._engine_name)
        (request,) = self._requests([prompt], stop, kwargs)
        with closing(self.engine.complete(request)) as deltas:
            for delta in deltas:
                for chunk in answer.text_chunks(delta):
                    if run_manager is not None:
                        run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk
        answer.check_whole()

    async def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[GenerationChunk]:
        answer = Answer(self._engine_name)
        (request,) = self._requests([prompt], stop, kwargs)
        async with aclosing((await self._aengine()).complete(request)) as deltas:
            async for delta in deltas:
                for chunk in answer.text_chunks(delta):
                    if run_manager is not None:
                        await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk
        answer.check_whole()

    def _requests(
        self, prompts: list[str], stop: list[str] | None, kwargs: dict[str, Any], *, pieces: bool = True
    ) -> list[CompletionRequest]:
        if not all(prompts):
            raise InvalidRequestError("The prompt is empty.", hint="A model continues text: give it some to continue.")
        settings = replace(self._settings(stop, kwargs), pieces=pieces)
        return [CompletionRequest(prompt, settings) for prompt in prompts]


def _result(answers: list[Answer]) -> LLMResult:
    ends = [answer.finish for answer in answers]
    read = sum(end.usage.input_tokens for end in ends)
    written = sum(end.usage.output_tokens for end in ends)
    usage = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
    models = list(dict.fromkeys(end.model for end in ends))
    output = {"token_usage": usage, "model_name": ", ".join(models)}
    return LLMResult(generations=[[answer.generation()] for answer in answers], llm_output=output)


def __getattr__(name: str) -> Any:
    return find_class(__name__, "llm", name)
