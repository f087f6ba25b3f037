"""`with_structured_output`: an object that fits, or an error that says what came instead; never half of one."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from langchain_core.utils.function_calling import convert_to_json_schema
from pydantic import BaseModel, Field, TypeAdapter

from langchain_localmodels.errors import LocalModelError
from langchain_localmodels.testing.contract.base import EngineContract
from langchain_localmodels.testing.contract.helpers import (
    JOKE_SCHEMA,
    Joke,
    JokeDict,
    Recorder,
    magic_function,
    run,
)

METHODS = ["json_schema", "function_calling", "json_mode"]
_ALL_METHODS = pytest.mark.parametrize("method", METHODS)
_HELD_METHODS = pytest.mark.parametrize("method", METHODS[:2])
"""Those that hold the model to the schema; with `json_mode` the question has to tell it."""
_SCHEMAS = pytest.mark.parametrize(
    "schema", [Joke, JokeDict, JOKE_SCHEMA], ids=["pydantic", "TypedDict", "JSON Schema"]
)


class Mood(enum.Enum):
    """A mood."""

    GOOD = "good"
    BAD = "bad"


class Address(BaseModel):
    """Where somebody lives."""

    city: str
    number: int = Field(ge=1, le=99)


class Person(BaseModel):
    """Somebody."""

    name: Annotated[str, Field(min_length=1, max_length=20)]
    mood: Mood
    kind: Literal["human", "robot"]
    address: Address
    nickname: str | None = None
    tags: list[str] = Field(default_factory=list, max_length=2)


class StructuredOutputContract(EngineContract):
    """Schemas, methods, streams, and what happens when it does not work."""

    def joke_asked_for(self, method: str) -> str:
        """The question, with the keys named where the method does not tell of the schema."""
        told = " Return the result as a JSON with 'setup' and 'punchline' keys. Return nothing other than JSON."
        return self.joke_question + (told if method == "json_mode" else "")

    def structured(self, schema: Any, *, max_tokens: int | None = None, **options: Any) -> Any:
        """Make the model that gives objects."""
        chat: Any = self.chat_model() if max_tokens is None else self.chat_model(max_tokens=max_tokens)
        return chat.with_structured_output(schema, **options)

    # --- schemas ----------------------------------------------------------------------------------------------------

    @_ALL_METHODS
    @_SCHEMAS
    def test_schemas_and_methods(self, schema: Any, method: str) -> None:
        """Every kind of schema gives its kind of object, by every method, asked for in every way."""
        model, question = self.structured(schema, method=method), self.joke_asked_for(method)

        async def others() -> list[Any]:
            return [await model.ainvoke(question), [piece async for piece in model.astream(question)][-1]]

        for found in (model.invoke(question), list(model.stream(question))[-1], *run(others())):
            if schema is Joke:
                assert isinstance(found, Joke)
            else:
                assert isinstance(found, dict)
                assert set(found) == {"setup", "punchline"}
                assert all(isinstance(value, str) for value in found.values())

    def test_the_usual_method(self) -> None:
        """Without a method it works, too."""
        assert isinstance(self.structured(Joke).invoke(self.joke_question), Joke)

    @_HELD_METHODS
    def test_a_schema_of_many_parts(self, method: str) -> None:
        """Nested objects, enums, literals, bounds, optional fields and lists hold, whatever the model writes."""
        model = self.structured(Person, method=method)
        try:
            found = model.invoke("Imogen lives in Bergen, number 7. She is a human in a good mood.")
        except OutputParserException as error:
            # A small model may not come to an end, and a bound of a text may not be held; then this has to be said.
            _check(error)
        else:
            assert isinstance(found, Person)

    @pytest.mark.parametrize(
        "schema", [Mood, Annotated[int, Field(ge=1, le=9)], Literal["a", "b"], bool | None], ids=str
    )
    def test_values_that_are_no_objects(self, schema: Any) -> None:
        """An enum, a number, a literal or a union can be asked for, too, where answers can be held to them."""
        self.need(self.capabilities.constrain != "none", "answers cannot be constrained")
        found = self.structured(schema, method="json_schema").invoke(self.question)
        assert TypeAdapter(schema).validate_python(found) == found

    @_HELD_METHODS
    def test_a_schema_is_bound_for_traces(self, method: str) -> None:
        """What LangChain's traces show of the schema is what LangChain makes of it."""
        for schema in (Joke, JokeDict, JOKE_SCHEMA):
            recorder = Recorder()
            model = self.structured(schema, method=method)
            model.invoke(self.joke_question, config={"callbacks": [recorder]})
            (told,) = recorder.options
            shown = told["ls_structured_output_format"]
            assert shown["kwargs"]["method"] == method
            assert shown["schema"] == convert_to_json_schema(schema)

    @pytest.mark.parametrize("strict", [None, False, True])
    @_ALL_METHODS
    def test_strict_schemas(self, method: str, strict: bool | None) -> None:
        """`strict` is known by every method."""
        model = self.structured(Joke, method=method, strict=strict)
        assert isinstance(model.invoke(self.joke_asked_for(method)), Joke)

    def test_a_method_that_is_none(self) -> None:
        """A method that there is not is an error at once, which names those that there are."""
        with pytest.raises(ValueError, match="function_calling"):
            self.structured(Joke, method="telepathy")

    # --- the message, too -------------------------------------------------------------------------------------------

    @_ALL_METHODS
    def test_include_raw(self, method: str) -> None:
        """`include_raw` gives the message and the object."""
        model = self.structured(Joke, method=method, include_raw=True)
        found = model.invoke(self.joke_asked_for(method))
        assert isinstance(found, dict)
        assert set(found) == {"raw", "parsed", "parsing_error"}
        assert isinstance(found["raw"], AIMessage)
        assert isinstance(found["parsed"], Joke)
        assert found["parsing_error"] is None

    # --- what is not whole ------------------------------------------------------------------------------------------

    @_ALL_METHODS
    @_SCHEMAS
    def test_a_truncated_answer_is_an_error(self, schema: Any, method: str) -> None:
        """An answer that `max_tokens` cut is an error with the text so far and the reason, however it is asked for."""
        model = self.structured(schema, max_tokens=5, method=method)
        question = self.joke_asked_for(method)

        async def stream() -> list[Any]:
            return [piece async for piece in model.astream(question)]

        ways: list[Callable[[], Any]] = [
            lambda: model.invoke(question),
            lambda: list(model.stream(question)),
            lambda: run(model.ainvoke(question)),
            lambda: run(stream()),
        ]
        for way in ways:
            with pytest.raises(OutputParserException) as caught:
                way()
            _check(caught.value)
            assert getattr(caught.value, "finish_reason", None) == "length"

    @_ALL_METHODS
    def test_a_truncated_answer_with_its_message(self, method: str) -> None:
        """With `include_raw` the error is in its place, and nothing is parsed."""
        model = self.structured(Joke, max_tokens=5, method=method, include_raw=True)
        found = model.invoke(self.joke_asked_for(method))
        assert isinstance(found, dict)
        assert found["parsed"] is None
        assert isinstance(found["parsing_error"], OutputParserException)
        assert found["raw"].response_metadata["finish_reason"] == "length"

    @pytest.mark.parametrize("most", [1, 2, 3])
    def test_half_a_number_is_none(self, most: int) -> None:
        """A number of which digits are missing is JSON all the same, and is not given for the whole one."""
        self.need(self.capabilities.constrain != "none", "answers cannot be constrained")
        schema, question = Annotated[int, Field(ge=0, le=10**6)], "What is the value of magic_function(34567)?"
        whole = self.structured(schema, method="json_schema", include_raw=True).invoke(question)
        try:
            found = self.structured(schema, method="json_schema", max_tokens=most).invoke(question)
        except OutputParserException as error:
            _check(error)
        else:
            assert found == whole["parsed"]

    # --- streams ----------------------------------------------------------------------------------------------------

    @_ALL_METHODS
    def test_a_streamed_object_grows(self, method: str) -> None:
        """Partial dicts come while the answer is written, each holding more, and the last is the whole one.

        A call may come as a whole, since only then it is known to be one.
        """
        model, question = (
            self.structured(JOKE_SCHEMA, method=method),
            self.joke_asked_for(method),
        )
        pieces: list[Any] = list(model.stream(question))
        assert pieces[-1] == model.invoke(question)
        sizes = [sum(len(str(value)) for value in piece.values()) for piece in pieces]
        assert sizes == sorted(sizes)
        assert len(set(sizes)) > 2 or method == "function_calling"

    @_ALL_METHODS
    def test_a_streamed_pydantic_object_is_valid(self, method: str) -> None:
        """Of a pydantic class only objects come that are valid, and the last is the whole one."""
        model, question = self.structured(Joke, method=method), self.joke_asked_for(method)
        pieces = list(model.stream(question))
        assert pieces
        assert all(isinstance(piece, Joke) for piece in pieces)
        assert pieces[-1] == model.invoke(question)

    # --- together ---------------------------------------------------------------------------------------------------

    def test_many_at_once(self) -> None:
        """It runs in batches."""
        model = self.structured(Joke)
        want = model.invoke(self.joke_question)
        assert model.batch([self.joke_question] * 3) == [want] * 3
        assert run(model.abatch([self.joke_question] * 3)) == [want] * 3

    def test_a_schema_beside_tools(self) -> None:
        """With tools and `response_format` together, as agents ask, the answer is a call or an object that fits."""
        self.need(self.capabilities.constrain != "none", "answers cannot be constrained")
        form = {"type": "json_schema", "json_schema": {"name": "Joke", "schema": JOKE_SCHEMA, "strict": True}}
        model = self.chat_model().bind_tools([magic_function], response_format=form)
        for question in (self.joke_question, self.tool_question):
            message = model.invoke(question)
            if message.tool_calls:
                assert [set(call["args"]) for call in message.tool_calls] == [{"input"}] * len(message.tool_calls)
            else:
                assert Joke.model_validate_json(message.text)


def _check(error: Exception) -> None:
    assert isinstance(error, LocalModelError), f"{error!r} is none of this package's errors"
    assert isinstance(getattr(error, "llm_output", None), str)
    assert error.message
