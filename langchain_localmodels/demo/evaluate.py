"""Measures the demo model on held-out samples: `python -m langchain_localmodels.demo.evaluate`.

Answers greedily, through llama.cpp or GPT4All, samples whose names, numbers, tools and fields occur
in no training sample (`Vocabulary(held_out=True)`), and counts an answer only if it is right to the
letter. Needs llama-cpp-python or gpt4all, jinja2, and nothing that training needs.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from langchain_localmodels.demo import model_path
from langchain_localmodels.demo.samples import END, render, to_json
from langchain_localmodels.demo.skills import SKILLS, draw
from langchain_localmodels.demo.vocabulary import Vocabulary

MAX_TOKENS = 300
WINDOW = 2048
SEED = 20_000
TEMPLATE = Path(__file__).with_name("chat_template.jinja")

Answer = Callable[[str], str]
"""From a rendered prompt to the model's continuation."""


def through_llamacpp(path: str, **options: Any) -> Answer:
    """Answer through llama-cpp-python."""
    import llama_cpp

    defaults = llama_cpp.llama_cpp.llama_model_default_params

    def without_repacking() -> Any:
        """Parameters that keep weights as they are; `Llama` has no argument for it.

        Builds of llama.cpp 0.3.36 for CPUs with AMX may crash on repacked weights.
        """
        params = defaults()
        params.use_extra_bufts = False
        return params

    llama_cpp.llama_cpp.llama_model_default_params = without_repacking
    model = llama_cpp.Llama(path, n_ctx=WINDOW, verbose=False, **options)

    def answer(prompt: str) -> str:
        result: Any = model(prompt, max_tokens=MAX_TOKENS, temperature=0)
        return str(result["choices"][0]["text"])

    return answer


def through_gpt4all(path: str) -> Answer:
    """Answer through gpt4all."""
    from gpt4all import GPT4All

    file = Path(path)
    model: Any = GPT4All(file.name, model_path=str(file.parent), allow_download=False, device="cpu", n_ctx=WINDOW)

    exact: dict[str, Any] = {"top_k": 1, "repeat_penalty": 1.0, "reset_context": True, "special": True}

    def answer(prompt: str) -> str:
        pieces: list[str] = []

        def keep(token: int, piece: str) -> bool:
            pieces.append(piece)
            return True

        # `generate` would take the markers of the chat format for plain characters.
        model.model.prompt_model(prompt, "%1%2", keep, n_predict=MAX_TOKENS, n_batch=128, temp=0.0, **exact)
        return "".join(pieces)

    return answer


ENGINES = {"llamacpp": through_llamacpp, "gpt4all": through_gpt4all}


def score(answer: Answer, skill: str, count: int, show: int = 0) -> tuple[int, int]:
    """Right answers and answers of a skill, at least `count`; prints up to `show` misses."""
    v = Vocabulary(random.Random(SEED), held_out=True)
    right = total = 0
    while total < count:
        prompt = ""
        for text, learn in render(SKILLS[skill](v)):
            if learn:
                wanted = text.removesuffix(END)
                given = answer(prompt)
                total += 1
                right += given == wanted
                if given != wanted and show > 0:
                    show -= 1
                    print(f"  {skill}: {prompt[-300:]!r}\n    wanted {wanted!r}\n    got    {given!r}")
            prompt += text
    return right, total


def check_template(count: int = 300) -> None:
    """See that the chat template writes what `samples.render` writes; needs jinja2."""
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = to_json
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    v = Vocabulary(random.Random(SEED), held_out=True)
    for _ in range(count):
        sample = draw(v)
        if sample.turns[0][0] == "prompt":
            continue
        messages = [{"role": role, "content": text} for role, text in sample.turns]
        if sample.system is not None:
            messages.insert(0, {"role": "system", "content": sample.system})
        written = template.render(messages=messages, tools=sample.tools)
        if written != "".join(text for text, _ in render(sample)) + "\n":
            raise SystemExit(f"chat_template.jinja and samples.py differ:\n{written}")


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Score the demo model on held-out samples.")
    parser.add_argument("--engine", choices=list(ENGINES), default="llamacpp")
    parser.add_argument("--model", default=model_path, help="GGUF file")
    parser.add_argument("-n", type=int, default=100, help="answers per skill")
    parser.add_argument("--skill", action="append", choices=list(SKILLS), help="only this skill")
    parser.add_argument("--show", type=int, default=0, help="wrong answers to print per skill")
    options = parser.parse_args(arguments)

    check_template()
    answer = ENGINES[options.engine](options.model)
    print(f"| skill | right ({options.engine}) | share |\n|---|---|---|", flush=True)
    for skill in options.skill or SKILLS:
        right, total = score(answer, skill, options.n, options.show)
        print(f"| {skill} | {right}/{total} | {100 * right / total:.0f} % |", flush=True)


if __name__ == "__main__":
    main()
