"""Names that people give options by, and what becomes of them in a request."""

from __future__ import annotations

import subprocess
import sys
import warnings
from dataclasses import replace

import pytest
from pydantic import ValidationError

from langchain_localmodels import ChatLlamafile, Llamafile, LlamafileEmbeddings
from langchain_localmodels.engines.base import ChatRequest, CompletionRequest, Text, ToolCall, Turn
from langchain_localmodels.engines.llamafile.requests import chat_payload, completion_payload
from langchain_localmodels.engines.llamafile.server import Ask, ServerFacts, probe
from langchain_localmodels.errors import InvalidRequestError, ModelMissingError, UnsupportedFeatureError
from tests.doubles.llamafile_answers import COMMUNITYS

NEW = ServerFacts("llama", ("m",), "m", 512, False, fixed=True)
OLD = ServerFacts("old_llama", ("m",), "m", 512, shifts=True, fixed=True)
OTHER = ServerFacts("openai", ("m",), "m")


def completion(model, facts, **given):
    return completion_payload(CompletionRequest("x", model._settings(None, given)), facts, "m")


def test_langchain_communitys_fields_are_known_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        llm = Llamafile(**COMMUNITYS)
        LlamafileEmbeddings(base_url="http://localhost:8080", request_timeout=30)
    assert (llm.timeout, llm.max_tokens, llm.seed, llm.name) == (30, None, None, "mine")
    path, body = completion(llm, OLD)
    assert path == "/completion"
    assert (body["tfs_z"], body["penalize_nl"], body["n_keep"], body["temperature"]) == (1.0, True, 0, 0.8)


def test_what_is_not_said_is_left_to_the_server():
    for facts, names in ((NEW, set()), (OTHER, {"stream_options", "max_tokens"})):
        _, body = completion(Llamafile(), facts)
        assert body.keys() == {"model", "prompt", "stream", *names}


def test_servers_that_would_never_stop_are_told_where_the_window_ends():
    assert completion(Llamafile(), OLD)[1]["n_predict"] == 512
    assert completion(Llamafile(max_tokens=7), OLD)[1]["n_predict"] == 7
    request = ChatRequest((Turn("user", (Text("x"),)),), settings=ChatLlamafile()._settings(None, {}))
    assert chat_payload(request, OLD, "m")["max_tokens"] == 512
    assert "max_tokens" not in chat_payload(request, NEW, "m")


def test_llamas_own_words_stay_with_llamas():
    llm = Llamafile(cache_prompt=True, id_slot=1, n_keep=3)
    assert {"cache_prompt", "id_slot", "n_keep"} <= completion(llm, NEW)[1].keys()
    assert not {"cache_prompt", "id_slot", "n_keep"} & completion(llm, OTHER)[1].keys()


def test_the_whole_window_is_a_number_to_new_servers():
    llm = Llamafile(repeat_last_n=-1)
    assert completion(llm, NEW)[1]["repeat_last_n"] == 512
    assert completion(llm, OLD)[1]["repeat_last_n"] == -1


def test_biases_in_both_forms():
    llm = Llamafile(logit_bias={7: -1.5})
    assert completion(llm, NEW)[1]["logit_bias"] == [[7, -1.5]]
    assert completion(llm, OTHER)[1]["logit_bias"] == {"7": -1.5}


def test_more_entries_are_passed_on_per_call_and_joined():
    llm = Llamafile(extra_body={"a": 1, "b": 1})
    body = completion(llm, NEW, extra_body={"b": 2}, samplers=["top_k"])[1]
    assert (body["a"], body["b"], body["samplers"]) == (1, 2, ["top_k"])
    assert llm.extra_body == {"a": 1, "b": 1}


@pytest.mark.parametrize("fields", [{"n_keep": -2}, {"id_slot": "x"}, {"base_url": "ftp://x"}, {"max_retries": -1}])
def test_values_out_of_range(fields):
    with pytest.raises(ValidationError):
        ChatLlamafile(**fields)


@pytest.mark.parametrize("given", [{"n_keep": -2}, {"max_retries": -1}, {"id_slot": "x"}])
def test_values_out_of_range_per_call(given):
    with pytest.raises(InvalidRequestError):
        ChatLlamafile()._settings(None, given)


