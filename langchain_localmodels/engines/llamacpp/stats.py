"""`EngineStats`: what an engine does at a moment, and has done since its model was loaded."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineStats:
    """What `engine_stats()` gives. All objects that share a model and its settings share these figures.

    Attributes:
        slots: How many requests can be worked on at once.
        running: Requests that are being worked on.
        queued: Requests that wait for a slot, or for room in the KV cache.
        kv_cells: Tokens that the KV cache holds at most, for all requests together.
        kv_used: Tokens that it holds now; one that several requests share counts once.
        requests: Requests that have been given a slot.
        prefix_hits: Those of them whose beginning was found in the cache.
        prompt_tokens: Tokens of all their prompts.
        reused_tokens: Those of them that were not computed again.
        generated_tokens: Tokens written.
        preemptions: How often a request had to give its place in the KV cache back, and was computed again later.
        busy_seconds: Time spent on requests.
    """

    slots: int
    running: int = 0
    queued: int = 0
    kv_cells: int = 0
    kv_used: int = 0
    requests: int = 0
    prefix_hits: int = 0
    prompt_tokens: int = 0
    reused_tokens: int = 0
    generated_tokens: int = 0
    preemptions: int = 0
    busy_seconds: float = 0.0

    @property
    def tokens_per_second(self) -> float:
        """Tokens written per second of work, reading of prompts included; 0 before the first."""
        return self.generated_tokens / self.busy_seconds if self.busy_seconds else 0.0
