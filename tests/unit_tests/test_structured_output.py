"""with_structured_output: what the model is asked, and what becomes of its answers, whatever they are."""

from __future__ import annotations

import asyncio
import copy
import itertools
import pickle
import subprocess
import sys
from typing import Annotated, Any

import pytest
from jsonschema import Draft202012Validator
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from pydantic import BaseModel, field_validator

from langchain_localmodels.engines.base import InvalidToolCallDelta, ReasoningDelta, TextDelta
from langchain_localmodels.engines.base import ToolCallDelta as CallDelta
from langchain_localmodels.errors import EngineError, InvalidRequestError, LocalModelError, StructuredOutputError
from langchain_localmodels.structured.output import METHODS, structured_output
from langchain_localmodels.structured.schema import wanted_from
from tests.unit_tests.scripted import LOGS, ChatScripted, Log, finish
from tests.unit_tests.structured import (
    ANN,
    ANN_TEXT,
    OBJECTS,
    OTHERS,
    PERSON_SCHEMA,
    STREAMS,
    WAYS,
    Box,
    ChatGrammar,
    Color,
    InTurn,
    Person,
    PersonDict,
    PersonV1,
    Runs,
    Tree,
    answering,
    ask,
    called,
    items,
    said,
    shown,
)

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


@pytest.fixture(autouse=True)
def log():
    LOGS["default"] = Log()
    return LOGS["default"]


# --- what the model is asked ------------------------------------------------------------------------------------------


def test_the_model_is_held_to_the_schema(log):
    structured_output(answering(ANN_TEXT, "json_schema"), Person, method="json_schema").invoke("hi")
    (request,) = log.requests
    assert request.settings.constraint.schema == wanted_from(Person).schema
    assert request.tools == ()


def test_json_mode_asks_for_any_json(log):
    structured_output(answering(ANN_TEXT, "json_mode"), Person, method="json_mode").invoke("hi")
    (request,) = log.requests
    assert request.settings.constraint.schema in (None, {"type": "object"})


def test_function_calling_offers_one_tool_and_demands_its_call(log):
    structured_output(answering(ANN_TEXT, "function_calling", "Person"), Person, method="function_calling").invoke("hi")
    (request,) = log.requests
    (offered,) = request.tools
    assert (offered.name, offered.description) == ("Person", "A person.")
    assert offered.parameters["properties"].keys() == {"name", "age", "color"}
    assert offered.parameters["required"] == ["name", "age"]


@pytest.mark.parametrize("strict", [None, False, True])
def test_what_is_bound(strict):
    model = ChatGrammar()
    extra = {} if strict is None else {"strict": strict}
    envelope = {"name": "Person", "schema": wanted_from(Person).schema, **extra}
    bound = structured_output(model, Person, method="json_schema", strict=strict)._bound.kwargs
    assert bound["response_format"] == {"type": "json_schema", "json_schema": envelope}
    bound = structured_output(model, Person, method="json_mode", strict=strict)._bound.kwargs
    assert bound["response_format"] == {"type": "json_object"}
    bound = structured_output(model, Person, method="function_calling", strict=strict)._bound.kwargs
    assert bound["tool_choice"] == "Person"
    assert bound["parallel_tool_calls"] is False
    assert [offered["function"]["name"] for offered in bound["tools"]] == ["Person"]
    assert [offered["function"].get("strict") for offered in bound["tools"]] == [strict]
    assert bound.get("strict") == strict


def test_a_tool_has_no_reference_at_its_top_and_a_name_that_is_taken_everywhere():
    offered = wanted_from(Tree).as_tool(None)["function"]
    assert offered["parameters"]["properties"]["value"] == {"type": "integer"}
    assert Draft202012Validator(offered["parameters"]).is_valid({"value": 1, "children": [{"value": 2}]})
    assert not Draft202012Validator(offered["parameters"]).is_valid({"value": 1, "children": [{"value": "2"}]})
    assert wanted_from(Box[int]).name == "Box_int"
    assert wanted_from({**PERSON_SCHEMA, "title": "Ein Mensch! " + "x" * 99}).name == "Ein_Mensch_" + "x" * 53


