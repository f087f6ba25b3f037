"""gpt-oss: harmony's channels, with the recipient of a call before the channel or after it."""

from tests.families import Family, Output

TEMPLATE = """\
<|start|>system<|message|># Valid channels: analysis, commentary, final.
{%- if tools %}
Calls to these tools must go to the commentary channel: 'functions'.{% endif %}<|end|>
{%- if tools %}<|start|>developer<|message|># Tools

namespace functions {
{%- for tool in tools %}
type {{ tool.function.name }} = (_: {{ tool.function.parameters | tojson }}) => any;
{%- endfor %}
}<|end|>
{%- endif %}
{%- for m in messages %}
{%- if m.role == "assistant" and m.tool_calls %}
{%- if m.reasoning_content %}<|start|>assistant<|channel|>analysis<|message|>{{ m.reasoning_content }}<|end|>{% endif %}
{%- set call = m.tool_calls[0].function -%}
<|start|>assistant to=functions.{{ call.name }}<|channel|>commentary json<|message|>
{{- call.arguments | tojson }}<|call|>
{%- elif m.role == "assistant" %}<|start|>assistant<|channel|>final<|message|>{{ m.content }}<|end|>
{%- elif m.role == "tool" -%}
<|start|>functions.{{ m.name }} to=assistant<|channel|>commentary<|message|>{{ m.content | tojson }}<|end|>
{%- else %}<|start|>{{ "developer" if m.role == "system" else m.role }}<|message|>{{ m.content }}<|end|>
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|start|>assistant{% endif %}"""

THOUGHT = "<|channel|>analysis<|message|>Let's see.<|end|><|start|>assistant"
FINAL = "<|channel|>final<|message|>"
JSON = '{"city": "Paris", "days": 3}'
PARIS = f"<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{JSON}"
CALLED = ("call", "get_weather", {"city": "Paris", "days": 3})

FAMILY = Family(
    template=TEMPLATE,
    notation="harmony",
    outputs={
        "text": Output(f"{FINAL}to=me <|x", (("text", "to=me <|x"),), forced=False),
        "text without a channel": Output("Hello", (("text", "Hello"),), forced=False),
        "thoughts, then text": Output(
            f"{THOUGHT}{FINAL} Hi.\n\nSo to=functions.now it is.",
            (("reasoning", "Let's see."), ("text", " Hi.\n\nSo to=functions.now it is.")),
            forced=False,
        ),
        "JSON that is no call": Output(
            f'{THOUGHT}<|channel|>final <|constrain|>json<|message|>{{"a": 1}}<|return|>',
            (("reasoning", "Let's see."), ("text", '{"a": 1}')),
            forced=False,
        ),
        "the assistant addressed, then another channel": Output(
            f"{THOUGHT}<|channel|>commentary to=assistant{FINAL}Hi.",
            (("reasoning", "Let's see."), ("text", "Hi.")),
            grammar=None,
        ),
        "one call": Output(PARIS, (CALLED,), forced=True),
        "thoughts, then a call": Output(THOUGHT + PARIS, (("reasoning", "Let's see."), CALLED), forced=True),
        "a call, and its end": Output(f"{PARIS}<|call|>", (CALLED,), grammar=False, forced=False),
        "the recipient before the channel": Output(
            f"{THOUGHT} to=functions.get_weather<|channel|>commentary <|constrain|>json<|message|>{JSON}",
            (("reasoning", "Let's see."), CALLED),
            forced=False,
        ),
        "the recipient at the very beginning": Output(
            f" to=functions.get_weather<|channel|>commentary json<|message|>{JSON}", (CALLED,), forced=False
        ),
        "a call in the channel of thoughts": Output(
            "<|channel|>analysis to=functions.now code<|message|>{}", (("call", "now", {}),), grammar=None, forced=False
        ),
        "a preamble, more thoughts, a call": Output(
            f"{THOUGHT}<|channel|>commentary<|message|>First this.<|end|><|start|>assistant{THOUGHT}{PARIS}",
            (("reasoning", "Let's see."), ("text", "First this."), ("reasoning", "Let's see."), CALLED),
            forced=False,
        ),
        "a recipient without its namespace": Output(
            "<|channel|>commentary to=now<|message|>{}", (("call", "now", {}),), grammar=None, forced=False
        ),
        "marks in a string": Output(
            '<|channel|>commentary to=functions.note json<|message|>{"text": "<|call|><|start|>assistant \\"{\\" é"}',
            (("call", "note", {"text": '<|call|><|start|>assistant "{" é'}),),
            forced=True,
        ),
        "no arguments at all": Output(
            "<|channel|>commentary to=functions.now <|constrain|>json<|message|>", (("call", "now", {}),), grammar=False
        ),
        "two calls": Output(f"{PARIS}<|call|><|start|>assistant{PARIS}", (CALLED, CALLED), grammar=False, forced=False),
        "cut off in the name": Output(PARIS[:40], (("invalid", None),), grammar=False, forced=False),
        "cut off in the header": Output(PARIS[:58], (("invalid", "get_weather"),), grammar=False, forced=False),
        "cut off": Output(PARIS[:-3], (("invalid", "get_weather"),), grammar=False, forced=False),
        "code for a tool that is not there": Output(
            "<|channel|>analysis to=python code<|message|>print(1)",
            (("invalid", "python"),),
            grammar=None,
            forced=False,
        ),
        "an unknown tool": Output(
            "<|channel|>commentary to=functions.fly <|constrain|>json<|message|>{}",
            (("call", "fly", {}),),
            grammar=False,
            forced=False,
        ),
    },
    refused=(
        PARIS.replace('"city": "Paris", ', ""),
        f"{FINAL}{{}}",
        THOUGHT,
        f"{PARIS} ",
        "<|channel|>commentary to=functions.now<|message|>[]",
    ),
    prompt_has=(
        '<|start|>assistant to=functions.get_weather<|channel|>commentary json<|message|>{"city": "Paris"}<|call|>',
    ),
)
