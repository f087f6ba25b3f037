"""However the bytes are cut, a decoder gives the same events and then the same error."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from langchain_localmodels.errors import EngineError, EngineUnreachableError, LocalModelError
from langchain_localmodels.transport.framing import NDJSONDecoder, SSEDecoder

# Characters at which `str.splitlines`, and with it httpx's `iter_lines`, breaks a line.
BREAKERS = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"

objects = st.dictionaries(
    st.text(max_size=4),
    st.text(max_size=8) | st.text(alphabet=BREAKERS + "aé😀", max_size=8) | st.integers() | st.none(),
    max_size=3,
)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def outcome(decoder, chunks):
    """All events, and the message of the error that ended them."""
    events = []
    try:
        for chunk in chunks:
            events += decoder.feed(chunk)
            decoder.check()
        events += decoder.finish()
        decoder.check()
    except LocalModelError as error:
        return events, type(error), str(error)
    return events, None, None


def compact(value) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


cuts = st.lists(st.integers(min_value=0, max_value=10_000), max_size=12)


@given(st.lists(objects), cuts, st.booleans())
def test_ndjson_gives_every_object_however_it_is_cut(values, places, last_ended):
    data = b"\n".join(compact(value) for value in values) + (b"\n" if last_ended else b"")
    assert outcome(NDJSONDecoder(), cut(data, places)) == (values, None, None)


line_ends = st.lists(st.sampled_from([b"\n", b"\r\n", b"\r"]), min_size=1)
noise = st.sampled_from([b":", b": ping", b"event: message", b"id: 7", b"retry: 10", b"unknown", b"", b"datax: 1"])


@given(st.data(), st.lists(objects), cuts, line_ends, st.booleans(), st.sampled_from([b"", b"\xef\xbb\xbf"]))
def test_sse_gives_every_object_however_it_is_cut(data, values, places, ends, marked, mark):
    lines = []
    for value in values:
        # An event's data may stand in several lines: JSON with line breaks between its parts.
        pieces = json.dumps(value, ensure_ascii=False, indent=1).encode().split(b"\n")
        for piece in pieces if data.draw(st.booleans()) else [compact(value)]:
            lines.append(data.draw(st.sampled_from([b"data: ", b"data:"])) + piece)
            lines += data.draw(st.lists(noise.filter(bool), max_size=2))
        lines.append(b"")
        lines += data.draw(st.lists(noise, max_size=3))
    lines += [b"data: [DONE]", b"", b"data: after the end", b""] if marked else []
    sent = mark + b"".join(line + ends[number % len(ends)] for number, line in enumerate(lines))
    # A "\r" that ends a line right before an empty line ended by "\n" is one line end, as in any reader of SSE.
    following = [*ends[1:], ends[0]]
    assume((b"\r", b"\n") not in zip(ends, following, strict=True))
    decoder = SSEDecoder()
    assert outcome(decoder, cut(sent, places)) == (values, None, None)
    assert decoder.done is marked


@pytest.mark.parametrize("decoder", [NDJSONDecoder, SSEDecoder])
@given(st.binary(max_size=60) | st.text(alphabet='{}[]":,a1 \r\ndat:', max_size=60).map(str.encode), cuts)
def test_any_bytes_give_the_same_outcome_however_they_are_cut(decoder, data, places):
    whole = outcome(decoder(max_line=20), [data])
    assert outcome(decoder(max_line=20), cut(data, places)) == whole
    assert outcome(decoder(max_line=20), [bytes([byte]) for byte in data]) == whole


@pytest.mark.parametrize("breaker", ["\x85", "\u2028", "\u2029"])  # JSON has the other breakers escaped.
def test_only_line_ends_end_lines(breaker):
    line = compact({"text": f"a{breaker}b"})
    assert breaker.encode() in line
    assert NDJSONDecoder().feed(line + b"\n") == [{"text": f"a{breaker}b"}]
    assert SSEDecoder().feed(b"data: " + line + b"\n\n") == [{"text": f"a{breaker}b"}]


odd_numbers = [
    "0",
    "-0",
    "01",
    "1.",
    ".5",
    "1e5",
    "1E400",
    "-1e400",
    "NaN",
    "-NaN",
    "Infinity",
    "-Infinity",
    "1_0",
    "+1",
]
numbers = st.sampled_from(odd_numbers) | st.integers().map(str) | st.floats().map(repr)
numbers |= st.integers(4290, 4310).map(lambda digits: "9" * digits)
strings = st.text(alphabet='a\\"u0d8e\x00\x1f\x7f\x85é😀/n', max_size=8).map(lambda text: f'"{text}"')
nested = st.integers(0, 1200).map(lambda depth: "[" * depth + "]" * depth)
values = numbers | strings | st.text(max_size=5).map(json.dumps) | nested | st.sampled_from(["true", "nul", "", "[1,]"])
keys = st.sampled_from(['"a"', '"b"', '""', '"\\u0061"', "a"])
members = st.tuples(keys, values).map(":".join)
almost_json = st.lists(members, max_size=3).map(lambda found: f"{{{','.join(found)}}}".encode())
blanks = st.sampled_from([b"", b" ", b"\t", b"\x0c", "\u00a0".encode(), b"x", b"{}"])


@given(almost_json | st.binary(max_size=12).map(lambda raw: b'{"a":"' + raw.replace(b"\n", b"") + b'"}'), blanks)
@example(b'{"a": "\\ud800"}', b"")
@example(b'{"a": ' + b"[" * 300 + b"]" * 300 + b"}", b"")
@example(b'{"a": NaN, "b": -Infinity, "a": 123456789012345678901234567890}', b"")
@example(b'{"a": "\xed\xa0\x80"}', b"")
@example(b'{"a": ' + b"9" * 5000 + b"}", b"")
def test_lines_are_read_as_the_standard_library_reads_them(line, after):
    line += after
    try:
        wanted = json.loads(line.decode())
    except (ValueError, RecursionError):
        with pytest.raises(EngineError, match="not JSON"):
            NDJSONDecoder().feed(line + b"\n")
        return
    for event in (*NDJSONDecoder().feed(line + b"\n"), *SSEDecoder().feed(b"data:" + line + b"\n\n")):
        assert repr(event) == repr(wanted)  # which tells NaN, the signs of zeros and the order of keys


def test_ndjson_skips_empty_lines():
    assert NDJSONDecoder().feed(b'\n\r\n{"a": 1}\r\n \n{"b": 2}\n') == [{"a": 1}, {"b": 2}]


def test_ndjson_takes_a_byte_order_mark():
    assert NDJSONDecoder().feed(b'\xef\xbb\xbf{"a": 1}\n{"b": 2}\n') == [{"a": 1}, {"b": 2}]
    decoder = NDJSONDecoder()
    assert decoder.feed(b'\xef\xbb\xbf{"a": 1}') == []
    assert decoder.finish() == [{"a": 1}]


def test_events_before_a_bad_line_are_given_first():
    decoder = NDJSONDecoder()
    assert decoder.feed(b'{"a": 1}\n<html>oops\n{"b": 2}\n') == [{"a": 1}]
    with pytest.raises(EngineError, match="not JSON: '<html>oops'"):
        decoder.check()
    with pytest.raises(EngineError, match="not JSON"):
        decoder.feed(b"")


def test_events_after_a_bad_one_are_not_given():
    decoder = SSEDecoder()
    assert decoder.feed(b'data: {"a": 1}\n\ndata: oops\n\ndata: {"b": 2}\n\n') == [{"a": 1}]
    with pytest.raises(EngineError, match="not JSON: 'oops'"):
        decoder.finish()


@pytest.mark.parametrize("line", [b"[1]", b'"text"', b"1", b"null"])
def test_json_that_is_no_object_is_refused(line):
    with pytest.raises(EngineError, match="not an object"):
        NDJSONDecoder().feed(line + b"\n")
    with pytest.raises(EngineError, match="not an object"):
        SSEDecoder().feed(b"data: " + line + b"\n\n")


def test_bytes_that_are_no_utf8_are_refused_and_shown():
    with pytest.raises(EngineError, match=r"not JSON: .*�"):
        NDJSONDecoder().feed(b'{"a": "\xff"}\n')


def test_json_nested_too_deep_is_refused():
    with pytest.raises(EngineError, match="not JSON"):
        NDJSONDecoder().feed(b'{"a":' + b"[" * 200_000 + b"\n")


@pytest.mark.parametrize(("decoder", "data"), [(NDJSONDecoder, b'{"a": '), (SSEDecoder, b'data: {"a": ')])
def test_a_stream_that_ends_inside_a_line_broke_off(decoder, data):
    decoder = decoder()
    assert decoder.feed(data) == []
    with pytest.raises(EngineUnreachableError, match="broke off"):
        decoder.finish()


def feed_all(decoder, pieces):
    for piece in pieces:
        decoder.feed(piece)


@pytest.mark.parametrize("decoder", [NDJSONDecoder, SSEDecoder])
def test_a_line_without_end_is_bounded(decoder):
    with pytest.raises(EngineError, match="more than 1000 bytes"):
        feed_all(decoder(max_line=1000), [b"data: " + b"x" * 100] * 100)


def test_an_sse_event_of_many_lines_is_bounded():
    with pytest.raises(EngineError, match="more than 1000 bytes"):
        feed_all(SSEDecoder(max_line=1000), [b"data: 1\n"] * 2000)


def test_sse_joins_data_lines_and_strips_one_blank():
    assert SSEDecoder().feed(b'data: {"a":\ndata:1}\n\n') == [{"a": 1}]


def test_a_line_end_of_sse_that_is_cut_in_two_is_one():
    decoder = SSEDecoder()
    assert outcome(decoder, [b'data: {"a":\r', b"\ndata: 1}\r", b"\n\r", b"\n"]) == ([{"a": 1}], None, None)


def test_sse_knows_the_end():
    decoder = SSEDecoder()
    assert decoder.feed(b'data: {"a": 1}\n\ndata: [DONE]\n\ndata: rubbish\n\n') == [{"a": 1}]
    assert decoder.done
    assert decoder.finish() == []


def test_sse_gives_the_errors_of_old_llama_servers():
    assert SSEDecoder().feed(b'error: {"code": 500, "message": "Compute error."}\n\n') == [
        {"error": {"code": 500, "message": "Compute error."}}
    ]


def test_sse_skips_a_byte_order_mark():
    assert SSEDecoder().feed(b'\xef\xbb\xbfdata: {"a": 1}\n\n') == [{"a": 1}]


def test_a_long_line_in_small_pieces_is_read_in_linear_time():
    decoder = NDJSONDecoder()
    piece = b"x" * 1000
    decoder.feed(b'{"a": "')
    for _ in range(4000):
        decoder.feed(piece)
    assert len(decoder.feed(b'"}\n')[0]["a"]) == 4_000_000
