"""llama.cpp, the real one, on the demo model: what is true of this engine and of no other."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import math
import re
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from langchain_localmodels import ChatLlamaCpp, LlamaCpp
from langchain_localmodels.demo import model_path
from langchain_localmodels.dialects.prompt_text import cut_long_runs
from langchain_localmodels.engines import sharing
from langchain_localmodels.engines.llamacpp.binding import library
from langchain_localmodels.engines.llamacpp.binding.context import Batch, Context
from langchain_localmodels.engines.llamacpp.scheduler import Scheduler
from langchain_localmodels.engines.llamacpp.slots import Slots
from langchain_localmodels.errors import (
    EngineClosedError,
    EngineError,
    EngineTimeoutError,
    InvalidRequestError,
    ModelFileError,
)
from langchain_localmodels.weights import memory
from langchain_localmodels.weights.gguf import read_header
from tests.gguf_files import write_lora
from tests.models import write_llama

PROMPT = "The first man on the moon was ..."
SEARCH = (
    "You are an assistant tasked with improving Google search results. Generate THREE Google search queries that are "
    "similar to this question. The output should be a numbered list of questions and each should have a question mark "
    "at the end: {question}"
)
WILD = {"temperature": 2.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
NAMES = ["Ada", "Bob", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hal", "Ida", "Jon"]


def make_llm(**fields: Any) -> LlamaCpp:
    return LlamaCpp(**{"model_path": model_path, "temperature": 0, "n_threads": 1, **fields})


def make_chat(**fields: Any) -> ChatLlamaCpp:
    return ChatLlamaCpp(**{"model_path": model_path, "temperature": 0, "n_threads": 1, **fields})


def never_ending(llm: LlamaCpp | ChatLlamaCpp) -> dict[int, float]:
    """A logit bias that keeps the model from ending its answer."""
    model = llm.engine._borrowed().model()  # type: ignore[attr-defined]
    return {token: -1000.0 for token in range(model.vocab_size) if model.ends_generation(token)}


def scheduler_of(llm: LlamaCpp | ChatLlamaCpp) -> Scheduler:
    scheduler: Scheduler = llm.engine._borrowed()  # type: ignore[attr-defined]
    scheduler.model()
    return scheduler


def wait_until_idle(scheduler: Scheduler) -> None:
    deadline = time.monotonic() + 20
    while scheduler.stats().running or scheduler.stats().queued:
        assert time.monotonic() < deadline, "a slot was not freed"
        time.sleep(0.005)


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[dict[int, int]]:
    """What each call of `decode` held: tokens by sequence."""
    seen: list[dict[int, int]] = []
    decode = Context.decode

    def spy(self: Context, batch: Batch) -> int:
        held: dict[int, int] = {}
        for sequence in batch._seq[: batch.count].tolist():
            held[sequence] = held.get(sequence, 0) + 1
        seen.append(held)
        return decode(self, batch)

    monkeypatch.setattr(Context, "decode", spy)
    return seen


# --- sharing and scheduling -----------------------------------------------------------------------------------------


def test_objects_on_one_file_share_weights_and_context():
    with make_llm() as llm, make_chat() as chat, make_llm(n_ctx=512) as other:
        assert scheduler_of(llm) is scheduler_of(chat)
        assert scheduler_of(other) is not scheduler_of(llm)
        assert scheduler_of(other).model() is scheduler_of(llm).model()


def test_closing_one_object_leaves_the_other_working():
    llm, chat = make_llm(), make_chat()
    want = llm.invoke(PROMPT)
    chat.load()
    chat.close()
    assert llm.invoke(PROMPT) == want
    llm.close()


def test_close_ends_the_thread():
    with make_llm(n_ctx=300) as llm:
        thread = scheduler_of(llm)._thread
        assert thread.is_alive()
    assert not thread.is_alive()
    assert not any(entry.thread._thread is thread for entry in sharing._entries.values())


@pytest.mark.parametrize("used", [False, True])
def test_a_collected_object_lets_go(used: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sharing, "_LINGER", 0.0)
    llm = make_llm(n_ctx=301)
    thread = scheduler_of(llm)._thread
    if used:
        llm.invoke("Hello", max_tokens=1)
        llm.batch(["Hello", "Hi"], max_tokens=1)
    del llm
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()


def test_objects_share_a_context_though_memory_is_less_for_the_second(monkeypatch: pytest.MonkeyPatch):
    free = [100_000_000, 1_000_000]
    monkeypatch.setattr(memory, "available_memory", lambda: free.pop(0) if len(free) > 1 else free[0])
    monkeypatch.setattr(memory, "_windows", {})
    with make_llm() as first, make_chat() as second:
        assert scheduler_of(first) is scheduler_of(second)
        assert second.profile["max_input_tokens"] == second.engine.capabilities().context_window


def test_a_file_that_is_gone_does_no_harm_to_what_is_loaded(tmp_path: Path):
    path = tmp_path / "model.gguf"
    path.write_bytes(Path(model_path).read_bytes())
    with make_llm(model_path=path) as llm:
        want = llm.invoke(PROMPT)
        path.unlink()
        assert llm.invoke(PROMPT) == want


def test_a_model_that_gives_no_numbers_is_an_error():
    with make_llm(rope_freq_scale=3e38) as llm, pytest.raises(EngineError, match="no numbers"):
        llm.invoke(PROMPT)


def test_requests_are_computed_together(batches: list[dict[int, int]]):
    with make_chat() as chat:
        questions = [[("human", f"My name is {n}."), ("ai", "Hi."), ("human", "What is my name?")] for n in NAMES]
        alone = [chat.invoke(question).text for question in questions]
        batches.clear()
        with ThreadPoolExecutor(len(NAMES)) as threads:
            together = [message.text for message in threads.map(chat.invoke, questions)]
        assert together == alone
        assert max(len(held) for held in batches) > 2


async def test_abatch_is_computed_together(batches: list[dict[int, int]]):
    with make_llm() as llm:
        want = await llm.ainvoke(PROMPT)
        batches.clear()
        assert await llm.abatch([PROMPT] * 8) == [want] * 8
        assert max(len(held) for held in batches) > 2


def test_more_requests_than_slots():
    with make_llm(n_parallel=2) as llm, ThreadPoolExecutor(12) as threads:
        want = llm.invoke(PROMPT)
        assert set(threads.map(llm.invoke, [PROMPT] * 12)) == {want}


def test_a_full_cache_makes_requests_wait_not_fail(monkeypatch: pytest.MonkeyPatch):
    """Requests that together need more cells than there are: some are sent back and computed again, to the same end."""
    decode = Context.decode
    monkeypatch.setattr(Slots, "_reusable", lambda *_: 0)  # nothing shared: each request needs cells of its own
    monkeypatch.setattr(Context, "decode", lambda *args: time.sleep(0.01) or decode(*args))  # so that they overlap
    things = ("car", "house", "piano", "boat", "lamp", "key", "tree", "clock")
    questions = [SEARCH.format(question=f"Where is the {thing}?") for thing in things]
    with make_llm(n_ctx=512) as llm:
        prompts = [len(llm.engine.tokenize(question)) for question in questions]
        alone = [llm.invoke(question) for question in questions]
        answers = [len(llm.engine.tokenize(answer)) for answer in alone]
    # As many requests as begin together in 512 cells but cannot end together there.
    count = next(n for n in range(2, 9) if sum(prompts[:n]) + n < 512 < sum(prompts[:n]) + sum(answers[:n]))
    with make_llm(n_ctx=512, n_parallel=count) as llm, ThreadPoolExecutor(count) as threads:
        assert list(threads.map(llm.invoke, questions[:count])) == alone[:count]
        assert llm.engine_stats().preemptions


def test_running_streams_go_on_while_a_long_prompt_comes_in(batches: list[dict[int, int]]):
    with make_llm(n_ctx=2048) as llm:
        bias = never_ending(llm)
        with closing(llm.stream("Hello", logit_bias=bias, max_tokens=400)) as running:
            next(running)
            batches.clear()
            llm.invoke("word " * 500, max_tokens=1)
            mixed = [held for held in batches if len(held) == 2]
            assert len(mixed) > 3
            assert all(min(held.values()) == 1 for held in mixed)
            assert max(max(held.values()) for held in mixed) <= 64


def test_prefix_reuse():
    with make_chat(n_ctx=1024) as chat:
        history = [("human", "My name is Ada."), ("ai", "Nice to meet you, Ada.")]
        first = chat.invoke([*history, ("human", "What is my name?")])
        second = chat.invoke([*history, ("human", "Who am I?")])
        again = chat.invoke([*history, ("human", "What is my name?")])
    assert "input_token_details" not in first.usage_metadata
    assert second.usage_metadata["input_token_details"]["cache_read"] > 10
    assert again.text == first.text


def test_a_running_request_lends_its_prefix(batches: list[dict[int, int]]):
    with make_llm(n_ctx=1500) as llm:
        story = "Once upon a time there was a house. " * 10
        with closing(llm.stream(story, logit_bias=never_ending(llm), max_tokens=300)) as running:
            next(running)
            result = llm.generate([story + "The end was near."], max_tokens=1)
        info = result.generations[0][0].generation_info
        assert info["usage_metadata"]["input_token_details"]["cache_read"] > 50


def test_agents_with_a_common_beginning_keep_their_histories():
    rules = "You are an assistant. Answer briefly. " * 8
    histories = {name: [("system", rules), ("human", f"My name is {name}. " * 6)] for name in NAMES[:3]}
    with make_chat(n_ctx=2048, n_parallel=4, max_tokens=5) as chat:
        for history in histories.values():
            history += [chat.invoke(history), ("human", "What is my name?")]
        reused = [chat.invoke(history).usage_metadata for history in histories.values()]
    for usage in reused:
        assert usage["input_token_details"]["cache_read"] > 0.8 * usage["input_tokens"]


def test_stats():
    with make_llm(n_ctx=1024, n_parallel=3) as llm:
        before = llm.engine_stats()
        assert (before.slots, before.kv_cells, before.kv_used, before.requests) == (3, 1024, 0, 0)
        assert before.tokens_per_second == 0.0
        prompt = "Once upon a time there was a house. " * 5
        length = len(llm.engine.tokenize(prompt))
        with closing(llm.stream(prompt, logit_bias=never_ending(llm), max_tokens=400)) as running:
            next(running)
            others = ThreadPoolExecutor(5)
            answers = [others.submit(llm.invoke, f"{prompt}{n}", max_tokens=300) for n in range(5)]
            while ((during := llm.engine_stats()).running, during.queued) != (3, 3):
                time.sleep(0.001)
            assert during.requests == 3
            # The beginning that all three have in common is there once.
            assert length < during.kv_used <= length + 3 * 420
            assert during.prefix_hits == 2
            assert during.reused_tokens >= 2 * (length - 1)
        for answer in answers:
            answer.result(60)
        wait_until_idle(scheduler_of(llm))
        after = llm.engine_stats()
        assert after.running == after.queued == 0
        assert after.requests == 6
        assert after.generated_tokens > during.generated_tokens > 0
        assert after.prompt_tokens >= 6 * length
        assert after.busy_seconds > 0
        assert after.tokens_per_second > 0


def test_the_time_a_request_waited_is_told():
    with make_llm(n_parallel=1) as llm:
        bias = never_ending(llm)
        with closing(llm.stream("Hello", logit_bias=bias, max_tokens=300)) as running, ThreadPoolExecutor(1) as thread:
            next(running)
            second = thread.submit(llm.generate, [PROMPT])
            count = sum(1 for _ in running)
            info = second.result(60).generations[0][0].generation_info
        assert count > 100
        assert info["queue_duration"] > info["prompt_eval_duration"] > 0
        parts = ("load_duration", "queue_duration", "prompt_eval_duration", "eval_duration")
        assert sum(info[part] for part in parts) == pytest.approx(info["total_duration"], rel=0.05)


# --- ending early ---------------------------------------------------------------------------------------------------


def test_breaking_off_frees_the_slot():
    with make_llm() as llm:
        scheduler, bias = scheduler_of(llm), never_ending(llm)
        for _ in llm.stream("Hello", logit_bias=bias, max_tokens=1500):
            break
        wait_until_idle(scheduler)


async def test_cancelling_a_task_frees_the_slot():
    with make_llm() as llm:
        scheduler, bias = scheduler_of(llm), never_ending(llm)
        tasks = [asyncio.ensure_future(llm.ainvoke("Hello", logit_bias=bias, max_tokens=1500)) for _ in range(12)]
        await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        assert all(
            isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*tasks, return_exceptions=True)
        )
        wait_until_idle(scheduler)


def test_a_slow_reader_delays_nobody():
    with make_llm() as llm:
        want = llm.invoke(PROMPT)
        with closing(llm.stream(PROMPT)) as slow:
            next(slow)
            assert llm.invoke(PROMPT) == want
            assert "".join(slow)


def test_closing_ends_running_requests_with_an_error():
    llm = make_llm(n_ctx=700)
    stream = llm.stream("Hello", logit_bias=never_ending(llm), max_tokens=600)
    next(stream)
    llm.close()
    with pytest.raises(EngineClosedError):
        list(stream)
    assert llm.invoke(PROMPT)
    llm.close()


def test_timeout():
    with make_llm(n_ctx=900, timeout=1e-6) as llm:
        with pytest.raises(EngineTimeoutError, match="timeout"):
            llm.invoke(PROMPT)
        wait_until_idle(scheduler_of(llm))
        assert llm.invoke(PROMPT, timeout=60)


def test_readers_that_come_and_go_at_random():
    with make_llm(n_parallel=3) as llm:
        want = llm.invoke(PROMPT)
        scheduler, bias = scheduler_of(llm), never_ending(llm)

        def use(number: int) -> str | None:
            if number % 3 == 0:
                return llm.invoke(PROMPT)
            for count, _ in enumerate(llm.stream(f"{number}", logit_bias=bias, max_tokens=200)):
                if count == number % 7:
                    break
            return None

        with ThreadPoolExecutor(16) as threads:
            answers = list(threads.map(use, range(60)))
        assert {answer for answer in answers if answer is not None} == {want}
        wait_until_idle(scheduler)


# --- sampling, grammars, log probabilities --------------------------------------------------------------------------


def test_seeds():
    with make_llm(max_tokens=30, **WILD) as llm:
        texts = [llm.invoke("Hello", seed=seed) for seed in (1, 1, 2)]
        assert texts[0] == texts[1] != texts[2]
        assert len({llm.invoke("Hello") for _ in range(4)}) > 1  # no seed: another one each time


def test_shares_for_gpus_are_accepted_without_any():
    with make_llm(tensor_split=[3, 1], max_tokens=3) as llm:
        assert llm.invoke("Hello")


def test_shares_for_more_gpus_than_there_can_be():
    with make_llm(tensor_split=[1] * 500) as llm, pytest.raises(InvalidRequestError, match="500"):
        llm.invoke("Hello")


@pytest.mark.parametrize(
    "sampling",
    [
        {"mirostat": 1},
        {"mirostat": 2, "mirostat_tau": 3.0, "mirostat_eta": 0.2},
        {"typical_p": 0.7},
        {"top_k": 0, "top_p": 0.5},
        {"top_k": 5, "min_p": 0.2},
        {"repeat_penalty": 1.3, "repeat_last_n": -1},
        {"frequency_penalty": 0.5, "presence_penalty": 0.5, "repeat_last_n": 16},
        {"dry_multiplier": 0.8, "dry_base": 2.0, "dry_allowed_length": 1, "dry_penalty_last_n": -1},
        {"dry_multiplier": 0.8, "dry_sequence_breakers": ["\n", "half a \u00e4", " "]},
        {"xtc_probability": 0.7, "xtc_threshold": 0.05, "top_k": 0},
    ],
)
def test_sampling_parameters(sampling: dict[str, Any]):
    with make_llm(temperature=1.0, max_tokens=20, seed=3) as llm:
        bias = never_ending(llm)
        text = llm.invoke("Hello", logit_bias=bias, **sampling)
        assert text
        assert llm.invoke("Hello", logit_bias=bias, **sampling) == text


def test_penalties_and_biases_change_the_answer():
    with make_llm(max_tokens=40) as llm:
        question = SEARCH.format(question="Where is the car?")
        plain = llm.invoke(question)
        assert llm.invoke(question, repeat_penalty=3.0) != plain
        assert llm.invoke(question, repeat_penalty=3.0, repeat_last_n=0) == plain
        first = llm.engine.tokenize(llm.invoke(PROMPT))[0]
        assert list(llm.engine.tokenize(llm.invoke(PROMPT, logit_bias={first: -1000.0})))[:1] != [first]


def test_dry_breaks_a_repetition_and_stops_at_its_breakers(tmp_path: Path):
    # A model with random weights repeats itself without end.
    with make_llm(model_path=write_llama(tmp_path / "random.gguf"), max_tokens=30) as llm:
        dry = {"dry_multiplier": 5.0, "dry_allowed_length": 1, "dry_penalty_last_n": 200}
        plain = llm.invoke("Hello")
        assert len(set(llm.engine.tokenize(plain))) < 5
        assert len(set(llm.engine.tokenize(llm.invoke("Hello", **dry)))) > 5
        every_character = sorted(set("Hello" + plain))
        assert llm.invoke("Hello", **dry, dry_sequence_breakers=every_character) == plain
        assert llm.invoke("Hello", **{**dry, "dry_penalty_last_n": 0}) == plain
        with pytest.raises(InvalidRequestError, match="NUL"):
            llm.invoke("Hello", **dry, dry_sequence_breakers=["a\0"])


def test_xtc_leaves_the_likeliest_token_out():
    """With certainty and at any likelihood, all tokens but the least likely of them are left out."""
    with make_llm(temperature=0.01, max_tokens=1, top_k=2, min_p=0.0, top_p=1.0) as llm:
        bias = never_ending(llm)
        info = llm.generate([PROMPT], top_logprobs=5).generations[0][0].generation_info
        likeliest = [token["token"] for token in info["logprobs"]["content"][0]["top_logprobs"]]
        best, second = [token for token in likeliest if token != "<|im_end|>"][:2]
        assert llm.invoke(PROMPT, logit_bias=bias) == best
        assert llm.invoke(PROMPT, logit_bias=bias, xtc_probability=1.0, xtc_threshold=0.0) == second
        assert llm.invoke(PROMPT, logit_bias=bias, xtc_probability=1.0, xtc_threshold=0.6) == best


@pytest.mark.parametrize("field", ["repeat_last_n", "dry_penalty_last_n", "dry_allowed_length", "top_k"])
def test_numbers_beyond_all_bounds_take_no_memory_and_no_offence(field: str):
    with make_llm(max_tokens=5, temperature=1.0, seed=1) as llm:
        assert llm.invoke("Hello", **{"repeat_penalty": 1.1, "dry_multiplier": 1.0, field: 10**15})


def test_a_grammar_holds():
    with make_llm() as llm:
        assert llm.invoke(PROMPT, grammar='root ::= " yes" | " no"') in (" yes", " no")
        grammar = r'root ::= [0-9]{3} "-" [a-c]+ "!"'
        text = llm.invoke("Hello", grammar=grammar, max_tokens=60, temperature=1.0, seed=4)
        assert text[:3].isdigit()
        assert text[3] == "-"


def test_a_grammar_from_a_file(tmp_path: Path):
    path = tmp_path / "g.gbnf"
    path.write_text('root ::= "abc"')
    with make_llm(grammar_path=path) as llm:
        assert llm.invoke("Hello") == "abc"


@pytest.mark.parametrize("seed", range(5))
def test_json_is_json(seed: int):
    with make_chat(temperature=1.5, max_tokens=400, seed=seed, format="json") as chat:
        message = chat.invoke("Tell me about yourself.")
        if message.response_metadata["finish_reason"] == "stop":
            json.loads(message.text)
        else:
            assert message.text.lstrip().startswith(("{", "["))


@pytest.mark.parametrize("bad", ["", "root ::= (", "x ::= y", 'root ::= root "a"', "root ::= " + "(" * 10_000])
def test_a_bad_grammar_is_an_error(bad: str):
    with make_llm() as llm:
        with pytest.raises(InvalidRequestError):
            llm.invoke(PROMPT, grammar=bad)
        assert llm.invoke(PROMPT)


def test_whole_characters_only():
    text = "naïve — 日本語 🙂👩‍👧 Ω"
    with make_llm(max_tokens=400) as llm:
        pieces = list(llm.stream("Hello", grammar=f'root ::= "{text}"'))
        assert "".join(pieces) == text
        assert not any("\ufffd" in piece for piece in pieces)
        for most in range(1, 12):  # an end in the middle of a character
            cut = llm.invoke("Hello", grammar='root ::= "🙂🙂🙂🙂"', max_tokens=most)
            assert set(cut) <= {"🙂"}


def test_logprobs():
    with make_chat(logprobs=True, top_logprobs=3) as chat:
        message = chat.invoke("Who was the first man on the moon?")
    found = message.response_metadata["logprobs"]["content"]
    assert len(found) == message.usage_metadata["output_tokens"]
    assert "".join(token["token"] for token in found) == message.text
    for token in found:
        assert token["logprob"] <= 0
        best = token["top_logprobs"][0]
        assert best["token"] == token["token"]  # greedy takes the likeliest
        assert math.isclose(best["logprob"], token["logprob"])
        assert sum(math.exp(other["logprob"]) for other in token["top_logprobs"]) <= 1.0001


def test_max_tokens_is_capped_to_the_room():
    with make_llm(n_ctx=256) as llm:
        bias = never_ending(llm)
        info = llm.generate(["Hello"], logit_bias=bias).generations[0][0].generation_info
        assert info["finish_reason"] == "length"
        assert info["usage_metadata"]["total_tokens"] == 256


def test_token_counts_are_the_models_own():
    with make_chat() as chat:
        assert chat.get_num_tokens("The first man on the moon") == len(chat.get_token_ids("The first man on the moon"))
        assert chat.get_num_tokens("") == 0


def test_long_runs_are_cut_where_they_may_be():
    text = "ab " * 9000 + "é" * 20_000 + " " * 17_000 + "\n" + "x" * 8000 + " end"
    pieces = list(cut_long_runs(text))
    assert "".join(pieces) == text
    assert max(len(run) for piece in pieces for run in re.findall(r"\S+|\s+", piece)) <= 8000
    with make_llm() as llm:
        tokens = llm.engine.tokenize("x" * 100_000)
        assert len(tokens) >= 100_000 / 13
        assert llm.engine.tokenize("The first man") == llm.engine.tokenize("The first man")


def test_counting_tokens_while_the_model_is_closed():
    llm = make_llm(n_ctx=640)
    want = llm.get_num_tokens("word " * 20_000)
    with ThreadPoolExecutor(3) as threads:
        counts = [threads.submit(llm.get_num_tokens, "word " * 20_000) for _ in range(12)]
        for _ in range(6):
            llm.close()
            time.sleep(0.003)
        for count in counts:
            with contextlib.suppress(EngineClosedError):
                assert count.result() == want
    llm.close()


# --- adapters and caches --------------------------------------------------------------------------------------------


def test_a_lora_adapter(tmp_path: Path):
    path = tmp_path / "lora.gguf"
    width = read_header(model_path).embedding_length
    write_lora(path, tensor="blk.0.attn_output.weight", inputs=width, outputs=width, value=0.3)
    with make_llm(max_tokens=20) as plain, make_llm(lora_path=path, max_tokens=20) as adapted:
        want = plain.invoke(PROMPT)
        assert adapted.invoke(PROMPT) != want
        assert plain.invoke(PROMPT) == want
        assert adapted._identifying_params != plain._identifying_params
        assert scheduler_of(adapted).model() is scheduler_of(plain).model()  # the weights are shared all the same
    with make_llm(lora_path=path, lora_scale=0.0, max_tokens=20) as off:
        assert off.invoke(PROMPT) == want


def test_adapters_go_with_their_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The weights, which others use longer, would keep them."""
    freed: list[object] = []
    free = library.lib.llama_adapter_lora_free
    monkeypatch.setattr(library.lib, "llama_adapter_lora_free", lambda adapter: freed.append(free(adapter)))
    path = tmp_path / "lora.gguf"
    width = read_header(model_path).embedding_length or 0
    write_lora(path, tensor="blk.0.attn_output.weight", inputs=width, outputs=width, value=0.3)
    with make_llm() as base:
        want = base.invoke(PROMPT)
        for number in range(3):
            with make_llm(lora_path=path) as adapted:
                adapted.load()
            assert len(freed) == number + 1
        assert base.invoke(PROMPT) == want


