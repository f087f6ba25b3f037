"""Tokens per second of this package beside llama-cpp-python's own `Llama` class, on the same file, in one run.

Run `python tests/benchmarks/decoding.py [MODEL.gguf] [--tokens N] [--threads N]` from the root of the repository, on a
machine that does nothing else. Every round runs each way once, so that a busy moment meets all of them alike; the
medians and their ratio to `Llama` are shown. The embedded demo model is so small that the cost of Python dominates:
give a model of your own to see what the engine itself does.

`Llama` faults on processors with Intel's AMX when the weights are quantized (ggml-org/llama.cpp issue 20824); there, it
is left out and told.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from langchain_localmodels import LlamaCpp
from langchain_localmodels.demo import model_path

PROMPT = "Once upon a time"


def llama_class(path: str, tokens: int, threads: int) -> None:
    """Print the rate of `Llama`: in a process of its own, since it may end that."""
    from llama_cpp import Llama

    llama = Llama(path, n_ctx=2048, n_threads=threads, verbose=False)
    bias = {llama.token_eos(): -1000.0, llama.token_bos(): -1000.0}
    for _ in range(2):
        began = time.perf_counter()
        count = 0
        for _ in llama(PROMPT, max_tokens=tokens, temperature=0, logit_bias=bias, stream=True):
            count += 1
        rate = count / (time.perf_counter() - began)
    print(rate)


def measure_llama_class(path: str, tokens: int, threads: int) -> float | None:
    """Tokens per second of `Llama`; `None` where it cannot run."""
    command = [sys.executable, __file__, path, "--tokens", str(tokens), "--threads", str(threads), "--llama-class"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return float(done.stdout) if done.returncode == 0 else None


def measure(llm: LlamaCpp, bias: dict[int, float], tokens: int, streams: int) -> float:
    """Tokens per second of all streams together, for so many requests at once."""

    def run(number: int) -> int:
        return sum(1 for _ in llm.stream(f"{PROMPT} {number}", logit_bias=bias, max_tokens=tokens))

    with ThreadPoolExecutor(streams) as pool:
        began = time.perf_counter()
        list(pool.map(run, range(streams)))
        return streams * tokens / (time.perf_counter() - began)


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", default=model_path)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--llama-class", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.llama_class:
        llama_class(args.model, args.tokens, args.threads)
        return
    rates: dict[str, list[float]] = {}
    with LlamaCpp(model_path=args.model, temperature=0, n_ctx=8192, n_threads=args.threads, n_parallel=16) as llm:
        model = llm.engine._borrowed().model()  # type: ignore[attr-defined]
        bias = {token: -1000.0 for token in range(model.vocab_size) if model.ends_generation(token)}
        measure(llm, bias, 20, 16)  # warm up
        for _ in range(args.rounds):
            base = measure_llama_class(args.model, args.tokens, args.threads)
            if base is not None:
                rates.setdefault("Llama, 1 stream", []).append(base)
            for streams in (1, 4, 16):
                rates.setdefault(f"LlamaCpp, {streams} at once", []).append(measure(llm, bias, args.tokens, streams))
    medians = {name: statistics.median(found) for name, found in rates.items()}
    base = medians.get("Llama, 1 stream")
    if base is None:
        print("llama-cpp-python's Llama class cannot run this file on this machine; no ratios.")
    for name, rate in medians.items():
        print(f"{name:24} {rate:9.0f} tokens/s" + (f"   {rate / base:6.2f} x" if base else ""))


if __name__ == "__main__":
    main()
