"""llama.cpp on models whose memory is no plain KV cache: what a slot still holds must never change an answer.

Each answer is compared with that of a context of its own. llama.cpp rounds differently when it computes other tokens
together, so where the two best words are all but equally likely, either may come: such places are counted, and few.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from langchain_localmodels import LlamaCpp
from langchain_localmodels.engines.llamacpp.binding.context import Batch, Context
from langchain_localmodels.weights.gguf import read_header
from tests.models_other import words, write_gemma3, write_lfm2, write_mamba

WRITERS = {"recurrent": write_mamba, "hybrid": write_lfm2, "sliding window": write_gemma3}
WORDS = words()
ROUNDING = 0.3
"""Most that rounding changes in a log probability; the words' scores spread over 8."""
TIE = 0.05
MOST_TIES = 2


@dataclass(frozen=True)
class Kind:
    name: str
    path: Path

    @property
    def can_cut_back(self) -> bool:
        return self.name == "sliding window"


@pytest.fixture(scope="module", params=WRITERS)
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kind:
    path = tmp_path_factory.mktemp("models") / "model.gguf"
    return Kind(request.param, WRITERS[request.param](path))


@dataclass(frozen=True)
class Answer:
    text: str
    read: int
    reused: int
    written: int
    logprobs: tuple[float, ...]
    leads: tuple[float, ...]
    """By how much the best word led the second best, for each token."""


def ask_all(llm: LlamaCpp, prompts: list[str], **fields: Any) -> list[Answer]:
    answers: list[Answer] = []
    for (generation,) in llm.generate(prompts, logprobs=True, top_logprobs=2, **fields).generations:
        info = generation.generation_info
        usage = info["usage_metadata"]
        content = info["logprobs"]["content"]
        answers.append(
            Answer(
                text=generation.text,
                read=usage["input_tokens"],
                reused=usage.get("input_token_details", {}).get("cache_read", 0),
                written=usage["output_tokens"],
                logprobs=tuple(token["logprob"] for token in content),
                leads=tuple(
                    token["top_logprobs"][0]["logprob"] - token["top_logprobs"][1]["logprob"] for token in content
                ),
            )
        )
    return answers


def ask(llm: LlamaCpp, prompt: str, **fields: Any) -> Answer:
    return ask_all(llm, [prompt], **fields)[0]


class Judge:
    """Compares answers with those of contexts that have never read anything else."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._alone: dict[tuple[str, int], Answer] = {}
        self.ties = 0

    def alone(self, prompt: str, most: int) -> Answer:
        key = (prompt, most)
        if key not in self._alone:
            with make_llm(self._kind, n_ctx=1280, n_parallel=1) as llm:
                self._alone[key] = ask(llm, prompt, max_tokens=most)
        return self._alone[key]

    def check(self, prompt: str, got: Answer, most: int) -> None:
        want = self.alone(prompt, most)
        assert want.reused == 0
        assert got.read == want.read
        for at, (word, wanted) in enumerate(zip(got.text.split(), want.text.split(), strict=True)):
            if word != wanted:
                assert want.leads[at] < TIE, f"{word!r} instead of {wanted!r} at {at}, after {prompt!r}"
                self.ties += 1
                assert self.ties <= MOST_TIES
                return
            assert abs(got.logprobs[at] - want.logprobs[at]) < ROUNDING, f"at {at}, after {prompt!r}"


@pytest.fixture
def judge(kind: Kind) -> Judge:
    return Judge(kind)


def make_llm(kind: Kind, **fields: Any) -> LlamaCpp:
    return LlamaCpp(**{"model_path": str(kind.path), "temperature": 0, "n_threads": 1, "n_ctx": 1024, **fields})


@pytest.fixture
def llm_with(kind: Kind) -> Iterator[Callable[..., LlamaCpp]]:
    """Makes objects, each with a context that no test has used before."""
    made: list[LlamaCpp] = []

    def make(**fields: Any) -> LlamaCpp:
        made.append(make_llm(kind, **fields))
        return made[-1]

    yield make
    for llm in made:
        llm.close()


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many tokens each call of `decode` that succeeded has computed."""
    seen: list[int] = []
    decode = Context.decode

    def spy(self: Context, batch: Batch) -> int:
        code = decode(self, batch)
        if code == 0:
            seen.append(batch.count)
        return code

    monkeypatch.setattr(Context, "decode", spy)
    return seen


