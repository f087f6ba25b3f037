"""FunctionGemma: `call:name{key:<escape>text<escape>}`."""

from tests.families import Family, Output

TEMPLATE = """\
{{- bos_token }}
{%- macro value(it) %}
{%- if it is string %}<escape>{{ it }}<escape>{% else %}{{ it | tojson }}{% endif %}
{%- endmacro %}
{%- if tools %}<start_of_turn>developer
{% for tool in tools -%}
<start_function_declaration>declaration:{{ tool.function.name }}{description:{{ value(tool.function.description) -}}
}<end_function_declaration>
{%- endfor %}<end_of_turn>
{% endif %}
{%- for m in messages %}
{%- if m.role == "tool" -%}
<start_function_response>response:{{ m.name }}{value:{{ value(m.content) }}}<end_function_response>
{%- else %}<start_of_turn>{{ {"assistant": "model", "system": "developer"}.get(m.role, m.role) }}
{% if m.content %}{{ m.content | trim }}{% endif %}
{%- for call in m.tool_calls or [] -%}
<start_function_call>call:{{ call.function.name }}{
{%- for key, it in call.function.arguments | dictsort %}{{ key }}:{{ value(it) }}{{ "" if loop.last else "," }}
{%- endfor %}}<end_function_call>
{%- endfor %}
{%- if not m.tool_calls %}<end_of_turn>
{% endif %}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}<start_of_turn>model
{% endif %}"""

E = "<escape>"


def call(name: str, arguments: str) -> str:
    return f"<start_function_call>call:{name}{{{arguments}}}<end_function_call>"


PARIS = call("get_weather", f"city:{E}Paris{E},days:3")
NOW = call("now", "")
HARD = 'a "b" {c}, <end_function_call> <start_function_call>call:x{} \n 東京'

FAMILY = Family(
    template=TEMPLATE,
    notation="functiongemma",
    raw_strings=True,
    tokens={"bos_token": "<bos>"},
    outputs={
        "text": Output("Let f(x) <start_ be.", (("text", "Let f(x) <start_ be."),), forced=False),
        "one call": Output(PARIS, (("call", "get_weather", {"city": "Paris", "days": 3}),), forced=True),
        "one call, with the beginning of its result": Output(
            f"{PARIS}<start_function_response>",
            (("call", "get_weather", {"city": "Paris", "days": 3}),),
            grammar=None,
            forced=False,
        ),
        "no arguments": Output(NOW, (("call", "now", {}),), forced=True),
        "text, then two calls": Output(
            f"Well.\n{PARIS}{NOW}",
            (("text", "Well."), ("call", "get_weather", {"city": "Paris", "days": 3}), ("call", "now", {})),
            forced=False,
        ),
        "two calls where one is allowed": Output(
            f"{NOW}{NOW}", (("call", "now", {}), ("call", "now", {})), grammar=False, forced=False, parallel=False
        ),
        "nested": Output(
            call("note", f"place:{{x:1.5}},tags:[{E}a{E},{E}b,c{E}],text:{E}t{E},urgent:true"),
            (("call", "note", {"place": {"x": 1.5}, "tags": ["a", "b,c"], "text": "t", "urgent": True}),),
            forced=True,
        ),
        "marks in a string": Output(
            call("note", f"text:{E}{HARD}{E}"), (("call", "note", {"text": HARD}),), forced=True
        ),
        "strings without marks": Output(
            call("get_weather", 'city:New York, days: "3"'),
            (("call", "get_weather", {"city": "New York", "days": "3"}),),
            grammar=False,
        ),
        "a bare word that looks like a number": Output(
            call("note", "text:007,urgent:false"), (("call", "note", {"text": "007", "urgent": False}),), grammar=False
        ),
        "what is not known": Output(
            call("now", "a:1,b:null,c:word,d:{e:[{f:-2.5e1}]}"),
            (("call", "now", {"a": 1, "b": None, "c": "word", "d": {"e": [{"f": -25.0}]}}),),
            grammar=False,
        ),
        "not closed": Output(
            PARIS.removesuffix("<end_function_call>"),
            (("call", "get_weather", {"city": "Paris", "days": 3}),),
            grammar=False,
            forced=False,
        ),
        "cut off in a string": Output(PARIS[:58], (("invalid", "get_weather"),), grammar=False, forced=False),
        "cut off in the name": Output(PARIS[:30], (("invalid", None),), grammar=False, forced=False),
        "bad": Output(call("now", "a:}b") + " Yes", (("invalid", "now"), ("text", "Yes")), grammar=False),
        "an unknown tool": Output(call("fly", ""), (("call", "fly", {}),), grammar=False, forced=False),
    },
    refused=(
        call("get_weather", "days:3"),
        call("get_weather", f"city:{E}Paris{E},unit:{E}kelvin{E}"),
        call("get_weather", f"city:{E}Paris{E},days:3.5"),
        call("note", f"place:{{x:{E}1{E}}},text:{E}{E}"),
        call("now", "x:1"),
        PARIS.removesuffix("<end_function_call>"),
    ),
    prompt_has=(call("get_weather", f"city:{E}Paris{E}"),),
)
