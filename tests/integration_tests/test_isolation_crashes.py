"""`isolate=True`: the child process may crash without taking this one with it."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from gguf import GGUFReader

from langchain_localmodels.demo import model_path
from langchain_localmodels.errors import EngineCrashedError
from tests.gguf_edit import write_changed
from tests.isolated import CLASSES, PROMPT, Engine, posix_only, write_endless


@pytest.fixture(scope="module")
def endless_file(tmp_path_factory):
    return write_endless(tmp_path_factory.mktemp("endless"))


@pytest.fixture(params=CLASSES)
def engine(request, endless_file):
    return Engine(request.param, endless_file)


@pytest.fixture
def endless(engine):
    with engine.endless() as made:
        yield made


@posix_only
def test_a_process_that_is_killed_mid_stream(endless):
    stream = endless.stream(PROMPT)
    next(stream)
    dead = endless.engine.pid
    os.kill(dead, signal.SIGKILL)
    with pytest.raises(EngineCrashedError, match="SIGKILL") as caught:
        list(stream)
    assert caught.value.exit_code == -signal.SIGKILL
    assert endless.invoke(PROMPT, max_tokens=4)
    assert endless.engine.pid != dead


@posix_only
async def test_all_requests_of_a_process_hear_of_its_end(endless):
    """Those that are written, and on GPT4All those that wait for the first as well."""
    streams = [endless.astream(PROMPT) for _ in range(3)]
    first = asyncio.create_task(anext(streams[0]))
    await first
    tasks = [asyncio.create_task(_read(stream)) for stream in streams]
    counts = asyncio.create_task(asyncio.to_thread(endless.engine.tokenize, "hello"))
    await counts  # the others were asked for before
    dead = endless.engine.pid
    os.kill(dead, signal.SIGKILL)
    ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(end) for end in ended] == [EngineCrashedError] * 3
    assert await endless.ainvoke(PROMPT, max_tokens=4)
    assert endless.engine.pid != dead


async def _read(stream):
    async for _ in stream:
        pass


@posix_only
def test_vectors_after_a_crash(engine):
    with engine.embeddings() as embeddings:
        want = embeddings.embed_query("a")
        os.kill(embeddings.engine.pid, signal.SIGKILL)
        texts = ["a text"] * 2000
        with pytest.raises(EngineCrashedError, match="SIGKILL"):
            embeddings.embed_documents(texts)
        assert embeddings.embed_query("a") == want


@posix_only
def test_a_file_that_aborts_the_engine(engine, tmp_path):
    # ggml asserts that an epsilon is not negative, when it is first used. The old one in GPT4All has a debugger print
    # where, if there is one, which would be the last that is written.
    file = tmp_path / "hostile.gguf"
    write_changed(file, {"llama.attention.layer_norm_rms_epsilon": -1.0})
    with engine.llm(file) as model:
        for _ in range(2):
            with pytest.raises(EngineCrashedError, match="SIGABRT[^$]*GGML_ASSERT"):
                model.invoke(PROMPT)


@posix_only
async def test_a_token_that_aborts_gpt4all(endless_file, tmp_path):
    """One that its vocabulary calls unused, and the model is sure of: nobody can know before it comes."""
    fields = GGUFReader(model_path).fields
    kinds, tokens = (fields[f"tokenizer.ggml.{name}"].contents() for name in ("token_type", "tokens"))
    file = tmp_path / "hostile.gguf"
    hostile = [5 if token == "Neil" else kind for token, kind in zip(tokens, kinds, strict=True)]
    assert hostile != kinds
    write_changed(file, {"tokenizer.ggml.token_type": hostile})
    with Engine("gpt4all", endless_file).llm(file) as model:
        with pytest.raises(EngineCrashedError, match="SIGABRT[^$]*invalid_argument"):
            list(model.stream(PROMPT))
        with pytest.raises(EngineCrashedError, match="SIGABRT"):
            await model.ainvoke(PROMPT)
        assert model.get_num_tokens(PROMPT) > 3
