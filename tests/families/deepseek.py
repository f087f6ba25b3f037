"""DeepSeek V2.5, V3 and R1: a name and a fence of code between marks; R1's template opens the reasoning itself."""

import json

from tests.families import Family, Output, hard

TEMPLATE = r"""{{- bos_token }}
{%- for tool in tools or [] %}
{{ tool | tojson }}
{%- endfor %}
{%- for m in messages %}
{%- if m.role == "user" %}<｜User｜>{{ m.content }}
{%- elif m.role == "assistant" %}<｜Assistant｜>{{ m.content or "" }}
{%- if m.tool_calls %}<｜tool▁calls▁begin｜>
{%- for call in m.tool_calls %}{{ "" if loop.first else "\n" -}}
<｜tool▁call▁begin｜>{{ call.type }}<｜tool▁sep｜>{{ call.function.name }}
```json
{{ call.function.arguments | tojson }}
```<｜tool▁call▁end｜>
{%- endfor %}<｜tool▁calls▁end｜>
{%- endif %}<｜end▁of▁sentence｜>
{%- elif m.role == "tool" %}<｜tool▁outputs▁begin｜><｜tool▁output▁begin｜>{{ m.content -}}
<｜tool▁output▁end｜><｜tool▁outputs▁end｜>
{%- else %}{{ m.content }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}<｜Assistant｜><think>
{% endif %}"""

BEGIN, END = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
THOUGHT = "Hm.\n</think>\n\n"
REASONING = ("reasoning", "Hm.")
HARD = hard("</think><｜tool▁call▁end｜><｜tool▁calls▁begin｜> ```")


def call(name: str, arguments: object) -> str:
    text = json.dumps(arguments, ensure_ascii=False)
    return f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>{name}\n```json\n{text}\n```<｜tool▁call▁end｜>"


PARIS = call("get_weather", {"city": "Paris", "days": 3})
NOW = call("now", {})
CALLED = ("call", "get_weather", {"city": "Paris", "days": 3})

FAMILY = Family(
    template=TEMPLATE,
    notation="deepseek",
    tokens={"bos_token": "<｜begin▁of▁sentence｜>"},
    outputs={
        "reasoning": Output("Hm, <｜tool▁calls", (("reasoning", "Hm, <｜tool▁calls"),), grammar=False, forced=False),
        "text": Output(f"{THOUGHT}It is < 5 <｜tool", (REASONING, ("text", "It is < 5 <｜tool")), forced=False),
        "one call": Output(f"{THOUGHT}{BEGIN}{PARIS}{END}", (REASONING, CALLED), forced=True),
        "a call without arguments": Output(
            f"{THOUGHT}{BEGIN}{NOW}{END}", (REASONING, ("call", "now", {})), forced=True
        ),
        "hard arguments": Output(
            f"{THOUGHT}{BEGIN}{call('note', HARD)}{END}", (REASONING, ("call", "note", HARD)), forced=True
        ),
        "text, then two calls": Output(
            f"{THOUGHT}Let me see.\n\n{BEGIN}{PARIS}\n{NOW}{END}",
            (REASONING, ("text", "Let me see."), CALLED, ("call", "now", {})),
            forced=False,
        ),
        "two calls": Output(
            f"{THOUGHT}{BEGIN}{PARIS}\n{NOW}{END}", (REASONING, CALLED, ("call", "now", {})), forced=True
        ),
        "two calls where one is allowed": Output(
            f"{THOUGHT}{BEGIN}{PARIS}\n{NOW}{END}",
            (REASONING, CALLED, ("call", "now", {})),
            grammar=False,
            forced=False,
            parallel=False,
        ),
        "marks in other spellings": Output(
            f"{THOUGHT}<｜tool▁calls｜>function<｜tool▁sep｜>now\n```json\n{{}}\n```<｜tool▁call▁end｜>\n{END}",
            (REASONING, ("call", "now", {})),
            grammar=None,
        ),
        "a fence that ends in the same line": Output(
            f"{THOUGHT}{BEGIN}{NOW.replace('}' + chr(10), '}')}{END}", (REASONING, ("call", "now", {})), forced=True
        ),
        "no mark around all": Output(f"{THOUGHT}{NOW}", (REASONING, ("call", "now", {})), grammar=None),
        "not closed": Output(
            f"{THOUGHT}{BEGIN}{NOW.removesuffix('<｜tool▁call▁end｜>')}",
            (REASONING, ("call", "now", {})),
            grammar=False,
        ),
        "no fence": Output(
            f"{THOUGHT}{BEGIN}<｜tool▁call▁begin｜>now<｜tool▁sep｜>{{}}<｜tool▁call▁end｜>{END}",
            (REASONING, ("call", "now", {})),
            grammar=False,
        ),
        "a call, then text": Output(
            f"{THOUGHT}{BEGIN}{NOW}{END}\nDone.", (REASONING, ("call", "now", {}), ("text", "Done.")), grammar=False
        ),
        "an unknown tool": Output(
            f"{THOUGHT}{BEGIN}{call('fly', {})}{END}", (REASONING, ("call", "fly", {})), grammar=False
        ),
        "cut off": Output(
            f"{THOUGHT}{BEGIN}{PARIS[:80]}", (REASONING, ("invalid", "get_weather")), grammar=False, forced=False
        ),
        "cut off in the name": Output(
            f"{THOUGHT}{BEGIN}{PARIS[:40]}", (REASONING, ("invalid", None)), grammar=False, forced=False
        ),
        "the second call cut off": Output(
            f"{THOUGHT}{BEGIN}{NOW}\n{PARIS[:80]}",
            (REASONING, ("call", "now", {}), ("invalid", "get_weather")),
            grammar=False,
        ),
        "not JSON": Output(
            f"{THOUGHT}{BEGIN}{NOW.replace('{}', 'nothing')}{END}",
            (REASONING, ("invalid", "now")),
            grammar=False,
            forced=False,
        ),
    },
    refused=(
        f"{THOUGHT}{BEGIN}{call('get_weather', {})}{END}",
        f"{THOUGHT}{BEGIN}{call('get_weather', {'city': 3})}{END}",
        f"{THOUGHT}{BEGIN}{NOW}",
        f"{THOUGHT}{BEGIN}{END}",
        f"{THOUGHT}No.",
        "Hm.",
    ),
    prompt_has=(
        '<｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{"city": "Paris"}\n```<｜tool▁call▁end｜>',
        "<｜tool▁outputs▁begin｜>",
    ),
)
