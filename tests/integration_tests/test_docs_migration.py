"""`docs/migration.md`: what it says of fields and defaults is what the classes do."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import BaseModel

from langchain_localmodels import GPT4AllEmbeddings, LlamaCppEmbeddings, LlamafileEmbeddings, OllamaEmbeddings
from langchain_localmodels.engines.gpt4all.options import GPT4AllOptions
from langchain_localmodels.engines.llamacpp.options import LlamaCppOptions
from langchain_localmodels.engines.llamafile.options import LlamafileOptions
from langchain_localmodels.engines.ollama.options import OllamaOptions
from langchain_localmodels.vocabulary import ALIASES
from tests.integration_tests.test_docs import DOCS, names, table

OPTIONS = {
    "llama.cpp": LlamaCppOptions,
    "LlamaCppEmbeddings": LlamaCppEmbeddings,
    "Ollama": OllamaOptions,
    "OllamaEmbeddings": OllamaEmbeddings,
    "GPT4All": GPT4AllOptions,
    "GPT4AllEmbeddings": GPT4AllEmbeddings,
    "llamafile": LlamafileOptions,
    "LlamafileEmbeddings": LlamafileEmbeddings,
}


def own(options: type, attribute: str) -> dict[str, Any]:
    """Join what the classes of an engine's room say, without what is said for all engines."""
    rooms = [cls for cls in options.__mro__ if ".engines." in cls.__module__]
    return {name: value for cls in reversed(rooms) for name, value in vars(cls).get(attribute, {}).items()}


@pytest.mark.parametrize("whose", OPTIONS)
def test_retired_fields(whose: str):
    header = f"retired {whose} field | silent at | why"
    if not own(OPTIONS[whose], "_retired"):
        assert header not in (DOCS / "migration.md").read_text("utf-8")
        return
    told = {name: names(row[1])[:1] for row in table("migration.md", header) for name in names(row[0])}
    retired = own(OPTIONS[whose], "_retired")
    assert told == {name: [] if value is ... else [f"{value!r}"] for name, value in retired.items()}


@pytest.mark.parametrize("whose", OPTIONS)
def test_renamed_fields(whose: str):
    title = whose.replace("LlamaCppEmbeddings", "llama.cpp")  # whose table is said to hold there, too
    rows = table("migration.md", f"{title} name | is here")
    assert {names(old)[0]: names(new)[0] for old, new in rows} == own(OPTIONS[whose], "_aliases")


@pytest.mark.parametrize(("whose", "least"), list(zip(OPTIONS, (16, 7, 16, 11, 15, 7, 20, 2), strict=True)))
def test_kept_fields(whose: str, least: int):
    text = (DOCS / "migration.md").read_text("utf-8")
    (kept,) = re.findall(rf"^Kept fields of {re.escape(whose)}: (.*?)\n\n", text, re.MULTILINE | re.DOTALL)
    known = OPTIONS[whose]._known_names() | OPTIONS[whose]._all_aliases().keys()
    assert len(names(kept)) >= least
    assert set(names(kept)) <= known


@pytest.mark.parametrize(
    ("header", "options"),
    [
        ("field", LlamaCppOptions),
        ("embeddings field", LlamaCppEmbeddings),
        ("GPT4All field", GPT4AllOptions),
        ("llamafile field", LlamafileOptions),
    ],
)
def test_changed_defaults(header: str, options: type[BaseModel]):
    for name, _, today, _ in table("migration.md", f"{header} | langchain-community | here | why"):
        word = names(name)[0]
        field = options.model_fields[ALIASES.get(word, word)]
        assert names(today)[0] == f"{field.default!r}", word
