"""LangChain's messages and tools on their way to the contract's turns and tools."""

from __future__ import annotations

import base64
import json

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_openai_tool

from langchain_localmodels.dialects.media import audio_format
from langchain_localmodels.dialects.messages import to_tools, to_turns
from langchain_localmodels.engines.base import Audio, Image, Text, Tool, ToolCall, Turn
from langchain_localmodels.errors import InvalidRequestError, UnsupportedContentError

PNG = b"\x89PNG\r\n\x1a\n0000"
PNG64 = base64.b64encode(PNG).decode()


def only(*messages) -> Turn:
    (turn,) = to_turns(messages)
    return turn


def ai(content="", **fields) -> Turn:
    return only(AIMessage(content, **fields))


def user(*blocks) -> Turn:
    return only(HumanMessage(list(blocks)))


# --- roles --------------------------------------------------------------------------------------------------------


def test_roles() -> None:
    messages = [SystemMessage("s"), HumanMessage("h", name="Ann"), AIMessage("a"), ToolMessage("t", tool_call_id="1")]
    assert to_turns(messages) == (
        Turn("system", (Text("s"),)),
        Turn("user", (Text("h"),), name="Ann"),
        Turn("assistant", (Text("a"),)),
        Turn("tool", (Text("t"),), tool_call_id="1"),
    )
    assert to_turns([]) == ()
    assert only(AIMessageChunk("x")).role == "assistant"


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("system", "system"),
        ("developer", "system"),
        ("user", "user"),
        ("human", "user"),
        ("User", "user"),
        ("assistant", "assistant"),
        ("ai", "assistant"),
        ("model", "assistant"),
        ("tool", "tool"),
        ("function", "tool"),
    ],
)
def test_chat_messages(role, expected) -> None:
    assert only(ChatMessage("x", role=role)) == Turn(expected, (Text("x"),))


@pytest.mark.parametrize("message", [ChatMessage("x", role="narrator"), RemoveMessage("1")])
def test_messages_that_say_nothing_to_a_model(message) -> None:
    with pytest.raises(InvalidRequestError, match=r"narrator|RemoveMessage") as caught:
        to_turns([message])
    assert caught.value.hint


# --- text ---------------------------------------------------------------------------------------------------------


def test_texts_are_joined_as_they_are() -> None:
    turn = user(
        "a ", {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": ""}
    )
    assert turn.text == "a b"
    assert user().parts == ()
    assert only(HumanMessage("")).parts == ()


@pytest.mark.parametrize(
    "block",
    [
        {"type": "text", "text": "hi"},
        {"text": "hi"},
        {"type": "text", "source_type": "text", "text": "hi"},
        {"type": "input_text", "text": "hi"},
        {"type": "output_text", "text": "hi"},
        {"type": "refusal", "refusal": "hi"},
        {"type": "text-plain", "text": "hi", "mime_type": "text/plain", "title": "t"},
        {"type": "text-plain", "base64": base64.b64encode(b"hi").decode(), "mime_type": "text/plain"},
    ],
)
def test_forms_of_text(block) -> None:
    assert user(block).parts == (Text("hi"),)


@pytest.mark.parametrize("block", [{"type": "text"}, {"type": "text", "text": None}, {"type": "refusal", "text": "x"}])
def test_text_blocks_without_text(block) -> None:
    with pytest.raises(InvalidRequestError, match="has no text"):
        user(block)


def test_lone_surrogates_pass() -> None:
    assert only(HumanMessage("a\ud800")).text == "a\ud800"


# --- images -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "base64": PNG64, "mime_type": "image/png"},
        {"type": "image", "base64": PNG64},
        {"type": "image", "base64": PNG64[:8] + "\n" + PNG64[8:]},
        {"type": "image", "url": f"data:image/png;base64,{PNG64}"},
        {"type": "image", "source_type": "base64", "data": PNG64, "mime_type": "image/png"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG64}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG64}", "detail": "low"}},
        {"type": "image_url", "image_url": f"data:image/png;base64,{PNG64}"},
        {"type": "image_url", "image_url": f"data:;base64,{PNG64}"},
        {"type": "image_url", "image_url": "data:image/png,%89PNG%0D%0A%1A%0A0000"},
        {"type": "image_url", "image_url": PNG64},
    ],
)
def test_forms_of_images(block) -> None:
    turn = user("See", block, "?")
    assert turn.parts == (Text("See"), Image(PNG, "image/png"), Text("?"))
    assert turn.text == "See?"


