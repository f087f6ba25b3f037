"""`Llamafile`."""

from __future__ import annotations

from langchain_localmodels.engines.llamafile.options import LlamafileOptions
from langchain_localmodels.llms import LocalLLM


class Llamafile(LlamafileOptions, LocalLLM):
    """Text in, text out, with a model on a llamafile, on llama.cpp's `llama-server`, or on another local server.

    The text goes to the model as it is, without a chat template.

    Example:
        ```python
        from langchain_localmodels import Llamafile

        llm = Llamafile()  # the server at http://127.0.0.1:8080
        llm.invoke("The first man on the moon was ...")

        with Llamafile.serve("model.llamafile") as llm:
            for chunk in llm.stream("The first man on the moon was ..."):
                print(chunk, end="|", flush=True)
        ```
    """
