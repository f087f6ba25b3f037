"""The notebook of `docs/simulations.md`: all of its cells run, in a real kernel and in a terminal, on the demo model.

The code of the page itself runs in `test_docs.py`. The notebook is executed once, with two cells more than it has: one
writes down in which order the agents are heard, one tells at the end what came of it.
"""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

import nbformat
import pytest
from nbclient import NotebookClient

from langchain_localmodels.demo import model_path

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "examples" / "simulation.ipynb"
AT_ONCE, IN_TURN, ONE_SLOT, AGAIN = TITLES = ("all at once", "one after the other", "one slot", "once more")
PLAIN_LINE = re.compile(r"^(\w+): ")

LISTEN = """
heard, drawn = {}, {}


class View(View):
    def __init__(self, title):
        self.order = heard.setdefault(title, [])
        self.drawings = drawn.setdefault(title, [])
        super().__init__(title)

    def draw(self):
        self.drawings.append(sum(map(len, self.words.values())))
        return super().draw()

    def hear(self, name, piece):
        super().hear(name, piece)
        self.order.append(name)
"""
TELL = """
import json
from dataclasses import asdict

print(json.dumps({
    "agents": [asdict(agent) for agent in agents],
    "rounds": rounds,
    "heard": heard,
    "drawn": drawn,
    "figures": {run.title: [asdict(figures) for figures in run.figures] for run in [*runs, again]},
    "histories": {
        run.title: {name: [message.model_dump() for message in told] for name, told in run.histories.items()}
        for run in [*runs, again]
    },
}))
"""


@dataclass(frozen=True)
class Executed:
    """What came of the notebook."""

    cells: dict[str, Any]
    folder: Path
    told: dict[str, Any]

    @property
    def names(self) -> list[str]:
        return [agent["name"] for agent in self.told["agents"]]

    @property
    def turns(self) -> int:
        return len(self.names) * self.told["rounds"]

    def answers(self, title: str, number: int) -> dict[str, dict[str, Any]]:
        """The messages of a round, by who said them."""
        return {name: told[2 * number] for name, told in self.told["histories"][title].items()}

    def output(self, cell: str) -> str:
        """What a cell has printed."""
        return "".join(output["text"] for output in self.cells[cell]["outputs"] if output["output_type"] == "stream")


