"""llama.cpp in this process, as an `Engine`: requests become prompts and plans, the scheduler does the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from langchain_localmodels.dialects.answer_grammar import AnswerForm
from langchain_localmodels.dialects.chat_dialect import ChatDialect
from langchain_localmodels.dialects.gbnf import JSON_GRAMMAR, check_grammar
from langchain_localmodels.dialects.json_schema import schema_grammar, schema_rules
from langchain_localmodels.dialects.reader import OutputReader
from langchain_localmodels.dialects.templates import ChatTemplate
from langchain_localmodels.engines.base import (
    Capabilities,
    ChatRequest,
    CompletionRequest,
    Constraint,
    Delta,
    Engine,
    GenerationSettings,
    Grammar,
    JsonOutput,
    Sampling,
    Tool,
    Turn,
)
from langchain_localmodels.engines.common import warn_once
from langchain_localmodels.engines.file_templates import chat_template_of, warn_of_notation
from langchain_localmodels.engines.llamacpp import weights
from langchain_localmodels.engines.llamacpp.binding.model import Model
from langchain_localmodels.engines.llamacpp.binding.samplers import takes_grammars
from langchain_localmodels.engines.llamacpp.config import GenerationConfig
from langchain_localmodels.engines.llamacpp.requests import Plan, Task
from langchain_localmodels.engines.llamacpp.scheduler import Scheduler
from langchain_localmodels.engines.llamacpp.stats import EngineStats
from langchain_localmodels.engines.sharing import ThreadHold
from langchain_localmodels.engines.worker import WorkerStream
from langchain_localmodels.errors import (
    InvalidRequestError,
    PromptTooLongError,
    UnsupportedFeatureError,
)
from langchain_localmodels.weights.gguf import GGUFHeader, read_header

_LOOSE_CALLS = "The arguments of tool calls are not held to their schemas, which make no grammar: %s"


class LlamaCppEngine(Engine):
    """One model file. Objects with the same file and parameters share weights, context and scheduler."""

    def __init__(self, config: GenerationConfig) -> None:
        self._config = config
        self._hold = ThreadHold(Scheduler, config.params, verbose=config.verbose)

    # --- the contract -----------------------------------------------------------------------------------------------

    def complete(self, request: CompletionRequest) -> WorkerStream[Delta]:
        """See `Engine.complete`."""

        def plan(model: Model) -> Plan:
            settings = request.settings
            grammar = _grammar(settings.constraint)
            return self._plan(model, request.prompt, settings, OutputReader(stop=settings.stop), grammar)

        return self._stream(plan, request.settings)

    def chat(self, request: ChatRequest) -> WorkerStream[Delta]:
        """See `Engine.chat`."""

        def plan(model: Model) -> Plan:
            dialect = self._dialect
            tools = () if request.tool_choice == "none" else request.tools
            if tools and not dialect.is_known:
                warn_of_notation(self._config.model_name)
            prompt = dialect.prompt(request.turns, tools)
            reader = dialect.reader(prompt, tools=tools, stop=request.settings.stop)
            grammar = self._answer_grammar(model, dialect, prompt, request)
            return self._plan(model, prompt, request.settings, reader, grammar)

        return self._stream(plan, request.settings)

    def capabilities(self) -> Capabilities:
        """See `Engine.capabilities`. Reads the file's header only."""
        has_template = bool(self._config.chat_template or self._header.chat_template)
        return Capabilities(
            tools="template" if has_template and self._dialect.has_place_for_tools else "prompt",
            constrain="grammar",
            tokenizer=True,
            chat=has_template,
            context_window=self._window,
        )

    def tokenize(self, text: str) -> Sequence[int]:
        """See `Engine.tokenize`."""
        with weights.lent(self._borrowed().model().params) as model:
            return model.tokenize(text, add_special=False)

    def count(self, turns: Sequence[Turn], tools: Sequence[Tool] = ()) -> int:
        """See `Engine.count`."""
        prompt = self._dialect.prompt(turns, tools)
        with weights.lent(self._borrowed().model().params) as model:
            return len(_tokens(model, prompt))

    def load(self) -> None:
        """Load the weights and make the context."""
        self._borrowed().model()

    def close(self) -> None:
        """See `Engine.close`. Frees the weights, and waits for that, unless another object uses them."""
        self._hold.close()

    def stats(self) -> EngineStats:
        """What llama.cpp does for all objects that share this model and its settings. Loads the model if need be."""
        scheduler = self._borrowed()
        scheduler.model()
        return scheduler.stats()

    # --- from a request to a plan; this runs on the scheduler's thread ----------------------------------------------

    def _answer_grammar(self, model: Model, dialect: ChatDialect, prompt: str, request: ChatRequest) -> str | None:
        constraint = request.settings.constraint
        must_call = request.must_call
        if isinstance(constraint, Grammar):
            if must_call:
                raise InvalidRequestError(
                    f"`grammar` and tool_choice={request.tool_choice!r} both say what the answer is.",
                    hint="Give one of them.",
                )
            return _grammar(constraint)
        if constraint is not None:
            _warn_of_unenforced(constraint)
        elif not must_call and not takes_grammars(model):
            return None
        form = AnswerForm(request.callable_tools, must_call, request.parallel_tool_calls, constraint)
        try:
            return dialect.grammar(prompt, form)
        except InvalidRequestError as error:
            if must_call or constraint is not None:
                raise
            warn_once(_LOOSE_CALLS % error.message)
            return None

    def _plan(
        self, model: Model, prompt: str, settings: GenerationSettings, reader: OutputReader, grammar: str | None
    ) -> Plan:
        tokens = _tokens(model, prompt)
        if not tokens:
            raise InvalidRequestError("The prompt is empty.", hint="Give at least one character.")
        window = self._window
        room = window - len(tokens)
        if room < 1:
            raise PromptTooLongError(
                f"The prompt has {len(tokens)} tokens, and the context window {window}: no room for an answer.",
                prompt_tokens=len(tokens),
                context_window=window,
                hint=f"Shorten the prompt or give a larger `n_ctx` (the model was trained on {model.trained_window}).",
            )
        return Plan(
            prompt=tokens,
            max_tokens=room if settings.max_tokens is None else min(settings.max_tokens, room),
            sampling=self._with_defaults_of_file(settings.sampling),
            grammar=grammar,
            reader=reader,
            top_logprobs=settings.top_logprobs,
            model_name=self._config.model_name,
            verbose=self._config.verbose,
        )

    def _with_defaults_of_file(self, sampling: Sampling) -> Sampling:
        """Fill in what the request leaves open and the model's makers recommend in the file."""
        missing = {name: value for name, value in self._recommended.items() if getattr(sampling, name) is None}
        return replace(sampling, **missing) if missing else sampling

    @cached_property
    def _recommended(self) -> dict[str, Any]:
        found = {}
        for name, (key, kind, least, most) in _RECOMMENDED.items():
            value = self._header.metadata.get(f"general.sampling.{key}")
            if isinstance(value, kind) and least <= value <= most:
                found[name] = value
        return found

    # --- what it runs on --------------------------------------------------------------------------------------------

    def _stream(self, plan: Callable[[Model], Plan], settings: GenerationSettings) -> WorkerStream[Delta]:
        if settings.model is not None and settings.model != self._config.model_name:
            raise UnsupportedFeatureError(
                f"llama.cpp cannot switch to the model {settings.model!r} for one request.",
                hint="Make another object for it: both can be loaded at once.",
            )

        return self._hold.stream(lambda stream: Task(stream, plan), timeout=settings.timeout, eager=settings.pieces)

    def _borrowed(self) -> Scheduler:
        return self._hold.thread()

    @property
    def _window(self) -> int:
        window: int = self._hold.key[1].window
        return window

    @property
    def _header(self) -> GGUFHeader:
        return read_header(self._config.weights.path)

    @cached_property
    def _dialect(self) -> ChatDialect:
        return ChatDialect(self._template, notation=self._config.tool_notation)

    @cached_property
    def _template(self) -> ChatTemplate:
        source = self._config.chat_template or self._header.chat_template
        return chat_template_of(self._header, source, model_name=self._config.model_name, text_class="LlamaCpp")


