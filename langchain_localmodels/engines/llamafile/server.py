"""What a server can do: asked once, and remembered by the engine. Pure: a flow that says what to ask.

Servers are told apart by what they answer, not by their names: `/props` is llama.cpp's, and what it holds tells the
age; `/flagz` is that of llamafile's own second server; what has neither speaks OpenAI's protocol and no more.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

from langchain_localmodels.errors import (
    EngineClosedError,
    EngineError,
    InvalidRequestError,
    ModelMissingError,
)

_FIRST_TO_STREAM_CALLS = 5478
_FIRST_TO_STOP = 6300
"""Builds from here on stop where the window is full: since August 2025, https://github.com/ggml-org/llama.cpp/pull/15416."""
_NOT_NOW = (429, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Ask:
    """A question whose answer is read as a whole.

    Attributes:
        method: `GET` or `POST`.
        path: Where.
        payload: What to send.
    """

    method: str
    path: str
    payload: Mapping[str, Any] | None = None


Asking: TypeAlias = "Generator[Ask, Any, ServerFacts]"


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What is known of a server.

    Attributes:
        kind: `llama` for llama.cpp's server, alone or in a llamafile; `old_llama` for that of llamafile 0.9.3 and
            before, whose chat knows neither tools nor formats; `llamafiler` for the other server in llamafile 0.9;
            `openai` for any other.
        models: Names of the models there.
        model: What to send as the model's name.
        context_window: Tokens that prompt and answer share.
        images: Whether the model reads images; `None` where only asking would tell.
        audio: Whether it hears audio; `None` where only asking would tell.
        streams_calls: Whether tool calls can be streamed.
        thinks: Whether the chat template has marks of reasoning, which a grammar would forbid.
        shifts: Whether it forgets the beginning of an answer that fills the window, and goes on.
        fixed: Whether there is one model, whatever a request names.
        grammars: Whether it takes grammars, though it is not llama.cpp's: llama-cpp-python's server, which takes no
            schema in OpenAI's form.
        template: The model's chat template, where the server tells it.
    """

    kind: Literal["llama", "old_llama", "llamafiler", "openai"]
    models: tuple[str, ...] = ()
    model: str | None = None
    context_window: int | None = None
    images: bool | None = None
    audio: bool | None = None
    streams_calls: bool = True
    thinks: bool = False
    shifts: bool = False
    fixed: bool = False
    grammars: bool = False
    template: str = ""

    @property
    def is_llama(self) -> bool:
        """Whether it has llama.cpp's own endpoints, and takes grammars."""
        return self.kind in ("llama", "old_llama")

    @property
    def takes_grammars(self) -> bool:
        """Whether answers can be held to a grammar."""
        return self.is_llama or self.grammars

    def profile(self) -> dict[str, Any]:
        """What can be told of the model, by the names of LangChain's `ModelProfile`."""
        window = {} if self.context_window is None else dict.fromkeys(_WINDOWS, self.context_window)
        calls = self.kind in ("llama", "openai")
        return {
            "name": self.model or "",
            **window,
            **dict.fromkeys(_NOT_HERE, False),
            "text_inputs": True,
            "text_outputs": True,
            "image_inputs": self.images is not False,
            "audio_inputs": self.audio is True,
            "attachment": self.images is not False,
            "tool_calling": calls,
            "tool_call_streaming": calls and self.streams_calls,
            "tool_choice": True,  # By a schema.
            # Agents take this for answers in a form beside calls of tools, which is done where there are grammars.
            "structured_output": self.takes_grammars,
            "temperature": True,
        }


_WINDOWS = ("max_input_tokens", "max_output_tokens")
_NOT_HERE = (
    "image_url_inputs",
    "pdf_inputs",
    "video_inputs",
    "image_outputs",
    "audio_outputs",
    "video_outputs",
)
"""Keys of a profile for what is done with no model here."""


def probe(model: str | None) -> Asking:
    """Find out what a server is.

    Args:
        model: Name of the model that will be asked for.

    Raises:
        LocalModelError: It cannot be reached, or wants a key.
        InvalidRequestError: It has several models, and none was named.
    """
    props = yield from _maybe("/props")
    if isinstance(props, dict) and props.get("role") == "router":
        listed = yield from _maybe("/v1/models")
        name = _chosen(_names(listed), model)
        props = yield from _maybe(f"/props?model={quote(name, safe='')}")
        return _llama(props if isinstance(props, dict) else {}, _names(listed), name, fixed=False)
    listed = yield from _maybe("/v1/models")
    names = _names(listed)
    if isinstance(props, dict) and ("default_generation_settings" in props or "total_slots" in props):
        return _llama(props, names, model or (names[0] if names else "default"), fixed=True)
    flags = yield from _maybe("/flagz")
    if flags is not None:
        return ServerFacts(
            "llamafiler", names, model or (names[0] if names else "default"), images=False, audio=False, fixed=True
        )
    if listed is None and props is None:
        # The last chance: servers that only complete answer nothing to GET.
        return ServerFacts("openai", (), model or "default")
    return ServerFacts("openai", names, _chosen(names, model), _window(listed), grammars=_is_llama_cpp_python(listed))


def _maybe(path: str) -> Generator[Ask, Any, Any]:
    """What is there; `None` if nothing is."""
    try:
        found = yield Ask("GET", path)
    except (InvalidRequestError, ModelMissingError):
        return None
    except EngineError as error:
        # What is no JSON is another kind of page. But a server that is busy or loads has not said what it is.
        if isinstance(error, EngineClosedError) or getattr(error.response, "status_code", 200) in _NOT_NOW:
            raise
        return None
    # LM Studio answers so, and with status 200, to every path that it does not know.
    return None if isinstance(found, dict) and "error" in found else {} if found is None else found


def _llama(props: Mapping[str, Any], names: tuple[str, ...], model: str, *, fixed: bool) -> ServerFacts:
    settings = props.get("default_generation_settings")
    window = settings.get("n_ctx") if isinstance(settings, dict) else None
    modalities = props.get("modalities")
    template = str(props.get("chat_template") or "")
    info = props.get("build_info")
    number = re.match(r"b(\d+)", info) if isinstance(info, str) else None
    build = int(number[1]) if number else 0
    return ServerFacts(
        # llamafile 0.9.3's /props tells neither the build nor the template.
        kind="llama" if info is not None else "old_llama",
        models=names,
        model=model,
        context_window=window if isinstance(window, int) and window > 0 else None,
        images=bool(modalities.get("vision")) if isinstance(modalities, dict) else None,
        audio=bool(modalities.get("audio")) if isinstance(modalities, dict) else None,
        # Builds of one's own have the number 0.
        streams_calls="chat_template_caps" in props or not 0 < build < _FIRST_TO_STREAM_CALLS,
        shifts=info is None or 0 < build < _FIRST_TO_STOP,
        thinks=bool(re.search(r"think|reasoning|<\|channel\|>", template)),
        fixed=fixed,
        template=template,
    )


def _names(listed: Any) -> tuple[str, ...]:
    entries = listed.get("data") if isinstance(listed, dict) else None
    found: list[str] = []
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("id"), str):
            found += [entry["id"], *(name for name in entry.get("aliases") or () if isinstance(name, str))]
    return tuple(dict.fromkeys(found))


def _is_llama_cpp_python(listed: Any) -> bool:
    entries = listed.get("data") if isinstance(listed, dict) else None
    own = [
        entry.get("owned_by") == "me" and "permissions" in entry for entry in entries or () if isinstance(entry, dict)
    ]
    return bool(own) and all(own)


def _window(listed: Any) -> int | None:
    entries = listed.get("data") if isinstance(listed, dict) else None
    first = entries[0] if isinstance(entries, list) and len(entries) == 1 else None
    # vLLM's word for it.
    window = first.get("max_model_len") if isinstance(first, dict) else None
    return window if isinstance(window, int) else None


def _chosen(names: tuple[str, ...], model: str | None) -> str:
    if model is not None:
        return model
    if len(names) > 1:
        shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
        raise InvalidRequestError("The server has several models, and none was named.", hint=f"Give `model`: {shown}.")
    return names[0] if names else "default"
