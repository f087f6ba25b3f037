"""Where an Ollama server is looked for, and what tells two models apart."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import pytest
from langchain_core.caches import InMemoryCache
from pydantic import ValidationError

from langchain_localmodels import ChatOllama, OllamaLLM
from langchain_localmodels.engines.ollama.address import base_url
from langchain_localmodels.errors import (
    InvalidRequestError,
)
from tests.doubles.asking import text_of
from tests.doubles.ollama_server import OllamaDouble, Reply

MODEL = "llama3.1:8b"


def test_a_shared_cache_never_gives_another_models_answer(server):
    cache = InMemoryCache()
    with OllamaDouble() as other:
        other.reply = Reply(pieces=["other"])
        first = ChatOllama(model=MODEL, cache=cache)
        assert first.invoke("x").content == "You said: x"
        server.reply = Reply(pieces=["new"])
        assert first.invoke("x").content == "You said: x"
        assert ChatOllama(model="llama2:13b", cache=cache).invoke("x").content == "new"
        assert ChatOllama(model=MODEL, cache=cache, num_ctx=512).invoke("x").content == "new"
        assert ChatOllama(model=MODEL, cache=cache, base_url=other.url).invoke("x").content == "other"


def test_copies_work_on_their_own(server, model):
    model.invoke("x")
    for copied in (pickle.loads(pickle.dumps(model)), copy.copy(model), copy.deepcopy(model)):
        assert text_of(copied.invoke("y")) == "You said: y"


@pytest.mark.parametrize(
    ("given", "url"),
    [
        (None, "http://127.0.0.1:11434"),
        ("  ", "http://127.0.0.1:11434"),
        ("gpuserver", "http://gpuserver:11434"),
        ("1.2.3.4", "http://1.2.3.4:11434"),
        (":5000", "http://127.0.0.1:5000"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:80", "http://127.0.0.1:80"),
        ("http://gpuserver", "http://gpuserver:80"),
        ("https://x", "https://x:443"),
        ("https://x:9/p/", "https://x:9/p"),
        ("x:9/p/", "http://x:9/p"),
        ('"x:9"', "http://x:9"),
        ("ollama.com", "https://ollama.com:443"),
        ("::1", "http://[::1]:11434"),
        ("[::1]:9", "http://[::1]:9"),
        ("[::]", "http://[::1]:11434"),
        ("http://me:secret@x:9", "http://me:secret@x:9"),
    ],
)
def test_addresses_are_read_as_ollama_reads_them(given, url):
    assert base_url(given) == url


@pytest.mark.parametrize(
    "given", ["x:port", "x:99999", "ftp://x", "a b", "[::1", "http://x?a=1", "x:-1", "http://x\ty"]
)
def test_an_address_that_cannot_be_read_is_never_replaced(given, monkeypatch):
    with pytest.raises(InvalidRequestError, match="cannot be read"):
        base_url(given)
    with pytest.raises(ValidationError, match="cannot be read"):
        OllamaLLM(model=MODEL, base_url=given)
    monkeypatch.setenv("OLLAMA_HOST", given)
    with pytest.raises(InvalidRequestError, match="OLLAMA_HOST"):
        OllamaLLM(model=MODEL).invoke("x")


def test_a_password_in_an_address_is_not_shown():
    with pytest.raises(InvalidRequestError) as caught:
        base_url("http://me:secret@x:port")
    assert "secret" not in str(caught.value)
    assert "secret" not in str(OllamaLLM(model=MODEL, base_url="http://me:secret@x")._identifying_params)


def test_over_ipv6():
    with OllamaDouble(ipv6=True) as double:
        assert OllamaLLM(model=MODEL, base_url=double.url).invoke("x") == "You said: x"


def test_importing_and_making_a_model_loads_no_httpx():
    code = (
        "import sys, langchain_core.language_models; before = 'httpx' in sys.modules;"  # An older langsmith loads it.
        "from langchain_localmodels import ChatOllama, OllamaLLM;"
        "ChatOllama(model='m'); OllamaLLM(model='m'); sys.exit('httpx' in sys.modules and not before)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
