"""The transport over real sockets: what it survives, what it tells, what it leaves behind."""

from __future__ import annotations

import asyncio
import gc
import json
import multiprocessing
import os
import random
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing

import pytest

from langchain_localmodels.errors import (
    AuthenticationError,
    EngineClosedError,
    EngineError,
    EngineTimeoutError,
    EngineUnreachableError,
    InvalidRequestError,
    LocalModelError,
    ModelMissingError,
    PermissionDeniedError,
    RateLimitError,
)
from langchain_localmodels.transport.framing import NDJSONDecoder
from langchain_localmodels.transport.http import HTTPTransport
from langchain_localmodels.transport.retries import Backoff
from tests.doubles.asking import free_port
from tests.doubles.fault_server import Exchange, FaultServer

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def server():
    with FaultServer() as running:
        yield running
        assert running.counts["never_hung_up"] == 0


@pytest.fixture
def transport(server):
    made = to(server)
    yield made
    made.close()
    server.wait_until(open=0)  # Whatever a test did, no connection outlives it.


def to(server, **more):
    return HTTPTransport(server.url, server="Test", backoff=Backoff(first=0.001), **more)


def outcome(ask):
    try:
        return ask()
    except LocalModelError as error:
        return type(error), str(error)


def read(transport, **more) -> bytes:
    return b"".join(transport.stream("POST", "/x", {"a": 1}, **more))


async def aread(transport, **more) -> bytes:
    return b"".join([chunk async for chunk in transport.stream("POST", "/x", {"a": 1}, **more)])


def both(transport, **more):
    """Read from a thread and from a task: the same comes of it."""
    sync = outcome(lambda: read(transport, **more))
    assert sync == outcome(lambda: asyncio.run(aread(transport, **more)))
    return sync


# --- connections are kept -------------------------------------------------------------------------------------------


def test_threads_use_a_connection_again(server, transport):
    for _ in range(5):
        assert transport.request_json("GET", "/") == {}
    assert server.counts["connections"] == 1
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: transport.request_json("GET", "/"), range(40))) == [{}] * 40
    assert server.counts["connections"] <= 4


def test_tasks_of_a_loop_use_a_connection_again(server, transport):
    async def ask():
        for _ in range(5):
            assert await transport.arequest_json("GET", "/") == {}

    asyncio.run(ask())
    assert server.counts["connections"] == 1
    server.wait_until(open=0)  # The end of the loop has closed it.
    asyncio.run(ask())
    assert server.counts["connections"] == 2


@pytest.mark.parametrize("late", [False, True])
def test_a_finished_answer_leaves_its_connection(server, transport, late):
    """The end of the body comes with its last line, or after it."""
    gate = threading.Event()

    def answer(exchange):
        exchange.head()
        exchange.chunk(b"line\n")
        if late:
            gate.wait(10)
            gate.clear()
        exchange.end()

    server.answer = answer

    def ask():
        stream = transport.stream("POST", "/", {})
        reader = iter(stream)
        assert next(reader) == b"line\n"
        gate.set()
        stream.finish()

    async def aask():
        stream = transport.stream("POST", "/", {})
        assert await anext(aiter(stream)) == b"line\n"
        gate.set()
        await stream.afinish()

    async def several():
        for _ in range(3):
            await aask()

    for _ in range(3):
        ask()
    assert server.counts["connections"] == 1
    asyncio.run(several())
    assert server.counts["connections"] == 2
    assert server.counts["hung_up"] == 0


def test_an_answer_without_end_is_hung_up_on_after_its_last_line(server, transport):
    def answer(exchange):
        exchange.head()
        exchange.chunk(b"line\n")
        exchange.wait_for_hang_up()

    server.answer = answer
    stream = transport.stream("POST", "/", {})
    reader = iter(stream)
    assert next(reader) == b"line\n"
    stream.finish()
    server.wait_until(hung_up=1)

    async def ask():
        stream = transport.stream("POST", "/", {})
        await anext(aiter(stream))
        await stream.afinish()

    asyncio.run(ask())
    server.wait_until(hung_up=2)


def test_a_server_that_was_restarted_is_connected_to_anew(server, transport):
    async def ask():
        assert await transport.arequest_json("GET", "/") == {}
        server.drop_connections()
        server.wait_until(open=0)
        assert await transport.arequest_json("GET", "/") == {}

    assert transport.request_json("GET", "/") == {}
    server.drop_connections()
    server.wait_until(open=0)
    assert transport.request_json("GET", "/") == {}
    asyncio.run(ask())
    assert len(server.requests) == 4


