"""`ConditionalPromptSelector`: which prompt it gives, through what, and in chains."""

from __future__ import annotations

import pickle

import pytest
from langchain_core.language_models import FakeListChatModel, FakeListLLM
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import PromptTemplate
from langchain_core.runnables import (
    ConfigurableField,
    Runnable,
    RunnableLambda,
    RunnableParallel,
    RunnablePassthrough,
)
from langchain_core.tools import tool
from pydantic import BaseModel, ValidationError

from langchain_localmodels import ChatLlamaCpp, LlamaCpp
from langchain_localmodels.demo import model_path
from langchain_localmodels.errors import InvalidRequestError
from langchain_localmodels.prompts import (
    ConditionalPromptSelector,
    PromptForModel,
    has_tools,
    is_chat_model,
    is_family,
    is_llm,
)
from langchain_localmodels.testing import Call, ScriptedChatModel, ScriptedLLM

TEXT, CHAT, OTHER = (PromptTemplate.from_template(f"{kind}: {{question}}") for kind in ("text", "chat", "other"))
SELECTOR = ConditionalPromptSelector(default_prompt=OTHER, conditionals=[(is_llm, TEXT), (is_chat_model, CHAT)])
ASKED = {"question": "Why?"}


class Person(BaseModel):
    name: str


@tool
def now() -> str:
    """Tell the time."""
    return "noon"


def chat(answers=("yes",)) -> ScriptedChatModel:
    return ScriptedChatModel(answers=list(answers))


def llm(answers=("yes",)) -> ScriptedLLM:
    return ScriptedLLM(answers=list(answers))


def read(model: ScriptedChatModel | ScriptedLLM) -> str:
    """What a scripted model was asked last."""
    (*_, request) = model.requests
    return request.prompt if isinstance(model, ScriptedLLM) else request.turns[-1].text


# --- which prompt -----------------------------------------------------------------------------------------------------

WRAPPED = {
    "bare": lambda model: model,
    "bind": lambda model: model.bind(stop=["x"]),
    "with_config": lambda model: model.with_config(tags=["a"]),
    "with_retry": lambda model: model.with_retry(),
    "with_fallbacks": lambda model: model.with_fallbacks([FakeListLLM(responses=["a"])]),
    "with_listeners": lambda model: model.with_listeners(on_start=lambda run: None),
    "configurable_fields": lambda model: model.configurable_fields(temperature=ConfigurableField(id="t")),
    "configurable_alternatives": lambda model: model.configurable_alternatives(
        ConfigurableField(id="which"), default_key="this", other=FakeListLLM(responses=["a"])
    ),
    "map": lambda model: model.map(),
    "all of them": lambda model: (
        model.configurable_fields(temperature=ConfigurableField(id="t"))
        .bind(stop=["x"])
        .with_config(tags=["a"])
        .with_fallbacks([FakeListLLM(responses=["a"])])
        .with_retry()
    ),
    "a sequence": lambda model: model | StrOutputParser(),
    "a sequence with more before": lambda model: RunnableLambda(lambda value: value) | (model | StrOutputParser()),
    "parallel": lambda model: RunnableParallel(answer=model, asked=RunnablePassthrough()),
    "assign": lambda model: RunnablePassthrough.assign(answer=model),
}


@pytest.mark.parametrize("how", WRAPPED)
def test_it_sees_through(how: str):
    assert SELECTOR.get_prompt(WRAPPED[how](llm())) is TEXT
    assert SELECTOR.get_prompt(WRAPPED[how](chat())) is CHAT


def test_it_sees_through_tools_and_structured_output():
    for wrapped in (
        chat().bind_tools([now]),
        chat().bind_tools([now]).with_retry().with_config(tags=["a"]),
        chat().with_structured_output(Person),
        chat().with_structured_output(Person, include_raw=True),
        chat().with_structured_output(Person).with_fallbacks([chat().with_structured_output(Person)]),
    ):
        assert SELECTOR.get_prompt(wrapped) is CHAT


@pytest.mark.parametrize("other", [None, 3, "llm", object(), RunnableLambda(str), RunnableLambda(str).with_retry()])
def test_what_is_no_model_gets_the_default(other: object):
    assert SELECTOR.get_prompt(other) is OTHER


def test_what_wraps_itself_comes_to_an_end():
    class Loop:
        bound: object

    loop = Loop()
    loop.bound = loop
    assert SELECTOR.get_prompt(loop) is OTHER


def test_models_of_other_packages():
    assert SELECTOR.get_prompt(FakeListLLM(responses=["a"]).with_retry()) is TEXT
    assert SELECTOR.get_prompt(FakeListChatModel(responses=["a"]).bind(stop=["x"])) is CHAT


