"""The documentation: its code runs, shows what it says, and its tables say what the code says.

Every ```python block of `docs/*.md` and README.md runs, those of one file in order and in one namespace, on the demo
models, on the double of an Ollama server, or on a real `llama-server`. Comments before a block say more:

- `<!-- not run: REASON -->` before a python block: it is only compiled.
- `<!-- output -->` before a text block: what the python block before it prints, letter by letter.

After a change of the demo model, `python -m tests.integration_tests.test_docs` writes the outputs anew.
"""

from __future__ import annotations

import contextlib
import gc
import html
import importlib
import io
import json
import os
import re
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from langchain_core import exceptions as core_exceptions
from pydantic import BaseModel

import langchain_localmodels
from langchain_localmodels import GPT4AllEmbeddings, LlamaCppEmbeddings, LlamafileEmbeddings, OllamaEmbeddings, errors
from langchain_localmodels.dialects.json_schema import schema_rules
from langchain_localmodels.dialects.notations import NOTATIONS, notation_named
from langchain_localmodels.dialects.reader import OutputReader
from langchain_localmodels.engine_options import EngineOptions
from langchain_localmodels.engines import ENGINES, sharing
from langchain_localmodels.engines.base import Sampling, Tool, ToolCallDelta
from langchain_localmodels.engines.gpt4all import checks as gpt4all_checks
from langchain_localmodels.engines.gpt4all import choosing as gpt4all_choosing
from langchain_localmodels.engines.gpt4all import config as gpt4all_config
from langchain_localmodels.engines.gpt4all.file_options import GPT4AllFileOptions
from langchain_localmodels.engines.gpt4all.options import GPT4AllOptions
from langchain_localmodels.engines.llamacpp import config as llamacpp_config
from langchain_localmodels.engines.llamacpp.file_options import LlamaCppFileOptions
from langchain_localmodels.engines.llamacpp.options import LlamaCppOptions
from langchain_localmodels.engines.llamacpp.sampling import DEFAULTS
from langchain_localmodels.engines.llamacpp.stats import EngineStats
from langchain_localmodels.engines.llamafile.options import LlamafileOptions
from langchain_localmodels.engines.ollama.options import OllamaOptions
from langchain_localmodels.options import LocalModelOptions
from langchain_localmodels.testing import ScriptedChatModel
from langchain_localmodels.vocabulary import ALIASES, Vocabulary
from tests import llama_server
from tests.doubles.ollama_server import OllamaDouble

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), ROOT / "README.md"]
OLLAMA_MODELS = {"qwen3:8b"}
"""Models that the pages name beside those that the double has anyway."""

# --- blocks -----------------------------------------------------------------------------------------------------------

