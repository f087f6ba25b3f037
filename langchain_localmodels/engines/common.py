"""What engines in this process have in common: usable processors, warnings that are told once, shared prefixes."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

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


def common_prefix(a: Sequence[int], b: Sequence[int], at_most: int) -> int:
    """Length of the longest common beginning of two lists, by bisection: list comparison runs in C."""
    low, high = 0, max(0, min(len(a), len(b), at_most))
    if a[:high] == b[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low
