"""What a number of tokens per second does not show: the first token beside a long prompt, and a second object."""

from __future__ import annotations

import gc
import os
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psutil

from langchain_localmodels import LlamaCpp
from tests.benchmarks.contenders import Ours, Setup
from tests.benchmarks.figures import Results
from tests.benchmarks.materials import Prompts

SHORT, LONG = 16, 1500
EARLIEST, LATEST = 0.1, 0.7


def first_token(setup: Setup, prompts: Prompts, rounds: int, results: Results) -> None:
    """A short request that arrives while a long prompt is read; in each round at another moment of it."""
    times = results.rates["first token"] = {
        name: [] for name in ("on an idle engine", "of the long prompt", "beside the long prompt")
    }
    ratios = results.values["first token"] = {
        name: [] for name in ("on an idle engine", "after waiting for the long prompt")
    }
    results.units["first token"] = "ms"
    for number in range(rounds):
        moment = EARLIEST + (LATEST - EARLIEST) * (number / (rounds - 1) if rounds > 1 else 0.5)
        with Ours(setup) as side:
            assert isinstance(side, Ours)
            llm = side.llm
            seconds_to_first(llm, prompts.take(SHORT))  # warm up
            idle = statistics.median(seconds_to_first(llm, prompts.take(SHORT)) for _ in range(3))
            alone = seconds_to_first(llm, prompts.take(LONG))
            beside = _beside(llm, prompts.take(LONG), prompts.take(SHORT), moment * alone)
        # Who waits gets the rest of the long prompt and then an idle engine.
        waiting = (1 - moment) * alone + idle
        for name, value in zip(times, (idle, alone, beside), strict=True):
            times[name].append(1000 * value)
        for name, value in zip(ratios, (idle, waiting), strict=True):
            ratios[name].append(beside / value)


def seconds_to_first(llm: LlamaCpp, prompt: str) -> float:
    """Seconds from the call to the first token."""
    began = time.perf_counter()
    pieces = llm.stream(prompt, max_tokens=SHORT)
    next(pieces)
    took = time.perf_counter() - began
    for _ in pieces:
        pass
    return took


def _beside(llm: LlamaCpp, long_prompt: str, short_prompt: str, delay: float) -> float:
    """Seconds to the first token of a prompt that comes `delay` seconds after another one."""
    began = threading.Event()

    def read_long() -> float:
        began.set()
        return seconds_to_first(llm, long_prompt)

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read_long)
        began.wait()
        time.sleep(delay)
        if reading.done():
            raise RuntimeError("the long prompt was read before the short one came")
        took = seconds_to_first(llm, short_prompt)
        reading.result()
    return took


def second_object(setup: Setup, rounds: int, results: Results) -> None:
    """What another object on the same file costs while the first is loaded."""
    process = psutil.Process(os.getpid())
    found = results.values["second object"] = {"time": [], "memory": []}
    with Ours(setup) as side:
        assert isinstance(side, Ours)
        side.llm.invoke("a", max_tokens=2)
        fields = side.llm.model_dump(include=side.llm.model_fields_set)
        for _ in range(rounds):
            gc.collect()
            before = process.memory_info().rss
            began = time.perf_counter()
            second = LlamaCpp(**fields).load()
            found["time"].append(1000 * (time.perf_counter() - began))
            found["memory"].append((process.memory_info().rss - before) / 1e6)
            second.close()
