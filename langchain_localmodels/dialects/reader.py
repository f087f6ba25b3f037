"""`OutputReader`: what a model writes, piece by piece, turned into deltas.

Owns the order of things: stop strings first, then reasoning, then tool calls, and what is text at all. It works for
engines that give the model's plain text, with special tokens written out; servers that parse by themselves do not need
it. The marks themselves are in `reasoning.py` and `notations/`, the search for them in `stopping.py`.

Stop strings count in text and in reasoning, not inside of a tool call, whose JSON would otherwise be cut at the first
line break or brace. White space around tool calls, and line breaks around reasoning, are not text.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from uuid import uuid4

from langchain_localmodels.dialects.notations.base import Mark, Notation, ParsedCall, ToolCallSyntaxError
from langchain_localmodels.dialects.notations.bodies import Body
from langchain_localmodels.dialects.reasoning import ReasoningFormat
from langchain_localmodels.dialects.stopping import Match, first_match, held_back
from langchain_localmodels.engines.base import (
    Delta,
    InvalidToolCallDelta,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    Tool,
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
        notation: How this model writes tool calls; `None` where it does not, or nobody knows.
        tools: What it was offered to call. Without any, calls are text like any other.

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
        notation: Notation | None = None,
        tools: Sequence[Tool] = (),
    ) -> None:
        self.stopped = False
        self.tool_calls = 0
        self._stops = tuple(text for text in stop if text)
        self._reasoning = reasoning
        self._notation = notation
        self._tools = {tool.name: tool for tool in tools}
        self._marks: dict[str, Mark] = {}
        self._silent: dict[str, Mark] = {}
        if notation is not None:
            self._marks = {mark.text: mark for mark in notation.marks(self._tools)} if tools else {}
            self._silent = {mark.text: mark for mark in notation.silent_marks(self._tools)}
        self._valid_calls = 0
        self._state = _State.TEXT
        self._dropping = ""
        if reasoning is not None:
            self._state = _State.REASONING if reasoning.open_at_start else _State.START
            self._dropping = _LINE_BREAKS if reasoning.open_at_start else ""
        self._at_start = self._at_line_start = True
        self._at_call_end = False
        self._pending = ""
        self._exempt = 0  # so much of what is pending was taken for a call and was none: marks mean nothing there
        self._gap = ""  # white space before the mark
        self._mark: Mark | None = None
        self._body: Body | None = None
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
            self._read()
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
        marks = self._marks_here()
        match = self._first_mark(marks)
        if match is not None:
            self._leave_text(match)
            return True
        certain = self._pending[: len(self._pending) - held_back(self._pending, (*self._stops, *marks))]
        if marks:
            # It would not be text if a mark came next.
            certain = certain.rstrip(_SPACE)
        self._say(certain)
        self._pending = self._pending[len(certain) :]
        self._exempt = max(0, self._exempt - len(certain))
        return False

    def _marks_here(self) -> tuple[str, ...]:
        """What ends the present text or reasoning, other than a stop string."""
        if self._state is _State.REASONING and self._reasoning:
            calls = (*self._marks, *self._silent) if self._notation and self._notation.ends_reasoning else ()
            return (self._reasoning.closing, *calls)
        again = (self._reasoning.opening,) if self._reasoning and self._reasoning.anywhere else ()
        return (*self._marks, *self._silent, *again)

    def _first_mark(self, marks: Iterable[str]) -> Match | None:
        """The stop string or mark that is complete first, of those that stand in their place."""
        stop = first_match(self._pending, self._stops)
        found = [match for mark in marks if (match := self._placed(mark)) is not None]
        return min([*found, *([stop] if stop else [])], key=lambda match: (match.end, match.start), default=None)

    def _placed(self, text: str) -> Match | None:
        mark = self._marks.get(text) or self._silent.get(text)
        place = mark.place if mark is not None and self._state is _State.TEXT else "anywhere"
        start = self._pending.find(text, self._exempt)
        while start >= 0:
            before = self._pending[:start]
            ahead = before.rstrip(" \t")
            if (
                place == "anywhere"
                or (self._at_start and not before.strip())
                or (place == "line" and (ahead.endswith("\n") or (not ahead and self._at_line_start)))
            ):
                return Match(start, start + len(text), text)
            start = self._pending.find(text, start + 1)
        return None

    def _leave_text(self, match: Match) -> None:
        before, rest = self._pending[: match.start], self._pending[match.end :]
        if match.marker in self._stops:
            self._say(before)
            self._pending = ""
            self.stopped = True
            return
        said = before.rstrip(_SPACE)
        self._say(said)
        if self._state is _State.REASONING:
            assert self._reasoning is not None
            closing = self._reasoning.closing
            if match.marker != closing:
                # It is read again, as the call that it begins. The mark that was forgotten may still come.
                self._silent.setdefault(closing, Mark(closing))
                rest = match.marker + rest
            self._enter(_State.TEXT, rest, dropping=_LINE_BREAKS)
            self._at_start = True
            self._drop_around_answer()
        elif match.marker in self._marks:
            self._begin_call(self._marks[match.marker], before[len(said) :], rest)
        elif match.marker in self._silent:
            self._enter(_State.TEXT, rest, dropping=_SPACE if self._at_call_end else "")
            self._at_start = True
        else:
            self._enter(_State.REASONING, rest, dropping=_LINE_BREAKS)

    def _drop_around_answer(self) -> None:
        """Let what may stand around an answer that follows reasoning be no text."""
        assert self._reasoning is not None
        then, finish = self._reasoning.then, self._reasoning.finish
        marks = (Mark(then, "start"), Mark(finish))
        self._silent.update({mark.text: mark for mark in marks if mark.text and mark.text not in self._silent})

    # --- calls ------------------------------------------------------------------------------------------------------

    def _begin_call(self, mark: Mark, gap: str, rest: str) -> None:
        assert self._notation is not None
        self._gap = gap
        self._mark, self._body = mark, self._notation.body(mark)
        self._enter(_State.CALL, mark.text + rest if mark.kept else rest)

    def _read_call(self) -> bool:
        assert self._body is not None
        assert self._mark is not None
        rest = self._body.feed(self._pending)
        self._pending = ""
        if self._mark.soft and self._body.hopeless:
            self._take_back(rest or "")
        elif rest is not None:
            self._end_call(self._body.text, rest, then=rest)
        return self._state is not _State.CALL

    def _finish_call(self) -> None:
        """Read a call that was never closed, or that has a mark in what looked like a string."""
        assert self._body is not None
        endings = self._body.endings()
        for body, rest in endings:
            if not isinstance(self._parsed(body), ToolCallSyntaxError):
                self._end_call(body, rest)
                return
        self._end_call(*endings[-1])

    def _end_call(self, body: str, rest: str, *, then: str = "") -> None:
        """Give the calls of a body and go on with the rest; where it is none, with what comes `then`."""
        mark = self._mark
        assert mark is not None
        found = self._parsed(body)
        if mark.soft and not self._is_meant(found):
            self._take_back(then)
            return
        if isinstance(found, ToolCallSyntaxError):
            self.tool_calls += 1
            self._out.append(InvalidToolCallDelta(raw=body.strip(), error=str(found), name=found.name))
        else:
            for call in found:
                call_id = call.id or f"call_{uuid4().hex[:24]}"
                self._out.append(ToolCallDelta(self._valid_calls, call_id, call.name, call.arguments))
                self._valid_calls += 1
                self.tool_calls += 1
        self._enter(_State.TEXT, rest, dropping=_SPACE)
        self._at_start = self._at_call_end = True

    def _take_back(self, rest: str) -> None:
        """Go on as if the mark had not been one."""
        assert self._mark is not None
        assert self._body is not None
        said = self._gap + ("" if self._mark.kept else self._mark.text) + self._body.raw
        self._enter(_State.TEXT, said + rest)
        self._exempt = len(said)

    def _parsed(self, body: str) -> list[ParsedCall] | ToolCallSyntaxError:
        assert self._notation is not None
        assert self._mark is not None
        try:
            return self._notation.parse(body, self._mark, self._tools)
        except ToolCallSyntaxError as error:
            return error

    def _is_meant(self, found: list[ParsedCall] | ToolCallSyntaxError) -> bool:
        """Whether what may be text by chance is a call, if a bad one, of a tool that was offered."""
        names = [found.name] if isinstance(found, ToolCallSyntaxError) else [call.name for call in found]
        return bool(names) and all(name in self._tools for name in names)

    # --- deltas -----------------------------------------------------------------------------------------------------

    def _enter(self, state: _State, pending: str, *, dropping: str = "") -> None:
        self._state = state
        self._pending = pending
        self._exempt = 0
        self._dropping = dropping

    def _say(self, text: str) -> None:
        if not text:
            return
        if self._state is _State.REASONING:
            self._out.append(ReasoningDelta(text))
            return
        self._at_start = self._at_start and text.isspace()
        self._at_call_end = False
        self._at_line_start = text.rstrip(" \t").endswith("\n") or (self._at_line_start and not text.strip(" \t"))
        self._out.append(TextDelta(text, tuple(self._logprobs)))
        self._logprobs = []

    def _taken(self) -> list[Delta]:
        taken, self._out = self._out, []
        return taken
