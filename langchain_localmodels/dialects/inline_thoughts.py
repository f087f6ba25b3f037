"""`InlineThoughts`: reasoning that a server has left in the text of an answer, told apart from it.

Servers that know a model's marks deliver its reasoning apart. Others, and older ones, leave it at the beginning of the
text, marks and all. Nothing is known here of the model's chat template: only marks that no answer begins with by
itself are looked for, and only at its very beginning.
"""

from __future__ import annotations

from langchain_localmodels.dialects.reader import OutputReader
from langchain_localmodels.dialects.reasoning import REASONING_FORMATS
from langchain_localmodels.engines.base import Delta, TextDelta, TokenLogprob

# A phrase in plain words, as Granite's, may well be the answer itself. Of two marks, one the beginning of the other,
# the longer comes first.
_FORMATS = sorted(
    (form for form in REASONING_FORMATS if not form.signs and not form.opening[0].isalpha()),
    key=lambda form: -len(form.opening),
)


class InlineThoughts:
    """Reads the text of one answer.

    Args:
        over: Whether there is nothing to be told apart.

    Attributes:
        over: Whether nothing is left to be told apart, so that text needs no more reading.
    """

    def __init__(self, *, over: bool = False) -> None:
        self.over = over
        self._head = ""
        self._logprobs: tuple[TokenLogprob, ...] = ()
        self._reader: OutputReader | None = None

    def read(self, text: str, logprobs: tuple[TokenLogprob, ...] = ()) -> list[Delta]:
        """Take the next piece of text and give what is certain by now."""
        if self.over:
            return [TextDelta(text, logprobs)] if text or logprobs else []
        if self._reader is not None:
            return self._reader.feed(text, logprobs)
        self._head += text
        self._logprobs += logprobs
        begun = self._head.lstrip()
        if any(len(begun) < len(form.opening) and form.opening.startswith(begun) for form in _FORMATS):
            return []
        found = next((form for form in _FORMATS if begun.startswith(form.opening)), None)
        if found is None:
            return self.rest()
        self._reader = OutputReader(reasoning=found)
        return self._reader.feed(self._head, self._logprobs)

    def rest(self) -> list[Delta]:
        """Give what was held back: no more text comes, or the server itself tells reasoning apart."""
        if self.over:
            return []
        self.over = True
        if self._reader is not None:
            return self._reader.finish()
        return [TextDelta(self._head, self._logprobs)] if self._head or self._logprobs else []
