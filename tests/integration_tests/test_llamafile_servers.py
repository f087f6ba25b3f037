"""Servers of other ages and makers, scripted answer by answer over a real socket, and what goes wrong with them."""

from __future__ import annotations

import asyncio

import pytest

from langchain_localmodels.engines.llamafile.chat_models import ChatLlamafile
from langchain_localmodels.engines.llamafile.embeddings import LlamafileEmbeddings
from langchain_localmodels.engines.llamafile.llms import Llamafile
from langchain_localmodels.errors import (
    AuthenticationError,
    EngineError,
    EngineUnreachableError,
    InvalidRequestError,
    LocalModelError,
    PromptTooLongError,
    UnsupportedFeatureError,
)
from tests.doubles.scripted_http import Scripted, delta, sse

TOOL = {
    "type": "function",
    "function": {"name": "look", "description": "Look.", "parameters": {"type": "object", "properties": {}}},
}


MODELS = (200, {"object": "list", "data": [{"id": "m"}]})
CHAT = "/v1/chat/completions"
OLD_PROPS = (200, {"default_generation_settings": {"n_ctx": 512}, "total_slots": 1})
NEW_PROPS = (
    200,
    {
        "default_generation_settings": {"n_ctx": 512},
        "build_info": "b6000-abc",
        "chat_template": "x",
        "chat_template_caps": {},
    },
)


# --- llamafile 0.9.3 and before ---------------------------------------------------------------------------------------


def old_llamafile(**more):
    return Scripted(
        {
            "/props": OLD_PROPS,
            "/v1/models": MODELS,
            # No end mark, no counts.
            CHAT: (
                200,
                sse(delta("Hel"), delta("lo"), {"choices": [{"delta": {}, "finish_reason": "stop"}]}, done=False),
            ),
            **more,
        }
    )


def test_a_chat_without_end_mark_and_counts():
    with old_llamafile() as server:
        chat = ChatLlamafile(base_url=server.url)
        message = chat.invoke("Hi there")
        assert message.text == "Hello"
        assert message.response_metadata["finish_reason"] == "stop"
        assert message.usage_metadata["input_tokens"] == 2  # 8 bytes
        assert message.usage_metadata["output_tokens"] == 2
        assert "".join(chunk.text for chunk in chat.stream("Hi there")) == "Hello"


def test_what_a_server_is_is_asked_once():
    with old_llamafile() as server:
        chat = ChatLlamafile(base_url=server.url)
        chat.invoke("a")
        chat.invoke("b")
        assert [path for path, *_ in server.requests].count("/props") == 1


def test_old_servers_are_given_schemas_as_grammars():
    with old_llamafile() as server:
        chat = ChatLlamafile(base_url=server.url, format={"type": "object", "properties": {"a": {"type": "integer"}}})
        chat.invoke("x")
        (body,) = server.bodies(CHAT)
        assert "root ::=" in body["grammar"]
        assert "response_format" not in body


def test_tools_are_refused_where_they_would_be_ignored():
    with old_llamafile() as server:
        with pytest.raises(UnsupportedFeatureError, match="too old for tools"):
            ChatLlamafile(base_url=server.url).bind_tools([TOOL]).invoke("x")
        assert server.bodies(CHAT) == []


def test_calls_are_forced_on_old_servers_by_a_grammar():
    answer = sse(delta('{"name": "look", "arguments": {}}'), delta(finish="stop"), done=False)
    with old_llamafile(**{CHAT: (200, answer)}) as server:
        message = ChatLlamafile(base_url=server.url).bind_tools([TOOL], tool_choice="any").invoke("x")
        assert [call["name"] for call in message.tool_calls] == ["look"]
        assert "grammar" in server.bodies(CHAT)[0]


