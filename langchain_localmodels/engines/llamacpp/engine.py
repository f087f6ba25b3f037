"""llama.cpp in this process, as an `Engine`: requests become prompts and plans, the scheduler does the rest."""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from langchain_localmodels.dialects.gbnf import JSON_GRAMMAR, check_grammar
from langchain_localmodels.dialects.reader import OutputReader, reader_for
from langchain_localmodels.dialects.templates import ChatTemplate
from langchain_localmodels.dialects.tool_calls import tool_call_format
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
)
from langchain_localmodels.engines.llamacpp import pool, weights
from langchain_localmodels.engines.llamacpp.binding.context import ContextParams
from langchain_localmodels.engines.llamacpp.binding.library import has_gpu_support, package_version
from langchain_localmodels.engines.llamacpp.binding.model import Model, ModelParams
from langchain_localmodels.engines.llamacpp.requests import Plan, Task
from langchain_localmodels.engines.llamacpp.scheduler import Scheduler
from langchain_localmodels.engines.llamacpp.stats import EngineStats
from langchain_localmodels.engines.worker import WorkerStream
from langchain_localmodels.errors import (
    ChatTemplateError,
    EngineClosedError,
    InvalidRequestError,
    PromptTooLongError,
    UnsupportedFeatureError,
)
from langchain_localmodels.weights.gguf import GGUFHeader, read_header
from langchain_localmodels.weights.memory import choose_window

_logger = logging.getLogger(__name__)

_GPU_HINT = """\
n_gpu_layers=%d was asked for, but the installed llama-cpp-python was built without GPU support:
all layers run on the CPU. Reinstall it with support for yours:
  NVIDIA: CMAKE_ARGS="-DGGML_CUDA=on" pip install --force-reinstall --no-cache-dir llama-cpp-python==%s
  Apple:  CMAKE_ARGS="-DGGML_METAL=on" pip install --force-reinstall --no-cache-dir llama-cpp-python==%s
  Vulkan: CMAKE_ARGS="-DGGML_VULKAN=on" pip install --force-reinstall --no-cache-dir llama-cpp-python==%s"""


_NOTATION_HINT = (
    "The chat template of %s writes tool calls in a notation that this version does not read. The model is given the "
    "tools, but calls in another notation than <tool_call> will come as text."
)
_PREFILL_CHUNK = 64
"""Most tokens of a prompt in one step on a CPU. There, the time of a step grows with its tokens, all of it time that
requests which arrive meanwhile wait, and from some 64 tokens on larger steps do not make a token cheaper."""
_CELL_UNIT = 256  # llama.cpp rounds a context up to this, but clips batches to what was asked for


@dataclass(frozen=True, slots=True)
class LlamaCppConfig:
    """How to run a model file; the fields of `LlamaCppOptions`, checked, without defaults filled in."""

    path: str
    model_name: str
    n_ctx: int | None = None
    n_parallel: int = 8
    n_batch: int = 512
    n_ubatch: int | None = None
    n_threads: int | None = None
    n_threads_batch: int | None = None
    n_gpu_layers: int | None = None
    main_gpu: int = 0
    tensor_split: tuple[float, ...] = ()
    use_mmap: bool = True
    use_mlock: bool = False
    type_k: str = "f16"
    type_v: str = "f16"
    rope_freq_base: float = 0.0
    rope_freq_scale: float = 0.0
    flash_attention: bool | None = None
    lora_path: str | None = None
    lora_scale: float = 1.0
    chat_template: str | None = None
    verbose: bool = False


