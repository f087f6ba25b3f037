"""Harmony: the messages of gpt-oss, each with a channel, and with a recipient where it is a call."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from langchain_localmodels.dialects.gbnf_rules import Rules, literal
from langchain_localmodels.dialects.notations.base import Blocks, Mark, Notation, ParsedCall, ToolCallSyntaxError
from langchain_localmodels.dialects.notations.bodies import Body, MarkedBody
from langchain_localmodels.dialects.notations.json_calls import (
    arguments_of,
    arguments_schema,
    decode,
    written_arguments,
)
from langchain_localmodels.engines.base import Tool, ToolCall

_CALL = "<|channel|>commentary to="
_NAMESPACE = "functions."
_START = "<|start|>assistant"
_FINAL = "<|channel|>final<|message|>"
_FINAL_JSON = "<|channel|>final <|constrain|>json<|message|>"
_PREAMBLE = "<|channel|>commentary<|message|>"
_MESSAGE = "<|message|>"
_CHANNEL = "<|channel|>"
_NOBODY = "assistant"  # whom the model may address before it goes on in another channel
_ENDS = ("<|call|>", "<|end|>", "<|return|>")
_HEAD = re.compile(r"\s*(?P<name>[^\s<>]+)(?=[\s<])(?P<header>[^{]*?)<\|message\|>(?P<arguments>.*)", re.DOTALL)
_NAME = re.compile(r"\s*(?P<name>[^\s<>]+)(?=[\s<])")


class Harmony(Notation):
    """A recipient `to=functions.name` stands before the channel, or after it. One call ends an answer."""

    name = "harmony"
    parallel = False
    before_text = _FINAL

    def recognises(self, template_source: str) -> bool:
        """See `Notation.recognises`."""
        return "<|channel|>" in template_source and _MESSAGE in template_source

    def marks(self, tools: Mapping[str, Tool]) -> Sequence[Mark]:
        """See `Notation.marks`."""
        return (Mark(_CALL), Mark("<|channel|>analysis to="), Mark("to=", "start", soft=True))

    def silent_marks(self, tools: Mapping[str, Tool]) -> Sequence[Mark]:
        """All that says where messages begin and end, and the channels that are text."""
        return tuple(map(Mark, (_START, _FINAL, _FINAL_JSON, _PREAMBLE, *_ENDS)))

    def body(self, mark: Mark) -> Body:
        """See `Notation.body`."""
        # In a header that is a channel's already there is no other; where one comes, this was no call.
        return MarkedBody(_ENDS, [_START] if mark.soft else [_START, _CHANNEL])

    def parse(self, body: str, mark: Mark, tools: Mapping[str, Tool]) -> list[ParsedCall]:
        """See `Notation.parse`."""
        head = _HEAD.match(body)
        if head is None:
            found = _NAME.match(body)
            if body.strip() == _NOBODY and _NOBODY not in tools:
                return []
            raise ToolCallSyntaxError("The call has no arguments.", _plain(found["name"]) if found else None)
        name, arguments = _plain(head["name"]), head["arguments"].strip()
        try:
            return [ParsedCall(name, arguments_of(decode(arguments) if arguments else None, name))]
        except ToolCallSyntaxError as error:
            raise ToolCallSyntaxError(str(error), name) from error

    def written(self, calls: Sequence[ToolCall]) -> str:
        """See `Notation.written`."""
        written = (
            f"{_CALL}{_NAMESPACE}{call.name} <|constrain|>json{_MESSAGE}{written_arguments(call)}" for call in calls
        )
        return f"{_ENDS[0]}{_START}".join(written)

    def blocks(self, rules: Rules, tools: Sequence[Tool], *, parallel: bool) -> Blocks:
        """See `Notation.blocks`."""
        arguments = {tool.name: rules.json(arguments_schema(tool)) for tool in tools}
        kind = f'" "? {rules.one_of([literal("<|constrain|>json"), literal("json"), literal("")])} {literal(_MESSAGE)}'
        after = rules.one_of(rules.rule(f"{literal(name)} {kind} {item}") for name, item in arguments.items())
        channel = f"{literal('<|channel|>')} {rules.one_of(map(literal, ('commentary', 'analysis')))} {kind}"
        before = rules.one_of(rules.rule(f"{literal(name)} {channel} {item}") for name, item in arguments.items())
        leads = {
            f"{_CALL}{_NAMESPACE}": after,
            f"<|channel|>analysis to={_NAMESPACE}": after,
            f"{_START} to={_NAMESPACE}": before,
            "": f"{literal(f'to={_NAMESPACE}')} {before}",
        }
        # All but a call begins with a channel.
        return Blocks(leads, not_first="t")


def _plain(recipient: str) -> str:
    return recipient.removeprefix(_NAMESPACE)