def test_the_default_method_follows_the_engine_and_is_not_asked_for_before_the_first_use(log):
    holds, holds_not = ChatGrammar(script=said(ANN_TEXT)), ChatScripted(script=said(ANN_TEXT))
    first, second, third = (
        structured_output(holds, Person),
        structured_output(holds_not, Person),
        structured_output(holds_not, list[Person]),
    )
    assert log.engines == []
    assert first._reader.method == "json_schema"
    assert second._reader.method == "function_calling"
    assert third._reader.method == "json_schema"
    assert all(engine.loads == 0 for engine in log.engines)


# --- what is never taken for an answer --------------------------------------------------------------------------------

BAD: list[tuple[str, Any, Any, str]] = [
    ("json_schema", Person, said(ANN_TEXT, "length"), "cut off"),
    ("json_schema", Person, said('{"name": "An', "length"), "cut off"),
    ("json_schema", Person, said('{"name": "An'), "not JSON"),
    ("json_schema", Person, said(""), "empty"),
    ("json_schema", Person, [ReasoningDelta("Let me see."), finish()], "empty"),
    ("json_schema", Person, said("No."), "not JSON"),
    ("json_schema", Person, said('{"name": "Ann"}'), "age: Field required"),
    ("json_schema", Person, said('{"name": "Ann", "age": -1}'), "age: .*given: -1"),
    ("json_schema", Person, said('{"name": "Ann", "age": 1, "color": "blue"}'), "color: "),
    ("json_schema", Person, said(f"{ANN_TEXT} or {ANN_TEXT}"), "not JSON"),
    ("json_schema", Person, said('{"name": "\\ud800", "age": 1}'), "Person"),
    ("json_schema", Person, called("Person", ANN_TEXT), "called Person"),
    ("json_schema", PersonV1, said('{"name": "Ann", "age": -1}'), "age: "),
    ("json_schema", PersonDict, said('{"age": 1}'), "'name' is a required"),
    ("json_schema", PersonDict, said('{"name": "Ann", "age": "old"}'), "age: 'old'"),
    ("json_schema", PERSON_SCHEMA, said('{"name": "Ann", "age": -1}'), "age: -1 is less"),
    ("json_schema", PERSON_SCHEMA, said("null"), "not of type 'object'"),
    ("json_schema", list[Person], said(f"[{ANN_TEXT}, {{}}]"), r"1\.name: "),
    ("json_schema", Color, said('"blue"'), "Color"),
    ("json_mode", Person, said('{"people": []}'), "name: "),
    ("json_mode", PERSON_SCHEMA, said("[]"), "not of type 'object'"),
    ("json_mode", PERSON_SCHEMA, said(ANN_TEXT[:-1], "length"), "cut off"),
    ("function_calling", Person, said(ANN_TEXT), "without calling Person"),
    ("function_calling", Person, called("Person", '{"name": "An', "length"), "cut off"),
    ("function_calling", Person, called("Person", ANN_TEXT, "length"), "cut off"),
    ("function_calling", Person, called("Person", '{"name": "An'), "cannot be read"),
    ("function_calling", Person, called("Other", ANN_TEXT), "called Other"),
    ("function_calling", Person, called("Person", '{"name": "Ann"}'), "age: "),
    ("function_calling", PERSON_SCHEMA, called("Person", '{"name": "Ann"}'), "'age' is a required"),
    ("function_calling", Person, [InvalidToolCallDelta("Person(", "no JSON", "Person"), finish()], "cannot be read"),
    (
        "function_calling",
        Person,
        [CallDelta(0, "a", "Person", ANN_TEXT), CallDelta(1, "b", "Person", ANN_TEXT), finish("tool_calls")],
        "2 times",
    ),
]


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize(("method", "schema", "script", "match"), BAD)
async def test_what_does_not_fit_is_an_error(method, schema, script, match, how):
    structured = structured_output(ChatGrammar(script=script), schema, method=method)
    with pytest.raises(StructuredOutputError, match=match) as caught:
        await ask(structured, how)
    error = caught.value
    assert isinstance(error, OutputParserException)
    assert isinstance(error, LocalModelError)
    assert isinstance(error.raw, AIMessage)
    assert error.finish_reason == error.raw.response_metadata["finish_reason"] == script[-1].reason
    assert error.is_retryable == (error.finish_reason != "length")
    written = "".join(getattr(delta, "text", "") for delta in script if isinstance(delta, TextDelta))
    assert written in error.llm_output
    assert "troubleshooting" not in str(error)


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize(("method", "schema", "script", "match"), BAD)
async def test_with_include_raw_what_does_not_fit_is_told(method, schema, script, match, how):
    structured = structured_output(ChatGrammar(script=script), schema, method=method, include_raw=True)
    result = await ask(structured, how)
    assert result.keys() == {"raw", "parsed", "parsing_error"}
    assert result["parsed"] is None
    with pytest.raises(StructuredOutputError, match=match):
        raise result["parsing_error"]
    assert isinstance(result["raw"], AIMessage)
    assert result["raw"].response_metadata["finish_reason"] == script[-1].reason


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("method", METHODS)
async def test_with_include_raw_what_fits_is_there(method, how):
    structured = structured_output(answering(ANN_TEXT, method, "Person"), Person, method=method, include_raw=True)
    result = await ask(structured, how)
    assert result["parsed"] == Person(name="Ann", age=7)
    assert result["parsing_error"] is None
    assert result["raw"].usage_metadata["total_tokens"] == 8
    assert bool(result["raw"].tool_calls) == (method == "function_calling")