def test_old_completion_flags_and_log_probabilities():
    events = [
        {"content": "a", "stop": False, "completion_probabilities": [
            {"content": "a", "probs": [{"tok_str": "a", "prob": 0.5}, {"tok_str": "b", "prob": 0.25}]}
        ]},
        {"content": "", "stop": True, "stopped_limit": True, "tokens_predicted": 1, "tokens_evaluated": 3},
    ]  # fmt: skip
    with old_llamafile(**{"/completion": (200, sse(*events, done=False))}) as server:
        llm = Llamafile(base_url=server.url, top_logprobs=2, max_tokens=1)
        generation = llm.generate(["x"]).generations[0][0]
        assert generation.text == "a"
        assert generation.generation_info["finish_reason"] == "length"
        (entry,) = generation.generation_info["logprobs"]["content"]
        assert entry["logprob"] == pytest.approx(-0.6931, abs=1e-4)
        assert [other["token"] for other in entry["top_logprobs"]] == ["a", "b"]
        assert server.bodies("/completion")[0]["n_predict"] == 1


def test_an_old_llamafile_that_does_not_embed_says_so():
    script = {"/v1/embeddings": (503, "Service Unavailable")}
    with old_llamafile(**script) as server, pytest.raises(UnsupportedFeatureError, match="does not embed"):
        LlamafileEmbeddings(base_url=server.url, max_retries=0).embed_query("x")


# --- llamafiler -------------------------------------------------------------------------------------------------------


def test_llamafiler_is_given_what_it_takes():
    answer = sse(
        {**delta("Hi"), "usage": None}, {**delta(finish="stop"), "usage": {"prompt_tokens": 4, "completion_tokens": 1}}
    )
    vectors = lambda body: (200, {"data": [{"index": 0, "embedding": [3.0, 4.0]}]})  # noqa: E731
    script = {"/v1/models": MODELS, "/flagz": (200, {}), CHAT: (200, answer), "/v1/embeddings": vectors}
    with Scripted(script) as server:
        chat = ChatLlamafile(base_url=server.url, format={"type": "object"})
        message = chat.invoke("x")
        assert message.text == "Hi"
        assert message.usage_metadata["input_tokens"] == 4
        assert server.bodies(CHAT)[0]["response_format"] == {"type": "json_schema", "json_schema": {"type": "object"}}
        assert server.bodies(CHAT)[0]["model"] == "m"
        assert LlamafileEmbeddings(base_url=server.url).embed_documents(["a", "b"]) == [[0.6, 0.8]] * 2
        assert [body["input"] for body in server.bodies("/v1/embeddings")] == ["a", "b"]


# --- other servers ----------------------------------------------------------------------------------------------------


def test_a_server_of_openais_protocol_alone():
    events = [
        delta(reasoning="hm"),
        delta(tool_calls=[{"index": 0, "id": "c1", "function": {"name": "look", "arguments": ""}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": '{"a"'}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": ": 1}"}}]),
        delta(finish="tool_calls"),
        {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 5}},
    ]
    with Scripted({"/v1/models": MODELS, CHAT: (200, sse(*events))}) as server:
        chat = ChatLlamafile(base_url=server.url + "/v1")
        message = chat.bind_tools([TOOL]).invoke("x")
        assert message.tool_calls == [{"name": "look", "args": {"a": 1}, "id": "c1", "type": "tool_call"}]
        assert message.additional_kwargs["reasoning_content"] == "hm"
        assert message.usage_metadata["total_tokens"] == 14
        with pytest.raises(UnsupportedFeatureError, match="grammar"):
            chat.invoke("x", grammar='root ::= "a"')
        # Counts are estimates there.
        assert chat.get_num_tokens("12345678") == 2


def test_completions_where_there_is_no_native_route():
    answer = sse(
        {"choices": [{"text": "yo", "finish_reason": None}]}, {"choices": [{"text": "", "finish_reason": "length"}]}
    )
    with Scripted({"/v1/models": MODELS, "/v1/completions": (200, answer)}) as server:
        assert Llamafile(base_url=server.url).invoke("x") == "yo"
        (body,) = server.bodies("/v1/completions")
        assert body["max_tokens"] is None
        assert "cache_prompt" not in body


