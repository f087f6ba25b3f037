"""Audio in messages for llamafile and its like: what is sent, and to whom it is not."""

from __future__ import annotations

import base64

import pytest

from langchain_localmodels.engines.base import Audio, ChatRequest, Image, Text, Turn
from langchain_localmodels.engines.llamafile.requests import chat_payload
from langchain_localmodels.engines.llamafile.server import ServerFacts
from langchain_localmodels.errors import UnsupportedContentError

WAV = b"RIFF\x24\0\0\0WAVEfmt "
MP3 = b"ID3\x04"


def content(facts, *parts):
    return chat_payload(ChatRequest((Turn("user", parts),)), facts, "m")["messages"][0]["content"]


@pytest.mark.parametrize("facts", [ServerFacts("llama", audio=True), ServerFacts("llama"), ServerFacts("openai")])
def test_audio_is_sent_to_whom_may_hear(facts) -> None:
    said = content(
        facts, Text("Who?"), Audio(WAV, "audio/wav"), Audio(MP3, "audio/mpeg"), Image(b"\x89PNG", "image/png")
    )
    assert [part["type"] for part in said] == ["text", "input_audio", "input_audio", "image_url"]
    assert said[1]["input_audio"] == {"data": base64.b64encode(WAV).decode(), "format": "wav"}
    assert said[2]["input_audio"]["format"] == "mp3"


@pytest.mark.parametrize("facts", [ServerFacts("llama", audio=False, images=True), ServerFacts("old_llama")])
def test_audio_is_not_sent_to_whom_does_not_hear(facts) -> None:
    with pytest.raises(UnsupportedContentError, match="hears no audio"):
        content(facts, Audio(WAV, "audio/wav"))


def test_other_kinds_of_audio_are_refused() -> None:
    with pytest.raises(UnsupportedContentError, match="audio/ogg") as caught:
        content(ServerFacts("llama"), Audio(b"OggS", "audio/ogg"))
    assert "WAV" in (caught.value.hint or "")


def test_a_profile_says_whether_a_model_hears() -> None:
    assert ServerFacts("llama", audio=True).profile()["audio_inputs"] is True
    assert ServerFacts("llama", audio=None).profile()["audio_inputs"] is False
