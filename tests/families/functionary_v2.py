"""Functionary 2: each message names its recipient; the prompt ends where the first is named."""

from tests.families import Family, Output

TEMPLATE = """\
{%- if tools %}<|from|>system
<|recipient|>all
<|content|>namespace functions {
{%- for tool in tools %}
type {{ tool.function.name }} = (_: {{ tool.function.parameters | tojson }}) => any;
{%- endfor %}
}
{% endif %}
{%- for m in messages %}
{%- if m.role == "assistant" %}
{%- if m.content %}<|from|>assistant
<|recipient|>all
<|content|>{{ m.content }}{% endif %}
{%- for call in m.tool_calls or [] %}
{%- if m.content or not loop.first %}{{ "\\n" }}{% endif -%}
<|from|>assistant
<|recipient|>{{ call.function.name }}
<|content|>{{ "" + call.function.arguments }}
{%- endfor %}<|stop|>
{% else %}<|from|>{{ m.name if m.role == "tool" else m.role }}
<|recipient|>all
<|content|>{{ m.content }}
{% endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|from|>assistant
<|recipient|>{% endif %}"""

NEXT = "\n<|from|>assistant\n<|recipient|>"
PARIS = 'get_weather\n<|content|>{"city": "Paris", "days": 3}'
NOW = "now\n<|content|>{}"
NOTE = 'note\n<|content|>{"text": "<|from|>assistant\\n<|recipient|>now\\n<|content|>{} \\"é\\"", "tags": ["<|stop|>"]}'

FAMILY = Family(
    template=TEMPLATE,
    notation="functionary_v2",
    outputs={
        "text": Output("all\n<|content|>It is all.\nall", (("text", "It is all.\nall"),), forced=False),
        "text without a recipient": Output("It is all.", (("text", "It is all."),), forced=False),
        "one call": Output(PARIS, (("call", "get_weather", {"city": "Paris", "days": 3}),), forced=True),
        "one call, with the end": Output(
            f"{PARIS}<|stop|>", (("call", "get_weather", {"city": "Paris", "days": 3}),), grammar=None
        ),
        "text, then two calls": Output(
            f"all\n<|content|>Well.{NEXT}{PARIS}{NEXT}{NOW}",
            (("text", "Well."), ("call", "get_weather", {"city": "Paris", "days": 3}), ("call", "now", {})),
            forced=False,
        ),
        "two calls": Output(
            f"{PARIS}{NEXT}{NOW}",
            (("call", "get_weather", {"city": "Paris", "days": 3}), ("call", "now", {})),
            forced=True,
        ),
        "two calls where one is allowed": Output(
            f"{NOW}{NEXT}{NOW}",
            (("call", "now", {}), ("call", "now", {})),
            grammar=False,
            forced=False,
            parallel=False,
        ),
        "marks in strings": Output(
            NOTE,
            (("call", "note", {"text": f'{NEXT[1:]}{NOW} "é"', "tags": ["<|stop|>"]}),),
            forced=True,
        ),
        "cut off": Output(PARIS[:-12], (("invalid", "get_weather"),), grammar=False, forced=False),
        "bad JSON": Output("now\n<|content|>{x}", (("invalid", "now"),), grammar=False, forced=False),
    },
    refused=('get_weather\n<|content|>{"days": 3}', f"{NOW} ", "fly\n<|content|>{}", f"{NEXT[1:]}{NOW}"),
    prompt_has=(
        '<|from|>assistant\n<|recipient|>get_weather\n<|content|>{"city": "Paris"}<|stop|>',
        "<|from|>get_weather",
    ),
)
