"""How long `from langchain_localmodels import ChatLlamaCpp, ChatOllama` takes beside langchain-core's own import.

Run `python tests/benchmarks/import_time.py [ROUNDS]` from the root of the repository, on a machine that does nothing
else. Every round starts each import once in a fresh process, so that a busy moment meets all of them alike; the medians
are shown.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

IMPORTS = {
    "langchain_core's chat model": "import langchain_core.language_models.chat_models",
    "langchain_localmodels": "import langchain_localmodels",
    "its classes": "from langchain_localmodels import ChatLlamaCpp, ChatOllama",
}


def seconds(code: str) -> float:
    """Time one import in a fresh process."""
    timed = f"import time\nbegin = time.perf_counter()\n{code}\nprint(time.perf_counter() - begin)"
    return float(subprocess.run([sys.executable, "-c", timed], check=True, capture_output=True, text=True).stdout)


def main(rounds: int) -> None:
    """Measure and show."""
    times: dict[str, list[float]] = {name: [] for name in IMPORTS}
    for code in IMPORTS.values():
        seconds(code)  # writes bytecode
    for _ in range(rounds):
        for name, code in IMPORTS.items():
            times[name].append(seconds(code))
    base = statistics.median(next(iter(times.values())))
    for name, measured in times.items():
        median = statistics.median(measured)
        print(f"{name:32} {median * 1000:8.1f} ms   {median / base:5.2f} x")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
