"""How models mark what they think before they answer.

Owns the marks and the choice among them; reading them out of a stream is left to `reader.py`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReasoningFormat:
    """The marks around a model's reasoning.

    Attributes:
        opening: Mark before it.
        closing: Mark after it.
        open_at_start: Whether the prompt itself ended with the opening mark, so that the answer begins inside.
    """

    opening: str
    closing: str
    open_at_start: bool = False


REASONING_FORMATS: tuple[ReasoningFormat, ...] = (
    ReasoningFormat("<think>", "</think>"),
    ReasoningFormat("<thinking>", "</thinking>"),
    ReasoningFormat("<thought>", "</thought>"),
    ReasoningFormat("<reasoning>", "</reasoning>"),
    ReasoningFormat("<seed:think>", "</seed:think>"),
    ReasoningFormat("[THINK]", "[/THINK]"),
    ReasoningFormat("<|START_THINKING|>", "<|END_THINKING|>"),
    ReasoningFormat("<|begin_of_thought|>", "<|end_of_thought|>"),
)


def reasoning_format(template_source: str | None, prompt_tail: str = "") -> ReasoningFormat | None:
    """The format of a model, from the marks in its chat template; `None` where there are none.

    Args:
        template_source: The chat template.
        prompt_tail: The end of the prompt as it was rendered.
    """
    tail = prompt_tail.rstrip()
    for known in REASONING_FORMATS:
        if tail.endswith(known.opening):
            return ReasoningFormat(known.opening, known.closing, open_at_start=True)
    for known in REASONING_FORMATS:
        if template_source and (known.opening in template_source or known.closing in template_source):
            return known
    return None
