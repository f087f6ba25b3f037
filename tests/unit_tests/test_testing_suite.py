"""The contract suite on engines that play a script, and the plugins for pytest, in runs of pytest of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

import langchain_localmodels
from langchain_localmodels.engines.base import Capabilities
from langchain_localmodels.errors import EngineUnreachableError
from langchain_localmodels.testing import (
    Answer,
    Call,
    Script,
    ScriptedChatModel,
    ScriptedEmbeddings,
    ScriptedLLM,
    oblige,
)
from langchain_localmodels.testing.contract import EngineContractTests

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")

ROOT = Path(langchain_localmodels.__file__).parents[1]

# --- the contract suite, on scripted engines --------------------------------------------------------------------------


THINKING = Answer("The first man on the moon was Neil Armstrong.", reasoning="Who was it? It was Neil Armstrong.")


NOT_YET = {"test_a_missing_model": "nothing is loaded, so that `load` finds nothing missing"}


class ScriptedRow(EngineContractTests):
    """The scripted engine itself keeps the contract, whatever it is taken to be able to do."""

    engine = "scripted"
    constrain = "grammar"
    script = Script(oblige)
    missing = {"answers": EngineUnreachableError("There is no such model.", hint="Write another script.")}
    missing_embeddings = {"vectors": lambda text: EngineUnreachableError("There is no such model.", hint="Wait.")}
    thinking = {"answers": THINKING}
    other_model = "another-model"
    not_yet = NOT_YET

    def chat_model(self, **fields):
        able = Capabilities("native", self.constrain, tokenizer=True, context_window=4000)
        return ScriptedChatModel(**{"answers": self.script, "capabilities": able, "temperature": 0, **fields})

    def llm(self, **fields):
        return ScriptedLLM(**{"answers": self.script, "temperature": 0, **fields})

    def embeddings(self, **fields):
        return ScriptedEmbeddings(**fields)

    def chat_model_that_writes(self, text, calls, **fields):
        answer = Answer(text, tool_calls=[Call(name, arguments) for name, arguments in calls])
        return self.chat_model(answers=answer, **fields)


class TestScriptedRow(ScriptedRow):
    not_yet = NOT_YET


class TestScriptedRowWithSchemas(ScriptedRow):
    constrain = "schema"


class TestScriptedRowWithNothing(ScriptedRow):
    constrain = "none"
    not_yet = NOT_YET


# --- LangChain's own standard tests -----------------------------------------------------------------------------------


class TestStandardUnit(ChatModelUnitTests):
    @property
    def chat_model_class(self):
        return ScriptedChatModel

    @property
    def chat_model_params(self):
        return {"answers": oblige}


class TestStandardIntegration(ChatModelIntegrationTests):
    supports_json_mode = True
    model_override_value = "another-model"

    @property
    def chat_model_class(self):
        return ScriptedChatModel

    @property
    def chat_model_params(self):
        return {"answers": oblige}


class TestStandardEmbeddings(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self):
        return ScriptedEmbeddings


# --- plugins, in runs of pytest of their own --------------------------------------------------------------------------


@pytest.fixture
def inner(pytester, monkeypatch):
    """Runs pytest on files, in a process of its own and without the plugins that this run happens to have."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(*args, **files):
        pytester.makepyfile(**files)
        return pytester.runpytest_subprocess("-rsxXf", "--tb=short", "-p", "no:cacheprovider", *args)

    return run


FIXTURES = """
import pytest

pytest_plugins = ["langchain_localmodels.testing.fixtures"]
"""


@pytest.mark.skipif(not find_spec("llama_cpp"), reason="the extra llamacpp is not installed")
def test_the_demo_models_are_fixtures(inner):
    result = inner(
        conftest=FIXTURES,
        test_user="""
            def test_chat(demo_chat_model):
                assert "Neil Armstrong" in demo_chat_model.invoke("Who was the first man on the moon?").text
                assert (demo_chat_model.temperature, demo_chat_model.n_threads) == (0, 1)

            def test_llm(demo_llm, demo_chat_model, demo_model_path):
                assert "Neil Armstrong" in demo_llm.invoke("The first man on the moon was ...")
                assert demo_llm.model_path == demo_chat_model.model_path == demo_model_path

            def test_embeddings(demo_embeddings, demo_embedding_model_path):
                assert len(demo_embeddings.embed_query("a")) == 192
                assert demo_embeddings.model_path == demo_embedding_model_path

            def test_again(demo_chat_model, request):
                assert demo_chat_model is request.getfixturevalue("demo_chat_model")
        """,
    )
    result.assert_outcomes(passed=4)


