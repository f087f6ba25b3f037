"""What the error texts of llama-server, llamafile and their like mean, beyond what the status says."""

from __future__ import annotations

import re
from collections.abc import Callable

from langchain_localmodels.errors import (
    EngineError,
    InvalidRequestError,
    LocalModelError,
    ModelMissingError,
    PromptTooLongError,
    UnsupportedContentError,
    UnsupportedFeatureError,
)

_TOO_LONG = re.compile(
    r"exceeds? the available context size|out_of_context|maximum context length|requested tokens .*exceed context|"
    r"is too large to process|prompt is too long|context length of only",
    re.I,
)
_COUNTS = (
    re.compile(r"\((?P<prompt>\d+) tokens\).*?\((?P<window>\d+) tokens\)", re.S),
    re.compile(r"\((?P<prompt>\d+) tokens\) is too large.*?batch size: (?P<window>\d+)", re.S),
    re.compile(r"context (length|window) (is|of) (?P<window>\d+).*?(?P<prompt>\d+) tokens", re.S),
)


def explain(status: int | None, text: str) -> LocalModelError | None:
    """The error that a text stands for; `None` where the status says as much.

    Args:
        status: The HTTP status; `None` for an error inside a stream, whose status was 200.
        text: What the server said.
    """
    error = _known(text)
    if error is None and status == 501:
        error = UnsupportedFeatureError(
            f"The server was started without this: {text}", hint="The text names the option to start it with."
        )
    if error is None and status == 400:
        error = InvalidRequestError(
            f"The server refused the request: {text}", hint="The server's log may say more about what it expects."
        )
    if error is None and status is None:
        error = EngineError(
            f"The server failed while it answered: {text}", hint="The server's log may tell why; asking again may help."
        )
    return error


def _known(text: str) -> LocalModelError | None:
    if _TOO_LONG.search(text):
        found = next((match for pattern in _COUNTS if (match := pattern.search(text))), None)
        return PromptTooLongError(
            f"The server says: {text}",
            prompt_tokens=int(found["prompt"]) if found else None,
            context_window=int(found["window"]) if found else None,
            hint="Give a shorter text, or start the server with a larger window (`-c`; for embeddings also `-ub`).",
        )
    return next((make(text) for pattern, make in _MEANINGS if pattern.search(text)), None)


_MEANINGS: tuple[tuple[re.Pattern[str], Callable[[str], LocalModelError]], ...] = (
    (
        re.compile(r"(image|audio|video) input is not supported|does not support multimodal|no mmproj", re.I),
        lambda text: UnsupportedContentError(
            f"The server says: {text}",
            hint="Use a model that reads images, and give its `--mmproj` file to the server.",
        ),
    ),
    (
        re.compile(r"failed to load image", re.I),
        lambda text: UnsupportedContentError(f"The server says: {text}", hint="Give a whole PNG or JPEG."),
    ),
    (
        re.compile(r"embedding=True", re.I),
        lambda text: UnsupportedFeatureError(f"The server says: {text}", hint="Start it with `--embedding true`."),
    ),
    (
        re.compile(r"requires? --jinja", re.I),
        lambda text: UnsupportedFeatureError(
            f"The server says: {text}", hint="Start it with `--jinja`, or use a newer one."
        ),
    ),
    (
        re.compile(r"model '?.*'? (not found|does not exist|is not loaded)|model name is missing", re.I),
        lambda text: ModelMissingError(
            f"The server says: {text}", hint="Give one of the names in /v1/models as `model`."
        ),
    ),
    (
        re.compile(r"does not match the expected|failed to parse (input|the (model|tool))", re.I),
        lambda text: EngineError(
            f"The server could not read what the model wrote: {text}",
            hint="It may have been cut off inside of a tool call: give a larger `max_tokens`.",
        ),
    ),
    (
        re.compile(r"failed to parse (grammar|messages|tools)|unable to generate parser|schema conversion", re.I),
        lambda text: InvalidRequestError(
            f"The server refused the request: {text}",
            hint="It does not take this grammar, schema or order of messages.",
        ),
    ),
)
"""What a text stands for, the first that fits."""
