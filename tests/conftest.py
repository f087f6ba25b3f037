"""What `test_serdes` of LangChain's standard tests needs of a package that LangChain does not list."""

from __future__ import annotations

import sys

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.matchers import path_type


@pytest.fixture
def snapshot(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    """Dumps hold the path of the model file, which every machine has elsewhere."""
    return snapshot.with_defaults(matcher=path_type({"kwargs.model_path": (str,)}, replacer=lambda *_: "model.gguf"))


@pytest.fixture(autouse=True)
def _langchain_lists_our_classes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """That test loads with `allowed_objects="all"`, which means the classes of LangChain's own table alone.

    Users name our classes in `allowed_objects`. This puts the class where it would be if LangChain listed it.
    """
    if request.node.name == "test_serdes":
        path = tuple(request.instance.chat_model_class.lc_id())
        table = sys.modules["langchain_core.load.load"]
        monkeypatch.setattr(table, "_default_class_paths_cache", {"all": {path}})
