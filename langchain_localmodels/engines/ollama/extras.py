"""What a request can say to Ollama beyond the contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from langchain_localmodels.engines.base import EngineExtras


@dataclass(frozen=True, slots=True)
class OllamaExtras(EngineExtras):
    """What a request can say to Ollama beyond the contract. `None` leaves a value to the server.

    Attributes:
        num_ctx: Size of the context window, in tokens. A value other than the loaded model's loads it anew; so do the
            next five.
        num_batch: Prompt tokens processed in one step.
        num_gpu: Layers on the GPU; 0 for none, -1 for as many as fit.
        main_gpu: Which GPU holds what is not split.
        num_thread: CPU threads; 0 for the server's choice.
        use_mmap: Whether weights are mapped from the file and not read.
        num_keep: Tokens at the prompt's beginning that stay when the window overflows.
        keep_alive: How long the model stays loaded after this request: seconds, or a duration such as `"10m"`;
            negative for ever, 0 not at all.
        think: Whether the model thinks first: `True`, `False`, or how much: `"low"`, `"medium"`, `"high"`, `"max"`.
        options: More entries of Ollama's `options`, by Ollama's names; they come before all others.
        body: More entries of the request itself, such as `truncate`.
        generate: The same for text requests alone: `raw`, `suffix`, `system`, `template`.
        max_retries: How often to send the request again when nothing came of it; `None` for the default.
    """

    num_ctx: int | None = None
    num_batch: int | None = None
    num_gpu: int | None = None
    main_gpu: int | None = None
    num_thread: int | None = None
    use_mmap: bool | None = None
    num_keep: int | None = None
    keep_alive: int | float | str | None = None
    think: bool | str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] = field(default_factory=dict)
    generate: Mapping[str, Any] = field(default_factory=dict)
    max_retries: int | None = None


OPTIONS = ("num_ctx", "num_batch", "num_gpu", "main_gpu", "num_thread", "use_mmap", "num_keep")
"""The fields of `OllamaExtras` that go into `options`, under their own names."""
