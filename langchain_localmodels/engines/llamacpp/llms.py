"""`LlamaCpp`."""

from __future__ import annotations

from langchain_localmodels.engines.llamacpp.options import LlamaCppOptions
from langchain_localmodels.llms import LocalLLM


class LlamaCpp(LlamaCppOptions, LocalLLM):
    """A model file continues text, on llama.cpp in this process.

    The weights load at the first use and are shared by all objects on the same file. Any number of threads and tasks
    may ask at once: their requests are computed together, in one batch.

    Example:
        ```python
        from langchain_localmodels import LlamaCpp
        from langchain_localmodels.demo import model_path

        llm = LlamaCpp(model_path=model_path, temperature=0)
        for piece in llm.stream("The first man on the moon was ..."):
            print(piece, end="", flush=True)
        ```
    """
