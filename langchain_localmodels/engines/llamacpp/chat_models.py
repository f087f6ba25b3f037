"""`ChatLlamaCpp`."""

from __future__ import annotations

from langchain_localmodels.chat_models import LocalChatModel
from langchain_localmodels.engines.llamacpp.options import LlamaCppOptions


class ChatLlamaCpp(LlamaCppOptions, LocalChatModel):
    """A model file answers conversations, on llama.cpp in this process, by the chat template in the file.

    Example:
        ```python
        from langchain_localmodels import ChatLlamaCpp
        from langchain_localmodels.demo import model_path

        model = ChatLlamaCpp(model_path=model_path, temperature=0)
        print(model.invoke("Who was the first man on the moon?").text)
        ```
    """
