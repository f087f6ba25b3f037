"""When a request is sent again, and after which pause. Pure: whoever sends does the waiting.

Only requests that have brought nothing yet are sent again: none of an answer's bytes ever comes twice.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime

DEFAULT_MAX_RETRIES = 2
"""How often a request is sent again where nothing is said: under a second in all, so that a server that is not there
is told soon."""

LONGEST_OBEYED = 60.0
"""Longest `Retry-After` that is waited for, in seconds; a longer one is for the caller to know."""

_LOADING = re.compile(r"loading (the )?model|model is (still )?(being )?load", re.I)


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long the pauses are. Each is at most twice the one before, and cut by chance, lest many clients ask at once.

    Attributes:
        first: The first pause at its longest, in seconds.
        longest: Longest pause, in seconds.
        chance: Gives numbers from 0 to 1.
        clock: Gives the time in seconds.
    """

    first: float = 0.25
    longest: float = 4.0
    chance: Callable[[], float] = random.random
    clock: Callable[[], float] = time.monotonic


class Tries:
    """Counts the tries of one request.

    Args:
        max_retries: How often it may be sent again.
        budget: Longest time from the first try to the beginning of the last, in seconds; `None` for no limit.
        backoff: How long the pauses are.
    """

    def __init__(self, max_retries: int, budget: float | None, backoff: Backoff) -> None:
        self._left = max_retries
        self._may_wait_for_loading = max_retries > 0
        self._backoff = backoff
        self._pauses = 0
        self._end = None if budget is None else backoff.clock() + budget

    def pause(self, *, loading: bool = False, retry_after: float | None = None) -> float | None:
        """How long to wait before the next try, in seconds; `None` when there is to be none.

        Args:
            loading: Whether the server said that it is loading the model. That is not a failure but a wait, such as
                other servers let pass in silence: it ends with the budget, and is not counted.
            retry_after: The shortest pause that the server asks for, in seconds.
        """
        if loading:
            if not self._may_wait_for_loading:
                return None
        elif self._left <= 0:
            return None
        else:
            self._left -= 1
        if retry_after is not None and retry_after > LONGEST_OBEYED:
            return None
        backoff = self._backoff
        longest = min(backoff.longest, backoff.first * 2.0 ** min(self._pauses, 30))
        self._pauses += 1
        pause = max(longest * (1 + backoff.chance()) / 2, retry_after or 0.0)
        if self._end is not None and backoff.clock() + pause > self._end:
            return None
        return pause


def says_loading(text: str) -> bool:
    """Whether a server says that it is loading its model."""
    return _LOADING.search(text) is not None


def retry_after_seconds(value: str | None, now: datetime | None = None) -> float | None:
    """What a `Retry-After` header asks for, in seconds: it gives those, or a date. `None` where it cannot be read."""
    text = (value or "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text, re.ASCII):
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=timezone.utc)
    return max(0.0, (date - (now or datetime.now(timezone.utc))).total_seconds())
