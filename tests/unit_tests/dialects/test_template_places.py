"""Where templates look for what a conversation says, found by trying; small ones in the manner of real ones."""

from __future__ import annotations

import json

import pytest

from langchain_localmodels.dialects.chat_dialect import ChatDialect
from langchain_localmodels.dialects.templates import ChatTemplate
from langchain_localmodels.engines.base import Text, Tool, ToolCall, Turn
from langchain_localmodels.errors import ChatTemplateError

WEATHER = Tool("get_weather", "Tell the weather.", {"type": "object", "properties": {"city": {"type": "string"}}})
USER = Turn("user", (Text("How is it in Paris?"),))
CALL = ToolCall("call_0123456789", "get_weather", '{"city": "Paris"}')
CALLED = Turn("assistant", tool_calls=(CALL,))
RESULT = Turn("tool", (Text("21 degrees"),), name="get_weather", tool_call_id=CALL.id)
ANSWER = Turn("assistant", (Text("It is warm."),))
NEXT = Turn("user", (Text("And in Rome?"),))


def of(body: str, *, before: str = "") -> ChatTemplate:
    return ChatTemplate(f"{before}{{% for m in messages %}}{body}{{% endfor %}}")


# --- tools ------------------------------------------------------------------------------------------------------------

IN_SYSTEM = of(
    "<{{ m.role }}>{% if m.role == 'system' and 'tools' in m and m['tools'] is not none %}"
    "{{ m.content + '<|tool|>' + m['tools'] + '<|/tool|>' }}{% else %}{{ m.content }}{% endif %}"
)


def test_tools_in_the_message_of_the_system() -> None:
    """Phi-4-mini's template: it has no other place for them, and takes them as text."""
    function = json.dumps(WEATHER.as_openai()["function"])
    assert IN_SYSTEM.supports_tools
    assert IN_SYSTEM.render([USER], tools=[WEATHER]).startswith(f"<system><|tool|>[{function}]<|/tool|><user>")
    said = IN_SYSTEM.render([Turn("system", (Text("Be brief."),)), USER], tools=[WEATHER])
    assert said.startswith(f"<system>Be brief.<|tool|>[{function}]<|/tool|><user>")
    assert IN_SYSTEM.render([USER]) == "<user>How is it in Paris?"


def test_calls_that_are_left_out_where_tools_are_not() -> None:
    """They are written in the model's own notation, and results stay what they are."""
    prompt = ChatDialect(IN_SYSTEM).prompt([USER, CALLED, RESULT], [WEATHER])
    call = '<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Paris"}}]<|/tool_call|>'
    assert prompt.endswith(f"<assistant>{call}<tool>21 degrees")


def test_tools_under_a_name_of_their_own() -> None:
    tools = "{% if xml_tools %}{% for t in xml_tools %}[{{ t }}]{% endfor %}{% endif %}"
    template = of("{{ m.content }}", before=tools)
    assert template.supports_tools
    expected = json.dumps(WEATHER.as_openai()["function"])
    assert template.render([USER], tools=[WEATHER]) == f"[{expected}]How is it in Paris?"
    assert template.render([USER]) == "How is it in Paris?"


@pytest.mark.parametrize(
    ("before", "without"),
    [
        ("{% for t in tools %}{{ t.function.name }};{% endfor %}", ""),
        ("{% if tools is defined %}Tools:{% for t in tools %}{{ t.function.name }};{% endfor %}{% endif %}", ""),
        ("{% for t in tools + [] %}{{ t.function.name }};{% endfor %}", ""),
        ("{% if tools is none %}none{% endif %}{{ tools[0].function.name if tools }}", "none"),
    ],
    ids=["any", "defined", "a list", "none"],
)
def test_no_tools_as_the_template_can_take_it(before: str, without: str) -> None:
    template = of("{{ m.content }}", before=before)
    assert template.render([USER]) == f"{without}How is it in Paris?"
    assert "get_weather" in template.render([USER], tools=[WEATHER])


ARGUMENTS_DESCRIBED = (
    "{% for t in tools or [] %}{% for name, a in t.function.parameters.properties.items() %}"
    "{{ name + ' (' + a.type + '): ' + a.description + ';' }}{% endfor %}{% endfor %}"
)


def test_arguments_without_a_description() -> None:
    """Command R+'s template fails on one that is not there."""
    template = of("{{ m.content }}", before=ARGUMENTS_DESCRIBED + "{{ tools[0].function.name if tools }}")
    assert template.render([USER], tools=[WEATHER]) == "city (string): ;get_weatherHow is it in Paris?"