def test_a_kept_connection_that_ends_under_a_request_is_replaced_once(server, transport):
    """The server closes it in the very moment of the request."""

    def answer(exchange):
        if sum(request.connection == exchange.request.connection for request in server.requests) > 1:
            exchange.cut()
        exchange.answer()

    server.answer = answer

    async def ask():
        return [await transport.arequest_json("GET", "/", max_retries=0) for _ in range(3)]

    assert [transport.request_json("GET", "/", max_retries=0) for _ in range(3)] == [{}] * 3
    assert asyncio.run(ask()) == [{}] * 3
    assert len(server.requests) == 10

    server.answer = Exchange.cut
    assert both(transport)[0] is EngineUnreachableError
    # The idle connection of the threads, then a new one each: a new one that ends says something.
    assert len(server.requests) == 13


def test_a_server_that_closes_each_connection_is_served(server, transport):
    server.answer = lambda exchange: exchange.answer(Connection="close") or exchange.cut()
    for number in range(3):
        assert transport.request_json("GET", "/") == {}
        assert server.counts["connections"] == number + 1


@pytest.fixture
def no_collection():
    """Only what nobody refers to any more is collected, at once."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_idle_connections_end_with_their_object(server, no_collection):
    transport = to(server)
    assert transport.request_json("GET", "/") == {}
    server.wait_until(open=1)
    transport.close()
    server.wait_until(open=0)
    assert transport.request_json("GET", "/") == {}
    server.wait_until(open=1)
    del transport
    server.wait_until(open=0)

    async def ask():
        transport = to(server)
        assert await transport.arequest_json("GET", "/") == {}
        transport.close()
        await asyncio.to_thread(server.wait_until, open=0)
        assert await transport.arequest_json("GET", "/") == {}
        del transport
        await asyncio.to_thread(server.wait_until, open=0)

    asyncio.run(ask())
    assert server.counts["connections"] == 4


def test_nothing_is_warned_of_and_no_file_stays_open(server):
    def round_(transport):
        async def ask():
            await asyncio.gather(*(transport.arequest_json("GET", "/") for _ in range(4)))
            async with aclosing(transport.stream("GET", "/")) as stream:
                await anext(aiter(stream))

        for _ in range(3):
            transport.request_json("GET", "/")
            asyncio.run(ask())
            next(iter(transport.stream("GET", "/")))
        transport.close()
        gc.collect()

    transport = to(server)
    round_(transport)
    server.wait_until(open=0)
    before = len(os.listdir("/proc/self/fd"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        round_(transport)
        del transport
        gc.collect()
    server.wait_until(open=0)
    assert [str(warning.message) for warning in caught] == []
    assert len(os.listdir("/proc/self/fd")) <= before


# --- loops, threads, processes --------------------------------------------------------------------------------------


def test_loops_in_threads_at_once(server, transport):
    server.answer = lambda exchange: exchange.answer(exchange.request.body)

    async def ask(thread):
        async def one(number):
            return await transport.arequest_json("POST", "/", {"thread": thread, "number": number})

        return await asyncio.gather(*(one(number) for number in range(8)))

    def run(thread):
        return [asyncio.run(ask(thread)) for _ in range(3)]

    with ThreadPoolExecutor(5) as pool:
        for thread, rounds in enumerate(pool.map(run, range(5))):
            assert rounds == [[{"thread": thread, "number": number} for number in range(8)]] * 3
    server.wait_until(open=0)


def test_64_streams_at_once_mix_nothing(server, transport):
    def answer(exchange):
        number = json.loads(exchange.request.body)["number"]
        exchange.head()
        for count in range(50):
            exchange.chunk(json.dumps({"number": number, "count": count}).encode() + b"\n")
        exchange.end()

    server.answer = answer

    async def one(number):
        decoder, events = NDJSONDecoder(), []
        async for chunk in transport.stream("POST", "/", {"number": number}):
            events += decoder.feed(chunk)
        return events == [{"number": number, "count": count} for count in range(50)]

    async def all_():
        return await asyncio.gather(*(one(number) for number in range(64)))

    assert all(asyncio.run(all_()))


def test_more_than_the_limit_wait_their_turn(server):
    gate = threading.Semaphore(0)
    server.answer = lambda exchange: gate.acquire(timeout=10) and exchange.answer()
    transport = to(server)
    transport._lanes._most = 2

    with ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(transport.request_json, "GET", "/") for _ in range(5)]
        server.wait_until(requests=2)
        gate.release(5)
        assert [future.result() for future in asked] == [{}] * 5
    assert server.counts["most_open"] <= 2
    assert transport._lanes._busy == 0

    async def ask():
        lanes = await transport._loop_lanes.get(asyncio.get_running_loop())
        lanes._most = 2
        tasks = [asyncio.create_task(transport.arequest_json("GET", "/")) for _ in range(6)]
        await asyncio.to_thread(server.wait_until, requests=7)
        tasks[4].cancel()  # While it waits for its turn.
        gate.release(5)
        assert await asyncio.gather(*tasks[:4], tasks[5]) == [{}] * 5
        assert tasks[4].cancelled()
        assert lanes._busy == 0
        assert not lanes._waiting

    asyncio.run(ask())
    transport.close()
    server.wait_until(open=0)


def test_a_request_that_waits_for_its_turn_can_be_hung_up(server):
    server.answer = Exchange.wait_for_hang_up
    transport = to(server)
    transport._lanes._most = 1
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(outcome, lambda: read(transport))
        server.wait_until(requests=1)
        stream = transport.stream("GET", "/")
        second = pool.submit(list, stream)
        while not transport._lanes._waiting:
            threading.Event().wait(0.002)
        stream.close()
        assert second.result(10) == []
        transport.close(lambda: EngineClosedError("closed"))
        assert first.result(10) == (EngineClosedError, "closed")
    assert transport._lanes._busy == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_both_processes_go_on_after_a_fork(server, transport):
    server.answer = lambda exchange: exchange.answer(exchange.request.body)
    assert transport.request_json("POST", "/", {"who": "parent"}) == {"who": "parent"}
    running = transport.stream("POST", "/", {"who": "parent"})
    reader = iter(running)
    assert next(reader) == b'{"who": "parent"}'
    assert transport.request_json("POST", "/", {"who": "parent"}) == {"who": "parent"}
    assert transport._lanes._idle

    def child():
        running.close()
        found = [transport.request_json("POST", "/", {"who": "child"}) for _ in range(3)]
        found.append(asyncio.run(transport.arequest_json("POST", "/", {"who": "child"})))
        transport.close()
        os._exit(0 if found == [{"who": "child"}] * 4 else 1)

    with transport._lock, transport._lanes._lock, warnings.catch_warnings():
        # As another thread may hold them when it happens.
        warnings.simplefilter("ignore", DeprecationWarning)
        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
    process.join(20)
    assert process.exitcode == 0
    assert list(reader) == []
    assert transport.request_json("POST", "/", {"who": "parent"}) == {"who": "parent"}
    assert sum(b"child" in request.body for request in server.requests) == 4
    mine = {request.connection for request in server.requests if b"parent" in request.body}
    assert not mine & {request.connection for request in server.requests if b"child" in request.body}


# --- what the server does wrong -------------------------------------------------------------------------------------

PAGE = b"<!DOCTYPE html><html><head><title>Bad gateway &amp; more</title></head><body>" + b"<p>x</p>" * 5000


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (400, b'{"error": "bad"}', InvalidRequestError, "answered 400: bad"),
        (401, b'{"error": {"message": "Invalid API Key"}}', AuthenticationError, "401: Invalid API Key\nHint: The"),
        (403, b"", PermissionDeniedError, "answered 403."),
        (404, b"404 page not found", ModelMissingError, "404: 404 page not found"),
        (429, b'{"error": "slow down"}', RateLimitError, "429: slow down"),
        (500, b"Internal Server Error", EngineError, "500: Internal Server Error"),
        (502, PAGE, EngineError, "502: Bad gateway & more\nHint: A proxy"),
        (503, b"\xff\xfe", EngineError, "503: "),
        (500, b'{"error": "' + b"x" * 10_000_000, EngineError, "500: "),
        (500, b"[" * 50_000, EngineError, "500: [["),
    ],
)
def test_error_bodies_of_every_shape_are_told(server, transport, status, body, kind, words):
    def answer(exchange):
        exchange.answer(body, status, "text/html" if body is PAGE else None)

    server.answer = answer
    found, message = both(transport, max_retries=0)
    assert found is kind
    assert words in message
    assert len(message) < 5000
    with pytest.raises(kind) as caught:
        read(transport, max_retries=0)
    response = caught.value.response
    assert response.status_code == status
    assert len(response.content) <= 65536
    assert response.text is not None


def test_an_endless_error_body_is_hung_up_on(server, transport):
    def answer(exchange):
        exchange.head(500)
        while True:
            exchange.chunk(b"x" * 1000)

    server.answer = answer
    assert both(transport)[0] is EngineError
    server.wait_until(hung_up=2)


@pytest.mark.parametrize("how", [Exchange.cut, Exchange.reset])
def test_an_error_whose_body_breaks_off_is_still_that_error(server, transport, how):
    def answer(exchange):
        exchange.head(404)
        exchange.chunk(b"no such mod")
        how(exchange)

    server.answer = answer
    found, message = both(transport)
    assert found is ModelMissingError
    assert how is Exchange.reset or "no such mod" in message


@pytest.mark.parametrize("status", [200, 404])
def test_a_web_page_is_no_answer(server, transport, status):
    server.answer = lambda exchange: exchange.answer(PAGE, status, "text/html; charset=utf-8")
    found, message = both(transport)
    assert found is EngineError
    assert f"answered {status} with a web page: Bad gateway & more\nHint: A proxy, a login page" in message


@pytest.mark.parametrize("kind", [None, "text/plain", "application/octet-stream", "nonsense"])
def test_other_types_of_content_are_read(server, transport, kind):
    server.answer = lambda exchange: exchange.answer(b'{"a": 1}', kind=kind)
    assert both(transport) == b'{"a": 1}'


def test_success_has_more_than_one_status(server, transport):
    server.answer = lambda exchange: exchange.answer(b"{}", 201)
    assert both(transport) == b"{}"


@pytest.mark.parametrize(
    "answer",
    [
        Exchange.cut,
        Exchange.reset,
        lambda exchange: exchange.send(b"rubbish\r\n\r\n"),
        lambda exchange: exchange.send(b"HTTP/1.1 200 OK\r\nContent-Le") or exchange.cut(),
        lambda exchange: exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc") or exchange.cut(),
        lambda exchange: exchange.head() or exchange.chunk(b"ab") or exchange.cut(),
        lambda exchange: exchange.head() or exchange.chunk(b"ab") or exchange.reset(),
        lambda exchange: exchange.head() or exchange.send(b"zz\r\nnot a chunk"),
        lambda exchange: exchange.head() or exchange.send(b"5\r\nab") or exchange.cut(),
        lambda exchange: exchange.send(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000 + b"\r\n\r\n"),
    ],
)
def test_broken_http_is_a_broken_connection(server, transport, answer):
    server.answer = answer
    with pytest.raises(EngineUnreachableError, match="broke off") as caught:
        read(transport)
    assert caught.value.__cause__ is not None
    with pytest.raises(EngineUnreachableError, match="broke off"):
        asyncio.run(aread(transport))
    assert len(server.requests) == 2  # What may have been begun is not asked for again.


def test_what_came_before_a_break_was_given(server, transport):
    def answer(exchange):
        exchange.head()
        exchange.chunk(b"a")
        gate.wait(10)
        exchange.cut()

    gate = threading.Event()
    server.answer = answer
    reader = iter(transport.stream("GET", "/"))
    assert next(reader) == b"a"
    gate.set()
    with pytest.raises(EngineUnreachableError):
        next(reader)


def test_an_answer_that_is_too_long_is_hung_up_on(server, transport):
    def answer(exchange):
        exchange.head()
        while True:
            exchange.chunk(b"[" * 1000)

    server.answer = answer
    with pytest.raises(EngineError, match="more than 5000 bytes"):
        transport.request_json("GET", "/", most=5000)
    with pytest.raises(EngineError, match="more than 5000 bytes"):
        asyncio.run(transport.arequest_json("GET", "/", most=5000))
    server.wait_until(hung_up=2)


def test_a_compressed_answer_is_read(server, transport):
    import gzip

    server.answer = lambda exchange: exchange.answer(gzip.compress(b'{"a": 1}'), Content_Encoding="gzip")
    assert both(transport) == b'{"a": 1}'
    server.answer = lambda exchange: exchange.answer(b"not gzip", Content_Encoding="gzip")
    found, message = both(transport)
    assert (found, "cannot be decoded" in message) == (EngineError, True)


# --- times ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("begun", [False, True])
def test_silence_ends_with_the_time_allowed(server, transport, begun):
    def answer(exchange):
        if begun:
            exchange.head()
            exchange.chunk(b"a")
        exchange.wait_for_hang_up()

    server.answer = answer
    found, message = both(transport, timeout=0.1)
    assert found is EngineTimeoutError
    assert "for 0.1 seconds" in message
    server.wait_until(hung_up=2)
    assert len(server.requests) == 2


def test_each_byte_begins_the_wait_anew(server, transport):
    def answer(exchange):
        exchange.head()
        for _ in range(30):
            exchange.chunk(b"a")
            exchange.pause(0.05)
        exchange.end()

    server.answer = answer
    assert read(transport, timeout=1) == b"a" * 30


def test_a_server_that_starts_meanwhile_is_found():
    port = free_port()
    tried = threading.Event()

    def chance():
        tried.set()
        return 1.0

    transport = HTTPTransport(f"http://127.0.0.1:{port}", backoff=Backoff(first=0.05, longest=0.2, chance=chance))
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(transport.request_json, "GET", "/", max_retries=100)
        assert tried.wait(10)
        with socket.create_server(("127.0.0.1", port)) as listener:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
                assert asked.result(10) == {}
    transport.close()


def test_a_server_that_loads_is_asked_until_it_has(server, transport):
    def answer(exchange):
        if len(server.requests) < 8:
            exchange.answer(b'{"error": {"message": "Loading model"}}', 503)
        else:
            exchange.answer(b"done")

    server.answer = answer
    assert read(transport, max_retries=1) == b"done"
    server.requests.clear()
    assert asyncio.run(aread(transport, max_retries=1)) == b"done"


# --- hanging up -----------------------------------------------------------------------------------------------------


def begun(exchange):
    exchange.head()
    exchange.chunk(b"a")
    exchange.wait_for_hang_up()


def endless(exchange):
    exchange.head()
    while True:
        exchange.chunk(b"a" * 100)


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("answer", [Exchange.wait_for_hang_up, begun, endless])
def test_another_thread_hangs_up(server, transport, answer, kept):
    if kept:
        assert transport.request_json("GET", "/") == {}
    server.answer = answer
    stream = transport.stream("GET", "/")
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(lambda: sum(map(len, stream)) >= 0)
        server.wait_until(requests=1 + kept)
        stream.close()
        assert reading.result(10)
    server.wait_until(hung_up=1, open=0)
    assert server.counts["connections"] == 1


def test_hanging_up_before_the_connection_is_known_sends_nothing(server, transport, monkeypatch):
    assert transport.request_json("GET", "/") == {}
    stream = transport.stream("GET", "/")
    take = transport._lanes.take

    def take_and_hang_up(waiter, **more):
        lane = take(waiter, **more)
        assert lane.used
        stream.close()
        return lane

    monkeypatch.setattr(transport._lanes, "take", take_and_hang_up)
    assert list(stream) == []
    assert len(server.requests) == 1
    server.wait_until(open=0)


def test_a_stream_that_is_left_behind_hangs_up_at_once(server, transport, no_collection):
    server.answer = begun
    for chunk in transport.stream("GET", "/"):
        assert chunk == b"a"
        break
    server.wait_until(hung_up=1, open=0)


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("answer", [Exchange.wait_for_hang_up, begun, endless])
@pytest.mark.parametrize("how", ["cancel", "aclose", "close", "close in a thread"])
async def test_a_task_is_stopped(server, transport, answer, kept, how):
    if kept:
        assert await transport.arequest_json("GET", "/") == {}
    server.answer = answer
    stream = transport.stream("GET", "/")

    async def read_all():
        return [chunk async for chunk in stream]

    task = asyncio.create_task(read_all())
    await asyncio.to_thread(server.wait_until, requests=1 + kept)
    if how == "cancel":
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    else:
        await {"aclose": stream.aclose, "close in a thread": lambda: asyncio.to_thread(stream.close)}.get(
            how, lambda: asyncio.sleep(0, stream.close())
        )()
        assert set(b"".join(await asyncio.wait_for(task, 10))) <= {ord("a")}
    await asyncio.to_thread(server.wait_until, hung_up=1, open=0)
    assert server.counts["connections"] == 1


def by_payload(exchange):
    how = json.loads(exchange.request.body)["how"]
    if how == "whole":
        return exchange.answer(b"line\n")
    if how == "error":
        return exchange.answer(b"no", 400)
    if how == "silent":
        return exchange.wait_for_hang_up()
    exchange.head()
    exchange.chunk(b"line\n")
    return exchange.cut() if how == "cut" else exchange.wait_for_hang_up()


ENDINGS = [
    (how, what)
    for how in ("whole", "error", "silent", "begun", "cut")
    for what in ("read", "left", "finish", "closed by another")
    if (how, what) not in {("silent", "read"), ("begun", "read"), ("silent", "left"), ("silent", "finish")}
]


def test_any_mix_of_endings_in_threads_leaves_nothing(server, transport):
    server.answer = by_payload
    transport._lanes._most = 5

    def one(number):
        how, what = ENDINGS[number % len(ENDINGS)]
        stream = transport.stream("POST", "/", {"how": how})
        closer = threading.Timer(0.001 * (number % 7), stream.close)
        if what == "closed by another":
            closer.start()
        try:
            for chunk in stream:
                assert chunk == b"line\n"
                if what == "finish":
                    stream.finish()
                elif what == "left":
                    break
        except InvalidRequestError:
            assert how == "error"
        except EngineUnreachableError:
            assert how == "cut"
        if closer.ident is not None:
            closer.join()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, random.Random(1).sample(range(400), 400)))
    assert transport._lanes._busy == 0
    assert not transport._lanes._waiting
    assert not transport._lanes._granted


def test_any_mix_of_endings_in_tasks_leaves_nothing(server, transport):
    server.answer = by_payload

    async def one(number):
        how, what = ENDINGS[number % len(ENDINGS)]
        stream = transport.stream("POST", "/", {"how": how})
        loop = asyncio.get_running_loop()
        if what == "closed by another":
            ends = [stream.close, asyncio.current_task().cancel, lambda: loop.run_in_executor(None, stream.close)]
            loop.call_later(0.001 * (number % 7), ends[number % 3])
        try:
            async for chunk in stream:
                assert chunk == b"line\n"
                if what == "finish":
                    await stream.afinish()
                elif what == "left":
                    break
        except InvalidRequestError:
            assert how == "error"
        except EngineUnreachableError:
            assert how == "cut"
        finally:
            await stream.aclose()

    async def all_():
        lanes = await transport._loop_lanes.get(asyncio.get_running_loop())
        lanes._most = 5
        ends = await asyncio.gather(*(one(number) for number in range(400)), return_exceptions=True)
        assert {type(end) for end in ends} == {type(None), asyncio.CancelledError}
        assert (lanes._busy, len(lanes._waiting), len(lanes._granted)) == (0, 0, 0)

    asyncio.run(all_())


async def test_a_task_is_cancelled_while_it_connects(monkeypatch):
    """A full queue of connections that nobody accepts: connecting takes for ever."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        waiting = []
        for _ in range(8):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
            waiting.append(sock)
        before = len(os.listdir("/proc/self/fd"))
        transport = HTTPTransport(f"http://127.0.0.1:{port}")
        task = asyncio.create_task(transport.arequest_json("GET", "/"))
        while len(os.listdir("/proc/self/fd")) <= before:
            await asyncio.sleep(0.005)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(os.listdir("/proc/self/fd")) <= before
        monkeypatch.setattr("langchain_localmodels.transport.http.CONNECT_TIMEOUT", 0.1)
        with pytest.raises(EngineUnreachableError, match="nothing answers there"):
            await transport.arequest_json("GET", "/", timeout=None)
        with pytest.raises(EngineUnreachableError, match="nothing answers there"):
            transport.request_json("GET", "/", timeout=None)
        for sock in waiting:
            sock.close()


