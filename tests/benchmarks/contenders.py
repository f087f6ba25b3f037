"""Who is measured: each side behind the same three calls, with the same context and the same threads.

Only one of them is alive at a time: it is made, warmed up, measured and ended in every round, in a thread of its own.
So no idle context holds memory bandwidth, and no second team of OpenMP threads makes the first one wait otherwise.
"""

from __future__ import annotations

import asyncio
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from langchain_localmodels import LlamaCpp
from langchain_localmodels.engines.llamacpp.binding.library import lib
from tests.benchmarks.materials import tokenize

T = TypeVar("T")
BATCH = 512


@dataclass(frozen=True)
class Setup:
    """What all sides of a figure share.

    Attributes:
        model: The model file.
        threads: CPU threads, to read prompts and to generate.
        cells: Tokens in the KV cache, for all sequences together.
        sequences: Most sequences at once.
        server: The `llama-server` program.
    """

    model: Path
    threads: int
    cells: int = 4096
    sequences: int = 8
    server: Path | None = None


class Contender(ABC):
    """One side. `with` makes and ends it."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup

    def __enter__(self) -> Contender:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def open(self) -> None:
        """Load the model."""

    @abstractmethod
    def close(self) -> None:
        """Free it."""

    @abstractmethod
    def generate(self, prompts: list[str], tokens: int) -> None:
        """Give every prompt an answer of so many tokens, all prompts at once where the side can."""

    @abstractmethod
    def check(self, prompts: list[str], tokens: int) -> None:
        """Raise unless the last `generate` wrote what was asked for."""

    def time(self, prompts: list[str], tokens: int) -> float:
        """Seconds that `generate` takes."""
        began = time.perf_counter()
        self.generate(prompts, tokens)
        took = time.perf_counter() - began
        self.check(prompts, tokens)
        return took

    def converse(self, rounds: list[list[str]], tokens: int) -> float:
        """Seconds for rounds of prompts, one after the other."""
        return sum(self.time(prompts, tokens) for prompts in rounds)

    def reused(self) -> int | None:
        """Prompt tokens that were found in the cache so far, where the side tells."""
        return None


class BareLoop(Contender):
    """A plain loop over `llama_decode`: what Python can reach if it does nothing else. It is given token ids."""

    def open(self) -> None:
        setup = self.setup
        self._model = lib.llama_model_load_from_file(str(setup.model).encode(), lib.llama_model_default_params())
        params = lib.llama_context_default_params()
        params.n_ctx, params.n_seq_max, params.kv_unified = setup.cells, setup.sequences, True
        params.n_batch = params.n_ubatch = BATCH
        params.n_threads = params.n_threads_batch = setup.threads
        self._context = lib.llama_init_from_model(self._model, params)
        self._vocab = lib.llama_model_get_vocab(self._model)
        self._size = lib.llama_vocab_n_tokens(self._vocab)
        self._batch = lib.llama_batch_init(BATCH, 0, 1)
        # Numpy's view of the C arrays: setting ctypes fields one by one would cost 30 times as much.
        self._token, self._pos = (np.ctypeslib.as_array(a, (BATCH,)) for a in (self._batch.token, self._batch.pos))
        self._want = np.ctypeslib.as_array(self._batch.logits, (BATCH,))
        self._seq = [self._batch.seq_id[i] for i in range(BATCH)]
        for i in range(BATCH):
            self._batch.n_seq_id[i] = 1

    def close(self) -> None:
        lib.llama_batch_free(self._batch)
        lib.llama_free(self._context)
        lib.llama_model_free(self._model)

    def time(self, prompts: list[str], tokens: int) -> float:
        ids = [tokenize(self._vocab, prompt) for prompt in prompts]
        began = time.perf_counter()
        self._run(ids, tokens)
        return time.perf_counter() - began

    def generate(self, prompts: list[str], tokens: int) -> None:
        self._run([tokenize(self._vocab, prompt) for prompt in prompts], tokens)

    def _run(self, prompts: list[list[int]], tokens: int) -> None:
        lib.llama_memory_clear(lib.llama_get_memory(self._context), True)
        pending = list(range(len(prompts)))
        answers: list[list[int]] = [[] for _ in prompts]
        while pending:  # as many whole prompts as a batch takes
            together, count = [], 0
            self._want[:] = 0
            while pending and count + len(prompts[pending[0]]) <= BATCH:
                sequence = pending.pop(0)
                ids = prompts[sequence]
                self._token[count : count + len(ids)] = ids
                self._pos[count : count + len(ids)] = range(len(ids))
                for i in range(count, count + len(ids)):
                    self._seq[i][0] = sequence
                count += len(ids)
                self._want[count - 1] = 1
                together.append((sequence, count - 1))
            self._decode(count)
            for sequence, index in together:
                answers[sequence].append(self._best(index))
        width = len(prompts)
        lengths = np.array([len(ids) for ids in prompts], np.int32)
        for i in range(width):
            self._seq[i][0] = i
        self._want[:width] = 1
        for step in range(tokens - 1):
            self._token[:width] = [answer[-1] for answer in answers]
            self._pos[:width] = lengths + step
            self._decode(width)
            for i, answer in enumerate(answers):
                answer.append(self._best(i))
        self._wrote = [len(answer) for answer in answers]

    def _decode(self, count: int) -> None:
        self._batch.n_tokens = count
        if code := lib.llama_decode(self._context, self._batch):
            raise RuntimeError(f"llama_decode gave {code}")

    def _best(self, index: int) -> int:
        token = int(np.ctypeslib.as_array(lib.llama_get_logits_ith(self._context, index), (self._size,)).argmax())
        if lib.llama_vocab_is_eog(self._vocab, token):
            raise RuntimeError("the benchmark model ended an answer")
        return token

    def check(self, prompts: list[str], tokens: int) -> None:
        assert self._wrote == [tokens] * len(prompts)


class Ours(Contender):
    """This package's `LlamaCpp`: `stream` for one prompt, `batch` for more."""

    def open(self) -> None:
        setup = self.setup
        self.llm = LlamaCpp(
            model_path=str(setup.model),
            temperature=0,
            n_ctx=setup.cells,
            n_parallel=setup.sequences,
            n_batch=BATCH,
            n_threads=setup.threads,
            n_threads_batch=setup.threads,
        ).load()
        self._written = 0

    def close(self) -> None:
        self.llm.close()

    def generate(self, prompts: list[str], tokens: int) -> None:
        if len(prompts) == 1:
            for _ in self.llm.stream(prompts[0], max_tokens=tokens):
                pass
        else:
            self.llm.batch(prompts, max_tokens=tokens)

    def converse(self, rounds: list[list[str]], tokens: int) -> float:
        async def run() -> None:
            for prompts in rounds:
                await self.llm.abatch(prompts, max_tokens=tokens)

        began = time.perf_counter()
        asyncio.run(run())
        took = time.perf_counter() - began
        self.check([prompt for prompts in rounds for prompt in prompts], tokens)
        return took

    def check(self, prompts: list[str], tokens: int) -> None:
        written = self.llm.engine_stats().generated_tokens
        if written - self._written != tokens * len(prompts):
            raise RuntimeError(f"{written - self._written} tokens came instead of {tokens * len(prompts)}")
        self._written = written

    def reused(self) -> int:
        return self.llm.engine_stats().reused_tokens


