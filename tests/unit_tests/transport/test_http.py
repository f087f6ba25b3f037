"""What an HTTP answer becomes, without a network; sockets are in `integration_tests/test_ollama_double.py`."""

from __future__ import annotations

import asyncio
import copy
import pickle
import subprocess
import sys

import httpx
import pytest

from langchain_localmodels.errors import (
    AuthenticationError,
    EngineClosedError,
    EngineError,
    EngineTimeoutError,
    EngineUnreachableError,
    InvalidRequestError,
    ModelMissingError,
    PermissionDeniedError,
    RateLimitError,
)
from langchain_localmodels.transport.failures import error_text
from langchain_localmodels.transport.http import HTTPTransport
from langchain_localmodels.transport.retries import Backoff


def transport_to(handler, **more) -> HTTPTransport:
    options = {"transport": httpx.MockTransport(handler), **more.pop("client_options", {})}
    more = {"backoff": Backoff(first=0), **more}
    return HTTPTransport("http://127.0.0.1:1", server="Test", client_options=options, **more)


def answer(*arguments, **more):
    return lambda request: httpx.Response(*arguments, **more)


def both(transport: HTTPTransport, payload=None, **more):
    """Ask from a thread and from a task: the same comes of it."""

    def outcome(ask):
        try:
            return ask()
        except Exception as error:
            return type(error), str(error)

    sync = outcome(lambda: transport.request_json("POST", "/x", payload, **more))
    assert sync == outcome(lambda: asyncio.run(transport.arequest_json("POST", "/x", payload, **more)))
    return sync


def test_json_goes_out_and_comes_back():
    seen = []

    def handler(request):
        seen.append(request)
        return httpx.Response(200, json={"a": "é"})

    assert both(transport_to(handler, headers={"X-Own": "1"}), {"b": "ü"}) == {"a": "é"}
    for request in seen:
        assert request.content == '{"b": "ü"}'.encode()
        assert request.url == "http://127.0.0.1:1/x"
        assert request.headers["content-type"] == "application/json"
        assert request.headers["x-own"] == "1"
        assert request.headers["accept-encoding"] == "identity"


def test_an_empty_answer_is_none():
    assert both(transport_to(answer(200))) is None


def test_an_answer_that_is_no_json_is_an_error():
    kind, message = both(transport_to(answer(200, text="<html>")))
    assert kind is EngineError
    assert "<html>" in message


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidRequestError),
        (401, AuthenticationError),
        (403, PermissionDeniedError),
        (404, ModelMissingError),
        (413, InvalidRequestError),
        (407, AuthenticationError),
        (429, RateLimitError),
        (500, EngineError),
        (502, EngineError),
        (503, EngineError),
        (504, EngineError),
    ],
)
def test_each_status_has_its_error(status, kind):
    transport = transport_to(answer(status, json={"error": "it is so"}))
    assert both(transport) == both(transport)
    with pytest.raises(kind, match=f"Test at http://127.0.0.1:1 answered {status}: it is so") as caught:
        transport.request_json("GET", "/")
    assert caught.value.response.status_code == status
    assert caught.value.response.json() == {"error": "it is so"}


@pytest.mark.parametrize("follow", [False, True])
def test_a_redirection_to_another_host_is_refused(follow):
    seen = []

    def handler(request):
        seen.append(request.url.host)
        return httpx.Response(307, headers={"Location": "http://me:hush@elsewhere/x?key=hush"})

    kind, message = both(transport_to(handler, client_options={"follow_redirects": follow}), {})
    assert kind is InvalidRequestError
    assert "307 and points to http://elsewhere/x.\nHint: That is not followed" in message
    assert "hush" not in message
    assert set(seen) == {"127.0.0.1"}


@pytest.mark.parametrize("location", ["/there", "http://127.0.0.1:1/there"])
def test_a_redirection_within_the_server_is_followed_if_asked_for(location):
    def handler(request):
        if request.url.path == "/x":
            return httpx.Response(307, headers={"Location": location})
        return httpx.Response(200, json={"path": request.url.path, "body": request.content.decode()})

    assert both(transport_to(handler), {"a": 1})[0] is InvalidRequestError
    following = transport_to(handler, client_options={"follow_redirects": True})
    assert both(following, {"a": 1}) == {"path": "/there", "body": '{"a": 1}'}