def test_the_first_condition_that_holds_counts():
    model = llm()
    asked = []

    def note(name, answer):
        return lambda given: asked.append((name, given)) or answer

    selector = ConditionalPromptSelector(
        default_prompt=OTHER, conditionals=[(note("a", False), OTHER), (note("b", True), TEXT), (note("c", True), CHAT)]
    )
    assert selector.get_prompt(model.bind(stop=["x"]).with_retry()) is TEXT
    assert asked == [("a", model), ("b", model)]  # the model itself, without what wraps it


def test_a_class_is_a_condition():
    selector = ConditionalPromptSelector(default_prompt=OTHER, conditionals=[(ScriptedLLM, TEXT), (ChatLlamaCpp, CHAT)])
    assert selector.get_prompt(llm().with_retry()) is TEXT
    assert selector.get_prompt(chat()) is OTHER
    assert selector.get_prompt(ChatLlamaCpp(model_path=model_path)) is CHAT


def test_a_condition_for_other_classes_is_not_met_and_says_so():
    selector = ConditionalPromptSelector(
        default_prompt=OTHER, conditionals=[(lambda model: model.model_path.endswith("a.gguf"), CHAT), (is_llm, TEXT)]
    )
    with pytest.warns(UserWarning, match="asks for `model_path`, which ScriptedLLM does not have: taken for not met"):
        assert selector.get_prompt(llm()) is TEXT
    assert selector.get_prompt(LlamaCpp(model_path=model_path)) is TEXT


def test_a_condition_that_fails_otherwise_fails():
    def broken(model):
        return model.model.no_such_thing

    def wrong(model):
        raise KeyError(model.model)

    for condition, error in ((broken, AttributeError), (wrong, KeyError)):
        selector = ConditionalPromptSelector(default_prompt=OTHER, conditionals=[(condition, TEXT)])
        with pytest.raises(error):
            selector.get_prompt(llm())


def test_what_it_takes():
    assert ConditionalPromptSelector(default_prompt=OTHER).conditionals == []
    for wrong in ({}, {"default_prompt": "x"}, {"default_prompt": OTHER, "conditionals": [(TEXT, is_llm)]}):
        with pytest.raises(ValidationError):
            ConditionalPromptSelector(**wrong)


# --- in chains --------------------------------------------------------------------------------------------------------


def test_before_a_model():
    for make, sent in ((llm, "text: Why?"), (chat, "chat: Why?")):
        model = make(["yes"] * 6)
        for chain in (
            SELECTOR | model,
            SELECTOR.for_model(model) | model,
            SELECTOR.pipe(model),
            SELECTOR | model | StrOutputParser(),
            SELECTOR.pipe(model, StrOutputParser()),
            SELECTOR | (model.with_retry() | StrOutputParser()),
        ):
            answer = chain.invoke(ASKED)
            assert (answer if isinstance(answer, str) else answer.text) == "yes"
            assert read(model) == sent
        assert len(model.requests) == 6


async def test_every_way_of_running():
    model = llm(["yes"] * 8)
    chain = SELECTOR | model
    assert await chain.ainvoke(ASKED) == "yes"
    assert chain.batch([ASKED, ASKED]) == ["yes", "yes"]
    assert await chain.abatch([ASKED, ASKED]) == ["yes", "yes"]
    assert "".join(chain.stream(ASKED)) == "yes"
    assert "".join([piece async for piece in chain.astream(ASKED)]) == "yes"
    assert {request.prompt for request in model.requests} == {"text: Why?"}


def test_behind_a_dict():
    model = llm()
    chain = {"question": RunnableLambda(str.upper)} | SELECTOR | model | StrOutputParser()
    assert chain.invoke("why?") == "yes"
    assert read(model) == "text: WHY?"


def test_behind_a_dict_by_pipe():
    model = llm()
    chain = ({"question": RunnableLambda(str.upper)} | SELECTOR).pipe(model, StrOutputParser(), name="asking")
    assert chain.invoke("why?") == "yes"
    assert chain.name == "asking"
    assert read(model) == "text: WHY?"


def test_behind_a_runnable_in_parentheses():
    model = llm()
    chain = RunnablePassthrough.assign(question=lambda given: given["q"]) | (SELECTOR | model)
    assert chain.invoke({"q": "Why?"}) == "yes"
    assert read(model) == "text: Why?"


def test_a_chain_that_never_told_it_the_model():
    model = llm()
    for chain in (
        RunnablePassthrough() | SELECTOR | model,
        {"question": RunnablePassthrough()} | SELECTOR,
        SELECTOR,
    ):
        with pytest.raises(InvalidRequestError, match=r"without knowing the model[^$]*Put parentheses around the two"):
            chain.invoke(ASKED)
    assert model.requests == []


@pytest.mark.parametrize("step", [RunnableLambda(str), StrOutputParser(), {"a": RunnablePassthrough()}, len])
def test_a_next_step_without_a_model(step: object):
    with pytest.raises(InvalidRequestError, match=r"No model can be found in .*\n.*for_model\(llm\)"):
        SELECTOR | step


