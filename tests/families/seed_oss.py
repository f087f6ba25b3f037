"""Seed-OSS: Qwen3-Coder's notation with marks of its own, and no line breaks around values."""

from tests.families import Family, Output

TEMPLATE = """\
{%- set opening = "<seed:tool_call>" %}
{%- set closing = "</seed:tool_call>" %}
{%- if tools %}<seed:bos>system
{%- for tool in tools %}
Function: def {{ tool.function.name }}
{{ tool.function.parameters | tojson }}
{%- endfor %}
Call in this form: {{ opening }}<function=f><parameter=p>value</parameter></function>{{ closing }}<seed:eos>
{%- endif %}
{%- for m in messages %}<seed:bos>{{ m.role }}
{% if m.content %}{{ m.content }}{% endif %}
{%- for call in m.tool_calls or [] %}
{{ opening }}
<function={{ call.function.name }}>
{% for key, value in call.function.arguments.items() -%}
<parameter={{ key }}>{{ value | string }}</parameter>
{% endfor -%}
</function>
{{ closing }}
{%- endfor %}<seed:eos>
{%- endfor %}
{%- if add_generation_prompt %}<seed:bos>assistant
{% endif %}"""


def call(name: str, **arguments: str) -> str:
    written = "".join(f"<parameter={key}>{value}</parameter>\n" for key, value in arguments.items())
    return f"<seed:tool_call>\n<function={name}>\n{written}</function>\n</seed:tool_call>"


PARIS = call("get_weather", city="Paris", days="3")

FAMILY = Family(
    template=TEMPLATE,
    notation="seed_oss",
    raw_strings=True,
    outputs={
        "text": Output("<seed: a", (("text", "<seed: a"),), forced=False),
        "one call": Output(PARIS, (("call", "get_weather", {"city": "Paris", "days": 3}),), forced=True),
        "text, then two calls": Output(
            f"Well.\n{PARIS}\n{call('now')}",
            (("text", "Well."), ("call", "get_weather", {"city": "Paris", "days": 3}), ("call", "now", {})),
            forced=False,
        ),
        "values in Python's way": Output(
            call("note", text="None", tags="['a', 'it\\'s']", place="{'x': 2}", urgent="False"),
            (("call", "note", {"text": "None", "tags": ["a", "it's"], "place": {"x": 2}, "urgent": False}),),
            grammar=False,
        ),
        "line breaks of the value": Output(
            call("note", text="\na\n"), (("call", "note", {"text": "\na\n"}),), forced=True
        ),
        "cut off": Output(PARIS[:-40], (("invalid", "get_weather"),), grammar=False, forced=False),
    },
    refused=(call("get_weather", days="3"), PARIS.replace("seed:", "")),
    prompt_has=(call("get_weather", city="Paris"),),
)
