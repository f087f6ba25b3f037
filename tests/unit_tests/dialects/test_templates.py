"""Chat templates: the demo model's, small ones in the manner of well-known families, and hostile ones."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time

import pytest

from langchain_localmodels.demo import model_path
from langchain_localmodels.dialects.templates import ChatTemplate
from langchain_localmodels.engines.base import Audio, Image, Text, Tool, ToolCall, Turn
from langchain_localmodels.errors import ChatTemplateError, UnsupportedContentError
from langchain_localmodels.weights.gguf import read_header

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
LLAMA3 = """{{- bos_token }}
{%- if not date_string is defined %}{%- set date_string = strftime_now("%d %b %Y") %}{%- endif %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" + system_message + "<|eot_id|>" }}
{%- for t in tools or [] %}{{- t | tojson(indent=4) }}{%- endfor %}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
        {{- message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
        {{- '{"name": "' + tool_call.name + '", "parameters": ' }}
        {{- tool_call.arguments | tojson }}{{- "}<|eot_id|>" }}
    {%- else %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" + message.content + "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}"""
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% set role = 'model' if message['role'] == 'assistant' else message['role'] %}"
    "{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{'<start_of_turn>model\\n'}}{% endif %}"
)
MISTRAL = """{{- bos_token }}{%- if messages[0].role == "system" %}{%- set system = messages[0].content %}
{%- set messages = messages[1:] %}{%- endif %}{%- set ns = namespace(index=0) %}
{%- for message in messages %}
{%- if not (message.role == "tool" or message.tool_calls is defined) %}
{%- if (message.role == "user") != (ns.index % 2 == 0) %}
{{- raise_exception("After the optional system message, conversation roles must alternate user/assistant") }}
{%- endif %}{%- set ns.index = ns.index + 1 %}{%- endif %}{%- endfor %}
{%- for message in messages %}
{%- if message.role == "user" %}{{- "[INST] " + (system + "\\n\\n" if system is defined and loop.last else "") }}
{{- message.content + " [/INST]" }}
{%- elif message.tool_calls is defined %}{{- "[TOOL_CALLS] [" }}{%- for call in message.tool_calls %}
{%- if call.id is not defined or call.id|length != 9 %}
{{- raise_exception("Tool call IDs should be alphanumeric strings with length 9!") }}{%- endif %}
{{- (call.function|tojson)[:-1] + ', "id": "' + call.id + '"}' }}{%- if not loop.last %}{{- ", " }}{%- endif %}
{%- endfor %}{{- "]" + eos_token }}
{%- elif message.role == "assistant" %}{{- " " + message.content + eos_token }}
{%- elif message.role == "tool" %}
{{- '[TOOL_RESULTS] {"content": ' + message.content }}
{{- ', "call_id": "' + message.tool_call_id + '"}[/TOOL_RESULTS]' }}
{%- endif %}{%- endfor %}"""
STRING_ARGUMENTS = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% for c in m.tool_calls or [] %}"
    "{{ '[' + c.function.name + ' ' + c.function.arguments + ']' }}{% endfor %}{% endfor %}"
)
PRINTED_ARGUMENTS = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% for c in m.tool_calls or [] %}"
    "[{{ c.function.name }} {{ c.function.arguments }}]{% endfor %}{% endfor %}"
)
PARTS = (
    "{% for m in messages %}<{{ m.role }}>{% for part in m.content %}{% if part.type == 'text' %}{{ part.text }}"
    "{% elif part.type == 'image' %}<image>{% endif %}{% endfor %}{% endfor %}"
)
WEATHER = Tool("get_weather", "Weather of a city — now", {"type": "object", "properties": {"city": {"type": "string"}}})


def system(text: str) -> Turn:
    return Turn("system", (Text(text),))


def user(text: str) -> Turn:
    return Turn("user", (Text(text),))


def assistant(text: str = "", *calls: ToolCall, reasoning: str = "") -> Turn:
    return Turn("assistant", (Text(text),) if text else (), tool_calls=calls, reasoning=reasoning)


def result(text: str, call_id: str, name: str | None = None) -> Turn:
    return Turn("tool", (Text(text),), name=name, tool_call_id=call_id)


def call(call_id: str, name: str = "get_weather", **arguments: object) -> ToolCall:
    return ToolCall(call_id, name, json.dumps(arguments, ensure_ascii=False))


@pytest.fixture(scope="module")
def demo() -> ChatTemplate:
    header = read_header(model_path)
    return ChatTemplate(header.chat_template, bos_token=header.bos_token, eos_token=header.eos_token)


# --- the demo model's own -----------------------------------------------------------------------------------------


def test_demo_template(demo) -> None:
    assert demo.render([system("Be brief."), user("Hi")]) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )
    assert demo.render([user("Hi"), assistant("Yo")], add_generation_prompt=False).endswith("Yo<|im_end|>\n")
    assert demo.supports_tools
    assert demo.supports_system


def test_demo_template_with_tools(demo) -> None:
    turns = [user("Weather?"), assistant("", call("1", city="Köln")), result("12 °C", "1", "get_weather")]
    prompt = demo.render(turns, tools=[WEATHER])
    assert json.dumps(WEATHER.as_openai(), ensure_ascii=False) in prompt
    assert '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Köln"}}\n</tool_call>' in prompt
    assert "<tool_response>\n12 °C\n</tool_response>" in prompt


FIRST_SYSTEM_ONLY = """\
{%- if messages[0].role == 'system' %}{{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}{%- endif %}
{%- for message in messages %}{%- if message.role != 'system' %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endif %}{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""


def test_system_turns_that_a_template_would_leave_out_are_kept() -> None:
    demo = ChatTemplate(FIRST_SYSTEM_ONLY)
    prompt = demo.render([system("one"), system("two"), user("a"), assistant("b"), system("three"), user("c")])
    assert "<|im_start|>system\none\n\ntwo<|im_end|>" in prompt
    assert "<|im_start|>user\nthree\n\nc<|im_end|>" in prompt
    assert "three" in demo.render([user("a"), assistant("b"), system("three")])


# --- families -----------------------------------------------------------------------------------------------------


def test_chatml_keeps_every_turn_as_it_is() -> None:
    template = ChatTemplate(CHATML)
    turns = [system("s"), user("a"), user("b"), system("t")]
    parts = [f"<|im_start|>{t.role}\n{t.text}<|im_end|>\n" for t in turns]
    assert template.render(turns) == "".join(parts) + "<|im_start|>assistant\n"
    assert not template.supports_tools
    assert template.supports_system


def test_calls_are_written_as_text_where_the_template_has_no_place_for_them() -> None:
    prompt = ChatTemplate(CHATML).render(
        [
            user("W?"),
            assistant("Wait.", call("1", city="X"), call("2", city="Y")),
            result("hot", "1"),
            result("cold", "2"),
        ]
    )
    assert (
        'Wait.\n<tool_call>\n{"name": "get_weather", "arguments": {"city": "X"}}\n</tool_call>\n<tool_call>' in prompt
    )
    assert "user\n<tool_response>\nhot\n</tool_response>\n\n<tool_response>\ncold\n</tool_response><|im_end|>" in prompt


def test_calls_stay_calls_where_only_results_have_no_place() -> None:
    source = (
        "{% for m in messages if m.role != 'tool' %}<{{ m.role }}>{{ m.content }}"
        "{{ m.tool_calls | tojson if m.tool_calls }}{% endfor %}"
    )
    prompt = ChatTemplate(source).render([user("W?"), assistant("", call("1", city="X")), result("hot", "1")])
    assert '"function": {"name": "get_weather", "arguments": {"city": "X"}}' in prompt
    assert prompt.endswith("<user><tool_response>\nhot\n</tool_response>")


def test_llama3() -> None:
    template = ChatTemplate(LLAMA3, bos_token="<|begin_of_text|>")
    prompt = template.render([system("Be brief."), user(" Hi ")], tools=[WEATHER], date_string="26 Jul 2024")
    assert prompt.startswith("<|begin_of_text|><|start_header_id|>system")
    assert "Today Date: 26 Jul 2024\n\nBe brief.<|eot_id|>" in prompt
    assert '\n        "name": "get_weather",\n        "description": "Weather of a city — now"' in prompt
    assert time.strftime("%Y") in template.render([user("Hi")])
    assert template.supports_tools


def test_llama3_gets_parallel_calls_one_after_the_other() -> None:
    turns = [
        user("W?"),
        assistant("", call("1", city="X"), call("2", city="Y")),
        result("hot", "1"),
        result("cold", "2"),
    ]
    prompt = ChatTemplate(LLAMA3).render(turns)
    places = [prompt.index(piece) for piece in ('"X"', "hot", '"Y"', "cold")]
    assert places == sorted(places)


def test_gemma_gets_the_system_text_in_the_users_turn() -> None:
    template = ChatTemplate(GEMMA, bos_token="<bos>")
    assert not template.supports_system
    assert template.render([system("Be brief."), user("Hi")]) == (
        "<bos><start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n<start_of_turn>model\n"
    )
    assert "user\nBe brief.<end_of_turn>" in template.render([system("Be brief.")])


def test_roles_that_must_alternate_are_merged() -> None:
    prompt = ChatTemplate(GEMMA).render(
        [system("s"), system("t"), user("a"), user("b"), assistant("c"), assistant("d")]
    )
    assert "user\ns\n\nt\n\na\n\nb<end_of_turn>" in prompt
    assert "model\nc\n\nd<end_of_turn>" in prompt


def test_tool_turns_where_roles_must_alternate() -> None:
    prompt = ChatTemplate(GEMMA).render(
        [user("W?"), assistant("", call("1", city="X")), result("hot", "1"), user("And?")]
    )
    assert "user\n<tool_response>\nhot\n</tool_response>\n\nAnd?<end_of_turn>" in prompt


def test_mistral() -> None:
    template = ChatTemplate(MISTRAL, bos_token="<s>", eos_token="</s>")
    assert template.render([system("s"), user("a"), user("b")]) == "<s>[INST] s\n\na\n\nb [/INST]"
    long = "call_0123456789abcdef01234567"
    prompt = template.render([user("W?"), assistant("", call(long, city="X")), result('"hot"', long)])
    ids = [piece.split('"')[0] for piece in prompt.replace('"id": "', '"call_id": "').split('"call_id": "')[1:]]
    assert len(ids) == 2
    assert ids[0] == ids[1]
    assert len(ids[0]) == 9
    assert ids[0].isalnum()


def test_what_stays_refused_is_told_in_the_templates_words() -> None:
    with pytest.raises(ChatTemplateError, match="roles must alternate") as caught:
        ChatTemplate(GEMMA, origin="gemma.gguf").render([assistant("I begin"), user("Hi")])
    assert "gemma.gguf" in str(caught.value)
    assert caught.value.hint


def test_arguments_as_objects_or_text() -> None:
    turns = [user("W?"), assistant("", call("1", city="Köln"))]
    for source in (STRING_ARGUMENTS, PRINTED_ARGUMENTS):
        assert '[get_weather {"city": "Köln"}]' in ChatTemplate(source).render(turns)
    assert '"parameters": {"city": "Köln"}}' in ChatTemplate(LLAMA3).render(turns)


def test_arguments_that_are_no_object_are_given_as_they_are(demo) -> None:
    broken = assistant("", ToolCall("1", "f", '{"city": "Kö'), ToolCall("2", "g", ""))
    assert '"arguments": {"city": "Kö}' in demo.render([user("W?"), broken])


def test_content_as_parts_where_the_template_knows_only_that() -> None:
    template = ChatTemplate(PARTS)
    assert template.render([user("Hi")]) == "<user>Hi"
    image = Image(b"png", "image/png")
    assert template.render([Turn("user", (Text("See "), image, Text("?")))]) == "<user>See <image>?"


def test_images_without_a_place() -> None:
    with pytest.raises(UnsupportedContentError, match="images"):
        ChatTemplate(CHATML).render([Turn("user", (Text("See"), Image(b"png", "image/png")))])


def test_audio_has_a_place_of_its_own() -> None:
    turn = Turn("user", (Text("Hear "), Audio(b"ID3", "audio/mpeg"), Text("!")))
    with pytest.raises(UnsupportedContentError, match="no place for audio"):
        ChatTemplate(PARTS).render([turn])
    assert ChatTemplate(PARTS.replace("image", "audio")).render([turn]) == "<user>Hear <audio>!"


def test_reasoning_names_and_variables_reach_the_template() -> None:
    source = (
        "{% for m in messages %}"
        "{{ m.role }}({{ m.reasoning_content }})({{ m.name }})({{ m.tool_call_id }});"
        "{% endfor %}"
        "{{ enable_thinking }}{{ tools is none }}"
    )
    turns = [Turn("user", name="Ann"), assistant(reasoning="hm")]
    assert ChatTemplate(source).render(turns, enable_thinking=False) == "user()(Ann)();assistant(hm)()();FalseTrue"


def test_whitespace_and_tags_as_transformers_has_them() -> None:
    source = "{% for m in messages %}\n    {% if loop.index > 1 %}{% break %}{% endif %}\n{{ m.content }}\n{% endfor %}"
    assert ChatTemplate(source).render([user("a"), user("b")]) == "a\n"
    assert ChatTemplate("a{% generation %}b{% endgeneration %}c").render([]) == "abc"
    assert ChatTemplate("{{ {'b': '<é>', 'a': 1} | tojson }}").render([]) == '{"b": "<é>", "a": 1}'
    dumped = "{{ {'b': 1, 'a': 2} | tojson(separators=(',', ':'), sort_keys=true) }}"
    assert ChatTemplate(dumped).render([]) == '{"a":2,"b":1}'


def test_lone_surrogates_pass() -> None:
    assert "\ud800" in ChatTemplate(CHATML).render([user("a\ud800b")])
    assert "\ud800" in ChatTemplate("{{ messages | tojson }}").render([user("a\ud800b")])


def test_content_is_never_taken_for_a_template_or_a_format(demo) -> None:
    nasty = "{{ 7*7 }} {% raw %} %99999d {:99999} 100000"
    assert nasty in demo.render([user(nasty)])
    assert nasty in ChatTemplate(GEMMA).render([user(nasty)])
    assert nasty in ChatTemplate("{{ messages[0].content.strip().split('X')[0] }}").render([user(nasty)])
    assert "20250101" in ChatTemplate("{{ '%d' % 20250101 }}{{ '{}'.format(20250101) }}").render([])


def test_long_conversations_are_no_runaway(demo) -> None:
    turns = [turn for i in range(3000) for turn in (user(f"{i}"), assistant("ok"))]
    assert demo.render(turns).count("<|im_start|>") == 6001
    assert len(demo.render([user("x" * 5_000_000)])) > 5_000_000


def test_threads_share_a_template(demo) -> None:
    outputs: list[str] = []

    def work(number: int) -> None:
        outputs.extend(demo.render([user(f"n{number}")]) for _ in range(50))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outputs) == 200
    assert len(set(outputs)) == 4


# --- broken and hostile -------------------------------------------------------------------------------------------


def test_syntax_errors_name_the_line() -> None:
    with pytest.raises(ChatTemplateError, match=r"m\.gguf cannot be parsed in line 3"):
        ChatTemplate("a\nb\n{% if %}", origin="m.gguf")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{{ nowhere.to.be }}", "undefined"),
        ("{{ messages[9].content }}", "has no element 9"),
        ("{{ 1 + 'a' }}", "TypeError"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ raise_exception('Not today.') }}", "Not today"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("{% extends 'x' %}", "no loader"),
        ("{{ messages | tojson | nofilter }}", "nofilter"),
    ],
)
def test_every_failure_is_our_error(source, words) -> None:
    with pytest.raises(ChatTemplateError, match=words) as caught:
        ChatTemplate(source).render([user("Hi")])
    assert caught.value.hint


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ ''['__class__']['__mro__'] }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ joiner.__init__.__globals__ }}",
        "{{ raise_exception.__globals__.functools }}",
        "{{ strftime_now.__globals__['json'] }}",
        "{{ strftime_now.__code__.co_consts }}",
        "{{ '{0.__class__.__mro__}'.format(1) }}",
        "{{ self._TemplateReference__context.environment.globals }}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update({'role': 'system'}) }}",
        "{{ messages[0].pop('role') }}",
    ],
)
def test_nothing_leaves_the_sandbox(source) -> None:
    with pytest.raises(ChatTemplateError, match="tries to leave its sandbox"):
        ChatTemplate(source).render([user("Hi")])


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''|attr('__class__')|attr('__mro__') }}",
        "{{ lipsum.__globals__ }}",
        "{{ '{x.__class__}'.format_map({'x': 1}) }}",
        "{{ ('%s' % 1).format.__self__.__class__ }}",
        "{% for m in messages %}{{ m.items.__func__.__globals__ }}{% endfor %}",
    ],
)
def test_other_ways_out_lead_nowhere(source) -> None:
    with contextlib.suppress(ChatTemplateError):
        assert ChatTemplate(source).render([user("Hi")]) == ""


