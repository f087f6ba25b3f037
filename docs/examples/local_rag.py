"""Questions to a folder of texts, answered by models on this machine, with sources.

`python local_rag.py notes "Where does Ingrid live?"` reads the Markdown and text files in the folder `notes`, keeps
their vectors in the folder `rag-store`, and answers. Without a question it asks for them, one after the other, and
remembers what was said. A further run embeds only what is new or changed. `--chat` and `--embeddings` take any model
of the package as a string; without them the demo models answer, which are toys. `rag_store.py` keeps the vectors, and
`docs/rag.md` explains every step.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any

from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, get_buffer_string
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable, RunnableBranch, RunnableLambda, RunnablePassthrough
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from rag_store import DEMO_SEARCH, Changes, Folder, NoteStore, Search, read_folder
from typing_extensions import TypedDict

from langchain_localmodels import init_local_chat_model, init_local_embeddings
from langchain_localmodels.demo import embedding_model_path, model_path
from langchain_localmodels.errors import InvalidRequestError, LocalModelError
from langchain_localmodels.prompts import QUESTION_REWRITING, RAG, format_documents

DEMO_CHAT = f"llamacpp:{model_path}"
DEMO_EMBEDDINGS = f"llamacpp:{embedding_model_path}"
NOTHING = "Nothing in these files answers that."
REMEMBERED = 6
"""Messages of the conversation that a question is understood by."""


# --- understanding and answering --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Assistant:
    """The steps that both the chain and the graph are made of.

    Attributes:
        store: Where pieces are found.
        rewriter: From `chat_history`, as text, and `question` to a question that stands alone.
        answerer: From `context` and `question` to an answer.
    """

    store: NoteStore
    rewriter: Runnable[dict[str, str], str]
    answerer: Runnable[dict[str, str], AIMessage]
    shown: Callable[[Iterable[Document]], str] = format_documents

    @classmethod
    def of(cls, store: NoteStore, chat: BaseChatModel, *, tiny: bool = False) -> Assistant:
        """Make one on a chat model.

        Args:
            store: Where pieces are found.
            chat: The chat model.
            tiny: Whether it is as weak as the demo model, which knows one form of question and cannot rewrite any.
        """
        if not tiny:
            rewriter = QUESTION_REWRITING.get_prompt(chat) | chat | StrOutputParser()
            return cls(store, rewriter, RAG.get_prompt(chat) | chat)
        form = "Answer the question using only the context.\n\nContext:\n{context}\n\nQuestion: {question}"
        return cls(store, RunnableLambda(name_instead), ChatPromptTemplate.from_template(form) | chat, as_lines)

    def understand(self, asked: dict[str, Any]) -> str:
        """Word a question so that it can be understood without what was said before."""
        question: str = asked["question"].strip()
        if not question:
            raise InvalidRequestError("The question is empty.", hint="Ask something about the files.")
        history = asked.get("history", [])[-REMEMBERED:]
        if not history:
            return question
        rewritten: str = self.rewriter.invoke({"chat_history": get_buffer_string(history), "question": question})
        return rewritten.strip() or question

    def task(self, state: dict[str, Any]) -> dict[str, str]:
        """What the answerer is given."""
        return {"question": state["standalone"], "context": self.shown(state["documents"])}


def as_lines(documents: Iterable[Document]) -> str:
    """Pieces one under the other, without numbers, as the demo model knows them."""
    return "\n".join(document.page_content for document in documents)


_NO_NAME = re.compile("A|An|At|He|How|I|In|It|Nothing|On|She|The|They|To|What|Who|You|Your")


def name_instead(asked: dict[str, str]) -> str:
    """Put the last name in place of `she`, `his` or `it`: for models that are too small to rewrite a question.

    It knows a few English pronouns, and nothing of what is meant.
    """
    question = asked["question"]
    turns = (r"^Human: \S+(.*)$", r"^AI: (.*)$")  # a question begins with a capital, whatever its first word is
    said, answered = (re.findall(turn, asked["chat_history"], re.MULTILINE) for turn in turns)
    # The question that was asked last tells best who is spoken of, then its answer.
    for turn in (turn for pair in zip(reversed(said), reversed(answered), strict=False) for turn in pair):
        people = [word for word in re.findall(r"\b[A-Z]\w+", turn) if not _NO_NAME.fullmatch(word)]
        things = re.findall(r"\b[Tt]he [a-z]+", turn)
        name = people[0] if re.search(r"\b(he|she|him|his|her)\b", question) and people else ""
        if re.search(r"\bits?\b", question) and things:
            name = things[-1][0].lower() + things[-1][1:]
        if name:
            owned = re.sub(r"^(\w+ is) (?:his|her|its) ([\w ]+)\?$", rf"\1 the \2 of {name}?", question)
            owned = re.sub(r"\b(?:his|her|its) (?=\w)", f"{name}'s ", owned)
            return re.sub(r"\b(?:he|she|him|her|it)\b", name, owned)
    return question


def make_chain(assistant: Assistant) -> Runnable[dict[str, Any], dict[str, Any]]:
    """Make the chain (LCEL): from `question` and `history` to `standalone`, `documents` and `answer`, streamed so."""
    found = itemgetter("standalone") | RunnableLambda(assistant.store.find)
    answered = RunnableLambda(assistant.task) | assistant.answerer | StrOutputParser()
    return (
        RunnablePassthrough.assign(standalone=RunnableLambda(assistant.understand))
        .assign(documents=found)
        .assign(answer=RunnableBranch((lambda state: not state["documents"], lambda _: NOTHING), answered))
        .pick(["standalone", "documents", "answer"])
    )


class Conversation(TypedDict, total=False):
    """State of the graph; `messages` is what it remembers."""

    messages: Annotated[list[AnyMessage], add_messages]
    standalone: str
    documents: list[Document]


def make_graph(assistant: Assistant) -> Any:
    """Make the graph (LangGraph), which remembers the conversation of each `thread_id`."""

    def understand(state: Conversation) -> Conversation:
        *history, last = state["messages"]
        return {"standalone": assistant.understand({"question": last.text, "history": history})}

    def find(state: Conversation) -> Conversation:
        return {"documents": assistant.store.find(state["standalone"])}

    def answer(state: Conversation) -> Conversation:
        return {"messages": [assistant.answerer.invoke(assistant.task({**state}))]}

    def decline(state: Conversation) -> Conversation:
        return {"messages": [AIMessage(NOTHING)]}

    graph: StateGraph[Conversation, None, Conversation, Conversation] = StateGraph(Conversation)
    graph.add_node("understand", understand)
    graph.add_node("find", find)
    graph.add_node("answer", answer)
    graph.add_node("decline", decline)
    graph.add_edge(START, "understand")
    graph.add_edge("understand", "find")
    graph.add_conditional_edges("find", lambda state: "answer" if state["documents"] else "decline")
    graph.add_edge("answer", END)
    graph.add_edge("decline", END)
    return graph.compile(checkpointer=InMemorySaver())


def sources(answer: str, documents: Sequence[Document]) -> list[Document]:
    """Tell which pieces an answer is from.

    They are those that it names by number; where it names none, those that share most words with it.
    """
    cited = dict.fromkeys(int(number) for number in re.findall(r"\[(\d+)\]", answer))
    if named := [documents[number - 1] for number in cited if 0 < number <= len(documents)]:
        return named
    said = set(re.findall(r"\w+", answer.lower()))
    shared = [len(said & set(re.findall(r"\w+", piece.page_content.lower()))) for piece in documents]
    ranked = sorted(zip(shared, documents, strict=True), key=lambda pair: -pair[0])
    return [piece for count, piece in ranked if count and 2 * count >= ranked[0][0]]


# --- the command line -------------------------------------------------------------------------------------------------


def answers_of_chain(assistant: Assistant, questions: Iterable[str]) -> Iterator[Iterator[str | list[Document]]]:
    """Answer by the chain: for each question the pieces of its answer, and the documents that were shown."""
    chain = make_chain(assistant)
    history: list[AnyMessage] = []

    def one(question: str) -> Iterator[str | list[Document]]:
        answer = ""
        for chunk in chain.stream({"question": question, "history": history}):
            if "documents" in chunk:
                yield chunk["documents"]
            answer += chunk.get("answer", "")
            yield chunk.get("answer", "")
        history.extend([HumanMessage(question), AIMessage(answer)])

    return map(one, questions)


def answers_of_graph(assistant: Assistant, questions: Iterable[str]) -> Iterator[Iterator[str | list[Document]]]:
    """Answer by the graph: for each question the pieces of its answer, and the documents that were shown."""
    graph = make_graph(assistant)
    thread: Any = {"configurable": {"thread_id": "the only one"}}

    def one(question: str) -> Iterator[str | list[Document]]:
        asked = {"messages": [HumanMessage(question)]}
        for kind, part in graph.stream(asked, thread, stream_mode=["updates", "messages"]):
            if kind == "updates":
                yield part.get("find", {}).get("documents", [])
            elif part[1]["langgraph_node"] in ("answer", "decline"):  # not what the rewriter says
                yield part[0].text

    return map(one, questions)


def typed() -> Iterator[str]:
    """Questions from the keyboard, until an empty line."""
    while question := input("\nQuestion: ").strip():
        yield question


def options(description: str) -> argparse.ArgumentParser:
    """The options of this program, which `measure_rag.py` has as well."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("folder", type=Path, help="where the files are")
    parser.add_argument("--store", type=Path, default=Path("rag-store"), help="folder for the vectors (%(default)s)")
    parser.add_argument("--chat", default=DEMO_CHAT, help="such as ollama:qwen3:8b or llamacpp:model.gguf")
    parser.add_argument("--embeddings", default=DEMO_EMBEDDINGS, help="such as ollama:nomic-embed-text")
    for name in ("size", "overlap", "pieces"):
        parser.add_argument(f"--{name}", type=int, help=f"see {name} of the class Search")
    parser.add_argument("--floor", type=float, help="see floor of the class Search")
    return parser