@pytest.mark.parametrize(
    "location", ["http://elsewhere:1/x", "http://127.0.0.1:2/x", "https://127.0.0.1:1/x", "ftp://127.0.0.1:1/x"]
)
def test_another_port_or_scheme_is_another_server(location):
    seen = []

    def handler(request):
        seen.append(str(request.url))
        return httpx.Response(307, headers={"Location": location})

    assert both(transport_to(handler, client_options={"follow_redirects": True}))[0] in (
        InvalidRequestError,
        EngineUnreachableError,
    )
    assert seen == ["http://127.0.0.1:1/x"] * 2


def test_redirections_in_a_circle_end():
    seen = []

    def handler(request):
        seen.append(request)
        return httpx.Response(307, headers={"Location": "/x"})

    assert both(transport_to(handler, client_options={"follow_redirects": True}))[0] is InvalidRequestError
    assert len(seen) == 12


def test_an_engine_can_explain_errors_itself():
    def explain(status, text):
        return ModelMissingError(f"own {text}", hint="pull it") if status == 404 else None

    own = transport_to(answer(404, json={"error": "gone"}))
    with pytest.raises(ModelMissingError, match="own gone\nHint: pull it") as caught:
        own.request_json("GET", "/", explain=explain)
    assert caught.value.response.status_code == 404
    assert both(transport_to(answer(500, text="x")), explain=explain)[0] is EngineError


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (httpx.ConnectError("refused"), EngineUnreachableError),
        (httpx.ConnectTimeout("slow"), EngineUnreachableError),
        (httpx.ProxyError("no"), EngineUnreachableError),
        (httpx.ReadTimeout("slow"), EngineTimeoutError),
        (httpx.WriteTimeout("slow"), EngineTimeoutError),
        (httpx.ReadError("reset"), EngineUnreachableError),
        (httpx.RemoteProtocolError("incomplete chunked read"), EngineUnreachableError),
        (httpx.LocalProtocolError("illegal header"), InvalidRequestError),
        (httpx.DecodingError("gzip"), EngineError),
    ],
)
def test_each_failure_of_the_connection_has_its_error(failure, kind):
    def handler(request):
        raise failure

    transport = transport_to(handler, hint="start it")
    assert both(transport)[0] is kind
    with pytest.raises(kind) as caught:
        transport.request_json("GET", "/")
    assert caught.value.__cause__ is failure


def test_connection_errors_carry_the_hint_and_no_password():
    def handler(request):
        raise httpx.ConnectError("refused")

    options = {"transport": httpx.MockTransport(handler)}
    transport = HTTPTransport("http://me:secret@host:1/p", server="Test", client_options=options, hint="start it")
    kind, message = both(transport)
    assert kind is EngineUnreachableError
    assert message == "Cannot connect to Test at http://host:1/p: refused\nHint: start it"


def test_errors_can_be_pickled():
    with pytest.raises(EngineError) as caught:
        transport_to(answer(500, text="boom")).request_json("GET", "/")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_timeouts_reach_httpx():
    seen = []

    def handler(request):
        seen.append(request.extensions["timeout"])
        return httpx.Response(200, json={})

    both(transport_to(handler))
    both(transport_to(handler), timeout=None)
    both(transport_to(handler), timeout=3)
    both(transport_to(handler, client_options={"timeout": 11}))
    both(transport_to(handler, client_options={"timeout": 11}), timeout=3)
    assert [(t["connect"], t["read"]) for t in seen[::2]] == [(5, 600), (5, None), (5, 3), (11, 11), (5, 3)]
    assert seen[::2] == seen[1::2]


def test_what_the_caller_gave_is_not_changed():
    headers, options = {"X-A": "1"}, {"headers": {"X-B": "2"}, "transport": httpx.MockTransport(answer(200, json={}))}
    payload = {"options": {"stop": ["a"]}}
    before = copy.deepcopy((headers, options["headers"], payload)), set(options)
    both(HTTPTransport("http://me:secret@h", headers=headers, client_options=options), payload)
    assert ((headers, options["headers"], payload), set(options)) == before


@pytest.mark.parametrize("payload", [{"a": object()}, {"a": float("nan")}, {"a": "\ud800"}])
def test_what_json_cannot_say_is_refused(payload):
    assert both(transport_to(answer(200, json={})), payload)[0] is InvalidRequestError


def test_nothing_is_sent_before_the_first_read():
    seen = []

    def handler(request):
        seen.append(request)
        return httpx.Response(200, content=b"ab")

    stream = transport_to(handler).stream("GET", "/")
    assert seen == []
    assert b"".join(stream) == b"ab"
    assert len(seen) == 1


