"""DeepSeek V3.1: a name and JSON with a mark between; the template closes the reasoning before it begins."""

import json

from tests.families import Family, Output, hard

TEMPLATE = r"""{{- bos_token }}
{%- for tool in tools or [] %}
{{ tool.function | tojson }}
{%- endfor %}
{%- for m in messages %}
{%- if m.role == "user" %}<｜User｜>{{ m.content }}
{%- elif m.role == "assistant" %}<｜Assistant｜></think>{{ m.content or "" }}
{%- if m.tool_calls %}<｜tool▁calls▁begin｜>
{%- for call in m.tool_calls -%}
<｜tool▁call▁begin｜>{{ call.function.name }}<｜tool▁sep｜>{{ call.function.arguments | tojson }}<｜tool▁call▁end｜>
{%- endfor %}<｜tool▁calls▁end｜>
{%- endif %}<｜end▁of▁sentence｜>
{%- elif m.role == "tool" %}<｜tool▁output▁begin｜>{{ m.content }}<｜tool▁output▁end｜>
{%- else %}{{ m.content }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}<｜Assistant｜></think>{% endif %}"""

BEGIN, END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
HARD = hard("<｜tool▁sep｜><｜tool▁call▁end｜><｜tool▁calls▁begin｜>")


def call(name: str, arguments: object) -> str:
    text = json.dumps(arguments, ensure_ascii=False)
    return f"<｜tool▁call▁begin｜>{name}<｜tool▁sep｜>{text}<｜tool▁call▁end｜>"


PARIS = call("get_weather", {"city": "Paris", "days": 3})
NOW = call("now", {})
CALLED = ("call", "get_weather", {"city": "Paris", "days": 3})

FAMILY = Family(
    template=TEMPLATE,
    notation="deepseek_v31",
    tokens={"bos_token": "<｜begin▁of▁sentence｜>"},
    outputs={
        "text": Output("It is < 5 <｜tool▁c", (("text", "It is < 5 <｜tool▁c"),), forced=False),
        "one call": Output(f"{BEGIN}{PARIS}{END}", (CALLED,), forced=True),
        "a call without arguments": Output(f"{BEGIN}{NOW}{END}", (("call", "now", {}),), forced=True),
        "hard arguments": Output(f"{BEGIN}{call('note', HARD)}{END}", (("call", "note", HARD),), forced=True),
        "text, then two calls": Output(
            f"Let me see.\n\n{BEGIN}{PARIS}{NOW}{END}",
            (("text", "Let me see."), CALLED, ("call", "now", {})),
            forced=False,
        ),
        "two calls where one is allowed": Output(
            f"{BEGIN}{PARIS}{NOW}{END}", (CALLED, ("call", "now", {})), grammar=False, forced=False, parallel=False
        ),
        "the older form": Output(
            f"{BEGIN}<｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n```json\n{{}}\n```<｜tool▁call▁end｜>{END}",
            (("call", "now", {}),),
            grammar=False,
            forced=False,
        ),
        "a tool with the name of a mark": Output(
            f"{BEGIN}{call('function', {})}{END}", (("call", "function", {}),), grammar=False
        ),
        "an unknown tool": Output(f"{BEGIN}{call('fly', {})}{END}", (("call", "fly", {}),), grammar=False),
        "cut off": Output(f"{BEGIN}{PARIS[:55]}", (("invalid", "get_weather"),), grammar=False, forced=False),
        "a bad call, then a good one": Output(
            f"{BEGIN}{PARIS[:55]}{NOW}{END}", (("invalid", "get_weather"), ("call", "now", {})), grammar=False
        ),
        "no name": Output(f"{BEGIN}{call('', {})}{END}", (("invalid", None),), grammar=False, forced=False),
        "something behind": Output(
            f"{BEGIN}{NOW.replace('{}', '{} 7')}{END}", (("invalid", "now"),), grammar=False, forced=False
        ),
    },
    refused=(
        f"{BEGIN}{call('get_weather', {})}{END}",
        f"{BEGIN}{call('get_weather', {'city': 3})}{END}",
        f"{BEGIN}{NOW}",
        f"{NOW}{END}",
        "No.",
    ),
    prompt_has=('<｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city": "Paris"}<｜tool▁call▁end｜>',),
)