def test_a_next_step_with_two_models():
    with pytest.raises(InvalidRequestError, match="asks 2 models, which need different prompts"):
        SELECTOR | {"one": llm(), "other": chat()}
    models = (llm(), llm(["no"]))
    assert (SELECTOR | {"one": models[0], "other": models[1]}).invoke(ASKED) == {"one": "yes", "other": "no"}
    assert [read(model) for model in models] == ["text: Why?"] * 2


def test_a_config_that_chooses_the_model_chooses_the_prompt():
    one, other = llm(["yes", "yes", "yes"]), chat(["no", "no"])
    model = one.configurable_alternatives(ConfigurableField(id="which"), default_key="text", chat=other)
    for chain in (SELECTOR | model, SELECTOR.for_model(model.with_retry()) | model):
        assert chain.invoke(ASKED) == "yes"
        assert chain.invoke(ASKED, {"configurable": {"which": "chat"}}).text == "no"
        assert read(one) == "text: Why?"
        assert read(other) == "chat: Why?"
    chosen = model.with_config(configurable={"which": "chat"})
    assert SELECTOR.get_prompt(chosen) is CHAT
    assert (SELECTOR | model).with_config(configurable={"which": "text"}).invoke(ASKED) == "yes"
    step = SELECTOR.for_model(chosen)
    assert step.prompt() is CHAT
    assert step.prompt({"configurable": {"which": "text"}}) is TEXT


async def test_a_config_that_chooses_it_asynchronously():
    one, other = llm(), chat(["no"])
    model = one.configurable_alternatives(ConfigurableField(id="which"), default_key="text", chat=other)
    assert (await (SELECTOR | model).ainvoke(ASKED, {"configurable": {"which": "chat"}})).text == "no"
    assert read(other) == "chat: Why?"


def test_tools_that_are_bound_choose_the_prompt():
    with_tools = PromptTemplate.from_template("Use the tools. {question}")
    selector = ConditionalPromptSelector(default_prompt=OTHER, conditionals=[(has_tools, with_tools)])
    model = chat([Call("now", {}), "no"])
    assert (selector | model.bind_tools([now])).invoke(ASKED).tool_calls[0]["name"] == "now"
    assert read(model) == "Use the tools. Why?"
    (selector | model).invoke(ASKED)
    assert read(model) == "other: Why?"


def test_a_structured_answer():
    model = chat(['{"name": "Ada"}'])
    assert (SELECTOR | model.with_structured_output(Person)).invoke(ASKED) == Person(name="Ada")
    assert read(model).startswith("chat: Why?")


def test_what_a_chain_tells_of_itself():
    chain = SELECTOR | llm()
    assert set(chain.get_input_schema().model_fields) == {"question"}
    assert isinstance(chain.steps[0], PromptForModel)
    assert "PromptForModel" in chain.get_graph().draw_mermaid()


def test_a_missing_variable_is_told():
    with pytest.raises(KeyError, match="question"):
        (SELECTOR | llm()).invoke({"q": "Why?"})


def test_a_chain_can_be_pickled():
    step = ConditionalPromptSelector(default_prompt=OTHER).for_model(LlamaCpp(model_path=model_path))
    assert pickle.loads(pickle.dumps(step)).invoke(ASKED).to_string() == "other: Why?"


# --- langchain-classic ------------------------------------------------------------------------------------------------


def test_its_chains_take_ours(monkeypatch: pytest.MonkeyPatch):
    stuff = pytest.importorskip("langchain_classic.chains.question_answering.stuff_prompt")
    chain = pytest.importorskip("langchain_classic.chains.question_answering.chain")
    prompt = PromptTemplate.from_template("{context} {question}")
    ours = ConditionalPromptSelector(default_prompt=OTHER, conditionals=[(is_llm, prompt)])
    monkeypatch.setattr(stuff, "PROMPT_SELECTOR", ours)
    assert chain._load_stuff_chain(llm()).llm_chain.prompt is prompt


def test_its_own_selector_takes_our_conditions():
    classic = pytest.importorskip("langchain_classic.chains.prompt_selector")
    theirs = classic.ConditionalPromptSelector(
        default_prompt=OTHER, conditionals=[(is_llm & ~is_family("llama-2"), TEXT), (is_chat_model, CHAT)]
    )
    assert [theirs.get_prompt(model) for model in (llm(), chat())] == [TEXT, CHAT]
    ours = ConditionalPromptSelector(default_prompt=OTHER, conditionals=[(classic.is_llm, TEXT)])
    assert ours.get_prompt(llm()) is TEXT


def test_it_is_a_runnable():
    assert isinstance(SELECTOR, Runnable)
