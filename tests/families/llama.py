"""Llama 3.1 to 3.3: a call is the answer itself, or follows `<|python_tag|>`."""

import json

from tests.families import Family, Output, hard

TEMPLATE = r"""{{- bos_token }}
{%- if tools %}<|start_header_id|>system<|end_header_id|>

Environment: ipython
Call a function with {"name": ..., "parameters": ...}
{%- for tool in tools %}

{{ tool | tojson }}
{%- endfor %}<|eot_id|>
{%- endif %}
{%- for m in messages %}
{%- if m.role == "tool" %}{{ "<|start_header_id|>ipython<|end_header_id|>\n\n" }}{{ m.content | tojson }}<|eot_id|>
{%- else %}{{ "<|start_header_id|>" + m.role + "<|end_header_id|>\n\n" }}{{ m.content or "" }}
{%- for call in m.tool_calls or [] %}
{"name": "{{ call.function.name }}", "parameters": {{ call.function.arguments | tojson }}}
{%- endfor %}<|eot_id|>
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ "<|start_header_id|>assistant<|end_header_id|>\n\n" }}{% endif %}"""

PARIS = '{"name": "get_weather", "parameters": {"city": "Paris", "days": 3}}'
NOW = '{"name": "now", "parameters": {}}'
TAG = "<|python_tag|>"
CALLED = ("call", "get_weather", {"city": "Paris", "days": 3})
HARD = hard('<|python_tag|>; {"name": "now"}')


def text(written: str, grammar: bool | None = False) -> Output:
    return Output(written, (("text", written),), grammar=grammar, forced=False)


FAMILY = Family(
    template=TEMPLATE,
    notation="llama",
    tokens={"bos_token": "<|begin_of_text|>"},
    outputs={
        "text": text("It is sunny: {21}, <|python", grammar=True),
        "JSON that is no call": text('{"temperature": 21,\n "unit": "celsius"}'),
        "JSON with a name that is no tool's": text('{"name": "Bob", "parameters": {"age": 5}}'),
        "a list of such": text('[{"name": "Bob"}, 7] and more', grammar=True),
        "JSON about a tool": text('{"name": "get_weather", "description": "Tells the weather."}'),
        "JSON that is cut off": text('{"name": "get_wea'),
        "JSON in the text": text(f"Like this: {PARIS}", grammar=True),
        "braces": text("{"),
        "one call": Output(PARIS, (CALLED,), forced=True),
        "a call without arguments": Output(NOW, (("call", "now", {}),), forced=True),
        "hard arguments": Output(
            f'{{"name": "note", "parameters": {json.dumps(HARD, ensure_ascii=False)}}}',
            (("call", "note", HARD),),
            forced=True,
        ),
        "two calls": Output(f"{PARIS}; {NOW}", (CALLED, ("call", "now", {})), forced=True),
        "two calls where one is allowed": Output(
            f"{PARIS}; {NOW}", (CALLED, ("call", "now", {})), grammar=False, forced=False, parallel=False
        ),
        "two calls on lines": Output(f"{PARIS}\n{NOW}\n", (CALLED, ("call", "now", {})), grammar=False, forced=False),
        "a list of calls": Output(f"[{PARIS}, {NOW}]", (CALLED, ("call", "now", {})), grammar=None, forced=False),
        "a call with its type": Output(
            '{"type": "function", "name": "now", "parameters": {}}', (("call", "now", {}),), grammar=False, forced=False
        ),
        "a call as OpenAI has it": Output(
            '{"type": "function", "function": {"name": "now", "arguments": "{}"}}',
            (("call", "now", {}),),
            grammar=False,
            forced=False,
        ),
        "a call, then text": Output(f"{NOW}\nDone.", (("call", "now", {}), ("text", "Done.")), grammar=False),
        "the mark": Output(TAG + PARIS, (CALLED,), forced=False),
        "text, the mark, two calls": Output(
            f"Let me see.\n{TAG}{PARIS}; {NOW}",
            (("text", "Let me see."), CALLED, ("call", "now", {})),
            forced=False,
        ),
        "the mark twice": Output(f"{TAG}{PARIS}{TAG}{NOW}", (CALLED, ("call", "now", {})), grammar=False),
        "a tool that Llama knows": Output(
            f'{TAG}get_weather.call(city="Paris", days=3)', (CALLED,), grammar=False, forced=False
        ),
        "such a tool without arguments": Output(f"{TAG}now.call()", (("call", "now", {}),), grammar=False),
        "such a tool, with hard arguments": Output(
            f"{TAG}note.call(text=\"it's (1), 2\", tags=['a\\'b'], place={{\"x\": 1}}, urgent=True)",
            (("call", "note", {"text": "it's (1), 2", "tags": ["a'b"], "place": {"x": 1}, "urgent": True}),),
            grammar=False,
        ),
        "such a tool, cut off": Output(f'{TAG}get_weather.call(city="Pa', (("invalid", "get_weather"),), grammar=False),
        "no call after the mark": Output(f"{TAG}What?", (("invalid", None),), grammar=False),
        "an unknown tool after the mark": Output(
            f'{TAG}{{"name": "fly", "parameters": {{}}}}', (("call", "fly", {}),), grammar=False
        ),
        "cut off": Output(PARIS[:50], (("invalid", "get_weather"),), grammar=False, forced=False),
        "a second call cut off": Output(
            f"{NOW}; {PARIS[:50]}", (("call", "now", {}), ("invalid", "get_weather")), grammar=False
        ),
        "not JSON": Output(
            '{"name": "get_weather", "parameters": {city: Paris}}', (("invalid", "get_weather"),), grammar=False
        ),
        "arguments that are no object": Output(
            '{"name": "get_weather", "parameters": ["Paris"]}', (("invalid", "get_weather"),), grammar=False
        ),
    },
    refused=(
        '{"name": "get_weather", "parameters": {"days": 3}}',
        '{"name": "get_weather", "parameters": {"city": 3}}',
        '{"name": "get_weather", "parameters": {"city": "Paris", "unit": "kelvin"}}',
        '{"name": "fly", "parameters": {}}',
        '{"name": "now", "parameters": {}',
        f"{NOW};",
        "Let me see.",
        "",
    ),
    prompt_has=(
        "<|begin_of_text|><|start_header_id|>system",
        '{"name": "get_weather", "parameters": {"city": "Paris"}}<|eot_id|>',
        "ipython<|end_header_id|>",
    ),
)
