"""Chat templates: from turns and tools to the one text that a model was trained to read.

Owns what a template can and cannot do, found out by trying, and the errors of templates. The sandbox is in
`template_sandbox.py`, the form of messages in `template_turns.py`; where a template comes from is left to the engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from langchain_localmodels.dialects.template_turns import (
    Recast,
    as_message,
    fold_system,
    merge_runs,
    one_call_per_turn,
    short_call_ids,
    telling_call_ids,
    tools_as_text,
)
from langchain_localmodels.engines.base import Image, Text, Tool, ToolCall, Turn
from langchain_localmodels.errors import ChatTemplateError, UnsupportedContentError

_MAX_SOURCE = 1 << 20
_OTHER_TEMPLATE = "Pass another chat template, such as the one of the model's page on Hugging Face."
_PROBE = "qzprobe"
_PROBE_TOOL = Tool(_PROBE, "", {"type": "object", "properties": {}})
_USER = Turn("user", (Text("hello"),))
# Tried in turn when a template refuses a conversation in its own words.
_RECASTS: tuple[tuple[Recast, ...], ...] = (
    (),
    (merge_runs,),
    (short_call_ids,),
    (one_call_per_turn,),
    (merge_runs, one_call_per_turn, short_call_ids),
)


class ChatTemplate:
    r"""A chat template, compiled.

    Args:
        source: The template, in Jinja.
        bos_token: Text of the token that begins a sequence; empty where the engine puts it there itself.
        eos_token: Text of the token that ends an answer.
        origin: Where the template comes from, for error messages, such as a file's path.

    Raises:
        ChatTemplateError: It is not valid Jinja.

    Example:
        ```python
        template = ChatTemplate("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}")
        print(template.render([Turn("user", (Text("Hi!"),))]))
        ```
    """

    def __init__(self, source: str, *, bos_token: str = "", eos_token: str = "", origin: str = "") -> None:
        self.source = source
        self._tokens = {"bos_token": bos_token, "eos_token": eos_token}
        self._whose = f"The chat template of {origin}" if origin else "The chat template"
        try:
            from langchain_localmodels.dialects import template_sandbox
        except ImportError as error:
            raise ChatTemplateError("Chat templates need Jinja.", hint="pip install jinja2") from error
        self._sandbox = template_sandbox
        if len(source) > _MAX_SOURCE:
            raise ChatTemplateError(f"{self._whose} is {len(source)} characters long.", hint=_OTHER_TEMPLATE)
        try:
            self._template = template_sandbox.compile_template(source)
        except Exception as error:
            line = getattr(error, "lineno", None)
            where = "" if line is None else f" in line {line}"
            raise ChatTemplateError(
                f"{self._whose} cannot be parsed{where}: {_words(error)}.", hint=_OTHER_TEMPLATE
            ) from error

    def render(
        self,
        turns: Sequence[Turn],
        *,
        tools: Sequence[Tool] = (),
        add_generation_prompt: bool = True,
        **variables: Any,
    ) -> str:
        """Write a conversation as the model reads it.

        A conversation that the template refuses is recast as little as needed: what the system says goes to the
        user's turn, runs of one role become one turn, tool calls get other ids or follow one another.

        Args:
            turns: The conversation.
            tools: What the model may call.
            add_generation_prompt: Whether the text ends where the assistant begins to answer.
            **variables: Further variables that the template knows, such as `enable_thinking`.

        Raises:
            ChatTemplateError: The template refuses the conversation, fails, or uses more than it may.
            UnsupportedContentError: There are images, and the template has no place for them.
        """
        given = tuple(turns)
        has_images = any(isinstance(part, Image) for turn in given for part in turn.parts)
        if has_images and "image" not in self.source:
            raise UnsupportedContentError(
                f"{self._whose} has no place for images.", hint="Use a model that reads images, or leave them out."
            )
        settings = {"tools": tools, "add_generation_prompt": add_generation_prompt, **variables}
        adapted = self._adapted(given)
        refusal: ChatTemplateError | None = None
        tried: list[tuple[Turn, ...]] = []
        for recasts in _RECASTS:
            attempt = adapted
            for recast in recasts:
                attempt = recast(attempt)
            if attempt in tried:
                continue
            tried.append(attempt)
            try:
                return self._render(attempt, **settings)
            except ChatTemplateError as error:
                if not isinstance(error.__cause__, self._sandbox.TemplateRefusal):
                    raise
                refusal = error
        if refusal is None:  # The first attempt is always made.
            raise AssertionError
        raise refusal

    @cached_property
    def supports_tools(self) -> bool:
        """Whether the template tells the model of the tools it may call."""
        return _PROBE in self._try(_USER, tools=(_PROBE_TOOL,))

    @cached_property
    def supports_system(self) -> bool:
        """Whether the template takes a system turn at the beginning."""
        return _PROBE in self._try(Turn("system", (Text(_PROBE),)), _USER)

    @cached_property
    def _takes_later_system(self) -> bool:
        first, later = Turn("system", (Text("hello"),)), Turn("system", (Text(_PROBE),))
        return _PROBE in self._try(first, _USER, Turn("assistant", (Text("hello"),)), later, _USER)

    @cached_property
    def _wants_parts(self) -> bool:
        probe = Turn("user", (Text(_PROBE),))
        return _PROBE not in self._try(probe, as_parts=False) and _PROBE in self._try(probe, as_parts=True)

    @cached_property
    def _wants_text_arguments(self) -> bool:
        as_object = self._try_call(as_text=False)
        # Without quotes or with single ones it is Python's notation, which no model was trained on.
        return f"'{_PROBE}'" in as_object or (not as_object and _PROBE in self._try_call(as_text=True))

    @cached_property
    def _leaves_out(self) -> dict[str, bool]:
        """Whether tool `calls` and their `results` have no place in what the template writes."""
        call = ToolCall("callprobe", f"{_PROBE}1", "{}")
        result = Turn("tool", (Text(f"{_PROBE}2"),), name=call.name, tool_call_id=call.id)
        output = self._try(_USER, Turn("assistant", tool_calls=(call,)), result)
        calls = call.name not in output and not self._names_calls_by_id
        # A template that writes any role, but no calls, belongs to a model that never saw the role of tools.
        return {"calls": calls, "results": calls or f"{_PROBE}2" not in output}

    @cached_property
    def _names_calls_by_id(self) -> bool:
        """Whether the id of a call is all that tells which tool it calls, as in Kimi's templates."""
        call = ToolCall("callprobe", f"{_PROBE}1", "{}")
        output = self._try(_USER, Turn("assistant", tool_calls=(call,)))
        return call.id in output and call.name not in output

    def _try_call(self, *, as_text: bool) -> str:
        call = ToolCall("callprobe", "f", f'{{"{_PROBE}": 1}}')
        return self._try(_USER, Turn("assistant", tool_calls=(call,)), arguments_as_text=as_text)

    def _try(self, *turns: Turn, **settings: Any) -> str:
        """Render a conversation of our own; empty text if the template does not take it."""
        try:
            return self._render(turns, **settings)
        except ChatTemplateError as error:
            if isinstance(error.__cause__, self._sandbox.TemplateRunaway):
                raise
            return ""

    def _adapted(self, turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
        """The conversation without what this template would refuse or, worse, silently leave out."""
        if any(turn.role == "tool" or turn.tool_calls for turn in turns) and any(self._leaves_out.values()):
            turns = tools_as_text(turns, **self._leaves_out)
        if any(turn.tool_calls for turn in turns) and self._names_calls_by_id:
            turns = telling_call_ids(turns)
        if any(turn.role == "system" for turn in turns):
            if not self.supports_system:
                return fold_system(turns, keep_first=False)
            if any(turn.role == "system" for turn in turns[1:]) and not self._takes_later_system:
                return fold_system(turns, keep_first=True)
        return turns

    def _render(
        self,
        turns: Sequence[Turn],
        *,
        tools: Sequence[Tool] = (),
        add_generation_prompt: bool = True,
        as_parts: bool | None = None,
        arguments_as_text: bool | None = None,
        **variables: Any,
    ) -> str:
        calls = any(turn.tool_calls for turn in turns)
        if as_parts is None:
            as_parts = self._wants_parts
        if arguments_as_text is None:
            arguments_as_text = calls and self._wants_text_arguments
        messages = [as_message(turn, arguments_as_text=arguments_as_text, content_as_parts=as_parts) for turn in turns]
        known: dict[str, Any] = {
            **self._tokens,
            "messages": messages,
            "tools": [tool.as_openai() for tool in tools] or None,
            "documents": None,
            "add_generation_prompt": add_generation_prompt,
        }
        try:
            return self._sandbox.render_template(self._template, {**known, **variables})
        except Exception as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> ChatTemplateError:
        words = _words(error)
        if isinstance(error, self._sandbox.TemplateRefusal):
            return ChatTemplateError(
                f"{self._whose} refuses this conversation: {words}",
                hint="Put the messages in an order that the model knows, or pass another chat template.",
            )
        if isinstance(error, self._sandbox.SecurityError):
            return ChatTemplateError(
                f"{self._whose} tries to leave its sandbox: {words}.",
                hint=f"Do not trust where this model file came from. {_OTHER_TEMPLATE}",
            )
        if isinstance(error, self._sandbox.TemplateRunaway | RecursionError | MemoryError | OverflowError):
            return ChatTemplateError(f"{self._whose} uses more than it may: {words}.", hint=_OTHER_TEMPLATE)
        return ChatTemplateError(f"{self._whose} failed with {type(error).__name__}: {words}.", hint=_OTHER_TEMPLATE)


def _words(error: Exception) -> str:
    return (str(error) or type(error).__name__).rstrip(".")[:500]