_BLOCK = re.compile(
    r"(?:^<!-- *(?P<comment>[^\n]*?) *-->\n)?^```(?P<language>[a-z]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str
    comment: str
    start: int
    line: int


def blocks(page: Path) -> list[Block]:
    source = page.read_text("utf-8")
    return [
        Block(m["language"], m["text"], m["comment"] or "", m.start("text"), source.count("\n", 0, m.start("text")))
        for m in _BLOCK.finditer(source)
    ]


def run(page: Path) -> Iterator[tuple[Block, str]]:
    """Run a page; gives each block of output with what was really printed."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    printed = ""
    for block in blocks(page):
        if block.language == "python":
            # Blank lines before it make the traceback tell the page's own line.
            code = compile("\n" * block.line + block.text, str(page), "exec", dont_inherit=True)
            if block.comment.startswith("not run:"):
                continue
            stdout = io.StringIO()
            with contextlib.redirect_stdout(stdout), warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)
                exec(code, namespace)
            printed = "".join(f"{line.rstrip()}\n" for line in stdout.getvalue().splitlines())
        elif block.comment == "output":
            yield block, printed
    for value in namespace.values():
        if isinstance(value, EngineOptions):
            value.close()


def end_what_lingers() -> None:
    """End the contexts of earlier tests, which stay for a while: what they have read shows in the counts of a page."""
    gc.collect()
    with sharing._lock:
        idle = [entry.thread for entry in sharing._entries.values() if not entry.users]
        for thread in idle:
            thread.leave_at = time.monotonic()
    for thread in idle:
        thread.nudge()
        thread.join(10)


def llamafile_of(page: Path) -> dict[str, str]:
    """Variables that tell a page where a server with the demo model is, and which program serves other models."""
    run = [block for block in blocks(page) if block.language == "python" and not block.comment.startswith("not run")]
    if not any("Llamafile" in block.text for block in run):
        return {}
    path = f"{llama_server.program().parent}{os.pathsep}{os.environ['PATH']}"
    return {"LLAMAFILE_BASE_URL": llama_server.chat_server().url, "PATH": path, **llama_server.ENVIRONMENT}


@contextlib.contextmanager
def surroundings(page: Path) -> Iterator[None]:
    """The servers that a page talks to, where variables say, and engines of this process on one thread, unread."""
    end_what_lingers()
    with (
        OllamaDouble() as double,
        mock.patch.dict(os.environ, {"OLLAMA_HOST": f"127.0.0.1:{double.port}", **llamafile_of(page)}),
        mock.patch.object(llamacpp_config, "usable_cpus", return_value=1),
        mock.patch.object(gpt4all_config, "usable_cpus", return_value=1),
    ):
        double.models |= OLLAMA_MODELS
        yield


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_code_runs_and_prints_what_is_shown(page: Path):
    with surroundings(page):
        for block, printed in run(page):
            assert printed == block.text, f"{page.name}, line {block.line + 1}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_are_marked_as_they_should(page: Path):
    for block in blocks(page):
        known = block.comment in ("", "output") or re.fullmatch(r"not run: \S.*", block.comment)
        assert known, f"{page.name}, line {block.line}: {block.comment}"
        assert block.comment != "output" or block.language == "text"
        assert not block.comment.startswith("not run") or block.language == "python"
    assert page.read_text("utf-8").count("```") == 2 * len(blocks(page)), "a block that is not closed, or indented"


# --- tables -----------------------------------------------------------------------------------------------------------


def table(page: str, header: str) -> list[list[str]]:
    """The rows of the table whose first header cells are these, as lists of cells."""
    source = (DOCS / page).read_text("utf-8")
    _, found, rest = source.partition(f"| {header} |")
    assert found, f"{page} has no table that begins with {header!r}"
    rows = rest.split("\n\n")[0].splitlines()[2:]
    return [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


def names(cell: str) -> list[str]:
    """What a cell has in code style."""
    return re.findall(r"`([^`]+)`", cell)


def in_words(schema: dict[str, Any]) -> str:
    """The values that a field takes, from its JSON Schema."""
    if "anyOf" in schema:
        return ", or ".join(in_words(choice) for choice in schema["anyOf"] if choice.get("type") != "null")
    if "enum" in schema:
        return ", ".join(f"`{value!r}`" for value in schema["enum"])
    kind = {
        "array": "list of texts",
        "boolean": "`True`, `False`",
        "integer": "whole number",
        "number": "number",
        "object": "dict",
        "string": "text",
    }[schema["type"]]
    least, above, most = (schema.get(key) for key in ("minimum", "exclusiveMinimum", "maximum"))
    if least is not None and most is not None:
        return f"{kind}, {least} to {most}"
    if above is not None:
        return f"{kind} above {above}" + (f", at most {most}" if most is not None else "")
    return kind if least is None else f"{kind}, at least {least}"


def own_fields(options: type[BaseModel], base: type[BaseModel]) -> dict[str, str]:
    """The fields that a class adds, with their defaults as the pages write them."""
    return {
        name: "required" if field.is_required() else f"`{field.get_default(call_default_factory=True)!r}`"
        for name, field in options.model_fields.items()
        if name not in base.model_fields
    }


def test_the_vocabulary():
    rows = table("parameters.md", "name | meaning | values | default | other names")
    schema = Vocabulary.model_json_schema()["properties"]
    assert [names(row[0]) for row in rows] == [[name] for name in Vocabulary.model_fields]
    for name, _, values, default, aliases in rows:
        word = names(name)[0]
        assert values == in_words(schema[word]), word
        assert default == f"`{Vocabulary.model_fields[word].default!r}`"
        assert set(names(aliases)) == {alias for alias, target in ALIASES.items() if target == word}


@pytest.mark.parametrize(
    ("page", "header", "options", "base"),
    [
        ("parameters.md", "field", LocalModelOptions, Vocabulary),
        ("llamacpp.md", "field", LlamaCppOptions, LocalModelOptions),
        ("llamacpp.md", "embeddings field", LlamaCppEmbeddings, LlamaCppFileOptions),
        ("gpt4all.md", "field", GPT4AllOptions, LocalModelOptions),
        ("gpt4all.md", "embeddings field", GPT4AllEmbeddings, GPT4AllFileOptions),
        ("ollama.md", "field", OllamaOptions, LocalModelOptions),
        ("ollama.md", "embeddings field", OllamaEmbeddings, OllamaOptions),
        ("llamafile.md", "field", LlamafileOptions, LocalModelOptions),
        ("llamafile.md", "embeddings field", LlamafileEmbeddings, LlamafileOptions),
    ],
)
def test_fields(page: str, header: str, options: type[BaseModel], base: type[BaseModel]):
    rows = table(page, f"{header} | meaning | default")
    assert {names(name)[0]: default for name, _, default in rows} == own_fields(options, base)


def test_figures():
    told = [names(name)[0] for name, _ in table("llamacpp.md", "figure | meaning")]
    assert told == [*EngineStats.__dataclass_fields__, "tokens_per_second"]


def test_sampling_defaults():
    rows = table("llamacpp.md", "parameter | llama.cpp's default")
    told = {names(name)[0]: names(value)[0] for name, value in rows}
    used = {name: getattr(DEFAULTS, name) for name in Sampling.__dataclass_fields__}
    assert told == {name: f"{value!r}" for name, value in used.items() if value not in (None, ())}


def test_sampling_defaults_of_gpt4all():
    rows = table("gpt4all.md", "parameter | GPT4All's default")
    told = {names(name)[0]: names(value)[0] for name, value in rows}
    used = {name: getattr(gpt4all_choosing.DEFAULTS, name, None) for name in Sampling.__dataclass_fields__}
    assert told == {name: f"{value!r}" for name, value in used.items() if value is not None}


def test_what_gpt4all_reads():
    told = {name: set(names(cell)) for name, cell in table("gpt4all.md", "what | which ones GPT4All knows")}
    assert told["architectures that write"] == gpt4all_checks._WRITING_ARCHITECTURES
    assert told["architectures that embed"] == gpt4all_checks.EMBEDDING_ARCHITECTURES
    assert told["pre-tokenizers"] == gpt4all_checks._PRE_TOKENIZERS


_ANY_OBJECT: dict[str, Any] = {"type": "object", "properties": {"a": {}}, "required": ["a"]}
BROKEN: dict[str, tuple[dict[str, Any], Any]] = {
    "not": ({"not": {"const": 1}}, 1),
    "if": ({"type": "integer", "if": {"minimum": 2}, "then": {"minimum": 4}}, 3),
    "enum": ({"enum": [1, 2], "minimum": 2}, 1),
    "const": ({"const": 1, "multipleOf": 2}, 1),
    "dependentRequired": ({**_ANY_OBJECT, "dependentRequired": {"a": ["b"]}}, {"a": 1}),
    "dependentSchemas": ({**_ANY_OBJECT, "dependentSchemas": {"a": {"required": ["b"]}}}, {"a": 1}),
    "unevaluatedProperties": ({**_ANY_OBJECT, "unevaluatedProperties": False}, {"a": 1, "b": 2}),
    "uniqueItems": ({"type": "array", "uniqueItems": True}, [1, 1]),
    "contains": ({"type": "array", "contains": {"const": 1}}, [2]),
    "unevaluatedItems": ({"prefixItems": [{"const": 1}], "unevaluatedItems": False}, [1, 2]),
    "multipleOf": ({"type": "integer", "multipleOf": 3}, 4),
    "oneOf": ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, 3),
}
"""Of what a grammar does not say: a schema and a value that breaks it."""


def test_schema_keywords_that_are_checked_afterwards_alone():
    rows = table("llamacpp.md", "about | enforced by the grammar | checked afterwards alone")
    assert {name for row in rows for name in names(row[2])} - {"discriminator"} == BROKEN.keys()
    for name, (schema, value) in BROKEN.items():
        assert schema_rules(schema, prefix="r").unenforced, name
        model = ScriptedChatModel(answers=[json.dumps(value)]).with_structured_output({"title": "Value", **schema})
        with pytest.raises(errors.StructuredOutputError):
            model.invoke("?")


def test_errors():
    rows = table("errors.md", "class | parent | also a | meaning")
    defined = {n: c for n, c in vars(errors).items() if isinstance(c, type) and c.__module__ == errors.__name__}
    assert [names(row[0])[0] for row in rows] == list(defined)
    for name, parent, also, _ in rows:
        bases = [base.__name__ for base in defined[names(name)[0]].__bases__]
        assert names(parent) + names(also) == bases
    tree = (DOCS / "errors.md").read_text("utf-8")
    assert (errors.__doc__ or "").split("```")[1].strip() in tree, "the tree is drawn in another way than in errors.py"
    for name in names(" ".join(row[2] for row in rows)):
        assert hasattr(core_exceptions, name) or issubclass(getattr(__import__("builtins"), name), Exception)


def test_notations():
    """All are there, each once; and what is shown as a call is one that is read."""
    rows = table("tools.md", "`tool_notation` | models | a call")
    told = [name for cell, _, _ in rows for name in names(cell)]
    assert sorted(told) == sorted(notation.name for notation in NOTATIONS)
    weather = Tool("weather", "", {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
    for name, (_, _, cell) in zip(told, rows, strict=True):
        # HTML is written where Markdown's own code cannot hold the signs that part cells.
        shown = html.unescape(re.sub(r"</?code>", "", cell)) if cell.startswith("<code>") else cell.strip("`")
        reader = OutputReader(notation=notation_named(name), tools=[weather])
        read = [*reader.feed(shown.replace("↵", "\n")), *reader.finish()]
        calls = [(d.name, json.loads(d.arguments)) for d in read if isinstance(d, ToolCallDelta)]
        assert calls == [("weather", {"city": "Rome"})], (name, read)
        assert len(read) == 1, (name, read)


# --- the rest ---------------------------------------------------------------------------------------------------------


def test_gpu_builds():
    flags = re.findall(r'CMAKE_ARGS="[^"]+"', llamacpp_config._GPU_HINT)
    page = (DOCS / "llamacpp.md").read_text("utf-8")
    assert flags
    assert all(flag in page for flag in flags)


def test_public_names():
    api = (DOCS / "api.md").read_text("utf-8")
    for path in re.findall(r"^::: (\S+)$", api, re.MULTILINE):
        module, _, name = path.rpartition(".")
        try:
            importlib.import_module(path)
        except ImportError:
            assert hasattr(importlib.import_module(module), name), path
    told = set(names(api))
    assert told >= set(langchain_localmodels.__all__) - {"__version__"}


def test_the_table_of_engines():
    rows = table("index.md", "engine | text in, text out | chat model | embeddings | where it runs | page")
    told = [[*names(row[1])[:1], *names(row[2]), *names(row[3])] for row in rows]
    classes = [[entry.llm, entry.chat, entry.embeddings] for entry in ENGINES.values()]
    assert told == [[name for name in row if name] for row in classes]


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.name)
def test_pages_are_in_the_navigation_and_their_links_lead_somewhere(page: Path):
    source = page.read_text("utf-8")
    assert page.name in (ROOT / "mkdocs.yml").read_text("utf-8")
    for target in re.findall(r"\]\(([^)#:]+\.md)", source):
        assert (DOCS / target).exists(), target
    assert not [line for line in source.splitlines() if len(line) > 120 and line[0] != "|"]


def write_outputs() -> None:
    """Write what the blocks really print into the pages."""
    for page in PAGES:
        with surroundings(page):
            source = page.read_text("utf-8")
            for block, printed in reversed(list(run(page))):
                source = source[: block.start] + printed + source[block.start + len(block.text) :]
            if source != page.read_text("utf-8"):
                page.write_text(source, "utf-8")
                sys.stdout.write(f"{page.relative_to(ROOT)}: outputs written anew\n")


if __name__ == "__main__":
    write_outputs()
