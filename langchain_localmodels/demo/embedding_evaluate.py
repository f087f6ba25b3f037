"""Measures the demo embedding model on held-out pairs: `python -m langchain_localmodels.demo.embedding_evaluate`.

Searches pools of passages whose names, places, things and made-up words occur in no training text, through llama.cpp or
GPT4All, and counts how often a passage that answers the question comes first, or among the first three. The pools come
from `embedding_data.py` and, for `rag`, from the samples of the chat model. Needs llama-cpp-python or gpt4all, and
nothing that training needs.
"""

from __future__ import annotations

import argparse
import math
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import mul
from pathlib import Path
from typing import Any

from langchain_localmodels.demo import embedding_model_path
from langchain_localmodels.demo.embedding_data import Pair, evaluation_pool
from langchain_localmodels.demo.skills_read import context
from langchain_localmodels.demo.vocabulary import Vocabulary

SEED = 20_000
WINDOW = 512

Embed = Callable[[Sequence[str]], list[list[float]]]
"""From texts to vectors of length 1."""


@dataclass(frozen=True)
class Search:
    """Questions over one pool of passages.

    Attributes:
        queries: The questions.
        passages: What is searched.
        right: For every question, which passages answer it.
    """

    queries: list[str]
    passages: list[str]
    right: list[set[int]]

    @classmethod
    def of(cls, pairs: Sequence[Pair]) -> Search:
        """One question for every passage."""
        right = [{i for i, found in enumerate(pairs) if pair.key in found.answers} for pair in pairs]
        return cls([pair.query for pair in pairs], [pair.passage for pair in pairs], right)

    def chance(self, best: int) -> float:
        """Share of questions that one would answer right by drawing `best` passages."""
        pool = len(self.passages)
        misses = [math.comb(pool - len(right), best) / math.comb(pool, best) for right in self.right]
        return 1 - sum(misses) / len(misses)

    def recall(self, embed: Embed, best: int) -> float:
        """Share of questions with a right passage among the `best` nearest."""
        return self.recalls(embed, (best,))[0]

    def recalls(self, embed: Embed, bests: Sequence[int]) -> list[float]:
        """`recall` for several numbers of passages."""
        vectors = embed([*self.queries, *self.passages])
        queries, passages = vectors[: len(self.queries)], vectors[len(self.queries) :]
        hits = [0] * len(bests)
        for query, right in zip(queries, self.right, strict=True):
            scores = [sum(map(mul, query, passage)) for passage in passages]
            order = sorted(range(len(passages)), key=scores.__getitem__, reverse=True)
            for place, best in enumerate(bests):
                hits[place] += not right.isdisjoint(order[:best])
        return [hit / len(self.queries) for hit in hits]


def chat_samples(v: Vocabulary, size: int) -> Search:
    """The sentences of the chat model's contexts, every one with its own question."""
    found: dict[str, str] = {}
    while len(found) < size:
        sentences, (answer, question) = context(v)
        if answer in sentences and len(found) < size:
            found.setdefault(question, answer)
    queries, passages = list(found), list(found.values())
    return Search(queries, passages, [{i for i, p in enumerate(passages) if p == answer} for answer in passages])


def searches(size: int, seed: int = SEED) -> dict[str, Search]:
    """The searches of the table, over `size` passages each."""
    pools: dict[str, dict[str, Any]] = {
        "one sentence": {},
        "two sentences": {"sentences": 2},
        "three sentences": {"sentences": 3},
        "new phrasings": {"unseen": True},
    }
    found = {}
    for name, options in pools.items():
        found[name] = Search.of(evaluation_pool(Vocabulary(random.Random(seed), held_out=True), size, **options))
    found["rag samples of the chat model"] = chat_samples(Vocabulary(random.Random(seed), held_out=True), size)
    return found


def through_llamacpp(path: str) -> Embed:
    """Embed through llama-cpp-python, in one thread."""
    import llama_cpp

    low = llama_cpp.llama_cpp
    defaults = low.llama_model_default_params

    def without_repacking() -> Any:
        """Parameters that keep weights as they are; `Llama` has no argument for it.

        Builds of llama.cpp 0.3.36 for CPUs with AMX may crash on repacked weights.
        """
        params = defaults()
        params.use_extra_bufts = False
        return params

    low.llama_model_default_params = without_repacking
    sizes: dict[str, Any] = {"n_ctx": WINDOW, "n_batch": WINDOW, "n_ubatch": WINDOW}
    try:
        model: Any = llama_cpp.Llama(path, embedding=True, n_threads=1, n_threads_batch=1, verbose=False, **sizes)
    finally:
        low.llama_model_default_params = defaults
    return lambda texts: [model.embed(text, normalize=True) for text in texts]


def through_gpt4all(path: str) -> Embed:
    """Embed through gpt4all, in one thread."""
    from gpt4all import Embed4All

    file = Path(path)
    where: dict[str, Any] = {"model_path": str(file.parent), "allow_download": False}
    model: Any = Embed4All(file.name, n_threads=1, device="cpu", **where)
    # It knows no prefix for this model, and says so unless told that there is none.
    return lambda texts: list(model.embed(list(texts), prefix=""))


def by_words(texts: Sequence[str]) -> list[list[float]]:
    """The baseline: which words a text has, weighted by how few texts have them (TF-IDF)."""
    rows = [Counter(re.findall(r"\w+", text.lower())) for text in texts]
    spread = Counter(word for row in rows for word in row)
    vectors = []
    for row in rows:
        weights = [row[word] * math.log(len(texts) / count) for word, count in spread.items()]
        length = math.hypot(*weights) or 1.0
        vectors.append([weight / length for weight in weights])
    return vectors


ENGINES: dict[str, Callable[[str], Embed]] = {
    "llamacpp": through_llamacpp,
    "gpt4all": through_gpt4all,
    "words": lambda path: by_words,
}


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Search held-out passages with the demo embedding model.")
    parser.add_argument("--engine", choices=list(ENGINES), default="llamacpp", help="words: TF-IDF, no model")
    parser.add_argument("--model", default=embedding_model_path, help="GGUF file")
    parser.add_argument("-n", type=int, default=400, help="passages in a pool")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args(arguments)

    embed = ENGINES[options.engine](options.model)
    print(
        f"| passages | recall@1 ({options.engine}) | recall@3 | chance@1 | chance@3 |\n|---|---|---|---|---|",
        flush=True,
    )
    for name, search in searches(options.n, options.seed).items():
        shares = [*search.recalls(embed, (1, 3)), search.chance(1), search.chance(3)]
        print(f"| {name} | {' | '.join(f'{100 * share:.1f} %' for share in shares)} |", flush=True)


if __name__ == "__main__":
    main()
