"""Command R and R+ of 2024: a list in a fence of code after `Action:`."""

import json

from tests.families import Family, Output, hard

TEMPLATE = r"""{{- bos_token }}
{%- if tools %}<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>## Tools
{%- for tool in tools %}
{{ tool.function | tojson }}
{%- endfor %}
Write 'Action:' and a JSON list such as
```json
[{"tool_name": ..., "parameters": ...}]
```<|END_OF_TURN_TOKEN|>
{%- endif %}
{%- for m in messages %}<|START_OF_TURN_TOKEN|>
{%- if m.role == "assistant" %}<|CHATBOT_TOKEN|>{{ m.content or "" }}
{%- if m.tool_calls %}
Action: ```json
[
{%- for call in m.tool_calls %}
    {
        "tool_name": "{{ call.function.name }}",
        "parameters": {{ call.function.arguments | tojson }}
    }{{ "" if loop.last else "," }}
{%- endfor %}
]```
{%- endif %}
{%- elif m.role == "user" %}<|USER_TOKEN|>{{ m.content }}
{%- elif m.role == "tool" %}<|SYSTEM_TOKEN|><results>
Document: 0
{{ m.content }}
</results>
{%- else %}<|SYSTEM_TOKEN|>{{ m.content }}
{%- endif %}<|END_OF_TURN_TOKEN|>
{%- endfor %}
{%- if add_generation_prompt %}<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>{% endif %}"""


def action(*calls: str) -> str:
    return "Action: ```json\n[\n" + ",\n".join(calls) + "\n]\n```"


def written(name: str, arguments: object) -> str:
    text = json.dumps(arguments, ensure_ascii=False)
    return f'    {{\n        "tool_name": "{name}",\n        "parameters": {text}\n    }}'


PARIS = written("get_weather", {"city": "Paris", "days": 3})
NOW = written("now", {})
CALLED = ("call", "get_weather", {"city": "Paris", "days": 3})
HARD = hard("\nAction: ```json [] ```")

FAMILY = Family(
    template=TEMPLATE,
    notation="command_r",
    tokens={"bos_token": "<BOS_TOKEN>"},
    outputs={
        "text": Output("Action! Cut. ```json\n[]\n```", (("text", "Action! Cut. ```json\n[]\n```"),), forced=False),
        "in the middle of a line": Output(
            "An Action: ```json\n[1]\n```", (("text", "An Action: ```json\n[1]\n```"),), grammar=False
        ),
        "one call": Output(action(PARIS), (CALLED,), forced=True),
        "one call on one line": Output(
            'Action: ```json [{"tool_name": "now", "parameters": {}}]```', (("call", "now", {}),), grammar=None
        ),
        "arguments on lines": Output(
            'Action:\n```json\n[{"tool_name": "get_weather", "parameters": {\n"city": "Paris",\n"days": 3\n}}]\n```',
            (CALLED,),
            grammar=None,
        ),
        "a call without arguments": Output(action(NOW), (("call", "now", {}),), forced=True),
        "hard arguments": Output(action(written("note", HARD)), (("call", "note", HARD),), forced=True),
        "text, then two calls": Output(
            f"Plan: look at both.\n{action(PARIS, NOW)}",
            (("text", "Plan: look at both."), CALLED, ("call", "now", {})),
            forced=False,
        ),
        "two calls where one is allowed": Output(
            action(PARIS, NOW), (CALLED, ("call", "now", {})), grammar=False, forced=False, parallel=False
        ),
        "a call, then text": Output(f"{action(NOW)}\nDone.", (("call", "now", {}), ("text", "Done.")), grammar=False),
        "no tool is needed": Output(action(written("directly-answer", {})), (), grammar=False, forced=False),
        "an unknown tool": Output(action(written("fly", {})), (("call", "fly", {}),), grammar=False, forced=False),
        "cut off": Output(action(PARIS)[:80], (("invalid", "get_weather"),), grammar=False, forced=False),
        "the fence is not closed": Output(action(NOW)[:-4], (("call", "now", {}),), grammar=False, forced=False),
        "not JSON": Output("Action: ```json\nnow()\n```", (("invalid", None),), grammar=False, forced=False),
    },
    refused=(action(written("get_weather", {})), action(written("get_weather", {"city": 3})), action(), "Plan: none."),
    prompt_has=('"tool_name": "get_weather",\n        "parameters": {"city": "Paris"}', "<results>"),
)
