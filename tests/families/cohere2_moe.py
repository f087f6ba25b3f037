"""Cohere's mixture of experts: as Command R7B, with other marks around text; here the template opens the reasoning."""

from dataclasses import replace

from tests.families import Output
from tests.families.command_r7b import FAMILY as R7B
from tests.families.command_r7b import action, written


def respelled(text: str) -> str:
    return text.replace("_RESPONSE|>", "_TEXT|>")


NOW = action(written(0, "now", {}))

FAMILY = replace(
    R7B,
    template=respelled(R7B.template).replace(
        "<|CHATBOT_TOKEN|>{% endif %}", "<|CHATBOT_TOKEN|><|START_THINKING|>{% endif %}"
    ),
    notation="cohere2_moe",
    outputs={
        "text": Output(
            "Hm.<|END_THINKING|><|START_TEXT|>It is <|START.<|END_TEXT|>",
            (("reasoning", "Hm."), ("text", "It is <|START.")),
            forced=False,
        ),
        "no reasoning": Output("<|END_THINKING|><|START_TEXT|>Yes.<|END_TEXT|>", (("text", "Yes."),), forced=False),
        "a call": Output(f"Hm.<|END_THINKING|>{NOW}", (("reasoning", "Hm."), ("call", "now", {})), forced=True),
        "text, then a call": Output(
            f"Hm.<|END_THINKING|><|START_TEXT|>So.<|END_TEXT|>{NOW}",
            (("reasoning", "Hm."), ("text", "So."), ("call", "now", {})),
            forced=False,
        ),
        "a call cut off": Output(
            f"Hm.<|END_THINKING|>{NOW[:60]}", (("reasoning", "Hm."), ("invalid", None)), grammar=False, forced=False
        ),
    },
    refused=tuple(f"Hm.<|END_THINKING|>{respelled(text)}" for text in R7B.refused),
    prompt_has=tuple(map(respelled, R7B.prompt_has)),
)
