"""What the Ollama double does with models: lists, fetches, makes, copies, deletes, keeps them in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from tests.doubles.ollama_checks import find_model, is_name

_LENGTHS = (".context_length", ".embedding_length")
PART = "sha256:6a0746a1ec1aef3e7ec53868f220ff6e389f6f8ef87a01d77c96807de94ca2aa"


def _no_faults() -> SimpleNamespace:
    return SimpleNamespace(
        error_after=None, error="", raw_after=None, cut_after=None, end_after=None, reset=False, delay=0.0, split=None
    )


@dataclass
class Library:
    """The models that can be fetched, the files that were sent, and what goes wrong with reports."""

    known: set[str] = field(default_factory=lambda: {"qwen3:8b", "llama3.1:8b"})
    blobs: set[str] = field(default_factory=set)
    made: dict[str, dict[str, Any]] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)
    faults: Any = field(default_factory=_no_faults)
    version: Any = "0.33.0"

    def told(self, path: str, models: set[str], shown: Callable[[str], dict[str, Any]]) -> Any:
        """The answer to a GET; `None` for an unknown path. `shown` gives what `/api/show` tells of a model."""
        if path == "/api/version":
            return {"version": self.version}
        if path != "/api/tags":
            return None
        entries = []
        for name in sorted(models):
            entry = {"name": name, "model": name, "modified_at": "2026-01-02T03:04:05Z", "size": 7, "digest": "abc"}
            told = shown(name)
            info = told.get("model_info", {})
            lengths = {key.partition(".")[2]: size for key, size in info.items() if key.endswith(_LENGTHS)}
            details = {**told["details"], **lengths}
            entries.append({**entry, "details": details, "capabilities": told.get("capabilities", [])})
        return {"models": entries or None}

    def answer(self, path: str, body: dict[str, Any], models: set[str]) -> tuple[int, str] | list[dict[str, Any]]:
        """Status and error of an answer, or the lines of one that takes a while."""
        if path == "/api/copy":
            return self._copy(body.get("source", ""), body.get("destination", ""), models)
        name = body.get("model") or body.get("name", "")
        if not is_name(name):
            return 400, "invalid model name"
        if path == "/api/pull":
            return self._pull(name, models)
        if path == "/api/create":
            return self._create(body, models)
        if (found := find_model(name, models)) is None:
            return 404, f"model '{name}' not found"
        models.remove(found)
        return 200, ""

    def _copy(self, source: str, destination: str, models: set[str]) -> tuple[int, str]:
        for what, name in (("source", source), ("destination", destination)):
            if not is_name(name):
                return 400, f'{what} "{name}" is invalid'
        if find_model(source, models) is None:
            return 404, f'model "{source}" not found'
        models.add(destination)
        return 200, ""

    def take(self, digest: str, data: bytes) -> int:
        """Take a file; gives the status."""
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            return 400
        self.blobs.add(digest)
        return 201

    def keep(self, model: str, keep_alive: Any, *, unload: bool) -> str:
        """Load or unload a model; gives the reason."""
        if unload:
            self.kept.pop(model, None)
            return "unload"
        self.kept[model] = keep_alive
        return "load"

    def _pull(self, model: str, models: set[str]) -> list[dict[str, Any]]:
        first = {"status": "pulling manifest"}
        if model not in self.known:
            return [first, {"error": "pull model manifest: file does not exist"}]
        models.add(model)
        part = {"status": "pulling 6a0746a1ec1a", "digest": PART, "total": 2_000_000}
        steps = [part, *({**part, "completed": done} for done in (500_000, 1_000_000, 2_000_000))]
        return [first, *steps, {"status": "verifying sha256 digest"}, {"status": "success"}]

    def _create(self, body: dict[str, Any], models: set[str]) -> tuple[int, str] | list[dict[str, Any]]:
        if origin := body.get("from"):
            if find_model(origin, models) is None:
                return [{"status": "pulling manifest"}, {"error": "pull model manifest: file does not exist"}]
            models.add(body["model"])
            self.made[body["model"]] = body
            return [{"status": f"using existing layer {PART}"}, {"status": "writing manifest"}, {"status": "success"}]
        if not body.get("files"):
            return 400, "neither 'from' or 'files' was specified"
        if not set(body["files"].values()) <= self.blobs:
            missing = next(digest for digest in body["files"].values() if digest not in self.blobs)
            place = f"/models/blobs/{missing.replace(':', '-')}"
            return [{"status": "parsing GGUF"}, {"error": f"open {place}: no such file or directory"}]
        models.add(body["model"])
        self.made[body["model"]] = body
        return [{"status": "parsing GGUF"}, {"status": "writing manifest"}, {"status": "success"}]
