"""`GPT4All`."""

from __future__ import annotations

from langchain_localmodels.engines.gpt4all.options import GPT4AllOptions
from langchain_localmodels.llms import LocalLLM


class GPT4All(GPT4AllOptions, LocalLLM):
    """A model file continues text, on GPT4All in this process.

    The model loads at the first use and is shared by all objects on the same file. Any number of threads and tasks may
    ask at once: their requests are worked on one after the other, in the order in which they came.

    Example:
        ```python
        from langchain_localmodels import GPT4All
        from langchain_localmodels.demo import model_path

        llm = GPT4All(model=model_path, temperature=0)
        for piece in llm.stream("The first man on the moon was ..."):
            print(piece, end="", flush=True)
        ```
    """
