"""Chat templates: from turns and tools to the one text that a model was trained to read.

Owns what a template can and cannot do, found out by trying, and the errors of templates. The sandbox is in
`template_sandbox.py`, the form of messages in `template_turns.py`; where a template comes from is left to the engine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal, TypeAlias

from langchain_localmodels.dialects.template_turns import (
    CallWriter,
    MessageForm,
    Recast,
    answered_results,
    as_message,
    described,
    fold_system,
    merge_runs,
    one_call_per_turn,
    plain_calls,
    short_call_ids,
    telling_call_ids,
    text_as_reasoning,
    text_before_calls,
    tools_as_text,
)
from langchain_localmodels.engines.base import Audio, Image, Text, Tool, ToolCall, Turn
from langchain_localmodels.errors import ChatTemplateError, UnsupportedContentError

_Place: TypeAlias = Literal["tools", "xml_tools", "system"]

_MAX_SOURCE = 1 << 20
_OTHER_TEMPLATE = "Pass another chat template, such as the one of the model's page on Hugging Face."
_PROBE = "qzprobe"
_PROBE_TOOL = Tool(_PROBE, "", {"type": "object", "properties": {}})
_BARE_TOOL = Tool(_PROBE, "", {"type": "object", "properties": {"a": {"type": "string"}}})
_USER = Turn("user", (Text("hello"),))
_REASONING_KEYS = ("reasoning_content", "thinking", "reasoning", "thought")
# Tried in turn when a template refuses a conversation in its own words.
_RECASTS: tuple[tuple[Recast, ...], ...] = (
    (),
    (merge_runs,),
    (short_call_ids,),
    (one_call_per_turn,),
    (text_as_reasoning,),
    (answered_results,),
    (answered_results, short_call_ids),
    (merge_runs, one_call_per_turn, short_call_ids),
    (merge_runs, one_call_per_turn, short_call_ids, text_as_reasoning, answered_results),
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
        write_calls: CallWriter = plain_calls,
        **variables: Any,
    ) -> str:
        """Write a conversation as the model reads it.

        A conversation that the template refuses is recast as little as needed: what the system says goes to the
        user's turn, runs of one role become one turn, tool calls get other ids or follow one another.

        Args:
            turns: The conversation.
            tools: What the model may call.
            add_generation_prompt: Whether the text ends where the assistant begins to answer.
            write_calls: How calls are written as text, where the template has no place for them.
            **variables: Further variables that the template knows, such as `enable_thinking`.

        Raises:
            ChatTemplateError: The template refuses the conversation, fails, or uses more than it may.
            UnsupportedContentError: There are images or audio, and the template has no place for them.
        """
        given = tuple(turns)
        for kind, word, several in ((Image, "image", "images"), (Audio, "audio", "audio")):
            has_some = any(isinstance(part, kind) for turn in given for part in turn.parts)
            if has_some and word not in self.source:
                raise UnsupportedContentError(
                    f"{self._whose} has no place for {several}.",
                    hint=f"Leave it out, or use a model that takes {several}.",
                )
        settings = {"tools": tools, "add_generation_prompt": add_generation_prompt, **variables}
        adapted = self._adapted(given, write_calls)
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
        return self._place_of_tools is not None

    @cached_property
    def _place_of_tools(self) -> _Place | None:
        """Where the template looks for tools; SmolLM3's and Phi-4-mini's have places of their own."""
        places: tuple[_Place, ...] = ("tools", "xml_tools", "system")
        return next(
            (
                place
                for place in places
                if _PROBE in self._try(_USER, tools=(_PROBE_TOOL,), place=place, describe=False)
            ),
            None,
        )

    @cached_property
    def _no_tools(self) -> Mapping[str, Any]:
        """What says that there are no tools, for templates that go through them without asking."""
        ways: tuple[dict[str, Any], ...] = ({"tools": None}, {}, {"tools": []})
        forms = [MessageForm(content_as_parts=parts) for parts in (False, True)]
        return next(
            (known for known in ways if any(self._try(_USER, form=form, known=known) for form in forms)), ways[0]
        )

    @cached_property
    def _wants_descriptions(self) -> bool:
        """Whether the template fails where an argument of a tool has no description."""
        if self._try(_USER, tools=(_BARE_TOOL,), place="tools", describe=False):
            return False
        return _PROBE in self._try(_USER, tools=(_BARE_TOOL,), place="tools", describe=True)

    def takes(self, tools: Sequence[Tool]) -> bool:
        """Whether the template can write these tools; some fail on schemas that say less than they expect."""
        return bool(self._try(_USER, tools=tools))

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
        as_text, as_parts = (self._try(probe, form=MessageForm(content_as_parts=parts)) for parts in (False, True))
        return _PROBE not in as_text and _PROBE in as_parts

    @cached_property
    def _form_of_calls(self) -> MessageForm:
        """The first form in which a call is written in full, or rather the shortest of those for empty content."""
        plain = MessageForm(content_as_parts=self._wants_parts)
        found: dict[MessageForm, str] = {}
        for null_content in (False, True):
            for as_text in (False, True):
                form = replace(plain, null_content=null_content, arguments_as_text=as_text)
                output = self._try_call(form)
                # With single quotes it is Python's notation, which no model was trained on.
                if _PROBE in output and f"'{_PROBE}'" not in output:
                    found[form] = output
                    break
        # Some templates write an empty answer beside the calls unless there is none.
        return min(found, key=lambda form: len(found[form]), default=plain)

    @cached_property
    def _reasoning_key(self) -> str:
        """The key under which the template looks for reasoning."""
        call = ToolCall("callprobe", "f", "{}")
        thought, answer = Turn("assistant", reasoning=_PROBE, tool_calls=(call,)), Turn("assistant", reasoning=_PROBE)
        result = Turn("tool", (Text("hello"),), name=call.name, tool_call_id=call.id)
        spoken = replace(answer, parts=(Text("hello"),))
        for key in _REASONING_KEYS:
            form = replace(self._form_of_calls, reasoning_key=key)
            if any(_PROBE in self._try(_USER, *turns, form=form) for turns in ((thought, result), (spoken,))):
                return key
        return _REASONING_KEYS[0]

    @cached_property
    def _leaves_out(self) -> dict[str, bool]:
        """Whether tool `calls` and their `results` have no place in what the template writes."""
        call = ToolCall("callprobe", f"{_PROBE}1", "{}")
        result = Turn("tool", (Text(f"{_PROBE}2"),), name=call.name, tool_call_id=call.id)
        output = self._try(_USER, Turn("assistant", tool_calls=(call,)), result)
        calls = call.name not in output and not self._names_calls_by_id
        # A template that writes any role, but no calls, belongs to a model that never saw the role of tools,
        # unless it tells the model of tools.
        return {"calls": calls, "results": (calls and not self.supports_tools) or f"{_PROBE}2" not in output}

    @cached_property
    def _leaves_out_text(self) -> bool:
        """Whether what is said beside calls has no place."""
        call = ToolCall("callprobe", f"{_PROBE}1", "{}")
        said = Turn("assistant", (Text(f"{_PROBE}2"),), tool_calls=(call,))
        result = Turn("tool", (Text("hello"),), name=call.name, tool_call_id=call.id)
        output = self._try(_USER, said, result)
        return bool(output) and f"{_PROBE}2" not in output

    @cached_property
    def _names_calls_by_id(self) -> bool:
        """Whether the id of a call is all that tells which tool it calls, as in Kimi's templates."""
        call = ToolCall("callprobe", f"{_PROBE}1", "{}")
        output = self._try(_USER, Turn("assistant", tool_calls=(call,)))
        return call.id in output and call.name not in output

    def _try_call(self, form: MessageForm) -> str:
        call = ToolCall("callprobe", "f", f'{{"{_PROBE}": 1}}')
        return self._try(_USER, Turn("assistant", tool_calls=(call,)), form=form)

    def _try(self, *turns: Turn, **settings: Any) -> str:
        """Render a conversation of our own; empty text if the template does not take it."""
        try:
            return self._render(turns, **settings)
        except ChatTemplateError as error:
            if isinstance(error.__cause__, self._sandbox.TemplateRunaway):
                raise
            return ""

    def _adapted(self, turns: tuple[Turn, ...], write_calls: CallWriter) -> tuple[Turn, ...]:
        """The conversation without what this template would refuse or, worse, silently leave out."""
        if any(turn.role == "tool" or turn.tool_calls for turn in turns) and any(self._leaves_out.values()):
            left_out = self._leaves_out
            turns = tools_as_text(turns, calls=write_calls if left_out["calls"] else None, results=left_out["results"])
        if any(turn.tool_calls for turn in turns) and self._names_calls_by_id:
            turns = telling_call_ids(turns)
        if any(turn.tool_calls and turn.text for turn in turns) and self._leaves_out_text:
            turns = text_before_calls(turns)
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
        form: MessageForm | None = None,
        place: _Place | None = None,
        describe: bool | None = None,
        known: Mapping[str, Any] | None = None,
        **variables: Any,
    ) -> str:
        """Render turns as they are; what is not given is found out by trying."""
        messages = [as_message(turn, form or self._form_for(turns)) for turn in turns]
        told = self._tool_variables(tools, messages, place, describe) if known is None else known
        given: dict[str, Any] = {
            **self._tokens,
            "messages": messages,
            "documents": None,
            "add_generation_prompt": add_generation_prompt,
            **told,
            **variables,
        }
        try:
            return self._sandbox.render_template(self._template, given)
        except Exception as error:
            raise self._failure(error) from error

    def _form_for(self, turns: Sequence[Turn]) -> MessageForm:
        if any(turn.tool_calls or turn.reasoning for turn in turns):
            form = self._form_of_calls
        else:
            form = MessageForm(content_as_parts=self._wants_parts)
        return replace(form, reasoning_key=self._reasoning_key) if any(turn.reasoning for turn in turns) else form

    def _tool_variables(
        self, tools: Sequence[Tool], messages: list[dict[str, Any]], place: _Place | None, describe: bool | None
    ) -> Mapping[str, Any]:
        """The variables that tell of tools; where the system tells of them, its message is changed."""
        if not tools:
            return self._no_tools
        place = place or self._place_of_tools
        if describe is None:
            describe = place == "tools" and self._wants_descriptions
        listed = [described(tool.as_openai()) if describe else tool.as_openai() for tool in tools]
        texts = [json.dumps(tool["function"], ensure_ascii=False) for tool in listed]
        if place == "xml_tools":
            return {**self._no_tools, "xml_tools": texts}
        if place == "system":
            if not messages or messages[0]["role"] != "system":
                messages.insert(0, {"role": "system", "content": ""})
            messages[0]["tools"] = f"[{', '.join(texts)}]"
            return self._no_tools
        return {"tools": listed}

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