def test_what_is_no_lora_adapter(tmp_path: Path):
    with pytest.raises(ModelFileError, match="adapter"):
        make_llm(lora_path=model_path)
    path = tmp_path / "lora.gguf"
    write_lora(path, tensor="blk.0.attn_output.weight", inputs=96, outputs=96, value=1.0)  # of another width
    with pytest.raises(ModelFileError, match="LoRA"):
        make_llm(lora_path=path).invoke(PROMPT)


@pytest.mark.parametrize("fields", [{"f16_kv": False}, {"type_k": "q8_0", "type_v": "q8_0"}, {"type_k": "bf16"}])
def test_kinds_of_kv_cache(fields: dict[str, Any]):
    with make_llm(**fields) as llm:
        assert "Neil Armstrong" in llm.invoke(PROMPT)


# --- what the user is told ------------------------------------------------------------------------------------------


def test_verbose_prints_the_log_and_the_times(capfd: pytest.CaptureFixture[str]):
    with make_llm(n_ctx=1011, verbose=True) as llm:
        llm.invoke(PROMPT)
        first = capfd.readouterr().err
        llm.invoke(PROMPT)
        second = capfd.readouterr().err
    for name in ("load time", "sample time", "prompt eval time", "eval time", "total time"):
        assert f"{name} =" in first
    assert "tokens per second" in first
    assert "ms per token" in first
    assert "llama_context" in first  # llama.cpp's own log
    assert "prefix reused" not in first
    assert "prefix reused" in second


