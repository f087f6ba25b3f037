"""Which family a model is of, and what else is known of it before it is asked anything.

Owns where facts of a model come from: the header of its file, what its server tells, and, where neither says, its
name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from langchain_localmodels.errors import LocalModelError
from langchain_localmodels.options import LocalModelOptions
from langchain_localmodels.prompts.families import FAMILIES, PromptFamily
from langchain_localmodels.prompts.wrapped import Found, find

if TYPE_CHECKING:
    from langchain_localmodels.weights.gguf import GGUFHeader

_NAMES = ("model_path", "model", "model_name", "model_id")
"""Where classes of other packages keep a model's name or the path of its file."""


_LONGEST_NAME = 300


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a file or a server tells of a model. Nothing, where it does not.

    Attributes:
        template: Its chat template, in Jinja, or in Go as Ollama's are.
        name: Its name.
        architecture: Its kind of network, such as `llama`.
        called: What its user calls it: the name on a server, or of the file.
    """

    template: str = ""
    name: str = ""
    architecture: str = ""
    called: str = ""


def family_of(llm: object) -> PromptFamily | None:
    """Tell which form of turns a model was trained to read.

    Args:
        llm: The model, or what wraps it. It is not loaded; a server that was not asked about it yet is asked.

    Returns:
        The form, or `None` where it is not known.

    Example:
        ```python
        from langchain_localmodels import LlamaCpp
        from langchain_localmodels.demo import model_path
        from langchain_localmodels.prompts import family_of

        family_of(LlamaCpp(model_path=model_path)).name  # "chatml"
        ```
    """
    return family_of_found(find(llm))


def family_of_found(found: Found) -> PromptFamily | None:
    """The same for a model that has been found."""
    return recognise(_facts(found))


# --- from facts to a family -------------------------------------------------------------------------------------------

_MARKS: tuple[tuple[tuple[str, ...], str], ...] = (
    # In an order in which those that have marks of others, too, come first.
    ((r"<\|start\|>", r"<\|channel\|>"), "gpt-oss"),
    ((r"<\|turn>",), "gemma-4"),
    ((r"<start_of_turn>",), "gemma-3"),
    ((r"<\|im_sep\|>",), "phi-4"),
    ((r"<\|start_header_id\|>",), "llama-3"),
    ((r"<\|start_of_role\|>",), "granite"),
    ((r"<\|START_OF_TURN_TOKEN\|>",), "command-r"),
    ((r"<｜Assistant｜><think>(\\n|\n)",), "deepseek-r1"),
    ((r"<｜Assistant｜>", r"\bthinking\b"), "deepseek-v3.1"),
    ((r"<｜Assistant｜>",), "deepseek-v3"),
    ((r"<\|end\|>", r"<\|tool\|>"), "phi-4-mini"),
    ((r"<\|end\|>", r"<\|(user|assistant)\|>"), "phi-3"),
    ((r"(<\|(user|\{\{ ?\.Role ?\}\})|\[.role.\] ?\+ ?.)\|>[^<]{0,60}(eos_token|</s>)",), "zephyr"),
    ((r"<\|im_start\|>",), "chatml"),
    ((r"<<SYS>>",), "llama-2"),
    ((r"\[SYSTEM_PROMPT\] ",), "mistral-v7"),
    ((r"\[SYSTEM_PROMPT\]",), "mistral-v7-tekken"),
    ((r" \[/INST\]",), "mistral-v1"),
    ((r"\[INST\] ",), "mistral-v3"),
    ((r"\[INST\]",), "mistral-tekken"),
    ((r"USER:", r"ASSISTANT:"), "vicuna"),
    ((r"### Instruction:", r"### Response:"), "alpaca"),
    ((r"User: ", r"Assistant:", r"eos_token"), "deepseek-v2"),
)
"""What is in the chat templates of a form, as regular expressions. A template is a stranger's and may be long: none of
them looks further than a few characters from where it begins."""

_CALLED: tuple[tuple[str, str], ...] = (
    # Those that say how a model was tuned come before those that say from what.
    (r"gpt-?oss", "gpt-oss"),
    (r"deepseek-?(r1|.*distill)", "deepseek-r1"),
    (r"deepseek-?v?3\.1", "deepseek-v3.1"),
    (r"deepseek-?((coder-)?v2(?!\.5)|llm)", "deepseek-v2"),
    (r"deepseek-?(v2\.5|v3)", "deepseek-v3"),
    (r"command-?(r|a)\b|c4ai|\baya\b", "command-r"),
    (r"granite-?[34](?!b)", "granite"),
    (r"zephyr|tinyllama.*chat", "zephyr"),
    (r"vicuna|wizardlm", "vicuna"),
    (r"alpaca|platypus|nous-hermes-(13b|7b|llama)", "alpaca"),
    (r"chatml|hermes|dolphin|openorca|smollm|qwen|qwq", "chatml"),
    (r"phi-?4-?mini", "phi-4-mini"),
    (r"phi-?4", "phi-4"),
    (r"phi-?3", "phi-3"),
    (r"gemma-?4", "gemma-4"),
    (r"gemma", "gemma-3"),
    (r"mistral-?small-?(3|24b)|magistral|devstral", "mistral-v7-tekken"),
    (r"mistral-?large-?(instruct-?)?2411", "mistral-v7"),
    (r"mistral-?nemo|pixtral|ministral", "mistral-tekken"),
    (r"mistral.*v0\.[12]\b|mixtral(?!.*8x22b)", "mistral-v1"),
    (r"mistral|mixtral|codestral|mathstral", "mistral-v3"),
    (r"llama-?(v-?)?3(?![\db])", "llama-3"),
    (r"llama-?(v-?)?2(?![\db])|codellama.*instruct", "llama-2"),
)
"""What a model's name has, with its words joined by hyphens."""