def text(count: int, seed: int) -> str:
    return "".join(random.Random(seed).choices(WORDS, k=count))


# --- the models -----------------------------------------------------------------------------------------------------


def test_the_models_are_what_they_are_meant_to_be(kind: Kind, llm_with: Callable[..., LlamaCpp], judge: Judge):
    llm = llm_with()
    assert llm.engine._borrowed().model().can_cut_back == kind.can_cut_back
    prompts = [text(60, seed) for seed in range(6)]
    answers = [judge.alone(prompt, 24) for prompt in prompts]
    assert len({answer.text for answer in answers}) == len(prompts)
    for prompt, answer in zip(prompts, answers, strict=True):
        assert answer.written == 24
        assert len(set(answer.text.split())) > 6  # no word over and over again
        # What it wrote is read back as the same tokens.
        both = [*llm.engine.tokenize(prompt), *llm.engine.tokenize(answer.text)]
        assert list(llm.engine.tokenize(prompt + answer.text)) == both
        # The far beginning counts: an answer from a wrong memory would show.
        other = judge.alone(text(10, 99) + prompt[len(text(60, 0)) % 7 :], 24)
        assert max(abs(a - b) for a, b in zip(answer.logprobs, other.logprobs, strict=True)) > 2 * ROUNDING


def test_their_memory_is_planned(kind: Kind, llm_with: Callable[..., LlamaCpp]):
    per_token = read_header(str(kind.path)).kv_bytes_per_token()
    # Keys and values, 2 bytes each, of 2 heads of 16, in the layers with attention.
    layers = {"recurrent": 0, "hybrid": 2, "sliding window": 6}[kind.name]
    assert per_token == layers * 2 * 16 * 2 * 2
    assert ask(llm_with(n_ctx=None), text(5, 1), max_tokens=3).written == 3
    assert ask(llm_with(n_ctx=0), text(5, 1), max_tokens=3).written == 3


# --- one after another ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_parallel", [1, 4])
def test_after_prompts_that_begin_alike(
    llm_with: Callable[..., LlamaCpp], judge: Judge, computed: list[int], n_parallel: int
):
    base = text(70, 1)
    first = judge.alone(base, 20).text
    prompts = {
        "first": base,
        "the same": base,
        "longer": base + text(40, 2),
        "shorter": text(70, 1)[: len("".join(base.split(" ")[:30])) + 29],
        "another middle": base[: base.index(" ", 150)] + text(30, 3),
        "back again": base,
        "with its answer": base + first + text(9, 4),
        "with half its answer": base + "".join(f" {word}" for word in first.split()[:10]) + text(9, 5),
        "something else": text(50, 6),
        "one word": text(1, 7),
        "at last": base,
    }
    llm = llm_with(n_parallel=n_parallel)
    for name, prompt in prompts.items():
        judge.alone(prompt, 20)
        computed.clear()
        got = ask(llm, prompt, max_tokens=20)
        judge.check(prompt, got, 20)
        # The last word is never computed: nothing comes after it.
        assert sum(computed) == got.read - got.reused + got.written - 1, name


