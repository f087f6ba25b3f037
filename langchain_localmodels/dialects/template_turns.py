"""Turns on their way into a chat template: as the messages that templates expect, and recast where one refuses them.

Owns the message format and the recastings, all of them pure; which of them a template needs is left to `templates.py`.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from langchain_localmodels.engines.base import Image, Role, Text, ToolCall, Turn

Recast: TypeAlias = Callable[[Sequence[Turn]], "tuple[Turn, ...]"]

_BLANK_LINE = "\n\n"


def as_message(turn: Turn, *, arguments_as_text: bool = False, content_as_parts: bool = False) -> dict[str, Any]:
    """One turn in the form that templates expect: OpenAI's, with the arguments of tool calls as an object.

    Args:
        turn: The turn.
        arguments_as_text: Give arguments as JSON text, for templates that put them together with `+`.
        content_as_parts: Give content as a list of typed parts, for templates that know only that.
    """
    message: dict[str, Any] = {"role": turn.role, "content": turn.text}
    if turn.parts and (content_as_parts or any(isinstance(part, Image) for part in turn.parts)):
        message["content"] = [
            {"type": "text", "text": part.text} if isinstance(part, Text) else {"type": "image"} for part in turn.parts
        ]
    if turn.name is not None:
        message["name"] = turn.name
    if turn.reasoning:
        message["reasoning_content"] = turn.reasoning
    if turn.tool_calls:
        message["tool_calls"] = [_call(call, as_text=arguments_as_text) for call in turn.tool_calls]
    if turn.tool_call_id is not None:
        message["tool_call_id"] = turn.tool_call_id
    return message


def fold_system(turns: Sequence[Turn], *, keep_first: bool) -> tuple[Turn, ...]:
    """Put what the system says where a template lets it stand.

    Args:
        turns: The conversation.
        keep_first: Whether the template takes one system turn at the beginning: those that lead become that one.
            All others are put before the text of the user turn that follows them.
    """
    led = list(itertools.takewhile(lambda turn: turn.role == "system", turns)) if keep_first else []
    folded: list[Turn] = [join_turns(led)] if led else []
    waiting: list[Turn] = []
    for turn in turns[len(led) :]:
        if turn.role == "system":
            waiting.append(replace(turn, role="user"))
        elif turn.role == "user" and waiting:
            folded.append(join_turns([*waiting, turn]))
            waiting = []
        else:
            folded.append(turn)
    return (*folded, join_turns(waiting)) if waiting else tuple(folded)


def merge_runs(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """Make one turn of each run of the same role, results of tools apart, for templates where roles must alternate."""

    def key(turn: Turn) -> tuple[Role, object]:
        return turn.role, turn.tool_call_id if turn.role == "tool" else None

    return tuple(join_turns(list(run)) for _, run in itertools.groupby(turns, key))


def one_call_per_turn(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """Make parallel tool calls follow one another, each with its result, for templates that take one at a time."""
    result_of = {turn.tool_call_id: turn for turn in turns if turn.role == "tool"}
    placed: set[str | None] = set()
    result: list[Turn] = []
    for turn in turns:
        if len(turn.tool_calls) > 1:
            rest = turn
            for call in turn.tool_calls:
                result.append(replace(rest, tool_calls=(call,)))
                rest = replace(turn, parts=(), reasoning="")
                if call.id in result_of:
                    result.append(result_of[call.id])
                    placed.add(call.id)
        elif turn.role != "tool" or turn.tool_call_id not in placed:
            result.append(turn)
    return tuple(result)


def short_call_ids(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """Give tool calls ids of nine letters and digits, which Mistral's templates insist on."""

    def short(call_id: str) -> str:
        return hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).hexdigest()[:9]

    return tuple(
        replace(
            turn,
            tool_calls=tuple(replace(call, id=short(call.id)) for call in turn.tool_calls),
            tool_call_id=None if turn.tool_call_id is None else short(turn.tool_call_id),
        )
        for turn in turns
    )


def telling_call_ids(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """Give tool calls ids that name the tool, `functions.name:0` and so on, where theirs do not."""
    ids: dict[str | None, str] = {}
    for call in (call for turn in turns for call in turn.tool_calls):
        ids.setdefault(call.id, call.id if call.name in call.id else f"functions.{call.name}:{len(ids)}")
    return tuple(
        replace(
            turn,
            tool_calls=tuple(replace(call, id=ids[call.id]) for call in turn.tool_calls),
            tool_call_id=ids.get(turn.tool_call_id, turn.tool_call_id),
        )
        for turn in turns
    )


def tools_as_text(turns: Sequence[Turn], *, calls: bool, results: bool) -> tuple[Turn, ...]:
    """Write tool calls or their results as text, for templates that would leave them out.

    Args:
        turns: The conversation.
        calls: Whether to write the calls into the text of the assistant.
        results: Whether to let the user tell the results.
    """
    recast: list[Turn] = []
    for turn in turns:
        if results and turn.role == "tool":
            said = (Text("<tool_response>\n"), *turn.parts, Text("\n</tool_response>"))
            recast.append(Turn("user", said))
        elif calls and turn.tool_calls:
            written = (f"<tool_call>\n{_call_text(call)}\n</tool_call>" for call in turn.tool_calls)
            said = (*turn.parts, Text(("\n" if turn.text else "") + "\n".join(written)))
            recast.append(replace(turn, parts=said, tool_calls=()))
        else:
            recast.append(turn)
    return merge_runs(recast) if results else tuple(recast)


def join_turns(run: Sequence[Turn]) -> Turn:
    """One turn that says what several of the same role say, with blank lines between."""
    if len(run) == 1:
        return run[0]
    parts = [turn.parts for turn in run if turn.parts]
    return replace(
        run[0],
        parts=tuple(itertools.chain.from_iterable(_with_between(parts, (Text(_BLANK_LINE),)))),
        reasoning=_BLANK_LINE.join(turn.reasoning for turn in run if turn.reasoning),
        tool_calls=tuple(call for turn in run for call in turn.tool_calls),
    )


def _with_between(items: Iterable[Any], separator: Any) -> Iterable[Any]:
    for number, item in enumerate(items):
        if number:
            yield separator
        yield item


def _call(call: ToolCall, *, as_text: bool) -> dict[str, Any]:
    arguments: object = call.arguments if as_text else _parsed(call.arguments)
    return {"type": "function", "id": call.id, "function": {"name": call.name, "arguments": arguments}}


def _call_text(call: ToolCall) -> str:
    return json.dumps({"name": call.name, "arguments": _parsed(call.arguments)}, ensure_ascii=False)


def _parsed(arguments: str) -> object:
    """The arguments as an object; as they stand where they are none, as in a call that went wrong."""
    try:
        value = json.loads(arguments) if arguments.strip() else {}
    except (ValueError, RecursionError):
        return arguments
    return value if isinstance(value, dict) else arguments
