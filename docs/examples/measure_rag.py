"""Counts how many questions `local_rag.py` answers right, and from the right file.

`python measure_rag.py notes questions.tsv` takes the options of `local_rag.py`. A line of the second file holds a
question, the words that a right answer holds, and the file that it is from, with tabs between; a question alone is one
that the files do not answer, and a line that begins with `+` goes on with the conversation of the line before.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from langchain_core.documents import Document
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from local_rag import NOTHING, Assistant, make_chain, opened, options, sources

from langchain_localmodels.errors import InvalidRequestError, LocalModelError


@dataclass(frozen=True)
class Question:
    """A question with what is known of its answer; without `words`, the files do not say it."""

    text: str
    words: frozenset[str]
    file: str
    goes_on: bool


@dataclass
class Figures:
    """How many questions went well.

    Attributes:
        asked: Questions that the files answer.
        first: Of these, how many had a piece that answers them as the nearest.
        among: Of these, how many had one among the nearest, as many as are shown at most.
        shown: Of these, how many had one among what the chat model was shown.
        right: Of these, how many got an answer that holds the words, from the right file.
        foreign: Questions that the files do not answer.
        declined: Of these, how many were declined.
        wrong: What went wrong: the question, and what was said to it.
    """

    asked: int = 0
    first: int = 0
    among: int = 0
    shown: int = 0
    right: int = 0
    foreign: int = 0
    declined: int = 0
    wrong: list[tuple[str, str]] = field(default_factory=list)


def read_questions(path: Path) -> list[Question]:
    """Read the file of questions."""
    found = []
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequestError(f"The questions in {str(path)!r} cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        cells = [cell.strip() for cell in line.split("\t")]
        text, words, file = (*cells, "", "")[:3]
        if len(cells) not in (1, 3) or not text.lstrip("+") or bool(words) != bool(file):
            raise InvalidRequestError(
                f"Line {number} of {str(path)!r} is not a question, or a question, words and a file.",
                hint="Put one tab between them.",
            )
        found.append(Question(text.removeprefix("+"), _words(words), file, text.startswith("+")))
    return found


def measure(assistant: Assistant, questions: Sequence[Question]) -> Figures:
    """Ask all questions, and count."""
    figures = Figures()
    chain = make_chain(assistant)
    widely = replace(assistant.store.search, floor=-1.0)
    history: list[AnyMessage] = []
    for question in questions:
        history = history if question.goes_on else []
        got = chain.invoke({"question": question.text, "history": history})
        answer, shown = got["answer"], got["documents"]
        history = [*history, HumanMessage(question.text), AIMessage(answer)]
        if question.words:
            near = [_answers(piece, question) for piece in assistant.store.find(got["standalone"], widely)]
            files = [piece.metadata["file"] for piece in sources(answer, shown)[:1]]
            right = question.words <= _words(answer) and files == [question.file]
            figures.asked += 1
            figures.first += near[:1] == [True]
            figures.among += any(near)
            figures.shown += any(_answers(piece, question) for piece in shown)
            figures.right += right
        else:
            right = answer == NOTHING
            figures.foreign += 1
            figures.declined += right
        if not right:
            figures.wrong.append((question.text, answer))
    return figures


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.lower()))


def _answers(piece: Document, question: Question) -> bool:
    return question.file == piece.metadata["file"] and question.words <= _words(piece.page_content)


def table(figures: Figures) -> Iterator[str]:
    """The figures as lines."""
    for what, count, of in (
        ("the nearest piece answers it", figures.first, figures.asked),
        ("a piece among the nearest answers it", figures.among, figures.asked),
        ("a piece that is shown answers it", figures.shown, figures.asked),
        ("answered right, from the right file", figures.right, figures.asked),
        ("declined, of those that the files do not answer", figures.declined, figures.foreign),
    ):
        yield f"{what:48} {count} of {of}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; gives the exit status."""
    parser = options("Count the right answers to questions whose answers are known.")
    parser.add_argument("questions", type=Path, help="file with the questions")
    chosen = parser.parse_args(arguments)
    try:
        questions = read_questions(chosen.questions)
        with opened(chosen) as assistant:
            figures = measure(assistant, questions)
    except LocalModelError as error:
        print(error, file=sys.stderr)
        return 1
    print(*table(figures), sep="\n")
    for question, answer in figures.wrong:
        print(f"wrong: {question} -> {answer}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