@pytest.mark.parametrize("n_parallel", [1, 4])
def test_after_prompts_at_random(llm_with: Callable[..., LlamaCpp], judge: Judge, computed: list[int], n_parallel: int):
    dice = random.Random(n_parallel)
    llm = llm_with(n_parallel=n_parallel, n_ctx=512)
    history = [text(30, 1)]
    for turn in range(40):
        earlier = dice.choice(history)
        cut = dice.choice([len(earlier), earlier.rindex(" "), earlier.find(" ", len(earlier) // 2)])
        prompt = earlier[:cut] + text(dice.choice([0, 1, 2, 25]), turn)
        if not prompt or len(prompt) > 1200:
            continue
        most = dice.choice([1, 2, 9])
        judge.alone(prompt, most)
        computed.clear()
        got = ask(llm, prompt, max_tokens=most)
        judge.check(prompt, got, most)
        assert sum(computed) == got.read - got.reused + got.written - 1
        history += [prompt, prompt + got.text]


@pytest.mark.parametrize("n_parallel", [1, 4])
def test_a_conversation_that_goes_on_is_not_read_again(
    llm_with: Callable[..., LlamaCpp], judge: Judge, n_parallel: int
):
    llm = llm_with(n_parallel=n_parallel)
    prompt = text(40, 1)
    held = 0
    for turn in range(4):
        got = ask(llm, prompt, max_tokens=15)
        judge.check(prompt, got, 15)
        assert got.reused == held
        held = got.read + got.written - 1
        prompt += got.text + text(8, 10 + turn)


def test_what_cannot_be_cut_back_is_not_counted_as_reused(kind: Kind, llm_with: Callable[..., LlamaCpp], judge: Judge):
    llm = llm_with(n_parallel=1)
    base = text(40, 1)
    ask(llm, base, max_tokens=10)
    for prompt in (base, base + text(5, 2)):
        got = ask(llm, prompt, max_tokens=10)
        judge.check(prompt, got, 10)
        if kind.can_cut_back:
            assert got.reused >= 39
        else:
            assert got.reused == 0


# --- together -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_parallel", [1, 4])
def test_several_at_once(llm_with: Callable[..., LlamaCpp], judge: Judge, n_parallel: int):
    base = text(50, 1)
    prompts = [
        base,
        base,
        base + text(20, 2),
        base[: base.index(" ", 120)],
        text(35, 3),
        base + text(20, 2) + text(4, 4),
    ]
    llm = llm_with(n_parallel=n_parallel)
    for _ in range(3):
        for prompt, got in zip(prompts, ask_all(llm, prompts, max_tokens=16), strict=True):
            judge.check(prompt, got, 16)
    plain = llm.batch(prompts, max_tokens=16)
    # `batch` gives the text alone, so where there was a tie it is not compared.
    alone = [judge.alone(prompt, 16) for prompt in prompts]
    for got, want in zip(plain, alone, strict=True):
        assert got == want.text or min(want.leads) < TIE


def test_when_the_cache_is_full(kind: Kind, llm_with: Callable[..., LlamaCpp], judge: Judge):
    """Requests that begin together in 256 cells but cannot end together there."""
    prompts = [text(45, seed) for seed in range(4)]
    llm = llm_with(n_parallel=4, n_ctx=256)
    for _ in range(2):
        for prompt, got in zip(prompts, ask_all(llm, prompts, max_tokens=60), strict=True):
            judge.check(prompt, got, 60)
    preemptions = llm.engine._borrowed().stats().preemptions
    # A recurrent model needs no cell for a token.
    assert (preemptions == 0) == (kind.name == "recurrent")


async def test_after_streams_that_were_broken_off(llm_with: Callable[..., LlamaCpp], judge: Judge):
    llm = llm_with(n_parallel=2)
    base = text(60, 1)
    want = judge.alone(base, 20).text.split()
    for count in (1, 2, 7):
        with closing(llm.stream(base, max_tokens=200)) as stream:
            begun = [next(stream) for _ in range(count)]
        # What was read so far, and a few words more or less: the stream ran on until it was closed.
        assert "".join(begun).split() == want[:count] or judge.ties
        for prompt in (base + "".join(begun), base + "".join(begun) + text(3, 2), base):
            judge.check(prompt, ask(llm, prompt, max_tokens=12), 12)
    long = text(900, 3)
    for _ in range(3):
        task = asyncio.ensure_future(llm.ainvoke(long, max_tokens=5))
        await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for prompt in (long[: long.index(" ", 300)], base):
            judge.check(prompt, await asyncio.to_thread(ask, llm, prompt, max_tokens=12), 12)
    judge.check(long, await asyncio.to_thread(ask, llm, long, max_tokens=5), 5)


@pytest.mark.parametrize("length", [33, 45, 60, 68, 72, 90])
def test_what_a_cache_has_given_away(kind: Kind, llm_with: Callable[..., LlamaCpp], judge: Judge, length: int):
    """Cells that lie behind a sliding window go to whoever comes next to them, though others are free."""
    llm = llm_with(n_parallel=4, n_ctx=256)
    base = text(100, 1)
    for prompt in (text(60, 0), base, text(10, 2)):
        ask(llm, prompt, max_tokens=1)
    # Takes the place of the first one, and is longer: the rest goes where the beginning of the second one lay.
    ask(llm, text(100, 3), max_tokens=1)
    cut = "".join(f" {word}" for word in base.split()[:length]) + text(4, 5)
    got = ask(llm, cut, max_tokens=12)
    judge.check(cut, got, 12)
    if kind.can_cut_back and length >= 72:
        assert got.reused == length  # the window of what comes next is whole
