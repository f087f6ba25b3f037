"""Thousands of requests from threads and tasks at once, with cancels and errors: right answers, nothing left over."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import resource
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler

from langchain_localmodels import ChatLlamaCpp, LlamaCpp
from tests.models import write_demo_unquantized

THREADS = TASKS = 32
END = "<|im_end|>"
EACH = 25
CLOSE_CALL = 0.05
"""Two logits nearer than this may change places when other requests are in the same batch: the sums are rounded
otherwise."""

NAMES = ("Ada", "Bob", "Cleo", "Dan", "Eve", "Finn")
RULES = "You are an assistant tasked with improving Google search results. "
PROMPTS = [
    *(f"My name is {name}. My friend is {other}." for name in NAMES for other in NAMES),
    *(f"{RULES}{RULES}Where is the {thing}?" for thing in ("car", "house", "piano", "boat", "lamp", "key")),
    *("The first man on the moon was", "Once upon a time", "Hello", "2 + 2 =", "In short: " * 30, "a " * 200),
]


@dataclass
class Solo:
    """The answer to a prompt that runs alone: its tokens, and how much better each was than the next best."""

    tokens: list[str]
    leads: list[float]


def ask(llm: LlamaCpp, prompt: str, **more: Any) -> tuple[str, list[dict[str, Any]]]:
    generation = llm.generate([prompt], logprobs=True, **more).generations[0][0]
    return generation.text, (generation.generation_info or {}).get("logprobs", {}).get("content", [])


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo model without quantization, which would make a close call of nearly every one."""
    return write_demo_unquantized(tmp_path_factory.mktemp("model") / "demo-f32.gguf")


@pytest.fixture(scope="module")
def solos(model_path: Path) -> dict[str, Solo]:
    found: dict[str, Solo] = {}
    with LlamaCpp(model_path=model_path, temperature=0, n_threads=1, n_parallel=1, max_tokens=40) as llm:
        for prompt in PROMPTS:
            _, tokens = ask(llm, prompt, top_logprobs=2)
            if len(tokens) < 40:  # how close a call the end was is told when it is forbidden
                end = {int(llm.engine.tokenize(END)[0]): -1000.0}
                ending = ask(llm, prompt, top_logprobs=2, max_tokens=len(tokens) + 1, logit_bias=end)[1][len(tokens)]
                tokens.append({**ending, "token": END})
            leads = [token["top_logprobs"][0]["logprob"] - token["top_logprobs"][1]["logprob"] for token in tokens]
            found[prompt] = Solo([token["token"] for token in tokens], leads)
    return found


@dataclass
class Tally:
    """What came of all requests."""

    solos: dict[str, Solo]
    whole: int = 0
    cut: int = 0
    ties: int = 0
    wrong: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def compare(self, prompt: str, tokens: list[str], max_tokens: int) -> None:
        solo = self.solos[prompt]
        want = solo.tokens[:max_tokens]
        tokens = [*tokens, END][:max_tokens]
        differing = next((i for i, (a, b) in enumerate(zip(tokens, want, strict=False)) if a != b), None)
        with self.lock:
            self.whole += 1
            if differing is not None and solo.leads[differing] < CLOSE_CALL:
                self.ties += 1
            elif tokens != want:
                self.wrong.append(f"{prompt!r}: {tokens} instead of {want}")

    def count_cut(self) -> None:
        with self.lock:
            self.cut += 1


class Mistake(Exception):
    """What the callbacks of some requests raise."""


class Stumble(BaseCallbackHandler):
    raise_error = True

    def __init__(self, after: int) -> None:
        self.left = after

    def on_llm_new_token(self, token: str, **_: Any) -> None:
        self.left -= 1
        if self.left <= 0:
            raise Mistake


