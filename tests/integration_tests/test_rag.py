"""`docs/examples/`: questions to a folder, on the demo models: how many are answered right, and all that answers them.

The store has its tests in `test_rag_store.py`. The code of `docs/rag.md` itself runs in `test_docs.py`; what the page
says that the programs print is held against them here.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from unittest import mock

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage

from langchain_localmodels import ChatGPT4All, ChatLlamaCpp, ChatLlamafile, LlamaCppEmbeddings
from langchain_localmodels.demo import embedding_model_path, model_path
from langchain_localmodels.engines.llamacpp import config as llamacpp_config
from langchain_localmodels.errors import InvalidRequestError
from langchain_localmodels.testing import ScriptedChatModel
from tests import llama_server
from tests.integration_tests.test_docs import end_what_lingers

PAGE = Path(__file__).parents[2] / "docs" / "rag.md"
EXAMPLES = PAGE.parent / "examples"
sys.path.append(str(EXAMPLES))

import local_rag  # noqa: E402
import measure_rag  # noqa: E402
import rag_store  # noqa: E402

NOTES = EXAMPLES / "notes"


@pytest.fixture(scope="module")
def embeddings():
    with LlamaCppEmbeddings(model_path=embedding_model_path, n_threads=1) as model:
        yield model


@pytest.fixture
def chat():
    with ChatLlamaCpp(model_path=model_path, temperature=0, n_threads=1) as model:
        yield model


@pytest.fixture(scope="module")
def notes(tmp_path_factory, embeddings):
    """The store of the notes."""
    path = tmp_path_factory.mktemp("rag") / "store"
    with rag_store.NoteStore(path, embeddings, "demo", rag_store.DEMO_SEARCH) as store:
        store.update(rag_store.read_folder(NOTES))
        yield store


@pytest.fixture
def assistant(notes, chat):
    return local_rag.Assistant.of(notes, chat, tiny=True)


def run(line: str) -> str:
    """What a command line prints, without what it writes to standard error."""
    _, program, *arguments = shlex.split(line)
    main = {"local_rag.py": local_rag.main, "measure_rag.py": measure_rag.main}[program]
    stdout = io.StringIO()
    with contextlib.redirect_stdout(stdout), mock.patch.object(llamacpp_config, "usable_cpus", return_value=1):
        assert main(arguments) == 0
    return stdout.getvalue()


# --- how well it answers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "asked", "first", "right", "foreign", "declined"),
    [("questions.tsv", 56, 54, 52, 14, 12), ("other_words.tsv", 12, 10, 3, 0, 0)],
)
def test_questions_are_answered_right(assistant, file, asked, first, right, foreign, declined):
    """The floors lie a little under what the page tells, since processors differ in the last bits."""
    figures = measure_rag.measure(assistant, measure_rag.read_questions(EXAMPLES / file))
    print(*measure_rag.table(figures), *figures.wrong, sep="\n")
    assert (figures.asked, figures.foreign) == (asked, foreign)
    assert figures.among >= figures.first >= first
    assert figures.right >= right
    assert figures.declined >= declined


def test_what_the_page_says_of_other_words_and_of_no_floor(notes, assistant):
    """Within two questions: what the model has read before changes the last bits, too."""
    told = " ".join(PAGE.read_text("utf-8").split())

    def says(count: int, sentence: str) -> bool:
        return abs(count - int(re.search(sentence, told)[1])) <= 2

    figures = measure_rag.measure(assistant, measure_rag.read_questions(EXAMPLES / "other_words.tsv"))
    assert says(figures.right, rf"right in (\d+) of {figures.asked} \(`other_words.tsv`\)")
    assert says(figures.first, r"still finds (\d+) at once")
    with mock.patch.object(notes, "search", replace(rag_store.DEMO_SEARCH, floor=-1.0)):
        figures = measure_rag.measure(assistant, measure_rag.read_questions(EXAMPLES / "questions.tsv"))
    assert figures.declined == 0
    assert says(figures.right, rf"right in (\d+) of {figures.asked} and declines nothing")


def test_wrong_answers_are_counted_as_wrong(notes):
    """The measure can fail: an answer from the wrong piece, without the words, or where there is none to give."""
    questions = [
        measure_rag.Question("Where does Ingrid live?", frozenset({"ingrid", "oslo"}), "people.md", goes_on=False),
        measure_rag.Question("Where does Ingrid live?", frozenset({"ingrid", "oslo"}), "town.md", goes_on=False),
        measure_rag.Question("Where does Ingrid live?", frozenset({"ingrid", "rome"}), "people.md", goes_on=False),
        measure_rag.Question("How old is Ingrid?", frozenset(), "", goes_on=False),
    ]
    told = ScriptedChatModel(answers=["Ingrid lives in Oslo."] * 4)
    figures = measure_rag.measure(local_rag.Assistant.of(notes, told, tiny=True), questions)
    assert (figures.asked, figures.first, figures.among, figures.shown, figures.right) == (3, 1, 1, 1, 1)
    assert (figures.foreign, figures.declined, len(figures.wrong)) == (1, 0, 3)


def test_what_the_page_shows_is_what_the_programs_print(tmp_path, monkeypatch):
    for name in ("notes", "questions.tsv"):
        source = EXAMPLES / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    end_what_lingers()
    shown = re.findall(r"^```console\n(?:\$ cd .*\n)?\$ (python .*)\n((?:.*\n)*?)```$", PAGE.read_text("utf-8"), re.M)
    assert len(shown) >= 3
    for line, printed in shown:
        assert run(line) == printed, line


# --- chain and graph --------------------------------------------------------------------------------------------------


def test_the_chain_streams_pieces_first_and_then_the_answer(assistant):
    parts = list(local_rag.make_chain(assistant).stream({"question": "Who owns the camera?"}))
    assert [next(iter(part)) for part in parts[:2]] == ["standalone", "documents"]
    assert all(list(part) == ["answer"] for part in parts[2:])
    assert len(parts) > 5
    assert "".join(part["answer"] for part in parts[2:]) == "The camera belongs to Victor."


ENGINES = {
    "llamafile": lambda: ChatLlamafile(base_url=llama_server.chat_server().url, temperature=0),
    "gpt4all": lambda: ChatGPT4All(model=model_path, temperature=0, n_threads=1),
}


@pytest.mark.parametrize("engine", ENGINES)
def test_another_engine_answers_the_same(notes, engine):
    with ENGINES[engine]() as other:
        chain = local_rag.make_chain(local_rag.Assistant.of(notes, other, tiny=True))
        assert chain.invoke({"question": "Who owns the camera?"})["answer"] == "The camera belongs to Victor."


async def test_the_chain_runs_asynchronously(assistant):
    parts = [part async for part in local_rag.make_chain(assistant).astream({"question": "Who owns the camera?"})]
    assert "".join(part.get("answer", "") for part in parts) == "The camera belongs to Victor."


def test_chain_and_graph_answer_alike(assistant):
    """Including what was said before, and what the files do not say."""
    asked = ["Where does Laura live?", "What pet does she have?", "Who won the election?", "Where is the hotel?"]
    told = []
    for answers in (local_rag.answers_of_chain, local_rag.answers_of_graph):
        told.append([])
        for parts in answers(assistant, asked):
            seen = list(parts)
            told[-1].append("".join(part for part in seen if isinstance(part, str)))
            assert told[-1][-1] == local_rag.NOTHING or len(seen) > 5, "it was not streamed"
    assert told[0] == told[1]
    assert told[0] == [
        "Laura lives in Prague.",
        "Laura has a dog named Max.",
        local_rag.NOTHING,
        "The hotel is in Geneva.",
    ]


def test_threads_of_the_graph_do_not_know_of_one_another(assistant):
    graph = local_rag.make_graph(assistant)

    def ask(thread: str, question: str) -> str:
        config = {"configurable": {"thread_id": thread}}
        return graph.invoke({"messages": [("human", question)]}, config)["standalone"]

    ask("one", "How old is Ingrid?")
    ask("two", "How old is Victor?")
    assert ask("one", "Where does she live?") == "Where does Ingrid live?"
    assert ask("two", "Where does he live?") == "Where does Victor live?"


def test_other_models_rewrite_and_cite_by_themselves(notes):
    """What is sent to a model that is no toy, by the prompts of the package; and what is made of what it says."""
    chat = ScriptedChatModel(answers=["Ingrid lives in Oslo [1].", "What does Ingrid work as?", "A painter [1]."])
    asked = ["Where does Ingrid live?", "And her job?"]
    first, second = (list(parts) for parts in local_rag.answers_of_graph(local_rag.Assistant.of(notes, chat), asked))
    answer, rewriting, again = (request.turns[-1].text for request in chat.requests)
    assert "[1] (people.md, Ingrid) Ingrid lives in Oslo." in answer
    assert "Human: Where does Ingrid live?\nAI: Ingrid lives in Oslo [1]." in rewriting
    assert "And her job?" in rewriting
    assert "What does Ingrid work as?" in again
    assert "And her job?" not in again
    assert "[1] (people.md, Ingrid) Ingrid works as a painter." in again
    assert "".join(part for part in first if isinstance(part, str)) == "Ingrid lives in Oslo [1]."
    assert "".join(part for part in second if isinstance(part, str)) == "A painter [1].", "the rewriting was shown"


def test_a_rewriter_that_says_nothing_leaves_the_question(notes):
    chat = ScriptedChatModel(answers=["  ", "A painter."])
    history = [HumanMessage("Where does Ingrid live?"), AIMessage("In Oslo.")]
    asked = {"question": "What does Ingrid work as?", "history": history}
    assert local_rag.make_chain(local_rag.Assistant.of(notes, chat)).invoke(asked)["standalone"] == asked["question"]


@pytest.mark.parametrize(
    ("before", "question", "meant"),
    [
        (["Where does Ingrid live?", "Ingrid lives in Oslo."], "How old is she?", "How old is Ingrid?"),
        (["Where does Ingrid live?", "In Oslo."], "What is her job?", "What is the job of Ingrid?"),
        (
            ["How much is the kettle?", "25 dollars."],
            "What does its box look like?",
            "What does the kettle's box look like?",
        ),
        (["Who owns the camera?", "The camera belongs to Victor."], "Where is it?", "Where is the camera?"),
        (["Who owns the camera?", "The camera belongs to Victor."], "Where does he live?", "Where does Victor live?"),
        (["Where is Ingrid?", "In Oslo.", "How old is Laura?", "34."], "What is her job?", "What is the job of Laura?"),
        (["Hello", "How can I help you?"], "How old is she?", "How old is she?"),
        (["Where does Ingrid live?", "In Oslo."], "How old is Victor?", "How old is Victor?"),
    ],
)
def test_names_in_place_of_pronouns(before, question, meant):
    history = "\n".join(f"{'AI' if i % 2 else 'Human'}: {text}" for i, text in enumerate(before))
    assert local_rag.name_instead({"chat_history": history, "question": question}) == meant


def test_sources():
    pieces = [Document("The camera belongs to Victor."), Document("Ingrid lives in Oslo."), Document("Nothing at all")]
    assert local_rag.sources("In Oslo [2], I think [2][7].", pieces) == [pieces[1]]
    assert local_rag.sources("Ingrid lives in Oslo.", pieces) == [pieces[1]]
    assert local_rag.sources("Victor's camera [0].", pieces) == [pieces[0]]
    assert local_rag.sources("I do not know.", pieces) == []
    assert local_rag.sources("", []) == []


# --- the command line -------------------------------------------------------------------------------------------------


def test_nothing_is_sent_anywhere(tmp_path, monkeypatch, socket_disabled):
    monkeypatch.chdir(tmp_path)
    for graph in ("", "--graph"):
        assert "Ingrid lives in Oslo." in run(f"python local_rag.py {graph} {NOTES} 'Where does Ingrid live?'")


def test_questions_from_the_keyboard_until_an_empty_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = iter(["Who owns the camera?", "How much does it cost?", "", "Where is the hotel?"])
    monkeypatch.setattr("builtins.input", lambda prompt: next(lines))
    printed = run(f"python local_rag.py {NOTES}")
    assert "The camera costs 480 dollars." in printed
    assert "hotel" not in printed


def test_files_that_were_left_out_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(NOTES, "notes")
    Path("notes", "old.txt").write_bytes(b"\xff\xfe\x00")
    Path("notes", "empty.md").touch()
    printed = run("python local_rag.py notes 'Where does Ingrid live?'")
    assert "old.txt was left out: it is not UTF-8 text" in printed
    assert "empty.md has no text" in printed


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere", "Hello"], "'nowhere' is no folder"),
        ([str(NOTES), " "], "The question is empty"),
        ([str(NOTES), "Hello", "--graph", " "], "The question is empty"),
        ([str(NOTES), "Hello", "--chat", "llamacpp:missing.gguf"], "missing.gguf"),
        ([str(NOTES), "Hello", "--chat", "nobody:model"], "no engine named 'nobody'"),
        ([str(NOTES), "Hello", "--size", "0"], "`size` is 0"),
        ([str(NOTES), "Hello", "--overlap", "900"], "`overlap` is 900, and must be at most 0"),
        ([str(NOTES), "Hello", "--pieces", "0"], "`pieces` is 0"),
    ],
)
def test_errors_are_told_in_words(tmp_path, monkeypatch, capsys, arguments, told):
    monkeypatch.chdir(tmp_path)
    assert local_rag.main(arguments) == 1
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("line", ["Where?\tOslo", "Where?\tOslo\t", "+\tOslo\ta.md", "a\tb\tc\td", "\tOslo\ta.md"])
def test_questions_that_cannot_be_read(tmp_path, line):
    file = tmp_path / "questions.tsv"
    file.write_text(f"# a comment\n\nWhere?\tOslo\ta.md\n{line}\n")
    with pytest.raises(InvalidRequestError, match="Line 4"):
        measure_rag.read_questions(file)
    with pytest.raises(InvalidRequestError, match="cannot be read"):
        measure_rag.read_questions(tmp_path / "nowhere.tsv")
