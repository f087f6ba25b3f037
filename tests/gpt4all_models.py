"""What the tests of GPT4All share: models on the demo file, and a look over the engine's shoulder."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from langchain_localmodels import ChatGPT4All, GPT4All
from langchain_localmodels.demo import model_path
from langchain_localmodels.engines import sharing
from langchain_localmodels.engines.gpt4all.binding.model import Model

PROMPT = "The first man on the moon was ..."
LONG = "The first man on the moon was ... Let's think step by step"
WILD: dict[str, Any] = {"temperature": 50.0, "top_k": 0, "top_p": 1.0, "repeat_penalty": 1.0}
"""Every token is about as likely as any other, so that answers go on."""


def make_llm(**fields: Any) -> GPT4All:
    return GPT4All(**{"model": model_path, "n_threads": 1, "temperature": 0, **fields})


def make_chat(**fields: Any) -> ChatGPT4All:
    return ChatGPT4All(**{"model": model_path, "n_threads": 1, "temperature": 0, **fields})


class Watch:
    """Looks over the shoulder of all answers: how many are written at once, and each token.

    Args:
        monkeypatch: What it is put there with, and taken away.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tokens = 0
        self.running = 0
        self.most_at_once = 0
        self.keeps: list[int] = []
        self.begun = threading.Event()
        generate, seen = Model.generate, self

        def watched(self: Model, prompt: Any, choice: Any, *, keep: int, on_token: Any, **options: Any) -> None:
            def note(token: int, piece: bytes) -> bool:
                seen.tokens += 1
                seen.begun.set()
                return bool(on_token(token, piece))

            if options["max_tokens"] == 1 and not prompt[0].text:  # a look at what would have come
                generate(self, prompt, choice, keep=keep, on_token=on_token, **options)
                return
            seen.running += 1
            seen.most_at_once = max(seen.most_at_once, seen.running)
            seen.keeps.append(keep)
            try:
                generate(self, prompt, choice, keep=keep, on_token=note, **options)
            finally:
                seen.running -= 1

        monkeypatch.setattr(Model, "generate", watched)


def let_go() -> None:
    """Have models that nobody uses freed now."""
    for entry in list(sharing._entries.values()):
        if not entry.users:
            entry.thread.leave_at = 0
            entry.thread.nudge()