_RECOMMENDED: dict[str, tuple[str, Any, float, float]] = {
    "temperature": ("temp", (int, float), 0, 100),
    "top_k": ("top_k", int, 0, 2**31 - 1),
    "top_p": ("top_p", (int, float), 0.0001, 1),
    "min_p": ("min_p", (int, float), 0, 1),
}
"""Fields of `Sampling`: under which key a file recommends a value, of which type, and within which bounds."""

_UNENFORCED = "The grammar of a JSON Schema does not hold the answer to these parts of it; check them: %s"


def _tokens(model: Model, prompt: str) -> list[int]:
    # A template that writes the BOS token itself must not get a second one.
    has_bos = bool(model.bos_text) and prompt.startswith(model.bos_text)
    return model.tokenize(prompt, add_special=not has_bos)


def _grammar(constraint: Constraint | None) -> str | None:
    if constraint is None:
        return None
    if isinstance(constraint, Grammar):
        check_grammar(constraint.gbnf)
        return constraint.gbnf
    if constraint.schema is None:
        return JSON_GRAMMAR
    _warn_of_unenforced(constraint)
    return schema_grammar(constraint.schema).gbnf


def _warn_of_unenforced(output: JsonOutput) -> None:
    if output.schema is not None and (left := schema_rules(output.schema, prefix="r").unenforced):
        warn_once(_UNENFORCED % ", ".join(left))
