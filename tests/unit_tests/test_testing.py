"""Models that answer what a test says."""

from __future__ import annotations

import asyncio
import copy
import math
import pickle
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import tool
from langchain_core.vectorstores import InMemoryVectorStore
from pydantic import BaseModel, ValidationError

from langchain_localmodels.engines.base import Capabilities, TokenLogprob, Usage
from langchain_localmodels.errors import (
    EngineClosedError,
    EngineError,
    EngineTimeoutError,
    EngineUnreachableError,
    InvalidRequestError,
    PromptTooLongError,
)
from langchain_localmodels.testing import (
    Answer,
    Call,
    Gate,
    InvalidCall,
    ScriptedChatModel,
    ScriptedEmbeddings,
    ScriptedLLM,
    oblige,
)
from langchain_localmodels.testing.obliging import example
from langchain_localmodels.testing.playing import pieces_of

pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")

WAYS = ["invoke", "ainvoke", "stream", "astream", "batch", "abatch", "v3"]


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return f"rain in {city}"


class Person(BaseModel):
    """Somebody."""

    name: str
    age: int


def ask(model, how, text="hi", **kwargs):
    """Ask in one of the ways there are and give one message."""

    async def read():
        if how == "ainvoke":
            return await model.ainvoke(text, **kwargs)
        if how == "abatch":
            return (await model.abatch([text], **kwargs))[0]
        return joined([chunk async for chunk in model.astream(text, **kwargs)])

    if how in ("ainvoke", "abatch", "astream"):
        return asyncio.run(read())
    if how == "invoke":
        return model.invoke(text, **kwargs)
    if how == "batch":
        return model.batch([text], **kwargs)[0]
    if how == "v3":
        return model.stream_events(text, version="v3", **kwargs).output
    return joined(list(model.stream(text, **kwargs)))


def joined(chunks):
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", WAYS)
def test_a_text_is_the_answer(how):
    message = ask(ScriptedChatModel(answers=["Hello  there,\n you"]), how)
    assert message.text == "Hello  there,\n you"
    assert message.response_metadata["finish_reason"] == "stop"
    assert message.response_metadata["model_name"] == "scripted-model"
    assert message.usage_metadata == {"input_tokens": 2, "output_tokens": 3, "total_tokens": 5}


def test_it_is_streamed_word_by_word():
    chunks = list(ScriptedChatModel(answers=["Hello  there,\n you "]).stream("hi"))
    assert [chunk.text for chunk in chunks] == ["Hello", "  there,", "\n you", " ", ""]
    assert list(ScriptedLLM(answers=["Hello there"]).stream("hi")) == ["Hello", " there", ""]


@pytest.mark.parametrize("text", ["", " ", "a", " a", "a ", "a  b\n\nc", "\n", "wörter 你好 x", "\ud800 x"])
def test_words_are_the_text(text):
    assert "".join(pieces_of(text)) == text


