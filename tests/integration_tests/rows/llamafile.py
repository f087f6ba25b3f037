"""llamafile's row of the contract suite."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from langchain_localmodels import ChatLlamafile, Llamafile, LlamafileEmbeddings
from langchain_localmodels.testing.contract import EngineContractTests
from tests.doubles.scripted_http import Scripted, delta, sse
from tests.llama_server import chat_server, embedding_server

CHAT = "/v1/chat/completions"
THOUGHT = sse(
    *[delta(reasoning_content=piece) for piece in ("I know ", "that.")],
    *[delta(piece) for piece in ("Neil ", "Armstrong.")],
    delta(finish="stop"),
)


class LlamafileRow(EngineContractTests):
    """llamafile's protocol, on a real `llama-server` with the demo models."""

    engine = "llamafile"
    missing = {"base_url": "127.0.0.1:9", "max_retries": 0}

    @pytest.fixture(autouse=True)
    def _scripted(self) -> Iterator[None]:
        with Scripted({"/v1/models": (200, {"data": [{"id": "demo"}]}), CHAT: (200, THOUGHT)}) as self.scripted:
            yield

    @property
    def thinking(self) -> dict[str, Any]:  # type: ignore[override]
        """The demo model does not think: a server that gives what one that does would."""
        return {"base_url": self.scripted.url}

    def chat_model_that_writes(self, text: str, calls: Sequence[tuple[str, str]], **fields: Any) -> ChatLlamafile:
        pieces = [delta(text)]
        for index, (name, given) in enumerate(calls):
            # The name comes first, and the arguments in two pieces.
            middle = len(given) // 2
            begun = {"index": index, "id": f"id{index}", "type": "function", "function": {"name": name}}
            parts = [{"index": index, "function": {"arguments": part}} for part in (given[:middle], given[middle:])]
            pieces += [delta(tool_calls=[piece]) for piece in (begun, *parts)]
        self.scripted.answers[CHAT] = (200, sse(*pieces, delta(finish="tool_calls" if calls else "stop")))
        return self.chat_model(base_url=self.scripted.url, **fields)

    def chat_model(self, **fields: Any) -> ChatLlamafile:
        return ChatLlamafile(**{"model": "demo", "base_url": chat_server().url, "temperature": 0, **fields})

    def llm(self, **fields: Any) -> Llamafile:
        return Llamafile(**{"model": "demo", "base_url": chat_server().url, "temperature": 0, **fields})

    def embeddings(self, **fields: Any) -> LlamafileEmbeddings:
        return LlamafileEmbeddings(**{"model": "demo", "base_url": embedding_server().url, **fields})