def test_hanging_up_ends_a_pause(server):
    server.answer = lambda exchange: exchange.answer(status=503, Retry_After="50")
    transport = HTTPTransport(server.url)
    with ThreadPoolExecutor(2) as pool:
        stream = transport.stream("GET", "/")
        reading = pool.submit(list, stream)
        server.wait_until(requests=1, open=0)
        stream.close()
        assert reading.result(10) == []
        asked = pool.submit(asyncio.run, transport.arequest_json("GET", "/"))
        server.wait_until(requests=2, open=0)
        transport.close(lambda: EngineClosedError("closed"))
        with pytest.raises(EngineClosedError):
            asked.result(10)


# --- who is asked, and with what ------------------------------------------------------------------------------------


def test_credentials_stay_with_their_server(server):
    with FaultServer() as other:
        server.answer = lambda exchange: exchange.answer(b"", 307, Location=f"{other.url}/x")
        options = {
            "follow_redirects": True,
            "auth": ("me", "hush"),
            "headers": {"X-Api-Key": "hush"},
            "cookies": {"a": "hush"},
        }
        transport = to(server, client_options=options, headers={"Authorization-Extra": "hush"})
        found, message = both(transport)
        assert found is InvalidRequestError
        assert "hush" not in message
        assert [request.headers["x-api-key"] for request in server.requests] == ["hush", "hush"]
        assert all(request.headers["authorization"].startswith("Basic ") for request in server.requests)
        assert other.requests == []
        transport.close()
        # One dict for two servers: what belongs to the first has not been written into it.
        shared: dict[str, str] = {}
        first = HTTPTransport(
            server.url.replace("://", "://me:hush@"), headers=shared, client_options={"headers": shared}
        )
        assert both(first)[0] is InvalidRequestError
        assert server.requests[-1].headers["authorization"].startswith("Basic ")
        second = to(other, headers=shared, client_options={"headers": shared})
        assert both(second) == b"{}"
        assert all("authorization" not in request.headers for request in other.requests)
        second.close()


