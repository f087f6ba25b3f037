"""`ENGINES`: the one table of the engines. A new engine is one folder here and one row in it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EngineEntry:
    """Where an engine's classes are found, without importing them.

    Attributes:
        title: The engine's name as people write it.
        package: Folder, beside this file, that is the engine's room. Its modules `llms`, `chat_models` and
            `embeddings` define one class each, so that who wants one does not wait for the import of the others.
        llm: Name of its text-in, text-out class.
        chat: Name of its chat class.
        embeddings: Name of its embeddings class, where there is one.
        model_field: Constructor field that says which model.
        model_optional: Whether that may be left out, for the one that a server has.
        aliases: Other public names of its classes: other name, name.
        spellings: Further names that people know the engine by, in lower case, letters and digits only.
    """

    title: str
    package: str
    llm: str
    chat: str
    embeddings: str | None = None
    model_field: str = "model"
    model_optional: bool = False
    aliases: tuple[tuple[str, str], ...] = ()
    spellings: tuple[str, ...] = ()

    def classes(self) -> dict[str, tuple[str, str]]:
        """Public name of every class of this engine, with the module that defines it and its name there."""
        modules = {self.llm: "llms", self.chat: "chat_models", self.embeddings: "embeddings"}
        found = {name: (f"{__name__}.{self.package}.{module}", name) for name, module in modules.items() if name}
        return {**found, **{other: found[name] for other, name in self.aliases}}


ENGINES: dict[str, EngineEntry] = {
    "llamacpp": EngineEntry(
        title="llama.cpp",
        package="llamacpp",
        llm="LlamaCpp",
        chat="ChatLlamaCpp",
        embeddings="LlamaCppEmbeddings",
        model_field="model_path",
        spellings=("llamacpppython",),
    ),
    "ollama": EngineEntry(
        title="Ollama",
        package="ollama",
        llm="OllamaLLM",
        chat="ChatOllama",
        embeddings="OllamaEmbeddings",
        aliases=(("Ollama", "OllamaLLM"),),
    ),
    "gpt4all": EngineEntry(
        title="GPT4All",
        package="gpt4all",
        llm="GPT4All",
        chat="ChatGPT4All",
        embeddings="GPT4AllEmbeddings",
    ),
    "llamafile": EngineEntry(
        title="llamafile",
        package="llamafile",
        llm="Llamafile",
        chat="ChatLlamafile",
        embeddings="LlamafileEmbeddings",
        model_optional=True,
        spellings=("llamaserver",),
    ),
}
