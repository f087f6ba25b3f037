"""`init_local_chat_model`, `init_local_llm`, `init_local_embeddings`: models by a string, such as `ollama:llama3.1:8b`.

Owns how that string is read. The classes, and what their fields take, are the engines' own; a class is imported when
the first object of it is made.
"""

from __future__ import annotations

import difflib
import os
import re
from typing import TYPE_CHECKING, Any, TypeAlias

from langchain_localmodels._lazy import Kind, find_class
from langchain_localmodels.engines import ENGINES
from langchain_localmodels.errors import InvalidRequestError, UnsupportedFeatureError

if TYPE_CHECKING:
    from langchain_localmodels.chat_models import LocalChatModel
    from langchain_localmodels.embeddings import LocalEmbeddings
    from langchain_localmodels.llms import LocalLLM

Model: TypeAlias = "str | os.PathLike[str] | None"

_FILE_ENGINE = "llamacpp"
"""The engine that a path of a model file stands for."""
_WORDS: dict[Kind, str] = {"chat": "chat model", "llm": "text model", "embeddings": "embeddings"}
_NEAR = 0.85  # less would take the name of a Llama model for an engine


def init_local_chat_model(model: Model = None, *, engine: str | None = None, **fields: Any) -> LocalChatModel:
    """Make a chat model from one string.

    Args:
        model: Engine and model, such as `"llamacpp:/models/qwen3.gguf"` or `"ollama:llama3.1:8b"`. The engine may be
            left out where a model file is named: an existing file, a name that ends in `.gguf`, or a `pathlib.Path`.
            The model may be left out where a server has one: `"llamafile"`.
        engine: The engine, in place of the prefix; `model` is then the model alone. Names of engines may be spelled
            as people do: `llama.cpp`, `llama_cpp`, `LlamaCpp`.
        **fields: Fields of the engine's class, as its constructor takes them.

    Returns:
        An object of the engine's class, such as `ChatLlamaCpp` or `ChatOllama`.

    Raises:
        InvalidRequestError: No engine or no model is named, or an engine that there is not.
        UnsupportedFeatureError: The engine has no such class.
        ValidationError: A field is missing or has a value that is out of range (pydantic's).
        ModelFileError: The model file is not there, or cannot be used.

    Example:
        ```python
        chat = init_local_chat_model("llamacpp:model.gguf", temperature=0)
        chat.invoke("Who was the first man on the moon?")
        ```

        Which engine answers can be left to the call:

        ```python
        from langchain_core.runnables import ConfigurableField

        chat = init_local_chat_model("llamacpp:model.gguf").configurable_alternatives(
            ConfigurableField(id="engine"),
            default_key="llamacpp",
            ollama=lambda: init_local_chat_model("ollama:llama3.1:8b"),
        )
        chat.with_config(configurable={"engine": "ollama"}).invoke("Who was the first man on the moon?")
        ```
    """
    made: LocalChatModel = _make("chat", model, engine, fields)
    return made


def init_local_llm(model: Model = None, *, engine: str | None = None, **fields: Any) -> LocalLLM:
    """Make a text-in, text-out model from one string.

    Arguments, errors and the string are those of `init_local_chat_model`.

    Returns:
        An object of the engine's class, such as `LlamaCpp` or `OllamaLLM`.

    Example:
        ```python
        llm = init_local_llm("ollama:llama3.1:8b", temperature=0)
        llm.invoke("The first man on the moon was")
        ```
    """
    made: LocalLLM = _make("llm", model, engine, fields)
    return made


def init_local_embeddings(model: Model = None, *, engine: str | None = None, **fields: Any) -> LocalEmbeddings:
    """Make embeddings from one string.

    Arguments, errors and the string are those of `init_local_chat_model`.

    Returns:
        An object of the engine's class, such as `LlamaCppEmbeddings`.

    Example:
        ```python
        embeddings = init_local_embeddings("llamacpp:embedding-model.gguf")
        embeddings.embed_query("Who was the first man on the moon?")
        ```
    """
    made: LocalEmbeddings = _make("embeddings", model, engine, fields)
    return made