class LlamaCppEngine(Engine):
    """One model file. Objects with the same file and parameters share weights, context and scheduler."""

    def __init__(self, config: LlamaCppConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._scheduler: Scheduler | None = None
        self._streams: weakref.WeakSet[WorkerStream[Any]] = weakref.WeakSet()
        self._let_go: weakref.finalize[..., LlamaCppEngine] | None = None

    # --- the contract -----------------------------------------------------------------------------------------------

    def complete(self, request: CompletionRequest) -> WorkerStream[Delta]:
        """See `Engine.complete`."""

        def plan(model: Model) -> Plan:
            return self._plan(model, request.prompt, request.settings, OutputReader(stop=request.settings.stop))

        return self._stream(plan, request.settings)

    def chat(self, request: ChatRequest) -> WorkerStream[Delta]:
        """See `Engine.chat`."""

        def plan(model: Model) -> Plan:
            template = self._template
            tools = () if request.tool_choice == "none" else request.tools
            if request.tool_choice not in ("auto", "none"):
                raise UnsupportedFeatureError(f"tool_choice={request.tool_choice!r} cannot be forced on llama.cpp yet.")
            if tools and not template.supports_tools:
                raise UnsupportedFeatureError(
                    f"The chat template of {self._config.model_name} has no notation for tools.",
                    hint="Use a model that was trained for tools, or give its template as `chat_template`.",
                )
            if tools and tool_call_format(template.source) is None:
                _warn_once(_NOTATION_HINT % self._config.model_name)
            prompt = template.render(request.turns, tools=tools)
            reader = reader_for(
                template.source, tools_offered=bool(tools), stop=request.settings.stop, prompt_tail=prompt[-64:]
            )
            return self._plan(model, prompt, request.settings, reader)

        return self._stream(plan, request.settings)

    def capabilities(self) -> Capabilities:
        """See `Engine.capabilities`. Reads the file's header only."""
        has_template = bool(self._config.chat_template or self._header.chat_template)
        return Capabilities(
            tools="template" if has_template and self._template.supports_tools else "prompt",
            constrain="grammar",
            tokenizer=True,
            chat=has_template,
            context_window=self._context_params.window,
        )

    def tokenize(self, text: str) -> Sequence[int]:
        """See `Engine.tokenize`."""
        params = self._borrowed().model().params
        # As a user of the weights in its own right: another thread may close this engine meanwhile.
        model = weights.borrow(params, verbose=False)
        try:
            return model.tokenize(text, add_special=False)
        finally:
            weights.give_back(params)

    def load(self) -> None:
        """Load the weights and make the context."""
        self._borrowed().model()

    def close(self) -> None:
        """See `Engine.close`. Frees the weights, and waits for that, unless another object uses them."""
        with self._lock:
            scheduler, self._scheduler = self._scheduler, None
            let_go, self._let_go = self._let_go, None
            streams = list(self._streams)
        if scheduler is None:
            return
        error = EngineClosedError("The model was closed while the request was running.")
        for stream in streams:
            stream.fail(error)
        if let_go is not None:
            let_go.detach()
        pool.give_back(scheduler, at_once=True)

    def stats(self) -> EngineStats:
        """What llama.cpp does for all objects that share this model and its settings. Loads the model if need be."""
        scheduler = self._borrowed()
        scheduler.model()
        return scheduler.stats()

    # --- from a request to a plan; this runs on the scheduler's thread ----------------------------------------------

    def _plan(self, model: Model, prompt: str, settings: GenerationSettings, reader: OutputReader) -> Plan:
        # A template that writes the BOS token itself must not get a second one.
        has_bos = bool(model.bos_text) and prompt.startswith(model.bos_text)
        tokens = model.tokenize(prompt, add_special=not has_bos)
        if not tokens:
            raise InvalidRequestError("The prompt is empty.", hint="Give at least one character.")
        window = self._context_params.window
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
            grammar=_grammar(settings.constraint),
            reader=reader,
            top_logprobs=settings.top_logprobs,
            model_name=self._config.model_name,
            verbose=self._config.verbose,
        )

    def _with_defaults_of_file(self, sampling: Sampling) -> Sampling:
        """Fill in what the request leaves open and the model's makers recommend in the file."""
        recommended: dict[str, Any] = {}
        for name, (key, kind, least, most) in _RECOMMENDED.items():
            value = self._header.metadata.get(f"general.sampling.{key}")
            if getattr(sampling, name) is None and isinstance(value, kind) and least <= value <= most:
                recommended[name] = value
        return replace(sampling, **recommended) if recommended else sampling

    # --- what it runs on --------------------------------------------------------------------------------------------

    def _stream(self, plan: Callable[[Model], Plan], settings: GenerationSettings) -> WorkerStream[Delta]:
        if settings.model is not None and settings.model != self._config.model_name:
            raise UnsupportedFeatureError(
                f"llama.cpp cannot switch to the model {settings.model!r} for one request.",
                hint="Make another object for it: both can be loaded at once.",
            )

        def begin(stream: WorkerStream[Delta]) -> None:
            scheduler = self._borrowed()
            with self._lock:
                self._streams.add(stream)
            stream.on_close = scheduler.nudge
            scheduler.submit(Task(stream, plan))

        return WorkerStream(begin, timeout=settings.timeout)

    def _borrowed(self) -> Scheduler:
        """Give the scheduler, starting it at the first call; its thread loads the model, this does not wait for it."""
        with self._lock:
            if self._scheduler is not None and not self._scheduler.usable:
                self._scheduler = None
                if self._let_go is not None:
                    self._let_go.detach()
            if self._scheduler is None:
                self._warn_without_gpu()
                self._scheduler = pool.borrow(Scheduler, *self._key(), verbose=self._config.verbose)
                self._let_go = weakref.finalize(self, pool.give_back, self._scheduler, at_once=False)
            return self._scheduler

    @property
    def _uses_gpu(self) -> bool:
        return self._config.n_gpu_layers != 0 and has_gpu_support()

    def _warn_without_gpu(self) -> None:
        layers = self._config.n_gpu_layers
        if layers and not has_gpu_support():
            _warn_once(_GPU_HINT % (layers, *[package_version()] * 3))

    def _key(self) -> tuple[ModelParams, ContextParams]:
        config = self._config
        context = self._context_params  # reads the header first, whose errors say what to do
        status = os.stat(config.path)
        model = ModelParams(
            path=os.path.realpath(config.path),
            file_id=(status.st_size, status.st_mtime_ns),
            n_gpu_layers=-1 if config.n_gpu_layers is None else config.n_gpu_layers,
            main_gpu=config.main_gpu,
            tensor_split=config.tensor_split,
            use_mmap=config.use_mmap,
            use_mlock=config.use_mlock,
        )
        return model, context

    @cached_property
    def _context_params(self) -> ContextParams:
        config = self._config
        window = choose_window(self._header, config.n_ctx, type_k=config.type_k, type_v=config.type_v)
        usable = _usable_cpus()
        # llama.cpp aborts when a batch, or what it computes at once, cannot hold a token of every sequence.
        n_batch = max(min(config.n_batch, window), config.n_parallel)
        return ContextParams(
            window=window,
            cells=-(-window // _CELL_UNIT) * _CELL_UNIT,
            n_batch=n_batch,
            n_ubatch=max(min(config.n_ubatch or n_batch, n_batch), config.n_parallel),
            prefill_chunk=n_batch if self._uses_gpu else min(_PREFILL_CHUNK, n_batch),
            n_parallel=config.n_parallel,
            # Generation is bound by memory, and the second thread of a core adds nothing to that.
            n_threads=config.n_threads or (usable if usable <= 4 else usable // 2),
            n_threads_batch=config.n_threads_batch or config.n_threads or usable,
            type_k=config.type_k,
            type_v=config.type_v,
            rope_freq_base=config.rope_freq_base,
            rope_freq_scale=config.rope_freq_scale,
            flash_attention=config.flash_attention,
            lora=(_lora(config.lora_path, config.lora_scale),) if config.lora_path else (),
        )

    @property
    def _header(self) -> GGUFHeader:
        return read_header(self._config.path)

    @cached_property
    def _template(self) -> ChatTemplate:
        source = self._config.chat_template or self._header.chat_template
        if not source:
            raise ChatTemplateError(
                f"{self._config.model_name} has no chat template: it is not a chat model, or its file lost it.",
                hint="Give the template's text as `chat_template`, or use LlamaCpp, which needs none.",
            )
        return ChatTemplate(
            source,
            bos_token=self._header.bos_token or "",
            eos_token=self._header.eos_token or "",
            origin=self._config.model_name,
        )


_RECOMMENDED: dict[str, tuple[str, Any, float, float]] = {
    "temperature": ("temp", (int, float), 0, 100),
    "top_k": ("top_k", int, 0, 2**31 - 1),
    "top_p": ("top_p", (int, float), 0.0001, 1),
    "min_p": ("min_p", (int, float), 0, 1),
}
"""Fields of `Sampling`: under which key a file recommends a value, of which type, and within which bounds."""

_warned: set[str] = set()


def _warn_once(message: str) -> None:
    if message not in _warned:
        _warned.add(message)
        _logger.warning(message)


def _grammar(constraint: Constraint | None) -> str | None:
    if constraint is None:
        return None
    if isinstance(constraint, Grammar):
        check_grammar(constraint.gbnf)
        return constraint.gbnf
    assert isinstance(constraint, JsonOutput)
    if constraint.schema is not None:
        raise UnsupportedFeatureError("llama.cpp cannot be held to a JSON Schema by this package yet, only to JSON.")
    return JSON_GRAMMAR


def _lora(path: str, scale: float) -> tuple[str, tuple[int, int], float]:
    status = os.stat(path)
    return os.path.realpath(path), (status.st_size, status.st_mtime_ns), scale


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1
