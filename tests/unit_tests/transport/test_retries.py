"""When a request is sent again; time and chance are given."""

from __future__ import annotations

from datetime import datetime, timezone
from functools import partial

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_localmodels.errors import EngineError, EngineUnreachableError, RateLimitError
from langchain_localmodels.transport.http import HTTPTransport
from langchain_localmodels.transport.retries import Backoff, Tries, retry_after_seconds, says_loading


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def pauses(tries, count, **more):
    return [tries.pause(**more) for _ in range(count)]


def test_pauses_double_up_to_the_longest():
    backoff = Backoff(first=1, longest=5, chance=lambda: 1.0, clock=Clock())
    assert pauses(Tries(5, None, backoff), 6) == [1, 2, 4, 5, 5, None]
    backoff = Backoff(first=1, longest=5, chance=lambda: 0.0, clock=Clock())
    assert pauses(Tries(3, None, backoff), 4) == [0.5, 1, 2, None]


@given(st.floats(0, 1), st.integers(0, 2000))
def test_pauses_are_within_bounds(chance, count):
    tries = Tries(count, None, Backoff(chance=lambda: chance))
    given_ = pauses(tries, count + 1)
    assert given_.pop() is None
    assert all(0.125 <= pause <= 4 for pause in given_)


def test_loading_is_waited_for_as_long_as_the_budget_lasts():
    clock = Clock()
    tries = Tries(1, 10, Backoff(first=1, longest=4, chance=lambda: 1.0, clock=clock))
    waited = []
    while (pause := tries.pause(loading=True)) is not None:
        waited.append(pause)
        clock.now += pause
    assert waited == [1, 2, 4]  # Another 4 would end at 11.
    assert Tries(0, 10, Backoff()).pause(loading=True) is None


def test_retries_end_with_the_budget():
    clock = Clock()
    tries = Tries(100, 3, Backoff(first=1, chance=lambda: 1.0, clock=clock))
    assert tries.pause() == 1
    clock.now += 2.5
    assert tries.pause() is None


def test_the_server_is_not_asked_sooner_than_it_wants():
    backoff = Backoff(first=1, chance=lambda: 1.0, clock=Clock())
    tries = Tries(5, 100, backoff)
    assert tries.pause(retry_after=7) == 7
    assert tries.pause(retry_after=0.1) == 2
    assert tries.pause(retry_after=61) is None
    assert Tries(5, 5, backoff).pause(retry_after=6) is None


NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        (" 12 ", 12),
        ("1.5", 1.5),
        ("Sat, 21 Nov 2026 12:00:30 GMT", 30),
        ("Sat, 21 Nov 2026 13:00:30 +0100", 30),
        ("Sat, 21 Nov 2026 12:00:30", 30),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0),
        ("", None),
        (None, None),
        ("-1", None),
        ("soon", None),
        ("9" * 400, None),
        ("Sat, 99 Nov 2026 12:00:30 GMT", None),
    ],
)
def test_retry_after_is_read(value, seconds):
    assert retry_after_seconds(value, NOW) == seconds


@given(st.text())
def test_no_retry_after_is_a_failure(text):
    seconds = retry_after_seconds(text, NOW)
    assert seconds is None or seconds >= 0


@pytest.mark.parametrize(
    ("text", "loading"),
    [
        ('{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}', True),
        ('{"status":"loading model"}', True),
        ("The model is still being loaded", True),
        ("server busy, please try again", False),
        ("loading failed", False),
    ],
)
def test_servers_that_load_are_recognized(text, loading):
    assert says_loading(text) is loading


# --- what a transport makes of it -----------------------------------------------------------------------------------


def refused():
    failure = httpx.ConnectError("All connection attempts failed")
    failure.__cause__ = OSError()
    failure.__cause__.__context__ = ConnectionRefusedError()
    return failure


def transport_to(outcomes, seen):
    """A transport whose requests have these outcomes, the last of them for ever."""

    def handler(request):
        seen.append(request)
        outcome = outcomes[min(len(seen), len(outcomes)) - 1]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome()

    return HTTPTransport(
        "http://127.0.0.1:1", client_options={"transport": httpx.MockTransport(handler)}, backoff=Backoff(first=0)
    )


def response(status, **more):
    return partial(httpx.Response, status, **({"json": {"ok": status}} | more))


LOADING = {"json": {"error": {"message": "Loading model"}}}


@pytest.mark.parametrize(
    ("outcomes", "more", "tries", "kind"),
    [
        ([refused(), refused(), response(200)], {}, 3, None),
        ([refused()], {}, 3, EngineUnreachableError),
        ([refused()], {"max_retries": 5}, 6, EngineUnreachableError),
        ([refused()], {"max_retries": 0}, 1, EngineUnreachableError),
        ([response(503), response(429), response(200)], {}, 3, None),
        ([response(503)], {}, 3, EngineError),
        ([response(503)], {"max_retries": 0}, 1, EngineError),
        ([response(429)], {"max_retries": 1}, 2, RateLimitError),
        ([response(429, headers={"Retry-After": "0"})], {"max_retries": 1}, 2, RateLimitError),
        ([response(429, headers={"Retry-After": "3600"})], {}, 1, RateLimitError),
        ([response(429, headers={"Retry-After": "5"})], {"timeout": 4}, 1, RateLimitError),
        ([*[response(503, **LOADING) for _ in range(9)], response(200)], {"max_retries": 1}, 10, None),
        ([response(503, **LOADING), response(200)], {"max_retries": 0}, 1, EngineError),
        # What another try would not change, or what may have been begun already.
        ([httpx.ConnectError("no such host")], {}, 1, EngineUnreachableError),
        ([httpx.ConnectTimeout("slow")], {}, 1, EngineUnreachableError),
        ([httpx.ReadError("reset")], {}, 1, EngineUnreachableError),
        ([response(500)], {}, 1, EngineError),
        ([response(502)], {}, 1, EngineError),
    ],
)
async def test_what_is_sent_again(outcomes, more, tries, kind):
    seen = []
    if kind is None:
        assert transport_to(outcomes, seen).request_json("POST", "/", {"a": 1}, **more) == {"ok": 200}
    else:
        with pytest.raises(kind):
            transport_to(outcomes, seen).request_json("POST", "/", {"a": 1}, **more)
    assert [request.content for request in seen] == [b'{"a": 1}'] * tries

    again = []
    if kind is None:
        assert await transport_to(outcomes, again).arequest_json("POST", "/", {"a": 1}, **more) == {"ok": 200}
    else:
        with pytest.raises(kind):
            await transport_to(outcomes, again).arequest_json("POST", "/", {"a": 1}, **more)
    assert len(again) == tries


def test_what_began_is_not_sent_again():
    def broken():
        yield b"a"
        raise httpx.ReadError("reset")

    seen = []
    stream = iter(transport_to([response(200, json=None, content=broken())], seen).stream("GET", "/"))
    assert next(stream) == b"a"
    with pytest.raises(EngineUnreachableError, match="broke off"):
        next(stream)
    assert len(seen) == 1
