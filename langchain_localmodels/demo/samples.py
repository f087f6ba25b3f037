"""What a sample is, and how it becomes text: ChatML, or plain text.

Owns `Sample` and the rendering of conversations. `render` writes exactly what `chat_template.jinja`
writes, in Python because training renders hundreds of thousands of samples; `evaluate.py` checks
that the two agree.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

START, END, PAD = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
CALL, CALL_END = "<tool_call>", "</tool_call>"
SPECIAL_TOKENS = (START, END, PAD, CALL, CALL_END)

Json = dict[str, Any]
Span = tuple[str, bool]
"""A piece of text, and whether the model must learn to write it."""

_TOOLS_INTRO = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>"
)
_TOOLS_OUTRO = (
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments "
    "within <tool_call></tool_call> XML tags:\n<tool_call>\n"
    '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
)


def to_json(value: Any) -> str:
    """JSON as the templates' `tojson` writes it."""
    return json.dumps(value, ensure_ascii=False)


def call_text(name: str, arguments: Json) -> str:
    """One tool call in the Hermes notation."""
    call = to_json({"name": name, "arguments": arguments})
    return f"{CALL}\n{call}\n{CALL_END}"


@dataclass
class Sample:
    """A conversation with tools, or a plain prompt with its continuation.

    Attributes:
        turns: (role, text) in order; for plain text one "prompt" and one "answer".
        tools: Functions offered, in the OpenAI form.
        system: System message, if any.
        silent: Indexes of assistant turns that are only there to be read.
        prefix: Beginning of the last answer that is given, as a forced tool call gives it.
    """

    turns: list[tuple[str, str]] = field(default_factory=list)
    tools: list[Json] = field(default_factory=list)
    system: str | None = None
    silent: set[int] = field(default_factory=set)
    prefix: str = ""

    def add(self, role: str, text: str) -> Sample:
        """Append a turn."""
        self.turns.append((role, text))
        return self


def plain(prompt: str, answer: str) -> Sample:
    """A text without chat markers that the model continues."""
    return Sample([("prompt", prompt), ("answer", answer)])


def chat(*texts: str, system: str | None = None, tools: list[Json] | None = None) -> Sample:
    """A conversation of user and assistant in turn."""
    roles = ("user", "assistant")
    turns = [(roles[i % 2], text) for i, text in enumerate(texts)]
    return Sample(turns, list(tools or []), system)


def _head(sample: Sample) -> str:
    if not sample.tools:
        return f"{START}system\n{sample.system}{END}\n" if sample.system is not None else ""
    system = f"{sample.system}\n\n" if sample.system is not None else ""
    offered = "".join("\n" + to_json(tool) for tool in sample.tools)
    return f"{START}system\n{system}{_TOOLS_INTRO}{offered}{_TOOLS_OUTRO}{END}\n"


def render(sample: Sample) -> list[Span]:
    """The sample as text, cut where learning begins and ends."""
    if sample.turns[0][0] == "prompt":
        return [(sample.turns[0][1], False), (sample.turns[1][1] + END, True)]
    spans: list[Span] = []
    given = _head(sample)
    for index, (role, text) in enumerate(sample.turns):
        if role == "assistant":
            given += f"{START}assistant\n"
            if index in sample.silent:
                given += f"{text}{END}\n"
                continue
            begun = sample.prefix if index == len(sample.turns) - 1 else ""
            spans += [(given + begun, False), (text.removeprefix(begun) + END, True)]
            given = "\n"
        elif role == "tool":
            last = index + 1 == len(sample.turns) or sample.turns[index + 1][0] != "tool"
            first = index == 0 or sample.turns[index - 1][0] != "tool"
            given += f"{START}user" if first else ""
            given += f"\n<tool_response>\n{text}\n</tool_response>"
            given += f"{END}\n" if last else ""
        else:
            given += f"{START}{role}\n{text}{END}\n"
    return spans
