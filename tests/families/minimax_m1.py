"""MiniMax M1: a JSON call on each line between `<tool_calls>` and `</tool_calls>`."""

import json

from tests.families import Family, Output, hard

TEMPLATE = r"""{%- for m in messages %}<beginning_of_sentence>{{ "ai" if m.role == "assistant" else m.role }}
{% if loop.first and tools %}You have these tools, which are called as {"name": <name>, "arguments": <object>}:
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}{% endif %}
{{- m.content or "" }}
{%- if m.tool_calls %}<tool_calls>
{% for call in m.tool_calls %}{{ call.function | tojson }}
{% endfor %}</tool_calls>{% endif %}<end_of_sentence>
{% endfor %}
{%- if add_generation_prompt %}<beginning_of_sentence>ai
{% endif %}"""

MARK, END = "<tool_calls>", "</tool_calls>"
PARIS = '{"name": "get_weather", "arguments": {"city": "Paris", "days": 3}}'
NOW = '{"name": "now", "arguments": {}}'
CALLED, TOLD = ("call", "get_weather", {"city": "Paris", "days": 3}), ("call", "now", {})
HARD = hard("</tool_calls> <tool_calls>")

FAMILY = Family(
    template=TEMPLATE,
    notation="minimax_m1",
    outputs={
        "text": Output("It is < 5, <tool_", (("text", "It is < 5, <tool_"),), forced=False),
        "one call": Output(f"{MARK}\n{PARIS}\n{END}", (CALLED,), forced=True),
        "hard arguments": Output(
            f'{MARK}\n{{"name": "note", "arguments": {json.dumps(HARD, ensure_ascii=False)}}}\n{END}',
            (("call", "note", HARD),),
            forced=True,
        ),
        "two calls": Output(f"{MARK}\n{PARIS}\n{NOW}\n{END}", (CALLED, TOLD), forced=True),
        "two calls where one is allowed": Output(
            f"{MARK}\n{PARIS}\n{NOW}\n{END}", (CALLED, TOLD), grammar=False, forced=False, parallel=False
        ),
        "text, then a call": Output(
            f"Let me see.\n{MARK}\n{NOW}\n{END}", (("text", "Let me see."), TOLD), forced=False
        ),
        "a list": Output(f"{MARK}[{PARIS}, {NOW}]{END}", (CALLED, TOLD), grammar=False),
        "not closed": Output(f"{MARK}\n{NOW}\n", (TOLD,), grammar=False, forced=False),
        "an unknown tool": Output(f'{MARK}\n{{"name": "fly"}}\n{END}', (("call", "fly", {}),), grammar=False),
        "cut off": Output(f"{MARK}\n{PARIS[:50]}", (("invalid", "get_weather"),), grammar=False, forced=False),
    },
    refused=(
        f'{MARK}\n{{"name": "get_weather", "arguments": {{"days": 3}}}}\n{END}',
        f"{MARK}\n{END}",
        f"{MARK}\n{NOW}",
        "No.",
    ),
    prompt_has=(f'{MARK}\n{{"name": "get_weather", "arguments": {{"city": "Paris"}}}}\n{END}',),
)
