"""Where references of JSON Schemas lead."""

from __future__ import annotations

import pytest

from langchain_localmodels.dialects.json_pointer import pointed_at

ROOT = {"$defs": {"a/b~%": {"type": "integer"}, "": {"x": 1}}, "anyOf": [{"type": "null"}, True], "no": None}


@pytest.mark.parametrize(
    ("ref", "target"),
    [
        ("#", ROOT),
        ("#/$defs/a~1b~0%25", {"type": "integer"}),
        ("#/$defs/", {"x": 1}),
        ("#/$defs//x", 1),
        ("#/anyOf/0", {"type": "null"}),
        ("#/anyOf/1", True),
        ("#/anyOf/2", None),
        ("#/anyOf/-1", None),
        ("#/anyOf/999999999999999999999", None),
        ("#/anyOf/0/type/n", None),
        ("#/none", None),
        ("#/no/more", None),
        ("#name", None),
        ("", None),
        ("x", None),
        ("http://example.org/a.json#/$defs/", None),
        ("http://example.org/a.json", None),
    ],
)
def test_targets(ref, target) -> None:
    assert pointed_at(ref, ROOT) == target