def test_a_server_with_several_models_wants_a_name():
    listed = (200, {"data": [{"id": "one"}, {"id": "two"}]})
    with Scripted({"/v1/models": listed, CHAT: (200, sse(delta("a"), delta(finish="stop")))}) as server:
        with pytest.raises(InvalidRequestError, match="one, two"):
            ChatLlamafile(base_url=server.url).invoke("x")
        chat = ChatLlamafile(base_url=server.url, model="two")
        chat.invoke("x")
        chat.invoke("x", model="one")
        assert [body["model"] for body in server.bodies(CHAT)] == ["two", "one"]


def test_tool_calls_of_builds_that_do_not_stream_them():
    props = (200, {**NEW_PROPS[1], "build_info": "b4747-abc"})
    del props[1]["chat_template_caps"]
    call = {"id": "", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    whole = {"choices": [{"finish_reason": "tool_calls", "message": {"content": None, "tool_calls": [call]}}],
             "usage": {"prompt_tokens": 1, "completion_tokens": 2}}  # fmt: skip
    with Scripted({"/props": props, "/v1/models": MODELS, CHAT: (200, whole)}) as server:
        message = ChatLlamafile(base_url=server.url).bind_tools([TOOL]).invoke("x")
        assert [call["name"] for call in message.tool_calls] == ["look"]
        assert message.tool_calls[0]["id"]
        assert server.bodies(CHAT)[0]["stream"] is False


# --- tools and a form at once -----------------------------------------------------------------------------------------

FORM = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}
EITHER = {
    "call": ('{ "tool_call" : {"name": "look", "arguments": {"a": 1}}}', [("look", {"a": 1})], "tool_calls"),
    "form": ('{"x": 1}', [], "stop"),
    "number": ("7", [], "stop"),
}


@pytest.mark.parametrize("name", EITHER)
@pytest.mark.parametrize("cut", [1, 3, 1000])
def test_an_answer_with_tools_and_a_form_is_a_call_or_fits(name, cut):
    text, calls, reason = EITHER[name]
    pieces = [delta(text[at : at + cut]) for at in range(0, len(text), cut)]
    script = {"/props": NEW_PROPS, "/v1/models": MODELS, CHAT: (200, sse(*pieces, delta(finish="stop")))}
    with Scripted(script) as server:
        model = ChatLlamafile(base_url=server.url, format=FORM).bind_tools([TOOL])
        streamed = None
        for chunk in model.stream("x"):
            streamed = chunk if streamed is None else streamed + chunk
        for message in (model.invoke("x"), asyncio.run(model.ainvoke("x")), streamed):
            assert [(call["name"], call["args"]) for call in message.tool_calls] == calls
            assert message.text == ("" if calls else text)
            assert message.response_metadata["finish_reason"] == reason
        body = server.bodies(CHAT)[0]
        assert "tools" not in body
        assert "look" in body["messages"][0]["content"]
        assert "tool_call" in body["grammar"]


def test_a_call_that_was_cut_off_beside_a_form():
    answer = sse(delta('{"tool_call": {"name": "look", "argu'), delta(finish="length"))
    with Scripted({"/props": NEW_PROPS, "/v1/models": MODELS, CHAT: (200, answer)}) as server:
        message = ChatLlamafile(base_url=server.url, format=FORM).bind_tools([TOOL]).invoke("x")
        assert message.tool_calls == []
        assert len(message.invalid_tool_calls) == 1
        assert message.response_metadata["finish_reason"] == "length"


# --- what goes wrong --------------------------------------------------------------------------------------------------

