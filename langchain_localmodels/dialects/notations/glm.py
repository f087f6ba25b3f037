"""`<tool_call>name` with pairs of `<arg_key>` and `<arg_value>`: GLM 4.5 and later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from langchain_localmodels.dialects.gbnf_rules import Rules, literal
from langchain_localmodels.dialects.notations.base import Blocks, Mark
from langchain_localmodels.dialects.notations.bodies import Body
from langchain_localmodels.dialects.notations.xml_calls import XmlBody, XmlForm, XmlNotation
from langchain_localmodels.engines.base import Tool, ToolCall

_OPENING, _CLOSING = "<tool_call>", "</tool_call>"


class Glm(XmlNotation):
    """One call between each pair of marks. From 4.7 on they are written without line breaks."""

    name = "glm"
    form = XmlForm(
        opening="",
        name_end="",
        key="<arg_key>",
        key_end="</arg_key>",
        value="<arg_value>",
        value_end="</arg_value>",
        closing=_CLOSING,
    )

    def recognises(self, template_source: str) -> bool:
        """See `Notation.recognises`."""
        return self.form.key in template_source and _OPENING in template_source

    def marks(self, tools: Mapping[str, Tool]) -> Sequence[Mark]:
        """See `Notation.marks`."""
        return (Mark(_OPENING),)

    def body(self, mark: Mark) -> Body:
        """See `Notation.body`."""
        return XmlBody(self.form, _CLOSING, _OPENING)

    def written(self, calls: Sequence[ToolCall]) -> str:
        """See `Notation.written`."""
        return "\n".join(f"{_OPENING}{self._written(call)}" for call in calls)

    def blocks(self, rules: Rules, tools: Sequence[Tool], *, parallel: bool) -> Blocks:
        """See `Notation.blocks`."""
        values = self._values(rules)
        calls = (rules.rule(f"{literal(tool.name)} {self._arguments(rules, values, tool)}") for tool in tools)
        return Blocks({_OPENING: rules.one_of(calls)}, between='"\\n"?')
