"""What every engine must do, alike: a new engine is done when its row passes.

The tests themselves are public, in `langchain_localmodels.testing.contract`; here they run on all engines there are.
"""

from __future__ import annotations

from langchain_localmodels.engines import ENGINES
from langchain_localmodels.testing.contract import EngineContractTests
from tests.integration_tests.rows import ROWS, GPT4AllRow, LlamaCppRow, LlamafileRow, OllamaRow


class TestLlamaCpp(LlamaCppRow):
    pass


class TestOllama(OllamaRow):
    pass


class TestGPT4All(GPT4AllRow):
    pass


class TestLlamafile(LlamafileRow):
    pass


def test_every_engine_has_a_row_with_the_whole_contract():
    assert {row.engine for row in ROWS} == ENGINES.keys()
    assert len(ROWS) == len(ENGINES)
    run_here = [cls for name, cls in globals().items() if name.startswith("Test")]
    assert all(any(issubclass(cls, row) for cls in run_here) for row in ROWS)
    assert all(issubclass(row, EngineContractTests) for row in ROWS)


def test_rows_with_embeddings_are_those_of_engines_that_embed():
    for row in ROWS:
        assert ("embeddings" in vars(row)) == (ENGINES[row.engine].embeddings is not None)
