"""What a notation of tool calls is: where calls begin and end in an answer, what they say, how a grammar writes them.

Owns the abstract class and its values. The notations themselves have a module per family beside this one; the table of
them is in `__init__.py`, and finding marks in a stream is left to `reader.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from langchain_localmodels.dialects.gbnf_rules import Rules
from langchain_localmodels.dialects.notations.bodies import Body
from langchain_localmodels.engines.base import Tool, ToolCall


@dataclass(frozen=True, slots=True)
class ParsedCall:
    """A call as it was written.

    Attributes:
        name: The tool's name.
        arguments: The arguments as JSON text of an object.
        id: The id that the model gave the call, where its notation has one.
    """

    name: str
    arguments: str
    id: str | None = None


class ToolCallSyntaxError(ValueError):
    """What stands between the marks is not a call.

    Args:
        message: What is wrong with it.
        name: The tool's name, if that much could be read.
    """

    def __init__(self, message: str, name: str | None = None) -> None:
        super().__init__(message)
        self.name = name


@dataclass(frozen=True, slots=True)
class Mark:
    """A string that begins something in an answer.

    Attributes:
        text: The string.
        place: Where it counts: `anywhere`; at the beginning of a `line`; or at the `start` of the answer, which is also
            the place after reasoning, a call or a silent mark. White space before it never matters.
        soft: Whether ordinary text may look like this. What then turns out not to be a call of an offered tool is
            given as text.
        kept: Whether the mark is the first part of the call's body, and not only a sign before it.
    """

    text: str
    place: Literal["anywhere", "line", "start"] = "anywhere"
    soft: bool = False
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Blocks:
    """How a grammar writes calls, in items of GBNF. A block is a mark, one or more calls, and what closes them.

    Attributes:
        leads: What a block begins with, as plain text, to the item for all that follows in the block, what closes it
            included. A lead that is empty stands for a block that has no mark, only at the start of an answer.
            The first one is what a forced call is written in; the others are only read.
        between: Item between two blocks, where calls may be parallel; `None` where an answer has one block only.
        not_first: With an empty lead: characters that text may not begin with, for it would be taken for a call.
    """

    leads: Mapping[str, str]
    between: str | None = None
    not_first: str = ""


class Notation(ABC):
    """One way of writing tool calls. Notations hold no state; the same object serves all answers.

    Attributes:
        name: By which users choose it.
        parallel: Whether models that write it were trained to write several calls in one answer.
        ends_reasoning: Whether models that write it are known to call in the middle of their reasoning, and stop there.
        before_text: What stands before the text of an answer that has a channel of its own for it.
    """

    name: ClassVar[str]
    parallel: ClassVar[bool] = True
    ends_reasoning: ClassVar[bool] = False
    before_text: ClassVar[str] = ""

    @abstractmethod
    def recognises(self, template_source: str) -> bool:
        """Whether this is the notation of models with that chat template."""

    @abstractmethod
    def marks(self, tools: Mapping[str, Tool]) -> Sequence[Mark]:
        """What begins calls, given the tools that were offered, by name. The one that is complete first counts."""

    def silent_marks(self, tools: Mapping[str, Tool]) -> Sequence[Mark]:
        """What is part of the notation but says nothing, such as the name of a channel; it is dropped from the text."""
        return ()

    @abstractmethod
    def body(self, mark: Mark) -> Body:
        """A collector for what follows this mark, up to where the calls end."""

    @abstractmethod
    def parse(self, body: str, mark: Mark, tools: Mapping[str, Tool]) -> list[ParsedCall]:
        """Read the calls of a block.

        Args:
            body: What stands between the mark and what closes the block. It may have been cut off anywhere.
            mark: The mark.
            tools: The tools that were offered, by name, for notations whose values are told apart by the schema.

        Raises:
            ToolCallSyntaxError: There is none, or something else.
        """

    @abstractmethod
    def written(self, calls: Sequence[ToolCall]) -> str:
        """Write calls as the model does, marks and all, for examples and for templates that would leave calls out.

        Args:
            calls: The calls, at least one. Arguments that are no JSON object are written as they are.
        """

    @abstractmethod
    def blocks(self, rules: Rules, tools: Sequence[Tool], *, parallel: bool) -> Blocks:
        """Say how a grammar writes calls of these tools, with arguments that follow their schemas.

        Args:
            rules: Takes in what rules the items need.
            tools: What may be called, at least one.
            parallel: Whether a block may hold several calls, where it can.
        """
