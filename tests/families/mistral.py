"""Mistral 7B 0.3, Mixtral, Nemo, Mistral Small 3.1 and Large: a JSON list after `[TOOL_CALLS]`."""

import json

from tests.families import Family, Output, hard

TEMPLATE = r"""{{- bos_token }}
{%- if tools %}[AVAILABLE_TOOLS] {{ tools | tojson }}[/AVAILABLE_TOOLS]
{%- endif %}
{%- for m in messages %}
{%- if m.role == "assistant" and m.tool_calls %}[TOOL_CALLS] [
{%- for call in m.tool_calls %}
{%- if call.id | length != 9 %}{{ raise_exception("Ids of tool calls have nine letters or digits!") }}{% endif %}
{{- {"name": call.function.name, "arguments": call.function.arguments, "id": call.id} | tojson }}
{{- "" if loop.last else ", " }}
{%- endfor %}]{{ eos_token }}
{%- elif m.role == "assistant" %} {{ m.content }}{{ eos_token }}
{%- elif m.role == "tool" %}[TOOL_RESULTS] {"content": {{ m.content | tojson }}, "call_id": "{{ m.tool_call_id }}"}[/TOOL_RESULTS]
{%- else %}[INST] {{ m.content }}[/INST]
{%- endif %}
{%- endfor %}"""  # noqa: E501

MARK = "[TOOL_CALLS]"
PARIS = '{"name": "get_weather", "arguments": {"city": "Paris", "days": 3}}'
NOW = '{"name": "now", "arguments": {}}'
CALLED = ("call", "get_weather", {"city": "Paris", "days": 3})
HARD = hard("[TOOL_CALLS] [ARGS]")
NOTE = f'{{"name": "note", "arguments": {json.dumps(HARD, ensure_ascii=False)}}}'


def with_id(call: str, call_id: str) -> str:
    return f'{call[:-1]}, "id": "{call_id}"}}'


READ_TOO = {
    "text": Output("See [1] and [TOOL].", (("text", "See [1] and [TOOL]."),), forced=False),
    "JSON": Output(PARIS, (("text", PARIS),), forced=False),
    "cut off": Output(f"{MARK}[{PARIS[:50]}", (("invalid", "get_weather"),), grammar=False, forced=False),
    "cut off in the name": Output(f"{MARK}get_wea", (("invalid", None),), grammar=False, forced=False),
    "cut off in a mark": Output(f"{MARK}get_weather[ARG", (("invalid", "get_weather"),), grammar=False, forced=False),
    "cut off in the arguments": Output(
        f'{MARK}get_weather[ARGS]{{"city": "Pa', (("invalid", "get_weather"),), grammar=False, forced=False
    ),
    "cut off right after the mark": Output(f"Well: {MARK}", (("text", "Well:"), ("invalid", None)), grammar=False),
    "not JSON": Output(
        f"{MARK}get_weather[ARGS]{{city: Paris}}", (("invalid", "get_weather"),), grammar=False, forced=False
    ),
    "arguments that are no object": Output(
        f'{MARK}[{{"name": "now", "arguments": 7}}]', (("invalid", "now"),), grammar=False, forced=False
    ),
    "a bad call, then a good one": Output(
        f'{MARK}get_weather[ARGS]{{"city": "Par{MARK}now[ARGS]{{}}',
        (("invalid", "get_weather"), ("call", "now", {})),
        grammar=False,
    ),
    "an unknown tool": Output(f'{MARK}[{{"name": "fly"}}]', (("call", "fly", {}),), grammar=False, forced=False),
    "a call, then text": Output(f"{MARK}[{NOW}]\nDone.", (("call", "now", {}), ("text", "Done.")), grammar=False),
    "no list": Output(f"{MARK} {NOW}", (("call", "now", {}),), grammar=False, forced=False),
    "nothing between name and arguments": Output(
        f'{MARK}get_weather{{"city": "Paris", "days": 3}}', (CALLED,), grammar=False, forced=False
    ),
}

FAMILY = Family(
    template=TEMPLATE,
    notation="mistral",
    tokens={"bos_token": "<s>", "eos_token": "</s>"},
    outputs={
        **READ_TOO,
        "one call": Output(f"{MARK}[{PARIS}]", (CALLED,), forced=True),
        "one call after a blank": Output(f"{MARK} [{PARIS}]", (CALLED,), forced=True),
        "a call with an id": Output(f"{MARK}[{with_id(PARIS, 'aB3dE5gH9')}]", ((*CALLED, "aB3dE5gH9"),), forced=True),
        "a call with a bad id": Output(f"{MARK}[{with_id(NOW, 'x')}]", (("call", "now", {}, "x"),), grammar=False),
        "hard arguments": Output(f"{MARK}[{NOTE}]", (("call", "note", HARD),), forced=True),
        "text, then two calls": Output(
            f"Let me see.\n{MARK} [{with_id(PARIS, 'abcdefghi')}, {with_id(NOW, 'jklmnopqr')}]",
            (("text", "Let me see."), (*CALLED, "abcdefghi"), ("call", "now", {}, "jklmnopqr")),
            forced=False,
        ),
        "two calls where one is allowed": Output(
            f"{MARK}[{PARIS}, {NOW}]", (CALLED, ("call", "now", {})), grammar=False, forced=False, parallel=False
        ),
        "the other form": Output(
            f'{MARK}get_weather[ARGS]{{"city": "Paris", "days": 3}}', (CALLED,), grammar=False, forced=False
        ),
    },
    refused=(
        f'{MARK}[{{"name": "get_weather", "arguments": {{"days": 3}}}}]',
        f'{MARK}[{{"name": "get_weather", "arguments": {{"city": 3}}}}]',
        f"{MARK}[{NOW}",
        f"{MARK}[]",
        "Let me see.",
    ),
    prompt_has=('[TOOL_CALLS] [{"name": "get_weather", "arguments": {"city": "Paris"}, "id": "', "[TOOL_RESULTS]"),
)