def test_broken_calls_of_the_history_are_objects_to_the_server():
    turns = (Turn("user", (Text("x"),)), Turn("assistant", (), tool_calls=(ToolCall("1", "f", '{"a'),)))
    body = chat_payload(ChatRequest(turns), NEW, "m")
    assert body["messages"][1]["tool_calls"][0]["function"]["arguments"] == '{"invalid_json": "{\\"a"}'


@pytest.mark.parametrize(("reasoning", "entry"), [(False, ("chat_template_kwargs", {"enable_thinking": False})),
                                                  ("low", ("reasoning_effort", "low"))])  # fmt: skip
def test_how_much_to_think(reasoning, entry):
    request = ChatRequest(
        (Turn("user", (Text("x"),)),), settings=ChatLlamafile(reasoning=reasoning)._settings(None, {})
    )
    assert chat_payload(request, NEW, "m")[entry[0]] == entry[1]


def asked(facts, **fields):
    settings = ChatLlamafile(**fields)._settings(None, {})
    return chat_payload(ChatRequest((Turn("user", (Text("x"),)),), settings=settings), facts, "m")


def test_old_servers_are_not_told_how_much_to_think():
    assert asked(OLD, reasoning=True).keys() == asked(OLD).keys()


def test_a_schema_is_a_grammar_unless_it_would_forbid_to_think():
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    assert "root ::=" in asked(NEW, format=schema)["grammar"]
    thinks = replace(NEW, thinks=True)
    assert asked(thinks, format=schema)["response_format"] == {"type": "json_object", "schema": schema}
    assert "grammar" not in asked(thinks, format=schema)
    other = asked(OTHER, format=schema)["response_format"]
    assert other == {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}


def test_importing_and_making_a_model_asks_nothing_and_loads_no_httpx():
    code = (
        "import sys, langchain_core.language_models; before = 'httpx' in sys.modules;"  # An older langsmith loads it.
        "from langchain_localmodels import ChatLlamafile, Llamafile, LlamafileEmbeddings;"
        "ChatLlamafile(); Llamafile(); LlamafileEmbeddings(); sys.exit('httpx' in sys.modules and not before)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- what a server is -------------------------------------------------------------------------------------------------


def found(answers, model=None):
    flow = probe(model)
    asked, answer = [], None
    step = next(flow)
    while True:
        assert isinstance(step, Ask)
        asked.append(step.path)
        answer = answers.get(step.path)
        try:
            step = flow.throw(ModelMissingError("nothing there")) if answer is None else flow.send(answer)
        except StopIteration as end:
            return end.value, asked


def listed(*names):
    return {"data": [{"id": name} for name in names]}


def test_kinds_of_servers():
    props = {"default_generation_settings": {"n_ctx": 64}, "total_slots": 1}
    assert found({"/props": props})[0].kind == "old_llama"
    new, asked = found({"/props": {**props, "build_info": "b6000-x", "modalities": {"vision": True}}})
    assert (new.kind, new.context_window, new.images, new.streams_calls, new.fixed) == ("llama", 64, True, True, True)
    assert asked == ["/props", "/v1/models"]
    assert not found({"/props": {**props, "build_info": "b4747-x"}})[0].streams_calls
    assert found({"/props": {**props, "build_info": "b1-x", "chat_template": "<think>"}})[0].thinks
    assert found({"/flagz": {}, "/v1/models": listed("m")})[0].kind == "llamafiler"
    other = {"data": [{"id": "m", "max_model_len": 99}]}
    assert found({"/v1/models": other})[0] == ServerFacts("openai", ("m",), "m", 99)


def test_routers_are_asked_for_the_model():
    child = {"build_info": "b7000-x", "default_generation_settings": {"n_ctx": 8}}
    answers = {"/props": {"role": "router"}, "/v1/models": listed("a b", "c"), "/props?model=a%20b": child}
    facts, _ = found(answers, "a b")
    assert (facts.kind, facts.model, facts.context_window, facts.fixed) == ("llama", "a b", 8, False)
    with pytest.raises(InvalidRequestError, match="a b, c"):
        found(answers)


def test_grammars_and_old_tools_are_refused_where_they_are_not_known():
    with pytest.raises(UnsupportedFeatureError, match="grammar"):
        completion(Llamafile(grammar='root ::= "a"'), OTHER)
