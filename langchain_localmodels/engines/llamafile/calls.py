"""Tool calls as servers stream them: in pieces, or each as a whole, with an index or without."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from langchain_localmodels.engines.base import Delta, InvalidToolCallDelta, ToolCallDelta


@dataclass(slots=True)
class _Call:
    index: int
    id: str | None = None
    name: str = ""
    held: str = ""
    told: bool = False
    has_arguments: bool = False


class Calls:
    """The calls of one answer.

    Args:
        most: How many of them are given; what comes after is dropped. Not every server keeps to its
            `parallel_tool_calls`. `None` for all.

    Attributes:
        made: Whether there is any.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self.made = False
        self._by_key: dict[object, _Call] = {}
        self._latest: _Call | None = None

    def add(self, piece: Any) -> Iterator[Delta]:
        """Take a piece of a call, and give what can be told of it."""
        self.made = True
        if not isinstance(piece, dict):
            yield InvalidToolCallDelta(raw=_json(piece), error="a tool call that is no object")
            return
        call = self._call_of(piece)
        if self._most is not None and call.index >= self._most:
            return
        function = piece.get("function")
        function = function if isinstance(function, dict) else {}
        name, arguments = function.get("name"), function.get("arguments")
        if isinstance(arguments, dict):  # Some servers forget that OpenAI has text here.
            arguments = _json(arguments)
        if isinstance(piece.get("id"), str) and piece["id"] and call.id is None:
            call.id = piece["id"]
        if isinstance(name, str) and not call.told:
            call.name += name
        if isinstance(arguments, str) and arguments:
            call.has_arguments = True
            call.held += arguments
        # Until the name is there the call cannot be told of.
        if call.name and not call.told:
            call.told = True
            held, call.held = call.held, ""
            yield ToolCallDelta(call.index, call.id or f"call_{uuid.uuid4().hex[:24]}", call.name, held)
        elif call.told and call.held:
            held, call.held = call.held, ""
            yield ToolCallDelta(call.index, arguments=held)

    def finish(self) -> Iterator[Delta]:
        """Give what is left when the answer ends."""
        for call in list(self._by_key.values())[: self._most]:
            if not call.told:
                yield InvalidToolCallDelta(raw=call.held, error="a tool call without a name")
            elif not call.has_arguments:
                yield ToolCallDelta(call.index, arguments="{}")

    def _call_of(self, piece: dict[str, Any]) -> _Call:
        key: object = piece.get("index")
        given = piece.get("id")
        if not isinstance(key, int):
            if not given and self._latest is not None and not _has_name(piece):
                return self._latest
            key = ("id", given) if given else ("place", len(self._by_key))
        elif (known := self._by_key.get(key)) is not None and given and known.id not in (None, given):
            # Whole calls that all have the index 0.
            key = ("id", given)
        call = self._by_key.get(key)
        if call is None:
            call = self._by_key[key] = _Call(len(self._by_key))
        self._latest = call
        return call


def _has_name(piece: dict[str, Any]) -> bool:
    function = piece.get("function")
    return isinstance(function, dict) and bool(function.get("name"))


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
