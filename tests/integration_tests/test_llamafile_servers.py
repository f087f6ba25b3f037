"""Servers of other ages and makers, scripted answer by answer over a real socket."""

from __future__ import annotations

import asyncio

import pytest

from langchain_localmodels import ChatLlamafile, Llamafile, LlamafileEmbeddings
from langchain_localmodels.errors import InvalidRequestError, UnsupportedContentError, UnsupportedFeatureError
from tests.doubles.llamafile_answers import CHAT, MODELS, NEW_PROPS, OLD_PROPS, old_llamafile
from tests.doubles.scripted_http import Scripted, delta, sse

TOOL = {
    "type": "function",
    "function": {"name": "look", "description": "Look.", "parameters": {"type": "object", "properties": {}}},
}

# --- llamafile 0.9.3 and before ---------------------------------------------------------------------------------------


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


IMAGE = {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"}


@pytest.mark.parametrize("kind", [{"/props": OLD_PROPS}, {"/flagz": (200, {})}])
def test_images_are_refused_by_both_old_servers(kind):
    with Scripted({"/v1/models": MODELS, **kind}) as server:
        with pytest.raises(UnsupportedContentError, match="images"):
            ChatLlamafile(base_url=server.url).invoke([("human", [{"type": "text", "text": "x"}, IMAGE])])
        assert server.bodies(CHAT) == []


def test_log_probabilities_of_chats_are_refused_by_old_servers():
    with old_llamafile() as server:
        with pytest.raises(UnsupportedFeatureError, match="log probabilities"):
            ChatLlamafile(base_url=server.url).invoke("x", logprobs=True)
        assert server.bodies(CHAT) == []


def test_old_servers_count_texts_and_leave_conversations_to_an_estimate():
    with old_llamafile(**{"/tokenize": (200, {"tokens": [1, 2, 3]})}) as server:
        chat = ChatLlamafile(base_url=server.url)
        assert chat.get_num_tokens("a b c") == 3
        assert chat.get_num_tokens_from_messages([("human", "a b c")]) == 3 + 4  # Four around a message.


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
        with pytest.raises(UnsupportedFeatureError, match="log probabilities"):
            ChatLlamafile(base_url=server.url).invoke("x", logprobs=True)
        with pytest.raises(UnsupportedFeatureError, match="too old for tools"):
            ChatLlamafile(base_url=server.url).bind_tools([TOOL]).invoke("x")


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


def test_llama_cpp_pythons_server_takes_grammars_and_no_schemas():
    models = (200, {"object": "list", "data": [{"id": "m", "object": "model", "owned_by": "me", "permissions": []}]})
    answer = (200, sse(delta('{"a": 1}'), delta(finish="stop")))
    text = (200, sse({"choices": [{"text": "{}", "finish_reason": "stop"}]}))
    script = {"/v1/models": models, CHAT: answer, "/v1/completions": text}
    refusal = (500, {"error": {"message": "Llama model must be created with embedding=True to call this method"}})
    with Scripted({**script, "/v1/embeddings": refusal}) as server:
        schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
        assert ChatLlamafile(base_url=server.url, format=schema).invoke("x").text == '{"a": 1}'
        Llamafile(base_url=server.url, format=schema).invoke("x")
        for body in (*server.bodies(CHAT), *server.bodies("/v1/completions")):
            assert "root ::=" in body["grammar"]
            assert "response_format" not in body
        with pytest.raises(UnsupportedFeatureError, match="embedding=True") as caught:
            LlamafileEmbeddings(base_url=server.url, max_retries=0).embed_query("x")
        assert "--embedding" in caught.value.hint


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
        # It would also write for ever: until August 2025 the beginning was forgotten where the window was full.
        assert server.bodies(CHAT)[0]["max_tokens"] == props[1]["default_generation_settings"]["n_ctx"]


@pytest.mark.parametrize("vision", [True, None])
def test_images_go_to_models_that_read_them_and_to_servers_that_do_not_say(vision):
    props = {"/props": (200, {**NEW_PROPS[1], "modalities": {"vision": True}})} if vision else {}
    answer = (200, sse(delta("a moon"), delta(finish="stop")))
    with Scripted({"/v1/models": MODELS, CHAT: answer, **props}) as server:
        question = [("human", [{"type": "text", "text": "What is it?"}, IMAGE])]
        assert ChatLlamafile(base_url=server.url).invoke(question).text == "a moon"
        (body,) = server.bodies(CHAT)
    assert body["messages"][0]["content"] == [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
    ]


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
