"""`OutputReader`: what a model writes, piece by piece, turned into deltas.

Owns the order of things: stop strings first, then reasoning, then tool calls, and what is text at all. It works for
engines that give the model's plain text, with special tokens written out; servers that parse by themselves do not need
it. The marks themselves are in `reasoning.py` and `tool_calls.py`, the search for them in `stopping.py`.

Stop strings count in text and in reasoning, not inside of a tool call, whose JSON would otherwise be cut at the first
line break or brace. White space around tool calls, and line breaks around reasoning, are not text.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from uuid import uuid4

from langchain_localmodels.dialects.reasoning import ReasoningFormat, reasoning_format
from langchain_localmodels.dialects.stopping import Match, first_match, held_back
from langchain_localmodels.dialects.tool_calls import (
    TOOL_CALL_FORMATS,
    ToolCallFormat,
    ToolCallSyntaxError,
    tool_call_format,
)
from langchain_localmodels.engines.base import (
    Delta,
    InvalidToolCallDelta,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
)

_LINE_BREAKS = "\r\n"
_SPACE = " \t\r\n"


class _State(enum.Enum):
    START = enum.auto()
    TEXT = enum.auto()
    REASONING = enum.auto()
    CALL = enum.auto()


class OutputReader:
    """Reads one answer. Each piece is fed once, in order; what comes out does not depend on where pieces end.

    Args:
        stop: Strings that end the answer and are not part of it.
        reasoning: How this model marks its reasoning; `None` where it has none.
        tools: How this model writes tool calls; `None` where no tools were offered.

    Attributes:
        stopped: Whether a stop string was met. All later input is ignored.
        tool_calls: How many tool calls were read so far, invalid ones included.

    Example:
        ```python
        reader = OutputReader(stop=["END"])
        reader.feed("Hello EN")  # [TextDelta("Hello ")]
        reader.feed("D and more")  # []
        reader.stopped  # True
        ```
    """

    def __init__(
        self,
        *,
        stop: Sequence[str] = (),
        reasoning: ReasoningFormat | None = None,
        tools: ToolCallFormat | None = None,
    ) -> None:
        self.stopped = False
        self.tool_calls = 0
        self._stops = tuple(text for text in stop if text)
        self._reasoning = reasoning
        self._tools = tools
        self._valid_calls = 0
        self._state = _State.TEXT
        self._dropping = ""
        if reasoning is not None:
            self._state = _State.REASONING if reasoning.open_at_start else _State.START
            self._dropping = _LINE_BREAKS if reasoning.open_at_start else ""
        self._pending = ""
        self._body: list[str] = []
        self._logprobs: list[TokenLogprob] = []
        self._out: list[Delta] = []

    def feed(self, text: str, logprobs: tuple[TokenLogprob, ...] = ()) -> list[Delta]:
        """Take the next piece and give what is certain by now.

        Args:
            text: The piece.
            logprobs: Log probabilities of its tokens; they ride on the next text that is given.
        """
        if self.stopped:
            return []
        self._logprobs.extend(logprobs)
        self._pending += text
        self._read()
        return self._taken()

    def finish(self) -> list[Delta]:
        """Give what was held back: the answer is over."""
        while self._state is _State.CALL:
            self._finish_call()
        self._say(self._pending)
        self._pending = ""
        if self._logprobs:
            self._out.append(TextDelta("", tuple(self._logprobs)))
            self._logprobs = []
        return self._taken()

    def _read(self) -> None:
        steps = {
            _State.START: self._read_start,
            _State.TEXT: self._read_text,
            _State.REASONING: self._read_text,
            _State.CALL: self._read_call,
        }
        while self._pending and not self.stopped and steps[self._state]():
            pass

    def _read_start(self) -> bool:
        """Before the first visible character, where reasoning may begin."""
        opening = self._reasoning.opening if self._reasoning else ""
        visible = self._pending.lstrip()
        end = len(self._pending) - len(visible) + len(opening)
        stop = first_match(self._pending, self._stops)
        if stop is None and opening.startswith(visible) and visible != opening:
            return False
        if visible.startswith(opening) and (stop is None or stop.end > end):
            self._enter(_State.REASONING, self._pending[end:], dropping=_LINE_BREAKS)
        else:
            self._state = _State.TEXT
        return True

    def _read_text(self) -> bool:
        if self._dropping:
            self._pending = self._pending.lstrip(self._dropping)
            if not self._pending:
                return False
            self._dropping = ""
        mark = self._mark()
        markers = (*self._stops, mark) if mark else self._stops
        match = first_match(self._pending, markers)
        if match is not None:
            self._leave_text(match)
            return True
        certain = self._pending[: len(self._pending) - held_back(self._pending, markers)]
        if mark:
            # It would not be text if the mark came next.
            certain = certain.rstrip(_SPACE)
        self._say(certain)
        self._pending = self._pending[len(certain) :]
        return False

    def _mark(self) -> str | None:
        """What ends the present text or reasoning, other than a stop string."""
        if self._state is _State.REASONING and self._reasoning:
            return self._reasoning.closing
        return self._tools.opening if self._tools else None

    def _leave_text(self, match: Match) -> None:
        before, rest = self._pending[: match.start], self._pending[match.end :]
        if match.marker in self._stops:
            self._say(before)
            self._pending = ""
            self.stopped = True
            return
        self._say(before.rstrip(_SPACE))
        if self._state is _State.REASONING:
            self._enter(_State.TEXT, rest, dropping=_LINE_BREAKS)
        else:
            self._enter(_State.CALL, rest)

    def _read_call(self) -> bool:
        markers = self._call_marks()
        match = first_match(self._pending, markers)
        if match is None:
            cut = len(self._pending) - held_back(self._pending, markers)
            self._body.append(self._pending[:cut])
            self._pending = self._pending[cut:]
            return False
        body = "".join((*self._body, self._pending[: match.start]))
        rest = self._pending[match.end :]
        if self._tools and self._tools.may_end(body):
            self._calls(body)
            self._after_call(match.marker, rest)
        else:
            self._body = [body, match.marker]
            self._pending = rest
        return True

    def _call_marks(self) -> tuple[str, ...]:
        """What ends a call: the mark after it, or one before the next where a model forgets to close."""
        marks = (self._tools.closing, self._tools.opening) if self._tools else ()
        return tuple(mark for mark in marks if mark)

    def _after_call(self, mark: str, rest: str) -> None:
        again = self._tools is not None and mark == self._tools.opening
        if again:
            self._enter(_State.CALL, rest)
        else:
            self._enter(_State.TEXT, rest, dropping=_SPACE)

    def _finish_call(self) -> None:
        """Read a call that was never closed, or that has a mark in what looked like a string."""
        body = "".join((*self._body, self._pending))
        marks = self._call_marks()
        unmarked = body[: len(body) - held_back(body, marks)]
        if self._readable(unmarked):
            body = unmarked
        match = first_match(body, marks)
        if match is None or self._readable(body):
            self._calls(body)
            self._enter(_State.TEXT, "", dropping=_SPACE)
            return
        self._calls(body[: match.start])
        self._after_call(match.marker, body[match.end :])
        self._read()

    def _readable(self, body: str) -> bool:
        try:
            return bool(self._tools and self._tools.parse(body))
        except ToolCallSyntaxError:
            return False

    def _calls(self, body: str) -> None:
        if self._tools is None:
            return
        try:
            calls = self._tools.parse(body)
        except ToolCallSyntaxError as error:
            self.tool_calls += 1
            self._out.append(InvalidToolCallDelta(raw=body.strip(), error=str(error), name=error.name))
            return
        for call in calls:
            self._out.append(ToolCallDelta(self._valid_calls, f"call_{uuid4().hex[:24]}", call.name, call.arguments))
            self._valid_calls += 1
            self.tool_calls += 1

    def _enter(self, state: _State, pending: str, *, dropping: str = "") -> None:
        self._state = state
        self._pending = pending
        self._dropping = dropping
        self._body = []

    def _say(self, text: str) -> None:
        if not text:
            return
        if self._state is _State.REASONING:
            self._out.append(ReasoningDelta(text))
            return
        self._out.append(TextDelta(text, tuple(self._logprobs)))
        self._logprobs = []

    def _taken(self) -> list[Delta]:
        taken, self._out = self._out, []
        return taken


def reader_for(
    template_source: str | None, *, tools_offered: bool, stop: Sequence[str] = (), prompt_tail: str = ""
) -> OutputReader:
    """A reader for what a model writes, by the marks in its chat template.

    Args:
        template_source: The chat template; `None` where there is none.
        tools_offered: Whether this request lets the model call tools; if not, calls are text like any other. A
            template without known marks is taken to want the commonest notation.
        stop: Strings that end the answer.
        prompt_tail: The end of the prompt as it was rendered, at least its last line or two.
    """
    return OutputReader(
        stop=stop,
        reasoning=reasoning_format(template_source, prompt_tail),
        tools=tool_call_format(template_source) or TOOL_CALL_FORMATS[0] if tools_offered else None,
    )