class Community(Contender):
    """langchain-community's `LlamaCpp`; its `batch` runs one prompt after the other."""

    def open(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            from langchain_community.llms import LlamaCpp as CommunityLlamaCpp

        setup = self.setup
        self.llm = CommunityLlamaCpp(
            model_path=str(setup.model),
            temperature=0,
            repeat_penalty=1.0,
            n_ctx=setup.cells,
            n_batch=BATCH,
            n_threads=setup.threads,
            model_kwargs={"n_threads_batch": setup.threads},
            verbose=False,
        )

    def close(self) -> None:
        self.llm.client.close()

    generate = Ours.generate

    def check(self, prompts: list[str], tokens: int) -> None:
        client = self.llm.client
        read = len(client.tokenize(prompts[-1].encode(), add_bos=False, special=True))
        if client.n_tokens != read + tokens - 1:  # the last token is not computed any more
            raise RuntimeError(f"{client.n_tokens - read + 1} tokens came instead of {tokens}")


def apart(run: Callable[[], T]) -> T:
    """Run in a thread that ends after it, and its OpenMP team with it."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()


def make(name: str, setup: Setup) -> Any:
    """The contender of that name."""
    from tests.benchmarks.server import Server

    kinds: dict[str, type[Contender]] = {
        "bare loop": BareLoop,
        "LlamaCpp": Ours,
        "langchain-community": Community,
        "llama-server": Server,
    }
    return kinds[name](setup)