def in_a_thread(llm: LlamaCpp, chance: random.Random, tally: Tally) -> None:
    for _ in range(EACH):
        prompt, max_tokens = chance.choice(PROMPTS), chance.choice((1, 2, 5, 10, 20, 40))
        kind = chance.random()
        if kind < 0.55:
            tally.compare(prompt, [t["token"] for t in ask(llm, prompt, max_tokens=max_tokens)[1]], max_tokens)
        elif kind < 0.75:
            with closing(llm.stream(prompt, max_tokens=max_tokens)) as stream:
                for number, _ in enumerate(stream):
                    if number >= chance.randrange(5):
                        break
            tally.count_cut()
        elif kind < 0.85:
            next(iter(llm.stream(prompt, max_tokens=max_tokens)), None)  # left to the garbage collector
            tally.count_cut()
        else:
            with suppress(Mistake):
                llm.invoke(prompt, config={"callbacks": [Stumble(chance.randrange(1, 4))]}, max_tokens=max_tokens)
            tally.count_cut()


async def in_a_task(llm: LlamaCpp, chance: random.Random, tally: Tally) -> None:
    for _ in range(EACH):
        prompt, max_tokens = chance.choice(PROMPTS), chance.choice((1, 2, 5, 10, 20, 40))
        kind = chance.random()
        if kind < 0.55:
            result = await llm.agenerate([prompt], logprobs=True, max_tokens=max_tokens)
            tokens = (result.generations[0][0].generation_info or {}).get("logprobs", {}).get("content", [])
            tally.compare(prompt, [token["token"] for token in tokens], max_tokens)
        elif kind < 0.75:
            async with aclosing(llm.astream(prompt, max_tokens=max_tokens)) as stream:
                async for _ in stream:
                    if chance.random() < 0.4:
                        break
            tally.count_cut()
        else:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(llm.ainvoke(prompt, max_tokens=max_tokens), chance.random() * 0.05)
            tally.count_cut()


def resident_megabytes() -> float:
    if sys.platform.startswith("linux"):
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * resource.getpagesize() / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def run_all(llm: LlamaCpp, tally: Tally, seed: int) -> None:
    async def tasks() -> None:
        await asyncio.gather(*(in_a_task(llm, random.Random(f"{seed} {n}"), tally) for n in range(TASKS)))

    with ThreadPoolExecutor(THREADS + 1) as pool:
        jobs = [pool.submit(in_a_thread, llm, random.Random(seed * 1000 + n), tally) for n in range(THREADS)]
        jobs.append(pool.submit(asyncio.run, tasks()))
        for job in jobs:
            job.result()


def wait_until_idle(llm: LlamaCpp) -> None:
    deadline = time.monotonic() + 30
    gc.collect()
    while llm.engine_stats().running or llm.engine_stats().queued:
        assert time.monotonic() < deadline, "a slot was not freed"
        time.sleep(0.01)


@pytest.mark.parametrize("n_ctx", [2048, 512], ids=["room for all", "too little room"])
def test_right_answers_and_nothing_left_over(
    model_path: Path, solos: dict[str, Solo], n_ctx: int, capsys: pytest.CaptureFixture[str]
):
    logging.getLogger("langchain_core.callbacks.manager").setLevel(logging.ERROR)  # it warns of each raising callback
    fields = {"model_path": model_path, "temperature": 0, "n_threads": 1, "n_ctx": n_ctx, "max_tokens": 40}
    with LlamaCpp(**fields) as llm, ChatLlamaCpp(**fields) as chat:
        hello = chat.invoke("Hello").text
        tally = Tally(solos)
        run_all(llm, tally, seed=1)
        wait_until_idle(llm)
        threads, memory = threading.active_count(), resident_megabytes()
        run_all(llm, tally, seed=2)
        wait_until_idle(llm)
        stats = llm.engine_stats()
        assert threading.active_count() <= threads
        assert resident_megabytes() < memory + 30
        assert stats.kv_used <= stats.kv_cells
        assert chat.invoke("Hello").text == hello
    with capsys.disabled():
        print(
            f"\n{tally.whole} whole answers, {tally.ties} of them other than alone after a close call "
            f"({100 * tally.ties / tally.whole:.2f} %); {tally.cut} cut short; {stats.preemptions} preemptions; "
            f"{stats.tokens_per_second:.0f} tokens per second; a prefix found for {stats.prefix_hits} of "
            f"{stats.requests} requests"
        )
    assert tally.whole + tally.cut == 2 * EACH * (THREADS + TASKS)
    assert not tally.wrong, tally.wrong[:3]
    assert tally.ties < 0.01 * tally.whole
