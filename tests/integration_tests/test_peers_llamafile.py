"""What langchain-community's `Llamafile` and `LlamafileEmbeddings` get wrong, done right.

Each test names a defect that was seen to happen there on this server. Defects that other files show to be absent here
are not repeated.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler

from langchain_localmodels import ChatLlamafile, Llamafile, LlamafileEmbeddings
from langchain_localmodels.errors import EngineError, EngineTimeoutError
from tests.doubles.fault_server import Exchange, FaultServer
from tests.doubles.scripted_http import Scripted, sse

PROPS = {"default_generation_settings": {"n_ctx": 512}, "total_slots": 1}
MODELS = {"object": "list", "data": [{"id": "m"}]}
COMPLETION = "/completion"


def piece(text):
    return {"content": text, "stop": False}


END = {"content": "", "stop": True, "stop_type": "eos", "tokens_predicted": 2, "tokens_evaluated": 5}


def server_of(answer, path=COMPLETION, build="b7000-abc"):
    """A llama-server that gives one answer."""
    return Scripted({"/props": (200, {**PROPS, "build_info": build}), "/v1/models": (200, MODELS), path: answer})


def completing(text):
    """An answer as it is asked for: in pieces, or whole."""
    return lambda body: (200, sse(piece(text), END, done=False) if body.get("stream") else {**END, "content": text})


def ways(llm, prompt="x"):
    """The pieces of the answer by each way that streams."""

    async def astream():
        return [chunk async for chunk in llm.astream(prompt)]

    return [list(llm.stream(prompt)), asyncio.run(astream())]


class Heard(BaseCallbackHandler):
    """The tokens that were told of."""

    def __init__(self):
        self.tokens = []

    def on_llm_new_token(self, token, **kwargs):
        self.tokens.append(token)


# --- streams ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n"])
def test_the_blank_lines_between_events_are_no_tokens(end):
    """There each becomes an empty piece, and an empty token to callbacks."""
    body = sse(piece("Hel"), piece("lo"), END, done=False).replace("\n\n", end)
    with server_of((200, body)) as server, Llamafile(base_url=server.url) as llm:
        for *pieces, last in ways(llm):
            assert (pieces, last) == (["Hel", "lo"], "")  # The last one carries why it ended.
        heard = Heard()
        list(llm.stream("x", {"callbacks": [heard]}))
        assert heard.tokens == ["Hel", "lo", ""]


@pytest.mark.parametrize(("status", "body"), [(500, "Internal Server Error"), (500, {"error": {"message": "no luck"}})])
def test_the_body_of_an_error_is_no_answer(status, body):
    """There it is streamed as if the model had said it."""
    with server_of((status, body)) as server, Llamafile(base_url=server.url, max_retries=0) as llm:
        heard = Heard()
        for ask in (lambda: list(llm.stream("x", {"callbacks": [heard]})), lambda: ways(llm), lambda: llm.invoke("x")):
            with pytest.raises(EngineError, match="500: (Internal|no luck)") as caught:
                ask()
            assert caught.value.response.status_code == 500
        assert heard.tokens == []


@pytest.mark.parametrize("breaker", ["\u2028", "\u2029", "\x85"])
def test_characters_that_python_takes_for_line_ends_are_text(breaker):
    """There they cut an event in two, which ends the answer with an error of the JSON parser."""
    events = [piece(f"a{breaker}b"), piece(f"{breaker}c"), END]
    body = "".join(f"data: {json.dumps(event, ensure_ascii=False)}\n\n" for event in events)
    with server_of((200, body)) as server, Llamafile(base_url=server.url) as llm:
        assert ["".join(pieces) for pieces in ways(llm)] == [f"a{breaker}b{breaker}c"] * 2


def test_the_mark_of_the_end_is_no_event():
    """There `[DONE]` is read as JSON, and the whole answer is lost to an error."""
    with server_of((200, sse(piece("Hi"), END))) as server, Llamafile(base_url=server.url) as llm:
        assert ["".join(pieces) for pieces in ways(llm)] == ["Hi", "Hi"]


# --- what is sent -----------------------------------------------------------------------------------------------------


def test_every_word_of_a_call_reaches_the_server(recwarn):
    """There whatever is no field of the class is dropped without a word, grammars among it."""
    with server_of(completing("a")) as server, Llamafile(base_url=server.url) as llm:
        llm.invoke("x", grammar='root ::= "a"', cache_prompt=False, n_keep=3, min_p=0.25, max_tokens=4)
        llm.invoke("x", format={"type": "integer"})
        first, second = server.bodies(COMPLETION)
        found = {name: first.get(name) for name in ("grammar", "cache_prompt", "n_keep", "min_p", "n_predict")}
        assert found == {
            "grammar": 'root ::= "a"', "cache_prompt": False, "n_keep": 3, "min_p": 0.25, "n_predict": 4,
        }  # fmt: skip
        assert "root ::=" in second["grammar"]
        assert not [warning for warning in recwarn if "no parameter" in str(warning.message)]
        with pytest.warns(UserWarning, match="temperature"):
            llm.invoke("x", temprature=0.5)


def test_what_nobody_said_is_left_to_the_server():
    """There all its own defaults are sent with every request, in the place of the server's."""
    with server_of(completing("a")) as server, Llamafile(base_url=server.url) as llm:
        llm.invoke("x", temperature=0)
        (body,) = server.bodies(COMPLETION)
        assert body == {"model": "m", "prompt": "x", "stream": True, "temperature": 0}


