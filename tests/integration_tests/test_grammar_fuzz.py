"""No grammar, schema, sampling setting or vocabulary ends the process: random ones, in a process of their own.

`LOCALMODELS_FUZZ_CASES` asks for another number of cases, `LOCALMODELS_FUZZ_SEED` for another first one. What takes
long is run as `python -m tests.fuzz_grammars SEED COUNT`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from langchain_localmodels import LlamaCpp
from langchain_localmodels.errors import ModelFileError, UnsupportedFeatureError
from tests.models import write_llama

CASES = int(os.environ.get("LOCALMODELS_FUZZ_CASES", "300"))
FIRST = int(os.environ.get("LOCALMODELS_FUZZ_SEED", "0"))


@pytest.mark.timeout(0 if "LOCALMODELS_FUZZ_CASES" in os.environ else 200)
def test_random_cases_give_an_answer_or_an_error_of_ours():
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz_grammars", str(FIRST), str(CASES)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "GGML_NO_BACKTRACE": "1"},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-2000:]}"
    assert done.stdout.count("an answer") > CASES // 5
    assert done.stdout.count("Error") > CASES // 10


@pytest.mark.parametrize(
    "tokens",
    [[b"a", b"b", b"a"], [b"a\0b", b"a"], [b"", b"[EMPTY_0]"], [*(b"%d" % i for i in range(1000)), b"7"]],
    ids=["twice", "cut at NUL", "empty", "many"],
)
def test_a_token_that_is_there_twice(tmp_path: Path, tokens: list[bytes]):
    """It ends the process when llama.cpp loads the file."""
    llm = LlamaCpp(model_path=str(write_llama(tmp_path / "model.gguf", tokens=tokens, width=32, layers=1)), n_threads=1)
    with pytest.raises(ModelFileError, match="twice"):
        llm.invoke("a")


def test_a_token_too_long_for_grammars(tmp_path: Path):
    """From some ten thousand characters, it overruns the stack."""
    path = write_llama(tmp_path / "model.gguf", tokens=[b"a", b"b" * 1001, b"c"], width=32, layers=1)
    with LlamaCpp(model_path=str(path), n_threads=1, max_tokens=2) as llm:
        assert isinstance(llm.invoke("a"), str)
        with pytest.raises(UnsupportedFeatureError, match="1001 bytes"):
            llm.invoke("a", grammar="root ::= .*")
