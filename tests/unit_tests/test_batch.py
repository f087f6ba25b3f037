"""Many inputs at once: `batch` and its relatives, on an engine that plays a script."""

import asyncio
import contextlib
import os
import signal
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import pytest
from langchain_core.caches import BaseCache, InMemoryCache
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_core.runnables import RunnableLambda

from langchain_localmodels.engines.base import TextDelta
from langchain_localmodels.errors import EngineError, InvalidRequestError
from langchain_localmodels.event_loop import SyncDriver, run_to_end
from tests.unit_tests.scripted import LOGS, ChatScripted, Log, ScriptedEngine, ScriptedLLM, ScriptedStream, finish

pytestmark = pytest.mark.timeout(60)

WAYS = ["batch", "abatch", "batch_as_completed", "abatch_as_completed"]
FOR_EVER = [TextDelta("a"), 3600, finish()]


@pytest.fixture(autouse=True)
def log():
    LOGS["default"] = Log()
    return LOGS["default"]


@pytest.fixture(params=["llm", "chat"])
def make(request, monkeypatch):
    """Makes a model whose prompts answer with themselves, once `meet` of them run together; see `Room`."""
    cls = {"llm": ScriptedLLM, "chat": ChatScripted}[request.param]

    def make(scripts=None, meet=1, **fields):
        room = Room(scripts or {}, meet)
        LOGS["default"].engines.append(room)
        monkeypatch.setattr(cls, "_new_engine", lambda self: room)
        return cls(**fields)

    return make


class Room(ScriptedEngine):
    """Plays a prompt's script, or says the prompt; no answer begins before as many as `meet` have been asked for."""

    def __init__(self, scripts, meet):
        super().__init__(scripts)
        self.meet = meet
        self.running = self.most = 0

    def _play(self, request, prompt):
        stream = Guest(self._scripts.get(prompt, [TextDelta(prompt), finish()]), self)
        self.requests.append(request)
        self.streams.append(stream)
        return stream


class Guest(ScriptedStream):
    def __init__(self, script, room):
        super().__init__(script)
        self.room = room

    def __aiter__(self):
        return self.play()

    async def play(self):
        self.room.running += 1
        self.room.most = max(self.room.most, self.room.running)
        try:
            while self.room.most < self.room.meet:
                await asyncio.sleep(0.001)
            async for delta in ScriptedStream.__aiter__(self):
                yield delta
        finally:
            self.room.running -= 1


WHO: ContextVar[str] = ContextVar("who", default="nobody")


class Recorder(BaseCallbackHandler):
    """Notes what is heard of each run, and where."""

    raise_error = True

    def __init__(self, on_token=lambda token: None):
        self.events = []
        self.starts = {}
        self.threads = set()
        self.most_threads = 0
        self.who = set()
        self.on_token = on_token

    def note(self, event, run_id):
        self.events.append((event, run_id))
        self.threads.add(threading.get_ident())
        self.most_threads = max(self.most_threads, threading.active_count())
        self.who.add(WHO.get())

    def on_llm_start(self, serialized, prompts, *, run_id, **kwargs):
        self.starts[run_id] = kwargs
        self.note("start", run_id)

    def on_llm_new_token(self, token, *, run_id, **kwargs):
        self.note(token, run_id)
        self.on_token(token)

    def on_llm_end(self, response, *, run_id, **kwargs):
        self.note("end", run_id)

    def on_llm_error(self, error, *, run_id, **kwargs):
        self.note(f"error {type(error).__name__}", run_id)

    def of(self, run_id):
        return [event for event, run in self.events if run == run_id]

    def runs(self):
        """What was heard of each run, in no order: `abatch` leaves synchronous handlers to asyncio's threads."""
        return sorted(self.of(run_id) for run_id in self.starts)