def test_without_verbose_it_is_silent(capfd: pytest.CaptureFixture[str]):
    with make_llm(n_ctx=1012, verbose=False) as llm:
        llm.invoke(PROMPT)
    captured = capfd.readouterr()
    assert captured.err == ""
    assert captured.out == ""


@pytest.mark.skipif(library.has_gpu_support(), reason="this llama.cpp was built with GPU support")
def test_layers_on_a_gpu_that_is_not_there(caplog: pytest.LogCaptureFixture):
    from langchain_localmodels.engines import common

    common._warned.clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            with make_llm(n_gpu_layers=1) as llm:
                llm.invoke(PROMPT)
    told = [record.getMessage() for record in caplog.records if "n_gpu_layers" in record.getMessage()]
    assert len(told) == 1
    for flag in ("GGML_CUDA", "GGML_METAL", "GGML_VULKAN"):
        assert flag in told[0]


# --- processes ------------------------------------------------------------------------------------------------------


def run_script(script: str, *, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    head = f"model_path = {model_path!r}\nWILD = {WILD!r}\n"
    code = head + textwrap.dedent(script)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=timeout, check=False)


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
        from langchain_localmodels import LlamaCpp
        llm = LlamaCpp(model_path=model_path, n_threads=1, max_tokens=1900, **WILD)
        stream = llm.stream("Hello")
        print(next(stream))
        {end}
    """)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_a_forked_child_gets_an_error_and_does_not_hang():
    done = run_script("""
        import os, sys, warnings
        warnings.simplefilter("ignore")
        from langchain_localmodels import LlamaCpp
        from langchain_localmodels.errors import EngineError
        llm = LlamaCpp(model_path=model_path, temperature=0, n_threads=1)
        want = llm.invoke("The first man on the moon was ...")
        child = os.fork()
        if child == 0:
            try:
                llm.invoke("The first man on the moon was ...")
            except EngineError as error:
                os._exit(7 if "fork" in str(error) else 8)
            os._exit(9)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert llm.invoke("The first man on the moon was ...") == want
    """)
    assert done.returncode == 0, done.stderr


def test_a_spawned_child_can_be_given_the_object():
    done = run_script("""
        import pickle, subprocess, sys
        from langchain_localmodels import LlamaCpp
        llm = LlamaCpp(model_path=model_path, temperature=0, n_threads=1)
        want = llm.invoke("The first man on the moon was ...")
        code = "import pickle, sys; print(pickle.load(sys.stdin.buffer).invoke('The first man on the moon was ...'))"
        got = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(llm), capture_output=True, check=True)
        assert got.stdout.decode() == want + "\\n", got
    """)
    assert done.returncode == 0, done.stderr


def test_ctrl_c_stops_and_leaves_the_model_usable():
    done = run_script("""
        import os, signal, threading
        from langchain_localmodels import LlamaCpp
        # What a shell starts in the background ignores it, and hands that on.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        llm = LlamaCpp(model_path=model_path, n_threads=1, max_tokens=1900, **WILD)
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


def test_without_llama_cpp_python_the_extra_is_named():
    done = run_script("""
        import sys
        sys.modules["llama_cpp"] = None  # as if it were not installed
        from langchain_localmodels import LlamaCpp
        from langchain_localmodels.errors import EngineNotInstalledError
        llm = LlamaCpp(model_path=model_path)
        try:
            llm.invoke("Hello")
        except EngineNotInstalledError as error:
            assert "langchain-localmodels[llamacpp]" in str(error), error
            assert isinstance(error, ImportError)
        else:
            raise SystemExit(1)
    """)
    assert done.returncode == 0, done.stderr


def test_a_failing_decode_fails_its_requests_and_no_others(fail_next_decode: Callable[[], None]):
    with make_llm() as llm:
        want = llm.invoke(PROMPT)
        fail_next_decode()
        with pytest.raises(EngineError, match="code -3"):
            llm.invoke(PROMPT)
        assert llm.invoke(PROMPT) == want