class Fussy(BaseModel):
    name: str

    @field_validator("name")
    @classmethod
    def _known(cls, value):
        return {"Ann": "Ann"}[value]


@pytest.mark.parametrize("how", WAYS)
async def test_a_mistake_in_a_validator_is_not_the_models(how):
    model = answering('{"name": "Bob"}', "json_schema")
    with pytest.raises(KeyError):
        await ask(structured_output(model, Fussy, max_repairs=0), how)
    result = await ask(structured_output(model, Fussy, include_raw=True), how)
    assert isinstance(result["parsing_error"], KeyError)
    # What is not whole yet may break it, and the whole may not.
    assert await ask(structured_output(answering('{"name": "Ann"}', "json_schema"), Fussy), how) == Fussy(name="Ann")


@pytest.mark.parametrize("how", WAYS)
async def test_errors_of_the_engine_stay_what_they_are(how):
    broken = EngineError("It broke.")
    for arguments in ({}, {"include_raw": True}, {"max_repairs": 2}):
        structured = structured_output(ChatGrammar(script=[TextDelta("{"), broken]), Person, **arguments)
        with pytest.raises(EngineError, match="It broke"):
            await ask(structured, how)


@pytest.mark.parametrize(
    "text", [f"Sure!\n```json\n{ANN_TEXT}\n```\nGood luck!", f"Here: {ANN_TEXT}.", f"```\n{ANN_TEXT}\n```"]
)
@pytest.mark.parametrize("method", ["json_mode", "json_schema"])
@pytest.mark.parametrize("how", WAYS)
async def test_words_around_json(text, method, how):
    structured = structured_output(answering(text, method), Person, method=method)
    assert await ask(structured, how) == Person(name="Ann", age=7)


@pytest.mark.parametrize("version", ["v0", "v1"])
@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("method", METHODS)
async def test_reasoning_and_words_before_the_answer(method, how, version):
    script = answering(ANN_TEXT, method, "Person").script
    before = [ReasoningDelta("Hm {"), *([TextDelta("Let me {call}.")] if method == "function_calling" else [])]
    model = ChatGrammar(script=[*before, *script], output_version=version)
    assert await ask(structured_output(model, Person, method=method), how) == Person(name="Ann", age=7)


def test_the_error_is_picklable_and_says_what_to_do():
    with pytest.raises(StructuredOutputError) as caught:
        structured_output(ChatGrammar(script=said("{", "length")), Person).invoke("hi")
    twin = pickle.loads(pickle.dumps(caught.value))
    assert type(twin) is StructuredOutputError
    assert str(twin) == str(caught.value)
    assert "max_tokens" in str(twin)
    assert (twin.llm_output, twin.finish_reason, twin.is_retryable) == ("{", "length", False)
    assert twin.raw == caught.value.raw
    assert str(copy.copy(caught.value)) == str(twin)


# --- streams ----------------------------------------------------------------------------------------------------------


@STREAMS
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("schema", [PERSON_SCHEMA, PersonDict], ids=shown)
async def test_dicts_grow(schema, method, how):
    model = answering(ANN_TEXT, method, wanted_from(schema).name)
    assert await items(structured_output(model, schema, method=method), how) == [
        {},
        {"name": ""},
        {"name": "A"},
        {"name": "An"},
        {"name": "Ann"},
        {"name": "Ann", "age": 7},
    ]


