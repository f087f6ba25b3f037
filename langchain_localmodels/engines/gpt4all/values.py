"""Plain values of this room: what decides how a file is loaded, how tokens are chosen, and the pieces of a prompt."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelParams:
    """What decides how a file is loaded; equal values share one load.

    Attributes:
        path: Absolute path of the GGUF file.
        file_id: Size and modification time, so that a replaced file is another model.
        window: Context window in tokens.
        n_threads: CPU threads.
        device: gpt4all's name for where to compute; `None` for the CPU, or Metal on Apple's processors.
        ngl: Layers to put on the GPU.
        embeds: Whether it is to embed, not to write.
    """

    path: str
    file_id: tuple[int, int]
    window: int
    n_threads: int
    device: str | None = None
    ngl: int = 100
    embeds: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """How the next token is chosen, in GPT4All's terms; every value has been checked."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    repeat_penalty: float
    repeat_last_n: int
    n_batch: int


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of a prompt.

    Attributes:
        text: The text.
        special: Whether `<|im_end|>` and the like in it are the tokens that they name, and not just text.
    """

    text: str
    special: bool = True
