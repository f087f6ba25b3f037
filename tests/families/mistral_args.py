"""Magistral and Devstral since the middle of 2025: `[TOOL_CALLS]name[ARGS]{…}`, and reasoning in `[THINK]`."""

import json

from tests.families import Family, Output
from tests.families.mistral import CALLED, HARD, MARK, READ_TOO

TEMPLATE = r"""{{- bos_token }}[SYSTEM_PROMPT]Think first, in [THINK]...[/THINK].[/SYSTEM_PROMPT]
{%- if tools %}[AVAILABLE_TOOLS]{{ tools | tojson }}[/AVAILABLE_TOOLS]
{%- endif %}
{%- for m in messages %}
{%- if m.role == "assistant" %}{{ m.content or "" }}
{%- for call in m.tool_calls or [] %}[TOOL_CALLS]{{ call.function.name }}[ARGS]{{ call.function.arguments | tojson }}
{%- endfor %}{{ eos_token }}
{%- elif m.role == "tool" %}[TOOL_RESULTS]{{ m.content }}[/TOOL_RESULTS]
{%- elif m.role == "system" %}[SYSTEM_PROMPT]{{ m.content }}[/SYSTEM_PROMPT]
{%- else %}[INST]{{ m.content }}[/INST]
{%- endif %}
{%- endfor %}"""

PARIS = f'{MARK}get_weather[ARGS]{{"city": "Paris", "days": 3}}'
NOW = f"{MARK}now[ARGS]{{}}"

FAMILY = Family(
    template=TEMPLATE,
    notation="mistral_args",
    tokens={"bos_token": "<s>", "eos_token": "</s>"},
    outputs={
        **READ_TOO,
        "one call": Output(PARIS, (CALLED,), forced=True),
        "a call without arguments": Output(NOW, (("call", "now", {}),), forced=True),
        "hard arguments": Output(
            f"{MARK}note[ARGS]{json.dumps(HARD, ensure_ascii=False)}", (("call", "note", HARD),), forced=True
        ),
        "reasoning, then a call": Output(
            f"[THINK]Paris, [ARGS], I guess.[/THINK]{PARIS}",
            (("reasoning", "Paris, [ARGS], I guess."), CALLED),
            forced=True,
        ),
        "reasoning, then text": Output(
            "[THINK]Hm.[/THINK]\nNo.", (("reasoning", "Hm."), ("text", "No.")), forced=False
        ),
        "text, then two calls": Output(
            f"Let me see.\n{PARIS}{NOW}", (("text", "Let me see."), CALLED, ("call", "now", {})), forced=False
        ),
        "two calls where one is allowed": Output(
            f"{PARIS}{NOW}", (CALLED, ("call", "now", {})), grammar=False, forced=False, parallel=False
        ),
        "the other form": Output(
            f'{MARK}[{{"name": "now", "arguments": {{}}}}]', (("call", "now", {}),), grammar=False, forced=False
        ),
        "a call with an id": Output(
            f"{MARK}now[CALL_ID]abcdefghi[ARGS]{{}}", (("call", "now", {}, "abcdefghi"),), grammar=False
        ),
    },
    refused=(f"{MARK}get_weather[ARGS]{{}}", f"{MARK}fly[ARGS]{{}}", f"{MARK}now[ARGS]", f"{MARK}now{{}}", "now"),
    prompt_has=('[TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}</s>', "[TOOL_RESULTS]"),
)