@STREAMS
@pytest.mark.parametrize("method", METHODS)
async def test_objects_come_as_soon_as_they_validate(method, how):
    text = '{"age": 7, "name": "Ann", "color": "green"}'
    seen = await items(structured_output(answering(text, method, "Person"), Person, method=method), how)
    assert seen == [
        *(Person(name=name, age=7) for name in ("", "A", "An", "Ann")),
        Person(name="Ann", age=7, color=Color.GREEN),
    ]


class Money(BaseModel):
    amount: int
    note: str = ""

    def __add__(self, other):
        return Money(amount=self.amount + other.amount)


@STREAMS
async def test_objects_that_can_be_added_come_once(how):
    structured = structured_output(answering('{"amount": 5, "note": "ab"}', "json_schema"), Money)
    assert await items(structured, how) == [Money(amount=5, note="ab")]
    assert list((structured | RunnableLambda(lambda money: money.amount)).stream("hi")) == [5]


@STREAMS
async def test_what_changes_nothing_is_not_given_again(how):
    text = '{"value": 1, "children": [{"value": 2}]}'
    seen = await items(structured_output(answering(text, "json_schema"), Tree), how)
    assert seen == [Tree(value=1), Tree(value=1, children=[Tree(value=2)])]
    # The last item is the whole one, down to which fields were given.
    seen = await items(structured_output(answering('{"value": 1, "children": []}', "json_schema"), Tree), how)
    assert seen[-1].model_fields_set == {"value", "children"}


@STREAMS
@pytest.mark.parametrize(("schema", "text", "expected"), OTHERS, ids=shown)
async def test_what_python_would_join_comes_once(schema, text, expected, how):
    seen = await items(structured_output(answering(text, "json_schema"), schema), how)
    assert seen[-1:] == [expected]
    if hasattr(type(expected), "__add__"):
        assert seen == [expected]
        model = answering(text, "json_schema")
        assert list((structured_output(model, schema) | RunnableLambda(lambda whole: whole)).stream("hi")) == [expected]


@STREAMS
async def test_the_end_of_a_stream_is_checked(how):
    """What validated while it grew was not the answer."""
    for script, match in (
        (said('{"age": 7, "name": "An', "length"), "cut off"),
        (said('{"age": 7, "name": "Ann", "color": "blue"}'), "color"),
        (said(f"{ANN_TEXT} {ANN_TEXT}"), "not JSON"),
    ):
        seen = []
        structured = structured_output(ChatGrammar(script=script), Person)
        with pytest.raises(StructuredOutputError, match=match):
            await items(structured, how, into=seen)
        assert seen
        assert all(isinstance(item, Person) for item in seen)


@STREAMS
async def test_the_raw_message_grows_too(how):
    seen = await items(structured_output(answering(ANN_TEXT, "json_schema"), Person, include_raw=True), how)
    texts = [item["raw"].text for item in seen]
    assert all(later.startswith(text) for text, later in itertools.pairwise(texts))
    assert texts[-1] == ANN_TEXT
    assert len(set(texts)) == len(ANN_TEXT)
    assert all(item.keys() == {"raw", "parsed", "parsing_error"} for item in seen)
    assert [item["parsed"] for item in seen][-1] == Person(name="Ann", age=7)


@STREAMS
async def test_models_that_do_not_stream(how):
    model = answering(ANN_TEXT, "json_schema").model_copy(update={"disable_streaming": True})
    assert await items(structured_output(model, Person), how) == [Person(name="Ann", age=7)]
    (item,) = await items(structured_output(model, Person, include_raw=True), how)
    assert item["parsed"] == Person(name="Ann", age=7)
    assert item["raw"].text == ANN_TEXT


class Vector(BaseModel):  # noqa: PLW1641 - nothing looks for its hash
    """As with arrays in it: two of them cannot be compared as a whole."""

    numbers: list[int] = []
    unit: str = ""

    def __eq__(self, other):
        raise ValueError("which of the numbers?")


@STREAMS
async def test_objects_that_cannot_be_compared_are_streamed(how):
    seen = await items(structured_output(answering('{"numbers": [1, 2], "unit": "m"}', "json_schema"), Vector), how)
    assert len(seen) > 2
    assert (seen[0].numbers, seen[-1].numbers, seen[-1].unit) == ([], [1, 2], "m")