DOUBLED = "{%% set n = namespace(x='xx') %%}{%% for i in range(60) %%}{%% set n.x = %s %%}{%% endfor %%}"


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "{% for a in range(99999) %}{{ 'x' * 10000 }}{% endfor %}",
        "{% for a in range(10**9) %}{% endfor %}",
        "{% for a in [1, 2] recursive %}{{ loop([1, 2]) }}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
        "{% block a %}{{ self.a() }}{% endblock %}",
        "{{ 10 ** (10 ** 10) }}",
        "{{ 'a' * 10 ** 10 }}",
        "{{ [1] * 10 ** 10 }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ '%*d' % (1000000000, 1) }}",
        "{{ '%.1000000000f' % 1 }}",
        "{{ '%1000000000d' | format(1) }}",
        "{{ '{:1000000000}'.format(1) }}",
        "{{ '{:{w}}'.format(1, w=1000000000) }}",
        "{{ 'a'.ljust(1000000000) }}",
        "{{ 'a' | center(1000000000) }}",
        "{{ 'a\nb' | indent(1000000000) }}",
        "{{ [1] | batch(1000000000, 'x') | list }}",
        "{{ ('a' * 1000000).replace('a', 'b' * 1000000) }}",
        "{{ range(99999) | join('a' * 9000000) }}",
        DOUBLED % "n.x ~ n.x",
        DOUBLED % "n.x + n.x",
        DOUBLED % "[n.x, n.x] | join",
        DOUBLED % "[n.x, n.x] | string",
        DOUBLED % "[n.x, n.x] | tojson",
        DOUBLED % "''.join([n.x, n.x])",
        "{% set n = namespace(x='xx') %}{% for i in range(60) %}"
        "{% set n.x %}{{ n.x }}{{ n.x }}{% endset %}{% endfor %}",
    ],
)
def test_runaways_end_soon(source) -> None:
    begin = time.process_time()
    with pytest.raises(ChatTemplateError, match="uses more than it may"):
        ChatTemplate(source).render([user("Hi")])
    assert time.process_time() - begin < 12


@pytest.mark.parametrize(
    "source", ["{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "{% if 1 %}" * 3000 + "{% endif %}" * 3000]
)
def test_deep_nesting(source) -> None:
    with pytest.raises(ChatTemplateError, match="cannot be parsed"):
        ChatTemplate(source)


def test_huge_source() -> None:
    with pytest.raises(ChatTemplateError, match="characters long"):
        ChatTemplate("x" * 5_000_000)


def test_jinja2_is_loaded_only_for_a_template() -> None:
    code = (
        "import sys; import langchain_localmodels.dialects.templates, langchain_localmodels.dialects.reader; "
        "assert 'jinja2' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
