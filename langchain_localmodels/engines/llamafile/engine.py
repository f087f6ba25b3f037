"""`LlamafileEngine`: one model on a server that speaks llama.cpp's or OpenAI's protocol, behind the engine contract.

Owns which endpoint serves what. What to ask is written as flows, which `streams.py` drives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from langchain_localmodels.engines.base import (
    Capabilities,
    ChatRequest,
    CompletionRequest,
    Delta,
    Engine,
    GenerationSettings,
    Tool,
    Turn,
)
from langchain_localmodels.engines.llamafile import union
from langchain_localmodels.engines.llamafile.answers import AnswerReader
from langchain_localmodels.engines.llamafile.requests import (
    chat_payload,
    completion_payload,
    conversation,
    extras_of,
    prompt_size,
)
from langchain_localmodels.engines.llamafile.server import Ask, ServerFacts, probe
from langchain_localmodels.engines.llamafile.streams import Flow, FlowStream, Limits, Streamed, run
from langchain_localmodels.errors import (
    ChatTemplateError,
    EngineClosedError,
    EngineError,
    EngineUnreachableError,
    InvalidRequestError,
    LocalModelError,
    UnsupportedFeatureError,
)
from langchain_localmodels.transport.http import HTTPTransport

__all__ = ["LlamafileEngine", "Place"]

HINT = "Is the server running there? Where it is, `base_url` or LLAMAFILE_BASE_URL says; `serve` starts one."


class Place:
    """A server, and what is known of it; found out once, and again after it could not be reached.

    Args:
        url: Where it is.
        model: Name of the model that is asked for; `None` for the one that is there.
        headers: Sent with every request.
        client_options: Arguments for httpx's clients.
        limits: How long to wait for what is asked beside answers.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str | None,
        headers: Mapping[str, str] | None,
        client_options: Mapping[str, Any] | None,
        limits: Limits,
    ) -> None:
        self.model = model
        self.limits = limits
        self.transport = HTTPTransport(
            url, server="the server", headers=headers, client_options=client_options, hint=HINT
        )
        self.known: ServerFacts | None = None

    def facts(self) -> Generator[Ask, Any, ServerFacts]:
        """A flow that finds out what the server is, unless that is known."""
        if self.known is None:
            self.known = yield from probe(self.model)
        return self.known

    def facts_now(self) -> ServerFacts:
        """The same, from a thread."""
        return self.known or run(self.transport, self.facts(), self.limits)

    def heed(self, error: LocalModelError) -> None:
        """Note a failure: when the server is back it may be another one."""
        if isinstance(error, EngineUnreachableError):
            self.known = None

    def close(self) -> None:
        """End all running requests with `EngineClosedError`."""
        self.known = None
        self.transport.close(lambda: EngineClosedError("The engine was closed while the server answered."))


