"""How models mark what they think before they answer.

Owns the marks and the choice among them; reading them out of a stream is left to `reader.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class ReasoningFormat:
    """The marks around a model's reasoning.

    Attributes:
        opening: Mark before it.
        closing: Mark after it.
        open_at_start: Whether the prompt itself ended with the opening mark, so that the answer begins inside.
        closed: Whether the prompt ended with the closing mark: the model is told not to reason, and is held to that
            where a grammar holds it to anything. If it reasons all the same, that is read as reasoning.
        anywhere: Whether it may begin again later in the answer; otherwise only before all text.
        then: What may stand between reasoning and what follows it, besides white space. It is not text.
        finish: What may close that which follows. It is not text either, if there was reasoning.
        signs: What a chat template has in it, of which any will do; the two marks where nothing is said.
    """

    opening: str
    closing: str
    open_at_start: bool = False
    closed: bool = False
    anywhere: bool = False
    then: str = ""
    finish: str = ""
    signs: tuple[str, ...] = ()

    def is_in(self, template_source: str) -> bool:
        """Whether a chat template is one of models that reason in this way."""
        return any(sign in template_source for sign in self.signs or (self.opening, self.closing))


_HARMONY = ReasoningFormat(
    "<|channel|>analysis<|message|>",
    "<|end|>",
    anywhere=True,
    then="<|start|>assistant",
    # Other models end their turns with the closing mark.
    signs=("<|channel|>analysis<|message|>",),
)

REASONING_FORMATS: tuple[ReasoningFormat, ...] = (
    _HARMONY,
    # Gemma 4.
    ReasoningFormat("<|channel>thought", "<channel|>", anywhere=True),
    # Apriel, whose template has other marks too.
    ReasoningFormat("Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]", finish="[END FINAL RESPONSE]"),
    # Granite 3.2, then 3.3.
    ReasoningFormat("Here is my thought process:", "Here is my response:"),
    ReasoningFormat("<think>", "</think>", then="<response>", finish="</response>", signs=("<response></response>",)),
    # Hunyuan.
    ReasoningFormat("<think>", "</think>", then="<answer>", finish="</answer>", signs=("</answer>",)),
    # DeepSeek R1, Qwen 3, GLM, Kimi K2 and most others.
    ReasoningFormat("<think>", "</think>"),
    ReasoningFormat("<thinking>", "</thinking>"),
    ReasoningFormat("<thought>", "</thought>"),
    ReasoningFormat("<reasoning>", "</reasoning>"),
    ReasoningFormat("<seed:think>", "</seed:think>"),
    # With a budget of nothing, Seed-OSS is made to begin with saying so.
    ReasoningFormat("<seed:think><seed:cot_budget_reflect>", "</seed:think>"),
    # MiniMax M3, then Hunyuan 3, whose template puts the name of the edition into its marks.
    ReasoningFormat("<mm:think>", "</mm:think>"),
    ReasoningFormat("<think:opensource>", "</think:opensource>", signs=("<think{}>", "<think:opensource>")),
    ReasoningFormat("[THINK]", "[/THINK]"),
    ReasoningFormat("\u25c1think\u25b7", "\u25c1/think\u25b7"),
    ReasoningFormat("<|START_THINKING|>", "<|END_THINKING|>"),
    ReasoningFormat(
        "<|begin_of_thought|>",
        "<|end_of_thought|>",
        then="<|begin_of_solution|>",
        finish="<|end_of_solution|>",
    ),
)
"""All formats. Where a chat template has several of them, the first one counts."""


def reasoning_format(template_source: str | None, prompt_tail: str = "") -> ReasoningFormat | None:
    """The format of a model, from the marks in its chat template; `None` where there are none.

    Args:
        template_source: The chat template. Without one, only what the prompt ends with is looked at.
        prompt_tail: The end of the prompt as it was rendered.
    """
    tail = prompt_tail.rstrip()
    if template_source is None:
        known = [form for form in REASONING_FORMATS if not form.signs]
    else:
        known = [form for form in REASONING_FORMATS if form.is_in(template_source)]
    for form in known:
        if tail.endswith(form.opening):
            return replace(form, open_at_start=True)
    if template_source is None or not known:
        return None
    return replace(known[0], closed=tail.endswith(known[0].closing))
