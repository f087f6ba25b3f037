"""LFM2: a list of calls in Python between two marks."""

from tests.families import Family, Output

TEMPLATE = """\
{{- bos_token }}
{%- if tools %}<|im_start|>system
List of tools: <|tool_list_start|>{{ tools | tojson }}<|tool_list_end|><|im_end|>
{% endif %}
{%- for m in messages %}<|im_start|>{{ m.role }}
{% if m.tool_calls %}<|tool_call_start|>[
{%- for call in m.tool_calls %}{{ call.function.name }}({% for key, value in call.function.arguments.items() -%}
{{ key }}={{ value | tojson }}{{ "" if loop.last else ", " }}{% endfor %}){{ "" if loop.last else ", " }}
{%- endfor %}]<|tool_call_end|>
{%- endif %}
{%- if m.content %}{{ m.content }}{% endif %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def calls(*written: str) -> str:
    return f"<|tool_call_start|>[{', '.join(written)}]<|tool_call_end|>"


PARIS = 'get_weather(city="Paris", days=3)'

FAMILY = Family(
    template=TEMPLATE,
    notation="lfm2",
    tokens={"bos_token": "<|startoftext|>"},
    outputs={
        "text": Output("[now()]", (("text", "[now()]"),), forced=False),
        "one call, then text": Output(
            f"{calls(PARIS)}Looking.",
            (("call", "get_weather", {"city": "Paris", "days": 3}), ("text", "Looking.")),
            grammar=False,
            forced=False,
        ),
        "two calls": Output(
            calls(PARIS, "now()"),
            (("call", "get_weather", {"city": "Paris", "days": 3}), ("call", "now", {})),
            forced=True,
        ),
        "marks in a string": Output(
            calls('note(text="]<|tool_call_end|>\\"")'),
            (("call", "note", {"text": ']<|tool_call_end|>"'}),),
            forced=True,
        ),
        "JSON": Output(
            '<|tool_call_start|>[{"name": "now", "arguments": {}}]<|tool_call_end|>',
            (("call", "now", {}),),
            grammar=False,
        ),
        "cut off": Output(calls(PARIS)[:45], (("invalid", "get_weather"),), grammar=False, forced=False),
    },
    refused=(calls("get_weather(days=3)"), calls(), calls("fly()"), calls("now()").removesuffix("<|tool_call_end|>")),
    prompt_has=(calls('get_weather(city="Paris")'),),
)
