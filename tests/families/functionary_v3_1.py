"""Functionary 3.1: `<function=name>{…}</function>`, which Llama 3.1 was taught for custom tools."""

from tests.families import Family, Output

TEMPLATE = """\
{{- bos_token }}
{%- if tools %}<|start_header_id|>system<|end_header_id|>
{%- for tool in tools %}

Use '{{ tool.function.name }}': {{ tool.function | tojson }}
{%- endfor %}

Call in this form: <function=example_function_name>{"example_name": "example_value"}</function><|eot_id|>
{%- endif %}
{%- for m in messages %}<|start_header_id|>{{ "ipython" if m.role == "tool" else m.role }}<|end_header_id|>

{% if m.content %}{{ m.content }}{% endif %}
{%- for call in m.tool_calls or [] -%}
<function={{ call.function.name }}>{{ call.function.arguments | tojson }}</function>
{%- endfor %}{{ "<|eom_id|>" if m.tool_calls else "<|eot_id|>" }}
{%- endfor %}
{%- if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>

{% endif %}"""

PARIS = '<function=get_weather>{"city": "Paris", "days": 3}</function>'
NOW = "<function=now>{}</function>"
NOTE = '<function=note>{"text": "</function><function=now>\\n\\u00e9", "place": {"x": 0.5}}</function>'

FAMILY = Family(
    template=TEMPLATE,
    notation="functionary_v3_1",
    tokens={"bos_token": "<|begin_of_text|>"},
    outputs={
        "text": Output("if a < b: <function>", (("text", "if a < b: <function>"),), forced=False),
        "one call": Output(PARIS, (("call", "get_weather", {"city": "Paris", "days": 3}),), forced=True),
        "text, then two calls": Output(
            f"Well. {PARIS}{NOW}",
            (("text", "Well."), ("call", "get_weather", {"city": "Paris", "days": 3}), ("call", "now", {})),
            forced=False,
        ),
        "two calls where one is allowed": Output(
            f"{NOW}\n{NOW}",
            (("call", "now", {}), ("call", "now", {})),
            grammar=False,
            forced=False,
            parallel=False,
        ),
        "marks in a string": Output(
            NOTE, (("call", "note", {"text": "</function><function=now>\n\u00e9", "place": {"x": 0.5}}),), forced=True
        ),
        "no arguments at all": Output("<function=now></function>", (("call", "now", {}),), grammar=False),
        "not closed": Output(
            PARIS.removesuffix("</function>"), (("call", "get_weather", {"city": "Paris", "days": 3}),), grammar=False
        ),
        "cut off in the name": Output("<function=get_we", (("invalid", None),), grammar=False, forced=False),
        "cut off": Output(PARIS[:-20], (("invalid", "get_weather"),), grammar=False, forced=False),
        "bad JSON, then text": Output(
            "<function=now>{x}</function> Yes.", (("invalid", "now"), ("text", "Yes.")), grammar=False
        ),
        "an unknown tool": Output("<function=fly>{}</function>", (("call", "fly", {}),), grammar=False),
    },
    refused=('<function=get_weather>{"days": 3}</function>', "<function=now>{}", f"{NOW}\n\n{NOW}"),
    prompt_has=('<function=get_weather>{"city": "Paris"}</function><|eom_id|>',),
)
