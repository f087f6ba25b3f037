"""How much memory a model may take: the free memory of this machine, and the context window that fits into it."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from langchain_localmodels.errors import InvalidRequestError
from langchain_localmodels.weights.gguf import GGUFHeader

_logger = logging.getLogger(__name__)

_DEFAULT_WINDOW = 8192
"""Largest window, in tokens, that is chosen without being asked for."""
_SMALLEST_WINDOW = 256
_FALLBACK_WINDOW = 2048  # for files that do not say what they were trained on

_BYTES_PER_VALUE = {
    "f32": 4.0,
    "f16": 2.0,
    "bf16": 2.0,
    "q8_0": 34 / 32,
    "q5_1": 24 / 32,
    "q5_0": 22 / 32,
    "q4_1": 20 / 32,
    "q4_0": 18 / 32,
    "iq4_nl": 18 / 32,
}
_logged: set[tuple[str, int]] = set()


def available_memory() -> int | None:
    """Memory that programs can take without swapping, in bytes; `None` where the system does not tell."""
    if sys.platform.startswith("linux"):
        try:
            for line in Path("/proc/meminfo").read_text().splitlines():
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
        except (OSError, ValueError):
            return None
    if hasattr(os, "sysconf") and "SC_AVPHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


_windows: dict[tuple[object, ...], int] = {}


def window_for(header: GGUFHeader, asked: int | None, *, type_k: str = "f16", type_v: str = "f16") -> int:
    """Give what `choose_window` gives, and where it was left to choose, the same for a file as long as this runs.

    Free memory changes, with the first object on a file above all; only equal windows let objects share a context.
    """
    if asked is not None:
        return choose_window(header, asked, type_k=type_k, type_v=type_v)
    key = (header.path, header.context_length, type_k, type_v)
    if key not in _windows:
        _windows[key] = choose_window(header, None, type_k=type_k, type_v=type_v)
    return _windows[key]


def choose_window(header: GGUFHeader, asked: int | None, *, type_k: str = "f16", type_v: str = "f16") -> int:
    """Choose the context window of a request.

    Args:
        header: The model file's header.
        asked: What the user asked for, in tokens; 0 for all that the file allows; `None` to choose: the length the
            model was trained on, at most 8192, at most what half of the free memory holds.
        type_k: Element type of the KV cache's keys.
        type_v: Element type of its values.

    Returns:
        The window in tokens.

    Raises:
        InvalidRequestError: What was asked for does not fit into the free memory, or into the model.
    """
    trained = header.context_length or _FALLBACK_WINDOW
    memory = available_memory()
    per_token = header.kv_bytes_per_token(_BYTES_PER_VALUE[type_k], _BYTES_PER_VALUE[type_v])
    if asked is not None:
        window = asked or trained
        if window > trained and header.has_learned_positions:
            raise InvalidRequestError(
                f"A context window of {window} tokens was asked for, and this model knows {trained} positions.",
                hint=f"Give an `n_ctx` of at most {trained}, or none.",
            )
        if memory is not None and window * per_token > memory:
            raise InvalidRequestError(
                f"A context window of {window} tokens takes {window * per_token / 1e9:.1f} GB for its KV cache, "
                f"and {memory / 1e9:.1f} GB of memory are free.",
                hint=f"Give a smaller `n_ctx` (the model was trained on {trained}). LlamaCpp and ChatLlamaCpp can also "
                "have a smaller cache, with type_k='q8_0', type_v='q8_0'.",
            )
        if window > trained and (header.path, window) not in _logged:
            _logged.add((header.path, window))
            _logger.warning(
                "%s: n_ctx=%d is more than the %d tokens the model was trained on; beyond them it may write noise.",
                header.path,
                window,
                trained,
            )
        return window
    window = min(trained, _DEFAULT_WINDOW)
    if memory is not None and per_token > 0:
        window = min(window, max(_SMALLEST_WINDOW, int(memory / 2 / per_token) // 256 * 256))
    if window < trained and (header.path, window) not in _logged:
        _logged.add((header.path, window))
        _logger.info(
            "%s: context window of %d tokens (%.0f MB of KV cache); the model was trained on %d. Set n_ctx to choose.",
            header.path,
            window,
            window * per_token / 1e6,
            trained,
        )
    return window