_ARCHITECTURES = {
    "gpt-oss": "gpt-oss",
    "gptoss": "gpt-oss",
    "gemma": "gemma-3",
    "gemma2": "gemma-3",
    "gemma3": "gemma-3",
    "gemma4": "gemma-4",
    "command-r": "command-r",
    "cohere2": "command-r",
    "granite": "granite",
    "granitemoe": "granite",
    "granitehybrid": "granite",
    "phi3": "phi-3",
    "qwen2": "chatml",
    "qwen2moe": "chatml",
    "qwen3": "chatml",
    "qwen3moe": "chatml",
    "deepseek2": "deepseek-v3",
}
"""Architectures whose models read one form. `llama` is the network of many families."""


def recognise(facts: ModelFacts) -> PromptFamily | None:
    """Tell the form of turns from what is known of a model: its template, else its name, architecture or own name.

    Args:
        facts: What is known.

    Returns:
        The form, or `None` where nothing tells.
    """
    marked = (name for marks, name in _MARKS if all(re.search(mark, facts.template) for mark in marks))
    name = (
        next(marked, None) or _by_name(facts.name) or _ARCHITECTURES.get(facts.architecture) or _by_name(facts.called)
    )
    return FAMILIES[name] if name else None


def _by_name(name: str) -> str | None:
    plain = re.sub(r"[\s_:/]+", "-", name[:_LONGEST_NAME].lower())
    return next((form for pattern, form in _CALLED if re.search(pattern, plain)), None)


# --- facts ------------------------------------------------------------------------------------------------------------


def _facts(found: Found) -> ModelFacts:
    model = found.informed
    if isinstance(model, LocalModelOptions):
        with suppress(LocalModelError):  # which the model itself tells, when it is asked something
            return _of_ours(model)
        return ModelFacts(called=model._model_name())
    names = [found.options.get("model"), *(getattr(model, name, None) for name in _NAMES)]
    called = next((os.fspath(name) for name in names if isinstance(name, str | os.PathLike) and name), "")
    if called.lower().endswith(".gguf"):
        from langchain_localmodels.weights.gguf import read_header

        with suppress(LocalModelError):
            return _of_header(read_header(called), None, PurePath(called).stem)
        return ModelFacts(called=PurePath(called).stem)
    return ModelFacts(called=called)


def _of_ours(model: Any) -> ModelFacts:
    called = model._model_name()
    if hasattr(type(model), "_header"):  # engines that read a file themselves
        return _of_header(model._header, model.chat_template, called)
    if model._engine_name == "ollama":
        from langchain_localmodels.engines.ollama.knowledge import recall

        if (known := recall(model._address(), called)) is not None:
            told = known.details
            name = told.model_info.get("general.name")
            return ModelFacts(told.template, name if isinstance(name, str) else "", told.architecture, called)
    if model._engine_name == "llamafile" and (server := model.engine.facts) is not None:
        return ModelFacts(server.template, called=server.model or called)
    return ModelFacts(called=called)


def _of_header(header: GGUFHeader, template: str | None, called: str) -> ModelFacts:
    return ModelFacts(template or header.chat_template or "", header.name or "", header.architecture or "", called)


def engine_of(found: Found) -> str | None:
    """Key of a model's engine, as traces name it; of other packages' classes what their names say."""
    tell = getattr(found.model, "_get_ls_params", None)
    return tell().get("ls_provider") if tell is not None else None


def profile_of(found: Found) -> Mapping[str, Any]:
    """What is known of a model, by the names of LangChain's `ModelProfile`; empty where nothing is."""
    model: Any = found.informed
    own = model._profile() if isinstance(model, LocalModelOptions) else None
    return getattr(model, "profile", None) or own or {}


def window_of(found: Found) -> int | None:
    """Tokens of a model's context window; `None` where that is not known."""
    told = [profile_of(found).get("max_input_tokens")]
    if not isinstance(found.model, LocalModelOptions):
        told += [getattr(found.model, name, None) for name in ("num_ctx", "n_ctx")]
    return next((window for window in told if isinstance(window, int) and window > 0), None)
