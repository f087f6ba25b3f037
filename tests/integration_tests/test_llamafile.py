"""What is llamafile's own, on a real `llama-server` with the demo models; and servers that are started and ended."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import pickle
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest

from langchain_localmodels import ChatLlamafile, LlamaCppEmbeddings, Llamafile, LlamafileEmbeddings
from langchain_localmodels.demo import embedding_model_path, model_path
from langchain_localmodels.errors import (
    EngineClosedError,
    EngineNotInstalledError,
    EngineUnreachableError,
    InvalidRequestError,
    ModelFileNotFoundError,
    PromptTooLongError,
    UnsupportedContentError,
    UnsupportedFeatureError,
)
from tests.doubles.llamafile_answers import COMMUNITYS
from tests.llama_server import ARGUMENTS, chat_server, embedding_server, program

QUESTION = "Who was the first man on the moon?"
ENDLESS = 'root ::= "a" root'


@pytest.fixture
def chat():
    return ChatLlamafile(base_url=chat_server().url, temperature=0)


@pytest.fixture
def llm():
    return Llamafile(base_url=chat_server().url, temperature=0)


# --- answers ----------------------------------------------------------------------------------------------------------


def test_a_grammar_holds_both_kinds_of_answers(chat, llm):
    grammar = 'root ::= "yes" | "no"'
    assert chat.invoke(QUESTION, grammar=grammar).text in ("yes", "no")
    assert llm.invoke("Is it? ", grammar=grammar) in ("yes", "no")


def test_a_bad_grammar_never_reaches_the_server(chat):
    with pytest.raises(InvalidRequestError, match="grammar"):
        chat.invoke(QUESTION, grammar="root ::= (")


def test_schemas_hold_texts_as_well(llm):
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 3, "maximum": 9}}, "required": ["n"]}
    assert json.loads(llm.invoke("x", format=schema, max_tokens=30))["n"] in range(3, 10)


def test_a_prompt_that_is_too_long_is_told_with_both_numbers(chat):
    with pytest.raises(PromptTooLongError) as caught:
        chat.invoke("moon " * 20000)
    assert caught.value.prompt_tokens > caught.value.context_window > 0


def test_images_are_refused_by_what_props_say(chat):
    image = {"type": "image", "base64": "iVBORw0KGgo=", "mime_type": "image/png"}
    with pytest.raises(UnsupportedContentError, match="no images"):
        chat.invoke([("human", [{"type": "text", "text": "x"}, image])])


def test_another_model_per_call_is_refused(chat):
    with pytest.raises(UnsupportedFeatureError, match="one model"):
        chat.invoke(QUESTION, model="another")


def test_the_servers_own_words_reach_it(chat, llm):
    assert llm.invoke("The first man", repeat_last_n=-1, n_keep=4, cache_prompt=False, max_tokens=3)
    assert chat.invoke(QUESTION, samplers=["top_k"], top_k=1).text == chat.invoke(QUESTION).text
    warm = chat.invoke(QUESTION, id_slot=0).usage_metadata
    again = chat.invoke(QUESTION, id_slot=0).usage_metadata
    assert warm["input_tokens"] == again["input_tokens"]
    assert again["input_token_details"]["cache_read"] > 0
    cold = chat.invoke(QUESTION, id_slot=0, cache_prompt=False).usage_metadata
    assert "input_token_details" not in cold
    with pytest.raises(InvalidRequestError, match="'n_keep'"):
        chat.invoke(QUESTION, extra_body={"n_keep": -5})


def test_what_langchain_communitys_users_have_set_works_on_a_server_of_today(chat, llm):
    for model in (chat, llm):
        fields = {**COMMUNITYS, "base_url": model.base_url, "temperature": 0, "n_predict": 3}
        assert type(model)(**fields).invoke(QUESTION)


def test_log_probabilities_are_those_of_the_tokens(chat, llm):
    message = chat.invoke(QUESTION, top_logprobs=2)
    content = message.response_metadata["logprobs"]["content"]
    assert "".join(entry["token"] for entry in content).startswith(message.text)
    assert all(entry["logprob"] <= 0 and len(entry["top_logprobs"]) == 2 for entry in content)
    generation = llm.generate(["The first man"], logprobs=True, max_tokens=3).generations[0][0]
    tokens = generation.generation_info["logprobs"]["content"]
    assert "".join(entry["token"] for entry in tokens) == generation.text
    assert [entry["top_logprobs"] for entry in tokens] == [[], [], []]


def test_counts_are_the_servers(chat):
    message = chat.invoke([("system", "Be brief."), ("human", QUESTION)])
    counted = chat.get_num_tokens_from_messages([("system", "Be brief."), ("human", QUESTION)])
    assert counted == message.usage_metadata["input_tokens"]


def test_the_profile_comes_with_loading(chat):
    assert chat.profile is None
    assert chat.load().profile["max_input_tokens"] == chat.engine.capabilities().context_window
    assert chat.profile["image_inputs"] is False
    assert pickle.loads(pickle.dumps(chat)) == chat


def test_many_at_once(chat):
    async def all_of_them():
        return await asyncio.gather(*(chat.ainvoke(QUESTION, max_tokens=5) for _ in range(16)))

    assert len({message.text for message in asyncio.run(all_of_them())}) == 1


def test_closing_ends_a_running_answer(llm):
    stream = llm.stream("x", grammar=ENDLESS)
    next(stream)
    closer = threading.Thread(target=llm.close)
    closer.start()
    closer.join()
    with pytest.raises(EngineClosedError):
        for _ in stream:
            pass
    assert llm.invoke("The first man", max_tokens=2)


def test_leaving_a_stream_stops_the_server(chat):
    import httpx

    with closing(chat.stream("x", grammar=ENDLESS)) as stream:
        next(stream)
    give_up_at = time.monotonic() + 20
    while any(slot["is_processing"] for slot in httpx.get(chat_server().url + "/slots").json()):
        assert time.monotonic() < give_up_at
        time.sleep(0.05)


# --- vectors ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def embeddings():
    return LlamafileEmbeddings(base_url=embedding_server().url)


def test_vectors_are_those_of_the_same_model_in_this_process(embeddings):
    texts = ["The sky is blue.", "Ünïcode ✓"]
    with LlamaCppEmbeddings(model_path=embedding_model_path, n_threads=1, query_prefix="", document_prefix="") as here:
        expected = here.embed_documents(texts)
    found = LlamafileEmbeddings(base_url=embedding_server().url, query_prefix="", document_prefix="").embed_documents(
        texts
    )
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, abs=2e-2)


def test_batches_keep_the_order(embeddings):
    texts = [f"text number {n}" for n in range(7)]
    small = LlamafileEmbeddings(base_url=embedding_server().url, batch_size=3)
    for one, other in zip(small.embed_documents(texts), embeddings.embed_documents(texts), strict=True):
        assert one == pytest.approx(other, abs=1e-3)
    assert asyncio.run(small.aembed_documents(texts)) == [
        pytest.approx(v, abs=1e-3) for v in small.embed_documents(texts)
    ]


def test_a_long_text_is_refused_or_cut(embeddings):
    long = "word " * 5000
    with pytest.raises(PromptTooLongError) as caught:
        embeddings.embed_query(long)
    assert caught.value.context_window
    cut = LlamafileEmbeddings(base_url=embedding_server().url, truncate=True)
    first, second = cut.embed_documents([long, "short"])
    assert len(first) == len(second)
    assert second == pytest.approx(embeddings.embed_documents(["short"])[0], abs=1e-3)


def test_lengths_are_one_unless_asked_otherwise(embeddings):
    assert sum(x * x for x in embeddings.embed_query("x")) == pytest.approx(1)
    raw = LlamafileEmbeddings(base_url=embedding_server().url, normalize=False).embed_query("x")
    assert sum(x * x for x in raw) != pytest.approx(1, abs=1e-3)


def test_a_server_that_does_not_embed_names_the_option():
    with pytest.raises(UnsupportedFeatureError, match="--embedding"):
        LlamafileEmbeddings(base_url=chat_server().url).embed_query("x")


# --- serve ------------------------------------------------------------------------------------------------------------


def served(**more):
    return ChatLlamafile.serve(
        model_path, server=program(), arguments=ARGUMENTS, progress=False, temperature=0, max_tokens=5, **more
    )


def is_there(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_server_lives_as_long_as_its_block():
    with served() as chat:
        pid = chat._process.pid
        assert chat.invoke(QUESTION).text
        assert is_there(pid)
        assert os.getpgid(pid) != os.getpgrp()  # Ctrl-C in a terminal is for this program alone.
    assert not is_there(pid)
    with pytest.raises(EngineUnreachableError):
        chat.invoke(QUESTION, max_retries=0)


def test_a_server_ends_with_the_last_object_on_it():
    chat = served()
    pid = chat._process.pid
    copy = chat.model_copy(update={"temperature": 0.5})
    del chat
    gc.collect()
    assert copy.invoke(QUESTION).text
    del copy
    gc.collect()
    assert not is_there(pid)


def test_pickles_ask_the_same_server_and_do_not_end_it():
    with served() as chat:
        other = pickle.loads(pickle.dumps(chat))
        assert other.invoke(QUESTION).text == chat.invoke(QUESTION).text
        other.close()
        assert chat.invoke(QUESTION).text


def test_a_server_ends_with_the_program():
    code = (
        "import sys\n"
        "from langchain_localmodels import ChatLlamafile\n"
        "chat = ChatLlamafile.serve(sys.argv[1], server=sys.argv[2], arguments=sys.argv[3:], progress=True)\n"
        "print(chat._process.pid)\n"
    )
    command = [sys.executable, "-c", code, model_path, str(program()), *ARGUMENTS]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert not is_there(int(done.stdout))
    assert "Starting the server" in done.stderr


def test_a_key_given_to_serve_is_the_servers_too():
    with served(api_key="words of our own") as chat:
        assert chat.invoke(QUESTION).text
        with pytest.raises(Exception, match="Invalid API Key"):
            ChatLlamafile(base_url=chat.base_url, max_retries=0).invoke(QUESTION)


def test_embeddings_are_served_too():
    with LlamafileEmbeddings.serve(
        embedding_model_path, server=program(), arguments=ARGUMENTS, progress=False
    ) as embeddings:
        assert len(embeddings.embed_query("x")) > 10


def test_the_last_lines_of_a_server_that_dies_are_told(tmp_path):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + b"\0" * 100)
    with pytest.raises(EngineUnreachableError, match="Its last lines:\n(.|\n)*(fail|error)") as caught:
        ChatLlamafile.serve(broken, server=program(), arguments=ARGUMENTS, progress=False)
    assert caught.value.hint


def test_what_cannot_be_served_is_told_at_once(tmp_path, monkeypatch):
    with pytest.raises(ModelFileNotFoundError):
        ChatLlamafile.serve(tmp_path / "nothing.gguf")
    with pytest.raises(EngineNotInstalledError, match="no program"):
        ChatLlamafile.serve(model_path, server=tmp_path / "no-server")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineNotInstalledError, match="PATH"):
        ChatLlamafile.serve(model_path)
    plain = tmp_path / "model.llamafile"
    plain.write_text("not a program")
    with pytest.raises(EngineNotInstalledError, match="may not be executed"):
        ChatLlamafile.serve(plain)
    with pytest.raises(InvalidRequestError, match="base_url"):
        ChatLlamafile.serve(model_path, base_url="x")
    for elsewhere in (["--port", "9000"], ["-c", "512", "--host=0.0.0.0"]):
        with pytest.raises(InvalidRequestError, match=r"--(host|port) cannot be chosen"):
            ChatLlamafile.serve(model_path, arguments=elsewhere)


@pytest.mark.parametrize(("version", "browser"), [("v0.9.3", "--nobrowser"), ("v0.10.5", "")])
def test_a_llamafile_is_run_as_it_is(tmp_path, version, browser):
    # A program that, as a llamafile does, knows its model by itself, and is strict with what it is told.
    fake = tmp_path / "model with blanks; touch hacked.llamafile"
    fake.write_text(
        "#!/bin/sh\n"
        f'[ "$1" = --version ] && echo "llamafile {version}" && exit\n'
        '[ "$1" = --server ] || exit 3\nshift\n'
        + (f'[ "$1" = {browser} ] || exit 4\nshift\n' if browser else "")
        + f'exec "{program()}" -m "{model_path}" "$@"\n'
    )
    fake.chmod(0o755)
    with ChatLlamafile.serve(fake, arguments=ARGUMENTS, progress=False, max_tokens=5) as chat:
        assert chat.invoke(QUESTION).text
    assert [path.name for path in tmp_path.iterdir()] == [fake.name]