@pytest.mark.parametrize("other", [{"temperature": 0.9}, {"seed": 5}, {"model": "n"}, {}])
def test_no_model_is_given_another_ones_answer(other):
    """There nothing but the class tells two models apart, to a cache that they share."""
    with server_of(completing("first")) as one, server_of(completing("second")) as two:
        one.answers["/v1/models"] = (200, {"data": [{"id": "m"}, {"id": "n"}]})
        fields = {"base_url": one.url, "temperature": 0, "cache": InMemoryCache()}
        changed = {**fields, **(other or {"base_url": two.url})}
        assert Llamafile(**fields, model="m").invoke("x") == "first"
        one.answers[COMPLETION] = two.answers[COMPLETION]
        assert Llamafile(**fields, model="m").invoke("x") == "first"
        assert Llamafile(**{"model": "m", **changed}).invoke("x") == "second"


# --- connections ------------------------------------------------------------------------------------------------------


def scripted(complete: Callable[[Exchange], None]) -> Callable[[Exchange], None]:
    """A llama-server over connections that are counted."""

    def answer(exchange: Exchange) -> None:
        known = {"/props": {**PROPS, "build_info": "b7000-abc"}, "/v1/models": MODELS}
        if exchange.request.target in known:
            return exchange.answer(json.dumps(known[exchange.request.target]).encode())
        return complete(exchange)

    return answer


def echo(exchange: Exchange) -> None:
    body = json.loads(exchange.request.body)
    _, answer = completing(body["prompt"])(body)
    if isinstance(answer, str):
        return exchange.answer(answer.encode(), kind="text/event-stream")
    return exchange.answer(json.dumps(answer).encode())


def test_calls_use_a_connection_again():
    """There each call opens one of its own."""
    with FaultServer(scripted(echo)) as server, Llamafile(base_url=server.url) as llm:
        assert [llm.invoke(prompt) for prompt in "abc"] == list("abc")
        assert server.counts["connections"] == 1


@pytest.mark.parametrize("how", ["batch", "abatch"])
def test_a_batch_is_asked_all_at_once(how):
    """There the inputs go one after another."""

    barrier = threading.Barrier(4, timeout=20)

    def meet(exchange: Exchange) -> None:
        with suppress(threading.BrokenBarrierError):
            barrier.wait()  # Nobody is answered before four have asked.
            return echo(exchange)
        return exchange.cut()

    with FaultServer(scripted(meet)) as server, Llamafile(base_url=server.url, max_retries=0) as llm:
        answers = llm.batch(list("abcd")) if how == "batch" else asyncio.run(llm.abatch(list("abcd")))
        assert answers == list("abcd")


@pytest.mark.parametrize("known", [False, True])
def test_a_server_that_says_nothing_is_not_waited_for_for_ever(known):
    """There nothing ends the wait unless it is asked for."""

    def silent(exchange: Exchange) -> None:
        exchange.wait_for_hang_up()

    with FaultServer(scripted(silent) if known else silent) as server:
        for cls in (Llamafile, ChatLlamafile, LlamafileEmbeddings):
            assert cls(base_url=server.url).timeout == 600
            with cls(base_url=server.url, timeout=0.2, max_retries=0) as made:
                vectors = cls is LlamafileEmbeddings
                asks = [made.embed_query, made.aembed_query] if vectors else [made.invoke, made.ainvoke]
                with pytest.raises(EngineTimeoutError, match=r"0\.2 seconds"):
                    asks[0]("x")
                with pytest.raises(EngineTimeoutError, match=r"0\.2 seconds"):
                    asyncio.run(asks[1]("x"))
        server.wait_until(hung_up=6)


# --- vectors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/embedding", "/v1/embeddings"])
def test_vectors_in_a_list_of_lists(path):
    """There the form of today's servers is a `KeyError`, and a vector whose numbers sum to 0 is refused."""
    values = {"a": [1.0, -1.0], "b": [2.0, 0.5]}

    def embed(body):
        texts = body.get("input") or [body["content"]]
        return 200, [{"index": place, "embedding": [values[text]]} for place, text in enumerate(texts)]

    with server_of(embed, path) as server, LlamafileEmbeddings(base_url=server.url, normalize=False) as embeddings:
        assert embeddings.embed_documents(["a", "b"]) == [values["a"], values["b"]]
        assert asyncio.run(embeddings.aembed_query("a")) == values["a"]


def test_texts_go_together_over_one_connection():
    """There each text is a request over a connection of its own."""

    def embed(exchange: Exchange) -> None:
        body = json.loads(exchange.request.body)
        texts = body.get("input") or [body["content"]]
        entries = [{"index": place, "embedding": [float(text), 1.0]} for place, text in enumerate(texts)]
        exchange.answer(json.dumps({"data": entries} if "input" in body else entries[0]).encode())

    texts = [str(number) for number in range(20)]
    with FaultServer(scripted(embed)) as server:
        with LlamafileEmbeddings(base_url=server.url, normalize=False) as embeddings:
            assert embeddings.embed_documents(texts) == [[float(text), 1.0] for text in texts]
            assert server.counts["connections"] == 1
        asked = [request for request in server.requests if request.method == "POST"]
        assert len(asked) == 1


# --- the package ------------------------------------------------------------------------------------------------------


def test_nothing_warns_of_the_packages_end():
    """There the import tells that nobody maintains it any more."""
    code = "from langchain_localmodels import Llamafile, LlamafileEmbeddings; Llamafile(); LlamafileEmbeddings()"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
