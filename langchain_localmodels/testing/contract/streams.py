"""One stream, four drivers: whichever way an answer is asked for, it is the same one, and it can be stopped."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.callbacks import CallbackManager
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig, RunnableParallel

from langchain_localmodels.testing.contract.base import EngineContract
from langchain_localmodels.testing.contract.helpers import KINDS, Failing, Recorder, joined, run, text_of


class StreamContract(EngineContract):
    """Text, metadata, token counts, stop strings, callbacks, cancellation, and many requests at once."""

    # --- drivers ----------------------------------------------------------------------------------------------------

    def test_llm_drivers_agree(self) -> None:
        """`invoke`, `stream` and their asynchronous forms give the same text, streamed in pieces."""
        llm = self.llm()
        text = llm.invoke(self.text)
        pieces = list(llm.stream(self.text))
        assert len(pieces) > 2
        assert "".join(pieces) == text

        async def both() -> tuple[str, str]:
            return await llm.ainvoke(self.text), "".join([piece async for piece in llm.astream(self.text)])

        assert run(both()) == (text, text)

    def test_chat_drivers_agree(self) -> None:
        """All ways of asking give the same text; the stream has one last chunk."""
        chat = self.chat_model()
        message = chat.invoke(self.question)
        assert isinstance(message, AIMessage)
        chunks = list(chat.stream(self.question))
        assert len(chunks) > 3
        assert joined(chunks).text == message.text
        assert [chunk.chunk_position for chunk in chunks].count("last") == 1
        assert chunks[-1].chunk_position == "last"
        assert str(chat.stream_events(self.question, version="v3").text) == message.text

        async def others() -> list[str]:
            answer = await chat.ainvoke(self.question)
            streamed = joined([chunk async for chunk in chat.astream(self.question)])
            events = await chat.astream_events(self.question, version="v3")
            return [answer.text, streamed.text, str(await events.text)]

        assert run(others()) == [message.text] * 3

    def test_events_of_version_2(self) -> None:
        """`astream_events` tells of the start, of each piece of text, and of the end with the whole answer."""
        chat = self.chat_model()

        async def collect() -> list[Any]:
            return [event async for event in chat.astream_events(self.question, version="v2")]

        events = run(collect())
        assert [event["event"] for event in events[:1]] == ["on_chat_model_start"]
        assert events[-1]["event"] == "on_chat_model_end"
        texts = [event["data"]["chunk"].text for event in events if event["event"] == "on_chat_model_stream"]
        assert "".join(texts) == events[-1]["data"]["output"].text == chat.invoke(self.question).text

    def test_content_as_standard_blocks(self) -> None:
        """With `output_version="v1"` content is a list of blocks, streamed or not, and says the same."""
        plain = self.chat_model().invoke(self.question)
        chat = self.chat_model(output_version="v1")
        for message in (chat.invoke(self.question), joined(list(chat.stream(self.question)))):
            assert isinstance(message.content, list)
            assert message.text == plain.text
            assert [block["type"] for block in message.content_blocks][-1] == "text"

    def test_both_ways_give_the_same_metadata(self) -> None:
        """What a stream tells at its end is what `invoke` tells."""
        chat = self.chat_model()
        message = chat.invoke(self.question)
        streamed = joined(list(chat.stream(self.question)))

        def steady(found: dict[str, Any]) -> dict[str, Any]:
            return {key: value for key, value in found.items() if key != "created_at" and not key.endswith("_duration")}

        assert steady(streamed.response_metadata) == steady(message.response_metadata)
        assert streamed.response_metadata.keys() == message.response_metadata.keys()

    # --- metadata ---------------------------------------------------------------------------------------------------

    def test_usage(self) -> None:
        """Token counts are always there, on one chunk of a stream alone."""
        chat = self.chat_model()
        usage = chat.invoke(self.question).usage_metadata
        assert usage is not None
        assert usage["input_tokens"] > 0
        assert usage["output_tokens"] > 0
        assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
        streamed = [chunk.usage_metadata for chunk in chat.stream(self.question) if chunk.usage_metadata]
        assert len(streamed) == 1
        assert streamed[0]["total_tokens"] == usage["total_tokens"]
        result = self.llm().generate([self.text])
        assert result.llm_output is not None
        assert result.llm_output["token_usage"]["total_tokens"] > 0

    def test_metadata(self) -> None:
        """Metadata has the engine, the model, why the answer ended, and times in nanoseconds."""
        metadata = self.chat_model().invoke(self.question).response_metadata
        assert metadata["model_provider"] == self.engine
        assert metadata["model_name"] == metadata["model"]
        assert metadata["finish_reason"] == metadata["done_reason"] == "stop"
        assert metadata["done"] is True
        assert metadata["created_at"]
        for key in ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration"):
            assert isinstance(metadata[key], int)
            assert metadata[key] >= 0
        assert metadata["prompt_eval_count"] > 0
        assert metadata["eval_count"] > 0

    def test_finish_reasons(self) -> None:
        """An answer that `max_tokens` cut says `length`, any other `stop`."""
        assert self.chat_model().invoke(self.question).response_metadata["finish_reason"] == "stop"
        cut_message = self.chat_model(max_tokens=2).invoke(self.question)
        assert cut_message.response_metadata["finish_reason"] == "length"
        cut = self.llm().generate([self.text], max_tokens=2).generations[0][0]
        assert cut.generation_info is not None
        assert cut.generation_info["finish_reason"] == "length"

    def test_log_probabilities(self) -> None:
        """`logprobs` reports every token of the text, and `top_logprobs` that many alternatives."""
        message = self.chat_model().invoke(self.question, logprobs=True, top_logprobs=2)
        tokens = message.response_metadata["logprobs"]["content"]
        assert "".join(token["token"] for token in tokens).startswith(message.text)
        assert all(token["logprob"] <= 0 and len(token["top_logprobs"]) <= 2 for token in tokens)
        assert any(token["top_logprobs"] for token in tokens)

    # --- stop -------------------------------------------------------------------------------------------------------

    def test_stop(self) -> None:
        """Stop strings end the answer and are no part of it, wherever they are given; lists are joined."""
        llm = self.llm()
        text = llm.invoke(self.text)
        mark = text[len(text) // 2 :][:3]
        want = text[: text.index(mark)]
        assert llm.invoke(self.text, stop=[mark]) == want
        assert "".join(llm.stream(self.text, stop=["never there", mark])) == want
        assert self.llm(stop=["never there"]).invoke(self.text, stop=[mark]) == want
        assert self.llm(stop=[mark]).invoke(self.text) == want
        assert self.llm(stop=[mark]).invoke(self.text, stop=["never there"]) == want
        assert run(llm.bind(stop=[mark]).ainvoke(self.text)) == want

    def test_stop_in_a_chat(self) -> None:
        """The same for the chat model, whose answer then ends with the reason `stop`."""
        whole = self.chat_model().invoke(self.question).text
        mark = whole[len(whole) // 2 :][:3]
        for message in (
            self.chat_model().invoke(self.question, stop=[mark]),
            self.chat_model(stop=["never there"]).invoke(self.question, stop=[mark]),
            self.chat_model(stop=[mark]).invoke(self.question, stop=["never there"]),
            self.chat_model(stop=[mark]).bind(stop=["not there either"]).invoke(self.question),
            joined(list(self.chat_model(stop=[mark]).stream(self.question, stop=["never there"]))),
        ):
            assert message.text == whole[: whole.index(mark)]
            assert message.response_metadata["finish_reason"] == "stop"

    # --- callbacks --------------------------------------------------------------------------------------------------

    @KINDS
    @pytest.mark.parametrize("place", ["call", "callbacks", "callback_manager"])
    def test_callbacks(self, kind: str, place: str) -> None:
        """Callbacks hear of the start, of every token once, and of the end, wherever they are given."""
        recorder = Recorder()
        given: dict[str, Any] = {}
        if place == "callbacks":
            given["callbacks"] = [recorder]
        elif place == "callback_manager":
            given["callback_manager"] = CallbackManager([recorder])
        config: RunnableConfig | None = {"callbacks": [recorder]} if place == "call" else None
        text = "".join(text_of(piece) for piece in self.model(kind, **given).stream(self.prompt(kind), config=config))
        assert recorder.events[0] == "start"
        assert recorder.events[-1] == "end"
        assert set(recorder.events[1:-1]) == {"token"}
        assert "".join(recorder.tokens) == text
        assert all(chunk is not None for chunk in recorder.chunks)

    @KINDS
    def test_invoke_reports_tokens(self, kind: str) -> None:
        """Callbacks of `invoke` and `ainvoke` hear of every token, too."""
        model = self.model(kind)
        recorder = Recorder()
        text = text_of(model.invoke(self.prompt(kind), config={"callbacks": [recorder]}))
        assert "".join(recorder.tokens) == text
        again = Recorder()
        run(model.ainvoke(self.prompt(kind), config={"callbacks": [again]}))
        assert "".join(again.tokens) == text

    @KINDS
    def test_an_exception_in_a_callback_ends_the_answer_only(self, kind: str) -> None:
        """It reaches the caller, and the model answers the next request as before."""
        model = self.model(kind)
        want = text_of(model.invoke(self.prompt(kind)))
        failing = Failing()
        with pytest.raises(ValueError, match="enough"):
            list(model.stream(self.prompt(kind), config={"callbacks": [failing]}))
        assert failing.events[-1] == "error"

        async def read() -> list[Any]:
            return [piece async for piece in model.astream(self.prompt(kind), config={"callbacks": [Failing()]})]

        with pytest.raises(ValueError, match="enough"):
            run(read())
        assert text_of(model.invoke(self.prompt(kind))) == want

    # --- cancellation -----------------------------------------------------------------------------------------------

    @KINDS
    def test_cancellation(self, kind: str) -> None:
        """Leaving a stream, or cancelling a task, ends the request, and the model answers the next one."""
        model = self.model(kind)
        want = text_of(model.invoke(self.prompt(kind)))
        for _ in model.stream(self.prompt(kind)):
            break

        async def leave_and_cancel() -> None:
            async for _ in model.astream(self.prompt(kind)):
                break
            task = asyncio.ensure_future(model.ainvoke(self.prompt(kind)))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        run(leave_and_cancel())
        assert text_of(model.invoke(self.prompt(kind))) == want

    # --- many at once -----------------------------------------------------------------------------------------------

    @KINDS
    def test_batch(self, kind: str) -> None:
        """Many requests at once are answered as each would be alone, in their order."""
        model = self.model(kind, max_tokens=16)
        prompts = [self.prompt(kind), "Hello"] * 3
        want = [text_of(model.invoke(prompt)) for prompt in prompts]
        assert want[0] != want[1]
        assert [text_of(answer) for answer in model.batch(prompts)] == want
        assert [text_of(answer) for answer in run(model.abatch(prompts))] == want
        by_index = dict(model.batch_as_completed(prompts))
        assert [text_of(by_index[index]) for index in range(len(prompts))] == want
        together = RunnableParallel(a=model, b=model).invoke(prompts[0])
        assert [text_of(answer) for answer in together.values()] == [want[0]] * 2

    def test_two_event_loops(self) -> None:
        """One object serves event loops that come and go."""
        llm = self.llm()
        assert run(llm.ainvoke(self.text)) == run(llm.ainvoke(self.text))

    def test_closing_and_using_again(self) -> None:
        """A closed model opens again by itself."""
        with self.llm() as llm:
            want = llm.invoke(self.text)
        llm.close()
        assert llm.invoke(self.text) == want
        llm.close()
