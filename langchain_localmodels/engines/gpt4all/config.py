"""How a model file is run: what the user says, and what becomes of it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from langchain_localmodels.engines.common import usable_cpus
from langchain_localmodels.engines.gpt4all.checks import check_file
from langchain_localmodels.engines.gpt4all.values import ModelParams
from langchain_localmodels.errors import InvalidRequestError
from langchain_localmodels.weights.gguf import read_header
from langchain_localmodels.weights.memory import window_for

_MOST_THREADS = 4
_LONGEST_TEXT = 2048
"""Window of an embedding model that nobody chose: GPT4All's buffers grow with it, and few were trained on more."""
_SHORTEST_TEXT = 32
"""With fewer, GPT4All ends the process over a text that it has to cut into parts."""
_WIDEST = 2**24
"""With some more, which a file may ask for, GPT4All ends the process when it makes room for them."""


@dataclass(frozen=True, slots=True)
class GPT4AllConfig:
    """The fields of the options that say which file to load and how, checked, without defaults filled in.

    Attributes:
        path: Path of the GGUF file.
        model_name: What the answers' metadata call it.
        embeds: Whether it is to embed, not to write.
        n_ctx: Context window in tokens; `None` to choose, 0 for all that the file allows.
        n_threads: CPU threads; `None` for as many as this process may use, at most 4.
        device: Where to compute, in gpt4all's words.
        ngl: Layers to put on a GPU.
        n_batch: Tokens of a prompt that are computed at once.
        chat_template: Chat template in place of the file's own.
        tool_notation: How the model writes calls, where its template does not tell.
        dimensionality: Length of the vectors; `None` for the model's.
        mean: Average over the parts of a text that is too long, instead of cutting it.
        verbose: Let the engine print what it says.
    """

    path: str
    model_name: str
    embeds: bool = False
    n_ctx: int | None = None
    n_threads: int | None = None
    device: str | None = None
    ngl: int = 100
    n_batch: int = 128
    chat_template: str | None = None
    tool_notation: str | None = None
    dimensionality: int | None = None
    mean: bool = True
    verbose: bool = False

    def params(self) -> ModelParams:
        """Choose what is left open: the window goes by the file and by the memory that is free now.

        Raises:
            ModelFileError: GPT4All cannot read the file, or it is not there.
            InvalidRequestError: The window is larger than the memory, or than GPT4All's can be.
        """
        header = read_header(self.path)  # first, since its errors say what to do
        check_file(header, embeds=self.embeds)
        if self.embeds:
            trained = header.context_length or _LONGEST_TEXT
            window = max(_SHORTEST_TEXT, min(trained, _LONGEST_TEXT) if self.n_ctx is None else self.n_ctx or trained)
        else:
            window = window_for(header, self.n_ctx)
        if window > _WIDEST:
            raise InvalidRequestError(
                f"A context window of {window} tokens, as {self.path!r} allows, is more than GPT4All can have.",
                hint=f"Give an `n_ctx` of at most {_WIDEST}.",
            )
        status = os.stat(self.path)
        return ModelParams(
            path=os.path.realpath(self.path),
            file_id=(status.st_size, status.st_mtime_ns),
            window=window,
            n_threads=self.n_threads or default_threads(),
            device=self.device,
            ngl=self.ngl,
            embeds=self.embeds,
        )


def default_threads() -> int:
    """Threads that this process may really use, at most 4: with one too many, GPT4All is a hundred times slower."""
    return min(_MOST_THREADS, usable_cpus())
