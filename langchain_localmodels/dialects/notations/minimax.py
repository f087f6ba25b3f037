"""`<invoke name="…">` with a `<parameter name="…">` for each argument: MiniMax M2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from langchain_localmodels.dialects.gbnf_rules import Rules, literal
from langchain_localmodels.dialects.notations.base import Blocks, Mark
from langchain_localmodels.dialects.notations.bodies import Body
from langchain_localmodels.dialects.notations.xml_calls import XmlBody, XmlForm, XmlNotation
from langchain_localmodels.engines.base import Tool, ToolCall

_SECTION, _SECTION_END = "<minimax:tool_call>", "</minimax:tool_call>"
_OPENING, _CLOSING = '<invoke name="', "</invoke>"


class MiniMax(XmlNotation):
    """All calls of an answer stand between one pair of marks."""

    name = "minimax_m2"
    form = XmlForm(
        opening=_OPENING,
        name_end='">',
        key='<parameter name="',
        key_end='">',
        value_end="</parameter>",
        closing=_CLOSING,
    )

    def recognises(self, template_source: str) -> bool:
        """See `Notation.recognises`."""
        return _SECTION in template_source

    def marks(self, tools: Mapping[str, Tool]) -> Sequence[Mark]:
        """See `Notation.marks`."""
        # Read one by one, a call that is cut off does not spoil those before it.
        return (Mark(_OPENING, kept=True),)

    def silent_marks(self, tools: Mapping[str, Tool]) -> Sequence[Mark]:
        """The marks around all calls."""
        return (Mark(_SECTION), Mark(_SECTION_END)) if tools else ()

    def body(self, mark: Mark) -> Body:
        """See `Notation.body`."""
        return XmlBody(self.form, _CLOSING, "")

    def written(self, calls: Sequence[ToolCall]) -> str:
        """See `Notation.written`."""
        lines = "\n".join(map(self._written, calls))
        return f"{_SECTION}\n{lines}\n{_SECTION_END}"

    def blocks(self, rules: Rules, tools: Sequence[Tool], *, parallel: bool) -> Blocks:
        """See `Notation.blocks`."""
        values = self._values(rules)
        heads = {literal(f'{_OPENING}{tool.name}">'): self._arguments(rules, values, tool) for tool in tools}
        call = rules.one_of(rules.rule(f'{head} {rest} "\\n"?') for head, rest in heads.items())
        return Blocks({_SECTION: f'"\\n"? {call}{"+" if parallel else ""} {literal(_SECTION_END)}'})
