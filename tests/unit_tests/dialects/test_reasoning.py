"""Reasoning: the marks that a template stands for, what the end of the prompt says, how it is read, and its grammar."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pytest

from langchain_localmodels.dialects.answer_grammar import AnswerForm
from langchain_localmodels.dialects.chat_dialect import ChatDialect
from langchain_localmodels.dialects.reader import OutputReader
from langchain_localmodels.dialects.reasoning import REASONING_FORMATS, ReasoningFormat, reasoning_format
from langchain_localmodels.dialects.templates import ChatTemplate
from langchain_localmodels.engines.base import Delta, JsonOutput, ReasoningDelta, Text, TextDelta, Turn

MESSAGES = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
STRIPPED = """\
{% for m in messages %}<{{ m.role }}>
{%- if m.role == "assistant" and "</think>" in m.content %}{{ m.content.split("</think>")[-1] }}
{%- else %}{{ m.content }}{% endif %}{% endfor %}"""
SWITCHED = (
    MESSAGES + "{% if add_generation_prompt %}<assistant>\n"
    "{% if thinking is defined %}{{ '<think>\\n' }}{% else %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}"
    "{% endif %}"
)


def prompted(end: str, before: str = "") -> str:
    """A template whose prompts end with this."""
    return f"{before}{MESSAGES}{{% if add_generation_prompt %}}<assistant>{{{{ {end!r} }}}}{{% endif %}}"


def told(instruction: str) -> str:
    """A template that tells of marks only in what the system says, as it does when asked to."""
    return f"{{% if thinking is defined and thinking %}}{{{{ {instruction!r} }}}}{{% endif %}}{MESSAGES}"


@dataclass(frozen=True)
class Case:
    """What a model with this template writes, and how that is read."""

    template: str
    output: str
    deltas: tuple[tuple[str, str], ...]


CASES = {
    "DeepSeek R1: strips the tag from the history": Case(
        STRIPPED, "<think>\nHm.\n</think>\n\nYes.", (("reasoning", "Hm."), ("text", "Yes."))
    ),
    "the same, without reasoning": Case(STRIPPED, "Yes, </think> is a tag.", (("text", "Yes, </think> is a tag."),)),
    "DeepSeek R1 and QwQ: the prompt opens it": Case(
        prompted("<think>\n"), "Hm.\n</think>\n\nYes.", (("reasoning", "Hm."), ("text", "Yes."))
    ),
    "the prompt opens it, and it never ends": Case(
        prompted("<think>\n"), "Hm. </think", (("reasoning", "Hm. </think"),)
    ),
    "the prompt opens it, and it is empty": Case(prompted("<think>\n"), "\n</think>\n\nYes.", (("text", "Yes."),)),
    "Nemotron: blank lines after the tag": Case(
        prompted("<think>\n\n"), "Hm.</think>Yes.", (("reasoning", "Hm."), ("text", "Yes."))
    ),
    "Qwen 3: the prompt closes it at once": Case(SWITCHED, "Yes, <think> it is.", (("text", "Yes, <think> it is."),)),
    "Qwen 3: closed, and the model reasons all the same": Case(
        SWITCHED, "<think>\nHm.\n</think>\n\nYes.", (("reasoning", "Hm."), ("text", "Yes."))
    ),
    "DeepSeek V3.1: the prompt closes it without having opened it": Case(
        prompted("</think>", STRIPPED), "Yes.", (("text", "Yes."),)
    ),
    "GLM: the model begins on a new line": Case(
        prompted("", STRIPPED), "\n<think>Hm.</think>\nYes.", (("reasoning", "Hm."), ("text", "Yes."))
    ),
    "GLM: closed at once on one line": Case(prompted("\n<think></think>"), "\nYes.", (("text", "\nYes."),)),
    "Granite 3.2": Case(
        told("Write your thoughts after 'Here is my thought process:' and answer after 'Here is my response:'."),
        "Here is my thought process:\n\nHm.\n\nHere is my response:\n\nYes.",
        (("reasoning", "Hm."), ("text", "Yes.")),
    ),
    "Granite 3.2 that was not told to reason": Case(
        told("Write your thoughts after 'Here is my thought process:' and answer after 'Here is my response:'."),
        "Here is my response: yes.",
        (("text", "Here is my response: yes."),),
    ),
    "Granite 3.3": Case(
        told("Your thoughts go between <think></think> and your response between <response></response>."),
        "<think>Hm.</think>\n<response>Yes, a </b>.\n</response>",
        (("reasoning", "Hm."), ("text", "Yes, a </b>.")),
    ),
    "Granite 3.3 without reasoning": Case(
        told("Your thoughts go between <think></think> and your response between <response></response>."),
        "<response> is a tag, so is </response>.",
        (("text", "<response> is a tag, so is </response>."),),
    ),
    "Hunyuan": Case(
        "{% set text = '<think></think><answer></answer>' %}" + MESSAGES,
        "<think>\nHm.\n</think>\n<answer>\nYes.\n</answer>",
        (("reasoning", "Hm."), ("text", "\nYes.")),
    ),
    "Magistral": Case(
        told("First [THINK]draft[/THINK], then answer."),
        "[THINK]Hm [/b].[/THINK]Yes.",
        (("reasoning", "Hm [/b]."), ("text", "Yes.")),
    ),
    "Command R7B": Case(
        "{{ '<|START_THINKING|><|END_THINKING|>' if documents else '' }}" + MESSAGES,
        "<|START_THINKING|>Hm.<|END_THINKING|>Yes.",
        (("reasoning", "Hm."), ("text", "Yes.")),
    ),
    "Seed-OSS": Case(
        "{% set thought_end = '</seed:think>' %}" + MESSAGES,
        "<seed:think>\nHm.</seed:think>Yes.",
        (("reasoning", "Hm."), ("text", "Yes.")),
    ),
    "Seed-OSS without a budget": Case(
        prompted("<seed:think><seed:cot_budget_reflect>"),
        "I answer at once.</seed:cot_budget_reflect>\n</seed:think>Yes.",
        (("reasoning", "I answer at once.</seed:cot_budget_reflect>"), ("text", "Yes.")),
    ),
    "Apriel": Case(
        "{{ '[BEGIN FINAL RESPONSE] ... [END FINAL RESPONSE] <thinking>' if documents else '' }}" + MESSAGES,
        "Here are my reasoning steps:\nHm.\n[BEGIN FINAL RESPONSE]\nYes.\n[END FINAL RESPONSE]",
        (("reasoning", "Hm."), ("text", "Yes.")),
    ),
    "Apriel, opened by the prompt": Case(
        prompted("Here are my reasoning steps:\n"),
        "Hm.\n[BEGIN FINAL RESPONSE]\nYes.",
        (("reasoning", "Hm."), ("text", "Yes.")),
    ),
    "Gemma 4": Case(
        "{% if false %}<|channel>thought\n<channel|>{% endif %}" + MESSAGES,
        "<|channel>thought\nHm.\n<channel|>Yes.<|channel>thought\nOr?<channel|>No.",
        (("reasoning", "Hm."), ("text", "Yes."), ("reasoning", "Or?"), ("text", "No.")),
    ),
    "Gemma 4, closed at once": Case(prompted("<|channel>thought\n<channel|>"), "Yes.", (("text", "Yes."),)),
    "gpt-oss": Case(
        MESSAGES + "{% if false %}<|start|>assistant<|channel|>analysis<|message|><|end|>{% endif %}",
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes.",
        (("reasoning", "Hm."), ("text", "Yes.")),
    ),
    "Kimi Dev": Case(
        "{% set thought = '\u25c1/think\u25b7' %}" + MESSAGES,
        "\u25c1think\u25b7Hm.\u25c1/think\u25b7Yes.",
        (("reasoning", "Hm."), ("text", "Yes.")),
    ),
    "OpenThinker": Case(
        told("Think in <|begin_of_thought|> and <|end_of_thought|>."),
        "<|begin_of_thought|>\n\nHm.\n\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\nYes.<|end_of_solution|>",
        (("reasoning", "Hm."), ("text", "\n\nYes.")),
    ),
    "a template without any": Case(MESSAGES, "<think>x</think>", (("text", "<think>x</think>"),)),
    "another that ends turns like gpt-oss": Case(
        MESSAGES + "<|end|>", "<|channel|>analysis<|message|>", (("text", "<|channel|>analysis<|message|>"),)
    ),
}


def joined(deltas: Iterable[Delta]) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    for delta in deltas:
        assert isinstance(delta, TextDelta | ReasoningDelta)
        kind = "text" if isinstance(delta, TextDelta) else "reasoning"
        if found and found[-1][0] == kind:
            found[-1] = (kind, found[-1][1] + delta.text)
        elif delta.text:
            found.append((kind, delta.text))
    return tuple(found)


def dialect_and_prompt(template: str, asked: str = "Why?") -> tuple[ChatDialect, str]:
    dialect = ChatDialect(ChatTemplate(template))
    return dialect, dialect.prompt([Turn("user", (Text(asked),))])


def read(template: str, pieces: Iterable[str], asked: str = "Why?") -> tuple[tuple[str, str], ...]:
    dialect, prompt = dialect_and_prompt(template, asked)
    reader = dialect.reader(prompt)
    deltas = [delta for piece in pieces for delta in reader.feed(piece)]
    return joined([*deltas, *reader.finish()])


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_output_whole_and_cut_anywhere(case: Case):
    assert read(case.template, [case.output]) == case.deltas
    assert read(case.template, case.output) == case.deltas
    for cut in range(1, len(case.output)):
        assert read(case.template, [case.output[:cut], case.output[cut:]]) == case.deltas, cut


@pytest.mark.parametrize("form", REASONING_FORMATS, ids=lambda form: f"{form.opening} {form.then}")
def test_every_format_is_found_by_its_signs(form: ReasoningFormat):
    for sign in form.signs or (form.opening, form.closing):
        found = reasoning_format(f"{{{{ {sign!r} }}}}")
        assert found is not None
        # The same marks may begin or end another one, which is looked for first.
        assert found.closing == form.closing
        assert not found.open_at_start
        assert not found.closed


@pytest.mark.parametrize(
    ("source", "tail", "state"),
    [
        ("{% set mark = '<mm:think>' %}{% set end = '</mm:think>' %}", "]~b]ai\n<mm:think>", "open"),
        ("{% set mark = '<mm:think>' %}{% set end = '</mm:think>' %}", "]~b]ai\n</mm:think>", "closed"),
        ("{% set mark = '<think{}>'.format(':opensource') %}", "<think:opensource>", "open"),
        ("{% set mark = '<think{}>'.format(':opensource') %}", "<think:opensource></think:opensource>", "closed"),
    ],
)
def test_marks_with_a_name_in_them(source: str, tail: str, state: str):
    found = reasoning_format(source, tail)
    assert found is not None
    assert (found.open_at_start, found.closed) == (state == "open", state == "closed")


def test_the_end_of_the_prompt_says_where_the_answer_begins():
    assert reasoning_format("<think>", "<assistant><think>\n") == ReasoningFormat(
        "<think>", "</think>", open_at_start=True
    )
    assert reasoning_format("<think>", "<think>\n\n</think>\n\n") == ReasoningFormat("<think>", "</think>", closed=True)
    assert reasoning_format("<think>", "<think>Hm.</think><user>") == ReasoningFormat("<think>", "</think>")
    assert reasoning_format(None, "<think>\n") == ReasoningFormat("<think>", "</think>", open_at_start=True)
    assert reasoning_format(None, "<think></think>") is None
    assert reasoning_format("{{ messages }}") is None


def test_what_the_user_says_opens_nothing():
    for asked in ("What is <think>", "What is\n[THINK]"):
        assert read("{{ messages[0].content }}", ["It is."], asked) == (("text", "It is."),)
        assert read(STRIPPED + "{{ '\n<assistant>' }}", ["It is."], asked) == (("text", "It is."),)


def test_marks_of_an_answer_are_text_until_there_was_reasoning():
    form = ReasoningFormat("<think>", "</think>", then="<answer>", finish="</answer>")
    for output, wanted in {
        "<answer>a</answer>": (("text", "<answer>a</answer>"),),
        "<think>a</think><answer>b <answer> c</answer>": (("reasoning", "a"), ("text", "b <answer> c")),
        "<think>a</think>b<answer>c": (("reasoning", "a"), ("text", "b<answer>c")),
    }.items():
        for pieces in ([output], output):
            reader = OutputReader(reasoning=form)
            assert joined([*(delta for piece in pieces for delta in reader.feed(piece)), *reader.finish()]) == wanted


def grammar(template: str) -> str:
    dialect, prompt = dialect_and_prompt(template)
    found = dialect.grammar(prompt, AnswerForm(output=JsonOutput({"type": "integer"})))
    assert found is not None
    return found


def test_a_grammar_leaves_room_for_reasoning_unless_the_prompt_closed_it():
    assert '"<think>"' in grammar(STRIPPED)
    opened = grammar(prompted("<think>\n"))
    assert '"<think>"' not in opened
    assert len(opened) > len(grammar(MESSAGES))
    assert grammar(SWITCHED) == grammar(MESSAGES)
    assert grammar(prompted("</think>", STRIPPED)) == grammar(MESSAGES)
