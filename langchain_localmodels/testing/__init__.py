"""For tests: models that answer what a test says, the demo models as fixtures, and the contract of an engine.

- `ScriptedChatModel`, `ScriptedLLM` and `ScriptedEmbeddings` need no engine and no model file; `Answer`, `Call`,
  `InvalidCall` and `Gate` say what they answer, `Script` shares answers between models, `oblige` answers anything.
- `langchain_localmodels.testing.fixtures` is a plugin for pytest.
- `langchain_localmodels.testing.contract` is what every engine must do; whoever writes one runs it.

Only the last two import pytest, which is not among this package's requirements.
"""

from __future__ import annotations

from langchain_localmodels.testing.answers import Answer, Call, InvalidCall
from langchain_localmodels.testing.embeddings import ScriptedEmbeddings
from langchain_localmodels.testing.gates import Gate
from langchain_localmodels.testing.models import ScriptedChatModel, ScriptedLLM
from langchain_localmodels.testing.obliging import oblige
from langchain_localmodels.testing.script import Script

__all__ = [
    "Answer",
    "Call",
    "Gate",
    "InvalidCall",
    "Script",
    "ScriptedChatModel",
    "ScriptedEmbeddings",
    "ScriptedLLM",
    "oblige",
]