FAULTS = {
    "an error in an event": (
        sse(delta("a"), {"error": {"code": 500, "message": "Compute error.", "type": "server_error"}}, done=False),
        EngineError,
        "Compute error",
    ),
    "an error line of 2025": (
        sse(delta("a"), done=False) + 'error: {"code":500,"message":"Compute error."}\n\ndata: [DONE]\n\n',
        EngineError,
        "Compute error",
    ),
    "an error in words": (sse({"error": "no luck"}), EngineError, "no luck"),
    "the pool is full": (
        sse(delta("a"), {"error": {"message": "the request exceeds the available context size. try"}}, done=False),
        PromptTooLongError,
        "context size",
    ),
    "an end too early": (sse(delta("a"), done=False), EngineUnreachableError, "broke off"),
    "an end mark too early": (sse(delta("a")), EngineUnreachableError, "broke off"),
    "no JSON": ("data: {nonsense}\n\n", EngineError, "nonsense"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_in_the_middle_of_an_answer(name):
    body, kind, match = FAULTS[name]
    with Scripted({"/props": NEW_PROPS, "/v1/models": MODELS, CHAT: (200, body)}) as server:
        chat = ChatLlamafile(base_url=server.url, max_retries=0)
        with pytest.raises(kind, match=match) as caught:
            chat.invoke("x")
        assert caught.value.hint or name in ("no JSON",)
        with pytest.raises(kind, match=match):
            asyncio.run(chat.ainvoke("x"))


def test_a_server_that_loads_its_model_is_waited_for():
    loading = (503, {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}})
    props = iter([loading, loading, loading, NEW_PROPS])
    answer = (200, sse(delta("Hi"), delta(finish="stop")))
    with Scripted({"/props": lambda body: next(props), "/v1/models": MODELS, CHAT: answer}) as server:
        assert ChatLlamafile(base_url=server.url, max_retries=1).invoke("x").text == "Hi"
        assert [path for path, *_ in server.requests].count("/props") == 4


def test_a_busy_server_has_not_said_what_it_is():
    script = {"/props": (503, "overloaded"), "/v1/models": MODELS, CHAT: (200, sse(delta("a"), delta(finish="stop")))}
    with Scripted(script) as server:
        chat = ChatLlamafile(base_url=server.url, max_retries=0)
        with pytest.raises(EngineError, match="overloaded"):
            chat.invoke("x")
        server.answers["/props"] = NEW_PROPS
        assert chat.invoke("x").text == "a"
        assert chat.engine.capabilities().context_window == 512


def test_a_server_that_answers_every_path_with_an_error_in_words():
    unknown = (200, {"error": "Unexpected endpoint or method. (GET /props)"})
    script = {
        "/props": unknown,
        "/flagz": unknown,
        "/v1/models": MODELS,
        CHAT: (200, sse(delta("a"), delta(finish="stop"))),
    }
    with Scripted(script) as server:
        ChatLlamafile(base_url=server.url, format={"type": "object"}).invoke("x")
        # OpenAI's form, with a name.
        assert server.bodies(CHAT)[0]["response_format"]["json_schema"]["schema"] == {"type": "object"}


def test_a_server_that_was_gone_is_looked_at_again():
    with old_llamafile() as server:
        chat = ChatLlamafile(base_url=server.url, max_retries=0)
        chat.invoke("x")
        server.answers[CHAT] = (200, sse(delta("a"), done=False))
        with pytest.raises(EngineUnreachableError):
            chat.invoke("x")
        del server.answers["/props"]
        server.answers[CHAT] = (200, sse(delta("new"), delta(finish="stop")))
        assert chat.invoke("x", max_tokens=3).text == "new"
        assert "cache_prompt" not in server.bodies(CHAT)[-1]
        assert chat.engine.capabilities().tokenizer is False


def test_a_wrong_key_is_told_before_anything_is_sent():
    refusal = (401, {"error": {"message": "Invalid API Key", "type": "authentication_error", "code": 401}})
    with Scripted({"/props": refusal, "/v1/models": refusal}) as server:
        with pytest.raises(AuthenticationError) as caught:
            ChatLlamafile(base_url=server.url, api_key="secret-words").invoke("x")
        assert "secret-words" not in str(caught.value)
        assert server.requests[0][2]["Authorization"] == "Bearer secret-words"
        assert server.bodies(CHAT) == []


def test_the_key_and_the_address_of_the_environment(monkeypatch):
    with old_llamafile() as server:
        monkeypatch.setenv("LLAMAFILE_API_KEY", "from outside")
        monkeypatch.setenv("LLAMAFILE_BASE_URL", server.url)
        ChatLlamafile().invoke("x")
        ChatLlamafile(api_key="given").invoke("x")
        ChatLlamafile(client_kwargs={"headers": {"authorization": "Basic x"}}).invoke("x")
        sent = [
            {k.lower(): v for k, v in headers.items()}["authorization"]
            for path, _, headers in server.requests
            if path == CHAT
        ]
        assert sent == ["Bearer from outside", "Bearer given", "Basic x"]


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (400, "Failed to initialize samplers: failed to parse grammar", InvalidRequestError),
        (
            400,
            "request (9 tokens) exceeds the available context size (8 tokens), try increasing it",
            PromptTooLongError,
        ),
        (500, "tools param requires --jinja flag", UnsupportedFeatureError),
        (501, "This server does not support chat. Start it with `--chat`", UnsupportedFeatureError),
        (400, "model 'x' not found", LocalModelError),
    ],
)
def test_refusals_are_told_with_hints(status, text, kind):
    body = {"error": {"message": text, "code": status, "type": "server_error"}}
    with Scripted({"/props": NEW_PROPS, "/v1/models": MODELS, CHAT: (status, body)}) as server:
        with pytest.raises(kind) as caught:
            ChatLlamafile(base_url=server.url, max_retries=0).invoke("x")
        assert text in str(caught.value)
        assert caught.value.hint
        if kind is PromptTooLongError:
            assert (caught.value.prompt_tokens, caught.value.context_window) == (9, 8)