class AsyncRecorder(Recorder, AsyncCallbackHandler):
    """The same, as a handler made of coroutines."""

    async def on_llm_start(self, *args, **kwargs):
        Recorder.on_llm_start(self, *args, **kwargs)

    async def on_chat_model_start(self, serialized, messages, **kwargs):
        Recorder.on_llm_start(self, serialized, messages, **kwargs)

    async def on_llm_new_token(self, *args, **kwargs):
        Recorder.on_llm_new_token(self, *args, **kwargs)

    async def on_llm_end(self, *args, **kwargs):
        Recorder.on_llm_end(self, *args, **kwargs)

    async def on_llm_error(self, *args, **kwargs):
        Recorder.on_llm_error(self, *args, **kwargs)


def text(answer):
    return answer if isinstance(answer, str | Exception) else answer.content


def ask(model, how, inputs, config=None, **kwargs):
    """Ask in one of the ways there are; answers in the order of the inputs."""
    if how == "batch":
        return [text(answer) for answer in model.batch(inputs, config, **kwargs)]
    if how == "abatch":
        return [text(answer) for answer in asyncio.run(model.abatch(inputs, config, **kwargs))]
    if how == "batch_as_completed":
        return sort(list(model.batch_as_completed(inputs, config, **kwargs)), len(inputs))

    async def main():
        return [pair async for pair in model.abatch_as_completed(inputs, config, **kwargs)]

    return sort(asyncio.run(main()), len(inputs))


def sort(pairs, count):
    assert sorted(index for index, _ in pairs) == list(range(count))
    return [text(answer) for _, answer in sorted(pairs, key=lambda pair: pair[0])]


# --- all at once, without threads -------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("handler", [Recorder, AsyncRecorder])
def test_300_inputs_run_together_and_take_no_threads(make, how, handler):
    inputs = [f"input {number}" for number in range(300)]
    model, heard, before = make(meet=300), handler(), threading.active_count()
    assert ask(model, how, inputs, {"callbacks": [heard]}) == inputs
    assert model.engine.most == 300
    assert len(heard.starts) == 300
    assert all(len(run) == 4 and run[0] == "start" and run[-1] == "end" for run in heard.runs())
    if how.startswith("batch"):
        assert heard.threads == {threading.get_ident()}
        assert heard.most_threads == before


@pytest.mark.parametrize("how", WAYS)
def test_max_concurrency_says_how_many_run_at_once(make, how):
    inputs = [f"input {number}" for number in range(20)]
    model = make(meet=3)
    assert ask(model, how, inputs, {"max_concurrency": 3}) == inputs
    assert model.engine.most == 3
    model = make(meet=2)
    configs = [{"max_concurrency": 2}, *({"max_concurrency": 9} for _ in inputs[1:])]
    assert ask(model, how, inputs, configs) == inputs
    assert model.engine.most == 2


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("limit", [0, -1, "2", 1.5])
def test_a_max_concurrency_that_lets_nothing_run_is_refused(make, how, limit):
    with pytest.raises(InvalidRequestError, match="max_concurrency"):
        ask(make(), how, ["a", "b"], {"max_concurrency": limit})


@pytest.mark.parametrize("how", WAYS)
def test_no_input_and_one_input(make, how, log):
    assert ask(make(), how, []) == []
    assert log.requests == []
    assert ask(make(), how, ["a"], {"callbacks": [heard := Recorder()]}) == ["a"]
    assert heard.runs() == [["start", "a", "", "end"]]
    failing = make({"bad": [EngineError("broken")]})
    (error,) = ask(failing, how, ["bad"], return_exceptions=True)
    assert isinstance(error, EngineError)
    with pytest.raises(EngineError, match="broken"):
        ask(failing, how, ["bad"])


@pytest.mark.parametrize("how", WAYS)
def test_configs_must_be_as_many_as_inputs(make, how):
    with pytest.raises(ValueError, match="same length"):
        ask(make(), how, ["a", "b"], [{}])


def test_generate_with_several_prompts_runs_them_in_the_callers_thread(log, monkeypatch):
    room = Room({}, 100)
    monkeypatch.setattr(ScriptedLLM, "_new_engine", lambda self: room)
    prompts, heard, before = [str(number) for number in range(100)], Recorder(), threading.active_count()
    result = ScriptedLLM().generate(prompts, callbacks=[heard])
    assert [generation[0].text for generation in result.generations] == prompts
    assert (heard.threads, heard.most_threads) == ({threading.get_ident()}, before)