def test_image_type_is_guessed_from_the_data() -> None:
    data = base64.b64encode(b"\xff\xd8\xff\xe0JFIF").decode()
    assert user({"type": "image", "base64": data}).parts[0].mime_type == "image/jpeg"


@pytest.mark.parametrize(
    "url", ["https://example.org/a.png", "http://a/b", "file:///etc/passwd", "gs://bucket/a.png", "s3://b/a.png"]
)
@pytest.mark.parametrize("form", ["image", "image_url", "nested"])
def test_nothing_is_downloaded_or_opened(url, form) -> None:
    block = {
        "image": {"type": "image", "url": url},
        "image_url": {"type": "image_url", "image_url": url},
        "nested": {"type": "image_url", "image_url": {"url": url}},
    }[form]
    with pytest.raises(UnsupportedContentError, match="by its address") as caught:
        user(block)
    assert "base64" in caught.value.hint


@pytest.mark.parametrize("data", ["%%%", "abc", "/home/me/photo.png", ""])
def test_bad_base64(data) -> None:
    with pytest.raises(InvalidRequestError):
        user({"type": "image_url", "image_url": f"data:image/png;base64,{data}"})
    with pytest.raises(InvalidRequestError):
        user({"type": "image", "base64": data})


def test_images_without_data() -> None:
    with pytest.raises(InvalidRequestError):
        user({"type": "image_url"})
    with pytest.raises(UnsupportedContentError):
        user({"type": "image", "file_id": "f1"})


def test_images_in_files(tmp_path) -> None:
    file = tmp_path / "photo"
    file.write_bytes(PNG)
    assert user({"type": "image", "path": file}).parts == (Image(PNG, "image/png"),)
    with pytest.raises(UnsupportedContentError, match="strangers") as caught:
        user({"type": "image", "path": str(file)})
    assert "pathlib.Path" in caught.value.hint
    with pytest.raises(InvalidRequestError, match="cannot be read"):
        user({"type": "image", "path": tmp_path / "none"})
    with pytest.raises(InvalidRequestError, match="cannot be read"):
        user({"type": "image", "path": tmp_path})
    file.write_bytes(b"")
    with pytest.raises(InvalidRequestError, match="empty"):
        user({"type": "image", "path": file})


def test_images_in_tool_results() -> None:
    message = ToolMessage([{"type": "image", "base64": PNG64}], tool_call_id="1")
    assert only(message).parts == (Image(PNG, "image/png"),)


# --- audio --------------------------------------------------------------------------------------------------------

WAV = b"RIFF\x24\0\0\0WAVEfmt "
WAV64 = base64.b64encode(WAV).decode()
MP3 = b"ID3\x04"


@pytest.mark.parametrize(
    "block",
    [
        {"type": "audio", "base64": WAV64, "mime_type": "audio/wav"},
        {"type": "audio", "base64": WAV64},
        {"type": "audio", "source_type": "base64", "data": WAV64, "mime_type": "audio/wav"},
        {"type": "audio", "data": WAV},
        {"type": "audio", "url": f"data:audio/wav;base64,{WAV64}"},
        {"type": "input_audio", "input_audio": {"data": WAV64, "format": "wav"}},
        {"type": "input_audio", "input_audio": {"data": f"data:audio/wav;base64,{WAV64}"}},
    ],
)
def test_forms_of_audio(block) -> None:
    assert user(block).parts == (Audio(WAV, "audio/wav"),)


def test_kinds_of_audio() -> None:
    assert [audio_format(data) for data in (WAV, MP3, b"\xff\xfb\x90", b"\xff\xd8\xff", b"OggS", b"\xff", b"")] == [
        *("wav", "mp3", "mp3"),
        *(None, None, None, None),
    ]
    assert user({"type": "audio", "data": MP3}).parts == (Audio(MP3, "audio/mpeg"),)
    assert user({"type": "audio", "data": b"OggS"}).parts == (Audio(b"OggS", "application/octet-stream"),)


def test_audio_in_files(tmp_path) -> None:
    file = tmp_path / "said.wav"
    file.write_bytes(WAV)
    assert user({"type": "audio", "path": file}).parts == (Audio(WAV, "audio/wav"),)


@pytest.mark.parametrize(
    "block", [{"type": "audio", "url": "https://example.org/a.wav"}, {"type": "audio", "file_id": "1"}]
)
def test_audio_that_is_elsewhere(block) -> None:
    with pytest.raises(UnsupportedContentError, match="audio|Audio"):
        user(block)


