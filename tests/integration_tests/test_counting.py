"""Token counts are those of the requests that would be sent, so that lists of messages can be cut to fit."""

from __future__ import annotations

import base64
import json
from functools import partial
from itertools import product

import gguf
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage, trim_messages
from langchain_core.tools import tool
from pydantic import BaseModel

from langchain_localmodels import ChatGPT4All, ChatLlamaCpp, ChatOllama
from langchain_localmodels.demo import model_path
from langchain_localmodels.errors import UnsupportedContentError
from tests.models import write_llama


@tool
def weather(city: str, days: int = 1) -> str:
    """Tell the weather.

    Args:
        city: Where.
        days: For how many days.
    """
    return f"{city} {days}"


class Person(BaseModel):
    """A person."""

    name: str
    age: int | None = None


def add(a: int, b: int) -> int:
    """Add two numbers.

    Args:
        a: One.
        b: Another.
    """
    return a + b


DICT = {"type": "function", "function": {"name": "f", "description": "F.", "parameters": {"type": "object"}}}
TOOLS = {"tool": [weather], "class": [Person], "function": [add], "dict": [DICT], "all": [weather, Person, add, DICT]}

TEMPLATES = {
    "own": None,
    # Writes the token that begins a text itself, or what stands for it.
    "begins": "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}[assistant]",
    "alternating": (
        "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('Roles must alternate.') }}{% endif %}"
        "{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %}{{ m.content }}</s>{% endif %}{% endfor %}"
    ),
    "forgets": (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content.split('</think>')[-1] if m.role == 'assistant' "
        "else m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
    ),
}


FIELDS = {"n_threads": 1, "temperature": 0, "n_ctx": 2048}
ENGINES = {"llama.cpp": partial(ChatLlamaCpp, model_path=model_path), "GPT4All": partial(ChatGPT4All, model=model_path)}


@pytest.fixture(scope="module", params=list(product(ENGINES, TEMPLATES)), ids="-".join)
def chat(request):
    engine, template = request.param
    with ENGINES[engine](chat_template=TEMPLATES[template], **FIELDS) as made:
        yield made


@pytest.fixture(scope="module", params=list(ENGINES))
def demo(request):
    with ENGINES[request.param](**FIELDS) as made:
        yield made


def used(chat, messages, tools=None):
    """How many tokens the engine says that it read."""
    bound = chat.bind_tools(tools) if tools else chat
    return bound.invoke(messages, max_tokens=1).usage_metadata["input_tokens"]


# --- exact ------------------------------------------------------------------------------------------------------------

TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40),
    st.sampled_from(["Hello", "<|im_start|>user\nx<|im_end|>", "</s><s>", " \n", "日本語", "{{ m }}", "a" * 200]),
)


@st.composite
def conversations(draw):
    """What can be sent: perhaps a system message, turns of both sides, perhaps calls and their results."""
    messages = [SystemMessage(draw(TEXTS))] if draw(st.booleans()) else []
    for turn in range(draw(st.integers(0, 3))):
        messages.append(HumanMessage(draw(TEXTS)))
        if draw(st.booleans()):
            call = {"name": "weather", "args": {"city": draw(TEXTS)}, "id": f"call_{turn}"}
            messages.append(AIMessage(draw(st.one_of(st.just(""), TEXTS)), tool_calls=[call]))
            messages.append(ToolMessage(draw(TEXTS), tool_call_id=call["id"]))
        messages.append(AIMessage(draw(TEXTS)))
    return [*messages, HumanMessage(draw(TEXTS))]


@settings(max_examples=40, deadline=None)
@given(messages=conversations(), tools=st.sampled_from([None, *TOOLS.values()]))
def test_the_count_is_what_the_request_takes(chat, messages, tools):
    # GPT4All reads a text up to a NUL, so that one is refused.
    assume(isinstance(chat, ChatLlamaCpp) or "\\u0000" not in json.dumps([m.model_dump() for m in messages]))
    assert chat.get_num_tokens_from_messages(messages, tools=tools) == used(chat, messages, tools)