# --- each input is a run of its own -----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", WAYS)
def test_each_input_has_its_own_run(make, how):
    ids, heard, common = [uuid.uuid4() for _ in "abc"], [Recorder() for _ in "abc"], Recorder()
    configs = [
        {
            "run_id": ids[number],
            "run_name": f"name {number}",
            "tags": [f"tag {number}"],
            "metadata": {"number": number},
            "callbacks": [heard[number]],
        }
        for number in range(3)
    ]
    assert ask(make(meet=3, callbacks=[common]), how, ["x", "y", "z"], configs) == ["x", "y", "z"]
    for number, (run_id, recorder) in enumerate(zip(ids, heard, strict=True)):
        (start,) = recorder.starts.values()
        assert start["name"] == f"name {number}"
        assert start["tags"] == [f"tag {number}"]
        assert start["metadata"]["number"] == number
        assert [run for _, run in recorder.events] == [run_id] * 4
        assert recorder.of(run_id) == common.of(run_id) == ["start", "xyz"[number], "", "end"]


@pytest.mark.parametrize("how", WAYS)
def test_a_run_id_for_all_is_that_of_the_first(make, how):
    heard, run_id = Recorder(), uuid.uuid4()
    with pytest.warns(RuntimeWarning, match="first element"):
        ask(make(), how, ["x", "y"], {"run_id": run_id, "callbacks": [heard]})
    assert heard.of(run_id) == ["start", "x", "", "end"]
    assert len(heard.starts) == 2


@pytest.mark.parametrize("how", WAYS)
def test_stop_strings_and_options_reach_every_request(make, how, log):
    ask(make(), how, ["x", "y"], stop=["END"], temperature=0.25, mood="calm")
    assert [request.settings.stop for request in log.requests] == [("END",)] * 2
    assert [request.settings.sampling.temperature for request in log.requests] == [0.25] * 2
    assert [request.settings.extras.mood for request in log.requests] == ["calm"] * 2


def test_runs_in_a_chain_are_children_of_its_runs(make):
    parents = {}

    class Family(BaseCallbackHandler):
        def on_chain_start(self, *args, run_id, **kwargs):
            parents[run_id] = None

        def on_llm_start(self, *args, run_id, parent_run_id, **kwargs):
            parents[run_id] = parent_run_id

    chain = RunnableLambda(lambda text: text * 2) | make(meet=2)
    assert [text(answer) for answer in chain.batch(["a", "b"], {"callbacks": [Family()]})] == ["aa", "bb"]
    children = [parent for parent in parents.values() if parent is not None]
    assert len(children) == len(set(children)) == 2
    assert set(children) <= set(parents)


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", WAYS)
def test_returned_errors_stand_in_their_own_places(make, how, log):
    first, second = EngineError("one"), EngineError("two")
    model = make({"bad": [TextDelta("a"), first], "worse": [second]}, meet=4)
    heard = Recorder()
    answers = ask(model, how, ["x", "bad", "worse", "y"], {"callbacks": [heard]}, return_exceptions=True)
    assert answers == ["x", first, second, "y"]
    assert sorted(run[-1] for run in heard.runs()) == ["end", "end", "error EngineError", "error EngineError"]
    assert all(stream.closed.is_set() for stream in log.streams)


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("limit", [None, 3])
def test_the_first_error_is_raised_and_ends_the_others(make, how, limit, log):
    broken = EngineError("broken")
    scripts = {"bad": [TextDelta("a"), 0.01, broken], "1": FOR_EVER, "2": FOR_EVER, "3": FOR_EVER}
    model, heard = make(scripts, meet=3), Recorder()
    with pytest.raises(EngineError) as caught:
        ask(model, how, ["1", "bad", "2", "3"], {"max_concurrency": limit, "callbacks": [heard]})
    assert caught.value is broken
    assert model.engine.running == 0
    assert all(stream.closed.is_set() for stream in log.streams)
    others = ["error CancelledError"] * ((limit or 4) - 1)
    assert sorted(run[-1] for run in heard.runs()) == [*others, "error EngineError"]
    assert all(sum(event.startswith(("end", "error")) for event in run) == 1 for run in heard.runs())


