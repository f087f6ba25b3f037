"""What is written into the system turn for the model to know: tools that its template has no place for, and schemas."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from langchain_localmodels.dialects.template_turns import CallWriter, plain_calls
from langchain_localmodels.engines.base import Text, Tool, ToolCall, Turn

_TOOLS = """\
You may call these tools:
<tools>
{tools}
</tools>

To call a tool, answer with its name and arguments{how}, in this form and with nothing else:
{example}"""
_EXAMPLE = ToolCall("call00000", "name_of_the_tool", '{"name_of_an_argument": "its value"}')


def explain_tools(
    turns: Sequence[Turn], tools: Sequence[Tool], write_calls: CallWriter = plain_calls
) -> tuple[Turn, ...]:
    """Tell the model of the tools, for chat templates without a place for them.

    Args:
        turns: The conversation.
        tools: What the model may call.
        write_calls: How it writes calls; without anything, in the notation that most models know.
    """
    lines = "\n".join(json.dumps(tool.as_openai(), ensure_ascii=False) for tool in tools)
    example = write_calls([_EXAMPLE])
    how = " as JSON" if _EXAMPLE.arguments in example else ""
    return add_to_system(turns, _TOOLS.format(tools=lines, how=how, example=example))


def explain_schema(turns: Sequence[Turn], schema: Mapping[str, Any]) -> tuple[Turn, ...]:
    """Tell the model of the JSON Schema that its answer is held to, without which it would not know what is wanted.

    Args:
        turns: The conversation.
        schema: JSON Schema of the answer.
    """
    is_object = schema.get("type") == "object"
    kind = "a JSON object that matches" if is_object else "JSON that matches"
    return add_to_system(turns, f"Answer with {kind} this schema:\n{json.dumps(schema, ensure_ascii=False)}")


def add_to_system(turns: Sequence[Turn], text: str) -> tuple[Turn, ...]:
    """Add to what the system says first, after a blank line; where it says nothing, it says this."""
    if turns and turns[0].role == "system":
        said = (*turns[0].parts, Text(f"\n\n{text}" if turns[0].parts else text))
        return (replace(turns[0], parts=said), *turns[1:])
    return (Turn("system", (Text(text),)), *turns)