# --- vectors ----------------------------------------------------------------------------------------------------------


def embedded(shape, route="/v1/embeddings"):
    with Scripted({"/props": NEW_PROPS, "/v1/models": MODELS, route: shape}) as server:
        return LlamafileEmbeddings(base_url=server.url, normalize=False, max_retries=0).embed_documents(["a", "b"])


@pytest.mark.parametrize(
    "shape",
    [
        {"data": [{"index": 1, "embedding": [0.0, 0.0]}, {"index": 0, "embedding": [1.0, 2.0]}]},
        {"data": [{"index": 0, "embedding": "AACAPwAAAEA="}, {"index": 1, "embedding": "AAAAAAAAAAA="}]},
        [{"index": 0, "embedding": [[1.0, 2.0]]}, {"index": 1, "embedding": [[0.0, 0.0]]}],
        {"embeddings": [[1.0, 2.0], [0.0, 0.0]]},
    ],
)
def test_vectors_in_all_shapes(shape):
    assert embedded((200, shape)) == [[1.0, 2.0], [0.0, 0.0]]


def test_vectors_one_by_one_of_the_oldest_servers():
    values = {"a": [1.0, 2.0], "b": [0.0, 0.0]}
    found = embedded(lambda body: (200, {"embedding": values[body["content"]]}), "/embedding")
    assert found == [[1.0, 2.0], [0.0, 0.0]]


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ({"data": [{"index": 0, "embedding": [1.0]}]}, EngineError),
        ({"data": [{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}]}, EngineError),
        ([{"index": 0, "embedding": [[1.0], [2.0]]}, {"index": 1, "embedding": [[1.0]]}], UnsupportedFeatureError),
        ({"data": [{"index": 0, "embedding": ["x"]}, {"index": 1, "embedding": [1.0]}]}, EngineError),
        ({"hello": 1}, EngineError),
    ],
)
def test_what_are_no_vectors(shape, kind):
    with pytest.raises(kind):
        embedded((200, shape))
