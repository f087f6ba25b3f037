"""`Model`: a loaded file. One thread at a time may use it; two would end the process."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import mmap
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from langchain_localmodels.dialects.prompt_text import encoded_to_nul
from langchain_localmodels.engines.gpt4all.binding.library import lib, llmodel, prepare
from langchain_localmodels.engines.gpt4all.binding.vocabulary import Vocabulary, has_vocabulary
from langchain_localmodels.engines.gpt4all.checks import check_vocabulary
from langchain_localmodels.engines.gpt4all.values import Choice, ModelParams, Segment
from langchain_localmodels.errors import EngineError, LocalModelError, ModelFileError, UnsupportedFeatureError
from langchain_localmodels.weights.gguf import read_header

_logger = logging.getLogger(__name__)

_ERROR_TOKEN = -1
_SMALLEST_WINDOW = 8
"""GPT4All takes it in place of a smaller one, and says so on stderr."""
_WHOLE = b"%1%2"
"""The prompt is all of the prompt. With a template that ends after it, GPT4All would add a blank line to the answer."""


class Model:
    """A loaded model file.

    Args:
        params: What to load, and how. The file has been checked: what is wrong with it may end the process here.
        verbose: Let GPT4All print what it cannot load of its own parts.

    Raises:
        ModelFileError: GPT4All cannot load it.
        UnsupportedFeatureError: There is no such device.
    """

    def __init__(self, params: ModelParams, *, verbose: bool) -> None:
        check_vocabulary(read_header(params.path))
        encoded_to_nul(params.path)
        backend, wanted = _backend(params.device)
        with contextlib.ExitStack() as undo:
            try:
                with prepare(verbose=verbose):
                    self._model = lib.LLModel(params.path, max(params.window, _SMALLEST_WINDOW), params.ngl, backend)
                undo.callback(self._model.close)
                if wanted is not None:
                    self._model.init_gpu(wanted)
            except (RuntimeError, ValueError) as error:
                raise _load_error(params, str(error)) from error
            if not self._model.load_model():
                raise _load_error(params, "it was not loaded; stderr may tell more")
            self._model.set_thread_count(params.n_threads)
            self.vocabulary = _vocabulary(params.path)
            undo.pop_all()
        self.params = params
        self.window = params.window
        """What a prompt and its answer may take. GPT4All's own is this, rounded up."""
        self.loaded_at = time.perf_counter()
        self.is_random = False
        """Whether the random choices began anywhere, and not where somebody said."""
        self._context = lib.LLModelPromptContext()
        self._fresh = None if params.embeds else self._snapshot()

    @property
    def cached(self) -> list[int]:
        """The tokens that need not be computed again."""
        return list(self._context.tokens[: self._context.n_past]) if self._context.n_past else []

    def forget(self) -> None:
        """Compute the next prompt from its beginning: after an error, nobody knows what is there."""
        self._context.n_past = 0

    def generate(
        self,
        prompt: Sequence[Segment],
        choice: Choice,
        *,
        keep: int,
        max_tokens: int,
        on_prompt: Callable[[], bool],
        on_token: Callable[[int, bytes], bool],
    ) -> None:
        """Read a prompt and write what follows, token by token.

        Args:
            prompt: The prompt, not empty, after the tokens that are kept.
            choice: How tokens are chosen.
            keep: How many of `cached` the prompt begins with.
            max_tokens: Most tokens to write; with the prompt they fit into the window.
            on_prompt: Called after each token of the prompt; `False` ends it.
            on_token: Called with each token's id and bytes, after it was computed; `False` ends it.

        Raises:
            EngineError: GPT4All gave an error in place of an answer.
            BaseException: What a callback raised.
        """
        failures: list[BaseException] = []

        def read(_token: int) -> bool:
            # An exception would be printed and forgotten, and what GPT4All did then would be left to chance.
            try:
                return on_prompt()
            except BaseException as error:  # noqa: BLE001 - raised below
                failures.append(error)
                return False

        def written(token: int, piece: bytes) -> bool:
            try:
                if token == _ERROR_TOKEN:
                    raise EngineError(f"GPT4All: {piece.decode('utf-8', 'replace').removeprefix('ERROR: ')}")
                return on_token(token, piece)
            except BaseException as error:  # noqa: BLE001 - raised below
                failures.append(error)
                return False

        # Kept in variables for as long as C may call them.
        read_callback, written_callback = lib.PromptCallback(read), lib.ResponseCallback(written)
        context = self._context
        context.n_past = min(keep, context.n_past)
        context.temp, context.top_k = choice.temperature, self._top_k(choice)
        context.top_p, context.min_p = choice.top_p, choice.min_p
        context.repeat_penalty, context.repeat_last_n = choice.repeat_penalty, choice.repeat_last_n
        context.n_batch, context.context_erase = choice.n_batch, 0.75
        for number, segment in enumerate(prompt):
            context.n_predict = max_tokens if number == len(prompt) - 1 else 0
            llmodel.llmodel_prompt(
                self._model.model,
                encoded_to_nul(segment.text),
                _WHOLE,
                read_callback,
                written_callback,
                # It would warn on stderr at the last token of a full window. There is nothing to shift: `max_tokens`
                # fits.
                True,
                context,
                segment.special,
                None,
            )
            if failures:
                self.forget()
                raise failures[0]

    def likeliest_next(self, choice: Choice) -> bytes:
        """Give the likeliest token that would come now; nothing where that is the end of the answer."""
        found: list[bytes] = []
        at = self._context.n_past
        if at:
            greedy = replace(choice, temperature=0.0)
            self.generate(
                [Segment("")],
                greedy,
                keep=at,
                max_tokens=1,
                on_prompt=lambda: True,
                on_token=lambda _, piece: found.append(piece) or True,  # type: ignore[func-returns-value]
            )
            self._context.n_past = at
        return b"".join(found)

    def seed(self, seed: int) -> None:
        """Begin the random choices anew; also forgets what is cached.

        GPT4All has no seed, and begins with the second in which it loaded. The state that it can save and restore
        begins with that of its random numbers, which are C++'s `mt19937`.
        """
        assert self._fresh is not None
        state = [seed & 0xFFFFFFFF]
        for index in range(1, 624):
            state.append((1812433253 * (state[-1] ^ (state[-1] >> 30)) + index) & 0xFFFFFFFF)
        numbers = (" ".join(map(str, state)) + " 624").encode()
        old = int.from_bytes(self._fresh[:8], "little")
        whole = len(numbers).to_bytes(8, "little") + numbers + self._fresh[8 + old :]
        llmodel.llmodel_restore_state_data(self._model.model, ctypes.create_string_buffer(whole, len(whole)))
        self.forget()

    def embed(self, texts: Sequence[str], *, prefix: str, dimensions: int | None, mean: bool) -> list[list[float]]:
        """Give the vectors of some texts, each of length 1.

        Args:
            texts: The texts, none of them empty.
            prefix: What goes before each, without the colon that GPT4All adds.
            dimensions: Length of the vectors; `None` for the model's.
            mean: Average over the parts of a text that is too long, instead of cutting it.

        Raises:
            EngineError: GPT4All cannot.
        """
        for text in (prefix, *texts):
            encoded_to_nul(text)
        size = -1 if dimensions is None else dimensions
        try:
            found: list[list[float]] = self._model.generate_embeddings(list(texts), prefix, size, mean, False, None)[
                "embeddings"
            ]
        except RuntimeError as error:
            raise EngineError(f"GPT4All: {error}") from error
        return found

    def close(self) -> None:
        """Free it. Nothing may be running."""
        if self.vocabulary is not None:
            self.vocabulary.free()
        self._model.close()

    def _top_k(self, choice: Choice) -> int:
        """Leave the least likely tokens out, as many as there are of which GPT4All would end the process.

        Those are tokens without text that vocabularies are filled up with, and no model was trained to write.
        """
        vocabulary = self.vocabulary
        if vocabulary is None or not vocabulary.unused:
            return choice.top_k
        most = vocabulary.size - vocabulary.unused
        return min(choice.top_k or most, most)

    def _snapshot(self) -> bytes:
        # There must be room for a full window, of which next to nothing is written; memory that is mapped costs nothing
        # until then.
        with mmap.mmap(-1, llmodel.llmodel_get_state_size(self._model.model)) as room:
            buffer = (ctypes.c_char * len(room)).from_buffer(room)
            size = llmodel.llmodel_save_state_data(self._model.model, buffer)
            del buffer  # or the mapping could not be closed
            return room[:size]