# --- how the string is read -------------------------------------------------------------------------------------------


def _make(kind: Kind, model: Model, engine: str | None, fields: dict[str, Any]) -> Any:
    if model is not None and not isinstance(model, str | os.PathLike):
        raise InvalidRequestError(
            f"A model is named by a text or a path, not by a value of type {type(model).__name__}.", hint=_form(kind)
        )
    key, name = _split(kind, model) if engine is None else (_known_engine(kind, engine), model)
    entry = ENGINES[key]
    target = getattr(entry, kind)
    if target is None:
        others = [ENGINES[other].title for other in _engines(kind)]
        raise UnsupportedFeatureError(
            f"{entry.title} has no {_WORDS[kind]} in this version.", hint=f"These have: {', '.join(others)}."
        )
    if name == "" and not entry.model_optional:
        raise InvalidRequestError(f"{model!r} names no model.", hint=_form(kind))
    if name and entry.model_field in fields:
        raise InvalidRequestError(
            f"`{entry.model_field}` is given, and {model!r} names the model too.", hint="Give one of them."
        )
    named = {} if not name else {entry.model_field: name}
    return find_class(__name__, kind, target)(**named, **fields)


def _split(kind: Kind, model: Model) -> tuple[str, Model]:
    """Read which engine is meant where nothing but the string says it; guess nothing."""
    if isinstance(model, os.PathLike):
        return _FILE_ENGINE, model
    if not model:
        raise InvalidRequestError("No model is named.", hint=_form(kind))
    prefix, colon, rest = model.partition(":")
    # A single letter is a drive of Windows, and a folder's name may hold a colon.
    is_path = len(prefix) == 1 or any(separator in prefix for separator in "/\\~")
    if not is_path and (key := _engine_named(prefix)) is not None:
        return key, rest
    if os.path.isfile(os.path.expanduser(model)):
        return _FILE_ENGINE, model
    if model.lower().endswith(".gguf") and (is_path or not colon):
        return _FILE_ENGINE, model
    if not colon or is_path:
        raise InvalidRequestError(f"{model!r} does not say which engine runs it.", hint=_form(kind))
    raise _unknown(kind, prefix, whole=model)


def _known_engine(kind: Kind, name: str) -> str:
    if isinstance(name, str) and (key := _engine_named(name)) is not None:
        return key
    raise _unknown(kind, name)


def _engine_named(name: str) -> str | None:
    return _spellings().get(_plain(name))


def _unknown(kind: Kind, name: object, whole: str | None = None) -> InvalidRequestError:
    spellings = _spellings()
    hint = ""
    if near := difflib.get_close_matches(_plain(str(name)), spellings, n=1, cutoff=_NEAR):
        hint = f"Did you mean {spellings[near[0]]!r}? "
    elif whole is not None and (servers := [key for key in _engines(kind) if ENGINES[key].model_field == "model"]):
        hint = f"If {whole!r} is a model's name, say whose, such as {f'{servers[0]}:{whole}'!r}. "
    return InvalidRequestError(f"There is no engine named {name!r}.", hint=hint + _form(kind))


def _form(kind: Kind) -> str:
    engines = ", ".join(map(repr, _engines(kind)))
    return f"Put the engine before the model, as in 'llamacpp:/models/model.gguf'. Engines: {engines}."


def _engines(kind: Kind) -> list[str]:
    return [key for key, entry in ENGINES.items() if getattr(entry, kind)]


def _spellings() -> dict[str, str]:
    """Every name that an engine goes by, without what people write differently, to its key."""
    return {_plain(name): key for key, entry in ENGINES.items() for name in (key, entry.title, *entry.spellings)}


def _plain(name: str) -> str:
    return re.sub("[^a-z0-9]", "", name.lower())