def test_a_stream_is_read_once():
    stream = transport_to(answer(200, content=b"ab")).stream("GET", "/")
    assert b"".join(stream) == b"ab"
    with pytest.raises(RuntimeError, match="once"):
        iter(stream)


def test_reading_after_closing_ends_at_once():
    seen = []
    transport = transport_to(lambda request: seen.append(request) or httpx.Response(200, content=b"ab"))
    stream = transport.stream("GET", "/")
    stream.close()
    stream.close()
    assert list(stream) == []

    async def read():
        stream = transport.stream("GET", "/")
        await stream.aclose()
        await stream.aclose()
        return [chunk async for chunk in stream]

    assert asyncio.run(read()) == []
    assert seen == []


def test_closing_the_transport_fails_running_streams_and_later_ones_work():
    transport = transport_to(lambda request: httpx.Response(200, content=iter([b"a", b"b"])))
    stream = transport.stream("GET", "/")
    reader = iter(stream)
    assert next(reader) == b"a"
    transport.close(lambda: EngineClosedError("closed"))
    with pytest.raises(EngineClosedError):
        next(reader)
    assert list(transport.stream("GET", "/")) == [b"a", b"b"]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error": "plain"}', "plain"),
        (b'{"error": {"message": "nested", "code": 1}}', "nested"),
        (b'{"message": "bare"}', "bare"),
        (b'{"error": {"code": 1}}', '{"code": 1}'),
        (b"404 page not found\n", "404 page not found"),
        (b"[1]", "[1]"),
        (b"", ""),
        (b"\xff", "�"),
        (b"<!DOCTYPE html><html><head><title>Sign &amp; in</title></head><body>x</body></html>", "Sign & in"),
        (b"<html><head><style>p {}</style></head><body><p>Bad</p> gate<b>way</b></body></html>", "Bad gate way"),
        (b"<html", "<html"),
        (b"a < b", "a < b"),
        (b"x" * 5000, "x" * 4000 + "…"),
        (b'{"error": "' + b"x" * 5000 + b'"}', "x" * 4000 + "…"),
        (b"[" * 100_000, "[" * 4000 + "…"),
    ],
)
def test_the_text_of_an_error_is_found(body, text):
    assert error_text(body) == text


def test_proxies_of_the_environment_do_not_stand_before_this_machine(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    near, far = (HTTPTransport(f"http://{host}:11434")._clients.make() for host in ("127.0.0.1", "gpuserver"))
    assert not near._mounts
    assert far._mounts


@pytest.mark.parametrize("value", ["hush\n", " hush", "hu\r\nX-More: sh", "hush\x00"])
def test_a_header_that_cannot_be_sent_is_told_without_its_value(value):
    transport = transport_to(answer(200), headers={"Authorization": value})
    kind, message = both(transport)
    assert kind is InvalidRequestError
    assert message.startswith("The header 'authorization' ")
    assert "sh" not in message


def test_names_of_headers_are_the_same_in_any_case():
    seen = []
    handler = lambda request: seen.append(request) or httpx.Response(200)  # noqa: E731
    options = {"headers": [("accept-encoding", "br"), ("X-A", "1")]}
    both(transport_to(handler, client_options=options, headers={"x-a": "2"}))
    for request in seen:
        assert request.headers.get_list("accept-encoding") == ["br"]
        assert request.headers.get_list("x-a") == ["2"]


class Hooked(httpx.ByteStream):
    """A body whose closing is cancelled, as by a second `cancel()` of a task that cleans up already."""

    async def aclose(self):
        raise asyncio.CancelledError


async def test_a_place_is_given_back_though_cleaning_up_was_cancelled():
    transport = transport_to(lambda request: httpx.Response(200, stream=Hooked(b"ab")))
    stream = transport.stream("GET", "/")
    reader = aiter(stream)
    assert await anext(reader) == b"ab"
    lanes = await transport.task_lanes(stream, asyncio.get_running_loop())
    assert lanes._busy == 1
    with pytest.raises(asyncio.CancelledError):
        await reader.aclose()
    assert lanes._busy == 0


def test_importing_loads_no_httpx():
    code = "import sys, langchain_localmodels.transport.http; sys.exit('httpx' in sys.modules)"
    # langchain-core loads httpx2, never httpx; should that change, this says nothing any more.
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