@contextmanager
def opened(chosen: argparse.Namespace) -> Iterator[Assistant]:
    """Load the models, bring the store up to date and say so."""
    given = {name: getattr(chosen, name) for name in ("size", "overlap", "pieces", "floor")}
    usual = DEMO_SEARCH if chosen.embeddings == DEMO_EMBEDDINGS else Search()
    search = replace(usual, **{name: value for name, value in given.items() if value is not None})
    folder = read_folder(chosen.folder)
    with (
        init_local_embeddings(chosen.embeddings) as embeddings,
        init_local_chat_model(chosen.chat, temperature=0) as chat,
        NoteStore(chosen.store, embeddings, chosen.embeddings, search) as store,
    ):
        tell(folder, store.update(folder, show_progress))
        yield Assistant.of(store, chat, tiny=chosen.chat == DEMO_CHAT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; gives the exit status."""
    parser = options("Ask a folder of .md and .txt files.")
    parser.add_argument("question", nargs="*", help="questions of one conversation; without any, they are asked for")
    parser.add_argument("--graph", action="store_true", help="answer by LangGraph in place of a chain")
    parser.add_argument("--show", action="store_true", help="print the pieces that were found, and how near they are")
    chosen = parser.parse_intermixed_args(arguments)
    answers = answers_of_graph if chosen.graph else answers_of_chain
    try:
        with opened(chosen) as assistant:
            for parts in answers(assistant, chosen.question or typed()):
                show(parts, pieces=chosen.show)
    except LocalModelError as error:
        print(error, file=sys.stderr)
        return 1
    except (EOFError, KeyboardInterrupt):
        print()
    return 0


def show_progress(done: int, of: int) -> None:
    """Show how much is embedded, where somebody watches."""
    if sys.stderr.isatty():
        print(f"\r{done} of {of} pieces embedded", end="\n" if done == of else "", file=sys.stderr, flush=True)


def tell(folder: Folder, changes: Changes) -> None:
    """Say what was read."""
    what = ("new", "changed", "gone")
    counts = [f"{len(getattr(changes, name))} {name}" for name in what if getattr(changes, name)]
    print(f"{len(folder.texts)} files, {changes.pieces} pieces ({', '.join(counts) or 'nothing new'})")
    for name, reason in folder.unread.items():
        print(f"{name} was left out: {reason}")
    for name in (name for name, text in folder.texts.items() if not text.strip()):
        print(f"{name} has no text")


def show(parts: Iterable[str | list[Document]], *, pieces: bool = False) -> None:
    """Print an answer as it comes, then where it is from, or all the pieces that were found."""
    answer = ""
    documents: list[Document] = []
    print()
    for part in parts:
        if isinstance(part, str):
            answer += part
            print(part, end="", flush=True)
        else:
            documents = part or documents
    print()
    if pieces:
        lines = [
            f"{piece.metadata['score']:.2f} {piece.metadata['source']}: {piece.page_content}" for piece in documents
        ]
    else:
        lines = [f"from {piece.metadata['source']}" for piece in sources(answer, documents)]
    for line in dict.fromkeys(lines):
        print(f"  {line}")


if __name__ == "__main__":
    sys.exit(main())
