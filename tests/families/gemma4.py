"""Gemma 4: FunctionGemma's form with other marks, and a channel for thoughts, which the template closes at once."""

from tests.families import Family, Output

TEMPLATE = """\
{{- bos_token }}
{%- macro value(it) %}
{%- if it is string %}<|"|>{{ it }}<|"|>{% else %}{{ it | tojson }}{% endif %}
{%- endmacro %}
{%- if tools %}<|turn>system
{% for tool in tools -%}
<|tool>declaration:{{ tool.function.name }}{description:{{ value(tool.function.description) }}}<tool|>
{%- endfor %}<turn|>
{% endif %}
{%- for m in messages %}
{%- if m.role == "tool" -%}
<|tool_response>response:{{ m.name }}{value:{{ value(m.content) }}}<tool_response|>
{%- else %}<|turn>{{ "model" if m.role == "assistant" else m.role }}
{% for call in m.tool_calls or [] -%}
<|tool_call>call:{{ call.function.name }}{
{%- for key, it in call.function.arguments | dictsort %}{{ key }}:{{ value(it) }}{{ "" if loop.last else "," }}
{%- endfor %}}<tool_call|>
{%- endfor %}
{%- if m.content %}{{ m.content | trim }}{% endif %}
{%- if not m.tool_calls %}<turn|>
{% endif %}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|turn>model
{% if not enable_thinking | default(false) %}{{ "<|channel>thought\\n<channel|>" }}{% endif %}
{%- endif %}"""

Q = '<|"|>'


def call(name: str, arguments: str) -> str:
    return f"<|tool_call>call:{name}{{{arguments}}}<tool_call|>"


PARIS = call("get_weather", f"city:{Q}Paris{Q},days:3")
NOW = call("now", "")
HARD = '"<tool_call|>" <|tool_call>call:now{} \\ {[ \n\t ü'

FAMILY = Family(
    template=TEMPLATE,
    notation="gemma4",
    raw_strings=True,
    tokens={"bos_token": "<bos>"},
    outputs={
        "text": Output("See <|tool or <tool_call|>.", (("text", "See <|tool or <tool_call|>."),), forced=False),
        "ends of channels that were not open": Output(
            "<|channel>thought\n<channel|>It is 5.<|channel>thought\n<channel|><channel|>",
            (("text", "It is 5."),),
            grammar=None,
        ),
        "one call": Output(PARIS, (("call", "get_weather", {"city": "Paris", "days": 3}),), forced=True),
        "thoughts, a call, thoughts": Output(
            f"<|channel>thought\nHm.\n<channel|>{PARIS}<|channel>thought\nNow.<channel|>{NOW}",
            (
                ("reasoning", "Hm."),
                ("call", "get_weather", {"city": "Paris", "days": 3}),
                ("reasoning", "Now."),
                ("call", "now", {}),
            ),
            grammar=None,
            forced=False,
        ),
        "two calls": Output(
            PARIS + NOW, (("call", "get_weather", {"city": "Paris", "days": 3}), ("call", "now", {})), forced=True
        ),
        "two calls where one is allowed": Output(
            NOW + NOW, (("call", "now", {}), ("call", "now", {})), grammar=False, forced=False, parallel=False
        ),
        "nested": Output(
            call("note", f"place:{{x:1}},tags:[{Q}a{Q}],text:{Q}{HARD}{Q},urgent:false"),
            (("call", "note", {"place": {"x": 1}, "tags": ["a"], "text": HARD, "urgent": False}),),
            forced=True,
        ),
        "keys in quotes": Output(
            call("note", f'{Q}text{Q}:{Q}t{Q}, "place":{{"x":2}}'),
            (("call", "note", {"text": "t", "place": {"x": 2}}),),
            grammar=False,
        ),
        "the first call is not closed": Output(
            f"{PARIS.removesuffix('<tool_call|>')}{NOW}",
            (("call", "get_weather", {"city": "Paris", "days": 3}), ("call", "now", {})),
            grammar=False,
        ),
        "cut off": Output(PARIS[:40], (("invalid", "get_weather"),), grammar=False, forced=False),
    },
    refused=(call("get_weather", "days:3"), call("get_weather", 'city:"Paris"'), call("now", "a:1"), f"{PARIS} "),
    prompt_has=(call("get_weather", f"city:{Q}Paris{Q}"), "<|tool_response>response:get_weather"),
)
