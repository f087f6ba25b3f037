"""`ChatGPT4All`."""

from __future__ import annotations

from langchain_localmodels.chat_models import LocalChatModel
from langchain_localmodels.engines.gpt4all.options import GPT4AllOptions


class ChatGPT4All(GPT4AllOptions, LocalChatModel):
    """A model file answers conversations, on GPT4All in this process, by the chat template in the file.

    Example:
        ```python
        from langchain_localmodels import ChatGPT4All
        from langchain_localmodels.demo import model_path

        model = ChatGPT4All(model=model_path, temperature=0)
        print(model.invoke("Who was the first man on the moon?").text)
        ```
    """
