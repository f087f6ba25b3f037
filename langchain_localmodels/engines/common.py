"""What engines in this process have in common: the processors that they may use, and warnings that are told once."""

from __future__ import annotations

import logging
import os

_logger = logging.getLogger(__name__)
_warned: set[str] = set()


def usable_cpus() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def warn_once(message: str) -> None:
    """Log a warning, once in the life of the process."""
    if message not in _warned:
        _warned.add(message)
        _logger.warning(message)
