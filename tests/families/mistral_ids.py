"""Mistral Small 3.2: `[TOOL_CALLS]name[CALL_ID]…[ARGS]{…}`."""

import json

from tests.families import Family, Output
from tests.families.mistral import CALLED, HARD, MARK, READ_TOO

TEMPLATE = r"""{{- bos_token }}
{%- for m in messages %}
{%- if m.role == "user" and loop.last and tools %}[AVAILABLE_TOOLS]{{ tools | tojson }}[/AVAILABLE_TOOLS]
{%- endif %}
{%- if m.role == "assistant" %}{{ m.content or "" }}
{%- for call in m.tool_calls or [] %}
{%- if call.id | length != 9 %}{{ raise_exception("Ids of tool calls have nine letters or digits!") }}{% endif -%}
[TOOL_CALLS]{{ call.function.name }}[CALL_ID]{{ call.id }}[ARGS]{{ call.function.arguments | tojson }}
{%- endfor %}{{ eos_token }}
{%- elif m.role == "tool" %}[TOOL_RESULTS]{{ m.tool_call_id }}[TOOL_CONTENT]{{ m.content }}[/TOOL_RESULTS]
{%- elif m.role == "system" %}[SYSTEM_PROMPT]{{ m.content }}[/SYSTEM_PROMPT]
{%- else %}[INST]{{ m.content }}[/INST]
{%- endif %}
{%- endfor %}"""

PARIS = f'{MARK}get_weather[CALL_ID]aB3dE5gH9[ARGS]{{"city": "Paris", "days": 3}}'
NOW = f"{MARK}now[CALL_ID]jklmnopqr[ARGS]{{}}"

FAMILY = Family(
    template=TEMPLATE,
    notation="mistral_ids",
    tokens={"bos_token": "<s>", "eos_token": "</s>"},
    outputs={
        **READ_TOO,
        "one call": Output(PARIS, ((*CALLED, "aB3dE5gH9"),), forced=True),
        "hard arguments": Output(
            f"{MARK}note[CALL_ID]abcdefghi[ARGS]{json.dumps(HARD, ensure_ascii=False)}",
            (("call", "note", HARD, "abcdefghi"),),
            forced=True,
        ),
        "text, then two calls": Output(
            f"Let me see.{PARIS}{NOW}",
            (("text", "Let me see."), (*CALLED, "aB3dE5gH9"), ("call", "now", {}, "jklmnopqr")),
            forced=False,
        ),
        "two calls": Output(PARIS + NOW, ((*CALLED, "aB3dE5gH9"), ("call", "now", {}, "jklmnopqr")), forced=True),
        "no id": Output(f"{MARK}now[ARGS]{{}}", (("call", "now", {}),), grammar=False, forced=False),
        "an empty id": Output(f"{MARK}now[CALL_ID][ARGS]{{}}", (("call", "now", {}),), grammar=False, forced=False),
        "cut off in the id": Output(f"{MARK}now[CALL_ID]abc", (("invalid", "now"),), grammar=False, forced=False),
    },
    refused=(f"{MARK}now[CALL_ID]abc[ARGS]{{}}", f"{MARK}get_weather[CALL_ID]abcdefghi[ARGS]{{}}"),
    prompt_has=("[TOOL_CALLS]get_weather[CALL_ID]", '[ARGS]{"city": "Paris"}</s>', "[TOOL_CONTENT]"),
)
