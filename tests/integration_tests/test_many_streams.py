"""Many streams of a server at once: each one's tokens are its own, and closing one leaves the others alone."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from langchain_localmodels import ChatLlamafile, ChatOllama, Llamafile, OllamaLLM
from langchain_localmodels.errors import EngineClosedError
from tests.doubles.flood_server import MODEL, FloodServer, faults, prompt_of

STREAMS, TOKENS = 24, 200
CLASSES = [ChatOllama, OllamaLLM, ChatLlamafile, Llamafile]


@pytest.fixture(scope="module")
def server():
    with FloodServer() as server:
        yield server


@pytest.fixture(params=CLASSES, ids=lambda kind: kind.__name__)
def model(request, server):
    with request.param(model=MODEL, base_url=server.url) as model:
        yield model


def text_of(piece):
    return piece if isinstance(piece, str) else piece.content


async def read_all(pieces):
    return [text_of(piece) async for piece in pieces]


def test_the_counting_sees_what_is_lost_doubled_and_mixed():
    sent = [" 1:0", " 1:1", " 1:2"]
    assert faults(1, 3, sent) == 0
    assert faults(1, 3, sent[:2]) == 1
    assert faults(1, 3, [*sent, sent[2]]) == 1
    assert faults(1, 3, [sent[0], " 2:1", sent[2]]) == 1
    assert faults(1, 3, ["".join(sent)]) > 0


@pytest.mark.parametrize("form", ["together", "apart", "torn"])
async def test_no_token_is_lost_or_mixed_between_tasks(model, form):
    async def one(stream):
        pieces = await read_all(model.astream(prompt_of(stream, TOKENS, form)))
        return faults(stream, TOKENS, pieces, torn=form == "torn")

    assert await asyncio.gather(*map(one, range(STREAMS))) == [0] * STREAMS


def test_no_token_is_lost_or_mixed_between_threads(model):
    def one(stream):
        pieces = [text_of(piece) for piece in model.stream(prompt_of(stream, TOKENS, "torn"))]
        return faults(stream, TOKENS, pieces, torn=True)

    with ThreadPoolExecutor(STREAMS) as pool:
        assert list(pool.map(one, range(STREAMS))) == [0] * STREAMS


async def test_streams_that_are_closed_or_cancelled_leave_the_others_alone(model):
    async def whole(stream):
        pieces = await read_all(model.astream(prompt_of(stream, TOKENS)))
        return faults(stream, TOKENS, pieces)

    async def closed(stream):
        pieces = model.astream(prompt_of(stream, TOKENS))
        first = text_of(await anext(pieces))
        await pieces.aclose()
        return (first, await read_all(pieces)) != (f" {stream}:0", [])

    cancelled = asyncio.create_task(whole(100))
    outcomes = asyncio.gather(*(one(stream) for stream in range(8) for one in (whole, closed)))
    await asyncio.sleep(0)
    cancelled.cancel()
    assert not any(await outcomes)
    with pytest.raises(asyncio.CancelledError):
        await cancelled


async def test_tokens_that_have_come_are_not_given_when_the_model_was_closed_meanwhile(model):
    pieces = model.astream(prompt_of(1, 5000))
    assert text_of(await anext(pieces)) == " 1:0"
    await asyncio.to_thread(model.close)
    with pytest.raises(EngineClosedError):
        await read_all(pieces)