def test_an_error_carries_no_credentials(server, transport):
    server.answer = lambda exchange: exchange.answer(b"no", 400, Set_Cookie="a=hush")
    url = server.url.replace("://", "://me:hush@")
    with pytest.raises(InvalidRequestError) as caught:
        HTTPTransport(url, headers={"X-Api-Key": "hush"}).request_json("GET", "/")
    error = caught.value
    shown = f"{error} {error.response.request.url} {error.response.request.headers} {error.response.headers}"
    assert "hush" not in shown


def test_a_proxy_is_used_if_asked_for(server):
    server.answer = lambda exchange: exchange.answer(json.dumps(exchange.request.target).encode())
    transport = HTTPTransport("http://gpuserver:11434", client_options={"proxy": server.url})
    assert both(transport) == b'"http://gpuserver:11434/x"'
    transport.close()


@pytest.mark.parametrize("options", [{"no_such": 1}, {"verify": "/no/such/file"}, {"headers": 3}, {"auth": 3}])
def test_arguments_that_httpx_refuses_are_told(server, options):
    with pytest.raises(InvalidRequestError, match="cannot be made: .*\nHint: .*httpx's names"):
        read(to(server, client_options=options))
    with pytest.raises(InvalidRequestError, match="cannot be made: .*\nHint: .*httpx's names"):
        asyncio.run(aread(to(server, client_options=options)))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout {key} -out {cert}"
        " -addext subjectAltName=IP:127.0.0.1,DNS:localhost".split(),
        check=True,
        capture_output=True,
    )
    return key, cert