@pytest.mark.parametrize("how", WAYS)
def test_after_the_first_error_nothing_more_begins(make, how, log):
    heard = Recorder()
    with pytest.raises(EngineError, match="broken"):
        ask(
            make({"bad": [EngineError("broken")]}), how, ["bad", "x", "y"], {"max_concurrency": 1, "callbacks": [heard]}
        )
    assert heard.runs() == [["start", "error EngineError"]]
    assert len(log.requests) == 1


@pytest.mark.parametrize("how", WAYS)
def test_an_exception_in_a_callback_ends_all(make, how, log):
    def fail(token):
        raise RuntimeError("handler")

    with pytest.raises(RuntimeError, match="handler"):
        ask(make({"1": FOR_EVER}), how, ["1", "2"], {"callbacks": [Recorder(fail)]})
    assert all(stream.closed.is_set() for stream in log.streams)


def test_cancelling_the_task_ends_all(make, log):
    model = make({"1": FOR_EVER, "2": FOR_EVER}, meet=2)

    async def main(work):
        task = asyncio.ensure_future(work)
        while model.engine.most < 2:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main(model.abatch(["1", "2"])))
    assert model.engine.running == 0
    assert all(stream.closed.is_set() for stream in log.streams)


def test_stop_iteration_in_a_callback_does_not_hang(make):
    with pytest.raises(RuntimeError, match="StopIteration"):
        make().batch(["1", "2"], {"callbacks": [Recorder(lambda token: next(iter(())))]})


# --- as they finish ---------------------------------------------------------------------------------------------------

STAGGERED = {"slow": FOR_EVER, "late": [0.2, TextDelta("late"), finish()]}


def test_answers_come_as_they_finish_and_breaking_out_ends_the_rest(make, log):
    model = make(STAGGERED, meet=3)
    answers = model.batch_as_completed(["slow", "late", "soon"])
    index, answer = next(answers)
    assert (index, text(answer)) == (2, "soon")
    index, answer = next(answers)
    assert (index, text(answer)) == (1, "late")
    assert model.engine.running == 1
    answers.close()
    assert model.engine.running == 0
    assert all(stream.closed.is_set() for stream in log.streams)


async def test_async_answers_come_as_they_finish_and_closing_ends_the_rest(make, log):
    model = make(STAGGERED, meet=3)
    async with contextlib.aclosing(model.abatch_as_completed(["slow", "late", "soon"])) as answers:
        assert [(await anext(answers))[0], (await anext(answers))[0]] == [2, 1]
        assert model.engine.running == 1
    assert model.engine.running == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert all(stream.closed.is_set() for stream in log.streams)


async def test_a_synchronous_loop_over_answers_works_beside_a_running_loop(make):
    model, before = make(STAGGERED, meet=3), threading.active_count()
    heard = Recorder()
    answers = model.batch_as_completed(["slow", "late", "soon"], {"callbacks": [heard]})
    assert [next(answers)[0], next(answers)[0]] == [2, 1]
    answers.close()
    assert model.engine.running == 0
    assert len(heard.threads) == 1
    assert threading.active_count() == before


def test_what_was_begun_outside_of_a_loop_may_be_closed_inside_of_one(make):
    model = make(STAGGERED, meet=3)
    answers = model.batch_as_completed(["slow", "late", "soon"])
    next(answers)

    async def main():
        answers.close()

    asyncio.run(main())
    assert model.engine.running == 0


# --- threads, loops and contexts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["batch", "batch_as_completed"])
@pytest.mark.parametrize("handler", [Recorder, AsyncRecorder])
def test_callbacks_see_the_callers_context(make, how, handler):
    heard = handler()
    token = WHO.set("me")
    try:
        ask(make(), how, ["x", "y"], {"callbacks": [heard]})
    finally:
        WHO.reset(token)
    assert heard.who == {"me"}