class LlamafileEngine(Engine):
    """One model on a server.

    Args:
        place: The server.
    """

    def __init__(self, place: Place) -> None:
        self._place = place

    @property
    def facts(self) -> ServerFacts | None:
        """What is known of the server; `None` before it has been asked."""
        return self._place.known

    def chat(self, request: ChatRequest) -> FlowStream[Delta]:
        """Begin to answer a conversation. Nothing is sent before the first read."""
        return self._stream(self._chat(request), request.settings)

    def complete(self, request: CompletionRequest) -> FlowStream[Delta]:
        """Begin to continue a text, without a chat template. Nothing is sent before the first read."""
        return self._stream(self._complete(request), request.settings)

    def capabilities(self) -> Capabilities:
        """What the server can do. Asks it, the first time; in an event loop, which must not wait, it is assumed."""
        facts = self._place.known
        if facts is None and not _in_event_loop():
            facts = self._place.facts_now()
        return Capabilities(
            tools="native",
            constrain="schema",
            tokenizer=facts is None or facts.is_llama,
            images=facts is None or facts.images is not False,
            audio=facts is None or facts.audio is not False,
            context_window=None if facts is None else facts.context_window,
        )

    def tokenize(self, text: str) -> Sequence[int]:
        """See `Engine.tokenize`."""
        return run(self._place.transport, self._tokens(text), self._place.limits)  # type: ignore[no-any-return]

    def count(self, turns: Sequence[Turn], tools: Sequence[Tool] = ()) -> int:
        """See `Engine.count`. By the server itself, with its chat template."""
        flow = self._count(ChatRequest(tuple(turns), tuple(tools)))
        return run(self._place.transport, flow, self._place.limits)  # type: ignore[no-any-return]

    def load(self) -> None:
        """Check that the server is there, and wait until its model is loaded.

        Raises:
            EngineUnreachableError: It is not there.
        """
        self._place.known = None
        self._place.facts_now()

    def close(self) -> None:
        """End all running requests with `EngineClosedError`. The server goes on."""
        self._place.close()

    # --- flows ------------------------------------------------------------------------------------------------------

    def _stream(self, flow: Flow, settings: GenerationSettings) -> FlowStream[Delta]:
        return FlowStream(
            self._place.transport, self._heeding(flow), Limits(settings.timeout, extras_of(settings).max_retries)
        )

    def _heeding(self, flow: Flow) -> Flow:
        try:
            yield from flow
        except LocalModelError as error:
            self._place.heed(error)
            raise

    def _chat(self, request: ChatRequest) -> Flow:
        facts = yield from self._place.facts()
        model = _model(request.settings, facts)
        both = facts.takes_grammars and union.is_needed(request)
        tools = request.tools
        if both:
            request = union.united(request)
        payload = chat_payload(request, facts, model)
        reader = AnswerReader(
            model,
            prompt_size=prompt_size(payload["messages"]),
            top_logprobs=request.settings.top_logprobs,
            streamed=payload["stream"],
            most_calls=None if request.parallel_tool_calls else 1,
            raw=payload.get("reasoning_format") == "none",
        )
        yield Streamed("/v1/chat/completions", payload, union.UnionReader(reader, tools) if both else reader)

    def _complete(self, request: CompletionRequest) -> Flow:
        facts = yield from self._place.facts()
        model = _model(request.settings, facts)
        path, payload = completion_payload(request, facts, model)
        size = len(request.prompt.encode("utf-8", "surrogatepass"))
        reader = AnswerReader(model, prompt_size=size, top_logprobs=request.settings.top_logprobs, raw=True)
        yield Streamed(path, payload, reader)

    def _tokens(self, text: str, *, special: bool = False) -> Generator[Ask, Any, list[int]]:
        facts = yield from self._place.facts()
        if not facts.is_llama:
            raise NotImplementedError("this server has no tokenizer to offer")
        if not text:
            return []
        body = {"model": facts.model, "content": text, "add_special": special, "parse_special": True}
        answer = yield Ask("POST", "/tokenize", body)
        tokens = answer.get("tokens") if isinstance(answer, dict) else None
        if not isinstance(tokens, list) or not all(isinstance(token, int) for token in tokens):
            raise EngineError("The server's /tokenize gave something else than a list of token ids.")
        return tokens

    def _count(self, request: ChatRequest) -> Generator[Ask, Any, int]:
        facts = yield from self._place.facts()
        if facts.kind != "llama":
            raise NotImplementedError("this server does not tell how it writes a conversation")
        body = {"model": facts.model, **conversation(request, facts)}
        try:
            answer = yield Ask("POST", "/v1/chat/completions/input_tokens", body)
        except LocalModelError as error:
            if isinstance(error, InvalidRequestError):
                raise ChatTemplateError(error.message, hint=error.hint) from error
            answer = None  # Builds of before 2026 do not have it.
        count = answer.get("input_tokens") if isinstance(answer, dict) else None
        if isinstance(count, int):
            return count
        try:
            written = yield Ask("POST", "/apply-template", body)
        except LocalModelError as error:
            raise NotImplementedError("this server does not tell how it writes a conversation") from error
        prompt = written.get("prompt") if isinstance(written, dict) else None
        if not isinstance(prompt, str):
            raise NotImplementedError("this server does not tell how it writes a conversation")
        return len((yield from self._tokens(prompt, special=True)))


def _model(settings: GenerationSettings, facts: ServerFacts) -> str:
    asked = settings.model
    if asked is None:
        return facts.model or "default"
    if facts.fixed and asked not in facts.models:
        raise UnsupportedFeatureError(
            f"The server has one model, and was asked for another: {asked!r}.",
            hint="Start another server for it, and give its `base_url` to another object.",
        )
    return asked


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
