"""The context window that is chosen, and when a wish is refused."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import replace

import pytest

from langchain_localmodels.demo import model_path
from langchain_localmodels.engines.llamacpp.options import KVType
from langchain_localmodels.errors import InvalidRequestError
from langchain_localmodels.weights import memory
from langchain_localmodels.weights.gguf import GGUFHeader, read_header
from langchain_localmodels.weights.memory import available_memory, choose_window

GB = 10**9


@pytest.fixture(autouse=True)
def _forget_what_was_logged():
    memory._logged.clear()


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch):
    def set_free(amount: int | None) -> None:
        monkeypatch.setattr(memory, "available_memory", lambda: amount)

    set_free(100 * GB)
    return set_free


def header(trained: int | None = 131072, **sizes: int) -> GGUFHeader:
    """A model of 32 layers with 8 heads of 128 for keys and values: 131072 bytes a token in f16."""
    values = {"block_count": 32, "embedding_length": 4096, "attention.head_count": 32, "attention.head_count_kv": 8}
    values.update(sizes)
    if trained is not None:
        values["context_length"] = trained
    metadata = {"general.architecture": "llama", **{f"llama.{key}": value for key, value in values.items()}}
    return replace(read_header(model_path), metadata=metadata)


def test_the_example_takes_what_it_says():
    assert header().kv_bytes_per_token() == 131072


def test_the_default_is_what_the_model_was_trained_on_up_to_8192(free):
    assert choose_window(header(2048), None) == 2048
    assert choose_window(header(8192), None) == 8192
    assert choose_window(header(131072), None) == 8192


def test_the_default_for_a_file_that_does_not_say(free):
    assert choose_window(header(None), None) == 2048


def test_the_default_takes_half_of_the_free_memory_at_most(free):
    free(2 * 1000 * 131072)
    assert choose_window(header(), None) == 768  # a multiple of 256
    assert choose_window(header(512), None) == 512


def test_the_default_is_never_tiny(free):
    free(1)
    assert choose_window(header(), None) == 256
    assert choose_window(header(100), None) == 100


def test_quantized_caches_allow_more(free):
    free(2 * 1000 * 131072)
    assert choose_window(header(), None, type_k="q8_0", type_v="q8_0") == 1792
    assert choose_window(header(), None, type_k="f32", type_v="f32") == 256


def test_what_is_asked_for_is_given(free):
    for asked in (1, 8, 255, 4096, 1_000_000 // 2):
        assert choose_window(header(), asked) == asked


def test_zero_is_all_that_the_file_allows(free):
    assert choose_window(header(131072), 0) == 131072
    assert choose_window(header(None), 0) == 2048


@pytest.mark.parametrize("asked", [0, 131072])
def test_what_does_not_fit_is_refused(free, asked: int):
    free(16 * GB)
    with pytest.raises(InvalidRequestError, match=r"131072 tokens takes 17\.2 GB.*16\.0 GB") as refused:
        choose_window(header(131072), asked)
    assert "q8_0" in str(refused.value)
    assert choose_window(header(131072), asked, type_k="q8_0", type_v="q8_0") == 131072


def test_nothing_is_refused_where_the_system_does_not_tell(free):
    free(None)
    assert choose_window(header(), 131072) == 131072
    assert choose_window(header(), None) == 8192


def test_models_without_a_cache(free):
    free(1)
    assert choose_window(header(131072, block_count=0), None) == 8192
    assert choose_window(header(131072, block_count=0), 131072) == 131072


def test_a_smaller_window_is_told_once(free, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, logger=memory.__name__)
    for _ in range(3):
        choose_window(header(), None)
    choose_window(header(2048), None)
    choose_window(header(), 4096)
    assert len(caplog.records) == 1
    assert "8192 tokens (1074 MB of KV cache)" in caplog.text
    assert "131072" in caplog.text


@pytest.mark.parametrize("kind", KVType.__args__)
def test_every_type_has_a_size(free, kind: str):
    assert choose_window(header(2048), 100, type_k=kind, type_v=kind) == 100


def test_available_memory():
    found = available_memory()
    if sys.platform.startswith("linux"):
        assert found is not None
    assert found is None or 0 < found <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("text", ["", "MemTotal: 1 kB\n", "MemAvailable: many kB\n"])
def test_a_strange_meminfo_does_no_harm(monkeypatch: pytest.MonkeyPatch, text: str):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(memory.Path, "read_text", lambda *_: text)
    found = available_memory()
    assert found is None or found > 0
