"""DeepSeek V3.2: each argument is an element, strings as they are; the template opens the reasoning."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.families import Family, Output

TEMPLATE = r"""{{- bos_token }}
{%- if tools %}Call functions with a "<｜DSML｜function_calls>" block.
{%- for tool in tools %}
{{ tool.function | tojson }}
{%- endfor %}
{%- endif %}
{%- for m in messages %}
{%- if m.role == "user" %}<｜User｜>{{ m.content }}<｜Assistant｜>
{%- elif m.role == "assistant" %}</think>{{ m.content or "" }}
{%- if m.tool_calls %}{{ "\n\n" }}<｜DSML｜function_calls>
{%- for call in m.tool_calls %}{{ "\n" }}<｜DSML｜invoke name="{{ call.function.name }}">
{%- for key, value in call.function.arguments.items() %}
{%- set plain = value is string %}{{ "\n" -}}
<｜DSML｜parameter name="{{ key }}" string="{{ plain | tojson }}">{{ value if plain else value | tojson -}}
</｜DSML｜parameter>
{%- endfor %}{{ "\n" }}</｜DSML｜invoke>
{%- endfor %}{{ "\n" }}</｜DSML｜function_calls>
{%- endif %}<｜end▁of▁sentence｜>
{%- elif m.role == "tool" %}
<function_results>
<result>{{ m.content }}</result>
</function_results>
{%- else %}{{ m.content }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}<think>{% endif %}"""

THOUGHT = "Hm.</think>"
REASONING = ("reasoning", "Hm.")
HARD = {
    "text": '\n"Quoted" <b>&amp;\\n</b> {\n  ü日🦙}\n</｜DSML｜invoke>\n</｜DSML｜function_calls>\n<｜DSML｜invoke>\n',
    "tags": ["", "a, b", '"c" </｜DSML｜invoke>'],
    "place": {"x": -1.5},
    "urgent": True,
}
AROUND = "function_calls"


def invoke(name: str, arguments: Mapping[str, Any]) -> str:
    lines = [f'<｜DSML｜invoke name="{name}">']
    for key, value in arguments.items():
        is_text = isinstance(value, str)
        text = value if is_text else json.dumps(value, ensure_ascii=False)
        lines.append(f'<｜DSML｜parameter name="{key}" string="{str(is_text).lower()}">{text}</｜DSML｜parameter>')
    return "\n".join([*lines, "</｜DSML｜invoke>"])


def block(*calls: str, around: str = AROUND) -> str:
    return "\n".join([f"<｜DSML｜{around}>", *calls, f"</｜DSML｜{around}>"])


PARIS = invoke("get_weather", {"city": "Paris", "days": 3})
NOW = invoke("now", {})
CALLED = ("call", "get_weather", {"city": "Paris", "days": 3})


def outputs(around: str, thought: str) -> dict[str, Output]:
    def answer(*calls: str, before: str = "", after: str = "") -> str:
        return thought + before + block(*calls, around=around) + after

    first = (REASONING,) if thought else ()
    open_block = f"{thought}<｜DSML｜{around}>\n"
    return {
        "text": Output(f"{thought}It is < 5 <｜DSML", (*first, ("text", "It is < 5 <｜DSML")), forced=False),
        "one call": Output(answer(PARIS), (*first, CALLED), forced=True),
        "a call without arguments": Output(answer(NOW), (*first, ("call", "now", {})), forced=True),
        "an empty line for no arguments": Output(
            answer(NOW.replace("\n", "\n\n")), (*first, ("call", "now", {})), forced=True
        ),
        "hard arguments": Output(answer(invoke("note", HARD)), (*first, ("call", "note", HARD)), forced=True),
        "text, then two calls": Output(
            answer(PARIS, NOW, before="Let me see.\n\n"),
            (*first, ("text", "Let me see."), CALLED, ("call", "now", {})),
            forced=False,
        ),
        "two calls": Output(answer(PARIS, NOW), (*first, CALLED, ("call", "now", {})), forced=True),
        "two calls where one is allowed": Output(
            answer(PARIS, NOW), (*first, CALLED, ("call", "now", {})), grammar=False, forced=False, parallel=False
        ),
        "numbers and words as text": Output(
            answer(invoke("note", {"text": "42", "tags": ["true"]})),
            (*first, ("call", "note", {"text": "42", "tags": ["true"]})),
            forced=True,
        ),
        "a choice": Output(
            answer(invoke("get_weather", {"city": "", "unit": "celsius"})),
            (*first, ("call", "get_weather", {"city": "", "unit": "celsius"})),
            forced=True,
        ),
        "wrong about what is text": Output(
            answer(
                PARIS.replace('"city" string="true"', '"city" string="false"').replace(
                    '"days" string="false"', '"days" string="true"'
                )
            ),
            (*first, CALLED),
            grammar=False,
            forced=False,
        ),
        "nothing said about what is text": Output(
            answer(PARIS.replace(' string="true"', "").replace(' string="false"', "")),
            (*first, CALLED),
            grammar=False,
            forced=False,
        ),
        "a parameter that nobody knows": Output(
            answer(invoke("now", {"zone": "UTC", "list": [1]})),
            (*first, ("call", "now", {"zone": "UTC", "list": [1]})),
            grammar=False,
            forced=False,
        ),
        "a call, then text": Output(
            answer(NOW, after="\nDone."), (*first, ("call", "now", {}), ("text", "Done.")), grammar=False
        ),
        "no mark around all": Output(thought + NOW, (*first, ("call", "now", {})), grammar=None, forced=False),
        "an unknown tool": Output(answer(invoke("fly", {})), (*first, ("call", "fly", {})), grammar=False),
        "cut off": Output(open_block + PARIS[:80], (*first, ("invalid", "get_weather")), grammar=False, forced=False),
        "cut off in the name": Output(
            open_block + PARIS[:30], (*first, ("invalid", None)), grammar=False, forced=False
        ),
        "the second call cut off": Output(
            f"{open_block}{NOW}\n{PARIS[:80]}", (*first, ("call", "now", {}), ("invalid", "get_weather")), grammar=False
        ),
        "an element is not closed": Output(
            answer(PARIS.replace("3</｜DSML｜parameter>", "3"), NOW),
            (*first, ("invalid", "get_weather"), ("call", "now", {})),
            grammar=False,
        ),
        "something else": Output(
            answer(NOW.replace("\n", "\nnothing\n")), (*first, ("invalid", "now")), grammar=False, forced=False
        ),
    }


def refused(around: str, thought: str) -> tuple[str, ...]:
    return (
        thought + block(invoke("get_weather", {"days": 3}), around=around),
        thought + block(invoke("get_weather", {"city": 3}), around=around),
        thought + block(invoke("get_weather", {"city": "Paris", "unit": "kelvin"}), around=around),
        thought + block(invoke("get_weather", {"city": "Paris", "days": "many"}), around=around),
        thought + block(around=around),
        thought + block(NOW, around=around)[:-5],
        f"{thought}No.",
    )


FAMILY = Family(
    template=TEMPLATE,
    notation="deepseek_v32",
    raw_strings=True,
    tokens={"bos_token": "<｜begin▁of▁sentence｜>"},
    outputs={
        **outputs(AROUND, THOUGHT),
        "a call in the middle of reasoning": Output(f"Hm.\n\n{block(PARIS)}", (REASONING, CALLED), forced=True),
        "the mark that was forgotten comes later": Output(
            f"Hm.\n\n{block(NOW)}</think>\n\nDone.",
            (REASONING, ("call", "now", {}), ("text", "Done.")),
            grammar=False,
            forced=False,
        ),
        "a call in the middle of reasoning, cut off": Output(
            f"Hm.\n\n{block(PARIS)[:90]}", (REASONING, ("invalid", "get_weather")), grammar=False, forced=False
        ),
    },
    refused=refused(AROUND, THOUGHT),
    prompt_has=(PARIS.partition('\n<｜DSML｜parameter name="days"')[0] + "\n</｜DSML｜invoke>", "<function_results>"),
)
