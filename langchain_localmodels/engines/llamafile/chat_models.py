"""`ChatLlamafile`."""

from __future__ import annotations

from langchain_localmodels.chat_models import LocalChatModel
from langchain_localmodels.engines.llamafile.options import LlamafileOptions


class ChatLlamafile(LlamafileOptions, LocalChatModel):
    """Chat models on a llamafile, on llama.cpp's `llama-server`, or on another server that speaks OpenAI's protocol.

    What the server can do is found out with the first request. It is looked for where `base_url` says, or
    LLAMAFILE_BASE_URL, or on this machine at port 8080; `serve` starts one.

    Example:
        ```python
        from langchain_localmodels import ChatLlamafile

        chat_model = ChatLlamafile(base_url="http://127.0.0.1:8080", temperature=0)
        chat_model.invoke("Who was the first man on the moon?")

        with ChatLlamafile.serve("model.gguf", arguments=["-c", "8192"]) as chat_model:
            chat_model.invoke("Who was the first man on the moon?")
        ```
    """
