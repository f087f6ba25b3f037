"""What an Ollama server tells of a model: how its answer is read, what a profile says of it, and where it is kept.

Pure, and without httpx: a model that is constructed looks here, and asks no server.
"""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LEAST_WINDOW = 4096
"""The context window that a server gives a model where nothing else is said and little memory is there, in tokens."""

_NOT_HERE = (
    "image_url_inputs",
    "pdf_inputs",
    "video_inputs",
    "image_tool_message",
    "pdf_tool_message",
    "image_outputs",
    "audio_outputs",
    "video_outputs",
)
"""Keys of a profile for what is done with no model here."""


@dataclass(frozen=True, slots=True)
class ModelDetails:
    """What a server tells of one model. `None`, or nothing, where it does not.

    Attributes:
        model: The model's name.
        capabilities: What it can do, in Ollama's words: `completion`, `tools`, `vision`, `thinking`, `embedding`,
            `insert`, …; `None` from servers before 0.6.4, which do not tell.
        context_length: Tokens that the model was trained on.
        embedding_length: Length of its vectors, or of its hidden states.
        num_ctx: Context window that its model file asks for, in tokens.
        architecture: Its kind, such as `llama`.
        parameter_size: How many parameters it has, such as `8.0B`.
        quantization: How they are stored, such as `Q4_K_M`.
        template: Ollama's template for prompts.
        system: The system message of its model file.
        license: Its license.
        parameters: The parameters of its model file, a line each.
        modified_at: When it was changed, as the server writes times.
        remote: Whether it runs on another server, such as Ollama's own.
        model_info: What the header of its file says.
    """

    model: str
    capabilities: tuple[str, ...] | None = None
    context_length: int | None = None
    embedding_length: int | None = None
    num_ctx: int | None = None
    architecture: str = ""
    parameter_size: str = ""
    quantization: str = ""
    template: str = ""
    system: str = ""
    license: str = ""
    parameters: str = ""
    modified_at: str = ""
    remote: bool = False
    model_info: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def can(self, capability: str) -> bool | None:
        """Whether it can do something, in Ollama's words; `None` where that is not known."""
        return None if self.capabilities is None else capability in self.capabilities


def read_details(model: str, answer: object) -> ModelDetails:
    """Read the answer of `/api/show`. What is not there, or of another kind than it should be, is left out.

    Args:
        model: The model that was asked for.
        answer: The answer, parsed.
    """
    told = answer if isinstance(answer, Mapping) else {}
    info, details = _mapping(told.get("model_info")), _mapping(told.get("details"))
    architecture = _text(info.get("general.architecture")) or _text(details.get("family"))
    able = told.get("capabilities")
    parameters = _text(told.get("parameters"))
    window = re.search(r"^\s*num_ctx\s+(\d{1,9})\s*$", parameters, re.M)
    return ModelDetails(
        model=model,
        capabilities=tuple(map(str, able)) if isinstance(able, list) else None,
        context_length=_length(info, architecture, "context_length"),
        embedding_length=_length(info, architecture, "embedding_length"),
        num_ctx=int(window[1]) if window else None,
        architecture=architecture,
        parameter_size=_text(details.get("parameter_size")),
        quantization=_text(details.get("quantization_level")),
        template=_text(told.get("template")),
        system=_text(told.get("system")),
        license=_text(told.get("license")),
        parameters=parameters,
        modified_at=_text(told.get("modified_at")),
        remote=bool(told.get("remote_host") or told.get("remote_model")),
        model_info=info,
    )


def running_window(model: str, answer: object) -> int | None:
    """The context window that a loaded model has, from the answer of `/api/ps`; `None` where that is not told."""
    entries = _mapping(answer).get("models")
    for entry in entries if isinstance(entries, list) else []:
        told = _mapping(entry)
        if full_name(model) in {full_name(_text(told.get(key))) for key in ("name", "model")}:
            return _whole(told.get("context_length"))
    return None


def full_name(model: str) -> str:
    """A model's name with its tag, in lower case: two names that are alike in this mean one model."""
    name = model.lower()
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What is known of a model on a server.

    Attributes:
        details: What the server tells of it.
        window: The context window that it was loaded with when that was asked, in tokens.
    """

    details: ModelDetails
    window: int | None = None

    def context_window(self, num_ctx: int | None) -> int:
        """Tokens that prompt and answer share, for requests that ask for `num_ctx`.

        Where nobody has said a number it is the least that a server gives. What the model was trained on would be a
        promise that most servers do not keep.
        """
        trained = self.details.context_length
        if self.details.remote and trained:
            return trained
        window = num_ctx or self.window or self.details.num_ctx or LEAST_WINDOW
        return min(window, trained) if trained else window

    def profile(self, num_ctx: int | None) -> dict[str, Any]:
        """What can be told of the model, by the names of LangChain's `ModelProfile`.

        Args:
            num_ctx: Context window that requests ask for.
        """
        window, details = self.context_window(num_ctx), self.details
        profile = {
            "name": details.model,
            "max_input_tokens": window,
            "max_output_tokens": window,
            **dict.fromkeys(_NOT_HERE, False),
            "tool_call_streaming": False,
            # Agents take this for answers in a form beside calls of tools. Ollama's `format` leaves no room for calls.
            "structured_output": False,
            "temperature": True,
        }
        if details.capabilities is not None:
            writes = bool(details.can("completion"))
            profile |= {
                "text_inputs": writes,
                "text_outputs": writes,
                "image_inputs": bool(details.can("vision")),
                "audio_inputs": bool(details.can("audio")),
                "attachment": bool(details.can("vision") or details.can("audio")),
                "reasoning_output": bool(details.can("thinking")),
                "tool_calling": bool(details.can("tools")),
                "tool_choice": writes and not details.remote,
            }
        return profile


# --- where it is kept -------------------------------------------------------------------------------------------------

_MOST = 256
_kept: OrderedDict[tuple[str, str], Knowledge] = OrderedDict()
_lock = threading.Lock()


def remember(server: str, model: str, knowledge: Knowledge) -> None:
    """Keep what is known of a model, for all objects in this process.

    Args:
        server: The server's URL.
        model: The model's name.
        knowledge: What is known now; it takes the place of what was known before.
    """
    with _lock:
        _kept[server, full_name(model)] = knowledge
        _kept.move_to_end((server, full_name(model)))
        while len(_kept) > _MOST:
            _kept.popitem(last=False)


def recall(server: str, model: str) -> Knowledge | None:
    """What is known of a model; `None` if no server has been asked."""
    with _lock:
        return _kept.get((server, full_name(model)))


def forget(server: str, model: str) -> None:
    """Let go of what is known of a model that has been changed or deleted."""
    with _lock:
        _kept.pop((server, full_name(model)), None)


# --- reading ----------------------------------------------------------------------------------------------------------


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _length(info: Mapping[str, Any], architecture: str, name: str) -> int | None:
    """A length in a file's header, whose key begins with the architecture's name."""
    if (found := _whole(info.get(f"{architecture}.{name}"))) is not None:
        return found
    # Of models that are made of several, the first is the one that writes.
    return next((_whole(value) for key, value in info.items() if re.fullmatch(rf"[^.]+\.{name}", key)), None)
