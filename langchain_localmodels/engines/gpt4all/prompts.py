"""From a prompt as text to the pieces that GPT4All reads: which of them may name special tokens.

What a template writes, as `<|im_start|>`, names tokens. The same letters typed by a user, or in a web page that a tool
has read, do not: they would end the user's turn and begin one of the system. Before the template is filled in, such
letters are put out of its sight, one character of Unicode's private planes for each name.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from langchain_localmodels.dialects.prompt_text import cut_long_runs
from langchain_localmodels.engines.base import Part, Text, Turn
from langchain_localmodels.engines.gpt4all.values import Segment
from langchain_localmodels.weights.gguf import GGUFHeader

if TYPE_CHECKING:
    from langchain_localmodels.engines.gpt4all.binding.vocabulary import Vocabulary

_FIRST = 0xF0000
_MOST = 0x10000
"""Characters in the plane; a vocabulary has a few hundred control tokens."""


def guarded(turns: Sequence[Turn], names: Collection[str]) -> tuple[Turn, ...]:
    """Put the names of special tokens out of sight where a user, the system or a tool's result holds them.

    Args:
        turns: The conversation. What the assistant said is left as it is: the model itself wrote it.
        names: What the vocabulary's control tokens are called.
    """
    listed = _listed(names)
    if not listed:
        return tuple(turns)
    pattern = _any_of(listed)
    place = {name: chr(_FIRST + number) for number, name in enumerate(listed)}

    def hidden(part: Part) -> Part:
        return Text(pattern.sub(lambda match: place[match[0]], part.text)) if isinstance(part, Text) else part

    return tuple(
        turn if turn.role == "assistant" else replace(turn, parts=tuple(hidden(part) for part in turn.parts))
        for turn in turns
    )


def segments_of(prompt: str, header: GGUFHeader, vocabulary: Vocabulary | None) -> tuple[Segment, ...]:
    """Give the pieces of a prompt, in which names that were put out of sight are just text again.

    Args:
        prompt: The prompt.
        header: The file's header.
        vocabulary: The file's vocabulary; without it nothing was put out of sight.
    """
    prompt = _without_bos(prompt, header, vocabulary)
    listed = _listed(vocabulary.control_texts) if vocabulary is not None else []
    pieces = tuple(
        Segment(run, piece.special) for piece in _pieces(prompt, listed) for run in cut_long_runs(piece.text)
    )
    return pieces or (Segment(""),)


def _pieces(prompt: str, listed: list[str]) -> Iterator[Segment]:
    if not listed:
        yield Segment(prompt)
        return
    hidden = re.compile(f"([{chr(_FIRST)}-{chr(_FIRST + len(listed) - 1)}]+)")
    for number, text in enumerate(hidden.split(prompt)):
        if number % 2:
            yield Segment("".join(listed[ord(char) - _FIRST] for char in text), special=False)
        elif text:
            yield Segment(text)


def _without_bos(prompt: str, header: GGUFHeader, vocabulary: Vocabulary | None) -> str:
    # Where the vocabulary puts a BOS before the prompt, one that the template writes would be the second.
    if vocabulary is not None:
        bos, adds = vocabulary.bos_text, vocabulary.adds_bos
    else:
        bos, adds = header.bos_token or "", header.metadata.get("tokenizer.ggml.add_bos_token") is True
    return prompt.removeprefix(bos) if adds and bos else prompt


def _listed(names: Collection[str]) -> list[str]:
    # The longest first: one may begin with another.
    return sorted(names, key=lambda name: (-len(name), name))[:_MOST]


def _any_of(listed: list[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, listed)))
