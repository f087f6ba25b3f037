"""GLM 4.5 and later: pairs of `<arg_key>` and `<arg_value>` after the name, in `<tool_call>`."""

from tests.families import Family, Output

TEMPLATE = """\
[gMASK]<sop>
{%- if tools %}<|system|>
<tools>
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}
</tools>
Call in this form: <tool_call>{name}
<arg_key>{key}</arg_key>
<arg_value>{value}</arg_value>
</tool_call>
{%- endif %}
{%- for m in messages %}<|{{ "observation" if m.role == "tool" else m.role }}|>
{% if m.content %}{{ m.content }}{% endif %}
{%- for call in m.tool_calls or [] %}
<tool_call>{{ call.function.name }}
{% for key, value in call.function.arguments.items() -%}
<arg_key>{{ key }}</arg_key>
<arg_value>{{ value if value is string else value | tojson }}</arg_value>
{% endfor -%}
</tool_call>
{%- endfor %}
{%- endfor %}
{%- if add_generation_prompt %}<|assistant|>{% endif %}"""


def call(name: str, between: str = "\n", **arguments: str) -> str:
    pairs = (
        f"<arg_key>{key}</arg_key>{between}<arg_value>{value}</arg_value>{between}" for key, value in arguments.items()
    )
    return f"<tool_call>{name}{between}{''.join(pairs)}</tool_call>"


PARIS = call("get_weather", city="Paris", days="3")
XML = "<arg_key>a</arg_key>\n</tool_call> <tool_call>now\n 'it\"s' ß 雨"

FAMILY = Family(
    template=TEMPLATE,
    notation="glm",
    raw_strings=True,
    outputs={
        "text": Output("\nIt is <arg_key>, so.", (("text", "\nIt is <arg_key>, so."),), forced=False),
        "one call": Output(f"\n{PARIS}", (("call", "get_weather", {"city": "Paris", "days": 3}),), forced=True),
        "no arguments": Output(call("now"), (("call", "now", {}),), forced=True),
        "without line breaks": Output(
            call("get_weather", "", city="Bonn", unit="celsius"),
            (("call", "get_weather", {"city": "Bonn", "unit": "celsius"}),),
            forced=True,
        ),
        "text, then two calls": Output(
            f"Well.\n{PARIS}\n{call('now')}",
            (("text", "Well."), ("call", "get_weather", {"city": "Paris", "days": 3}), ("call", "now", {})),
            forced=False,
        ),
        "typed by the schema": Output(
            call("note", text="12", tags='["x"]', place='{"x": -2}', urgent="false"),
            (("call", "note", {"text": "12", "tags": ["x"], "place": {"x": -2}, "urgent": False}),),
            forced=True,
        ),
        "marks in a value": Output(call("note", text=XML), (("call", "note", {"text": XML}),), forced=True),
        "cut off in the name": Output("<tool_call>get_wea", (("invalid", None),), grammar=False, forced=False),
        "cut off after the name": Output("<tool_call>get_weather\n", (("invalid", "get_weather"),), grammar=False),
        "cut off after a value": Output(
            PARIS[: PARIS.index("<arg_key>days")], (("invalid", "get_weather"),), grammar=False
        ),
        "the first call is not closed": Output(
            f"<tool_call>now\n{PARIS}",
            (("call", "now", {}), ("call", "get_weather", {"city": "Paris", "days": 3})),
            grammar=False,
        ),
        "an unknown tool": Output(call("fly"), (("call", "fly", {}),), grammar=False, forced=False),
    },
    refused=(call("get_weather", days="3"), call("get_weather", city="Paris", days="x"), call("now", x="1")),
    prompt_has=(call("get_weather", city="Paris"),),
)