def test_tools_that_a_template_cannot_write_are_explained() -> None:
    source = of("<tool_call>{{ m.content }}", before=ARGUMENTS_DESCRIBED + "{{ tools[0].function.name if tools }}")
    odd = Tool("odd", "", {"type": "object", "properties": {"any": {}, "city": {"type": "string"}}})
    assert source.takes([WEATHER])
    assert not source.takes([odd])
    prompt = ChatDialect(source).prompt([USER], [odd])
    assert '"name": "odd"' in prompt
    assert '<tool_call>\n{"name": "name_of_the_tool", "arguments": {"name_of_an_argument": "its value"}}' in prompt
    with pytest.raises(ChatTemplateError):
        source.render([USER], tools=[odd])


def test_what_is_refused_for_another_reason_stays_refused() -> None:
    template = of(
        "{{ raise_exception('Begin with the user.') if loop.first and m.role == 'assistant' }}{{ m.content }}",
        before="{{ tools }}",
    )
    with pytest.raises(ChatTemplateError, match="Begin with the user"):
        ChatDialect(template).prompt([Turn("assistant", (Text("Hi"),))], [WEATHER])


def test_lists_that_filters_make_are_json() -> None:
    template = of("{{ m.content }}", before="{{ tools | map(attribute='function') | tojson if tools }}")
    assert template.render([USER], tools=[WEATHER]).startswith(f"[{json.dumps(WEATHER.as_openai()['function'])}]")


# --- the notation that is explained -----------------------------------------------------------------------------------

DEEPSEEK = (
    "<｜{{ m.role }}｜>{{ m.content or '' }}{% for c in m.tool_calls or [] %}"
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>{{ c.function.name }}<｜tool▁sep｜>{{ c.function.arguments | tojson }}"
    "<｜tool▁call▁end｜><｜tool▁calls▁end｜>{% endfor %}"
)


def test_tools_are_explained_in_the_notation_of_the_template() -> None:
    """DeepSeek's V3.1: its template writes calls, but has no place for tools."""
    dialect = ChatDialect(of(DEEPSEEK))
    assert not dialect.has_place_for_tools
    assert dialect.is_known
    assert dialect.notation.name == "deepseek_v31"
    prompt = dialect.prompt([USER, CALLED, RESULT], [WEATHER])
    begin = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>"
    assert f'{begin}name_of_the_tool<｜tool▁sep｜>{{"name_of_an_argument": "its value"}}<｜tool▁call▁end｜>' in prompt
    assert f'{begin}get_weather<｜tool▁sep｜>{{"city": "Paris"}}<｜tool▁call▁end｜>' in prompt
    assert "<tool_call>" not in prompt
    reader = dialect.reader(prompt, tools=[WEATHER])
    answer = f'{begin}get_weather<｜tool▁sep｜>{{"city": "Rome"}}<｜tool▁call▁end｜><｜tool▁calls▁end｜>'
    (delta,) = [*reader.feed(answer), *reader.finish()]
    assert (delta.name, delta.arguments) == ("get_weather", '{"city": "Rome"}')


def test_tools_are_explained_in_the_notation_that_was_chosen() -> None:
    dialect = ChatDialect(of("<{{ m.role }}>{{ m.content }}"), notation="gemma3")
    prompt = dialect.prompt([USER, CALLED, RESULT], [WEATHER])
    assert (
        'in this form and with nothing else:\n```tool_code\nname_of_the_tool(name_of_an_argument="its value")' in prompt
    )
    assert '<assistant>```tool_code\nget_weather(city="Paris")\n```<user><tool_response>\n21 degrees' in prompt


def test_tools_are_explained_as_most_models_know_them() -> None:
    prompt = ChatDialect(of("<{{ m.role }}>{{ m.content }}")).prompt([USER, CALLED, RESULT], [WEATHER])
    assert 'as JSON, in this form and with nothing else:\n<tool_call>\n{"name": "name_of_the_tool"' in prompt
    assert '<assistant><tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>' in prompt


# --- messages ---------------------------------------------------------------------------------------------------------


def test_calls_that_are_told_by_missing_content() -> None:
    """DeepSeek R1's template writes calls where content is none, and puts the arguments together as text."""
    template = of(
        "<{{ m.role }}>{% if m.content is none %}{% for c in m.tool_calls %}"
        "{{ c.function.name + ' ' + c.function.arguments }}{% endfor %}{% else %}{{ m.content }}{% endif %}"
    )
    prompt = template.render([USER, CALLED, RESULT])
    assert prompt == '<user>How is it in Paris?<assistant>get_weather {"city": "Paris"}<tool>21 degrees'


