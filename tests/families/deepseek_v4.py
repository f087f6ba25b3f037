"""DeepSeek V4: as V3.2, with another mark around the calls; here its template closes the reasoning."""

from tests.families import Family
from tests.families.deepseek_v32 import TEMPLATE, outputs, refused

AROUND = "tool_calls"

FAMILY = Family(
    template=TEMPLATE.replace("function_calls", AROUND).replace(
        "{%- if add_generation_prompt %}<think>", "{%- if add_generation_prompt %}</think>"
    ),
    notation="deepseek_v4",
    raw_strings=True,
    tokens={"bos_token": "<｜begin▁of▁sentence｜>"},
    outputs=outputs(AROUND, ""),
    refused=refused(AROUND, ""),
    prompt_has=("<｜DSML｜tool_calls>\n<｜DSML｜invoke", "<function_results>"),
)
