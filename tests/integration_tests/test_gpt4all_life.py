"""GPT4All's life in a process: noise, exits, forks, interrupts, and hundreds of requests at once with cancels."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import resource
import subprocess
import sys
import textwrap
import threading
from contextlib import aclosing, closing
from pathlib import Path

import pytest

from langchain_localmodels import GPT4All
from langchain_localmodels.demo import model_path
from langchain_localmodels.engines import sharing
from langchain_localmodels.engines.gpt4all.thread import GPT4AllThread

HEAD = """
from langchain_localmodels import GPT4All
from langchain_localmodels.demo import model_path
WILD = {"temperature": 50.0, "top_k": 0, "top_p": 1.0, "repeat_penalty": 1.0}
PROMPT = "The first man on the moon was ..."
"""


def run_script(script: str, *, timeout: float = 120, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", HEAD + textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, **environment},
    )


# --- noise ------------------------------------------------------------------------------------------------------------


def test_it_is_silent():
    done = run_script("""
        llm = GPT4All(model=model_path, n_threads=1, temperature=0)
        print(llm.invoke(PROMPT), flush=True)
    """)
    assert done.returncode == 0
    assert done.stderr == ""
    assert "Armstrong" in done.stdout


def test_verbose_shows_what_the_library_says():
    done = run_script("GPT4All(model=model_path, n_threads=1, verbose=True).load()")
    assert done.returncode == 0
    if "cuda" not in done.stderr:
        pytest.skip("this system has CUDA's libraries, so that there is nothing to be said")
    assert "Failed to load" in done.stderr


def test_what_others_write_to_stderr_meanwhile_is_not_swallowed():
    done = run_script("""
        import os, threading
        over = threading.Event()
        def write():
            count = 0
            while not over.is_set() or count < 2000:
                os.write(2, b"x")
                count += 1
            print(count)
        writer = threading.Thread(target=write)
        writer.start()
        GPT4All(model=model_path, n_threads=1).load()
        over.set()
        writer.join()
    """)
    assert done.stderr == "x" * int(done.stdout)


# --- ends -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "end",
    [
        "pass",
        "import sys; sys.exit(0)",
        "stream.close()",
        "llm.close()",
        "del llm, stream",
        "import gc; del llm; gc.collect()",
    ],
)
def test_the_interpreter_exits_cleanly_in_the_middle_of_an_answer(end: str):
    done = run_script(f"""
        llm = GPT4All(model=model_path, n_threads=1, max_tokens=1900, **WILD)
        stream = llm.stream("Hello")
        print(next(stream))
        {end}
    """)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_ctrl_c_stops_and_leaves_the_model_usable():
    done = run_script("""
        import os, signal, threading
        # What a shell starts in the background ignores it, and hands that on.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        llm = GPT4All(model=model_path, n_threads=1, max_tokens=1900, **WILD)
        llm.load()
        threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        try:
            while True:
                llm.invoke("Hello")
        except KeyboardInterrupt:
            print("interrupted")
        assert isinstance(llm.invoke("Hello", max_tokens=3), str)
    """)
    assert done.returncode == 0, done.stderr
    assert "interrupted" in done.stdout


def test_a_forked_child_loads_the_model_anew():
    done = run_script("""
        import os, warnings
        warnings.simplefilter("ignore")
        llm = GPT4All(model=model_path, n_threads=1, temperature=0)
        want = llm.invoke(PROMPT)
        child = os.fork()
        if child == 0:
            os._exit(7 if llm.invoke(PROMPT) == want else 8)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert llm.invoke(PROMPT) == want
    """)
    assert done.returncode == 0, done.stderr


def test_a_spawned_child_can_be_given_the_object():
    done = run_script("""
        import pickle, subprocess, sys
        llm = GPT4All(model=model_path, n_threads=1, temperature=0)
        want = llm.invoke(PROMPT)
        code = "import pickle, sys; print(pickle.load(sys.stdin.buffer).invoke('The first man on the moon was ...'))"
        got = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(llm), capture_output=True, check=True)
        assert got.stdout.decode() == want + "\\n", got
    """)
    assert done.returncode == 0, done.stderr


def test_without_gpt4all_the_extra_is_named():
    done = run_script("""
        import sys
        sys.modules["gpt4all"] = None  # as if it were not installed
        from langchain_localmodels.errors import EngineNotInstalledError
        llm = GPT4All(model=model_path)
        try:
            llm.invoke("Hello")
        except EngineNotInstalledError as error:
            assert "langchain-localmodels[gpt4all]" in str(error), error
            assert isinstance(error, ImportError)
        else:
            raise SystemExit(1)
    """)
    assert done.returncode == 0, done.stderr


def test_on_arm_it_is_said_that_there_is_none():
    done = run_script("""
        import platform, sys
        sys.modules["gpt4all"] = None
        sys.platform = "linux"
        platform.machine = lambda: "aarch64"
        from langchain_localmodels.errors import EngineNotInstalledError
        try:
            GPT4All(model=model_path).invoke("Hello")
        except EngineNotInstalledError as error:
            print(error.hint)
    """)
    assert "ARM" in done.stdout
    assert "LlamaCpp" in done.stdout


@pytest.mark.parametrize("used", [True, False])
def test_a_collected_object_lets_go(used: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sharing, "_LINGER", 0.0)
    llm = GPT4All(model=model_path, n_threads=1, n_ctx=96, temperature=0)
    if used:
        llm.invoke("Hello", max_tokens=2)
    else:
        llm.load()
    thread = llm.engine._hold.thread()  # type: ignore[attr-defined]
    del llm
    gc.collect()
    thread.join(timeout=30)
    assert thread.over


def test_another_process_of_gpt4all_itself_is_left_alone():
    """Objects of gpt4all's own class work beside ours."""
    done = run_script("""
        import gpt4all
        llm = GPT4All(model=model_path, n_threads=1, temperature=0)
        want = llm.invoke(PROMPT)
        own = gpt4all.GPT4All(model_path, allow_download=False, n_threads=1)
        assert "Neil" in own.generate("The first man on the moon was", temp=0, max_tokens=5)
        assert llm.invoke(PROMPT) == want
    """)
    assert done.returncode == 0, done.stderr