@pytest.mark.parametrize("how", WAYS)
def test_reasoning_text_and_calls(how):
    answer = Answer(
        "Let me look.", reasoning="I need it.", tool_calls=[Call("weather", {"city": "Paris"}), Call("time")]
    )
    message = ask(ScriptedChatModel(answers=[answer]), how)
    assert message.text == "Let me look."
    assert [(call["name"], call["args"], call["id"]) for call in message.tool_calls] == [
        ("weather", {"city": "Paris"}, "call_1_0"),
        ("time", {}, "call_1_1"),
    ]
    assert [block["type"] for block in message.content_blocks] == ["reasoning", "text", "tool_call", "tool_call"]
    assert message.response_metadata["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("how", WAYS)
def test_calls_that_cannot_be_read(how):
    given = [InvalidCall("<call>", "no JSON", "weather"), Call("weather", '{"city": "Par', id="mine")]
    message = ask(ScriptedChatModel(answers=[given]), how)
    assert message.tool_calls == []
    assert sorted(call["name"] for call in message.invalid_tool_calls) == ["weather", "weather"]
    assert "mine" in [call["id"] for call in message.invalid_tool_calls]


def test_other_forms_of_an_answer():
    said = AIMessage(
        "Well.",
        additional_kwargs={"reasoning_content": "Hm."},
        tool_calls=[{"name": "weather", "args": {"city": "Oslo"}, "id": "x1"}],
        usage_metadata={"input_tokens": 7, "output_tokens": 8, "total_tokens": 15},
        response_metadata={"finish_reason": "length"},
    )
    model = ScriptedChatModel(
        answers=[said, {"name": "weather", "args": {}, "id": "x2", "type": "tool_call"}, ["a", "b"], Call("time")]
    )
    message = model.invoke("hi")
    assert (message.text, message.additional_kwargs["reasoning_content"]) == ("Well.", "Hm.")
    assert message.tool_calls[0]["id"] == "x1"
    assert message.usage_metadata["total_tokens"] == 15
    assert message.response_metadata["finish_reason"] == "length"
    assert model.invoke("hi").tool_calls[0]["id"] == "x2"
    assert [chunk.text for chunk in model.stream("hi")] == ["a", "b", ""]
    assert model.invoke("hi").tool_calls[0]["name"] == "time"
    given = Answer("a", usage=Usage(100, 20, cache_read=90), finish_reason="length")
    message = ScriptedChatModel(answers=given).invoke("hi")
    assert message.usage_metadata["input_token_details"] == {"cache_read": 90}
    assert message.response_metadata["finish_reason"] == "length"


def test_log_probabilities():
    pieces = [TokenLogprob("a", -0.5, (("a", -0.5), ("b", -1.5))), "b"]
    model = ScriptedChatModel(answers=[Answer(pieces)] * 2)
    tokens = model.invoke("hi", logprobs=True, top_logprobs=1).response_metadata["logprobs"]["content"]
    assert [(token["token"], token["logprob"], len(token["top_logprobs"])) for token in tokens] == [
        ("a", -0.5, 1),
        ("b", 0.0, 1),
    ]
    assert "logprobs" not in model.invoke("hi").response_metadata


@pytest.mark.parametrize("how", WAYS)
def test_limits_are_kept(how):
    def model(**fields):
        return ScriptedChatModel(
            answers=Answer("one two three STOP four", tool_calls=[Call("weather", {"city": "X"})]), **fields
        )

    cut = ask(model(max_tokens=2), how)
    assert (cut.text, cut.response_metadata["finish_reason"], cut.tool_calls) == ("one two", "length", [])
    stopped = ask(model(stop=["e STOP"]), how)
    assert (stopped.text, stopped.response_metadata["finish_reason"], stopped.tool_calls) == (
        "one two thre",
        "stop",
        [],
    )
    held = ask(model(stop=["four five"]), how)
    assert (held.text, len(held.tool_calls)) == ("one two three STOP four", 1)
    assert ask(model(stop=["two three"], max_tokens=2), how).text == "one two"
    half_a_call = ask(model(max_tokens=7), how)
    assert half_a_call.tool_calls == []
    assert [call["name"] for call in half_a_call.invalid_tool_calls] == ["weather"]


# --- structured output and tools --------------------------------------------------------------------------------------

ABILITIES = ["grammar", "schema", "none"]


def able(constrain, **more):
    return Capabilities(tools="native", constrain=constrain, tokenizer=True, **more)


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
@pytest.mark.parametrize("constrain", ABILITIES)
def test_data_is_given_in_the_form_that_is_asked_for(constrain, method):
    answers = [Person(name="Ada", age=36), {"name": "Ada", "age": 36}, Answer(data={"name": "Ada", "age": 36})]
    model = ScriptedChatModel(answers=answers, capabilities=able(constrain))
    chain = model.with_structured_output(Person, method=method)
    assert [chain.invoke("Who?"), list(chain.stream("Who?"))[-1], asyncio.run(chain.ainvoke("Who?"))] == [
        Person(name="Ada", age=36)
    ] * 3
    assert model.unused == []


@pytest.mark.parametrize("constrain", ABILITIES)
def test_a_forced_call_is_asked_for_as_the_engine_can(constrain):
    model = ScriptedChatModel(answers=[Call("weather", {"city": "Oslo"})], capabilities=able(constrain))
    message = model.bind_tools([weather], tool_choice="any").invoke("hi")
    assert [call["args"] for call in message.tool_calls] == [{"city": "Oslo"}]
    (request,) = model.requests
    assert (request.tool_choice == "any") == (constrain == "grammar")
    assert (request.settings.constraint is not None) == (constrain == "schema")


def test_an_engine_that_can_hold_to_nothing_is_asked_again():
    model = ScriptedChatModel(answers=["No.", Call("weather", {"city": "Oslo"})], capabilities=able("none"))
    message = model.bind_tools([weather], tool_choice="weather").invoke("hi")
    assert [call["args"] for call in message.tool_calls] == [{"city": "Oslo"}]
    assert len(model.requests) == 2


def test_data_for_one_of_several_tools():
    @tool
    def other(x: int) -> str:
        """Something else."""
        return ""

    model = ScriptedChatModel(answers={"": {"city": "Oslo"}}).bind_tools([weather, other], tool_choice="any")
    assert model.invoke("hi").tool_calls[0]["name"] == "weather"
    unclear = ScriptedChatModel(answers=[{"nothing": 1}]).bind_tools([weather, other], tool_choice="any")
    with pytest.raises(InvalidRequestError, match="weather, other"):
        unclear.invoke("hi")


def test_an_agent():
    from langchain.agents import create_agent

    model = ScriptedChatModel(answers=[Call("weather", {"city": "Paris"}), "It rains in Paris."])
    messages = create_agent(model, [weather]).invoke({"messages": [HumanMessage("How is Paris?")]})["messages"]
    assert [type(message) for message in messages] == [HumanMessage, AIMessage, ToolMessage, AIMessage]
    assert messages[2].text == "rain in Paris"
    assert messages[3].text == "It rains in Paris."
    first, second = model.requests
    assert [offered.name for offered in first.tools] == ["weather"]
    assert second.turns[-1].text == "rain in Paris"
    assert second.turns[-1].tool_call_id == "call_1_0"


@pytest.mark.parametrize("constrain", ABILITIES)
def test_an_agent_that_answers_in_a_form(constrain):
    from langchain.agents import create_agent

    model = ScriptedChatModel(answers=[Person(name="Ada", age=36)], capabilities=able(constrain))
    state = create_agent(model, response_format=Person).invoke({"messages": [HumanMessage("Who?")]})
    assert state["structured_response"] == Person(name="Ada", age=36)


# --- which answer comes -----------------------------------------------------------------------------------------------


def test_a_list_is_used_in_order_and_runs_out():
    model = ScriptedChatModel(answers=["one", "two"])
    assert model.unused == ["one", "two"]
    assert [model.invoke("a").text, model.invoke("b").text] == ["one", "two"]
    assert model.unused == []
    with pytest.raises(InvalidRequestError, match=r"2 answers, and this is request number 3: 'c'"):
        model.invoke("c")
    with pytest.raises(InvalidRequestError, match="number 4"):
        list(model.stream("d"))
    assert [request.turns[-1].text for request in model.requests] == ["a", "b", "c", "d"]


def test_one_answer_for_all():
    model = ScriptedChatModel(answers="always")
    assert {model.invoke("a").text, model.invoke("b").text} == {"always"}
    assert model.unused == []


def test_a_dict_answers_what_holds_its_keys():
    model = ScriptedChatModel(answers={"capital of France": "Paris", re.compile(r"(?i)^hello"): Call("weather")})
    assert model.invoke("What is the capital of France?").text == "Paris"
    assert model.invoke("HELLO you").tool_calls[0]["name"] == "weather"
    with pytest.raises(InvalidRequestError, match="capital of Spain"):
        model.invoke("What is the capital of Spain?")


def test_a_function_answers_any_request():
    def answer(request):
        if request.tools:
            return Call(request.tools[0].name, {"city": request.turns[-1].text})
        return f"{len(request.turns)} turns, at most {request.settings.max_tokens} tokens"

    model = ScriptedChatModel(answers=answer, max_tokens=9)
    assert model.invoke([SystemMessage("s"), HumanMessage("h")]).text == "2 turns, at most 9 tokens"
    assert model.bind_tools([weather]).invoke("Oslo").tool_calls[0]["args"] == {"city": "Oslo"}
    with pytest.raises(ZeroDivisionError):
        ScriptedChatModel(answers=lambda request: 1 / 0).invoke("hi")
    with pytest.raises(InvalidRequestError, match="3 is no answer"):
        ScriptedChatModel(answers=lambda request: 3).invoke("hi")

    async def asynchronous(request):
        return "a"

    with pytest.raises(InvalidRequestError, match="asynchronous"):
        ScriptedChatModel(answers=asynchronous).invoke("hi")


@pytest.mark.parametrize("wrong", [3, [3], ["a", None], {3: "a"}, {"a": 3}, EngineError, [EngineError], [[]], object()])
def test_what_is_no_answer_is_told_at_once(wrong):
    with pytest.raises(ValidationError, match="answer|looked for"):
        ScriptedChatModel(answers=wrong)


def test_answers_are_needed_and_misspellings_are_told():
    with pytest.raises(ValidationError, match="answers"):
        ScriptedChatModel()
    with pytest.warns(UserWarning, match="temperature"):
        ScriptedChatModel(answers="a", temprature=1)


def test_a_text_model_calls_no_tools():
    with pytest.raises(InvalidRequestError, match="ScriptedChatModel"):
        ScriptedLLM(answers=[Call("weather")]).invoke("hi")
    assert ScriptedLLM(answers=[{"a": 1}]).invoke("hi") == '{"a": 1}'


# --- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", WAYS)
def test_an_error_in_place_of_an_answer(how):
    model = ScriptedChatModel(answers=[EngineUnreachableError("gone", hint="start it"), "fine"])
    with pytest.raises(EngineUnreachableError, match="gone"):
        ask(model, how)
    assert ask(model, how).text == "fine"


def test_an_error_in_the_middle():
    stream = ScriptedChatModel(answers=[Answer(["Hello", " wor", EngineError("broken")])]).stream("hi")
    assert [next(stream).text, next(stream).text] == ["Hello", " wor"]
    with pytest.raises(EngineError, match="broken"):
        next(stream)


@pytest.mark.parametrize("how", WAYS)
def test_an_answer_that_breaks_off(how):
    with pytest.raises(EngineError, match="broke off"):
        ask(ScriptedChatModel(answers=[Answer("Hello wor", whole=False)]), how)


def test_retries_and_fallbacks():
    model = ScriptedChatModel(answers=[EngineError("1"), EngineError("2"), "fine"])
    assert model.with_retry(stop_after_attempt=3, wait_exponential_jitter=False).invoke("hi").text == "fine"
    broken = ScriptedChatModel(answers=EngineError("always"))
    assert broken.with_fallbacks([ScriptedChatModel(answers="instead")]).invoke("hi").text == "instead"


def test_the_context_window():
    model = ScriptedChatModel(answers="a", capabilities=able("grammar", context_window=10))
    assert model.invoke("few words").text == "a"
    with pytest.raises(PromptTooLongError) as caught:
        model.invoke("word " * 20)
    assert (caught.value.prompt_tokens, caught.value.context_window) == (22, 10)
    assert model.profile["max_input_tokens"] == 10


# --- gates ------------------------------------------------------------------------------------------------------------


def test_a_gate_holds_an_answer_in_the_middle():
    gate = Gate()
    stream = ScriptedChatModel(answers=[Answer(["Hello", gate, " world"])]).stream("hi")
    assert next(stream).text == "Hello"
    gate.wait_reached()
    assert repr(gate) == "<Gate closed, 1 waiting>"
    gate.open()
    assert [chunk.text for chunk in stream] == [" world", ""]
    assert repr(gate) == "<Gate open, 0 waiting>"


def test_a_gate_in_another_thread():
    gate = Gate()
    model = ScriptedChatModel(answers=[Answer([gate, "late"])])
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(model.invoke, "hi")
        gate.wait_reached()
        assert not running.done()
        gate.open()
        assert running.result(10).text == "late"


def test_a_gate_in_tasks():
    gate = Gate()
    model = ScriptedChatModel(answers=Answer(["a", gate, "b"]))

    async def work():
        tasks = [asyncio.create_task(model.ainvoke("hi")) for _ in range(3)]
        await gate.await_reached()
        tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        gate.open()
        return [(await task).text for task in tasks[1:]]

    assert asyncio.run(work()) == ["ab", "ab"]


def test_a_gate_nobody_comes_to():
    with pytest.raises(TimeoutError, match="No answer came"):
        Gate().wait_reached(timeout=0)


def test_a_closed_gate_is_a_silent_engine():
    model = ScriptedChatModel(answers=Answer(["a", Gate()]), timeout=0.01)
    with pytest.raises(EngineTimeoutError):
        model.invoke("hi")
    with pytest.raises(EngineTimeoutError):
        asyncio.run(model.ainvoke("hi"))


def test_closing_ends_what_runs():
    gate = Gate()
    model = ScriptedChatModel(answers=[Answer(["a", gate, "b"]), "more"])
    stream = model.stream("hi")
    next(stream)
    model.close()
    with pytest.raises(EngineClosedError):
        list(stream)
    gate.open()
    assert model.invoke("hi").text == "more"


# --- what was asked ---------------------------------------------------------------------------------------------------


def test_requests_tell_what_was_asked():
    model = ScriptedChatModel(answers="a", stop=["END"])
    chain = ChatPromptTemplate.from_messages([("system", "Be brief."), ("human", "{q}")]) | model | StrOutputParser()
    assert chain.invoke({"q": "Why?"}) == "a"
    model.bind_tools([weather], tool_choice="none", temperature=0.5).invoke("hi", max_tokens=3)
    first, second = model.requests
    assert [(turn.role, turn.text) for turn in first.turns] == [("system", "Be brief."), ("user", "Why?")]
    assert first.settings.stop == ("END",)
    assert [offered.name for offered in second.tools] == ["weather"]
    assert second.tool_choice == "none"
    assert (second.settings.sampling.temperature, second.settings.max_tokens) == (0.5, 3)
    llm = ScriptedLLM(answers="a")
    llm.generate(["x", "y"])
    assert [request.prompt for request in llm.requests] == ["x", "y"]


def test_copies_go_on_with_the_script():
    model = ScriptedChatModel(answers=list("abcdefgh"))
    ways = [
        model,
        model.bind(stop=["x"]),
        model.with_config(tags=["t"]),
        copy.copy(model),
        copy.deepcopy(model),
        model.model_copy(update={"temperature": 0.5}),
        pickle.loads(pickle.dumps(model)),
        model.bind_tools([weather]),
    ]
    assert [way.invoke("hi").text for way in ways] == list("abcdefgh")
    assert len(model.requests) == 8
    assert copy.copy(model) == model
    assert ScriptedChatModel(answers=list("abcdefgh")) != model


def test_a_pickle_in_another_process():
    model = ScriptedChatModel(answers=["one", Call("two", {"a": 1})])
    model.invoke("hi")
    code = "import pickle, sys; print(pickle.load(sys.stdin.buffer).invoke('hi').tool_calls[0]['name'])"
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(model), capture_output=True, check=True)
    assert done.stdout == b"two\n"
    local = pickle.dumps(ScriptedChatModel(answers=lambda request: "a"))
    done = subprocess.run([sys.executable, "-c", code], input=local, capture_output=True, check=False)
    assert b"stays in its process" in done.stderr