def test_tls_is_checked_kept_and_hung_up(certificate):
    key, cert = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with FaultServer(tls=context) as server:
        found, message = both(to(server))
        assert found is EngineUnreachableError
        assert "certificate" in message.lower()
        for verify in (False, ssl.create_default_context(cafile=str(cert))):
            transport = to(server, client_options={"verify": verify})
            asked = len(server.requests)
            assert [read(transport) for _ in range(3)] == [b"{}"] * 3
            assert len({request.connection for request in server.requests[asked:]}) == 1
            server.answer = Exchange.wait_for_hang_up
            stream = transport.stream("GET", "/")
            with ThreadPoolExecutor(1) as pool:
                reading = pool.submit(list, stream)
                server.wait_until(requests=asked + 4)
                stream.close()
                assert reading.result(10) == []
            server.answer = Exchange.answer
            assert asyncio.run(aread(transport)) == b"{}"
            transport.close()
        server.wait_until(open=0)


def test_a_process_ends_while_connections_are_idle(server):
    code = (
        "import asyncio, sys\n"
        "from langchain_localmodels.transport.http import HTTPTransport\n"
        f"transport = HTTPTransport({server.url!r})\n"
        "transport.request_json('GET', '/')\n"
        "asyncio.run(transport.arequest_json('GET', '/'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", code], check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    server.wait_until(open=0)
