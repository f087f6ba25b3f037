"""A plugin for pytest: the demo models, and scripted ones, as fixtures.

Enable it in the `conftest.py` of your tests:

```python
pytest_plugins = ["langchain_localmodels.testing.fixtures"]
```

The demo models are loaded once in a run, when the first test asks for them, and closed at its end. They answer
deterministically, on one thread of the processor. Tests that ask for them are skipped, and say what to install, where
the extra `llamacpp` is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from langchain_localmodels.errors import EngineNotInstalledError

if TYPE_CHECKING:
    from langchain_localmodels import ChatLlamaCpp, LlamaCpp, LlamaCppEmbeddings
    from langchain_localmodels.engine_options import EngineOptions
    from langchain_localmodels.testing import ScriptedChatModel

_ModelT = TypeVar("_ModelT", bound="EngineOptions")


@pytest.fixture(scope="session")
def demo_model_path() -> str:
    """Path of the demo chat model, a GGUF file that comes with the package."""
    from langchain_localmodels.demo import model_path

    return model_path


@pytest.fixture(scope="session")
def demo_embedding_model_path() -> str:
    """Path of the demo embedding model, a GGUF file that comes with the package."""
    from langchain_localmodels.demo import embedding_model_path

    return embedding_model_path


@pytest.fixture(scope="session")
def demo_chat_model(demo_model_path: str) -> Iterator[ChatLlamaCpp]:
    """The demo model as a chat model, at temperature 0."""
    from langchain_localmodels import ChatLlamaCpp

    with ChatLlamaCpp(model_path=demo_model_path, temperature=0, n_threads=1) as model:
        yield _loaded(model)


@pytest.fixture(scope="session")
def demo_llm(demo_model_path: str) -> Iterator[LlamaCpp]:
    """The demo model as a text-in, text-out model, at temperature 0; the weights are those of `demo_chat_model`."""
    from langchain_localmodels import LlamaCpp

    with LlamaCpp(model_path=demo_model_path, temperature=0, n_threads=1) as model:
        yield _loaded(model)


@pytest.fixture(scope="session")
def demo_embeddings(demo_embedding_model_path: str) -> Iterator[LlamaCppEmbeddings]:
    """The demo embedding model."""
    from langchain_localmodels import LlamaCppEmbeddings

    with LlamaCppEmbeddings(model_path=demo_embedding_model_path, n_threads=1) as model:
        yield _loaded(model)


@pytest.fixture
def scripted_chat_model() -> Iterator[Callable[..., ScriptedChatModel]]:
    """Makes scripted chat models: `scripted_chat_model("Hello", Call(…))` answers these in order.

    A single function, dict or `Script` is taken as it is; keyword arguments are fields. At its end a test fails that
    has left answers of a list unused, since it did not ask what it was written to ask.
    """
    from langchain_localmodels.testing import Script, ScriptedChatModel

    made: list[ScriptedChatModel] = []

    def make(*answers: Any, **fields: Any) -> ScriptedChatModel:
        lone = len(answers) == 1 and (callable(answers[0]) or isinstance(answers[0], dict | Script))
        model = ScriptedChatModel(**{"answers": answers[0] if lone else list(answers), **fields})
        made.append(model)
        return model

    yield make
    unused = [answer for model in made for answer in model.unused]
    if unused:
        pytest.fail(f"The test ended with answers that nobody has asked for: {unused!r}", pytrace=False)


def _loaded(model: _ModelT) -> _ModelT:
    try:
        return model.load()
    except EngineNotInstalledError as error:
        pytest.skip(f"the demo models run on llama.cpp, which is not there: {error}")
