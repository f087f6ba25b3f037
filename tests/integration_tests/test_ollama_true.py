"""The double beside a true Ollama, where there is one: the same request to both gives the same answer.

`OLLAMA_HOST` names the server, of 0.30 or later: before that, it asked no `llama-server`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.integration_tests.test_ollama_recorded import PLAYED
from tests.llama_server import end_ollama_servers
from tests.ollama_server import CHAT, EMBEDDING, demo_double, need_true_ollama

ASKED = ("/api/chat", "/api/generate", "/api/embed", "/api/embeddings")
HELLO = [{"role": "user", "content": "Hi"}]
SHORT = {"temperature": 0, "num_predict": 5}
LONG = "one two three " * 200
HISTORY = [
    {"role": "system", "content": "Be brief."},
    *[{"role": role, "content": LONG} for role in ("user", "assistant") * 2],
    *HELLO,
]


def chat(**more: Any) -> tuple[str, dict[str, Any]]:
    return "/api/chat", {"model": CHAT, "messages": HELLO, "options": SHORT, **more}


def generate(**more: Any) -> tuple[str, dict[str, Any]]:
    return "/api/generate", {"model": CHAT, "prompt": "Hi", "options": SHORT, **more}


def embed(**more: Any) -> tuple[str, dict[str, Any]]:
    return "/api/embed", {"model": EMBEDDING, "input": ["a", "the moon"], **more}


def parameters(given: Any, **more: Any) -> tuple[str, dict[str, Any]]:
    return chat(tools=[{"type": "function", "function": {"name": "look", "parameters": given}}], **more)


def one_property(**schema: Any) -> tuple[str, dict[str, Any]]:
    return parameters({"type": "object", "properties": {"a": schema}}, _debug_render_only=True)


def calls(**function: Any) -> tuple[str, dict[str, Any]]:
    called = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "look", **function}}]}
    result = {"role": "tool", "tool_name": "look", "content": "21"}
    return chat(messages=[*HELLO, called, result])


ORDERED = {"type": "object", "properties": {"z": {"const": 1}, "a": {"const": 2}}, "required": ["z", "a"]}
MORE = [
    # What the decoder makes of a body.
    *(chat(messages=given) for given in ("x", {"a": 1}, None, [5], [{"content": 5}])),
    chat(messages=[{"role": "USER", "content": None}]),
    *(chat(keep_alive=given) for given in ("0", "soon", "", "5x", "1h30m", "-1m", True, [], -1, 2.5)),
    *(chat(think=given) for given in ("very", 5, False, None)),
    *(chat(stream=given) for given in ("yes", None, False)),
    *(chat(images=given) for given in ("x",)),
    *(chat(messages=[{"role": "user", "content": "x", "images": given}]) for given in ("aGk=", ["a-_"], ["aGk="], [5])),
    *(chat(model=given) for given in ("", None, 5, "a b", "bad/../name//", "DEMO", f"{CHAT}:latest")),
    *(chat(top_logprobs=given) for given in ("1", 21, -1, 1.5, 2)),
    *(calls(arguments=given) for given in ({}, {"b": 1, "a": {"d": 1, "c": "<é>"}}, None, [], "{}")),
    calls(index="a", arguments={}),
    *(parameters(given) for given in (None, True, {}, {"type": ["object"]}, {"type": "object", "properties": []})),
    one_property(type=["string", "null"], description="What.", default=1, minimum=2, title="T"),
    one_property(type="object", properties={"c": {"type": "integer", "format": "x"}, "b": {}}, required=["c"]),
    one_property(anyOf=[{"type": "string", "pattern": "a"}, {"type": "null"}]),
    one_property(type="array", items={"type": "object", "properties": {"z": True, "a": {}}, "minItems": 2}),
    one_property(**{"$ref": "#/$defs/x", "const": 3, "oneOf": [{}], "enum": [{"z": 1, "a": 2}]}),
    *(one_property(**given) for given in ({"type": 5}, {"enum": "x"}, {"anyOf": [True]}, {"required": "a"})),
    parameters({"type": "object", "properties": {"a": True}}),
    # What models are asked.
    *(chat(format=given) for given in (5, True, "", ORDERED, {"allOf": [ORDERED]}, {"type": "nonsense"})),
    *(generate(format=given) for given in ("json", ORDERED, "yaml", {"$ref": "#/nowhere"})),
    *(chat(options={**SHORT, **given}) for given in ({"top_k": 1.5}, {"stop": ["e"]}, {"repeat_last_n": -1})),
    *(chat(options={**SHORT, **given}) for given in ({"num_predict": 0}, {"repeat_penalty": 1.5}, {"num_ctx": 9})),
    *(generate(**given) for given in ({"raw": True}, {"system": "Be"}, {"context": [0, 315, 203]}, {"prompt": ""})),
    *(generate(**given) for given in ({"template": "Q: {{ .Prompt }} A:"}, {"images": ["aGk="]})),
    generate(prompt="Hi " * 2000),
    generate(prompt="Hi " * 2000, raw=True, options={**SHORT, "num_keep": 9}),
    *(chat(messages=given, options={**SHORT, "num_ctx": 1024}) for given in (HISTORY, HISTORY[:2], HISTORY[1:])),
    chat(messages=HISTORY, truncate=False, options={**SHORT, "num_ctx": 1024}),
    chat(messages=[*HELLO, {"role": "assistant", "content": "Hello"}]),
    chat(_debug_render_only=True, messages=HISTORY[:1]),
    generate(_debug_render_only=True, system="Be"),
    chat(logprobs=True, stream=False),
    # Vectors.
    *(embed(input=given) for given in ("", None, 5, [5], {"a": 1}, ["a", ""], "moon " * 900)),
    *(embed(dimensions=given) for given in (4, 4000, -4, "4")),
    *(embed(**given) for given in ({"model": ""}, {"truncate": "x"}, {"options": {"num_ctx": "x"}}, {"model": CHAT})),
    *(("/api/embeddings", {"model": EMBEDDING, "prompt": given}) for given in ("a", "", 5, "moon " * 900)),
]  # fmt: skip
REQUESTS = [(each.path, each.request) for each in PLAYED if each.path in ASKED and each.method == "POST"] + MORE
OF_SOURCES = "0.0.0"
"""The version of a server that was built by hand."""
TIMES = ("created_at", "total_duration", "load_duration", "prompt_eval_duration", "eval_duration")


@pytest.fixture(scope="module")
def both() -> Iterator[list[httpx.Client]]:
    host = need_true_ollama()
    urls = [host if "://" in host else f"http://{host}", demo_double().url]
    version = httpx.get(f"{urls[0]}/api/version").json()["version"]
    if version != OF_SOURCES and tuple(map(int, re.findall(r"\d+", version)[:2])) < (0, 30):
        pytest.skip(f"Ollama {version} asks no llama-server: the double plays 0.30 and later")
    clients = [httpx.Client(base_url=url, timeout=120) for url in urls]
    yield clients
    for client in clients:
        client.close()


def told(answer: httpx.Response) -> list[Any]:
    """What an answer says, without what differs each time."""
    kind = answer.headers["content-type"].partition(";")[0]
    texts = answer.text.splitlines() if kind == "application/x-ndjson" else [answer.text]
    return [answer.status_code, kind, *(_settled(json.loads(text)) for text in texts)]


def forget(true: httpx.Client) -> None:
    """Have both servers begin anew."""
    for model in (CHAT, EMBEDDING):
        true.post("/api/generate", json={"model": model, "keep_alive": 0})
    end_ollama_servers()


def _settled(value: Any) -> Any:
    if isinstance(value, dict):
        # Times of 0 are left out.
        kept = {name: _settled(item) for name, item in value.items() if name not in TIMES}
        return {**kept, "id": len(kept["id"])} if "id" in kept else kept
    if isinstance(value, list):
        return [_settled(item) for item in value]
    return round(value, 4) if isinstance(value, float) else value


@pytest.mark.parametrize(
    "request_", REQUESTS, ids=lambda each: f"{each[0].rpartition('/')[2]}-{json.dumps(each[1])[:60]}"
)
def test_the_double_and_a_true_ollama_say_the_same(both, request_):
    path, body = request_
    given = {} if body is None else {"json": body}
    true, ours = (told(client.post(path, **given)) for client in both)
    if ours != true:
        # What the models remember of other prompts decides how sums are rounded, and that, at times, the next token.
        forget(both[0])
        true, ours = (told(client.post(path, **given)) for client in both)
    assert ours == true
