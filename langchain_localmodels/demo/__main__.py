"""`python -m langchain_localmodels.demo`: a completion, a chat turn and a chain, streamed from the embedded model."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import Any

from langchain_core.messages import AIMessageChunk
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate

from langchain_localmodels import ChatLlamaCpp, LlamaCpp
from langchain_localmodels.demo import model_path
from langchain_localmodels.errors import LocalModelError


def main() -> int:
    """Run the demo; gives the exit status."""
    print("langchain-localmodels, on the embedded demo model: a toy that shows the pipeline, not what models can do.\n")
    try:
        with (
            LlamaCpp(model_path=model_path, temperature=0) as llm,
            ChatLlamaCpp(model_path=model_path, temperature=0) as chat,
        ):
            began = time.perf_counter()
            llm.load()
            print(f"(loaded in {time.perf_counter() - began:.2f} s)\n")

            prompt = "The first man on the moon was ..."
            print(f"# A completion: llm.stream({prompt!r})")
            _show(llm.stream(prompt))

            question = "Who was the first man on the moon?"
            print(f"# A chat turn: chat.stream({question!r})")
            _show(chat.stream(question))

            template = ChatPromptTemplate.from_messages(
                [
                    ("system", "You are a helpful assistant."),
                    ("human", "My name is {name}."),
                    ("ai", "Nice to meet you, {name}."),
                    ("human", "What is my name?"),
                ]
            )
            print("# A chain: (prompt | chat).stream({'name': 'Ada'})")
            _show((template | chat).stream({"name": "Ada"}))

            search = PromptTemplate.from_template(
                "You are an assistant tasked with improving Google search results. Generate THREE Google search "
                "queries that are similar to this question. The output should be a numbered list of questions and "
                "each should have a question mark at the end: {question}"
            )
            print("# Another: (prompt | llm).stream({'question': 'What NFL team won the Super Bowl …?'})")
            asked = "What NFL team won the Super Bowl in the year that Justin Bieber was born?"
            _show((search | llm).stream({"question": asked}))
    except LocalModelError as error:
        print(f"\n{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


def _show(pieces: Iterable[Any]) -> None:
    """Print pieces as they come, then how fast they came."""
    began = time.perf_counter()
    first = 0.0
    count = 0
    for piece in pieces:
        text = piece.text if isinstance(piece, AIMessageChunk) else piece
        if text:
            first = first or time.perf_counter()
            count += 1
        print(text, end="", flush=True)
    end = time.perf_counter()
    took = end - began
    print(
        f"\n  ({count} pieces in {took * 1000:.0f} ms, {count / took:.0f} tokens per second; the first after ", end=""
    )
    print(f"{(first - began) * 1000:.0f} ms)\n")


if __name__ == "__main__":
    sys.exit(main())