@pytest.mark.parametrize("handler", [Recorder, AsyncRecorder])
async def test_beside_a_running_loop_one_helper_thread_does_it(make, handler):
    model, heard, before = make(meet=50), handler(), threading.active_count()
    WHO.set("me")
    inputs = [str(number) for number in range(50)]
    assert [text(answer) for answer in model.batch(inputs, {"callbacks": [heard]})] == inputs
    assert len(heard.threads) == 1
    assert heard.threads != {threading.get_ident()}
    assert (heard.most_threads, heard.who) == (before + 1, {"me"})
    assert threading.active_count() == before
    await asyncio.sleep(0)


@pytest.mark.parametrize("inline", [False, True])
def test_a_callback_may_call_batch_and_run_loops_of_its_own(make, inline):
    model, inner = make(meet=2), []

    def nest(token):
        if token == "x":
            inner.extend(text(answer) for answer in model.batch(["p", "q"]))
            if (
                not inline
            ):  # A handler that runs inline has the loop's thread to itself in LangChain's own `ainvoke` too.
                inner.append(text(asyncio.run(model.ainvoke("r"))))

    heard = Recorder(nest)
    heard.run_inline = inline
    assert [text(answer) for answer in model.batch(["x", "y"], {"callbacks": [heard]})] == ["x", "y"]
    assert inner == (["p", "q"] if inline else ["p", "q", "r"])


def test_many_threads_at_once(make):
    model = make(meet=80)
    inputs = [[f"{thread} {number}" for number in range(10)] for thread in range(8)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(model.batch, inputs))
    assert [[text(answer) for answer in some] for some in answers] == inputs
    assert model.engine.most == 80


def test_no_event_loop_is_left_behind(make):
    found = []

    def look():
        make().batch(["x", "y"])
        for get in (asyncio.get_running_loop, asyncio.get_event_loop):
            try:
                found.append(get())
            except RuntimeError:
                found.append(None)

    # Another thread than the main one, where asyncio would make a current loop for whoever asks.
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [None, None]


# --- interrupts -------------------------------------------------------------------------------------------------------


