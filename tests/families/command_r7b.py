"""Command R7B and Command A: calls between `<|START_ACTION|>` and `<|END_ACTION|>`, and marks around all else."""

import json

from tests.families import Family, Output, hard

TEMPLATE = r"""{{- bos_token }}
{%- if tools %}<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>Plan in <|START_THINKING|>...<|END_THINKING|>. Tools:
{%- for tool in tools %}
{{ tool.function | tojson }}
{%- endfor %}<|END_OF_TURN_TOKEN|>
{%- endif %}
{%- set count = namespace(value=0) %}
{%- for m in messages %}<|START_OF_TURN_TOKEN|>
{%- if m.role == "assistant" and m.tool_calls %}<|CHATBOT_TOKEN|><|START_THINKING|>
{{- m.reasoning_content or "" }}<|END_THINKING|><|START_ACTION|>[
{%- for call in m.tool_calls %}
    {"tool_call_id": "{{ count.value }}", "tool_name": "{{ call.function.name }}", "parameters":{{ " " }}
{{- call.function.arguments | tojson }}}{{ "" if loop.last else "," }}
{%- set count.value = count.value + 1 %}
{%- endfor %}
]<|END_ACTION|>
{%- elif m.role == "assistant" %}<|CHATBOT_TOKEN|><|START_RESPONSE|>{{ m.content }}<|END_RESPONSE|>
{%- elif m.role == "user" %}<|USER_TOKEN|>{{ m.content }}
{%- elif m.role == "tool" %}<|SYSTEM_TOKEN|><|START_TOOL_RESULT|>{{ m.content | tojson }}<|END_TOOL_RESULT|>
{%- else %}<|SYSTEM_TOKEN|>{{ m.content }}
{%- endif %}<|END_OF_TURN_TOKEN|>
{%- endfor %}
{%- if add_generation_prompt %}<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>{% endif %}"""


def action(*calls: str) -> str:
    return "<|START_ACTION|>[\n" + ",\n".join(f"    {call}" for call in calls) + "\n]<|END_ACTION|>"


def written(call_id: int, name: str, arguments: object) -> str:
    text = json.dumps(arguments, ensure_ascii=False)
    return f'{{"tool_call_id": "{call_id}", "tool_name": "{name}", "parameters": {text}}}'


PARIS = written(0, "get_weather", {"city": "Paris", "days": 3})
NOW = written(1, "now", {})
CALLED = ("call", "get_weather", {"city": "Paris", "days": 3}, "0")
HARD = hard("<|END_ACTION|><|START_RESPONSE|>")

FAMILY = Family(
    template=TEMPLATE,
    notation="command_r7b",
    tokens={"bos_token": "<BOS_TOKEN>"},
    outputs={
        "bare text": Output("It is <|sunny|>.", (("text", "It is <|sunny|>."),), forced=False),
        "text": Output("<|START_RESPONSE|>It is sunny.\n<|END_RESPONSE|>", (("text", "It is sunny."),), forced=False),
        "text cut off": Output("<|START_RESPONSE|>It is", (("text", "It is"),), forced=False),
        "reasoning, then text": Output(
            "<|START_THINKING|>Hm.<|END_THINKING|>\n<|START_RESPONSE|>No.<|END_RESPONSE|>",
            (("reasoning", "Hm."), ("text", "No.")),
            forced=False,
        ),
        "one call": Output(action(PARIS), (CALLED,), forced=True),
        "one call on one line": Output(
            '<|START_ACTION|>[{"tool_name": "now", "parameters": {}}]<|END_ACTION|>',
            (("call", "now", {}),),
            forced=True,
        ),
        "reasoning, then two calls": Output(
            f"<|START_THINKING|>I look at <|START_ACTION|> both.<|END_THINKING|>{action(PARIS, NOW)}",
            (("reasoning", "I look at <|START_ACTION|> both."), CALLED, ("call", "now", {}, "1")),
            forced=True,
        ),
        "hard arguments": Output(action(written(12, "note", HARD)), (("call", "note", HARD, "12"),), forced=True),
        "two calls where one is allowed": Output(
            action(PARIS, NOW), (CALLED, ("call", "now", {}, "1")), grammar=False, forced=False, parallel=False
        ),
        "a call, then text": Output(
            f"{action(NOW)}<|START_RESPONSE|>Done.<|END_RESPONSE|>",
            (("call", "now", {}, "1"), ("text", "Done.")),
            grammar=False,
        ),
        "an unknown tool": Output(action(written(0, "fly", {})), (("call", "fly", {}, "0"),), grammar=False),
        "cut off": Output(action(PARIS)[:80], (("invalid", "get_weather"),), grammar=False, forced=False),
        "not JSON": Output("<|START_ACTION|>now()<|END_ACTION|>", (("invalid", None),), grammar=False, forced=False),
        "no call": Output("<|START_ACTION|>[]<|END_ACTION|>", (("invalid", None),), grammar=False, forced=False),
    },
    refused=(
        action(written(0, "get_weather", {"days": 3})),
        action(written(0, "get_weather", {"city": 3})),
        action(NOW).removesuffix("<|END_ACTION|>"),
        "<|START_RESPONSE|>No.<|END_RESPONSE|>",
    ),
    prompt_has=('"tool_name": "get_weather", "parameters": {"city": "Paris"}}', "<|START_TOOL_RESULT|>"),
)
