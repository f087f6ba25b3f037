"""Text on its way into C: what may not get there, and where it must be cut. For engines in this process."""

from __future__ import annotations

import re
from collections.abc import Iterator

from langchain_localmodels.errors import InvalidRequestError

_LONGEST_RUN = 8000
"""Most characters without a change between space and not space that are turned into tokens at once: the pre-tokenizers
of many models are regular expressions, which recurse for each character and overrun the stack at about 25,000."""


def encoded(text: str) -> bytes:
    """The bytes of a text, as UTF-8.

    Raises:
        InvalidRequestError: The text holds half a character.
    """
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidRequestError(
            f"The text holds half a character (the lone surrogate U+{ord(text[error.start]):04X} "
            f"at position {error.start}), which is no text.",
            hint="It was probably decoded wrongly. text.encode('utf-16', 'surrogatepass')"
            ".decode('utf-16', 'replace') repairs what can be repaired.",
        ) from error


def encoded_to_nul(text: str) -> bytes:
    """The bytes of a text for functions that read up to a NUL.

    Raises:
        InvalidRequestError: The text holds half a character, or a NUL, at which it would be taken to end.
    """
    if (at := text.find("\0")) >= 0:
        raise InvalidRequestError(
            f"The text holds a NUL character (at position {at}), at which the engine would take it to end.",
            hint="Take it out: text.replace('\\0', '').",
        )
    return encoded(text)


def cut_long_runs(text: str) -> Iterator[str]:
    """Cut a text where it goes on for too long without a change between space and not space; joined, it is the same."""
    at = 0
    if len(text) >= _LONGEST_RUN:
        for run in re.finditer(r"\S+|\s+", text):
            for cut in range(run.start() + _LONGEST_RUN, run.end(), _LONGEST_RUN):
                yield text[at:cut]
                at = cut
    yield text[at:]
