"""One grammar for a whole answer: reasoning first, then text, tool calls or JSON, as the request says.

llama.cpp can begin a grammar in the middle of an answer, when a mark is met, but looks through the whole text for the
mark with each token. Here the text before the mark is part of the grammar, as an automaton: nothing has to be watched,
a call that has begun cannot go wrong, and the same grammar serves every engine that takes one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from langchain_localmodels.dialects.gbnf import JSON_GRAMMAR, check_grammar
from langchain_localmodels.dialects.gbnf_rules import Rules, literal
from langchain_localmodels.dialects.json_schema import schema_rules
from langchain_localmodels.dialects.notations.base import Blocks, Notation
from langchain_localmodels.dialects.notations.json_calls import arguments_schema
from langchain_localmodels.dialects.reasoning import ReasoningFormat
from langchain_localmodels.engines.base import JsonOutput, Tool
from langchain_localmodels.errors import InvalidRequestError

_SPACE = r"[ \t\r\n]{0,4}"


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """What an answer may look like.

    Attributes:
        tools: What may be called.
        must_call: Whether it must be a call, and nothing but calls.
        parallel: Whether there may be several calls.
        output: What the text must look like, where that is said.
    """

    tools: tuple[Tool, ...] = ()
    must_call: bool = False
    parallel: bool = True
    output: JsonOutput | None = None


def answer_grammar(form: AnswerForm, notation: Notation | None, reasoning: ReasoningFormat | None) -> str | None:
    """Give the grammar of an answer, or `None` where it may be any text.

    Args:
        form: What it may look like.
        notation: How the model writes tool calls.
        reasoning: How it marks its reasoning, which is never held to anything.

    Raises:
        InvalidRequestError: A schema cannot be followed, or all of them together are too large.
    """
    tools = form.tools if notation is not None else ()
    if not tools and form.output is None:
        return None
    key = json.dumps([[tool.name, _plain(tool.parameters)] for tool in tools])
    output = None if form.output is None else json.dumps(_plain(form.output.schema))
    return _grammar(
        tools=key,
        output=output,
        must_call=form.must_call,
        parallel=form.parallel,
        notation=notation,
        reasoning=reasoning,
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


@lru_cache(maxsize=64)
def _grammar(
    *,
    tools: str,
    output: str | None,
    must_call: bool,
    parallel: bool,
    notation: Notation | None,
    reasoning: ReasoningFormat | None,
) -> str:
    """The grammar; schemas come as JSON, so that the same ones are worked out once."""
    rules = Rules()
    offered = [Tool(name, "", parameters) for name, parameters in json.loads(tools)]
    for tool in offered:
        # Notations without JSON know less of schemas. A wrong one, or one that allows nothing, is refused for all.
        schema_rules(arguments_schema(tool), prefix="x")
    blocks = notation.blocks(rules, offered, parallel=parallel) if notation is not None and offered else None
    schema = None if output is None else json.loads(output)
    if blocks is None and reasoning is None and schema is None and not (notation and notation.before_text):
        return JSON_GRAMMAR
    text = None if output is None else rules.one_of(["object", "array"]) if schema is None else rules.json(schema)
    if text is not None and notation is not None and notation.before_text:
        text = f"{literal(notation.before_text)}? {text}"
    if blocks is None:
        assert text is not None
        body = text
    elif must_call:
        body = _calls(rules, blocks, parallel=parallel)
    elif text is not None:
        body = rules.one_of([_calls(rules, blocks, parallel=parallel), rules.rule(text)])
    else:
        body = _text_with_calls(rules, blocks, parallel=parallel)
    is_free = blocks is not None and not must_call and text is None
    inside = blocks.leads if blocks is not None and notation is not None and notation.ends_reasoning else {}
    gbnf = rules.grammar(_after_reasoning(rules, reasoning, body if is_free else f"{_SPACE} {body}", inside))
    try:
        check_grammar(gbnf)
    except InvalidRequestError as error:
        what = f"{len(offered)} tools with their schemas make" if offered else "The schema makes"
        raise InvalidRequestError(
            f"{what} a grammar that is too large: {error.message}", hint="Offer fewer, or simplify the schemas."
        ) from error
    return gbnf


def _calls(rules: Rules, blocks: Blocks, *, parallel: bool) -> str:
    lead, rest = next(iter(blocks.leads.items()))
    block = rules.rule(f"{literal(lead)} {rest}" if lead else rest)
    return f"{block} ({blocks.between} {block})*" if parallel and blocks.between is not None else block


def _text_with_calls(rules: Rules, blocks: Blocks, *, parallel: bool) -> str:
    several = parallel and blocks.between is not None
    more = rules.name("more")
    marked = {lead: f"{rest} {more}" for lead, rest in blocks.leads.items() if lead}
    if not marked:
        text = rules.text_until({}, may_end=True, not_first=blocks.not_first)
        rules.define(more, _SPACE)
        return rules.one_of([rules.rule(f"{_SPACE} {_calls(rules, blocks, parallel=parallel)}"), text])
    text = rules.text_until(marked, may_end=True)
    rules.define(more, text if several else _SPACE)
    if "" not in blocks.leads:
        return text
    first = rules.text_until(marked, may_end=True, not_first=blocks.not_first)
    return rules.one_of([rules.rule(f"{_SPACE} {blocks.leads['']}"), first])


def _after_reasoning(rules: Rules, reasoning: ReasoningFormat | None, body: str, inside: Mapping[str, str]) -> str:
    """The answer with reasoning before it, which blocks of calls `inside` of it may end as well."""
    if reasoning is None or reasoning.closed:
        return body
    body = rules.rule(body)
    following = f"{literal(reasoning.then)}? {body}" if reasoning.then else body
    thought = rules.text_until({reasoning.closing: following, **inside})
    if reasoning.open_at_start:
        return thought
    return f"{_SPACE} {literal(reasoning.opening)} {thought} | {body}"