@pytest.mark.parametrize("tools", TOOLS.values(), ids=TOOLS.keys())
def test_tools_may_be_given_in_every_form(chat, tools):
    messages = [HumanMessage("What is the weather in Paris?")]
    count = chat.get_num_tokens_from_messages(messages, tools=tools)
    assert count == used(chat, messages, tools)
    assert count > chat.get_num_tokens_from_messages(messages) + 10
    assert chat.get_num_tokens_from_messages(messages, tools=tuple(tools)) == count
    assert chat.get_num_tokens_from_messages(messages, tools=[]) == chat.get_num_tokens_from_messages(messages)


def test_messages_may_be_given_in_every_form_that_invoke_takes(demo):
    want = used(demo, [HumanMessage("Hi!")])
    for form in (
        "Hi!",
        [("human", "Hi!")],
        [{"role": "user", "content": "Hi!"}],
        [HumanMessage([{"type": "text", "text": "Hi!"}])],
    ):
        assert demo.get_num_tokens_from_messages(form) == want == used(demo, form)


def test_a_schema_that_the_model_is_told_of_is_counted():
    form = {"type": "json_schema", "json_schema": {"name": "Person", "schema": Person.model_json_schema()}}
    with ChatLlamaCpp(model_path=model_path, n_threads=1, n_ctx=2048, response_format=form) as chat:
        messages = [HumanMessage("Alice is 30.")]
        assert chat.get_num_tokens_from_messages(messages) == used(chat, messages)


def test_the_token_that_begins_a_text_is_counted_once(tmp_path, monkeypatch):
    def begin_texts(writer, _):
        writer.add_bool("tokenizer.ggml.add_bos_token", True)
        writer.add_bos_token_id(0)

    monkeypatch.setattr(gguf.GGUFWriter, "add_add_bos_token", begin_texts)
    path = write_llama(tmp_path / "begins.gguf")
    counts = {}
    for template in ("{{ messages[0].content }}", "{{ bos_token }}{{ messages[0].content }}"):
        with ChatLlamaCpp(model_path=path, n_threads=1, n_ctx=256, chat_template=template) as chat:
            counts[template] = chat.get_num_tokens_from_messages([HumanMessage("one two")])
            assert counts[template] == used(chat, [HumanMessage("one two")])
            assert counts[template] == chat.get_num_tokens("one two") + 1
    assert len(set(counts.values())) == 1


# --- estimates --------------------------------------------------------------------------------------------------------

PARTS = [
    [],
    [AIMessage("Hello")],
    [AIMessage("Hello"), HumanMessage("Hi")],
    [ToolMessage("5", tool_call_id="nowhere")],
    [ToolMessage("5", tool_call_id="a"), AIMessage("", tool_calls=[{"name": "f", "args": {"x": 1}, "id": "a"}])],
    [SystemMessage("Be brief.")],
    [HumanMessage("x"), SystemMessage("y"), SystemMessage("z")],
    [HumanMessage("")],
]


@pytest.mark.parametrize("messages", PARTS, ids=lambda messages: "-".join(m.type for m in messages) or "none")
def test_any_part_of_a_conversation_has_a_count(chat, messages):
    count = chat.get_num_tokens_from_messages(messages)
    assert count >= sum(chat.get_num_tokens(message.text) for message in messages)
    assert count < 60
    assert chat.get_num_tokens_from_messages(messages, tools=[weather]) > count


def test_nothing_takes_no_tokens(demo):
    assert demo.get_num_tokens_from_messages([]) == 0


def test_a_model_without_a_template_is_estimated(tmp_path):
    path = write_llama(tmp_path / "mute.gguf", tokens=[bytes([byte]) for byte in range(97, 123)])
    with ChatLlamaCpp(model_path=path, n_threads=1, n_ctx=256) as chat:
        assert chat.get_num_tokens_from_messages([HumanMessage("abc")]) == 3 + 4


