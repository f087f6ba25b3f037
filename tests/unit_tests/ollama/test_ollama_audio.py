"""Audio on Ollama: what is known of a model, and what is sent. And engines that have no ears."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from langchain_core.messages import HumanMessage

from langchain_localmodels import ChatOllama
from langchain_localmodels.engines.base import Audio, ChatRequest, Image, Text, Turn
from langchain_localmodels.engines.ollama.knowledge import Knowledge, forget, read_details, remember
from langchain_localmodels.engines.ollama.requests import chat_payload
from langchain_localmodels.errors import UnsupportedContentError
from langchain_localmodels.testing import ScriptedChatModel

WAV = b"RIFF\x24\0\0\0WAVEfmt "
SERVER = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    ("told", "hears"), [(["completion", "audio"], True), (["completion", "vision"], False), (["completion"], False)]
)
def test_what_is_known_of_a_model(told, hears) -> None:
    remember(SERVER, "m", Knowledge(read_details("m", {"capabilities": told})))
    try:
        chat = ChatOllama(model="m", base_url=SERVER)
        assert chat.profile["audio_inputs"] is chat.engine.capabilities().audio is hears
        assert chat.profile["attachment"] is (hears or "vision" in told)
    finally:
        forget(SERVER, "m")


def test_a_model_that_nothing_is_known_of_may_hear() -> None:
    assert ChatOllama(model="unknown", base_url=SERVER).engine.capabilities().audio is True


def test_audio_and_images_keep_their_order() -> None:
    parts = (Text("What"), Audio(WAV, "audio/wav"), Text("?"), Image(b"\x89PNG", "image/png"))
    (message,) = chat_payload(ChatRequest((Turn("user", parts),)), "m")["messages"]
    images = [base64.b64encode(data).decode() for data in (WAV, b"\x89PNG")]
    assert message == {"role": "user", "content": "What?", "images": images}


def test_a_scripted_model_hears_only_where_it_is_told_to() -> None:
    message = HumanMessage([{"type": "audio", "data": WAV}])
    deaf, hearing = (replace(ScriptedChatModel(answers=[]).capabilities, audio=hears) for hears in (False, True))
    with pytest.raises(UnsupportedContentError, match="audio"):
        ScriptedChatModel(answers=["Yes."], capabilities=deaf).invoke([message])
    assert ScriptedChatModel(answers=["Yes."], capabilities=hearing).invoke([message]).text == "Yes."
