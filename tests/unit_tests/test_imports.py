"""Who may import whom, what an import loads, and which names are public."""

import ast
import inspect
import json
import re
import subprocess
import sys
import typing
from fnmatch import fnmatch
from pathlib import Path

import pytest

import langchain_localmodels
from langchain_localmodels import chat_models, llms
from langchain_localmodels.engines import ENGINES

ROOT = Path(langchain_localmodels.__file__).parent
PACKAGE = ROOT.name

# --- who may import whom ----------------------------------------------------------------------------------------------

ONLY_THERE = {
    "httpx": "transport/http.py",
    "pydantic_core": "transport/framing.py",
    "llama_cpp": "engines/llamacpp/binding/*",
    "numpy": "engines/llamacpp/*",
    "gpt4all": "engines/gpt4all/*",
    "jinja2": "dialects/*",
    "jsonschema": "schema_check.py",
    "referencing": "schema_check.py",
    "pytest": "testing/*",
    "langchain": "testing/contract/*",
}
"""What only one place may import, whatever the rules above allow."""

CONTRACT = [".engines.base", ".errors"]
PYDANTIC = ["pydantic", "typing_extensions"]

RULES = [
    # The first pattern that a file fits decides. "." stands for this package, "./ROOM" for the file's own engine's.
    ("errors.py", ["langchain_core.exceptions"]),
    ("engines/__init__.py", []),
    ("engines/values.py", []),
    ("engines/base.py", [".engines.values"]),
    ("engines/worker.py", CONTRACT),
    ("engines/common.py", []),
    ("engines/file_profile.py", [".dialects", ".weights"]),
    ("engines/file_templates.py", [*CONTRACT, ".dialects", ".engines.common", ".weights"]),
    ("engines/served.py", [*CONTRACT, ".engine_options"]),
    ("engines/threads.py", [*CONTRACT, ".engines.worker"]),
    ("engines/sharing.py", [*CONTRACT, ".engines.worker", ".engines.threads"]),
    ("engines/*/__init__.py", []),
    ("engines/*/chat_models.py", ["./ROOM.options", ".chat_models"]),
    ("engines/*/llms.py", ["./ROOM.options", ".llms"]),
    ("engines/*/embeddings.py", ["./ROOM", ".embeddings"]),
    (
        "engines/*/*options.py",
        [
            *CONTRACT,
            *PYDANTIC,
            *("./ROOM", ".engines.isolation", ".engines.served", ".engines.file_profile"),
            *(".options", ".engine_options", ".weights"),
        ],
    ),
    (
        "engines/*",
        [
            *CONTRACT,
            *("./ROOM", ".engines.common", ".engines.file_templates"),
            *(".engines.worker", ".engines.threads", ".engines.sharing"),
            *(".dialects", ".transport", ".weights", *ONLY_THERE),
        ],
    ),
    ("dialects/messages.py", [*CONTRACT, ".dialects", "langchain_core"]),
    ("dialects/*", [*CONTRACT, ".dialects", "jinja2"]),
    ("transport/*", [".transport", ".errors", "httpx", "pydantic_core"]),
    ("weights/*", [".weights", ".errors"]),
    ("vocabulary.py", ["pydantic"]),
    ("schema_check.py", [".errors", "jsonschema", "referencing"]),
    ("settings.py", [".vocabulary", ".engines.base", "pydantic"]),
    ("engine_handle.py", [".engines.base"]),
    (
        "engine_options.py",
        [*CONTRACT, *PYDANTIC, ".engine_handle", ".identity", ".vocabulary", "langchain_core.load"],
    ),
    ("options.py", [*CONTRACT, *PYDANTIC, ".engine_options", ".settings", ".vocabulary"]),
    ("testing/*", [".", "langchain_core", "langchain", "pytest", *PYDANTIC]),
    ("demo/*", None),
    ("*", [".", "langchain_core", *PYDANTIC]),
]

FILES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))


def imported_by(file):
    """All that a file imports, in functions and for type checkers too, but for the standard library."""
    names = set()
    for node in ast.walk(ast.parse((ROOT / file).read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            # `from package import module` imports the module.
            names.update(
                f"{node.module}.{alias.name}" if is_module(f"{node.module}.{alias.name}") else node.module
                for alias in node.names
            )
    short = {re.sub(rf"^{PACKAGE}\b\.?", ".", name) for name in names}
    return {name for name in short if name.partition(".")[0] not in sys.stdlib_module_names}


def is_module(name):
    path = ROOT.parent / name.replace(".", "/")
    return path.with_suffix(".py").exists() or path.is_dir()


def within(name, prefix):
    return (prefix == "." and name.startswith(".")) or name == prefix or name.startswith(f"{prefix}.")


@pytest.mark.parametrize("file", FILES)
def test_a_file_imports_only_what_its_place_allows(file):
    imported = imported_by(file)
    allowed = next(allowed for pattern, allowed in RULES if fnmatch(file, pattern))
    room = ".engines." + file.split("/")[1] if file.startswith("engines/") and file.count("/") > 1 else ""
    if file == "__init__.py" or allowed is None:
        allowed = [*imported]
    allowed = [item.replace("./ROOM", room) for item in allowed]
    strange = {name for name in imported if not any(within(name, prefix) for prefix in allowed)}
    assert not strange, f"{file} may import only {allowed}"
    for name in imported:
        place = ONLY_THERE.get(name.partition(".")[0])
        assert place is None or fnmatch(file, place) or file.startswith("demo/"), f"only {place} may import {name}"


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith("engines/")])
def test_engines_are_given_turns_and_know_no_messages(file):
    assert ".dialects.messages" not in imported_by(file)


