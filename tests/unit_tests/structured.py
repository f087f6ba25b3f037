"""What the tests of with_structured_output share: schemas with answers that fit, and models that give them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tools import tool
from pydantic import BaseModel, ConfigDict, Field, RootModel
from pydantic.v1 import BaseModel as BaseModelV1
from pydantic.v1 import Field as FieldV1
from typing_extensions import NotRequired, TypedDict

from langchain_localmodels.engines.base import Capabilities, TextDelta
from langchain_localmodels.engines.base import ToolCallDelta as CallDelta
from tests.unit_tests.scripted import LOGS, ChatScripted, Log, ScriptedEngine, finish

WAYS = ["invoke", "ainvoke", "stream", "astream", "batch", "abatch"]


class HoldingEngine(ScriptedEngine):
    constrain = "grammar"

    def capabilities(self):
        return Capabilities(tools="native", constrain=self.constrain, tokenizer=True)


class ChatGrammar(ChatScripted):
    """A scripted model on an engine that holds answers to something."""

    constrain: str = "grammar"

    def _new_engine(self):
        engine = HoldingEngine(self.script)
        engine.constrain = self.constrain
        LOGS.setdefault(self.log, Log()).engines.append(engine)
        return engine


class InTurn(Mapping):
    """Scripts that are played one after the other, whatever the prompt."""

    def __init__(self, *scripts):
        self.scripts = list(scripts)

    def __getitem__(self, prompt):
        return self.scripts.pop(0)

    def __iter__(self):
        return iter(())

    def __len__(self):
        return len(self.scripts)


class Runs(BaseCallbackHandler):
    """What runs began, how they were asked, and how they ended."""

    run_inline = True

    def __init__(self):
        self.started, self.options, self.ended, self.failed, self.tags = [], [], [], [], []

    def on_chain_start(self, serialized, inputs, *, run_id, parent_run_id=None, name=None, **kwargs):
        self.started.append((name, parent_run_id))

    def on_chat_model_start(self, serialized, messages, *, options=None, tags=None, parent_run_id=None, **kwargs):
        self.started.append(("model", parent_run_id))
        self.options.append(options)
        self.tags.append([tag for tag in tags or [] if not tag.startswith("seq:")])

    def on_chain_end(self, outputs, **kwargs):
        self.ended.append(outputs)

    def on_chain_error(self, error, **kwargs):
        self.failed.append(error)


def said(text, reason="stop"):
    """A script of a text, character by character."""
    return [*map(TextDelta, text), finish(reason)]


def called(name, arguments, reason="tool_calls"):
    return [CallDelta(0, "call_a", name, ""), *(CallDelta(0, None, None, char) for char in arguments), finish(reason)]


def answering(script, method, arguments_of=None):
    """A model that gives an answer in the form that a method expects."""
    if isinstance(script, str):
        script = called(arguments_of, script) if method == "function_calling" else said(script)
    return ChatGrammar(script=script)


async def ask(structured, how, given="hi", config=None):
    if how == "invoke":
        return structured.invoke(given, config)
    if how == "ainvoke":
        return await structured.ainvoke(given, config)
    if how == "stream":
        return list(structured.stream(given, config))[-1]
    if how == "astream":
        return [item async for item in structured.astream(given, config)][-1]
    if how == "batch":
        return structured.batch([given], config)[0]
    return (await structured.abatch([given], config))[0]


async def items(structured, how, config=None, into=None):
    """All items of a stream; those before an error are in `into`."""
    seen = [] if into is None else into
    if how == "stream":
        for item in structured.stream("hi", config):
            seen.append(item)
    else:
        async for item in structured.astream("hi", config):
            seen.append(item)
    return seen


STREAMS = pytest.mark.parametrize("how", ["stream", "astream"])


# --- schemas ----------------------------------------------------------------------------------------------------------


class Color(str, Enum):
    RED = "red"
    GREEN = "green"


class Person(BaseModel):
    """A person."""

    name: str
    age: Annotated[int, Field(ge=0, le=150)]
    color: Color = Color.RED


class Tree(BaseModel):
    value: int
    children: list[Tree] = []


T = TypeVar("T")


class Box(BaseModel, Generic[T]):
    content: T


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")
    on: date
    pair: tuple[int, int]


class Aliased(BaseModel):
    first_name: str = Field(alias="firstName")


class Names(RootModel[list[str]]):
    pass


class PersonV1(BaseModelV1):
    name: str = FieldV1(description="The name")
    age: int = FieldV1(ge=0)


class PersonDict(TypedDict):
    """A person."""

    name: Annotated[str, ..., "the name"]
    age: Annotated[int | None, None, "in years"]


class NodeDict(TypedDict):
    value: int
    next: NotRequired[NodeDict]


@dataclass
class Point:
    x: int
    y: int = 0


class Pair(NamedTuple):
    left: int
    right: str


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


@tool
def weather(city: str, days: int = 1) -> str:
    """Tell the weather."""
    return city * days


def wind(city: str) -> str:
    """Tell the wind.

    Args:
        city: Where.
    """
    raise AssertionError("A schema is not to be called.")


PERSON_SCHEMA = {
    "title": "Person",
    "description": "A person.",
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name", "age"],
}
ANN, ANN_TEXT = {"name": "Ann", "age": 7}, '{"name": "Ann", "age": 7}'
PARAMETERS = {key: PERSON_SCHEMA[key] for key in ("type", "properties", "required")}
FUNCTION = {"name": "Person", "description": "A person.", "parameters": PARAMETERS}

OBJECTS: list[tuple[Any, str, Any]] = [
    (Person, ANN_TEXT, Person(name="Ann", age=7)),
    (Person, '{"name": "Ann", "age": 7, "color": "green"}', Person(name="Ann", age=7, color=Color.GREEN)),
    (Tree, '{"value": 1, "children": [{"value": 2}]}', Tree(value=1, children=[Tree(value=2)])),
    (Box[int], '{"content": 3}', Box[int](content=3)),
    (Box[Person], f'{{"content": {ANN_TEXT}}}', Box[Person](content=Person(name="Ann", age=7))),
    (Strict, '{"on": "2024-02-29", "pair": [1, 2]}', Strict(on=date(2024, 2, 29), pair=(1, 2))),
    (Aliased, '{"firstName": "Ann"}', Aliased(firstName="Ann")),
    (PersonV1, ANN_TEXT, PersonV1(name="Ann", age=7)),
    (PersonDict, ANN_TEXT, ANN),
    (PersonDict, '{"name": "Ann"}', {"name": "Ann"}),
    (NodeDict, '{"value": 1, "next": {"value": 2}}', {"value": 1, "next": {"value": 2}}),
    (Point, '{"x": 1}', Point(1)),
    (Annotated[Person, Field(description="Whom it is about.")], ANN_TEXT, Person(name="Ann", age=7)),
    (Cat | Dog, '{"kind": "dog"}', Dog(kind="dog")),
    (Annotated[Cat | Dog, Field(discriminator="kind")], '{"kind": "cat"}', Cat(kind="cat")),
    (dict[str, int], '{"a": 1}', {"a": 1}),
    (PERSON_SCHEMA, ANN_TEXT, ANN),
    ({key: value for key, value in PERSON_SCHEMA.items() if key != "title"}, ANN_TEXT, ANN),
    (FUNCTION, ANN_TEXT, ANN),
    ({"type": "function", "function": {"name": "Person", "parameters": PARAMETERS}}, ANN_TEXT, ANN),
    ({"type": "function", "name": "Person", "parameters": PARAMETERS}, ANN_TEXT, ANN),
    ({"name": "Person", "schema": PERSON_SCHEMA, "strict": True}, ANN_TEXT, ANN),
    ({"type": "json_schema", "json_schema": {"name": "Person", "schema": PERSON_SCHEMA}}, ANN_TEXT, ANN),
    ({"name": "Person", "input_schema": PARAMETERS}, ANN_TEXT, ANN),
    (weather, '{"city": "Rome"}', {"city": "Rome"}),
    (wind, '{"city": "Rome"}', {"city": "Rome"}),
]
OTHERS: list[tuple[Any, str, Any]] = [
    (Color, '"green"', Color.GREEN),
    (Literal["yes", "no"], '"no"', "no"),
    (Literal[1, 2], "2", 2),
    (list[Person], f"[{ANN_TEXT}, {ANN_TEXT}]", [Person(name="Ann", age=7)] * 2),
    (Person | None, "null", None),
    (Person | None, ANN_TEXT, Person(name="Ann", age=7)),
    (int | str, '"7"', "7"),
    (Annotated[int, Field(gt=3)], "4", 4),
    (Names, '["a", "b"]', Names(["a", "b"])),
    (Pair, '[1, "a"]', Pair(1, "a")),
    (tuple[int, str], '[1, "a"]', (1, "a")),
    (set[int], "[1, 2]", {1, 2}),
    (date, '"2024-02-29"', date(2024, 2, 29)),
    ({"type": "array", "items": {"type": "integer"}}, "[1, 2]", [1, 2]),
    ({"enum": ["a", 1, None]}, "null", None),
]


def shown(value):
    return str(value)[:40] if not isinstance(value, str) else ""