@contextmanager
def surroundings(folder: Path) -> Iterator[None]:
    """One processor for the programs that start now, and nothing written into the user's folders."""
    keep = {"IPYTHONDIR": "ipython", "JUPYTER_RUNTIME_DIR": "runtime", "JUPYTER_CONFIG_DIR": "config"}
    values = {name: str(folder / below) for name, below in keep.items()} | {"PYTHONPATH": str(ROOT)}
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    with mock.patch.dict(os.environ, values):
        for name in ("MPLBACKEND", "SIMULATION_MODEL"):
            os.environ.pop(name, None)
        if allowed:
            os.sched_setaffinity(0, {max(allowed)})
        try:
            yield
        finally:
            if allowed:
                os.sched_setaffinity(0, allowed)


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Executed:
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (view,) = (place for place, cell in enumerate(notebook.cells) if cell.id == "view")
    notebook.cells.insert(view + 1, nbformat.v4.new_code_cell(LISTEN))
    notebook.cells.append(nbformat.v4.new_code_cell(TELL, id="tell"))
    client = NotebookClient(notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    with surroundings(folder):
        client.execute()
    cells = {cell.id: cell for cell in notebook.cells}
    told = "".join(output["text"] for output in cells["tell"]["outputs"])
    return Executed(cells, folder, json.loads(told))


def test_it_is_stored_as_it_was_written():
    """Without outputs, and without a path of the machine that it was written on."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert not any(cell.outputs or cell.execution_count for cell in code)
    for cell in notebook.cells:
        assert not re.search(r"(?<![\w.])/(home|tmp|root|work|Users|usr|opt)/|[A-Z]:\\", cell.source), cell.id


@pytest.mark.parametrize("title", TITLES)
def test_each_agent_speaks_in_each_round(executed: Executed, title: str):
    histories = executed.told["histories"][title]
    assert list(histories) == executed.names
    for name, history in histories.items():
        kinds = [message["type"] for message in history]
        assert kinds == ["system", *["human", "ai"] * executed.told["rounds"]], name
        assert all(message["content"].strip() for message in history), name


@pytest.mark.parametrize("title", TITLES)
def test_each_agent_has_its_own_history(executed: Executed, title: str):
    """Its own persona and opening, and then what its neighbour said in the round before, whether at once or in turn."""
    agents, histories = executed.told["agents"], executed.told["histories"][title]
    for agent, neighbour in zip(agents, [agents[-1], *agents], strict=False):
        history = histories[agent["name"]]
        assert agent["name"] in history[0]["content"]
        assert agent["persona"] in history[0]["content"]
        assert history[1]["content"] == agent["opening"]
        for number in range(2, executed.told["rounds"] + 1):
            heard = executed.answers(title, number - 1)[neighbour["name"]]["content"]
            assert history[2 * number - 1]["content"] == f"Repeat this: {heard}"
    assert len({history[0]["content"] for history in histories.values()}) == len(agents)


def test_agents_stream_side_by_side(executed: Executed):
    """At once, the pieces of all come between one another; in turn, each agent ends before the next begins."""
    changes = {title: sum(a != b for a, b in pairwise(order)) for title, order in executed.told["heard"].items()}
    assert list(changes) == list(TITLES)
    assert changes[AT_ONCE] > 3 * executed.turns
    for title in (IN_TURN, ONE_SLOT, AGAIN):
        assert changes[title] == executed.turns - 1


@pytest.mark.parametrize("title", TITLES)
def test_the_figures_are_those_of_the_answers(executed: Executed, title: str):
    """What the engine counts in a round is what its answers say of themselves."""
    figures = executed.told["figures"][title]
    assert len(figures) == executed.told["rounds"]
    for number, round_figures in enumerate(figures, 1):
        usage = [message["usage_metadata"] for message in executed.answers(title, number).values()]
        assert round_figures["generated_tokens"] == sum(told["output_tokens"] for told in usage)
        assert round_figures["prompt_tokens"] == sum(told["input_tokens"] for told in usage)
        reused = sum(told.get("input_token_details", {}).get("cache_read", 0) for told in usage)
        assert round_figures["reused_tokens"] == reused
        assert round_figures["seconds"] > 0


def test_histories_stay_in_the_cache(executed: Executed):
    """From the second round on, all but what is new is found, unless there is a slot for one agent only."""
    for number in range(1, executed.told["rounds"]):
        reused = {
            title: figures[number]["reused_tokens"] / figures[number]["prompt_tokens"]
            for title, figures in executed.told["figures"].items()
        }
        assert min(reused[AT_ONCE], reused[IN_TURN]) > 0.6
        assert reused[ONE_SLOT] < 0.5 * reused[IN_TURN]


def test_a_run_in_turn_can_be_repeated(executed: Executed):
    """The same seeds, one agent after the other: the same answers; and the seeds are the agents' own."""
    for number in range(1, executed.told["rounds"] + 1):
        first, second = executed.answers(IN_TURN, number), executed.answers(AGAIN, number)
        assert {n: m["content"] for n, m in first.items()} == {n: m["content"] for n, m in second.items()}
    assert f"twice: {executed.turns} of {executed.turns} answers" in executed.output("same")
    assert len({agent["seed"] for agent in executed.told["agents"]}) == len(executed.names)


def test_what_is_shown(executed: Executed):
    """A box with the last words of each agent, a bar that has come to its end, and the plot."""
    for cell, title in (("run", AT_ONCE), ("after", IN_TURN), ("single", ONE_SLOT)):
        (box,) = (output for output in executed.cells[cell]["outputs"] if output["output_type"] == "display_data")
        shown = box["data"]["text/html"]
        for name, answer in executed.answers(title, executed.told["rounds"]).items():
            assert f"<b>{name}</b><br>{html.escape(answer['content'])}</div>" in shown
        # Empty at first, with the whole words at the end of each round, and at least once while they are written.
        assert len(executed.told["drawn"][title]) > 1 + executed.told["rounds"]
        bar = executed.output(cell)
        assert f"{executed.turns}/{executed.turns}" in bar
        assert "tokens/s" in bar
    assert [title for title in TITLES[:3] if f"{title}: " in executed.output("figures")] == list(TITLES[:3])
    assert any("image/png" in output.get("data", {}) for output in executed.cells["plot"]["outputs"])
    plot = (executed.folder / "simulation.svg").read_text("utf-8")
    assert all(word in plot for word in (*TITLES[:3], "tokens per second", "not read again"))


def test_in_a_terminal_on_a_model_of_ones_own(tmp_path: Path):
    """Plain lines, one for each turn; and a model that is not the demo's is asked to retell in its own way."""
    notebook = tmp_path / NOTEBOOK.name
    source = NOTEBOOK.read_text("utf-8")
    assert source.count("rounds = 5") == 1
    notebook.write_text(source.replace("rounds = 5", "rounds = 2"), "utf-8")
    model = shutil.copy(model_path, tmp_path / "own.gguf")
    with surroundings(tmp_path):
        done = subprocess.run(
            [sys.executable, "-m", "IPython", "--no-banner", "--colors=NoColor", str(notebook)],
            cwd=tmp_path,
            env={**os.environ, "SIMULATION_MODEL": str(model)},
            capture_output=True,
            text=True,
            timeout=240,
            check=True,
        )
    assert "Traceback" not in done.stdout, done.stdout
    lines = [found[1] for line in done.stdout.splitlines() if (found := PLAIN_LINE.match(line))]
    for name in ("Nina", "Hugo", "Olga", "Victor", "Mila"):
        # Two rounds of four runs, and the way of the one story that is told.
        assert lines.count(name) == 2 * 4 + (name in ("Nina", "Hugo")), name
    assert "human: Olga has told you this:" in done.stdout
    assert "<div" not in done.stdout
    assert "times as fast as one after the other" in done.stdout
    assert (tmp_path / "simulation.svg").exists()