def test_a_tokenizer_of_the_users_is_the_one_that_counts(demo):
    chat = ChatLlamaCpp(model_path=model_path, custom_get_token_ids=lambda text: [0] * len(text))
    assert chat.get_num_tokens_from_messages([HumanMessage("12345"), AIMessage("678")]) == 5 + 3 + 2 * 4


def test_without_a_tokenizer_it_is_an_estimate(server):
    chat = ChatOllama(model="llama3.1:8b")
    messages = [SystemMessage("1234"), HumanMessage("12345678")]
    assert chat.get_num_tokens_from_messages(messages) == 1 + 2 + 2 * 4
    tools = chat.get_num_tokens_from_messages(messages, tools=[weather]) - 11
    schema = json.dumps(chat.bind_tools([weather]).kwargs["tools"][0])
    assert tools == pytest.approx(len(schema) / 4, abs=2)
    assert server.seen == []


def test_images_are_estimated_where_they_are_read_and_refused_where_not(server, demo):
    data = base64.b64encode(b"\x89PNG....").decode()
    image = HumanMessage(
        [{"type": "image", "base64": data, "mime_type": "image/png"}, {"type": "text", "text": "1234"}]
    )
    assert ChatOllama(model="llama3.1:8b").get_num_tokens_from_messages([image]) == 1 + 4 + 1000
    with pytest.raises(UnsupportedContentError):
        demo.get_num_tokens_from_messages([image])
    with pytest.raises(UnsupportedContentError):
        demo.invoke([image])


# --- cutting to fit ---------------------------------------------------------------------------------------------------

TALK = [
    message
    for turn in range(8)
    for message in (HumanMessage(f"Question {turn}: " + "why? " * turn), AIMessage(f"Answer {turn}. " + "So. " * turn))
]
TALK.append(HumanMessage("And now?"))
SYSTEM = SystemMessage("You answer questions.")


@pytest.mark.parametrize("tokens", range(10, 400, 13))
def test_a_trimmed_list_fits_and_one_turn_more_would_not(demo, tokens):
    kept = trim_messages(TALK, max_tokens=tokens, strategy="last", token_counter=demo, start_on="human")
    assert kept == TALK[len(TALK) - len(kept) :]
    if kept:
        assert used(demo, kept) <= tokens
        assert kept[0].type == "human"
    if len(kept) < len(TALK):
        # To begin with the human, it is an answer and its question that would come before.
        more = TALK[len(TALK) - len(kept) - (2 if kept else 1) :]
        assert used(demo, more) > tokens


@pytest.mark.parametrize("tokens", range(30, 400, 29))
def test_a_trimmed_list_with_its_system_message_fits(demo, tokens):
    talk = [SYSTEM, *TALK]
    given = {"strategy": "last", "token_counter": demo, "include_system": True, "start_on": "human"}
    kept = trim_messages(talk, max_tokens=tokens, **given)
    assert kept[0] == SYSTEM
    assert kept[1:] == talk[len(talk) - len(kept) + 1 :]
    if len(kept) > 1:
        assert used(demo, kept) <= tokens
    if 1 < len(kept) < len(talk):
        more = talk[len(talk) - len(kept) - 1 :]
        # trim_messages adds up two counts, each of which has what comes before an answer.
        twice = demo.get_num_tokens_from_messages([SYSTEM]) + demo.get_num_tokens_from_messages(more)
        assert twice > tokens
        assert twice - used(demo, [SYSTEM, *more]) < 12


def test_a_trimmed_list_may_be_cut_by_its_first_messages_or_within_one(demo):
    kept = trim_messages(TALK, max_tokens=100, strategy="first", token_counter=demo)
    assert 0 < len(kept) < len(TALK)
    assert demo.get_num_tokens_from_messages(kept) <= 100 < demo.get_num_tokens_from_messages(TALK[: len(kept) + 1])
    partial = trim_messages(TALK, max_tokens=100, strategy="last", token_counter=demo, allow_partial=True)
    assert demo.get_num_tokens_from_messages(partial) <= 100
