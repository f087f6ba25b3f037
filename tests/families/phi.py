"""Phi-4-mini: `<|tool_call|>[…]<|/tool_call|>`, or a list after `functools`."""

import json

from tests.families import Family, Output, hard

TEMPLATE = r"""{%- if tools %}<|system|><|tool|>{{ tools | tojson }}<|/tool|><|end|>
{%- endif %}
{%- for m in messages %}<|{{ m.role }}|>{{ m.content or "" }}
{%- if m.tool_calls %}<|tool_call|>[
{%- for call in m.tool_calls %}{{ call.function | tojson }}{{ "" if loop.last else ", " }}{% endfor -%}
]<|/tool_call|>
{%- endif %}<|end|>
{%- endfor %}
{%- if add_generation_prompt %}<|assistant|>{% endif %}"""

MARK, END = "<|tool_call|>", "<|/tool_call|>"
PARIS = '{"name": "get_weather", "arguments": {"city": "Paris", "days": 3}}'
NOW = '{"name": "now", "arguments": {}}'
CALLED = ("call", "get_weather", {"city": "Paris", "days": 3})
HARD = hard("<|/tool_call|> functools[")


def text(written: str, grammar: bool | None = True) -> Output:
    return Output(written, (("text", written),), grammar=grammar, forced=False)


FAMILY = Family(
    template=TEMPLATE,
    notation="phi",
    outputs={
        "text": text("It is < 5, <|tool, [7]."),
        "JSON": text(f"[{PARIS}]"),
        "a module": text("functools is a module of Python.\nfunctools\n"),
        "code": text("functools[0]\nfunctools [x]", grammar=False),
        "a list of something else": text('functools[{"title": "Bob"}]', grammar=False),
        "a list of unknown tools": text('functools[{"name": "fly"}]', grammar=False),
        "one call": Output(f"{MARK}{PARIS}{END}", (CALLED,), forced=True),
        "a list of one call": Output(f"{MARK}[{PARIS}]{END}", (CALLED,), forced=True),
        "hard arguments": Output(
            f'{MARK}[{{"name": "note", "arguments": {json.dumps(HARD, ensure_ascii=False)}}}]{END}',
            (("call", "note", HARD),),
            forced=True,
        ),
        "text, then two calls": Output(
            f"Let me see.\n{MARK}[{PARIS}, {NOW}]{END}",
            (("text", "Let me see."), CALLED, ("call", "now", {})),
            forced=False,
        ),
        "two marks": Output(f"{MARK}{PARIS}{END}{MARK}{NOW}{END}", (CALLED, ("call", "now", {})), forced=True),
        "two calls where one is allowed": Output(
            f"{MARK}[{PARIS}, {NOW}]{END}", (CALLED, ("call", "now", {})), grammar=False, forced=False, parallel=False
        ),
        "functools": Output(f"functools[{PARIS}, {NOW}]", (CALLED, ("call", "now", {})), forced=False),
        "text, then functools": Output(
            f"Let me see.\n\nfunctools[{PARIS}]", (("text", "Let me see."), CALLED), forced=False
        ),
        "functools, cut off": Output(f"functools[{PARIS[:50]}", (("invalid", "get_weather"),), grammar=False),
        "not closed": Output(f"{MARK}[{NOW}]", (("call", "now", {}),), grammar=False, forced=False),
        "a call, then text": Output(f"{MARK}{NOW}{END}\nDone.", (("call", "now", {}), ("text", "Done."))),
        "an unknown tool": Output(f'{MARK}[{{"name": "fly"}}]{END}', (("call", "fly", {}),), grammar=False),
        "cut off": Output(f"{MARK}[{PARIS[:50]}", (("invalid", "get_weather"),), grammar=False, forced=False),
        "cut off in the mark after it": Output(f"{MARK}{NOW}{END[:8]}", (("call", "now", {}),), grammar=False),
        "not JSON": Output(f"{MARK}now{END}Done.", (("invalid", None), ("text", "Done.")), grammar=False),
    },
    refused=(
        f'{MARK}[{{"name": "get_weather", "arguments": {{"days": 3}}}}]{END}',
        f'{MARK}{{"name": "get_weather", "arguments": {{"city": 3}}}}{END}',
        f"{MARK}[{NOW}{END}",
        f"{MARK}{NOW}]{END}",
        "No.",
    ),
    prompt_has=('<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Paris"}}]<|/tool_call|>', "<|tool|>"),
)
