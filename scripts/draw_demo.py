"""Draws docs/demo.svg: what `make demo` prints, as a picture for the README.

Run it after a change to the demo: `.venv/bin/python scripts/draw_demo.py`.
"""

from __future__ import annotations

import subprocess
import sys
from html import escape
from pathlib import Path

TARGET = Path(__file__).parent.parent / "docs" / "demo.svg"
WIDTH, LINE, SIZE, MARGIN = 940, 20, 14, 18
COLOURS = {"#": "#7fb4e6", "(": "#8a8f98"}
STYLE = f"font-family: ui-monospace, Menlo, Consolas, monospace; font-size: {SIZE}px; white-space: pre"


def main() -> None:
    """Run the demo, twice, so that the second finds the model's file in memory, and draw what it prints."""
    for _ in range(2):
        run = [sys.executable, "-m", "langchain_localmodels.demo"]
        printed = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    lines = ["$ make demo", *printed.rstrip().splitlines()]
    texts = [
        f'<text x="{MARGIN}" y="{MARGIN + LINE * (number + 1)}" fill="{_colour(line)}">{escape(line)}</text>'
        for number, line in enumerate(lines)
        if line.strip()
    ]
    height = 2 * MARGIN + LINE * (len(lines) + 1)
    TARGET.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'role="img" aria-label="What make demo prints" style="{STYLE}">\n'
        f'<rect width="100%" height="100%" rx="8" fill="#1e2127"/>\n' + "\n".join(texts) + "\n</svg>\n",
        encoding="utf-8",
    )


def _colour(line: str) -> str:
    return COLOURS.get(line.strip()[:1], "#e6e6e6")


if __name__ == "__main__":
    main()