@STREAMS
async def test_whoever_stops_reading_frees_the_engine(how, log):
    structured = structured_output(ChatGrammar(script=[*map(TextDelta, ANN_TEXT), 60, finish()]), PERSON_SCHEMA)
    if how == "stream":
        stream = structured.stream("hi")
        assert next(stream) == {}
        stream.close()
    else:
        stream = structured.astream("hi")
        assert await anext(stream) == {}
        await stream.aclose()
        for _ in range(100):
            # What core leaves open, the loop closes in its next rounds.
            await asyncio.sleep(0)
    assert [stream.closed.is_set() for stream in log.streams] == [True]


# --- repairs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", WAYS)
async def test_a_wrong_answer_is_repaired(how, log):
    runs = Runs()
    model = ChatGrammar(script=InTurn(said('{"name": "Ann", "age": -1}'), said(ANN_TEXT)))
    structured = structured_output(model, Person, max_repairs=1)
    given = [SystemMessage("Be brief."), HumanMessage("Who?")]
    assert await ask(structured, how, given, {"callbacks": [runs]}) == Person(name="Ann", age=7)
    first, second = log.requests
    assert [turn.role for turn in second.turns][-3:] == ["user", "assistant", "user"]
    assert second.turns[: len(first.turns)] == first.turns
    assert second.turns[-2].text == '{"name": "Ann", "age": -1}'
    assert "age: " in second.turns[-1].text
    assert second.settings.constraint == first.settings.constraint
    assert len(runs.options) == 2
    parents = {parent for name, parent in runs.started if name == "model"}
    assert len(parents) == 1
    assert None not in parents
    assert runs.tags == [[], ["repair:1"]]
    assert not runs.failed


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize(
    ("wrong", "roles"),
    [
        (called("Person", '{"name": "Ann"}'), ["assistant", "tool", "user"]),
        (called("Person", '{"name": "An'), ["assistant", "tool", "user"]),
        (said("Ann is 7."), ["assistant", "user"]),
        ([InvalidToolCallDelta("Person(", "no JSON"), finish()], ["assistant", "user"]),
    ],
    ids=["arguments", "no JSON", "no call", "no name"],
)
async def test_a_wrong_call_is_repaired(wrong, roles, how, log):
    model = ChatGrammar(script=InTurn(wrong, called("Person", ANN_TEXT)))
    structured = structured_output(model, Person, method="function_calling", max_repairs=1)
    assert await ask(structured, how) == Person(name="Ann", age=7)
    turns = log.requests[1].turns
    assert [turn.role for turn in turns][-len(roles) :] == roles
    assert all(turn.is_error for turn in turns if turn.role == "tool")
    assert "Call Person again" in turns[-1].text


@pytest.mark.parametrize("how", WAYS)
async def test_repairs_come_to_an_end(how, log):
    wrong = [said(f'{{"name": "Ann", "age": {age}}}') for age in (-1, -2, -3)]
    structured = structured_output(ChatGrammar(script=InTurn(*wrong)), Person, max_repairs=2)
    with pytest.raises(StructuredOutputError, match="given: -3") as caught:
        await ask(structured, how)
    assert len(log.requests) == 3
    assert ["given: -1" in caught.value.failures[0], "given: -2" in caught.value.failures[1]] == [True, True]
    assert len(caught.value.failures) == 2
    assert "answer 3" in str(caught.value)
    assert caught.value.llm_output == '{"name": "Ann", "age": -3}'
    # Each complaint is about the last answer alone: windows are small.
    assert [len(request.turns) - len(log.requests[0].turns) for request in log.requests] == [0, 2, 2]


@pytest.mark.parametrize("how", WAYS)
async def test_what_was_cut_off_is_not_repaired(how, log):
    structured = structured_output(ChatGrammar(script=InTurn(said("{", "length"))), Person, max_repairs=3)
    with pytest.raises(StructuredOutputError, match="cut off"):
        await ask(structured, how)
    assert len(log.requests) == 1


@pytest.mark.parametrize("how", WAYS)
async def test_repairs_with_include_raw(how):
    model = ChatGrammar(script=InTurn(said("{}"), said("[]"), said("{}"), said(ANN_TEXT)))
    structured = structured_output(model, Person, max_repairs=1, include_raw=True)
    result = await ask(structured, how)
    assert result["raw"].text == "[]"
    assert len(result["parsing_error"].failures) == 1
    result = await ask(structured, how)
    assert (result["parsed"], result["parsing_error"]) == (Person(name="Ann", age=7), None)


@STREAMS
async def test_with_repairs_a_stream_is_the_final_object(how):
    model = ChatGrammar(script=InTurn(said("{}"), said(ANN_TEXT)))
    assert await items(structured_output(model, PERSON_SCHEMA, max_repairs=1), how) == [ANN]


