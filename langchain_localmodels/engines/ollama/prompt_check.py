"""Notices that a server has cut a prompt, which Ollama does without a word."""

from __future__ import annotations

import logging
from collections.abc import Callable

from langchain_localmodels.engines.base import ChatRequest, CompletionRequest, FinishDelta

_logger = logging.getLogger(__name__)


def words_in(request: ChatRequest | CompletionRequest) -> int:
    """How many words a prompt has: never more than its tokens, since no common tokenizer joins words."""
    if isinstance(request, CompletionRequest):
        return len(request.prompt.split())
    return sum(len(turn.text.split()) for turn in request.turns)


def prompt_check(
    request: ChatRequest | CompletionRequest, model: str, window: int | None
) -> Callable[[FinishDelta], None]:
    """Give what is to hear of the end of an answer, and warns if the prompt was cut.

    A server counts the tokens that it has read. They are fewer than the words that it was sent only if it has left some
    out; and a prompt that fills the whole context window was longer.

    Args:
        request: What was asked.
        model: The model.
        window: Tokens that prompt and answer share, where they are known.
    """

    def check(finish: FinishDelta) -> None:
        read = finish.usage.input_tokens
        if not read:  # Old servers do not count a prompt that they remember.
            return
        words = words_in(request)
        if words > read or (window is not None and read >= window):
            _logger.warning(
                "Ollama has read %d tokens of a prompt of at least %d for the model %r: it has cut the prompt to its "
                "context window%s, which it does without an error. Give a larger `num_ctx`, or a shorter prompt; with "
                "`truncate=False` per call a prompt that is too long is refused.",
                read,
                max(words, read),
                model,
                "" if window is None else f" of {window} tokens",
            )

    return check
