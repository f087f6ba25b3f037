"""What models without a notation of their own write when they are told of tools: the commonest one, or bare JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from langchain_localmodels.dialects.notations.base import Mark, ParsedCall
from langchain_localmodels.dialects.notations.bodies import Body, JsonBody
from langchain_localmodels.dialects.notations.hermes import Hermes
from langchain_localmodels.dialects.notations.json_calls import call_of, call_values
from langchain_localmodels.engines.base import Tool

_KEYS = ("name", "function", "type", "tool_name", "tool_call", "tool_calls", "id")
_WRAPPERS = ("tool_calls", "tool_call")


class Generic(Hermes):
    """Calls between `<tool_call>` and `</tool_call>`, or as JSON that begins a line, in a code fence or without one.

    JSON is a call when it names a tool that was offered, and text otherwise.
    """

    name = "generic"

    def recognises(self, template_source: str) -> bool:
        """Never: it is what is taken where nothing is recognised."""
        return False

    def marks(self, tools: Mapping[str, Tool]) -> Sequence[Mark]:
        """See `Notation.marks`."""
        fences = [Mark(f"```{language}\n", "line", soft=True) for language in ("json", "tool_call", "")]
        return (*super().marks(tools), *fences, Mark("{", "line", soft=True, kept=True), Mark("[{", "line", True, True))

    def body(self, mark: Mark) -> Body:
        """See `Notation.body`."""
        if not mark.soft:
            return super().body(mark)
        return JsonBody(keys=_KEYS, closings=["```"] if mark.text.startswith("```") else ())

    def parse(self, body: str, mark: Mark, tools: Mapping[str, Tool]) -> list[ParsedCall]:
        """See `Notation.parse`."""
        if not mark.soft:
            return super().parse(body, mark, tools)
        return [call for value in call_values(body) for call in _calls_of(value)]


def _calls_of(value: object) -> list[ParsedCall]:
    if isinstance(value, list):
        return [call for entry in value for call in _calls_of(entry)]
    for wrapper in _WRAPPERS:
        if isinstance(value, dict) and isinstance(inner := value.get(wrapper), dict | list):
            return _calls_of(inner)
    return [call_of(value)]