# --- many at once -----------------------------------------------------------------------------------------------------

THREADS = TASKS = 16
EACH = 10
PROMPTS = [
    f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
    for question in (
        *(f"My name is {name}. What is my name?" for name in ("Ada", "Bob", "Eve")),
        "Who was the first man on the moon?",
        "Tell me a story.",
        "Hello",
    )
]


class Tally:
    def __init__(self, want: dict[str, str]) -> None:
        self.want = want
        self.whole = 0
        self.cut = 0
        self.wrong: list[str] = []
        self.lock = threading.Lock()

    def take(self, prompt: str, text: str, *, whole: bool) -> None:
        want = self.want[prompt]
        right = text == want if whole else want.startswith(text)
        with self.lock:
            self.whole += whole
            self.cut += not whole
            if not right:
                self.wrong.append(f"{prompt!r}: {text!r} instead of {want!r}")


def _by_threads(llm: GPT4All, tally: Tally) -> list[threading.Thread]:
    def work(number: int) -> None:
        chance = random.Random(number)
        for _ in range(EACH):
            prompt = chance.choice(PROMPTS)
            if chance.random() < 0.4:
                with closing(llm.stream(prompt)) as stream:  # type: ignore[type-var]
                    text = "".join(piece for piece, _ in zip(stream, range(chance.randint(1, 4)), strict=False))
                tally.take(prompt, text, whole=False)
            else:
                tally.take(prompt, llm.invoke(prompt), whole=True)

    return [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]


async def _by_tasks(llm: GPT4All, tally: Tally) -> None:
    async def work(number: int) -> None:
        chance = random.Random(1000 + number)
        for _ in range(EACH):
            prompt = chance.choice(PROMPTS)
            how = chance.random()
            if how < 0.25:
                task = asyncio.create_task(llm.ainvoke(prompt))
                await asyncio.sleep(chance.random() * 0.05)
                task.cancel()
                (found,) = await asyncio.gather(task, return_exceptions=True)
                if isinstance(found, str):
                    tally.take(prompt, found, whole=True)
            elif how < 0.5:
                async with aclosing(llm.astream(prompt)) as stream:  # type: ignore[type-var]
                    text = await anext(aiter(stream))
                tally.take(prompt, text, whole=False)
            else:
                tally.take(prompt, await llm.ainvoke(prompt), whole=True)

    await asyncio.gather(*(work(number) for number in range(TASKS)))


@pytest.mark.parametrize("isolate", [False, True])
def test_threads_and_tasks_at_once_with_cancels_get_right_answers(isolate: bool):
    fields = {"model": model_path, "n_threads": 1, "temperature": 0, "max_tokens": 24}
    with GPT4All(**fields, n_ctx=512, isolate=isolate) as llm:
        want: dict[str, str] = {}
        for prompt in PROMPTS:
            with GPT4All(**fields, n_ctx=500) as fresh:
                want[prompt] = fresh.invoke(prompt)
        assert len(set(want.values())) == len(PROMPTS)
        assert all(want.values())
        tally = Tally(want)
        _round(llm, tally)
        gc.collect()
        before = _memory()
        _round(llm, tally)
        gc.collect()
        assert tally.wrong == []
        assert tally.whole > THREADS * EACH
        assert tally.cut > 50
        assert _memory() - before < 40 * 2**20
        _nothing_waits(llm)
        key = llm.engine._hold.key if not isolate else None  # type: ignore[attr-defined]
    assert threading.active_count() < 50
    assert key is None or sharing.users_of(GPT4AllThread, key) == 0


def _nothing_waits(llm: GPT4All) -> None:
    if llm.isolate:
        child = llm.engine._child()  # type: ignore[attr-defined]
        llm.invoke(PROMPTS[0], max_tokens=1)  # which comes after the ends of the others
        assert child is llm.engine._child(), "the process has not crashed"  # type: ignore[attr-defined]
        assert child._waiting == {}
    else:
        queue = llm.engine._hold.thread()._queue  # type: ignore[attr-defined]
        assert queue == type(queue)()


def _round(llm: GPT4All, tally: Tally) -> None:
    threads = _by_threads(llm, tally)
    for thread in threads:
        thread.start()
    asyncio.run(_by_tasks(llm, tally))
    for thread in threads:
        thread.join()


def _memory() -> int:
    """Bytes of memory of this process."""
    status = Path("/proc/self/statm")
    if status.exists():
        return int(status.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
