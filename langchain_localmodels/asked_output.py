"""How JSON is got from engines that cannot be held to it: it is asked for in the prompt, and the answer is checked.

The answer is given while it is written, as on any engine. Where it then turns out to be something else, its end is an
error, so that nobody takes for JSON what is none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, closing
from dataclasses import replace

from langchain_localmodels.chunks import Answer
from langchain_localmodels.dialects.instructions import add_to_system, explain_schema
from langchain_localmodels.engines.base import (
    ChatRequest,
    Delta,
    DeltaStream,
    Engine,
    FinishDelta,
    InvalidToolCallDelta,
    JsonOutput,
    TextDelta,
    ToolCallDelta,
)
from langchain_localmodels.errors import StructuredOutputError
from langchain_localmodels.schema_check import check_schema, fault_of
from langchain_localmodels.structured.answers import NotJsonError, read_json

_ANY_JSON = "Answer with JSON, and with nothing else."


class AskedStream:
    """An answer that was asked to be JSON, and is checked when it is over. A `DeltaStream`.

    Args:
        engine: Whom to ask.
        request: What to ask.
        output: What the answer is to be.

    Raises:
        InvalidRequestError: The schema is none.
    """

    def __init__(self, engine: Engine, request: ChatRequest, output: JsonOutput) -> None:
        if output.schema is not None:
            check_schema(output.schema)
        self._output = output
        self._text: list[str] = []
        self._calls = False
        self._deltas: list[Delta] = []
        self._stream: DeltaStream = engine.chat(_asking(request, output))

    def __iter__(self) -> Iterator[Delta]:
        """Read from a thread."""
        with closing(self._stream) as deltas:
            for delta in deltas:
                self._note(delta)
                yield delta

    async def __aiter__(self) -> AsyncIterator[Delta]:
        """Read from a task."""
        async with aclosing(self._stream) as deltas:
            async for delta in deltas:
                self._note(delta)
                yield delta

    def close(self) -> None:
        """Stop."""
        self._stream.close()

    async def aclose(self) -> None:
        """The same, from a task."""
        await self._stream.aclose()

    def _note(self, delta: Delta) -> None:
        self._deltas.append(delta)
        if isinstance(delta, TextDelta):
            self._text.append(delta.text)
        elif isinstance(delta, ToolCallDelta | InvalidToolCallDelta):
            self._calls = True
        elif isinstance(delta, FinishDelta) and delta.reason != "length" and not self._calls:
            # An answer that is cut off says so itself, and a call is what tools were given for.
            self._check()

    def _check(self) -> None:
        text = "".join(self._text)
        try:
            fault = fault_of(read_json(text), self._output.schema or True)
        except NotJsonError as error:
            fault = str(error)
        if fault is None:
            return
        answer = Answer("")
        for delta in self._deltas:
            answer.add(delta)
        raise StructuredOutputError(
            f"The model was asked for {'JSON' if self._output.schema is None else 'JSON of a schema'}: {fault}",
            llm_output=text,
            finish_reason="stop",
            raw=answer.chat_generation().message,
            hint="This engine cannot hold a model to JSON. A larger model may keep to it, or an engine that can, such "
            "as llama.cpp; with_structured_output asks again, with `max_repairs`.",
        )


def _asking(request: ChatRequest, output: JsonOutput) -> ChatRequest:
    if output.explained:
        return request
    if output.schema is None:
        return replace(request, turns=add_to_system(request.turns, _ANY_JSON))
    return replace(request, turns=explain_schema(request.turns, output.schema))