def test_without_llama_cpp_the_demo_models_say_what_to_install(inner):
    result = inner(
        conftest=FIXTURES + 'import sys\nsys.modules["llama_cpp"] = None\n',
        test_user="""
            def test_chat(demo_chat_model):
                pass

            def test_embeddings(demo_embeddings):
                pass

            def test_scripted(scripted_chat_model):
                assert scripted_chat_model("a").invoke("hi").text == "a"
        """,
    )
    result.assert_outcomes(passed=1, skipped=2)
    result.stdout.fnmatch_lines(["*langchain-localmodels?llamacpp?*"])


def test_scripted_models_are_a_fixture(inner):
    result = inner(
        conftest=FIXTURES,
        test_user="""
            from langchain_localmodels.testing import Call

            def test_all_used(scripted_chat_model):
                model = scripted_chat_model("one", Call("two"), temperature=0)
                assert model.invoke("hi").text == "one"
                assert model.invoke("hi").tool_calls[0]["name"] == "two"

            def test_function(scripted_chat_model):
                assert scripted_chat_model(lambda request: "a").invoke("hi").text == "a"
                assert scripted_chat_model({"h": "b"}).invoke("hi").text == "b"

            def test_unused(scripted_chat_model):
                scripted_chat_model("one", "never asked for")
        """,
    )
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*nobody has asked for*never asked for*"])


ROW = """
from langchain_localmodels.testing import Script, ScriptedChatModel, ScriptedLLM, oblige
from langchain_localmodels.testing.contract import EngineContract, StreamContract, ToolContract

SCRIPT = Script(oblige)

class Row(EngineContract):
    engine = "scripted"
    missing = {}

    def chat_model(self, **fields):
        return ScriptedChatModel(answers=SCRIPT, **fields)

    def llm(self, **fields):
        return ScriptedLLM(answers=SCRIPT, **fields)
"""


def test_what_is_not_there_yet_is_reported_when_it_is(inner):
    result = inner(
        test_row=ROW
        + """
class TestRow(Row, StreamContract):
    not_yet = {"test_usage": "nobody counts", "test_batch[llm]": "one at a time", "test_stop": "never stops"}

    def test_stop(self):
        raise AssertionError
"""
    )
    outcomes = result.parseoutcomes()
    assert (outcomes["failed"], outcomes["xfailed"]) == (2, 1)
    result.stdout.fnmatch_lines(["*XPASS(strict)*nobody counts*", "*XPASS(strict)*one at a time*", "*never stops*"])


def test_a_row_cannot_leave_out_what_there_is_not(inner):
    result = inner(
        test_row=ROW + 'class TestRow(Row):\n    not_yet = {"test_nothing": "no reason"}\n',
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*test_nothing is no test*"])


def test_an_engine_that_breaks_the_contract_fails(inner):
    result = inner(
        "-k",
        "drivers or usage or metadata or finish or blocks or events or model_calls or forced",
        "--tb=no",
        test_row=ROW
        + """
from langchain_localmodels.testing import Answer

class TestRow(Row, StreamContract, ToolContract):
    def chat_model(self, **fields):
        return ScriptedChatModel(answers=[Answer("It is never the same, said no one.", whole=False)], **fields)
""",
    )
    outcomes = result.parseoutcomes()
    # The text model keeps the contract.
    assert outcomes["failed"] >= 16
    assert outcomes["passed"] == 1


def test_skips_tell_their_reason(inner):
    result = inner(
        test_row=ROW
        + """
from langchain_localmodels.testing.contract import EmbeddingContract, ReasoningContract

class TestRow(Row, EmbeddingContract, ReasoningContract):
    pass
"""
    )
    outcomes = result.parseoutcomes()
    assert outcomes["skipped"] > 10
    assert outcomes["passed"] == 2
    result.stdout.fnmatch_lines(["*scripted has no class for embeddings*"])
    result.stdout.fnmatch_lines(["*no model here that thinks*"])


def test_no_test_of_the_contract_hides_another():
    areas = [cls for cls in EngineContractTests.__mro__ if "contract" in cls.__module__]
    names = [name for cls in areas for name in vars(cls) if name.startswith("test_")]
    assert len(areas) == 14
    assert len(names) > 100
    assert sorted(names) == sorted(set(names))


def test_the_models_need_no_pytest():
    code = "import sys; sys.modules['pytest'] = None; import langchain_localmodels.testing"
    subprocess.run([sys.executable, "-c", code], check=True)
