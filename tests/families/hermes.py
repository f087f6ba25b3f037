"""Hermes and Qwen: JSON between `<tool_call>` and `</tool_call>`."""

from tests.families import Family, Output

TEMPLATE = """\
{%- if tools %}<|im_start|>system
<tools>
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}
</tools>
Write calls as <tool_call>{"name": ..., "arguments": ...}</tool_call><|im_end|>
{% endif %}
{%- for m in messages %}<|im_start|>{{ m.role }}
{% if m.content %}{{ m.content }}{% endif %}
{%- for call in m.tool_calls or [] %}
<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>
{%- endfor %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

PARIS = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris", "days": 3}}\n</tool_call>'
NOW = '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'

FAMILY = Family(
    template=TEMPLATE,
    notation="hermes",
    outputs={
        "text": Output("It is sunny < 5 <tool.", (("text", "It is sunny < 5 <tool."),), forced=False),
        "one call": Output(PARIS, (("call", "get_weather", {"city": "Paris", "days": 3}),), forced=True),
        "text, then two calls": Output(
            f"Let me see.\n{PARIS}\n{NOW}",
            (("text", "Let me see."), ("call", "get_weather", {"city": "Paris", "days": 3}), ("call", "now", {})),
            forced=False,
        ),
        "two calls": Output(
            f"{PARIS}\n{NOW}",
            (("call", "get_weather", {"city": "Paris", "days": 3}), ("call", "now", {})),
            forced=True,
        ),
        "two calls where one is allowed": Output(
            f"{PARIS}\n{NOW}",
            (("call", "get_weather", {"city": "Paris", "days": 3}), ("call", "now", {})),
            grammar=False,
            forced=False,
            parallel=False,
        ),
        "cut off": Output(PARIS[:50], (("invalid", "get_weather"),), grammar=False, forced=False),
        "an unknown tool": Output(
            '<tool_call>\n{"name": "fly", "arguments": {}}\n</tool_call>',
            (("call", "fly", {}),),
            grammar=False,
            forced=False,
        ),
    },
    refused=(
        '<tool_call>\n{"name": "get_weather", "arguments": {"days": 3}}\n</tool_call>',
        '<tool_call>\n{"name": "get_weather", "arguments": {"city": 3}}\n</tool_call>',
        '<tool_call>\n{"name": "now", "arguments": {}}',
    ),
    prompt_has=('{"name": "get_weather", "arguments": {"city": "Paris"}}',),
)
