"""`OllamaServer` over a real socket: what it asks for, what it gives, and what goes wrong."""

from __future__ import annotations

import asyncio
import io
from functools import partial

import pytest

from langchain_localmodels import ChatOllama, OllamaServer
from langchain_localmodels.demo import model_path
from langchain_localmodels.engines.ollama.progress import Bar, Progress
from langchain_localmodels.errors import (
    EngineError,
    EngineUnreachableError,
    InvalidRequestError,
    LocalModelError,
    ModelFileError,
    ModelFileNotFoundError,
    ModelMissingError,
)
from tests.doubles.asking import free_port
from tests.doubles.ollama_library import PART

MODEL = "llama3.1:8b"


@pytest.fixture(params=["sync", "async"])
def ask(request, server):
    """Calls a method of an `OllamaServer`, or its asynchronous twin; of what is read piece by piece, all pieces."""
    with OllamaServer(max_retries=0) as made:

        def call(name, *args, **more):
            if request.param == "sync":
                found = getattr(made, name)(*args, **more)
                return list(found) if name.endswith("_progress") else found

            async def acall():
                found = getattr(made, f"a{name}")(*args, **more)
                return [piece async for piece in found] if name.endswith("_progress") else await found

            return asyncio.run(acall())

        yield call


def error_of(call) -> LocalModelError:
    with pytest.raises(LocalModelError) as caught:
        call()
    return caught.value


# --- what there is ----------------------------------------------------------------------------------------------------


def test_construction_asks_nothing(server):
    OllamaServer().close()
    assert server.seen == []
    with pytest.raises(InvalidRequestError):
        OllamaServer("http://a b")
    assert "secret" not in repr(OllamaServer("http://me:secret@host", api_key="secret"))


def test_listing(server, ask):
    models = ask("list")
    assert [model.name for model in models] == sorted(server.models)
    first = models[0]
    assert (first.size, first.digest, first.family, first.parameter_size) == (7, "abc", "llama", "8.0B")
    assert first.quantization == "Q4_K_M"
    server.models.clear()
    assert ask("list") == []


def test_running_models(server, ask):
    assert ask("running") == []
    server.running = [{"name": MODEL, "size": 9, "size_vram": 4, "context_length": 4096, "expires_at": "x"}]
    (model,) = ask("running")
    assert (model.name, model.size, model.size_vram, model.context_window) == (MODEL, 9, 4, 4096)


def test_a_version(server, ask):
    assert ask("version") == "0.33.0"
    server.library.version = None
    assert type(error_of(partial(ask, "version"))) is EngineError


def test_details(server, ask):
    details = ask("show", MODEL)
    assert (details.model, details.context_length, details.can("tools")) == (MODEL, 8192, True)
    assert server.last == {"model": MODEL}


def test_headers(server):
    with OllamaServer(api_key="secret", client_kwargs={"headers": {"X-Team": "a"}}) as made:
        made.list()
    assert server.seen[-1].headers["Authorization"] == "Bearer secret"
    assert server.seen[-1].headers["X-Team"] == "a"


# --- getting models ---------------------------------------------------------------------------------------------------


def test_fetching(server, ask, capsys):
    reports = ask("pull_progress", "qwen3:8b")
    assert reports[0] == Progress("pulling manifest")
    assert [report.fraction for report in reports if report.digest == PART] == [0, 0.25, 0.5, 1]
    assert reports[-1].status == "success"
    assert "qwen3:8b" in server.models
    assert capsys.readouterr().err == ""
    assert ask("pull", "qwen3:8b") is None
    assert capsys.readouterr().err.splitlines() == [
        "pulling manifest",
        "pulling 6a0746a1ec1a",
        "verifying sha256 digest",
        "success",
    ]
    ask("pull", "qwen3:8b", show_progress=False)
    assert capsys.readouterr().err == ""


def test_fetching_what_there_is_not(ask, capsys):
    error = error_of(partial(ask, "pull", "nobody"))
    assert isinstance(error, ModelMissingError)
    assert "library" in error.hint
    assert capsys.readouterr().err == "pulling manifest\n"


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"error_after": 2, "error": "no space left on device"}, EngineError),
        ({"cut_after": 2}, EngineUnreachableError),
        ({"end_after": 2}, EngineUnreachableError),
        ({"raw_after": (2, b"<html>\n")}, EngineError),
    ],
)
def test_fetching_that_breaks_off(server, ask, fault, kind):
    vars(server.library.faults).update(fault)
    error = error_of(partial(ask, "pull_progress", "qwen3:8b"))
    assert type(error) is kind
    assert type(error_of(partial(ask, "pull", "qwen3:8b", show_progress=False))) is kind


