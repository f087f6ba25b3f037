"""Writes what the benchmarks measured into docs/: `python tests/benchmarks/report.py RESULTS.json …`.

The tables go between the markers of each program in docs/benchmarks.md, the plots into SVG files beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import matplotlib as mpl

if not __package__:  # run by its path
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.figures import GPT4ALL, LLAMACPP, SERVERS, Bar, Results, missing, rows, spread

mpl.use("svg")
from matplotlib import pyplot as plt

DOCS = Path(__file__).parents[2] / "docs"
BEGIN = {
    LLAMACPP: "<!-- measured: written by tests/benchmarks/report.py -->",
    SERVERS: "<!-- measured with servers: written by tests/benchmarks/report.py -->",
    GPT4ALL: "<!-- measured with GPT4All: written by tests/benchmarks/report.py -->",
}
PLOT = {LLAMACPP: "benchmarks.svg", SERVERS: "benchmarks-servers.svg", GPT4ALL: "benchmarks-gpt4all.svg"}
END = "<!-- end of what was measured -->"
_PASSED, _MISSED = "#4a7fb5", "#c0504d"


def text(results: Results) -> str:
    """What stands between the markers."""
    machine = results.machine
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    lines = [
        f"On {machine['processor']}, {machine['cpus']} processors, {machine['memory_gb']} GB, {machine['system']}, ",
        f"Python {machine['python']}; {results.conditions}. With {packages}.",
    ]
    parts = [wrap("".join(lines)), f"![Ratios beside their bars]({PLOT[results.subject]})"]
    table = ["| figure | over | median | quartiles | bar | |", "|---|---|---|---|---|---|"]
    for bar, (low, middle, high) in rows(results):
        unit = f" {bar.unit}" if bar.unit else ""
        verdict = "reached" if bar.reached(middle) else "**missed**"
        table.append(
            f"| {bar.figure} | {bar.over} | {middle:.2f}{unit} | {low:.2f} to {high:.2f} | {bar} | {verdict} |"
        )
    table += [f"| {bar.figure} | {bar.over} | not measured | | {bar} | |" for bar in missing(results)]
    parts.append("\n".join(table))
    table = ["| figure | side | median | quartiles |", "|---|---|---|---|"]
    for figure, sides in results.rates.items():
        unit = results.units[figure]
        for side, values in sides.items():
            low, middle, high = spread(values)
            digits = 1 if middle < 40 else 0
            table.append(f"| {figure} | {side} | {middle:.{digits}f} {unit} | {low:.{digits}f} to {high:.{digits}f} |")
    table += [
        f"| llama.cpp's own tools | {name} | {rate:.0f} tokens/s | once |" for name, rate in results.tools.items()
    ]
    parts.append("\n".join(table))
    parts += [wrap(note) for note in results.notes]
    return "\n\n".join(parts)


def wrap(line: str, width: int = 120) -> str:
    """Break a paragraph as the pages are broken."""
    lines = [""]
    for word in line.split():
        if len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def draw(results: Results, path: Path) -> None:
    """Bars of the ratios with their quartiles, and a line where each has to reach."""
    ratios = [row for row in rows(results) if not row[0].unit]
    panels = [
        ("more is better", [row for row in ratios if row[0].at_least]),
        ("less is better", [row for row in ratios if not row[0].at_least]),
    ]
    panels = [panel for panel in panels if panel[1]]
    if not panels:
        return
    # The same results give the same file, byte for byte.
    with mpl.rc_context({"svg.hashsalt": "benchmarks", "svg.fonttype": "none", "font.size": 9}):
        figure, axes = plt.subplots(
            len(panels),
            figsize=(8, 0.9 + 0.42 * len(ratios) + 0.4 * len(panels)),
            gridspec_kw={"height_ratios": [len(found) + 0.6 for _, found in panels]},
            squeeze=False,
            layout="constrained",
        )
        for axis, (title, found) in zip(axes[:, 0], panels, strict=True):
            _draw_panel(axis, title, found)
        figure.savefig(path, metadata={"Date": None, "Creator": None})
        plt.close(figure)
    path.write_text("".join(f"{line.rstrip()}\n" for line in path.read_text("utf-8").splitlines()), "utf-8")


def _draw_panel(axis: plt.Axes, title: str, found: list[tuple[Bar, tuple[float, float, float]]]) -> None:
    for place, (bar, (low, middle, high)) in enumerate(found):
        axis.barh(place, middle, 0.6, color=_PASSED if bar.reached(middle) else _MISSED)
        axis.errorbar(middle, place, xerr=[[middle - low], [high - middle]], color="black", capsize=3, linewidth=1)
        axis.plot([bar.limit] * 2, [place - 0.42, place + 0.42], color="black", linewidth=2)
        axis.annotate(f"{middle:.2f}", (max(high, bar.limit), place), (5, -3), textcoords="offset points")
    axis.set_yticks(range(len(found)), [f"{bar.figure}: {bar.over}" for bar, _ in found])
    axis.invert_yaxis()
    axis.margins(x=0.1)
    axis.set_xlim(left=0)
    axis.set_xlabel(f"ratio, {title}; thick line: the bar; whiskers: quartiles")
    axis.spines[["top", "right"]].set_visible(False)


def main() -> None:
    """Write the page and the plot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path, nargs="+", help="what the programs wrote with --json")
    parser.add_argument("--docs", type=Path, default=DOCS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    for path in args.results:
        _write(Results(**json.loads(path.read_text("utf-8"))), args.docs)


def _write(results: Results, docs: Path) -> None:
    page = docs / "benchmarks.md"
    source = page.read_text("utf-8")
    before, begin, rest = source.partition(BEGIN[results.subject])
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{page} has lost the markers that the results go between")
    unfinished = page.with_suffix(".new")
    unfinished.write_text(f"{before}{begin}\n\n{text(results)}\n\n{END}{after}", "utf-8")
    draw(results, docs / PLOT[results.subject])
    os.replace(unfinished, page)


if __name__ == "__main__":
    main()