def test_every_form_of_input_can_be_asked_again(log):
    prompt = ChatPromptTemplate.from_messages([("system", "Be brief."), ("user", "{question}")])
    as_dict = {"role": "user", "content": "Who?"}
    for given in ("Who?", prompt.invoke({"question": "Who?"}), [("user", "Who?")], [as_dict]):
        model = ChatGrammar(script=InTurn(said("{}"), said(ANN_TEXT)))
        assert structured_output(model, Person, max_repairs=1).invoke(given) == Person(name="Ann", age=7)
        assert log.requests[-1].turns[-3].text == "Who?"


# --- among other runnables --------------------------------------------------------------------------------------------


def test_every_chat_model_has_it(log):
    model = ChatGrammar(script=InTurn(said("{}"), said(ANN_TEXT)))
    structured = model.with_structured_output(Person, method="json_schema", max_repairs=1, include_raw=True)
    assert structured.invoke("hi")["parsed"] == Person(name="Ann", age=7)
    with pytest.raises(ValueError, match="'n'"):
        model.with_structured_output(Person, n=3)


@pytest.mark.parametrize("how", WAYS)
async def test_on_an_engine_that_takes_schemas_a_call_is_lifted_out_of_json(how, log):
    model = ChatGrammar(constrain="schema", script=said(f'{{"name": "Person", "arguments": {ANN_TEXT}}}'))
    assert await ask(model.with_structured_output(Person, method="function_calling"), how) == Person(name="Ann", age=7)
    model = ChatGrammar(constrain="schema", script=said(f'{{"name": "Person", "arguments": {ANN_TEXT}', "length"))
    with pytest.raises(StructuredOutputError, match="cut off"):
        await ask(model.with_structured_output(Person, method="function_calling"), how)


def test_an_engine_that_holds_answers_to_nothing_is_asked_for_a_call(log):
    model = ChatScripted(script=InTurn(said("Ann is 7."), called("Person", ANN_TEXT)))
    assert model.with_structured_output(Person).invoke("hi") == Person(name="Ann", age=7)
    assert [request.tools[0].name for request in log.requests] == ["Person", "Person"]


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="From Python 3.12 on pydantic takes this one, too.")
def test_typed_dicts_of_the_standard_library():
    import typing

    class Plain(typing.TypedDict):
        name: Annotated[str, ..., "the name"]

    held = wanted_from(Plain).schema
    assert held["properties"] == {"name": {"type": "string", "description": "the name"}}
    assert "description" not in held
    with pytest.raises(InvalidRequestError, match=r"typing_extensions\.TypedDict"):
        wanted_from(list[Plain])


def test_in_a_chain():
    prompt = ChatPromptTemplate.from_template("Who is {name}?")
    chain = prompt | structured_output(answering(ANN_TEXT, "json_schema"), Person) | (lambda person: person.age)
    assert chain.invoke({"name": "Ann"}) == 7
    assert chain.batch([{"name": "Ann"}] * 3) == [7, 7, 7]
    assert list(chain.stream({"name": "Ann"})) == [7]
    assert chain.get_graph().nodes


async def test_batches_answer_in_order_and_return_errors():
    scripts = {"a": said(ANN_TEXT), "b": said("{}"), "c": said('{"name": "Bob", "age": 1}')}
    structured = structured_output(ChatGrammar(script=scripts), Person, method="json_schema")
    for answers in (
        structured.batch(["a", "b", "c"], return_exceptions=True),
        await structured.abatch(["a", "b", "c"], return_exceptions=True),
    ):
        assert [getattr(answer, "name", type(answer)) for answer in answers] == ["Ann", StructuredOutputError, "Bob"]
    with pytest.raises(StructuredOutputError):
        structured.batch(["a", "b"])
    assert {place: answer.name for place, answer in structured.batch_as_completed(["a", "c"])} == {0: "Ann", 1: "Bob"}