@pytest.mark.parametrize("block", [{"type": "input_audio"}, {"type": "input_audio", "input_audio": {"format": "wav"}}])
def test_audio_without_data(block) -> None:
    with pytest.raises(InvalidRequestError, match="no data"):
        user(block)


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "block",
    [
        {"type": "video", "url": "https://example.org/a.mp4"},
        {"type": "file", "base64": "AAAA", "mime_type": "application/pdf"},
        {"type": "document", "source": {}},
        {"type": "text-plain", "url": "https://example.org/a.txt"},
        {"type": "reasoning", "reasoning": "users do not"},
        {"type": "tool_use", "id": "1", "name": "f", "input": {}},
        {"type": "non_standard", "value": {"x": 1}},
        {"type": "hologram"},
        {"type": ["list"]},
        {},
    ],
)
def test_other_content_is_refused_by_name(block) -> None:
    with pytest.raises(UnsupportedContentError) as caught:
        user(block)
    assert str(block.get("type")) in str(caught.value)
    assert caught.value.hint


# --- what an assistant said ---------------------------------------------------------------------------------------


def test_tool_calls() -> None:
    calls = [{"name": "f", "args": {"city": "Köln"}, "id": "1"}, {"name": "g", "args": {}, "id": None}]
    assert ai("Wait.", tool_calls=calls) == Turn(
        "assistant", (Text("Wait."),), tool_calls=(ToolCall("1", "f", '{"city": "Köln"}'), ToolCall("", "g", "{}"))
    )


def test_calls_in_the_content_are_not_counted_twice() -> None:
    calls = [{"name": "f", "args": {"a": 1}, "id": "1"}]
    for block in (
        {"type": "tool_use", "id": "1", "name": "f", "input": {"a": 1}},
        {"type": "tool_call", "id": "1", "name": "f", "args": {"a": 1}},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": '{"a": 1}'},
    ):
        expected = (ToolCall("1", "f", '{"a": 1}'),)
        assert ai([{"type": "text", "text": "x"}, block], tool_calls=calls).tool_calls == expected
        assert ai([block]).tool_calls == expected
        assert ai([{"type": "text", "text": "x"}, block], tool_calls=calls).text == "x"


def test_streamed_chunks_added_up() -> None:
    chunk = AIMessageChunk("", tool_call_chunks=[{"name": "f", "args": '{"a"', "id": "1", "index": 1000}])
    chunk += AIMessageChunk("", tool_call_chunks=[{"name": None, "args": ": 1}", "id": None, "index": 1000}])
    assert only(chunk).tool_calls == (ToolCall("1", "f", '{"a": 1}'),)


def test_invalid_calls_stay_to_be_seen() -> None:
    bad = {"type": "invalid_tool_call", "name": "f", "args": '{"a": ', "id": "1", "error": "e"}
    assert ai("", invalid_tool_calls=[bad]).tool_calls == (ToolCall("1", "f", '{"a": '),)
    nameless = ai("So: ", invalid_tool_calls=[{**bad, "name": None}])
    assert nameless.tool_calls == ()
    assert nameless.text == 'So: {"a": '


def test_function_call_of_old() -> None:
    old = AIMessage("", additional_kwargs={"function_call": {"name": "f", "arguments": '{"a": 1}'}})
    asked, answered = to_turns([old, FunctionMessage("ok", name="f")])
    assert asked.tool_calls == (ToolCall("", "f", '{"a": 1}'),)
    assert answered == Turn("tool", (Text("ok"),), name="f", tool_call_id="")


@pytest.mark.parametrize(
    "block",
    [
        {"type": "reasoning", "reasoning": "hm"},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "x"},
        {"type": "thinking", "thinking": "hm", "signature": "x"},
        {"type": "reasoning_content", "reasoning_content": {"text": "hm", "signature": "x"}},
    ],
)
def test_forms_of_reasoning(block) -> None:
    turn = ai([block, {"type": "text", "text": "x"}], additional_kwargs={"reasoning_content": "hm"})
    assert turn == Turn("assistant", (Text("x"),), reasoning="hm")


def test_reasoning_in_additional_kwargs() -> None:
    assert ai("x", additional_kwargs={"reasoning_content": "hm"}).reasoning == "hm"
    assert ai("x", additional_kwargs={"reasoning_content": None}).reasoning == ""