def test_many_at_once_get_different_answers():
    numbers = [str(number) for number in range(200)]
    model = ScriptedChatModel(answers=numbers)
    assert [message.text for message in model.batch(["hi"] * 50)] == numbers[:50]
    assert [message.text for message in asyncio.run(model.abatch(["hi"] * 50))] == numbers[50:100]
    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(lambda number: model.invoke(str(number)).text, range(100)))
    assert sorted(found) == sorted(numbers[100:])
    assert len(model.requests) == 200


def test_a_cache_knows_the_script():
    cache = InMemoryCache()
    model = ScriptedChatModel(answers=["one", "two"], cache=cache)
    assert [model.invoke("hi").text, model.invoke("hi").text] == ["one", "one"]
    assert ScriptedChatModel(answers=["other"], cache=cache).invoke("hi").text == "other"
    assert model.unused == ["two"]


def test_callbacks_hear_of_each_piece():
    heard = []

    class Listener(BaseCallbackHandler):
        def on_llm_new_token(self, token, **kwargs):
            heard.append(token)

    ScriptedChatModel(answers="Hello there").invoke("hi", config={"callbacks": [Listener()]})
    assert [token for token in heard if token] == ["Hello", " there"]


def test_a_short_repr():
    model = ScriptedChatModel(answers=["one", "two"])
    model.invoke("hi")
    assert "1 of 2 answers left" in repr(model)


