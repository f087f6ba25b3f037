"""The embedded demo model does what its README says, through both engines that can run it in this process.

These are the fixed prompts of the guide and one of each kind; the table over hundreds of held-out samples is made by
`python -m langchain_localmodels.demo.evaluate`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from langchain_localmodels import LlamaCpp
from langchain_localmodels.demo import model_path

Complete = Callable[[str], str]


def llamacpp() -> Iterator[Complete]:
    with LlamaCpp(model_path=model_path, temperature=0, max_tokens=160, n_threads=1) as llm:
        yield llm.invoke


def gpt4all() -> Iterator[Complete]:
    if find_spec("gpt4all") is None:
        pytest.skip("gpt4all is not installed: it has no wheel for Linux on ARM")
    script = (
        "import json, sys\n"
        "from gpt4all import GPT4All\n"
        "path, prompts = json.load(sys.stdin)\n"
        "model = GPT4All(path, allow_download=False, n_threads=1, device='cpu').model\n"
        "answers = []\n"
        "for prompt in prompts:\n"
        "    text = []\n"
        "    model.prompt_model(prompt, '%1%2', lambda i, piece: text.append(piece) or True, n_predict=160, temp=0,\n"
        "                       repeat_penalty=1.0, n_batch=128, special=True, reset_context=True)\n"
        "    answers.append(''.join(text))\n"
        "print(json.dumps(answers))\n"
    )

    def complete(prompt: str) -> str:
        # A process of its own: gpt4all prints to stdout's file descriptor and may abort.
        done = subprocess.run(
            [sys.executable, "-c", script],
            input=json.dumps([model_path, [prompt]]),
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        return str(json.loads(done.stdout.splitlines()[-1])[0])

    yield complete


@pytest.fixture(scope="module", params=[llamacpp, gpt4all], ids=lambda made: made.__name__)
def complete(request: pytest.FixtureRequest) -> Iterator[Complete]:
    yield from request.param()


def chat(*turns: tuple[str, str]) -> str:
    text = "".join(f"<|im_start|>{role}\n{said}<|im_end|>\n" for role, said in turns)
    return f"{text}<|im_start|>assistant\n"


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("The first man on the moon was ...", "Neil Armstrong"),
        ("The first man on the moon was ... Let's think step by step", "Neil Armstrong"),
        (chat(("user", "Who was the first man on the moon?")), "Neil Armstrong"),
        (chat(("user", "Context: Mira lives in Oslo. Bob has a red car.\nQuestion: Where does Mira live?")), "Oslo"),
        (
            chat(
                ("user", "My name is Selma."),
                ("assistant", "Nice to meet you, Selma."),
                ("user", "What is my name?"),
            ),
            "Selma",
        ),
    ],
)
def test_fixed_prompts(complete: Complete, prompt: str, told: str):
    assert told in complete(prompt)


def test_size():
    assert Path(model_path).stat().st_size <= 5_000_000
