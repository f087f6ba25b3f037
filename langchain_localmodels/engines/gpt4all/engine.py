"""GPT4All in this process, as an `Engine` that writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

from langchain_localmodels.dialects.chat_dialect import ChatDialect
from langchain_localmodels.dialects.reader import OutputReader
from langchain_localmodels.dialects.templates import ChatTemplate
from langchain_localmodels.engines.base import (
    Capabilities,
    ChatRequest,
    CompletionRequest,
    Delta,
    Engine,
    GenerationSettings,
    Tool,
    Turn,
)
from langchain_localmodels.engines.common import warn_once
from langchain_localmodels.engines.file_templates import chat_template_of, warn_of_notation
from langchain_localmodels.engines.gpt4all.binding.model import Model
from langchain_localmodels.engines.gpt4all.binding.vocabulary import Vocabulary, has_vocabulary
from langchain_localmodels.engines.gpt4all.chat_template import family_of, template_source
from langchain_localmodels.engines.gpt4all.choosing import choice_of, refuse_constraint
from langchain_localmodels.engines.gpt4all.config import GPT4AllConfig
from langchain_localmodels.engines.gpt4all.prompts import guarded, segments_of
from langchain_localmodels.engines.gpt4all.thread import GPT4AllThread
from langchain_localmodels.engines.gpt4all.values import ModelParams
from langchain_localmodels.engines.gpt4all.writing import Plan, Writing
from langchain_localmodels.engines.sharing import ThreadHold
from langchain_localmodels.engines.worker import WorkerStream
from langchain_localmodels.errors import UnsupportedFeatureError
from langchain_localmodels.weights.gguf import GGUFHeader, read_header

_FAMILY_HINT = (
    "%s has no chat template. That of the family %s is used, whose tokens its vocabulary has; `chat_template` may give "
    "another."
)


class GPT4AllEngine(Engine):
    """One model file. Objects with the same file and parameters share it, its thread and its queue."""

    def __init__(self, config: GPT4AllConfig) -> None:
        self._config = config
        self._hold = ThreadHold(GPT4AllThread, config.params, verbose=config.verbose)

    # --- the contract -----------------------------------------------------------------------------------------------

    def complete(self, request: CompletionRequest) -> WorkerStream[Delta]:
        """See `Engine.complete`."""

        def plan(model: Model) -> Plan:
            refuse_constraint(request.settings)
            reader = OutputReader(stop=request.settings.stop)
            return self._plan(request.prompt, request.settings, reader)

        return self._stream(plan, request.settings)

    def chat(self, request: ChatRequest) -> WorkerStream[Delta]:
        """See `Engine.chat`."""

        def plan(model: Model) -> Plan:
            dialect = self._dialect
            tools = () if request.tool_choice == "none" else request.tools
            if tools and not dialect.is_known:
                warn_of_notation(self._config.model_name)
            prompt = self._prompt(request.turns, tools, model.vocabulary)
            reader = dialect.reader(prompt, tools=tools, stop=request.settings.stop)
            return self._plan(
                prompt,
                request.settings,
                reader,
                vocabulary=model.vocabulary,
                in_form=bool(tools) or request.settings.constraint is not None,
                one_call=not request.parallel_tool_calls,
            )

        return self._stream(plan, request.settings)

    def capabilities(self) -> Capabilities:
        """See `Engine.capabilities`. Reads the file's header only."""
        has_template = template_source(self._header, self._config.chat_template) is not None
        return Capabilities(
            tools="template" if has_template and self._dialect.has_place_for_tools else "prompt",
            constrain="none",
            tokenizer=has_vocabulary(),
            chat=has_template,
            context_window=self._params.window,
        )

    def tokenize(self, text: str) -> Sequence[int]:
        """See `Engine.tokenize`."""
        return self._vocabulary().plain_tokens(text)

    def count(self, turns: Sequence[Turn], tools: Sequence[Tool] = ()) -> int:
        """See `Engine.count`."""
        vocabulary = self._vocabulary()
        prompt = self._prompt(turns, tools, vocabulary)
        return len(vocabulary.tokenize(segments_of(prompt, self._header, vocabulary)))

    def load(self) -> None:
        """Load the model."""
        self._hold.thread().model()

    def close(self) -> None:
        """See `Engine.close`. Frees the model, and waits for that, unless another object uses it."""
        self._hold.close()

    # --- from a request to a plan; this runs on the model's thread --------------------------------------------------

    def _prompt(self, turns: Sequence[Turn], tools: Sequence[Tool], vocabulary: Vocabulary | None) -> str:
        names = frozenset() if vocabulary is None else vocabulary.control_texts
        return self._dialect.prompt(guarded(turns, names), tools)

    def _plan(
        self,
        prompt: str,
        settings: GenerationSettings,
        reader: OutputReader,
        *,
        vocabulary: Vocabulary | None = None,
        in_form: bool = False,
        one_call: bool = False,
    ) -> Plan:
        return Plan(
            prompt=segments_of(prompt, self._header, vocabulary),
            max_tokens=settings.max_tokens,
            choice=choice_of(settings, n_batch=self._config.n_batch, in_form=in_form),
            seed=settings.sampling.seed,
            reader=reader,
            one_call=one_call,
            model_name=self._config.model_name,
        )

    # --- what it runs on --------------------------------------------------------------------------------------------

    def _stream(self, plan: Callable[[Model], Plan], settings: GenerationSettings) -> WorkerStream[Delta]:
        if settings.model is not None and settings.model != self._config.model_name:
            raise UnsupportedFeatureError(
                f"GPT4All cannot switch to the model {settings.model!r} for one request.",
                hint="Make another object for it: both can be loaded at once.",
            )
        return self._hold.stream(lambda stream: Writing(stream, plan), timeout=settings.timeout, eager=settings.pieces)

    def _vocabulary(self) -> Vocabulary:
        vocabulary = self._hold.thread().model().vocabulary
        if vocabulary is None:
            raise NotImplementedError
        return vocabulary

    @property
    def _params(self) -> ModelParams:
        params: ModelParams = self._hold.key
        return params

    @property
    def _header(self) -> GGUFHeader:
        return read_header(self._config.path)

    @cached_property
    def _dialect(self) -> ChatDialect:
        return ChatDialect(self._template, notation=self._config.tool_notation)

    @cached_property
    def _template(self) -> ChatTemplate:
        source = template_source(self._header, self._config.chat_template)
        if source is not None and source not in (self._config.chat_template, self._header.chat_template):
            family = family_of(self._header)
            assert family is not None
            warn_once(_FAMILY_HINT % (self._config.model_name, family.family))
        return chat_template_of(self._header, source, model_name=self._config.model_name, text_class="GPT4All")
