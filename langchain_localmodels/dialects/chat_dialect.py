"""`ChatDialect`: how one model converses. Its prompts, the reader of its answers, and grammars for them.

For engines that take a prompt and give plain text. Everything goes by the chat template: whether tools have a place in
it, in which notation calls are written, and how reasoning is marked.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from langchain_localmodels.dialects.answer_grammar import AnswerForm, answer_grammar
from langchain_localmodels.dialects.instructions import explain_tools
from langchain_localmodels.dialects.notations import GENERIC, notation_named, notation_of
from langchain_localmodels.dialects.notations.base import Notation
from langchain_localmodels.dialects.reader import OutputReader
from langchain_localmodels.dialects.reasoning import ReasoningFormat, reasoning_format
from langchain_localmodels.dialects.templates import ChatTemplate
from langchain_localmodels.engines.base import Text, Tool, Turn
from langchain_localmodels.errors import ChatTemplateError, UnsupportedContentError

_TAIL = 200  # characters: more than any last line of a template in which reasoning may be opened


class ChatDialect:
    """How the model with this chat template reads and writes.

    Args:
        template: The chat template.
        notation: Name of the notation of tool calls, in place of the one that the template has.

    Raises:
        InvalidRequestError: There is no notation of that name.
    """

    def __init__(self, template: ChatTemplate, *, notation: str | None = None) -> None:
        self._template = template
        self._chosen = None if notation is None else notation_named(notation)

    @cached_property
    def notation(self) -> Notation:
        """How tool calls are written. Where tools have to be explained in the prompt, they are explained in this."""
        return self._chosen or notation_of(self._template.source) or GENERIC

    @property
    def has_place_for_tools(self) -> bool:
        """Whether the template itself tells the model of tools."""
        return self._template.supports_tools

    @property
    def is_known(self) -> bool:
        """Whether it is certain how calls are written: told by the template, by the user, or by the prompt."""
        return (
            self._chosen is not None or not self.has_place_for_tools or notation_of(self._template.source) is not None
        )

    def prompt(self, turns: Sequence[Turn], tools: Sequence[Tool] = ()) -> str:
        """Write the conversation as the model reads it, up to where it answers.

        Args:
            turns: The conversation.
            tools: What the model may call.

        Raises:
            ChatTemplateError: See `ChatTemplate.render`.
            UnsupportedContentError: There are images or audio, of which a text could only say that they are there.
        """
        if any(not isinstance(part, Text) for turn in turns for part in turn.parts):
            raise UnsupportedContentError(
                "This engine gives models text only, no images and no audio.", hint="Leave them out."
            )
        write_calls = self.notation.written
        if not tools or self.has_place_for_tools:
            try:
                return self._template.render(turns, tools=tools, write_calls=write_calls)
            except ChatTemplateError:
                if not tools or self._template.takes(tools):
                    raise
        return self._template.render(explain_tools(turns, tools, write_calls), write_calls=write_calls)

    def reader(self, prompt: str, *, tools: Sequence[Tool] = (), stop: Sequence[str] = ()) -> OutputReader:
        """A reader for the answer to a prompt.

        Args:
            prompt: The prompt.
            tools: What was offered in it.
            stop: Strings that end the answer.
        """
        return OutputReader(stop=stop, reasoning=self._reasoning(prompt), notation=self._notation(tools), tools=tools)

    def grammar(self, prompt: str, form: AnswerForm) -> str | None:
        """A grammar that holds the answer to a form, in this model's notation; `None` where it may be any text.

        Args:
            prompt: The prompt.
            form: What the answer may look like.

        Raises:
            InvalidRequestError: See `answer_grammar`.
        """
        return answer_grammar(form, self._notation(form.tools), self._reasoning(prompt))

    def _notation(self, tools: Sequence[Tool]) -> Notation | None:
        # Without tools only what the model's own notation has besides calls matters, such as names of channels.
        return self.notation if tools else (self._chosen or notation_of(self._template.source))

    def _reasoning(self, prompt: str) -> ReasoningFormat | None:
        return reasoning_format(self._template.source, prompt[-_TAIL:])
