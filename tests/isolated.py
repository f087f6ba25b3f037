"""What the tests of `isolate=True` share: the classes of both engines that run in a child process, and its end."""

from __future__ import annotations

import os
import signal
import time
import warnings
from contextlib import suppress

import pytest

from langchain_localmodels import (
    ChatGPT4All,
    ChatLlamaCpp,
    GPT4All,
    GPT4AllEmbeddings,
    LlamaCpp,
    LlamaCppEmbeddings,
)
from langchain_localmodels.demo import embedding_model_path, model_path
from tests.chain_model import in_pieces, write_chain

PROMPT = "The first man on the moon was"
CLASSES = {
    "llamacpp": (LlamaCpp, ChatLlamaCpp, LlamaCppEmbeddings, "model_path"),
    "gpt4all": (GPT4All, ChatGPT4All, GPT4AllEmbeddings, "model"),
}
WINDOW = 2**17
"""So long that nobody sees the end of an answer that fills it."""

posix_only = pytest.mark.skipif(os.name == "nt", reason="it sends signals")


class Engine:
    """Makes objects on one engine."""

    def __init__(self, name, endless):
        self.name = name
        *self._classes, self._path = CLASSES[name]
        self._endless = endless

    def llm(self, file=model_path, **fields):
        return self._classes[0](**{self._path: file, "temperature": 0, "n_threads": 1, "isolate": True, **fields})

    def chat(self, file=model_path, **fields):
        return self._classes[1](**{self._path: file, "temperature": 0, "n_threads": 1, "isolate": True, **fields})

    def embeddings(self, **fields):
        return self._classes[2](**{self._path: embedding_model_path, "n_threads": 1, "isolate": True, **fields})

    def endless(self, **fields):
        """One whose answers have no end."""
        return self.llm(self._endless, **{"n_ctx": WINDOW, **fields})


def write_endless(folder):
    """A model file whose answers have no end."""
    return write_chain(
        folder / "endless.gguf", in_pieces("And so it goes on, again and again. "), end=None, window=WINDOW
    )


def is_there(pid):
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until(came, complaint):
    end = time.monotonic() + 20
    while not came():
        assert time.monotonic() < end, complaint
        time.sleep(0.01)


def fork(works):
    """Whether it works in a process forked off this one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads and fork do not mix well, which is the point
        forked = os.fork()
    if forked == 0:
        with suppress(BaseException):
            signal.alarm(60)
            os._exit(0 if works() else 1)
        os._exit(2)
    _, status = os.waitpid(forked, 0)
    return os.waitstatus_to_exitcode(status) == 0
