"""Random grammars, JSON Schemas, sampling settings and vocabularies on llama.cpp, each of which must give an answer or
an error of this package. Run as `python -m tests.fuzz_grammars SEED COUNT [KIND]`; each case's seed is printed before
the case runs, so that a crash names it.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from langchain_localmodels import LlamaCpp
from langchain_localmodels.demo import model_path
from langchain_localmodels.dialects.gbnf import JSON_GRAMMAR
from langchain_localmodels.dialects.json_schema import schema_grammar
from langchain_localmodels.errors import LocalModelError
from tests.json_schemas import ENFORCED, RELAXED
from tests.models import write_llama

TOO_SLOW = 20.0
"""Seconds that no case may take: what takes longer is found to hang, for all that others know."""

SCHEMAS = [row[0] for row in (*ENFORCED, *RELAXED)]
NAMES = ["root", "a", "b", "c-1", "d"]
ATOMS = [
    *('"a"', '"ab"', '"\\n"', '"\\x00"', '"\\u00e9"', '"\\U0001F642"', '"é🙂"', '""', '"{"', '"\\""', '"\\\\"'),
    *("[a-z]", "[^a-z]", "[^\\x00-\\x1F]", "[]", "[^]", "[z-a]", "[é-ü]", "[\\u0000-\\U0010FFFF]", "[\\uD800]", "."),
    *("<tool_call>", "<tool_call>", '"<"', '"<to"', "[<a-z]", "[^<]"),
    *("<[5]>", "!<[5]>", "<[99999999]>", "<|im_end|>", "!<|im_end|>", "<nothing>", "()", "(|)", "[0-9]", '" "'),
    *('"\\xff"', "[\\x80-\\xff]", "[^\\n\\\\]", '"\\UFFFFFFFF"', "[\\UFFFFFFFF]", "[\\UD8000000-\\UFFFFFFFF]"),
]
STRANGE = ["\0", "\ud800", "\\", '"', "'", "[", "]", "(", ")", "<", ">", "!", "::=", "|", "é", "{9,}", "{2,1}", "_"]
REPETITIONS = ["*", "+", "?", "{2}", "{0,3}", "{2,}", "{0}", "{0,40}", "{1,200}", "{2000}", "{0,2000}", "*{3}", "+*"]


def grown(chance: random.Random, names: list[str], depth: int = 0) -> str:
    """An expression of GBNF, mostly right."""
    ways = []
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        items: list[str] = []
        for _ in range(chance.choice([0, 1, 1, 2, 2, 3, 4])):
            draw = chance.random()
            if draw < 0.25 and depth < 5:
                item = f"({grown(chance, names, depth + 1)})"
            elif draw < 0.45 and (items or chance.random() < 0.2):
                item = chance.choice(names) if chance.random() < 0.97 else "undefined"
            else:
                item = chance.choice(ATOMS)
            if chance.random() < 0.3:
                item += chance.choice(REPETITIONS)
            items.append(item)
        ways.append(" ".join(items) or '""')
    return " | ".join(ways)


def random_grammar(chance: random.Random) -> str:
    names = chance.sample(NAMES, chance.randint(1, len(NAMES)))
    if "root" not in names and chance.random() < 0.95:
        names.append("root")
    lines = [f"{name} ::= {grown(chance, names)}" for name in names]
    if chance.random() < 0.2:
        lines.insert(0, "# a comment " + chance.choice(STRANGE))
    gbnf = chance.choice(["\n", "\r\n", "\n\n"]).join(sorted(lines, key=lambda _: chance.random()))
    return mutated(chance, gbnf) if chance.random() < 0.15 else gbnf


def ambiguous_grammar(chance: random.Random) -> str:
    """One that llama.cpp can follow in many ways, in some cases in twice as many with each character."""
    letter = chance.choice(['"a"', "[a-z]", ".", '[^"]'])
    return chance.choice(
        [
            f"root ::= (({letter}{{1,40}}){{1,40}}){{1,40}}",
            f"root ::= ({letter}+ {letter}+)+ {letter}+",
            f'root ::= a a a a a a "!"\na ::= {letter}*',
            f'root ::= {letter} root "b" | {letter} root "c" | {letter}',
            f"root ::= a\na ::= {letter} a b | {letter} a c | {letter}\nb ::= [0-9]\nc ::= [5-9]",
            f'root ::= ({letter} root ("x" | "y")? "z")* | {letter}',
            f"root ::= {letter}{{0,30}} {letter}{{0,30}} {letter}{{0,30}} '!'".replace("'", '"'),
        ]
    )


def mutated(chance: random.Random, text: str) -> str:
    for _ in range(chance.randint(1, 4)):
        at, end = sorted(chance.choices(range(len(text) + 1), k=2))
        end = min(end, at + 30)
        text = chance.choice(
            [
                text[:at] + chance.choice([*STRANGE, chr(chance.randrange(256)), *ATOMS]) + text[at + 1 :],
                text[:at] + text[end:],
                text[:end] + text[at:end] * chance.randint(1, 5) + text[end:],
                text[:at],
            ]
        )
    return text


def random_schema(chance: random.Random, depth: int = 0) -> Any:
    if depth > 4 or chance.random() < 0.1:
        return chance.choice([True, False, {}, {"type": "integer"}, {"$ref": "#"}, {"const": 1}, 3, None, []])
    schema: dict[str, Any] = {}
    inner = [random_schema(chance, depth + 1) for _ in range(chance.randint(1, 3))]
    number = chance.choice([0, 1, 3, 10**20, -5, 2.5, 1e300, 2000, 100_000, True, "x"])
    for key in chance.sample(KEYWORDS, chance.randint(1, 3)):
        schema[key] = chance.choice(
            {
                "type": ["object", "array", "string", "integer", "number", "null", ["string", "null"], "x"],
                "properties": [{chance.choice(["a", '"', "é", "\n", "\ud800", ""]): each for each in inner}],
                "required": [["a"], ["z"], [], "a"],
                "enum": [[1, "a", None], ["\ud800"], ["a", "ab"], [[{"a": [1]}]]],
                "pattern": [
                    "^a*$",
                    mutated(chance, r"^(ab?|[c-e]{2,3})+\d$"),
                    "((a+)+)+",
                    "(a{1,40}){1,40}",
                    ".*.*.*a",
                ],
                "format": ["date", "date-time", "uuid", "email", "ipv4", "uri", 3],
                "$ref": ["#", "#/properties/a", "#/anyOf/0", "#/no", "x", "#/%zz~2"],
                "const": [json.loads(json.dumps(inner[0], default=str))],
                "nullable": [True],
                "uniqueItems": [True],
                **{key_0: [inner] for key_0 in ("anyOf", "oneOf", "allOf", "prefixItems")},
                **dict.fromkeys(("items", "additionalProperties", "not", "propertyNames"), inner),
            }.get(key, [number])
        )
    return schema


KEYWORDS = [
    *("type", "type", "properties", "properties", "required", "enum", "pattern", "format", "$ref", "const", "nullable"),
    *("uniqueItems", "anyOf", "oneOf", "allOf", "prefixItems", "items", "additionalProperties", "not", "propertyNames"),
    *("minimum", "maximum", "exclusiveMinimum", "minLength", "maxLength", "minItems", "maxItems", "minProperties"),
]


def random_settings(chance: random.Random) -> dict[str, Any]:
    every = {
        "temperature": [0, 0.1, 1, 2, 50],
        "top_k": [0, 1, 5, 10**9],
        "top_p": [0.01, 0.5, 1],
        "min_p": [0, 0.5, 1],
        "typical_p": [0.1, 1],
        "repeat_penalty": [0.5, 1, 5, 1e30],
        "repeat_last_n": [0, 1, -1, 64],
        "frequency_penalty": [-2, 0, 2],
        "presence_penalty": [-2, 0, 2],
        "mirostat": [0, 1, 2],
        "mirostat_tau": [0, 5, 1e9],
        "mirostat_eta": [0, 0.1, 1e9],
        "dry_multiplier": [0, 0.8, 10],
        "dry_base": [1, 1.75, 1e9],
        "dry_allowed_length": [0, 2],
        "dry_penalty_last_n": [-1, 0, 10],
        "dry_sequence_breakers": [["\n"], ["a", "é"]],
        "xtc_probability": [0, 1],
        "xtc_threshold": [0, 0.1],
        "seed": [-1, 0, 2**32 - 1, 2**40],
        "logprobs": [True, 3, 10**6],
        "stop": [["a"], ["}"], ["\0"]],
        "logit_bias": [{1: 5.0}, {0: -100}, dict.fromkeys(range(5), 100), {10**8: 1}],
    }
    chosen = chance.sample(sorted(every), chance.randint(0, 8))
    return {"max_tokens": chance.choice([1, 5, 12]), **{name: chance.choice(every[name]) for name in chosen}}


def random_vocabulary(chance: random.Random) -> list[bytes]:
    size = chance.choice([1, 1, 2, 3, 10, 100, 400])
    kinds: list[Callable[[], bytes]] = [
        lambda: bytes(chance.randrange(256) for _ in range(chance.randint(0, 6))),
        lambda: bytes(chance.choice(b'{}[]",:0123456789abctrufalsen \n') for _ in range(chance.randint(1, 4))),
        lambda: chance.choice(
            [b"", b"\0", b"\0\0", b"a", b"\xff", b"\xc3", b"\xf0\x9f", b"<|im_end|>", b"\xed\xa0\x80"]
        ),
        lambda: bytes([chance.randrange(256)]) * chance.choice([70, 1500]),
        lambda: chr(chance.choice([0x100, 0x120, 0x10A, 0xE9, 0x4E00, 0x1F642])).encode() * chance.randint(1, 3),
    ]
    weights = [chance.random() for _ in kinds]
    tokens = [chance.choices(kinds, weights)[0]() for _ in range(size)]
    # With the tokens of single bytes it can read any prompt; byte-level vocabularies write bytes as these characters.
    if chance.random() < 0.7:
        tokens = [b"!", *(chr(code).encode() for code in (*range(0x22, 0x7F), *range(0xA1, 0x144))), *tokens]
    return tokens if chance.random() < 0.2 else list(dict.fromkeys(tokens))


def complete(llm: LlamaCpp, chance: random.Random, **constraint: Any) -> str:
    try:
        prompt = chance.choice(["Answer:", "{", "a" * 30, "é🙂", "\0"])
        text = llm.invoke(prompt, **random_settings(chance), **constraint)
        assert isinstance(text, str)
        text.encode()
    except LocalModelError as error:
        return type(error).__name__
    return "an answer"


def constraint_of(chance: random.Random) -> dict[str, Any]:
    draw = chance.random()
    if draw < 0.45:
        return {"grammar": random_grammar(chance)}
    if draw < 0.55:
        return {"grammar": ambiguous_grammar(chance)}
    if draw < 0.75:
        good = chance.choice([JSON_GRAMMAR, schema_grammar(chance.choice(SCHEMAS)).gbnf])
        return {"grammar": mutated(chance, good)}
    schema = random_schema(chance) if draw < 0.95 else chance.choice(SCHEMAS)
    return {"format": schema} if isinstance(schema, dict) and schema else {"format": "json"}


def run_case(kind: str, seed: int, llm: LlamaCpp, folder: Path) -> str:
    chance = random.Random(f"{kind} {seed}")
    if kind == "grammar":
        return complete(llm, chance, **constraint_of(chance))
    path = write_llama(folder / f"{seed}.gguf", tokens=random_vocabulary(chance), width=32, layers=1, feed_forward=32)
    outcomes = []
    try:
        with LlamaCpp(model_path=str(path), n_threads=1, n_ctx=256, n_parallel=2) as other:
            for constraint in ({}, {"grammar": "root ::= .*"}, constraint_of(chance), {"format": "json"}):
                outcomes.append(complete(other, chance, **constraint))
            other.invoke("a", max_tokens=3, logprobs=2)
    except LocalModelError as error:
        outcomes.append(type(error).__name__)
    finally:
        path.unlink()
    return ", ".join(outcomes)


def main(first: int, count: int, kinds: list[str]) -> int:
    failures = 0
    with (
        tempfile.TemporaryDirectory() as folder,
        LlamaCpp(model_path=model_path, n_threads=1, n_ctx=512, n_parallel=2) as llm,
    ):
        for seed in range(first, first + count):
            kind = kinds[0] if len(kinds) == 1 else "vocabulary" if seed % 6 == 0 else "grammar"
            print(f"{kind} {seed}: ", end="", flush=True)
            began = time.monotonic()
            try:
                outcome = run_case(kind, seed, llm, Path(folder))
            except Exception:
                outcome, failures = traceback.format_exc(), failures + 1
            seconds = time.monotonic() - began
            if seconds > TOO_SLOW:
                failures += 1
                outcome += f" TOO SLOW: {seconds:.1f} s"
            print(outcome if seconds < 2 else f"{outcome} ({seconds:.1f} s)", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] or ["grammar", "vocabulary"]))
