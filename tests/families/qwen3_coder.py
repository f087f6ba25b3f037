"""Qwen3-Coder: `<function=name>` in `<tool_call>`, each value on lines of its own."""

from tests.families import Family, Output

TEMPLATE = """\
{%- if tools %}<|im_start|>system
<tools>
{%- for tool in tools %}
{{ tool | tojson }}
{%- endfor %}
</tools>
Call in this form:
<tool_call>
<function=name_of_function>
<parameter=name_of_parameter>
value
</parameter>
</function>
</tool_call><|im_end|>
{% endif %}
{%- for m in messages %}
{%- if m.role == "tool" %}<|im_start|>user
<tool_response>
{{ m.content }}
</tool_response>
{%- else %}<|im_start|>{{ m.role }}
{% if m.content %}{{ m.content }}{% endif %}
{%- for call in m.tool_calls or [] %}
<tool_call>
<function={{ call.function.name }}>
{% for key, value in call.function.arguments.items() -%}
<parameter={{ key }}>
{{ value if value is string else value | tojson }}
</parameter>
{% endfor -%}
</function>
</tool_call>
{%- endfor %}
{%- endif %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def call(name: str, **arguments: str) -> str:
    written = "".join(f"<parameter={key}>\n{value}\n</parameter>\n" for key, value in arguments.items())
    return f"<tool_call>\n<function={name}>\n{written}</function>\n</tool_call>"


PARIS = call("get_weather", city="Paris", days="3")
NOW = call("now")
CODE = 'if a < b: "</tool_call>"\n\n<tool_call>\n<function=now> \\n <parameter=x> </function> é 雨 🌧'

FAMILY = Family(
    template=TEMPLATE,
    notation="qwen3_coder",
    raw_strings=True,
    outputs={
        "text": Output("Use <function=f> & <tool.", (("text", "Use <function=f> & <tool."),), forced=False),
        "JSON that is no call": Output('{"name": "x"}', (("text", '{"name": "x"}'),), forced=False),
        "one call": Output(PARIS, (("call", "get_weather", {"city": "Paris", "days": 3}),), forced=True),
        "no arguments": Output(NOW, (("call", "now", {}),), forced=True),
        "text, then two calls": Output(
            f"Let me see.\n\n{PARIS}\n{NOW}",
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
        "without the outer mark": Output(
            f"Well.\n{PARIS.removeprefix('<tool_call>').strip()}",
            (("text", "Well."), ("call", "get_weather", {"city": "Paris", "days": 3})),
            # What is left of the outer mark is text to the grammar, and dropped by the reader.
            forced=False,
        ),
        "without outer marks, twice": Output(
            "<function=now>\n</function>\n<function=now>\n</function>",
            (("call", "now", {}), ("call", "now", {})),
            forced=False,
        ),
        "typed by the schema": Output(
            call("note", text="007", tags='["a", "b\\"c"]', place='{"x": 1.5}', urgent="True"),
            (("call", "note", {"text": "007", "tags": ["a", 'b"c'], "place": {"x": 1.5}, "urgent": True}),),
            forced=True,
        ),
        "a value that is nothing": Output(call("note", text=""), (("call", "note", {"text": ""}),), forced=True),
        "line breaks of the value": Output(
            call("note", text="\n two\n\nlines \n"), (("call", "note", {"text": "\n two\n\nlines \n"}),), forced=True
        ),
        "marks in a value": Output(call("note", text=CODE), (("call", "note", {"text": CODE}),), forced=True),
        "its own closing mark in a value": Output(
            call("note", text="a </parameter> b"), (("call", "note", {"text": "a </parameter> b"}),), grammar=False
        ),
        "parameters that are not known": Output(
            call("now", a="5", b="x y", c='{"d": null}'),
            (("call", "now", {"a": 5, "b": "x y", "c": {"d": None}}),),
            grammar=False,
        ),
        "values on one line": Output(
            "<tool_call><function=get_weather><parameter=city>Köln</parameter></function></tool_call>",
            (("call", "get_weather", {"city": "Köln"}),),
            forced=True,
        ),
        "JSON between its marks": Output(
            '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>', (("call", "now", {}),), grammar=False
        ),
        "the first call is not closed": Output(
            f"<tool_call>\n<function=now>\n</function>\n{NOW}",
            (("call", "now", {}), ("call", "now", {})),
            grammar=False,
        ),
        "cut off in a value": Output(PARIS[:70], (("invalid", "get_weather"),), grammar=False, forced=False),
        "cut off after a value": Output(
            PARIS[: PARIS.index("<parameter=days")], (("invalid", "get_weather"),), grammar=False, forced=False
        ),
        "cut off in the name": Output("<tool_call>\n<function=get_", (("invalid", None),), grammar=False, forced=False),
        "no call": Output("<tool_call>\nHm.\n</tool_call> Yes", (("invalid", None), ("text", "Yes")), grammar=False),
        "a list that is none": Output(
            call("note", text="x", tags="[1, ") + " Yes", (("invalid", "note"), ("text", "Yes")), grammar=False
        ),
        "an unknown tool": Output(call("fly", to="1"), (("call", "fly", {"to": 1}),), grammar=False, forced=False),
    },
    refused=(
        call("get_weather", days="3"),
        call("get_weather", city="Paris", days="three"),
        call("get_weather", city="Paris", unit="kelvin"),
        call("note", text="x", place='{"x": "y"}'),
        call("now", x="1"),
        f"{PARIS} ",
        f"{PARIS}\n\n{PARIS}",
        PARIS.removesuffix("</tool_call>"),
    ),
    prompt_has=(call("get_weather", city="Paris"),),
)
