"""`ChatOllama`."""

from __future__ import annotations

from langchain_localmodels.chat_models import LocalChatModel
from langchain_localmodels.engines.ollama.options import OllamaOptions


class ChatOllama(OllamaOptions, LocalChatModel):
    """Chat models on an [Ollama](https://ollama.com) server.

    `ollama pull llama3.1:8b` gets a model, `ollama serve` (or the app) serves all models there are. The server is
    looked for where `base_url` says, or OLLAMA_HOST, or on this machine at port 11434.

    Example:
        ```python
        from langchain_localmodels import ChatOllama

        chat_model = ChatOllama(model="llama3.1:8b", temperature=0)
        chat_model.invoke("Who was the first man on the moon?")

        for chunk in chat_model.stream("Who was the first man on the moon?"):
            print(chunk.text, end="|", flush=True)
        ```

        A model that thinks before it answers:

        ```python
        chat_model = ChatOllama(model="qwen3:8b", reasoning=True, num_ctx=16384)
        message = chat_model.invoke("How many r are in strawberry?")
        message.additional_kwargs["reasoning_content"]
        ```
    """
