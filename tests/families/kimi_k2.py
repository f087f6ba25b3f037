"""Kimi K2: a section of calls, whose ids name the tool."""

from tests.families import Family, Output

TEMPLATE = """\
{%- if tools %}<|im_system|>tool_declare<|im_middle|>{{ tools | tojson }}<|im_end|>{% endif %}
{%- for m in messages %}
{%- if m.role == "tool" %}<|im_system|>tool<|im_middle|>## Return of {{ m.tool_call_id }}
{{ m.content }}
{%- else %}<|im_{{ m.role }}|>{{ m.role }}<|im_middle|>
{%- if m.content %}{{ m.content }}{% endif %}
{%- endif %}
{%- if m.tool_calls %}<|tool_calls_section_begin|>
{%- for call in m.tool_calls -%}
<|tool_call_begin|>{{ call.id }}<|tool_call_argument_begin|>{{ call.function.arguments | tojson }}<|tool_call_end|>
{%- endfor -%}
<|tool_calls_section_end|>
{%- endif %}<|im_end|>
{%- endfor %}
{%- if add_generation_prompt %}<|im_assistant|>assistant<|im_middle|>{% endif %}"""


def call(head: str, arguments: str) -> str:
    return f"<|tool_call_begin|>{head}<|tool_call_argument_begin|>{arguments}<|tool_call_end|>"


def section(*calls: str) -> str:
    return f"<|tool_calls_section_begin|>{''.join(calls)}<|tool_calls_section_end|>"


PARIS = call("functions.get_weather:0", '{"city": "Paris", "days": 3}')
NOW = call("functions.now:1", "{}")
TEXT = '{"text": "<|tool_call_end|> \\"q\\" <|tool_calls_section_end|>", "tags": [], "place": {"x": 1}}'

FAMILY = Family(
    template=TEMPLATE,
    notation="kimi_k2",
    outputs={
        "text": Output("<|tool or not", (("text", "<|tool or not"),), forced=False),
        "one call": Output(
            section(PARIS),
            (("call", "get_weather", {"city": "Paris", "days": 3}, "functions.get_weather:0"),),
            forced=True,
        ),
        "text, then two calls": Output(
            f"Well. {section(PARIS, NOW)}",
            (
                ("text", "Well."),
                ("call", "get_weather", {"city": "Paris", "days": 3}, "functions.get_weather:0"),
                ("call", "now", {}, "functions.now:1"),
            ),
            forced=False,
        ),
        "two calls where one is allowed": Output(
            section(NOW, NOW),
            (("call", "now", {}, "functions.now:1"), ("call", "now", {}, "functions.now:1")),
            grammar=False,
            forced=False,
            parallel=False,
        ),
        "marks in a string": Output(
            section(call("functions.note:12", TEXT)),
            (
                (
                    "call",
                    "note",
                    {
                        "text": '<|tool_call_end|> "q" <|tool_calls_section_end|>',
                        "place": {"x": 1},
                        "tags": [],
                    },
                    "functions.note:12",
                ),
            ),
            forced=True,
        ),
        "without an id": Output(section(call("now", "{}")), (("call", "now", {}),), grammar=False),
        "without a section": Output(NOW, (("call", "now", {}, "functions.now:1"),), grammar=None, forced=False),
        "the second call is cut off": Output(
            section(NOW, PARIS)[:-70],
            (("call", "now", {}, "functions.now:1"), ("invalid", "get_weather")),
            grammar=False,
        ),
        "bad JSON": Output(
            section(call("functions.now:0", "{x}"), NOW),
            (("invalid", "now"), ("call", "now", {}, "functions.now:1")),
            grammar=False,
        ),
        "an unknown tool": Output(
            section(call("functions.fly:0", "{}")), (("call", "fly", {}, "functions.fly:0"),), grammar=False
        ),
    },
    refused=(section(), section(call("functions.get_weather:0", "{}")), section(call("now:0", "{}")), NOW),
    prompt_has=(
        section(call("functions.get_weather:0", '{"city": "Paris"}')),
        "## Return of functions.get_weather:0",
    ),
)