def test_leaving_a_fetch_hangs_up(server):
    server.library.faults.delay = 0.1
    with OllamaServer() as made:
        reports = made.pull_progress("qwen3:8b")
        next(reports)
        reports.close()
    server.wait_until("open_connections", 0)
    assert server.lines_sent < 7


def test_making_a_model_of_a_file(server, ask):
    ask("create", "mine", model_path, show_progress=False, system="Be brief.", parameters={"temperature": 0})
    assert "mine" in server.models
    paths = [(seen.method, seen.path.split("/")[2]) for seen in server.seen]
    assert paths == [("HEAD", "blobs"), ("POST", "blobs"), ("POST", "create")]
    made = server.library.made["mine"]
    assert made["system"] == "Be brief."
    assert set(made["files"].values()) == server.library.blobs
    ask("create", "again", model_path, show_progress=False)  # the file is there
    assert [seen.method for seen in server.seen[3:]] == ["HEAD", "POST"]


def test_making_a_model_of_what_is_no_model(server, ask, tmp_path):
    assert isinstance(error_of(partial(ask, "create", "mine", tmp_path / "none.gguf")), ModelFileNotFoundError)
    (tmp_path / "text.gguf").write_text("hello")
    error = error_of(partial(ask, "create", "mine", tmp_path / "text.gguf"))
    assert isinstance(error, ModelFileError)
    assert "GGUF" in error.hint
    assert server.seen == []


def test_copying_and_deleting(server, ask):
    ask("copy", MODEL, "twin")
    assert "twin" in server.models
    ask("delete", "twin")
    assert "twin" not in server.models
    assert (server.seen[-1].method, server.last) == ("DELETE", {"model": "twin"})
    for call in (partial(ask, "copy", "twin", "other"), partial(ask, "delete", "twin"), partial(ask, "show", "twin")):
        assert isinstance(error_of(call), ModelMissingError)


def test_what_was_deleted_is_not_known_any_more(server, ask):
    server.models.add("mortal")
    assert ChatOllama(model="mortal").load().profile["tool_calling"] is True
    ask("delete", "mortal")
    assert ChatOllama(model="mortal").profile is None


# --- memory -----------------------------------------------------------------------------------------------------------


def test_loading_and_unloading(server, ask):
    ask("load", MODEL, keep_alive="1h", num_ctx=2048)
    assert server.last == {"model": MODEL, "stream": False, "keep_alive": "1h", "options": {"num_ctx": 2048}}
    assert server.library.kept == {MODEL: "1h"}
    ask("unload", MODEL)
    assert server.last == {"model": MODEL, "stream": False, "keep_alive": 0}
    assert server.library.kept == {}
    assert isinstance(error_of(partial(ask, "load", "nobody")), ModelMissingError)


def test_loading_a_model_that_only_embeds(server, ask):
    server.shown_of["nomic-embed-text"] = {**server.shown, "capabilities": ["embedding"]}
    ask("load", "nomic-embed-text", keep_alive="1h")
    assert (server.seen[-1].path, server.last["keep_alive"]) == ("/api/embed", "1h")
    ask("unload", "nomic-embed-text")
    assert server.last["keep_alive"] == 0


# --- failures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", " ", None, 3])
def test_what_names_no_model(server, ask, name):
    for method in ("show", "delete", "load", "unload", "pull_progress"):
        assert isinstance(error_of(partial(ask, method, name)), InvalidRequestError)
    assert isinstance(error_of(partial(ask, "copy", MODEL, name)), InvalidRequestError)
    assert server.seen == []


@pytest.mark.parametrize("method", ["list", "running", "version"])
def test_no_server_and_another_kind_of_server(server, method):
    with OllamaServer(f"127.0.0.1:{free_port()}", max_retries=0) as nobody:
        error = error_of(getattr(nobody, method))
        assert isinstance(error, EngineUnreachableError)
        assert "ollama serve" in error.hint
    with OllamaServer(f"{server.url}/elsewhere") as other:
        assert "does not know Ollama's API" in str(error_of(getattr(other, method)))


# --- the bar ----------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_grows_in_a_terminal():
    terminal = Terminal()
    bar = Bar(terminal)
    for done in (0, 500_000, 500_000, 1_000_000):
        bar.show(Progress("pulling a", PART, 1_000_000, done))
    bar.show(Progress("success"))
    bar.end()
    first, second, _ = terminal.getvalue().split("\n")
    assert second == "success"
    shown = first.split("\r")
    assert len(shown) == 3  # nothing is written where nothing has changed
    assert shown[0] == f"pulling a [{'.' * 30}]   0% of 1 MB"
    assert shown[1] == f"pulling a [{'#' * 15}{'.' * 15}]  50% of 1 MB"
    assert shown[2] == f"pulling a [{'#' * 30}] 100% of 1 MB"
