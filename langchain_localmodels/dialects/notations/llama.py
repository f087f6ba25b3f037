"""`{"name": …, "parameters": {…}}`: Llama 3.1 to 3.3, which write a call as the answer itself.

Tools that Llama was trained on, and any other after `<|python_tag|>`, are also called as `name.call(key="value")`; and
where an interpreter of Python is offered, what stands after that mark may be the code itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from langchain_localmodels.dialects.gbnf_rules import Rules
from langchain_localmodels.dialects.notations.base import Blocks, Mark, Notation, ParsedCall, ToolCallSyntaxError
from langchain_localmodels.dialects.notations.bodies import Body, JsonBody, MarkedBody
from langchain_localmodels.dialects.notations.json_calls import call_object, call_of, call_values, encode, written_call
from langchain_localmodels.dialects.notations.python_calls import read_python_calls
from langchain_localmodels.engines.base import Tool, ToolCall

_TAG = "<|python_tag|>"
_BETWEEN = "; \t\r\n"
_KEYS = ("name", "type", "function", "id", "parameters", "arguments")
_OTHERS = ("<tool_call>", "<function=", "<TOOLCALL>")
_INTERPRETERS = ("python", "ipython", "code_interpreter")
_CALL = re.compile(r"([\w-]+(?:\.[\w-]+)*?)(?:\.call)?(?=\()")


class Llama(Notation):
    """JSON that begins an answer and names a tool that was offered; or what follows `<|python_tag|>`.

    JSON that is no call is read as text. A grammar lets text begin with `{` only where JSON was asked for: nothing but
    that character tells a call from text, and what has begun as a call must not go wrong.
    """

    name = "llama"
    parallel = False

    def recognises(self, template_source: str) -> bool:
        """See `Notation.recognises`."""
        is_llama = all(mark in template_source for mark in ("<|start_header_id|>", "<|eot_id|>"))
        calls = _TAG in template_source or '"parameters": ' in template_source
        # Many models that come of Llama kept its roles and write calls in another way.
        return is_llama and calls and not any(mark in template_source for mark in _OTHERS)

    def marks(self, tools: Mapping[str, Tool]) -> Sequence[Mark]:
        """See `Notation.marks`."""
        return (Mark(_TAG), *(Mark(begin, "start", soft=True, kept=True) for begin in ("{", "[{")))

    def body(self, mark: Mark) -> Body:
        """See `Notation.body`."""
        return JsonBody(more=_BETWEEN, again="", keys=_KEYS) if mark.soft else _TaggedBody()

    def parse(self, body: str, mark: Mark, tools: Mapping[str, Tool]) -> list[ParsedCall]:
        """See `Notation.parse`."""
        text = body.strip()
        if not text:
            raise ToolCallSyntaxError("The call is empty.")
        if not text.startswith(("{", "[")):
            return _python(text, tools)
        values = [entry for value in call_values(text) for entry in (value if isinstance(value, list) else [value])]
        if not values or (
            mark.soft and any(not isinstance(value, dict) or value.keys() - {*_KEYS} for value in values)
        ):
            raise ToolCallSyntaxError("This is JSON, but no call.")
        return [call_of(value) for value in values]

    def written(self, calls: Sequence[ToolCall]) -> str:
        """See `Notation.written`."""
        return "; ".join(written_call(call, arguments="parameters") for call in calls)

    def blocks(self, rules: Rules, tools: Sequence[Tool], *, parallel: bool) -> Blocks:
        """See `Notation.blocks`."""
        call = call_object(rules, tools, arguments="parameters")
        calls = rules.rule(f'{call} (";" sp {call})*') if parallel else call
        tagged = [calls]
        if any(_code_parameter(tool) for tool in tools):
            tagged.append(rules.text_until({}, may_end=True, not_first="{["))
        return Blocks({"": calls, _TAG: rules.one_of(tagged)}, not_first="{")


class _TaggedBody(Body):
    """What follows `<|python_tag|>`: JSON, or a line of Python."""

    def __init__(self) -> None:
        super().__init__()
        self._blank = ""
        self._body: Body | None = None

    @property
    def text(self) -> str:
        """See `Body`."""
        return self._blank if self._body is None else self._body.text

    def feed(self, text: str) -> str | None:
        """See `Body.feed`."""
        if self._body is None:
            text = (self._blank + text).lstrip()
            if not text:
                return None
            is_json = text[0] in "{["
            self._body = JsonBody(more=_BETWEEN, again=_TAG) if is_json else MarkedBody((), (_TAG,), json=False)
        return self._body.feed(text)

    def endings(self) -> list[tuple[str, str]]:
        """See `Body.endings`."""
        return [("", "")] if self._body is None else self._body.endings()


def _python(text: str, tools: Mapping[str, Tool]) -> list[ParsedCall]:
    called = _CALL.match(text)
    interpreter = next((tool for tool in tools.values() if _code_parameter(tool)), None)
    if interpreter is not None and (called is None or called.group(1) not in tools):
        return [ParsedCall(interpreter.name, encode({_code_parameter(interpreter): text}))]
    if called is None:
        raise ToolCallSyntaxError("The call is neither JSON nor name.call(key=value).")
    name = called.group(1)
    try:
        # Names of tools need not be names in Python.
        calls = read_python_calls(f"f{text[called.end() :]}", {"f": tools[name]} if name in tools else {})
    except ToolCallSyntaxError as error:
        raise ToolCallSyntaxError(str(error), name) from error
    if len(calls) != 1:
        raise ToolCallSyntaxError("There are several calls in one.", name)
    return [ParsedCall(name, calls[0].arguments)]


def _code_parameter(tool: Tool) -> str:
    """The one parameter of an interpreter that the code goes into; empty for other tools."""
    if tool.name not in _INTERPRETERS:
        return ""
    properties = tool.parameters.get("properties") or {}
    needed = set(tool.parameters.get("required") or ())
    texts = [key for key, schema in properties.items() if isinstance(schema, dict) and schema.get("type") == "string"]
    return texts[0] if len(texts) == 1 and needed <= {*texts} else ""
