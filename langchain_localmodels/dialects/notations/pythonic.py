"""Calls in Python: a fence of `tool_code` (Gemma 3), a list of calls in marks (LFM2), and a list without any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from langchain_localmodels.dialects.gbnf_rules import Rules, literal
from langchain_localmodels.dialects.notations.base import Blocks, Mark, Notation, ParsedCall
from langchain_localmodels.dialects.notations.bodies import Body
from langchain_localmodels.dialects.notations.json_calls import read_calls
from langchain_localmodels.dialects.notations.python_calls import PythonBody, PythonListBody, read_python_calls
from langchain_localmodels.dialects.notations.schemas import arguments_object
from langchain_localmodels.dialects.notations.value_grammar import PYTHON, ValueGrammar
from langchain_localmodels.dialects.template_turns import parsed_arguments
from langchain_localmodels.engines.base import Tool, ToolCall

_FENCE, _FENCE_END = "```tool_code\n", "```"
_LIST = "["


class GemmaToolCode(Notation):
    """Gemma 3 as its makers teach to prompt it: code in a fence, or a list of calls that the answer begins with.

    Its template has no place for tools: this notation is for prompts that explain it.
    """

    name = "gemma3"

    def recognises(self, template_source: str) -> bool:
        """See `Notation.recognises`."""
        return "```tool_code" in template_source

    def marks(self, tools: Mapping[str, Tool]) -> Sequence[Mark]:
        """See `Notation.marks`."""
        return (Mark(_FENCE, "line"), Mark(_LIST, "start", soft=True, kept=True))

    def body(self, mark: Mark) -> Body:
        """See `Notation.body`."""
        return PythonListBody() if mark.kept else PythonBody(_FENCE_END)

    def parse(self, body: str, mark: Mark, tools: Mapping[str, Tool]) -> list[ParsedCall]:
        """See `Notation.parse`."""
        return read_python_calls(body, tools)

    def written(self, calls: Sequence[ToolCall]) -> str:
        """See `Notation.written`."""
        lines = "\n".join(map(_written, calls))
        return f"{_FENCE}{lines}\n{_FENCE_END}"

    def blocks(self, rules: Rules, tools: Sequence[Tool], *, parallel: bool) -> Blocks:
        """See `Notation.blocks`."""
        call = _call(rules, tools)
        printed = rules.one_of([call, rules.rule(f'"print(" {call} ")"')])
        more = f'("\\n" {printed})*' if parallel else ""
        return Blocks({_FENCE: f'{printed} {more} "\\n" {literal(_FENCE_END)}'})


class Lfm2(Notation):
    """A list of calls between marks: LFM2 and LFM2.5, which may also write JSON there."""

    name = "lfm2"
    _opening, _closing = "<|tool_call_start|>", "<|tool_call_end|>"

    def recognises(self, template_source: str) -> bool:
        """See `Notation.recognises`."""
        # Some templates have none of the marks, but all of them list the tools under these words.
        return any(sign in template_source for sign in (self._opening, "<|tool_list_start|>", '"List of tools: ['))

    def marks(self, tools: Mapping[str, Tool]) -> Sequence[Mark]:
        """See `Notation.marks`."""
        return (Mark(self._opening),)

    def body(self, mark: Mark) -> Body:
        """See `Notation.body`."""
        return PythonBody(self._closing)

    def parse(self, body: str, mark: Mark, tools: Mapping[str, Tool]) -> list[ParsedCall]:
        """See `Notation.parse`."""
        is_json = body.lstrip("[ \t\r\n").startswith("{")
        return read_calls(body) if is_json else read_python_calls(body, tools)

    def written(self, calls: Sequence[ToolCall]) -> str:
        """See `Notation.written`."""
        return f"{self._opening}[{', '.join(map(_written, calls))}]{self._closing}"

    def blocks(self, rules: Rules, tools: Sequence[Tool], *, parallel: bool) -> Blocks:
        """See `Notation.blocks`."""
        call = _call(rules, tools)
        more = f'("," sp {call})*' if parallel else ""
        return Blocks({self._opening: f'"[" {call} {more} "]" {literal(self._closing)}'})


def _call(rules: Rules, tools: Sequence[Tool]) -> str:
    grammar = ValueGrammar(rules, PYTHON)
    return rules.one_of(
        rules.rule(f'{literal(f"{tool.name}(")} {grammar.members(arguments_object(tool), "=")} ")"') for tool in tools
    )


def _written(call: ToolCall) -> str:
    arguments = parsed_arguments(call.arguments)
    if not isinstance(arguments, dict):
        return f"{call.name}({arguments})"
    return f"{call.name}({', '.join(f'{key}={PYTHON.written(value)}' for key, value in arguments.items())})"
