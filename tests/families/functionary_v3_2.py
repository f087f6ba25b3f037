"""Functionary 3.2: `>>>` and a recipient on a line; the prompt ends in the first `>>>`."""

from tests.families import Family, Output

TEMPLATE = """\
{{- bos_token }}
{%- if tools %}<|start_header_id|>system<|end_header_id|>

Respond in this format:
>>>${recipient}
${content}
{%- for tool in tools %}
type {{ tool.function.name }} = (_: {{ tool.function.parameters | tojson }}) => any;
{%- endfor %}<|eot_id|>
{%- endif %}
{%- for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>

{% if m.role == "assistant" %}
{%- if m.content %}{{ ">>>all\\n" + m.content }}{% endif %}
{%- for call in m.tool_calls or [] %}{{ ">>>" + call.function.name + "\\n" + call.function.arguments }}{% endfor %}
{%- else %}{{ m.content }}{% endif %}<|eot_id|>
{%- endfor %}
{%- if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>

>>>{% endif %}"""

PARIS = 'get_weather\n{"city": "Paris", "days": 3}'
NOW = "now\n{}"
NOTE = 'note\n{"text": ">>>now\\n{}\\" }", "tags": ["{", "]"], "place": {"x": 1}}'

FAMILY = Family(
    template=TEMPLATE,
    notation="functionary_v3_2",
    tokens={"bos_token": "<|begin_of_text|>"},
    outputs={
        "text": Output("all\nIn Python:\n>>> 1 > 2", (("text", "In Python:\n>>> 1 > 2"),), forced=False),
        "text without a recipient": Output("Fine, thanks.", (("text", "Fine, thanks."),), forced=False),
        "JSON that is no call": Output('all\n{"a": 1}', (("text", '{"a": 1}'),), forced=False),
        "one call": Output(PARIS, (("call", "get_weather", {"city": "Paris", "days": 3}),), forced=True),
        "text, then two calls": Output(
            f"all\nBoth, then.>>>{PARIS}>>>{NOW}",
            (("text", "Both, then."), ("call", "get_weather", {"city": "Paris", "days": 3}), ("call", "now", {})),
            forced=False,
        ),
        "two calls": Output(
            f"{PARIS}\n>>>{NOW}",
            (("call", "get_weather", {"city": "Paris", "days": 3}), ("call", "now", {})),
            forced=True,
        ),
        "two calls where one is allowed": Output(
            f"{NOW}>>>{NOW}", (("call", "now", {}), ("call", "now", {})), grammar=False, forced=False, parallel=False
        ),
        "a call, then text": Output(
            f"{NOW}\n>>>all\nIt is late.", (("call", "now", {}), ("text", "It is late.")), grammar=False, forced=False
        ),
        "marks in strings": Output(
            NOTE, (("call", "note", {"text": '>>>now\n{}" }', "place": {"x": 1}, "tags": ["{", "]"]}),), forced=True
        ),
        "text that names a tool": Output(
            "all\nFirst\n>>>now\nis a tool.", (("text", "First\n>>>now\nis a tool."),), grammar=False
        ),
        "cut off": Output(PARIS[:-5], (("invalid", "get_weather"),), grammar=False, forced=False),
        "bad JSON": Output("now\n{x}", (("invalid", "now"),), grammar=False, forced=False),
    },
    refused=('get_weather\n{"days": 3}', f">>>{NOW}", "all\nHello", "fly\n{}", f"{NOW}>>>", "now\n"),
    prompt_has=('>>>get_weather\n{"city": "Paris"}<|eot_id|>',),
)
