"""Ctrl-C in the middle of llama.cpp's work: it arrives at once, frees the slot, and leaves the model usable."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.models import write_llama

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for a single process")

HEAD = """
import asyncio, os, signal, sys, threading, time
from contextlib import closing
from langchain_localmodels import LlamaCpp

# What a shell starts in the background ignores it, and hands that on.
signal.signal(signal.SIGINT, signal.default_int_handler)
llm = LlamaCpp(model_path=sys.argv[1], temperature=0, n_threads=1, n_ctx=8192, n_parallel=4)
llm.load()
short = "The first man"
want = llm.invoke(short, max_tokens=3)
# Begins with a number, so that nothing of an earlier one is reused.
long = lambda number: f"{number} " + "word " * 500
began = time.monotonic()
llm.invoke(long(0), max_tokens=1)
whole = time.monotonic() - began  # what reading it takes, here and now
sent = []

def interrupt():
    sent.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)

def wait_until_idle():
    deadline = time.monotonic() + 20
    while (now := llm.engine._borrowed().stats()).running or now.queued:
        assert time.monotonic() < deadline, now
        time.sleep(0.002)

def after(act, seconds=whole / 5):
    timer = threading.Timer(seconds, interrupt)
    timer.start()
    try:
        act()
    except KeyboardInterrupt:
        took = time.monotonic() - sent[0]
        assert took < whole / 2, (took, whole)
    else:
        raise SystemExit("no KeyboardInterrupt")
    wait_until_idle()
    assert time.monotonic() - sent[0] < whole / 2  # long before the rest of the prompt would have been read
    assert llm.invoke(short, max_tokens=3) == want
"""


@pytest.fixture(scope="module")
def slow_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llama(
        tmp_path_factory.mktemp("models") / "slow.gguf", width=256, layers=8, feed_forward=512, window=8192
    )


def run(model: Path, script: str) -> None:
    code = HEAD + textwrap.dedent(script)
    done = subprocess.run(
        [sys.executable, "-c", code, str(model)], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize(
    "act",
    [
        "llm.invoke(long(1), max_tokens=1)",
        "list(llm.stream(long(1), max_tokens=1))",
        "llm.batch([long(1), long(2), long(3)], max_tokens=1)",
        "llm.generate([long(1), long(2)], max_tokens=1)",
        "asyncio.run(llm.ainvoke(long(1), max_tokens=1))",
        "list(llm.stream(short, max_tokens=8000, logit_bias={0: -1000.0}))",
    ],
)
def test_ctrl_c(slow_model: Path, act: str):
    run(slow_model, f"after(lambda: {act})")


def test_a_stream_that_another_thread_closes_while_its_prompt_is_read(slow_model: Path):
    run(
        slow_model,
        """
        from langchain_localmodels.engines.base import CompletionRequest
        stream = llm.engine.complete(CompletionRequest(long(1)))
        got = []
        reader = threading.Thread(target=lambda: got.extend(stream))
        began = time.monotonic()
        reader.start()
        time.sleep(whole / 5)
        stream.close()
        reader.join(20)
        wait_until_idle()
        assert not reader.is_alive() and not got
        assert time.monotonic() - began < whole * 0.7
        assert llm.invoke(short, max_tokens=3) == want
        """,
    )
