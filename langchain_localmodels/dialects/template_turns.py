"""Turns on their way into a chat template: as the messages that templates expect, and recast where one refuses them.

Owns the message format and the recastings, all of them pure; which of them a template needs is left to `templates.py`.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from langchain_localmodels.engines.base import Audio, Image, Part, Role, Text, ToolCall, Turn

Recast: TypeAlias = Callable[[Sequence[Turn]], "tuple[Turn, ...]"]
CallWriter: TypeAlias = Callable[[Sequence[ToolCall]], str]

_BLANK_LINE = "\n\n"
_KINDS: dict[type[Part], str] = {Image: "image", Audio: "audio"}


@dataclass(frozen=True, slots=True)
class MessageForm:
    """What differs among templates in the messages that they expect.

    Attributes:
        arguments_as_text: The arguments of calls are JSON text, for templates that put them together with `+`.
        content_as_parts: Content is a list of typed parts, for templates that know only that.
        null_content: Beside calls there is no content rather than an empty one, by which templates tell calls.
        reasoning_key: Under which key reasoning stands.
    """

    arguments_as_text: bool = False
    content_as_parts: bool = False
    null_content: bool = False
    reasoning_key: str = "reasoning_content"


def as_message(turn: Turn, form: MessageForm) -> dict[str, Any]:
    """One turn in the form that templates expect: OpenAI's, with the arguments of tool calls as an object."""
    message: dict[str, Any] = {"role": turn.role, "content": turn.text}
    if turn.parts and (form.content_as_parts or any(not isinstance(part, Text) for part in turn.parts)):
        message["content"] = [
            {"type": "text", "text": part.text} if isinstance(part, Text) else {"type": _KINDS[type(part)]}
            for part in turn.parts
        ]
    elif turn.tool_calls and form.null_content and not turn.text:
        message["content"] = None
    if turn.name is not None:
        message["name"] = turn.name
    if turn.reasoning:
        message[form.reasoning_key] = turn.reasoning
    if turn.tool_calls:
        message["tool_calls"] = [_call(call, as_text=form.arguments_as_text) for call in turn.tool_calls]
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
    return tuple(
        replace(
            turn,
            tool_calls=tuple(replace(call, id=short_call_id(call.id)) for call in turn.tool_calls),
            tool_call_id=None if turn.tool_call_id is None else short_call_id(turn.tool_call_id),
        )
        for turn in turns
    )


def short_call_id(call_id: str) -> str:
    """An id of nine letters and digits for any other."""
    return hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).hexdigest()[:9]


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


def answered_results(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """Let the assistant say nothing between the result of a tool and the user, for templates that expect an answer."""
    answered: list[Turn] = []
    for turn in turns:
        if turn.role == "user" and answered and answered[-1].role == "tool":
            # Not quite nothing: some of these templates refuse that as well.
            answered.append(Turn("assistant", (Text(" "),)))
        answered.append(turn)
    return tuple(answered)


def text_as_reasoning(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """Let what stands before calls be reasoning where there is some, for templates that take one of the two."""
    return tuple(
        replace(turn, parts=(), reasoning=f"{turn.reasoning}{_BLANK_LINE}{turn.text}")
        if turn.tool_calls and turn.reasoning and turn.text
        else turn
        for turn in turns
    )


def text_before_calls(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """Give what is said beside calls a turn of its own, for templates that would leave it out.

    Reasoning stays with the calls: of other turns many templates leave it out.
    """
    told: list[Turn] = []
    for turn in turns:
        if turn.tool_calls and turn.text:
            told += [Turn(turn.role, turn.parts, name=turn.name), replace(turn, parts=())]
        else:
            told.append(turn)
    return tuple(told)


def tools_as_text(turns: Sequence[Turn], *, calls: CallWriter | None, results: bool) -> tuple[Turn, ...]:
    """Write tool calls or their results as text, for templates that would leave them out.

    Args:
        turns: The conversation.
        calls: Writes the calls into the text of the assistant; without it they stay.
        results: Whether to let the user tell the results.
    """
    recast: list[Turn] = []
    for turn in turns:
        if results and turn.role == "tool":
            said = (Text("<tool_response>\n"), *turn.parts, Text("\n</tool_response>"))
            recast.append(Turn("user", said))
        elif calls is not None and turn.tool_calls:
            said = (*turn.parts, Text(("\n" if turn.text else "") + calls(turn.tool_calls)))
            recast.append(replace(turn, parts=said, tool_calls=()))
        else:
            recast.append(turn)
    return merge_runs(recast) if results else tuple(recast)


def plain_calls(calls: Sequence[ToolCall]) -> str:
    """Calls as most models know them."""
    return "\n".join(f"<tool_call>\n{_call_text(call)}\n</tool_call>" for call in calls)


def described(tool: dict[str, Any]) -> dict[str, Any]:
    """A tool in OpenAI's form whose arguments all have a description, if an empty one."""
    function = tool["function"]
    listed = function["parameters"].get("properties")
    if not isinstance(listed, Mapping):
        return tool
    arguments = {
        key: {"description": "", **schema} if isinstance(schema, Mapping) else schema for key, schema in listed.items()
    }
    return {**tool, "function": {**function, "parameters": {**function["parameters"], "properties": arguments}}}


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
    arguments: object = call.arguments if as_text else parsed_arguments(call.arguments)
    return {"type": "function", "id": call.id, "function": {"name": call.name, "arguments": arguments}}


def _call_text(call: ToolCall) -> str:
    return json.dumps({"name": call.name, "arguments": parsed_arguments(call.arguments)}, ensure_ascii=False)


def parsed_arguments(arguments: str) -> object:
    """The arguments of a call as an object; as they stand where they are none, as in a call that went wrong."""
    try:
        value = json.loads(arguments) if arguments.strip() else {}
    except (ValueError, RecursionError):
        return arguments
    return value if isinstance(value, dict) else arguments