def test_a_message_in_v1_form() -> None:
    message = AIMessage(
        content_blocks=[
            {"type": "reasoning", "reasoning": "hm"},
            {"type": "text", "text": "x", "annotations": []},
            {"type": "tool_call", "name": "f", "args": {"a": 1}, "id": "1"},
            {"type": "non_standard", "value": {"type": "server_thing"}},
        ]
    )
    assert only(message) == Turn(
        "assistant", (Text("x"),), reasoning="hm", tool_calls=(ToolCall("1", "f", '{"a": 1}'),)
    )


# --- tool results -------------------------------------------------------------------------------------------------


def test_results_learn_their_tools_name() -> None:
    asked = AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "1"}, {"name": "g", "args": {}, "id": "2"}])
    results = [
        ToolMessage("b", tool_call_id="2"),
        ToolMessage("a", tool_call_id="1"),
        ToolMessage("c", tool_call_id="9"),
    ]
    named = ToolMessage("d", tool_call_id="1", name="h")
    turns = to_turns([asked, *results, named])
    assert [(turn.name, turn.text) for turn in turns[1:]] == [("g", "b"), ("f", "a"), (None, "c"), ("h", "d")]


def test_failed_tools() -> None:
    assert only(ToolMessage("no", tool_call_id="1", status="error", artifact=object())).is_error
    assert not only(ToolMessage("yes", tool_call_id="1")).is_error


def test_results_in_the_manner_of_anthropic() -> None:
    asked = AIMessage(
        [
            {"type": "text", "text": "Hmm"},
            {"type": "tool_use", "input": {"fav_color": "green"}, "id": "foo", "name": "color_picker"},
        ],
        tool_calls=[{"name": "color_picker", "args": {"fav_color": "green"}, "id": "foo"}],
    )
    content = [{"type": "text", "text": "green!", "cache_control": {"type": "ephemeral"}}]
    answered = HumanMessage(
        [
            {"type": "tool_result", "tool_use_id": "foo", "content": content, "is_error": True},
            {"type": "text", "text": "And mine?"},
        ]
    )
    _, result, question = to_turns([asked, answered])
    assert result == Turn("tool", (Text("green!"),), name="color_picker", tool_call_id="foo", is_error=True)
    assert question == Turn("user", (Text("And mine?"),))
    bare = HumanMessage([{"type": "tool_result", "tool_use_id": "foo", "content": "ok"}])
    assert [turn.role for turn in to_turns([asked, bare])] == ["assistant", "tool"]


# --- tools --------------------------------------------------------------------------------------------------------


def test_tools() -> None:
    @tool
    def get_weather(city: str) -> str:
        """Weather of a city."""
        return city

    (converted,) = to_tools([convert_to_openai_tool(get_weather)])
    assert converted.name == "get_weather"
    assert converted.description == "Weather of a city."
    assert converted.as_openai() == convert_to_openai_tool(get_weather)
    assert json.dumps(converted.as_openai())


def test_forms_of_tools() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    expected = (Tool("f", "d", schema),)
    assert to_tools([{"name": "f", "description": "d", "parameters": schema}]) == expected
    assert to_tools([{"name": "f", "description": "d", "input_schema": schema, "cache_control": {}}]) == expected
    assert to_tools([{"type": "function", "function": {"name": "f"}}])[0].parameters["type"] == "object"


@pytest.mark.parametrize(
    "bad", [{}, {"type": "web_search"}, {"function": {}}, {"function": "f"}, {"name": "f", "parameters": 1}]
)
def test_tools_without_a_name_or_a_schema(bad) -> None:
    with pytest.raises(InvalidRequestError, match="tool"):
        to_tools([bad])


def test_what_a_tool_gives_as_a_list_of_dicts_is_text_even_where_it_looks_like_blocks() -> None:
    files = [{"type": "file", "name": "a.txt"}, {"type": "document", "title": "b"}, {"type": "text", "text": "c"}]
    (turn,) = to_turns([ToolMessage(files, tool_call_id="1")])
    assert [json.loads(part.text) for part in turn.parts[:2]] == files[:2]
    assert turn.parts[2] == Text("c")
    with pytest.raises(UnsupportedContentError, match="'file'"):
        to_turns([ToolMessage([{"type": "file", "base64": "AAAA", "mime_type": "application/pdf"}], tool_call_id="1")])
    with pytest.raises(UnsupportedContentError, match="'file'"):
        to_turns([HumanMessage([{"type": "file", "name": "a.txt"}])])
