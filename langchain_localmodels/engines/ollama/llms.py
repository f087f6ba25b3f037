"""`OllamaLLM`."""

from __future__ import annotations

from langchain_localmodels.engines.ollama.options import OllamaOptions
from langchain_localmodels.llms import LocalLLM


class OllamaLLM(OllamaOptions, LocalLLM):
    """Text in, text out, with a model on an [Ollama](https://ollama.com) server.

    Ollama puts the model's own template around the prompt; `raw=True`, per call or in `bind`, leaves that out, for
    prompts that hold the model's special tokens already.

    Example:
        ```python
        from langchain_localmodels import OllamaLLM

        llm = OllamaLLM(model="llama3.1:8b")
        llm.invoke("The first man on the moon was ...")

        for chunk in llm.stream("The first man on the moon was ..."):
            print(chunk, end="|", flush=True)

        llm.bind(raw=True).invoke("<s>[INST] Who was the first man on the moon? [/INST]")
        ```
    """