def _vocabulary(path: str) -> Vocabulary | None:
    if not has_vocabulary():
        return None
    try:
        return Vocabulary(path)
    except EngineError as error:
        # It comes from a private part of gpt4all: counts are less exact without it, and all else works.
        _logger.warning("Tokens cannot be counted: %s", error.message)
        return None


def _backend(device: str | None) -> tuple[str, str | None]:
    """The names of gpt4all's part and of the GPU that a device means, as in gpt4all's own class."""
    if sys.platform == "darwin":
        if device in (None, "cpu"):
            return ("auto" if device is None else "cpu"), None
        if platform.machine() != "arm64" or device != "gpu":
            raise UnsupportedFeatureError(f"GPT4All knows no device={device!r} on this system.", hint=_DEVICES)
        return "metal", None
    if device in (None, "cpu"):
        return "kompute", None
    if device in ("cuda", "kompute"):
        return str(device), "gpu"
    kind, _, name = str(device).partition(":")
    return (kind, name) if kind in ("cuda", "kompute") and name else ("kompute", device)


_DEVICES = (
    "Without `device` it computes on the CPU, or with Metal on Apple's processors. NVIDIA's GPUs need "
    "pip install 'gpt4all[cuda]' and device='cuda'."
)


def _load_error(params: ModelParams, said: str) -> LocalModelError:
    if params.device not in (None, "cpu") and ("GPU" in said or "backend" in said):
        return UnsupportedFeatureError(f"GPT4All cannot compute on device={params.device!r}: {said}.", hint=_DEVICES)
    return ModelFileError(
        f"GPT4All cannot load {os.path.basename(params.path)!r}: {said}.",
        hint="GPT4All's llama.cpp is of July 2024, and reads no newer kinds of models; LlamaCpp and ChatLlamaCpp may. "
        "Too little memory needs a smaller `n_ctx`, or a smaller quantization. More than some 20 models at once are "
        "too many for GPT4All.",
    )
