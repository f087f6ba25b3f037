"""`<function=name>` with a `<parameter=key>` for each argument: Qwen3-Coder, Qwen 3.5, Nemotron 3 and Seed-OSS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from langchain_localmodels.dialects.gbnf_rules import Rules, literal
from langchain_localmodels.dialects.notations.base import Blocks, Mark
from langchain_localmodels.dialects.notations.bodies import Body
from langchain_localmodels.dialects.notations.xml_calls import XmlBody, XmlForm, XmlNotation
from langchain_localmodels.engines.base import Tool

_OPENING, _CLOSING = "<function=", "</function>"


class QwenCoder(XmlNotation):
    """One call between `<tool_call>` and `</tool_call>`, the first of which these models are prone to forget."""

    name = "qwen3_coder"
    form = XmlForm(
        opening=_OPENING,
        name_end=">",
        key="<parameter=",
        key_end=">",
        value_end="</parameter>",
        closing=_CLOSING,
        outer=("<tool_call>", "</tool_call>"),
        on_lines=True,
        python_words=True,
    )

    def recognises(self, template_source: str) -> bool:
        """See `Notation.recognises`."""
        return all(mark in template_source for mark in (_OPENING, self.form.key, self.form.outer[0]))

    def marks(self, tools: Mapping[str, Tool]) -> Sequence[Mark]:
        """See `Notation.marks`."""
        return (Mark(self.form.outer[0]), *(Mark(f"{_OPENING}{name}>", kept=True) for name in tools))

    def silent_marks(self, tools: Mapping[str, Tool]) -> Sequence[Mark]:
        """The end of a call that was begun without its outer mark."""
        return (Mark(self.form.outer[1], "start"),) if tools else ()

    def body(self, mark: Mark) -> Body:
        """See `Notation.body`."""
        if mark.kept:
            return XmlBody(self.form, _CLOSING, "")
        return XmlBody(self.form, self.form.outer[1], self.form.outer[0])

    def blocks(self, rules: Rules, tools: Sequence[Tool], *, parallel: bool) -> Blocks:
        """See `Notation.blocks`."""
        outer, outer_end = self.form.outer
        values = self._values(rules)
        bare = {f"{_OPENING}{tool.name}>": self._arguments(rules, values, tool) for tool in tools}
        call = rules.one_of(rules.rule(f"{literal(head)} {rest}") for head, rest in bare.items())
        return Blocks({outer: f'"\\n"? {call} "\\n"? {literal(outer_end)}', **bare}, between='"\\n"?')


class Seed(QwenCoder):
    """The same with the marks and the white space of ByteDance's Seed-OSS."""

    name = "seed_oss"
    form = XmlForm(
        opening=_OPENING,
        name_end=">",
        key="<parameter=",
        key_end=">",
        value_end="</parameter>",
        closing=_CLOSING,
        outer=("<seed:tool_call>", "</seed:tool_call>"),
        python_words=True,
    )
