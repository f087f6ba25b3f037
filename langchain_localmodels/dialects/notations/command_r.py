"""Cohere's Command models: `<|START_ACTION|>[…]<|END_ACTION|>` since Command R7B, and before it `Action:` and a list.

The newer ones also mark the text of an answer, with `<|START_RESPONSE|>` and `<|END_RESPONSE|>`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from langchain_localmodels.dialects.gbnf_rules import Rules, literal
from langchain_localmodels.dialects.notations.base import Blocks, Mark, Notation, ParsedCall
from langchain_localmodels.dialects.notations.bodies import Body, MarkedBody
from langchain_localmodels.dialects.notations.json_calls import call_object, read_calls, written_call, written_calls
from langchain_localmodels.engines.base import Tool, ToolCall

_OPENING, _CLOSING = "<|START_ACTION|>", "<|END_ACTION|>"
_TEXT, _TEXT_END = "<|START_RESPONSE|>", "<|END_RESPONSE|>"
_ACTION, _FENCE = "Action: ```json", "```"
_NO_TOOL = ("directly-answer", "directly_answer")
_LINE = r'("\n" " "{0,8} | " ")?'


class CommandR7B(Notation):
    """Calls with the ids that the model counts them by."""

    name = "command_r7b"
    before_text = _TEXT
    _text_end: ClassVar[str] = _TEXT_END

    def recognises(self, template_source: str) -> bool:
        """See `Notation.recognises`."""
        return _OPENING in template_source

    def marks(self, tools: Mapping[str, Tool]) -> Sequence[Mark]:
        """See `Notation.marks`."""
        return (Mark(_OPENING),)

    def silent_marks(self, tools: Mapping[str, Tool]) -> Sequence[Mark]:
        """See `Notation.silent_marks`."""
        return (Mark(self.before_text), Mark(self._text_end))

    def body(self, mark: Mark) -> Body:
        """See `Notation.body`."""
        return MarkedBody((_CLOSING,), (_OPENING, self.before_text))

    def parse(self, body: str, mark: Mark, tools: Mapping[str, Tool]) -> list[ParsedCall]:
        """See `Notation.parse`."""
        return read_calls(body)

    def written(self, calls: Sequence[ToolCall]) -> str:
        """See `Notation.written`."""
        numbered = (
            written_call(call, name="tool_name", arguments="parameters", tool_call_id=str(number))
            for number, call in enumerate(calls)
        )
        return f"{_OPENING}[{', '.join(numbered)}]{_CLOSING}"

    def blocks(self, rules: Rules, tools: Sequence[Tool], *, parallel: bool) -> Blocks:
        """See `Notation.blocks`."""
        call_id = r'("\"tool_call_id\":" sp "\"" [0-9]{1,3} "\"," sp)?'
        call = call_object(rules, tools, name="tool_name", arguments="parameters", first=call_id)
        return Blocks({_OPENING: f"{_list_on_lines(rules, call, parallel=parallel)} {literal(_CLOSING)}"})


class Cohere2Moe(CommandR7B):
    """The same calls, with other marks around text."""

    name = "cohere2_moe"
    before_text, _text_end = "<|START_TEXT|>", "<|END_TEXT|>"

    def recognises(self, template_source: str) -> bool:
        """See `Notation.recognises`."""
        return super().recognises(template_source) and self.before_text in template_source


class CommandR(Notation):
    """`Action:` and a fence of code, which the first Command R and R+ write."""

    name = "command_r"

    def recognises(self, template_source: str) -> bool:
        """See `Notation.recognises`."""
        return "Action:" in template_source and "tool_name" in template_source

    def marks(self, tools: Mapping[str, Tool]) -> Sequence[Mark]:
        """See `Notation.marks`."""
        return tuple(Mark(text, "line") for text in (_ACTION, "Action:```json", "Action:\n```json"))

    def body(self, mark: Mark) -> Body:
        """See `Notation.body`."""
        return MarkedBody((_FENCE,))

    def parse(self, body: str, mark: Mark, tools: Mapping[str, Tool]) -> list[ParsedCall]:
        """See `Notation.parse`."""
        # These models call a tool that is none in order to say that they need none.
        return [call for call in read_calls(body) if call.name in tools or call.name not in _NO_TOOL]

    def written(self, calls: Sequence[ToolCall]) -> str:
        """See `Notation.written`."""
        return f"{_ACTION}\n{written_calls(calls, name='tool_name', arguments='parameters')}\n{_FENCE}"

    def blocks(self, rules: Rules, tools: Sequence[Tool], *, parallel: bool) -> Blocks:
        """See `Notation.blocks`."""
        call = call_object(rules, tools, name="tool_name", arguments="parameters", line=rules.rule(_LINE))
        return Blocks({_ACTION: f'"\\n"? {_list_on_lines(rules, call, parallel=parallel)} "\\n"? {literal(_FENCE)}'})


def _list_on_lines(rules: Rules, call: str, *, parallel: bool) -> str:
    line = rules.rule(_LINE)
    more = f'("," {line} {call})*' if parallel else ""
    return f'"[" {line} {call} {more} {line} "]"'