# --- oblige -----------------------------------------------------------------------------------------------------------


def test_oblige_does_what_it_is_asked():
    model = ScriptedChatModel(answers=oblige)
    assert model.invoke("Hi there").text == "You said: Hi there"
    assert model.bind_tools([weather]).invoke("How is the weather?").tool_calls[0]["args"] == {"city": "some text"}
    assert model.bind_tools([weather]).invoke("Hi").tool_calls == []
    assert len(model.bind_tools([weather], tool_choice="any").invoke("Hi").tool_calls) == 1
    assert isinstance(model.with_structured_output(Person).invoke("Hi"), Person)
    assert ScriptedLLM(answers=oblige).invoke("Hi") == "You said: Hi"


SCHEMAS = [
    {"type": "object", "properties": {"a": {"type": "integer", "minimum": 5}}, "required": ["a"]},
    {"enum": ["x", "y"]},
    {"const": None},
    {"anyOf": [{"type": "null"}, {"type": "string"}]},
    {"type": "array", "items": {"type": "number", "exclusiveMinimum": 2, "multipleOf": 0.5}, "minItems": 2},
    {"$defs": {"N": {"type": "object", "properties": {"n": {"$ref": "#/$defs/N"}}}}, "$ref": "#/$defs/N"},
    {"type": "string", "minLength": 30, "maxLength": 40},
    {"type": "string", "maxLength": 2},
    {"type": "integer", "maximum": -3},
    {"type": "integer", "exclusiveMinimum": 4, "maximum": 100, "multipleOf": 7},
    {"allOf": [{"properties": {"a": {"type": "boolean"}}, "required": ["a"]}, {"required": ["b"]}], "type": "object"},
    {"type": ["null", "string"]},
    {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "minItems": 3},
    {},
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_examples_follow_their_schema(schema):
    import jsonschema

    jsonschema.Draft202012Validator(schema).validate(example(schema))
    jsonschema.Draft202012Validator(schema).validate(
        example(schema, [1, 9, 200], ["a", "quite a long text, to be sure"])
    )


def test_examples_take_what_there_is():
    schema = {
        "properties": {name: {"type": "string"} for name in "ab"} | {"n": {"type": "integer", "minimum": 5}},
        "required": ["a", "n", "b"],
    }
    assert example(schema, [3, 7], ["x"]) == {"a": "x", "n": 7, "b": "some text"}
    message = ScriptedChatModel(answers=oblige).bind_tools([weather]).invoke("What is the weather in 'São Paulo'?")
    assert message.tool_calls[0]["args"] == {"city": "São Paulo"}


# --- embeddings -------------------------------------------------------------------------------------------------------


def test_embeddings_are_made_of_words():
    embeddings = ScriptedEmbeddings()
    cat, hat, tax = embeddings.embed_documents(["the cat sat down", "The CAT sat up!", "tax law of Norway"])
    assert len(cat) == 64
    assert math.hypot(*cat) == pytest.approx(1)

    def near(a, b):
        return sum(x * y for x, y in zip(a, b, strict=True))

    assert near(cat, hat) > 0.5 > near(cat, tax)
    assert asyncio.run(embeddings.aembed_query("the cat sat down")) == cat
    assert [request.texts for request in embeddings.requests][-1] == ("the cat sat down",)
    code = "from langchain_localmodels.testing import ScriptedEmbeddings as E; print(E(size=3).embed_query('the cat'))"
    elsewhere = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    assert elsewhere == f"{ScriptedEmbeddings(size=3).embed_query('the cat')}\n"


def test_vectors_that_are_given():
    vectors = {"north": [0, 2], "broken": EngineError("gone")}
    embeddings = ScriptedEmbeddings(vectors=vectors, size=2)
    assert embeddings.embed_query("north") == [0.0, 1.0]
    assert ScriptedEmbeddings(vectors=vectors, size=2, normalize=False).embed_query("north") == [0.0, 2.0]
    assert len(embeddings.embed_query("anything")) == 2
    assert ScriptedEmbeddings(vectors=lambda text: [len(text)], size=1, normalize=False).embed_query("four") == [4.0]
    with pytest.raises(EngineError, match="gone"):
        embeddings.embed_documents(["north", "broken"])
    with pytest.raises(InvalidRequestError, match="`size` is 3"):
        ScriptedEmbeddings(vectors=vectors, size=3).embed_query("north")
    with pytest.raises(InvalidRequestError, match="no tokens"):
        embeddings.embed_query(" ")
    with pytest.raises(ValidationError, match="vectors"):
        ScriptedEmbeddings(vectors=3)


def test_a_search():
    store = InMemoryVectorStore(ScriptedEmbeddings())
    store.add_texts(["The cat sat on the mat.", "Taxes are due in May.", "A dog barks."])
    assert [found.page_content for found in store.similarity_search("When are taxes due?", k=1)] == [
        "Taxes are due in May."
    ]
