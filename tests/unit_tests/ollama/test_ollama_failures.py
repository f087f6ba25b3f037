"""What the errors of a true Ollama become, by what was recorded of them, and those of servers of other times."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from langchain_localmodels.engines.ollama.failures import explain
from langchain_localmodels.engines.ollama.progress import ProgressReader
from langchain_localmodels.errors import (
    EngineError,
    InvalidRequestError,
    ModelMissingError,
    PromptTooLongError,
    UnsupportedContentError,
    UnsupportedFeatureError,
)
from langchain_localmodels.transport.failures import error_for_status, error_text

RECORDED = Path(__file__).parents[2] / "recorded" / "ollama"


def recorded(name):
    return json.loads((RECORDED / f"{name}.json").read_text("utf-8"))


def error_of(name):
    """What the client makes of a recorded refusal."""
    entry = recorded(name)
    text = error_text(entry["body"].encode())
    error = explain(entry["status"], text, model=(entry["request"]["body"] or {}).get("model", ""))
    return error or error_for_status(entry["status"], text, "Ollama")


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("chat_tools_cut", EngineError, "'demo': .*unexpected end of JSON.*\nHint: .*`max_tokens`"),
        ("error_audio", UnsupportedContentError, "^Ollama: audio input is not supported"),
        ("error_chat_model_embeds", UnsupportedFeatureError, "does not support embeddings"),
        ("error_content_parts", InvalidRequestError, "cannot unmarshal"),
        ("error_create_from_nothing", InvalidRequestError, "neither 'from' or 'files'"),
        ("error_create_quantize", InvalidRequestError, "quantization is only supported for"),
        ("error_create_quantize_word", InvalidRequestError, "unsupported quantization type Q9"),
        ("error_embed_too_long", PromptTooLongError, "input length exceeds"),
        ("error_embed_type", InvalidRequestError, "invalid input type"),
        (
            "error_embedding_model_chats",
            UnsupportedFeatureError,
            "does not support chat\nHint: `ollama show demo-embed`",
        ),
        ("error_embedding_model_generates", UnsupportedFeatureError, "does not support generate"),
        ("error_format_list", InvalidRequestError, "invalid format"),
        ("error_format_schema", InvalidRequestError, r"this JSON Schema: [^{]*cannot resolve \$ref"),
        ("error_format_schema_generate", InvalidRequestError, "this JSON Schema: [^{]*unrecognized type nothing"),
        ("error_format_word", InvalidRequestError, "invalid format"),
        ("error_image", UnsupportedContentError, "^Ollama: image input is not supported"),
        ("error_image_data_url", InvalidRequestError, "illegal base64"),
        ("error_image_rendered", UnsupportedContentError, "^Ollama: Multimodal data provided"),
        ("error_keep_alive", InvalidRequestError, "missing unit in duration"),
        ("error_logprobs_and_tools", UnsupportedFeatureError, "^Ollama tells no log probabilities"),
        ("error_method", InvalidRequestError, "405"),
        ("error_model_empty", InvalidRequestError, "model is required"),
        ("error_model_malformed", InvalidRequestError, "invalid model name"),
        ("error_model_malformed_pull", InvalidRequestError, "invalid model name"),
        ("error_model_missing", ModelMissingError, "Hint: Get it with `ollama pull nobody-has-this`"),
        ("error_model_missing_delete", ModelMissingError, "nobody-has-this"),
        ("error_model_missing_embed", ModelMissingError, "nobody-has-this"),
        ("error_model_missing_embed_legacy", ModelMissingError, "nobody-has-this"),
        ("error_model_missing_generate", ModelMissingError, "nobody-has-this"),
        ("error_model_missing_show", ModelMissingError, "nobody-has-this"),
        ("error_no_insert", UnsupportedFeatureError, "does not support insert"),
        ("error_no_thinking", UnsupportedFeatureError, "does not support thinking"),
        ("error_no_thinking_level", UnsupportedFeatureError, "does not support thinking"),
        ("error_no_tools", UnsupportedFeatureError, "does not support tools"),
        ("error_option_type", InvalidRequestError, 'option "temperature" must be of type float32'),
        ("error_option_type_bool", InvalidRequestError, 'option "use_mmap"'),
        ("error_option_type_int", InvalidRequestError, 'option "num_ctx"'),
        ("error_option_type_list", InvalidRequestError, 'option "stop"'),
        ("error_options_type", InvalidRequestError, "cannot unmarshal array"),
        ("error_path", InvalidRequestError, "does not know Ollama's API.*\nHint: Check `base_url`"),
        ("error_prompt_too_long", PromptTooLongError, "^Ollama: request .* exceeds"),
        ("error_prompt_too_long_generate", PromptTooLongError, "exceeds the available context size"),
        ("error_prompt_too_long_raw", PromptTooLongError, "exceeds the available context size"),
        ("error_prompt_too_long_rendered", PromptTooLongError, "longer than the context length"),
        ("error_raw_and_template", InvalidRequestError, "raw mode does not support template"),
        ("error_template", InvalidRequestError, "unclosed action"),
        ("error_think_type", InvalidRequestError, "think must be a boolean or string"),
        ("error_think_word", InvalidRequestError, 'invalid think value: "a bit"'),
        ("error_tool_arguments_text", InvalidRequestError, "400"),
        ("error_tool_property_bool", InvalidRequestError, "cannot unmarshal bool"),
        ("error_top_logprobs", InvalidRequestError, "between 0 and 20"),
        ("error_unload_missing", ModelMissingError, "nobody-has-this"),
    ],
)
def test_recorded_refusals(name, kind, says) -> None:
    error = error_of(name)
    assert type(error) is kind
    with pytest.raises(kind, match=f"(?s){says}"):
        raise error


def test_numbers_of_a_prompt_that_is_too_long() -> None:
    error = error_of("error_prompt_too_long")
    assert isinstance(error, PromptTooLongError)
    assert error.context_window == 2048
    assert (error.prompt_tokens or 0) > 2048


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "json: cannot unmarshal object into Go struct field ChatRequest.format of type string",
            "knows no JSON Schema as a format.*\nHint: .*json_mode",
        ),
        ("json: cannot unmarshal string into Go struct field ChatRequest.think of type bool", "levels.*\nHint: Update"),
        ('invalid think value: "max" (must be "high", "medium", "low", true, or false)', '"max".*\nHint: .*"high"'),
    ],
)
def test_servers_of_other_times(text, says) -> None:
    with pytest.raises(UnsupportedFeatureError, match=f"(?s){says}"):
        raise explain(400, text, model="m") or EngineError("not understood")


@pytest.mark.parametrize(("status", "kind"), [(400, InvalidRequestError), (500, EngineError)])
def test_what_llama_server_says_is_taken_out_of_its_wrapping(status, kind) -> None:
    error = explain(status, '{"error":{"code":1,"message":"no such thing","type":"t"}}\nout of memory', model="m")
    assert type(error) is kind
    assert str(error) == "Ollama: no such thing"


def test_other_statuses_are_left_to_the_transport() -> None:
    assert explain(503, '{"error":{"code":503,"message":"busy","type":"t"}}', model="m") is None
    assert explain(400, "model is required", model="") is None


def test_braces_in_what_a_server_says_stay() -> None:
    error = explain(400, "does not support {model}", model="m")
    assert error is not None
    assert "{model}" in error.message


# --- progress ---------------------------------------------------------------------------------------------------------


def progress_error(body: str):
    with pytest.raises((EngineError, ModelMissingError)) as caught:
        ProgressReader("demo", "Ollama").feed(body.encode())
    return caught.value


def test_a_model_that_the_library_does_not_have() -> None:
    error = progress_error(recorded("error_pull_missing")["body"])
    assert isinstance(error, ModelMissingError)
    assert "no model 'demo' to be fetched" in str(error)


@pytest.mark.parametrize("name", ["error_pull_unreachable", "error_create_from_missing", "error_create_blob_missing"])
def test_other_failures_of_fetching_and_making(name) -> None:
    assert type(progress_error(recorded(name)["body"])) is EngineError


def test_a_part_of_the_server_that_is_missing_is_not_the_model() -> None:
    said = "failed to validate GGUF with llama-quantize: llama-quantize binary not found"
    error = progress_error('{"status":"verifying conversion"}\n' + json.dumps({"error": said}) + "\n")
    assert type(error) is EngineError
    assert said in str(error)
