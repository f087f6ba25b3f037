"""Language models on your own machine, in LangChain.

Every public name is here, and is imported when it is first asked for: no engine, and nothing that an engine needs, is
loaded before one of its classes is used.

Example:
    ```python
    from langchain_localmodels import ChatOllama

    ChatOllama(model="llama3.1:8b").invoke("Who was the first man on the moon?")
    ```
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from langchain_localmodels._lazy import find_class
from langchain_localmodels._version import __version__

if TYPE_CHECKING:
    from langchain_localmodels.chat_models import LocalChatModel
    from langchain_localmodels.embeddings import LocalEmbeddings
    from langchain_localmodels.engines.gpt4all.chat_models import ChatGPT4All
    from langchain_localmodels.engines.gpt4all.embeddings import GPT4AllEmbeddings
    from langchain_localmodels.engines.gpt4all.llms import GPT4All
    from langchain_localmodels.engines.llamacpp.chat_models import ChatLlamaCpp
    from langchain_localmodels.engines.llamacpp.embeddings import LlamaCppEmbeddings
    from langchain_localmodels.engines.llamacpp.llms import LlamaCpp
    from langchain_localmodels.engines.llamafile.chat_models import ChatLlamafile
    from langchain_localmodels.engines.llamafile.embeddings import LlamafileEmbeddings
    from langchain_localmodels.engines.llamafile.llms import Llamafile
    from langchain_localmodels.engines.ollama.chat_models import ChatOllama
    from langchain_localmodels.engines.ollama.embeddings import OllamaEmbeddings
    from langchain_localmodels.engines.ollama.llms import OllamaLLM
    from langchain_localmodels.engines.ollama.llms import OllamaLLM as Ollama
    from langchain_localmodels.engines.ollama.server import OllamaServer
    from langchain_localmodels.factory import init_local_chat_model, init_local_embeddings, init_local_llm
    from langchain_localmodels.llms import LocalLLM
    from langchain_localmodels.prompts import ConditionalPromptSelector, is_chat_model, is_llm

__all__ = [
    "ChatGPT4All",
    "ChatLlamaCpp",
    "ChatLlamafile",
    "ChatOllama",
    "ConditionalPromptSelector",
    "GPT4All",
    "GPT4AllEmbeddings",
    "LlamaCpp",
    "LlamaCppEmbeddings",
    "Llamafile",
    "LlamafileEmbeddings",
    "LocalChatModel",
    "LocalEmbeddings",
    "LocalLLM",
    "Ollama",
    "OllamaEmbeddings",
    "OllamaLLM",
    "OllamaServer",
    "__version__",
    "init_local_chat_model",
    "init_local_embeddings",
    "init_local_llm",
    "is_chat_model",
    "is_llm",
]

_MODULES = {
    "ConditionalPromptSelector": "prompts",
    "LocalChatModel": "chat_models",
    "LocalEmbeddings": "embeddings",
    "LocalLLM": "llms",
    "OllamaServer": "engines.ollama.server",
    "init_local_chat_model": "factory",
    "init_local_embeddings": "factory",
    "init_local_llm": "factory",
    "is_chat_model": "prompts",
    "is_llm": "prompts",
}
"""Where the public names are that are not classes of an engine."""


if not TYPE_CHECKING:  # a type checker that saw this would take every misspelt name for a class

    def __getattr__(name: str) -> Any:
        if (module := _MODULES.get(name)) is not None:
            found = getattr(import_module(f"{__name__}.{module}"), name)
        else:
            found = find_class(__name__, None, name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