@pytest.fixture
def ctrl_c():
    """Python's own answer to SIGINT, which a process started in the background does not have."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    after = signal.signal(signal.SIGINT, before)
    assert after is signal.default_int_handler


def interrupt_when(condition):
    def wait():
        while not condition():
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=wait, daemon=True).start()


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("how", ["batch", "batch_as_completed"])
@pytest.mark.parametrize("notebook", [False, True])
def test_ctrl_c_ends_all(make, how, notebook, log):
    model, heard = make({"1": FOR_EVER, "2": FOR_EVER}, meet=2), Recorder()
    interrupt_when(lambda: len([event for event, _ in heard.events if event == "a"]) == 2)

    async def cell():
        return ask(model, how, ["1", "2"], {"callbacks": [heard]})

    loop = asyncio.new_event_loop()
    with contextlib.closing(loop), pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(cell()) if notebook else ask(model, how, ["1", "2"], {"callbacks": [heard]})
    assert model.engine.running == 0
    assert all(stream.closed.is_set() for stream in log.streams)
    assert [run[-1] for run in heard.runs()] == ["error CancelledError"] * 2


@pytest.mark.parametrize("how", ["batch", "batch_as_completed"])
def test_ctrl_c_while_the_helper_thread_starts(make, how, log, monkeypatch):
    """The executor then forgets a thread that runs, and starts another one."""
    start, count = threading.Thread.start, []

    def interrupted(thread):
        start(thread)
        if thread.name.startswith("localmodels-batch") and not count:
            count.append(thread)
            raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    model = make({"1": FOR_EVER, "2": FOR_EVER}, meet=2)

    async def cell():
        return ask(model, how, ["1", "2"], {})

    loop = asyncio.new_event_loop()
    with contextlib.closing(loop), pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(cell())
    assert all(stream.closed.is_set() for stream in log.streams)
    (forgotten,) = count
    forgotten.join(5)
    assert not forgotten.is_alive()


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("handler", [Recorder, AsyncRecorder])
def test_an_interrupt_inside_of_a_callback_ends_all(make, kind, handler, log):
    def interrupt(token):
        if token == "2":
            raise kind

    model = make({"1": FOR_EVER, "3": FOR_EVER}, meet=3)
    with pytest.raises(kind):
        model.batch(["1", "2", "3"], {"callbacks": [handler(interrupt)]})
    assert model.engine.running == 0
    assert all(stream.closed.is_set() for stream in log.streams)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_breaks_into_a_callback_that_takes_long(make, log):
    began = threading.Event()

    def take_long(token):
        began.set()
        time.sleep(50)

    interrupt_when(began.is_set)
    with pytest.raises(KeyboardInterrupt):
        make().batch(["1", "2"], {"callbacks": [Recorder(take_long)]})
    assert all(stream.closed.is_set() for stream in log.streams)


# --- caches and rate limiters -----------------------------------------------------------------------------------------


class SyncCache(BaseCache):
    """A cache as most are: without coroutines of its own."""

    def __init__(self):
        self.inside = InMemoryCache()
        self.threads = set()

    def lookup(self, prompt, llm_string):
        self.threads.add(threading.get_ident())
        return self.inside.lookup(prompt, llm_string)

    def update(self, prompt, llm_string, return_val):
        self.threads.add(threading.get_ident())
        self.inside.update(prompt, llm_string, return_val)

    def clear(self, **kwargs):
        self.inside.clear()


@pytest.mark.parametrize("cache", [InMemoryCache, SyncCache])
def test_a_cache_is_asked_as_in_invoke(make, cache, log):
    shared = cache()
    model = make(cache=shared)
    assert text(model.invoke("x")) == "x"
    for _ in range(2):
        assert [text(answer) for answer in model.batch(["x", "y", "z"])] == ["x", "y", "z"]
    assert len(log.requests) == 3
    assert text(model.invoke("z")) == "z"
    assert len(log.requests) == 3
    assert getattr(shared, "threads", set()) <= {threading.get_ident()}


class Limiter(BaseRateLimiter):
    def __init__(self):
        self.asked = 0

    def acquire(self, *, blocking=True):
        self.asked += 1
        return True

    async def aacquire(self, *, blocking=True):
        return self.acquire(blocking=blocking)


@pytest.mark.parametrize("how", WAYS)
def test_a_rate_limiter_is_asked_for_every_input(how):
    limiter = Limiter()
    ask(ChatScripted(rate_limiter=limiter), how, ["x", "y", "z"])
    assert limiter.asked == 3


# --- the loop itself --------------------------------------------------------------------------------------------------


def test_the_clock_stands_still_while_the_caller_or_a_callback_is_busy():
    async def now():
        return asyncio.get_running_loop().time()

    async def call_back():
        loop = asyncio.get_running_loop()
        begin = loop.time()
        await loop.run_in_executor(None, time.sleep, 0.5)
        return loop.time() - begin

    with contextlib.closing(SyncDriver()) as driver:
        begin, real = driver.run(now()), time.monotonic()
        time.sleep(0.5)
        passed, passed_in_fact = driver.run(now()) - begin, time.monotonic() - real
        assert passed <= passed_in_fact - 0.5
        real = time.monotonic()
        passed = driver.run(call_back())
        assert passed <= time.monotonic() - real - 0.5


def test_what_a_coroutine_leaves_behind_is_ended():
    ends = []

    async def work():
        async def stay():
            try:
                await asyncio.sleep(3600)
            finally:
                ends.append("task")

        async def pieces():
            try:
                yield 1
            finally:
                ends.append("generator")

        asyncio.create_task(stay())  # noqa: RUF006
        await asyncio.sleep(0)
        left = pieces()
        await anext(left)
        return left

    left = run_to_end(work())
    assert sorted(ends) == ["generator", "task"]
    del left
