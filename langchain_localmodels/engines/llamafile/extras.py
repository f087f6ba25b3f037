"""`LlamafileExtras`: what a request can say to a server beyond the contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from langchain_localmodels.engines.base import EngineExtras


@dataclass(frozen=True, slots=True)
class LlamafileExtras(EngineExtras):
    """What a request can say to a server beyond the contract. `None` leaves a value to the server.

    Attributes:
        n_keep: Tokens at the prompt's beginning that stay when the window overflows; -1 for all.
        tfs_z: Tail free sampling, which servers had until 2024; 1 for off.
        penalize_nl: Whether `repeat_penalty` counts for line ends, which servers had until 2024.
        cache_prompt: Whether the beginning that a prompt shares with an earlier one is not computed again.
        id_slot: Which of the server's slots is to answer; -1 for any.
        reasoning: Whether the model thinks first, or how much.
        body: More entries of the request, by the server's names; they come before all others.
        max_retries: How often to send the request again when nothing came of it; `None` for the default.
    """

    n_keep: int | None = None
    tfs_z: float | None = None
    penalize_nl: bool | None = None
    cache_prompt: bool | None = None
    id_slot: int | None = None
    reasoning: bool | str | None = None
    body: Mapping[str, Any] = field(default_factory=dict)
    max_retries: int | None = None


LLAMAS_OWN = ("n_keep", "tfs_z", "penalize_nl", "cache_prompt", "id_slot")
"""The fields of `LlamafileExtras` that only llama.cpp's servers know, under these names."""
