"""Gemma 3: Python in a fence of `tool_code`, as its makers teach to prompt it, with such a prompt as the template."""

from tests.families import Family, Output

TEMPLATE = """\
{{- bos_token }}
{%- if tools %}<start_of_turn>user
Call functions in Python, in a block that begins with ```tool_code. You have:
{% for tool in tools %}
{{ tool.function | tojson }}
{%- endfor %}<end_of_turn>
{% endif %}
{%- for m in messages %}<start_of_turn>{{ "model" if m.role == "assistant" else "user" }}
{% if m.role == "tool" %}```tool_output
{{ m.content }}
```
{%- elif m.content %}{{ m.content }}{% endif %}
{%- if m.tool_calls %}```tool_code
{% for call in m.tool_calls -%}
{{ call.function.name }}({% for key, value in call.function.arguments.items() -%}
{{ key }}={{ value | tojson }}{{ "" if loop.last else ", " }}{% endfor %})
{% endfor -%}
```{% endif %}<end_of_turn>
{% endfor %}
{%- if add_generation_prompt %}<start_of_turn>model
{% endif %}"""


def code(*lines: str) -> str:
    return "```tool_code\n" + "\n".join(lines) + "\n```"


PARIS = 'get_weather(city="Paris", days=3)'

FAMILY = Family(
    template=TEMPLATE,
    notation="gemma3",
    tokens={"bos_token": "<bos>"},
    outputs={
        "text": Output(
            "Like this:\n```python\nget_weather()\n```",
            (("text", "Like this:\n```python\nget_weather()\n```"),),
            forced=False,
        ),
        "text in brackets": Output("[1] says (so).", (("text", "[1] says (so)."),), forced=False),
        "code in brackets": Output("[len(x) for x in y]", (("text", "[len(x) for x in y]"),), forced=False),
        "one call": Output(code(PARIS), (("call", "get_weather", {"city": "Paris", "days": 3}),), forced=True),
        "one call that is printed": Output(
            code(f"print({PARIS})"), (("call", "get_weather", {"city": "Paris", "days": 3}),), forced=True
        ),
        "text, two calls, text": Output(
            f"Well.\n{code(PARIS, 'print(now())')}\nSo.",
            (
                ("text", "Well."),
                ("call", "get_weather", {"city": "Paris", "days": 3}),
                ("call", "now", {}),
                ("text", "So."),
            ),
            grammar=False,
            forced=False,
        ),
        "two calls where one is allowed": Output(
            code("now()", "now()"), (("call", "now", {}), ("call", "now", {})), grammar=False, parallel=False
        ),
        "a list": Output(
            f"[{PARIS}, now()]",
            (("call", "get_weather", {"city": "Paris", "days": 3}), ("call", "now", {})),
            grammar=None,
        ),
        "places in place of names": Output(
            code("weather = default_api.get_weather('Paris', 3)"),
            (("call", "get_weather", {"city": "Paris", "days": 3}),),
            grammar=False,
        ),
        "hard strings": Output(
            code(
                r'''note(text="""a "b" ```''' + "\n" + r'''it's \"""", tags=['# no', "c" 'd', '\u00e9\n'])  # don't'''
            ),
            (("call", "note", {"text": 'a "b" ```\nit\'s "', "tags": ["# no", "cd", "é\n"]}),),
            grammar=False,
        ),
        "values": Output(
            code('note(text="x", place={"x": -1.5}, urgent=True, **{"tags": ("a",)})'),
            (("call", "note", {"text": "x", "place": {"x": -1.5}, "urgent": True, "tags": ["a"]}),),
            grammar=False,
        ),
        "values by the schema": Output(
            code('note(text="x", tags=["a", "b"], place={"x": 2}, urgent=False)'),
            (("call", "note", {"text": "x", "tags": ["a", "b"], "place": {"x": 2}, "urgent": False}),),
            forced=True,
        ),
        "what would have to be evaluated": Output(
            code("note(text='a' * 9)"), (("invalid", "note"),), grammar=False, forced=False
        ),
        "a call in a call": Output(code("note(text=now())"), (("invalid", "note"),), grammar=False, forced=False),
        "cut off": Output(code(PARIS)[:40], (("invalid", "get_weather"),), grammar=False, forced=False),
        "no call": Output(code("import os"), (("invalid", None),), grammar=False, forced=False),
    },
    refused=(
        code("get_weather(days=3)"),
        code('get_weather(city="Paris", unit="kelvin")'),
        code("get_weather('Paris')"),
        code("now(1)"),
        code("import os"),
        code(PARIS).removesuffix("```"),
    ),
    prompt_has=(code('get_weather(city="Paris")'),),
)
