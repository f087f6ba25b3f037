"""with_structured_output on a real model: whatever it writes, the result follows the schema or there is an error."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel, Field, TypeAdapter
from pydantic.v1 import BaseModel as BaseModelV1
from typing_extensions import TypedDict

from langchain_localmodels import ChatLlamaCpp, LocalChatModel, init_local_chat_model
from langchain_localmodels.demo import model_path
from langchain_localmodels.errors import StructuredOutputError
from langchain_localmodels.structured.output import structured_output
from tests.json_schemas import ENFORCED, Anything, Appointment, Expression, Home, Person, Stamped, Tree

JOKE = "Tell me a joke about cats."
JSON_JOKE = f"{JOKE} Return the result as a JSON with 'setup' and 'punchline' keys. Return nothing other than JSON."
FACTS = "Bob is 41 years old, lives in Rome and works as a baker."


class Joke(BaseModel):
    """Joke to tell user."""

    setup: str = Field(description="question to set up a joke")
    punchline: str = Field(description="answer to resolve the joke")


class JokeDict(TypedDict):
    """Joke to tell user."""

    setup: Annotated[str, ..., "question to set up a joke"]
    punchline: Annotated[str, ..., "answer to resolve the joke"]


class JokeV1(BaseModelV1):
    """Joke to tell user."""

    setup: str
    punchline: str


class Human(BaseModel):
    """Information about a human."""

    name: str
    age: int
    city: str


class Mood(str, Enum):
    GOOD = "good"
    BAD = "bad"


@pytest.fixture(scope="module", params=["llamacpp", "gpt4all"])
def chat(request: pytest.FixtureRequest) -> Iterator[LocalChatModel]:
    with init_local_chat_model(f"{request.param}:{model_path}", temperature=0, max_tokens=200, n_threads=1) as made:
        yield made


@pytest.fixture(scope="module")
def wild() -> Iterator[ChatLlamaCpp]:
    """A model that writes nonsense."""
    fields = {"temperature": 2, "top_k": 0, "top_p": 1, "min_p": 0, "max_tokens": 150}
    with ChatLlamaCpp(model_path=model_path, n_threads=1, **fields) as made:
        yield made


# --- what it is asked for ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schema", [Joke, JokeDict, JokeV1, Joke.model_json_schema()], ids=lambda s: str(s)[:30])
@pytest.mark.parametrize(
    ("method", "prompt"), [("json_schema", JOKE), ("function_calling", JOKE), ("json_mode", JSON_JOKE)]
)
async def test_a_joke_in_every_way(chat: LocalChatModel, schema: Any, method: Any, prompt: str):
    structured = structured_output(chat, schema, method=method)
    whole = structured.invoke(prompt)
    as_dict = whole if isinstance(whole, dict) else whole.dict() if isinstance(whole, JokeV1) else whole.model_dump()
    assert as_dict.keys() == {"setup", "punchline"}
    assert "cat" in as_dict["setup"]
    assert isinstance(schema, dict) or schema is JokeDict or type(whole) is schema
    seen = list(structured.stream(prompt))
    assert seen[-1] == whole
    # A call comes once it is whole.
    assert len(seen) > 5 or method == "function_calling"
    assert all(type(item) is type(whole) for item in seen)
    assert await structured.ainvoke(prompt) == whole
    assert [item async for item in structured.astream(prompt)] == seen


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_facts_from_a_text(chat: LocalChatModel, method: Any):
    chain = ChatPromptTemplate.from_template("Extract the data: {text}") | structured_output(chat, Human, method=method)
    assert chain.invoke({"text": FACTS}) == Human(name="Bob", age=41, city="Rome")
    texts = [FACTS.replace("41", str(age)) for age in range(30, 38)]
    assert [human.age for human in chain.batch([{"text": text} for text in texts])] == list(range(30, 38))


def test_an_answer_that_is_cut_off_is_an_error(chat: LocalChatModel):
    for method in ("json_schema", "function_calling"):
        structured = structured_output(chat, Human, method=method, max_repairs=2)
        with pytest.raises(StructuredOutputError, match="cut off") as caught:
            structured.invoke(FACTS, max_tokens=6)
        assert caught.value.finish_reason == "length"
    raw = structured_output(chat, Human, method="json_schema", include_raw=True).invoke(FACTS, max_tokens=6)
    assert raw["parsed"] is None
    assert raw["raw"].text == raw["parsing_error"].llm_output != ""


def test_repairs_ask_the_model_again(chat: LocalChatModel):
    """In JSON mode it gives the keys that the prompt names, which are not those of the schema."""
    structured = structured_output(chat, Human, method="json_mode", max_repairs=1, include_raw=True)
    result = structured.invoke(JSON_JOKE)
    assert isinstance(result["parsed"], Human) or len(result["parsing_error"].failures) == 1
    once = structured_output(chat, Human, method="json_mode")
    with pytest.raises(StructuredOutputError, match="name: Field required"):
        once.invoke(JSON_JOKE)


# --- whatever it writes -----------------------------------------------------------------------------------------------

TYPES: list[Any] = [
    *(Person, Tree, Home, Anything, Appointment, Expression, Stamped, Joke, Human, JokeV1, Mood),
    *(Literal["a", "b", 3], list[Mood], Mood | None, int | list[int], Annotated[int, Field(ge=3, le=12)]),
    *(tuple[int, Mood], dict[str, bool], date, list[Human], Annotated[str, Field(pattern="^[a-c]{2,5}$")]),
]
# The model is told of the schema, and its window is small.
SCHEMAS = [s for s, _, _ in ENFORCED if isinstance(s, dict) and s and len(json.dumps(s)) < 2000]


@pytest.mark.parametrize("schema", TYPES, ids=str)
def test_types(wild: ChatLlamaCpp, schema: Any):
    structured = structured_output(wild, schema, include_raw=True)
    for seed in range(3):
        result = structured.invoke("Answer in JSON.", seed=seed)
        if result["parsing_error"] is not None:
            assert isinstance(result["parsing_error"], StructuredOutputError)
            assert result["parsed"] is None
        elif issubclass(type(result["parsed"]), BaseModelV1):
            assert type(result["parsed"]) is schema
        else:
            adapter = TypeAdapter(schema)
            assert adapter.validate_json(adapter.dump_json(result["parsed"])) == result["parsed"]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: str(schema)[:50])
def test_json_schemas(wild: ChatLlamaCpp, schema: dict[str, Any]):
    structured = structured_output(wild, schema, include_raw=True)
    validator = Draft202012Validator(schema)
    for seed in range(2):
        result = structured.invoke("Answer in JSON.", seed=seed)
        if result["parsing_error"] is None:
            assert validator.is_valid(result["parsed"])
        else:
            assert isinstance(result["parsing_error"], StructuredOutputError)


def objects_of(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    properties = st.dictionaries(st.text("abcdef", min_size=1, max_size=5), inner, min_size=1, max_size=3)
    return properties.flatmap(
        lambda named: st.fixed_dictionaries(
            {
                "type": st.just("object"),
                "properties": st.just(named),
                "required": st.lists(st.sampled_from(sorted(named)), unique=True),
            }
        )
    )


LEAVES = st.sampled_from(
    [
        {"type": "string", "maxLength": 6},
        {"type": "integer", "minimum": -5, "maximum": 70},
        {"type": "number"},
        {"type": "boolean"},
        {"type": "null"},
        {"enum": ["a", 1, None, "é"]},
        {"type": "integer", "multipleOf": 3},
        {"type": "string", "format": "date"},
    ]
)
INNER = st.recursive(
    LEAVES,
    lambda inner: (
        objects_of(inner)
        | st.builds(lambda items: {"type": "array", "items": items, "maxItems": 3, "uniqueItems": True}, inner)
        | st.builds(lambda members: {"anyOf": members}, st.lists(inner, min_size=1, max_size=3))
    ),
    max_leaves=5,
)


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(schema=objects_of(INNER), method=st.sampled_from(["json_schema", "json_mode", "function_calling"]))
def test_schemas_that_nobody_thought_of(wild: ChatLlamaCpp, schema: dict[str, Any], method: Any):
    result = structured_output(wild, schema, method=method, include_raw=True).invoke("Answer in JSON.", seed=1)
    if result["parsing_error"] is None:
        assert Draft202012Validator(schema).is_valid(result["parsed"])
    else:
        assert isinstance(result["parsing_error"], StructuredOutputError)
        assert result["parsed"] is None
