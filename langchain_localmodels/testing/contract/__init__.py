"""The contract suite: what every engine must do, alike. An engine is done when its row passes.

A row is a class derived from `EngineContractTests` that says how its models are made:

```python
from langchain_localmodels.testing.contract import EngineContractTests


class TestMyEngine(EngineContractTests):
    engine = "myengine"
    missing = {"model": "nobody-has-this"}

    def chat_model(self, **fields):
        return ChatMyEngine(**{"model": "small", "temperature": 0, **fields})

    def llm(self, **fields):
        return MyEngineLLM(**{"model": "small", "temperature": 0, **fields})
```

The areas are classes of their own, for rows that want some of them only. It needs pytest, and for agents `langchain`.
"""

from __future__ import annotations

import pytest

# Before they are imported: pytest shows the values in a failed assertion only of modules that it knows of.
pytest.register_assert_rewrite(
    *(
        f"{__name__}.{area}"
        for area in (
            "agents",
            "base",
            "counting",
            "embedding",
            "failing",
            "helpers",
            "identity",
            "naming",
            "parameters",
            "streams",
            "structured",
            "thinking",
            "tools",
            "written",
        )
    )
)

from langchain_localmodels.testing.contract.agents import AgentContract  # noqa: E402
from langchain_localmodels.testing.contract.base import EngineContract  # noqa: E402
from langchain_localmodels.testing.contract.counting import CountingContract  # noqa: E402
from langchain_localmodels.testing.contract.embedding import EmbeddingContract  # noqa: E402
from langchain_localmodels.testing.contract.failing import ErrorContract  # noqa: E402
from langchain_localmodels.testing.contract.identity import IdentityContract  # noqa: E402
from langchain_localmodels.testing.contract.naming import FactoryContract  # noqa: E402
from langchain_localmodels.testing.contract.parameters import ParameterContract  # noqa: E402
from langchain_localmodels.testing.contract.streams import StreamContract  # noqa: E402
from langchain_localmodels.testing.contract.structured import StructuredOutputContract  # noqa: E402
from langchain_localmodels.testing.contract.thinking import ReasoningContract  # noqa: E402
from langchain_localmodels.testing.contract.tools import ToolContract  # noqa: E402
from langchain_localmodels.testing.contract.written import WrittenCallContract  # noqa: E402

__all__ = [
    "AgentContract",
    "CountingContract",
    "EmbeddingContract",
    "EngineContract",
    "EngineContractTests",
    "ErrorContract",
    "FactoryContract",
    "IdentityContract",
    "ParameterContract",
    "ReasoningContract",
    "StreamContract",
    "StructuredOutputContract",
    "ToolContract",
    "WrittenCallContract",
]


class EngineContractTests(
    StreamContract,
    ParameterContract,
    FactoryContract,
    IdentityContract,
    ErrorContract,
    ToolContract,
    WrittenCallContract,
    ReasoningContract,
    StructuredOutputContract,
    CountingContract,
    AgentContract,
    EmbeddingContract,
):
    """The whole contract; see `EngineContract` for what a row gives."""