@pytest.mark.parametrize("file", [file for file in FILES if "/" not in file and file != "__init__.py"])
def test_faces_know_no_engine(file):
    assert not [name for name in imported_by(file) if fnmatch(name, ".engines.*.*")]


def test_the_rules_see_what_they_look_for():
    assert imported_by("errors.py") == {"langchain_core.exceptions"}
    assert ".engines.base" in imported_by("options.py")
    assert "httpx" in imported_by("transport/http.py")


@pytest.mark.parametrize("file", FILES)
def test_a_file_says_what_it_is_for_and_stays_short(file):
    text = (ROOT / file).read_text("utf-8")
    assert ast.get_docstring(ast.parse(text)), f"{file} has no docstring"
    assert text.count("\n") < 450, f"{file} is long"


# --- what an import loads ---------------------------------------------------------------------------------------------

HEAVY = {"llama_cpp", "gpt4all", "numpy", "jinja2", "httpx", "torch", "gguf", "requests", "langchain"}
CORE = "import langchain_core.language_models.chat_models, langchain_core.language_models.llms"


def modules_after(code):
    shown = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT.parent,
    ).stdout
    return set(json.loads(shown))


def test_the_package_alone_loads_next_to_nothing():
    loaded = {name.partition(".")[0] for name in modules_after("import langchain_localmodels")}
    assert not loaded & {*HEAVY, "pydantic", "langchain_core"}


def test_the_prompts_load_no_engine_and_no_templates():
    extra = modules_after("import langchain_localmodels.prompts") - modules_after(CORE)
    assert not {name.partition(".")[0] for name in extra} & HEAVY
    assert not {name for name in extra if name.startswith((f"{PACKAGE}.engines.", f"{PACKAGE}.dialects"))} - {
        f"{PACKAGE}.engines.base",
        f"{PACKAGE}.engines.values",
    }


def test_the_classes_load_no_engine_and_nothing_that_engines_need():
    extra = modules_after("from langchain_localmodels import *") - modules_after(CORE)
    assert not {name.partition(".")[0] for name in extra} & HEAVY
    ours = {name for name in extra if name.startswith(PACKAGE)}
    free = {*sys.stdlib_module_names, "pydantic", "langchain_core"}
    theirs = {name for name in extra - ours if name.partition(".")[0] not in free}
    assert len(ours) < 80
    assert not theirs


# --- public names -----------------------------------------------------------------------------------------------------


def test_all_public_names_can_be_had():
    assert sorted(langchain_localmodels.__all__) == langchain_localmodels.__all__
    for name in langchain_localmodels.__all__:
        assert getattr(langchain_localmodels, name) is not None
        assert name in dir(langchain_localmodels)


def test_every_class_of_every_engine_is_public_here_and_beside_its_face():
    for key, entry in ENGINES.items():
        for name, (_, target) in entry.classes().items():
            found = getattr(langchain_localmodels, name)
            assert name in langchain_localmodels.__all__
            assert found.__name__ == target
            assert found._engine_name == key
            face = {entry.llm: llms, entry.chat: chat_models}.get(target)
            assert face is None or getattr(face, name) is found


@pytest.mark.parametrize("module", [langchain_localmodels, chat_models, llms])
def test_other_names_are_not_there(module):
    with pytest.raises(AttributeError, match=rf"module '{module.__name__}' has no attribute 'ChatNothing'"):
        _ = module.ChatNothing


def test_a_face_has_the_classes_of_its_own_kind_only():
    assert not hasattr(chat_models, "LlamaCpp")
    assert not hasattr(llms, "ChatLlamaCpp")


def test_type_checkers_see_the_same_names():
    tree = ast.parse((ROOT / "__init__.py").read_text("utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    seen = {alias.asname or alias.name for node in block.body for alias in node.names}
    assert seen == set(langchain_localmodels.__all__) - {"__version__"}


def test_the_version_is_that_of_the_project():
    text = (ROOT.parent / "pyproject.toml").read_text("utf-8")
    assert f'\nversion = "{langchain_localmodels.__version__}"\n' in text


CLASSES = [name for name in langchain_localmodels.__all__ if isinstance(getattr(langchain_localmodels, name), type)]


@pytest.mark.parametrize("name", CLASSES)
def test_annotations_can_be_read_at_runtime(name):
    """`with_fallbacks` reads those of each method that it passes on."""
    for method, function in inspect.getmembers(getattr(langchain_localmodels, name), inspect.isfunction):
        if not method.startswith("_") and function.__module__.startswith(PACKAGE):
            typing.get_type_hints(function)
