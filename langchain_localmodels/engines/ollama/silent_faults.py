"""Notices what Ollama does without a word: it cuts a prompt, swallows an answer, or leaves out what was asked."""

from __future__ import annotations

import logging
from collections.abc import Callable

from langchain_localmodels.engines.base import ChatRequest, CompletionRequest, FinishDelta
from langchain_localmodels.engines.ollama.answers import AnswerReader

_logger = logging.getLogger(__name__)


def words_in(request: ChatRequest | CompletionRequest) -> int:
    """How many words a prompt has: never more than its tokens, since no common tokenizer joins words."""
    if isinstance(request, CompletionRequest):
        return len(request.prompt.split())
    return sum(len(turn.text.split()) for turn in request.turns)


def fault_check(
    request: ChatRequest | CompletionRequest, model: str, window: int | None
) -> Callable[[FinishDelta, AnswerReader], None]:
    """Give what is to hear of the end of an answer, with its reader, and warns of faults.

    A server counts the tokens that it has read. They are fewer than the words that it was sent only if it has left some
    out; and a prompt that fills the whole context window was longer. It also counts what the model wrote: where tools
    were offered and nothing came of that, it was a call that the server could not read.

    Args:
        request: What was asked.
        model: The model.
        window: Tokens that prompt and answer share, where they are known.
    """
    expects_calls = isinstance(request, ChatRequest) and bool(request.tools) and not request.settings.stop

    expects_logprobs = request.settings.top_logprobs is not None

    def check(finish: FinishDelta, answer: AnswerReader) -> None:
        read, written = finish.usage.input_tokens, finish.usage.output_tokens
        if answer.silent and expects_calls and written > _TOKENS_OF_NOTHING:
            _logger.warning(_SWALLOWED, model, written)
        if expects_logprobs and not answer.silent and not answer.has_logprobs:
            _logger.warning(_NO_LOGPROBS)
        if not read:  # Old servers do not count a prompt that they remember.
            return
        words = words_in(request)
        if words > read or (window is not None and read >= window):
            _logger.warning(_CUT, read, max(words, read), model, "" if window is None else f" of {window} tokens")

    return check


_CUT = (
    "Ollama has read %d tokens of a prompt of at least %d for the model %r: it has cut the prompt to its context "
    "window%s, which it does without an error. Give a larger `num_ctx`, or a shorter prompt; with `truncate=False` per "
    "call a prompt that is too long is refused."
)
_SWALLOWED = (
    "Ollama gave nothing of what the model %r wrote (%d tokens): most likely a tool call that it could not read. Ask "
    "again, force the call with `tool_choice`, or use a newer Ollama."
)
_NO_LOGPROBS = "Ollama gave no log probabilities, though it was asked for them. It does from version 0.12.11 on."
_TOKENS_OF_NOTHING = 2
"""Tokens of an answer without text: the mark of its end, and perhaps a line break."""