async def test_with_retry_and_fallbacks():
    def twice():
        return structured_output(ChatGrammar(script=InTurn(said("{}"), said(ANN_TEXT))), Person)

    kinds = {"retry_if_exception_type": (StructuredOutputError,), "wait_exponential_jitter": False}
    assert twice().with_retry(**kinds).invoke("hi") == Person(name="Ann", age=7)
    assert await twice().with_retry(**kinds).ainvoke("hi") == Person(name="Ann", age=7)
    assert twice().with_retry(**kinds).batch(["hi"]) == [Person(name="Ann", age=7)]
    once = structured_output(ChatGrammar(script=said("{}")), Person)
    other = structured_output(answering(ANN_TEXT, "json_schema"), Person)
    assert once.with_fallbacks([other]).invoke("hi") == Person(name="Ann", age=7)
    assert await once.with_fallbacks([other]).ainvoke("hi") == Person(name="Ann", age=7)


def test_options_per_call_reach_the_model(log):
    structured = structured_output(answering(ANN_TEXT, "json_schema"), Person)
    structured.invoke("hi", max_tokens=5)
    structured.bind(max_tokens=6).invoke("hi")
    list(structured.stream("hi", max_tokens=7))
    assert [request.settings.max_tokens for request in log.requests] == [5, 6, 7]


@pytest.mark.parametrize("how", WAYS)
async def test_runs(how):
    runs = Runs()
    await ask(structured_output(answering(ANN_TEXT, "json_schema"), Person), how, config={"callbacks": [runs]})
    (own, parent), (model, model_parent) = runs.started
    assert (own, parent, model) == ("StructuredOutput", None, "model")
    assert model_parent is not None
    assert runs.ended == [Person(name="Ann", age=7)]
    named = Runs()
    bad = structured_output(ChatGrammar(script=said("{}")), Person).with_config(run_name="people")
    with pytest.raises(StructuredOutputError):
        await ask(bad, how, config={"callbacks": [named]})
    assert [name for name, _ in named.started] == ["people", "model"]
    assert [type(error) for error in named.failed] == [StructuredOutputError]


async def test_events():
    structured = structured_output(answering(ANN_TEXT, "json_schema"), PERSON_SCHEMA)
    events = [event async for event in structured.astream_events("hi", version="v2")]
    kinds = {event["event"] for event in events}
    assert {"on_chain_start", "on_chat_model_stream", "on_chain_stream", "on_chain_end"} <= kinds
    pieces = [event["data"]["chunk"] for event in events if event["event"] == "on_chain_stream"]
    assert pieces[0] == {}
    assert pieces[-1] == events[-1]["data"]["output"] == ANN


def test_types_and_names():
    model = answering(ANN_TEXT, "json_schema")
    structured = structured_output(model, Person)
    assert structured.OutputType is Person
    assert structured.output_schema is Person
    assert structured.InputType == model.InputType
    assert structured.get_name() == "StructuredOutput"
    assert "ChatGrammar, Person" in repr(structured)
    assert structured_output(model, list[Person]).get_output_jsonschema()["type"] == "array"
    assert structured_output(model, PersonDict).get_output_jsonschema()["type"] == "object"
    assert structured_output(model, Person, include_raw=True).OutputType == dict[str, Any]
    for schema, _, _ in OBJECTS + OTHERS:
        assert structured_output(model, schema).get_output_schema() is not None
        assert structured.get_input_schema() is not None


@pytest.mark.parametrize("schema", [Person, PersonV1, PersonDict, PERSON_SCHEMA, Color, list[Person], Tree], ids=shown)
def test_copies(schema):
    texts = {Color: '"red"', list[Person]: "[]", Tree: '{"value": 1}'}
    text = texts.get(schema if callable(schema) else None, ANN_TEXT)
    structured = structured_output(answering(text, "json_schema"), schema, method="json_schema", strict=True)
    answer = structured.invoke("hi")
    for twin in (pickle.loads(pickle.dumps(structured)), copy.copy(structured), copy.deepcopy(structured)):
        assert twin.invoke("hi") == answer
        assert twin._bound.kwargs == structured._bound.kwargs


async def test_many_at_once_share_one_runnable():
    structured = structured_output(answering(ANN_TEXT, "json_schema"), Person)
    answers = await asyncio.gather(*(structured.ainvoke("hi") for _ in range(20)))
    assert answers == [Person(name="Ann", age=7)] * 20


def test_jsonschema_loads_with_the_first_schema_that_is_validated_by_it():
    code = (
        "import sys; import langchain_localmodels.structured.output as s; "
        "from pydantic import create_model; from langchain_localmodels.structured.schema import wanted_from; "
        "wanted_from(create_model('A', a=(int, ...))); assert 'jsonschema' not in sys.modules; "
        "wanted_from({'type': 'object'}); assert 'jsonschema' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
