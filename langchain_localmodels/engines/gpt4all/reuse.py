"""Where the reading of a prompt begins: what the last request has left in the KV cache is not computed again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from langchain_localmodels.engines.common import common_prefix
from langchain_localmodels.engines.gpt4all.binding.model import Model
from langchain_localmodels.engines.gpt4all.binding.vocabulary import Vocabulary
from langchain_localmodels.engines.gpt4all.values import Segment

_LEAST = 8
"""Fewer tokens are computed again sooner than it is found out how."""
_TRIES = 4


@dataclass(frozen=True, slots=True)
class Start:
    """How a prompt is read.

    Attributes:
        rest: What has to be read.
        keep: How many tokens in the cache it comes after.
        count: Tokens of the whole prompt; `None` where nobody can count them.
    """

    rest: tuple[Segment, ...]
    keep: int
    count: int | None


def start_of(model: Model, prompt: tuple[Segment, ...], *, may_reuse: bool) -> Start:
    """Find out how much of a prompt need not be read.

    GPT4All takes text, not tokens. The rest of the prompt is used only where it becomes, after the tokens that are
    kept, exactly the tokens that it is in the whole.

    Args:
        model: The model.
        prompt: The prompt.
        may_reuse: Whether anything in the cache is of use.
    """
    vocabulary = model.vocabulary
    if vocabulary is None:
        return Start(prompt, 0, None)
    tokens = vocabulary.tokenize(prompt)
    if may_reuse and len(prompt) == 1:
        shared = common_prefix(model.cached, tokens, len(tokens) - 1)
        for keep in _cuts(vocabulary, tokens, shared):
            rest = _rest(vocabulary, prompt[0], tokens, keep)
            if rest is not None:
                return Start((rest,), keep, len(tokens))
    return Start(prompt, 0, len(tokens))


def _cuts(vocabulary: Vocabulary, tokens: Sequence[int], shared: int) -> list[int]:
    """Places to try: as far as possible, and after the last tokens where nothing is joined across."""
    places = [shared]
    for place in range(shared - 1, _LEAST - 1, -1):
        if len(places) == _TRIES:
            break
        if vocabulary.is_special(tokens[place - 1]):
            places.append(place)
    return [place for place in places if place >= _LEAST]


def _rest(vocabulary: Vocabulary, segment: Segment, tokens: Sequence[int], keep: int) -> Segment | None:
    """The text after the first tokens, if it can be told and becomes the other tokens."""
    raw = segment.text.encode("utf-8")
    first = 1 if vocabulary.adds_bos else 0
    read = b"".join(vocabulary.piece(token) for token in tokens[first:keep])
    if not raw.startswith(read):
        read = read.removeprefix(b" ")  # of the space that some vocabularies put before a text
        if not raw.startswith(read):
            return None
    try:
        rest = Segment(raw[len(read) :].decode("utf-8"), segment.special)
    except UnicodeDecodeError:
        return None
    return rest if vocabulary.tokenize([rest], after=tokens[keep - 1]) == list(tokens[keep:]) else None
