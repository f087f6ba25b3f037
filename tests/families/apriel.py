"""Apriel: a JSON list of calls between two marks."""

from tests.families import Family, Output

TEMPLATE = """\
{%- if tools %}<|system|>
{%- for tool in tools %}
{{ tool.function | tojson }}
{%- endfor %}
Call in this form: <tool_calls>[{"name": ..., "arguments": ...}]</tool_calls><|end|>
{% endif %}
{%- for m in messages %}<|{{ m.role }}|>
{% if m.content %}{{ m.content }}{% endif %}
{%- if m.tool_calls %}<tool_calls>[
{%- for call in m.tool_calls %}{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
{%- if not loop.last %}, {% endif %}
{%- endfor %}]</tool_calls>
{%- endif %}<|end|>
{% endfor %}
{%- if add_generation_prompt %}<|assistant|>
{% endif %}"""


def calls(*written: str) -> str:
    return f"<tool_calls>[{', '.join(written)}]</tool_calls>"


PARIS = '{"name": "get_weather", "arguments": {"city": "Paris", "days": 3}}'
NOW = '{"name": "now", "arguments": {}}'

FAMILY = Family(
    template=TEMPLATE,
    notation="apriel",
    outputs={
        "text": Output("<TOOL> a <tool_call> b", (("text", "<TOOL> a <tool_call> b"),), forced=False),
        "one call": Output(calls(PARIS), (("call", "get_weather", {"city": "Paris", "days": 3}),), forced=True),
        "text, then two calls": Output(
            f"Well.\n{calls(PARIS, NOW)}",
            (("text", "Well."), ("call", "get_weather", {"city": "Paris", "days": 3}), ("call", "now", {})),
            forced=False,
        ),
        "two calls where one is allowed": Output(
            calls(NOW, NOW), (("call", "now", {}), ("call", "now", {})), grammar=False, forced=False, parallel=False
        ),
        "marks in a string": Output(
            calls('{"name": "note", "arguments": {"text": "</tool_calls>\\""}}'),
            (("call", "note", {"text": '</tool_calls>"'}),),
            forced=True,
        ),
        "an id": Output(
            calls('{"name": "now", "arguments": {}, "id": "7"}'), (("call", "now", {}, "7"),), grammar=False
        ),
        "cut off": Output(calls(PARIS)[:-30], (("invalid", "get_weather"),), grammar=False, forced=False),
    },
    refused=(calls(), calls('{"name": "get_weather", "arguments": {}}'), f"{calls(NOW)} "),
    prompt_has=(calls('{"name": "get_weather", "arguments": {"city": "Paris"}}'),),
)
