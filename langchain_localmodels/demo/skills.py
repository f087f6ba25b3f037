"""The table of skills: what the demo model learns, and what `evaluate.py` measures.

Free of torch and tokenizers, so that a model can be measured where none of them is installed.
"""

from __future__ import annotations

from collections.abc import Callable

from langchain_localmodels.demo import (
    skills_extract,
    skills_read,
    skills_talk,
    skills_tools,
    standard,
)
from langchain_localmodels.demo.samples import Sample
from langchain_localmodels.demo.vocabulary import Vocabulary

Maker = Callable[[Vocabulary], Sample]

SKILLS: dict[str, Maker] = {
    "facts": skills_talk.facts,
    "greetings": skills_talk.greetings,
    "memory": skills_talk.memory,
    "echo": skills_talk.echo,
    "queries": skills_talk.queries,
    "sentiment": skills_talk.sentiment,
    "small texts": skills_talk.small_texts,
    "unknown": skills_talk.unknown,
    "rag": skills_read.rag,
    "summaries": skills_read.summaries,
    "single call": skills_tools.single_call,
    "parallel calls": skills_tools.parallel_calls,
    "no call": skills_tools.no_call,
    "extraction": skills_extract.extraction,
}
"""The skills that are measured."""

LESSONS: dict[str, tuple[Maker, float]] = {
    "facts": (SKILLS["facts"], 6),
    "greetings": (SKILLS["greetings"], 1.5),
    "memory": (SKILLS["memory"], 5),
    "echo": (SKILLS["echo"], 7),
    "queries": (SKILLS["queries"], 3),
    "sentiment": (SKILLS["sentiment"], 12),
    "small texts": (SKILLS["small texts"], 2),
    "unknown": (SKILLS["unknown"], 2),
    "rag": (SKILLS["rag"], 14),
    "summaries": (SKILLS["summaries"], 3),
    "single call": (SKILLS["single call"], 20),
    "parallel calls": (SKILLS["parallel calls"], 10),
    "no call": (SKILLS["no call"], 4),
    "extraction": (SKILLS["extraction"], 24),
    "forced call": (skills_tools.forced_call, 3),
    "standard": (standard.standard, 4),
}
"""What is learnt, and how often it comes, in parts of the sum."""


def draw(v: Vocabulary) -> Sample:
    """One sample of the lessons."""
    makers, parts = zip(*LESSONS.values(), strict=True)
    make: Maker = v.rng.choices(makers, parts)[0]
    return make(v)
