"""MiniMax M2: `<invoke name="…">`, all calls between one pair of marks; the template opens the reasoning."""

from tests.families import Family, Output

TEMPLATE = """\
{%- set opening = "<minimax:tool_call>" %}
{%- set closing = "</minimax:tool_call>" %}
{%- if tools %}]~b]system
{%- for tool in tools %}
<tool>{{ tool.function | tojson }}</tool>
{%- endfor %}
Call in this form:
{{ opening }}
<invoke name="f">
<parameter name="p">value</parameter>
</invoke>
{{ closing }}[e~[
{% endif %}
{%- for m in messages %}]~b]{{ "ai" if m.role == "assistant" else m.role }}
{% if m.role == "tool" %}<response>{{ m.content }}</response>{% elif m.content %}{{ m.content }}{% endif %}
{%- if m.tool_calls %}
{{ opening }}
{% for call in m.tool_calls -%}
<invoke name="{{ call.function.name }}">
{% for key, value in call.function.arguments.items() -%}
<parameter name="{{ key }}">{{ value if value is string else value | tojson }}</parameter>
{% endfor -%}
</invoke>
{% endfor -%}
{{ closing }}
{%- endif %}[e~[
{% endfor %}
{%- if add_generation_prompt %}]~b]ai
<think>
{% endif %}"""


def invoke(name: str, **arguments: str) -> str:
    written = "".join(f'<parameter name="{key}">{value}</parameter>\n' for key, value in arguments.items())
    return f'<invoke name="{name}">\n{written}</invoke>\n'


def calls(*invokes: str) -> str:
    return f"<minimax:tool_call>\n{''.join(invokes)}</minimax:tool_call>"


PARIS = invoke("get_weather", city="Paris", days="3")
XML = '</invoke>\n<invoke name="x">"quoted" </minimax:tool_call> ü'

FAMILY = Family(
    template=TEMPLATE,
    notation="minimax_m2",
    raw_strings=True,
    outputs={
        "text": Output("Hm.\n</think>\n\nFine.", (("reasoning", "Hm."), ("text", "Fine.")), forced=False),
        "one call": Output(
            f"I look.\n</think>\n\n{calls(PARIS)}",
            (("reasoning", "I look."), ("call", "get_weather", {"city": "Paris", "days": 3})),
            forced=True,
        ),
        "text, then two calls": Output(
            f"</think>Both.\n{calls(PARIS, invoke('now'))}\n",
            (("text", "Both."), ("call", "get_weather", {"city": "Paris", "days": 3}), ("call", "now", {})),
            grammar=None,
            forced=False,
        ),
        "two calls where one is allowed": Output(
            f"</think>{calls(invoke('now'), invoke('now'))}",
            (("call", "now", {}), ("call", "now", {})),
            grammar=False,
            forced=False,
            parallel=False,
        ),
        "marks in a value": Output(
            f"</think>{calls(invoke('note', text=XML, urgent='true'))}",
            (("call", "note", {"text": XML, "urgent": True}),),
            forced=True,
        ),
        "the second call is cut off": Output(
            f"</think>{calls(PARIS, PARIS)[:-60]}",
            (("call", "get_weather", {"city": "Paris", "days": 3}), ("invalid", "get_weather")),
            grammar=False,
            forced=False,
        ),
    },
    refused=(
        f"</think>{calls(invoke('get_weather', days='3'))}",
        f"</think>{calls(invoke('now', a='3'))}",
        f"</think>{calls()}",
        f"</think>{PARIS}",
    ),
    prompt_has=(calls(invoke("get_weather", city="Paris")),),
)
