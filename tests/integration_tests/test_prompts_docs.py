"""The page on prompts: its tables say what the code says. That its code runs is seen in `test_docs.py`."""

from __future__ import annotations

import html
import re

from langchain_localmodels import prompts
from langchain_localmodels.prompts import FAMILIES, PRESETS, FamilyPromptSelector, Predicate
from tests.integration_tests.test_docs import DOCS, names, table

PAGE = "prompts.md"


def strings(cell: str) -> tuple[str, ...]:
    """What a cell has as code. HTML is written where Markdown's own cannot hold the signs that part cells."""
    return tuple(html.unescape(a or b) for a, b in re.findall(r"`([^`]+)`|<code>([^<]+)</code>", cell))


def test_families():
    told = [
        (names(form)[0], names(group)[0], title, strings(stop))
        for form, group, title, stop in table(PAGE, "form | family | models | `stop`")
    ]
    assert told == [(form.name, form.group, form.title, form.stop) for form in FAMILIES.values()]


def test_presets_and_their_variables():
    rows = table(PAGE, "preset | task | variables")
    public = {
        id(value): name for name, value in vars(prompts.presets).items() if isinstance(value, FamilyPromptSelector)
    }
    assert [names(name) for name, _, _ in rows] == [[public[id(preset)]] for preset in PRESETS.values()]
    for (name, _, variables), preset in zip(rows, PRESETS.values(), strict=True):
        assert set(names(variables)) == set(preset.default_prompt.input_variables), name


def test_conditions():
    told = {re.split(r"\W", names(name)[0])[0] for name, _ in table(PAGE, "condition | holds for")}
    makers = {"is_engine", "is_family", "context_at_least"}
    public = {name for name in prompts.__all__ if isinstance(getattr(prompts, name), Predicate)}
    assert told == public | makers
    assert makers <= set(prompts.__all__)


def test_every_preset_is_shown():
    page = (DOCS / PAGE).read_text("utf-8")
    for name, _, _ in table(PAGE, "preset | task | variables"):
        assert f"show({names(name)[0]}.get_prompt(llm), " in page
