"""Granite 3: a JSON list after `<|tool_call|>`, closed by nothing."""

import json

from tests.families import Family, Output, hard

TEMPLATE = r"""{%- if tools %}<|start_of_role|>tools<|end_of_role|>
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}<|end_of_text|>
{%- endif %}
{%- for m in messages %}
<|start_of_role|>{{ "tool_response" if m.role == "tool" else m.role }}<|end_of_role|>{{ m.content or "" }}
{%- if m.tool_calls %}<|tool_call|>[
{%- for call in m.tool_calls %}{{ call.function | tojson }}{{ "" if loop.last else ", " }}{% endfor %}]
{%- endif %}<|end_of_text|>
{%- endfor %}
{%- if add_generation_prompt %}
<|start_of_role|>assistant<|end_of_role|>
{%- endif %}"""

MARK = "<|tool_call|>"
PARIS = '{"name": "get_weather", "arguments": {"city": "Paris", "days": 3}}'
NOW = '{"name": "now", "arguments": {}}'
CALLED = ("call", "get_weather", {"city": "Paris", "days": 3})
HARD = hard("<|tool_call|> </tool_call>")

FAMILY = Family(
    template=TEMPLATE,
    notation="granite",
    outputs={
        "text": Output("It is < 5, <|tool, [7].", (("text", "It is < 5, <|tool, [7]."),), forced=False),
        "JSON": Output(f"[{PARIS}]", (("text", f"[{PARIS}]"),), forced=False),
        "one call": Output(f"{MARK}[{PARIS}]", (CALLED,), forced=True),
        "one call after a blank": Output(f"{MARK} [{PARIS}]", (CALLED,), forced=True),
        "the other mark": Output(f"<tool_call>[{PARIS}]", (CALLED,), forced=False),
        "the other mark, closed": Output(f"<tool_call>\n{NOW}\n</tool_call>", (("call", "now", {}),), grammar=False),
        "hard arguments": Output(
            f'{MARK}[{{"name": "note", "arguments": {json.dumps(HARD, ensure_ascii=False)}}}]',
            (("call", "note", HARD),),
            forced=True,
        ),
        "text, then two calls": Output(
            f"Let me see.\n{MARK}[{PARIS}, {NOW}]",
            (("text", "Let me see."), CALLED, ("call", "now", {})),
            forced=False,
        ),
        "two calls where one is allowed": Output(
            f"{MARK}[{PARIS}, {NOW}]", (CALLED, ("call", "now", {})), grammar=False, forced=False, parallel=False
        ),
        "two marks": Output(f"{MARK}{PARIS}\n{MARK}{NOW}", (CALLED, ("call", "now", {})), grammar=False),
        "a call, then text": Output(f"{MARK}[{NOW}]\nDone.", (("call", "now", {}), ("text", "Done.")), grammar=False),
        "an unknown tool": Output(f'{MARK}[{{"name": "fly"}}]', (("call", "fly", {}),), grammar=False, forced=False),
        "cut off": Output(f"{MARK}[{PARIS[:50]}", (("invalid", "get_weather"),), grammar=False, forced=False),
        "no call": Output(f"{MARK}[]", (("invalid", None),), grammar=False, forced=False),
        "not JSON": Output(f"{MARK}now", (("invalid", None),), grammar=False, forced=False),
        "a bad call, then a good one": Output(
            f'{MARK}[{{"name": "now"{MARK}[{NOW}]', (("invalid", "now"), ("call", "now", {})), grammar=False
        ),
    },
    refused=(
        f'{MARK}[{{"name": "get_weather", "arguments": {{"days": 3}}}}]',
        f'{MARK}[{{"name": "get_weather", "arguments": {{"city": 3}}}}]',
        f"{MARK}[{NOW}",
        f"[{NOW}]",
        "No.",
    ),
    prompt_has=(
        '<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Paris"}}]<|end_of_text|>',
        "tool_response",
    ),
)