def test_no_empty_answer_beside_calls() -> None:
    template = of(
        "{% if m.tool_calls %}<calls>{{ m.tool_calls[0].function | tojson }}{% endif %}"
        "{% if m.content is not none %}<{{ m.role }}>{{ m.content }}{% endif %}"
    )
    assert "<assistant>" not in template.render([USER, CALLED, RESULT])
    said = Turn("assistant", (Text("Let me see."),), tool_calls=(CALL,))
    assert "<assistant>Let me see." in template.render([USER, said, RESULT])


@pytest.mark.parametrize("key", ["reasoning_content", "thinking", "reasoning", "thought"])
@pytest.mark.parametrize("only_calls", [False, True], ids=["any", "before calls"])
def test_reasoning_under_the_key_that_is_read(key: str, only_calls: bool) -> None:
    shown = "m.tool_calls" if only_calls else "true"
    template = of(
        f"<{{{{ m.role }}}}>{{% if {shown} and m.{key} %}}({{{{ m.{key} }}}}){{% endif %}}{{{{ m.content }}}}"
        "{{ m.tool_calls | tojson if m.tool_calls }}"
    )
    thought = Turn("assistant", (Text("Wait."),), reasoning="Hm.", tool_calls=(CALL,))
    assert "<assistant>(Hm.)Wait." in template.render([USER, thought, RESULT])


HARMONY = of(
    "{% if m.tool_calls %}{% if m.content and m.thinking %}{{ raise_exception('Cannot pass both') }}{% endif %}"
    "<analysis>{{ m.thinking or m.content }}<call>{{ m.tool_calls[0].function | tojson }}"
    "{% else %}<{{ m.role }}>{{ m.content }}{% endif %}"
)


def test_reasoning_and_text_before_calls_where_there_may_be_one_of_them() -> None:
    """As in gpt-oss's template: what was said is part of what was thought, and neither is lost."""
    thought = Turn("assistant", (Text("I look it up."),), reasoning="Paris, then.", tool_calls=(CALL,))
    assert "<analysis>Paris, then.\n\nI look it up.<call>" in HARMONY.render([USER, thought, RESULT])
    spoken = Turn("assistant", (Text("I look it up."),), tool_calls=(CALL,))
    assert "<analysis>I look it up.<call>" in HARMONY.render([USER, spoken, RESULT])


ALTERNATING = (
    "{% set ns = namespace(count=0) %}{% for m in messages %}{% if m.role != 'tool' and not m.tool_calls %}"
    "{% if (m.role == 'user') != (ns.count % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% set ns.count = ns.count + 1 %}{% endif %}{% endfor %}"
)
STRICT_IDS = (
    "{% if m.tool_calls %}{% if m.tool_calls[0].id | length != 9 %}{{ raise_exception('9 letters') }}{% endif %}"
    "<call {{ m.tool_calls[0].id }}>{{ m.tool_calls[0].function | tojson }}"
    "{% else %}<{{ m.role }}>{{ m.content }}{% if not m.content %}{{ raise_exception('empty') }}{% endif %}{% endif %}"
)


def test_a_user_who_speaks_after_a_result() -> None:
    """Mistral's templates expect an answer before that; in one of them it may not be empty."""
    prompt = of(STRICT_IDS, before=ALTERNATING).render([USER, CALLED, RESULT, NEXT])
    assert "<tool>21 degrees<assistant> <user>And in Rome?" in prompt
    free = of("<{{ m.role }}>{{ m.content }}{{ m.tool_calls }}").render([USER, CALLED, RESULT, NEXT])
    assert free.endswith("21 degrees<user>And in Rome?")


def test_a_user_who_speaks_after_a_result_and_two_in_a_row() -> None:
    prompt = of(STRICT_IDS, before=ALTERNATING).render([USER, NEXT, CALLED, RESULT, NEXT])
    assert "<user>How is it in Paris?\n\nAnd in Rome?<call" in prompt
    assert "<tool>21 degrees<assistant> <user>And in Rome?" in prompt


def test_what_is_said_beside_calls_is_not_left_out() -> None:
    """Llama's and many other templates write either the calls of a turn or its text."""
    said = Turn("assistant", (Text("I look it up."),), tool_calls=(CALL,))
    template = of(STRICT_IDS)
    prompt = template.render([USER, said, RESULT])
    assert "<assistant>I look it up.<call " in prompt
    assert prompt.index('"get_weather"') < prompt.index("<tool>21 degrees")
    # Where two turns in a row are refused, there is no way to say it.
    assert "I look it up." not in of(STRICT_IDS, before=ALTERNATING).render([USER, said, RESULT, ANSWER])
    both = of("<{{ m.role }}>{{ m.content }}{{ m.tool_calls | tojson if m.tool_calls }}")
    assert both.render([USER, said, RESULT]).count("<assistant>") == 1
