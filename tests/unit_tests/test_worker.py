"""`WorkerStream`: what one side puts in, the other reads, whoever ends it and whenever."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from langchain_localmodels.engines.base import Stream, TextDelta
from langchain_localmodels.engines.worker import WorkerStream, wake
from langchain_localmodels.errors import EngineError, EngineTimeoutError

A, B, C = (TextDelta(text) for text in "abc")


def ignore(_: WorkerStream) -> None:
    """A worker that never answers."""


def finish(stream: WorkerStream, *deltas: TextDelta) -> None:
    stream.put(deltas)
    stream.end()
    wake([stream])


def later(work: Callable[[], object], seconds: float = 0.05) -> threading.Timer:
    timer = threading.Timer(seconds, work)
    timer.start()
    return timer


async def read(stream: WorkerStream) -> list[Any]:
    return [delta async for delta in stream]


def reading_thread(stream: WorkerStream) -> Iterator[list[Any]]:
    """Start a thread that reads; gives first nothing, then what it got, when it has ended."""
    got: list[Any] = []

    def run() -> None:
        try:
            got.extend(stream)
        except BaseException as error:
            got.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    time.sleep(0.05)
    yield got
    thread.join(5)
    assert not thread.is_alive(), "the reader still waits"
    yield got


def test_it_is_a_delta_stream():
    assert isinstance(WorkerStream(ignore), Stream)


# --- beginning ------------------------------------------------------------------------------------------------------


def test_work_begins_with_the_first_read_and_once():
    begun: list[WorkerStream] = []

    def begin(stream: WorkerStream) -> None:
        begun.append(stream)
        finish(stream, A)

    stream = WorkerStream(begin)
    assert begun == []
    assert list(iter(iter(stream))) == [A]
    assert list(stream) == []
    assert begun == [stream]


async def test_work_begins_with_the_first_read_of_a_task():
    begun: list[WorkerStream] = []

    def begin(stream: WorkerStream) -> None:
        begun.append(stream)
        finish(stream, A)

    stream = WorkerStream(begin)
    assert begun == []
    assert await read(stream) == [A]
    assert begun == [stream]


def test_a_closed_stream_never_begins():
    begun: list[WorkerStream] = []
    stream = WorkerStream(begun.append)
    stream.close()
    assert list(stream) == []
    assert begun == []


def test_a_failed_stream_never_begins():
    begun: list[WorkerStream] = []
    stream = WorkerStream(begun.append, timeout=1)
    stream.fail(EngineError("closed before it began"))
    with pytest.raises(EngineError, match="before it began"):
        list(stream)
    assert begun == []


def test_an_error_at_the_beginning_comes_back_at_every_read():
    def fail(_: WorkerStream) -> None:
        raise EngineError("no such file")

    stream = WorkerStream(fail, timeout=0.3)
    for _ in range(2):
        with pytest.raises(EngineError, match="no such file"):
            list(stream)


# --- reading --------------------------------------------------------------------------------------------------------


def test_deltas_come_in_order_to_a_thread():
    stream = WorkerStream(ignore)
    reading = reading_thread(stream)
    got = next(reading)
    stream.put([A, B])
    assert got == []  # not before the wake
    wake([stream])
    finish(stream, C)
    assert next(reading) == [A, B, C]


async def test_deltas_come_in_order_to_a_task():
    stream = WorkerStream(ignore)
    task = asyncio.ensure_future(read(stream))
    await asyncio.sleep(0)
    stream.put([A, B])
    wake([stream])
    await asyncio.sleep(0.01)
    await asyncio.to_thread(finish, stream, C)
    assert await asyncio.wait_for(task, 5) == [A, B, C]


def test_an_error_comes_after_the_deltas_before_it():
    stream = WorkerStream(ignore)
    stream.put([A])
    stream.fail(EngineError("broken"))
    reader = iter(stream)
    assert next(reader) == A
    for _ in range(2):
        with pytest.raises(EngineError, match="broken"):
            next(reader)


async def test_an_error_wakes_a_task():
    stream = WorkerStream(ignore)
    later(lambda: stream.fail(EngineError("broken")))
    with pytest.raises(EngineError, match="broken"):
        await asyncio.wait_for(read(stream), 5)


def test_an_error_after_the_end_is_dropped():
    stream = WorkerStream(lambda stream: finish(stream, A))
    reader = iter(stream)
    stream.fail(EngineError("too late"))
    assert list(reader) == [A]
    assert list(reader) == []


def test_a_second_error_is_dropped():
    stream = WorkerStream(ignore)
    stream.fail(EngineError("first"))
    stream.fail(EngineError("second"))
    with pytest.raises(EngineError, match="first"):
        list(stream)


def test_wakes_without_deltas_do_not_end_the_wait():
    stream = WorkerStream(ignore)
    reading = reading_thread(stream)
    got = next(reading)
    for _ in range(5):
        wake([stream])
    assert got == []
    finish(stream, A)
    assert next(reading) == [A]


async def test_wakes_without_deltas_do_not_end_the_wait_of_a_task():
    stream = WorkerStream(ignore)
    task = asyncio.ensure_future(read(stream))
    for _ in range(5):
        await asyncio.sleep(0)
        wake([stream])
    finish(stream, A)
    assert await asyncio.wait_for(task, 5) == [A]


def test_no_delta_is_lost_between_busy_threads():
    deltas = [TextDelta(str(number)) for number in range(3000)]

    def work(stream: WorkerStream) -> None:
        def run() -> None:
            for delta in deltas:
                stream.put([delta])
                wake([stream])
            stream.end()
            wake([stream])

        threading.Thread(target=run, daemon=True).start()

    assert list(WorkerStream(work, timeout=10)) == deltas


async def test_no_delta_is_lost_between_a_thread_and_many_tasks():
    deltas = [TextDelta(str(number)) for number in range(300)]
    streams = [WorkerStream(ignore, timeout=10) for _ in range(20)]
    tasks = [asyncio.ensure_future(read(stream)) for stream in streams]

    def run() -> None:
        for delta in deltas:
            for stream in streams:
                stream.put([delta])
            wake(streams)
        for stream in streams:
            stream.end()
        wake(streams)

    await asyncio.to_thread(run)
    assert await asyncio.wait_for(asyncio.gather(*tasks), 20) == [deltas] * 20


async def test_many_tasks_of_one_loop_are_woken_by_one_call(monkeypatch: pytest.MonkeyPatch):
    streams = [WorkerStream(ignore) for _ in range(8)]
    tasks = [asyncio.ensure_future(read(stream)) for stream in streams]
    await asyncio.sleep(0.01)
    calls: list[Any] = []
    loop = asyncio.get_running_loop()
    plain = loop.call_soon_threadsafe
    monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *args: calls.append(args) or plain(*args))
    for stream in streams:
        stream.put([A])
        stream.end()
    wake(streams)
    assert await asyncio.wait_for(asyncio.gather(*tasks), 5) == [[A]] * 8
    assert len(calls) == 1


# --- timeouts -------------------------------------------------------------------------------------------------------


def test_timeout_of_a_thread():
    stream = WorkerStream(ignore, timeout=0.05)
    with pytest.raises(EngineTimeoutError, match=r"0\.05 seconds"):
        list(stream)


async def test_timeout_of_a_task():
    stream = WorkerStream(ignore, timeout=0.05)
    with pytest.raises(EngineTimeoutError, match=r"0\.05 seconds"):
        await read(stream)


def test_the_timeout_is_for_each_delta_not_for_all():
    stream = WorkerStream(ignore, timeout=0.5)
    for number in range(1, 5):
        later(lambda: (stream.put([A]), wake([stream])), number * 0.2)
    later(lambda: finish(stream), 1.0)
    assert list(stream) == [A] * 4


async def test_reading_goes_on_after_a_timeout():
    stream = WorkerStream(ignore, timeout=0.05)
    with pytest.raises(EngineTimeoutError):
        await read(stream)
    finish(stream, A)
    assert await read(stream) == [A]


@pytest.mark.parametrize("timeout", [1e10, 1e300])
def test_a_huge_timeout_is_no_limit(timeout: float):
    stream = WorkerStream(ignore, timeout=timeout)
    later(lambda: finish(stream, A))
    assert list(stream) == [A]


# --- closing --------------------------------------------------------------------------------------------------------


def test_closing_tells_the_worker_once():
    told: list[str] = []
    stream = WorkerStream(lambda stream: setattr(stream, "on_close", lambda: told.append("closed")))
    iter(stream)
    assert not stream.closed
    stream.close()
    stream.close()
    assert stream.closed
    assert told == ["closed"]


@pytest.mark.parametrize("begin", [False, True])
def test_closing_before_the_beginning_or_after_the_end_tells_nobody(begin: bool):
    told: list[str] = []
    stream = WorkerStream(lambda stream: finish(stream, A))
    stream.on_close = lambda: told.append("closed")
    if begin:
        assert list(stream) == [A]
    stream.close()
    assert told == []


async def test_aclose():
    told: list[str] = []
    stream = WorkerStream(ignore)
    stream.on_close = lambda: told.append("closed")
    stream.__aiter__()
    await stream.aclose()
    await stream.aclose()
    assert told == ["closed"]
    assert await read(stream) == []


def test_closing_from_another_thread_ends_a_reading_thread():
    stream = WorkerStream(ignore)
    reading = reading_thread(stream)
    next(reading)
    stream.close()
    assert next(reading) == []


async def test_closing_from_another_thread_ends_a_reading_task():
    stream = WorkerStream(ignore)
    later(stream.close)
    assert await asyncio.wait_for(read(stream), 5) == []


def test_reading_after_closing_ends_at_once():
    stream = WorkerStream(ignore)
    stream.put([A, B])
    reader = iter(stream)
    assert next(reader) == A
    stream.close()
    assert list(reader) == []


def test_what_is_put_after_closing_is_dropped():
    """The worker learns of the closing between two tokens, so that a delta may still come."""
    stream = WorkerStream(ignore)
    reader = iter(stream)
    stream.close()
    stream.put([A])
    stream.fail(EngineError("dropped"))
    assert list(reader) == []
    assert not stream._deltas


def test_closing_may_be_called_from_the_worker():
    stream = WorkerStream(ignore)
    stream.on_close = stream.close  # no lock is held while it runs
    iter(stream)
    stream.close()
    assert stream.closed


def test_a_collected_stream_leaves_nothing_behind():
    stream = WorkerStream(lambda stream: finish(stream, A))
    assert list(stream) == [A]
    gone = weakref.ref(stream)
    del stream
    gc.collect()
    assert gone() is None


# --- tasks that are cancelled, loops that go away -------------------------------------------------------------------


async def test_a_cancelled_task_stops_waiting():
    stream = WorkerStream(ignore)
    task = asyncio.ensure_future(read(stream))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    finish(stream, A)  # the future that it waited for is not resolved twice
    await asyncio.sleep(0.01)
    assert await read(stream) == [A]


@pytest.mark.parametrize("timeout", [None, 60])
async def test_cancelling_in_the_moment_of_a_wake_is_not_lost(timeout: float | None):
    stream = WorkerStream(ignore, timeout=timeout)
    task = asyncio.ensure_future(read(stream))
    await asyncio.sleep(0.01)
    stream.put([A])
    wake([stream])
    asyncio.get_running_loop().call_soon(task.cancel)
    await asyncio.wait([task], timeout=1)
    lost = not task.done()
    stream.close()
    await asyncio.wait([task], timeout=1)
    assert not lost
    assert task.cancelled()


def test_a_loop_that_was_closed_under_its_task():
    stream = WorkerStream(ignore)
    loop = asyncio.new_event_loop()
    task = loop.create_task(read(stream))
    loop.run_until_complete(asyncio.sleep(0.01))
    task.cancel()
    loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
    loop.close()
    finish(stream, A)  # nobody is there to be woken, which harms nobody
    stream.close()


async def test_a_closed_loop_does_not_keep_others_asleep():
    gone, here = WorkerStream(ignore), WorkerStream(ignore)
    other = asyncio.new_event_loop()
    gone._waiter = (other, other.create_future())
    other.close()
    task = asyncio.ensure_future(read(here))
    await asyncio.sleep(0.01)
    here.put([A])
    here.end()
    wake([gone, here])
    assert await asyncio.wait_for(task, 5) == [A]


def test_readers_in_two_loops_are_both_woken():
    streams = [WorkerStream(ignore, timeout=10) for _ in range(2)]
    got: list[list[Any]] = []
    threads = [threading.Thread(target=lambda s=stream: got.append(asyncio.run(read(s)))) for stream in streams]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    for stream in streams:
        stream.put([A])
        stream.end()
    wake(streams)
    for thread in threads:
        thread.join(5)
    assert got == [[A], [A]]


# --- readers that want the whole answer only ------------------------------------------------------------------------


def test_a_reader_that_wants_no_pieces_sleeps_until_the_end():
    stream = WorkerStream(ignore, eager=False)
    reading = reading_thread(stream)
    woken: list[bool] = []
    wait = stream._ready.wait
    stream._ready.wait = lambda timeout=None: woken.append(wait(timeout))  # type: ignore[method-assign]
    next(reading)
    for _ in range(3):
        stream.put([A])
        wake([stream])
    time.sleep(0.05)
    assert not woken
    stream.end()
    wake([stream])
    assert next(reading) == [A, A, A]
    assert len(woken) == 1


async def test_a_task_that_wants_no_pieces_sleeps_until_the_end():
    stream = WorkerStream(ignore, eager=False)
    reader = asyncio.ensure_future(read(stream))
    await asyncio.sleep(0.01)
    stream.put([A])
    wake([stream])
    assert stream._waiter is not None, "it still waits"
    stream.end()
    wake([stream])
    assert await reader == [A]


def test_pieces_that_came_count_against_a_timeout_of_a_sleeping_reader():
    stream = WorkerStream(ignore, timeout=0.1, eager=False)
    iterator = iter(stream)
    worker = threading.Timer(0.02, lambda: stream.put([A]))
    worker.start()
    assert next(iterator) == A
    with pytest.raises(EngineTimeoutError):
        next(iterator)


async def test_the_same_for_a_sleeping_task():
    stream = WorkerStream(ignore, timeout=0.1, eager=False)
    iterator = aiter(stream)
    asyncio.get_running_loop().call_later(0.02, lambda: stream.put([A]))
    assert await anext(iterator) == A
    with pytest.raises(EngineTimeoutError):
        await anext(iterator)


def test_errors_and_closing_wake_a_sleeping_reader():
    failing, closing_stream = WorkerStream(ignore, eager=False), WorkerStream(ignore, eager=False)
    threading.Timer(0.02, lambda: failing.fail(EngineError("no"))).start()
    with pytest.raises(EngineError):
        next(iter(failing))
    threading.Timer(0.02, closing_stream.close).start()
    assert list(closing_stream) == []
