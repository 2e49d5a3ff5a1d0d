"""Every trap that real listings have set, by its input: what becomes of it, and which code says so.

Each goes through the fast path and through the rules alone, and must come out the same.
"""

from typing import Any

import pytest

from ingest_project.item import KEY
from ingest_project.normalize.part import normalize_part
from ingest_project_tests.normalize.pages import codes_of, page, rows_of, spec
from ingest_project_tests.normalize.slowly import differing, normalize_slowly
from ingest_project_tests.normalize.traps import TRAPS


@pytest.mark.parametrize("name", TRAPS)
def test_a_trap_ends_as_it_should_both_ways(name: str) -> None:
    trap = TRAPS[name]
    table = page({KEY: ["k"], "name": ["n"], **{field: [value] for field, value in trap.given.items()}})
    branch = spec(*trap.given, **trap.settings)
    made = normalize_part(table, branch)
    assert differing(made, normalize_slowly(table, branch)) == []
    (found,) = rows_of(made)
    assert {field: _shown(found[field], value) for field, value in trap.found.items()} == trap.found
    assert sorted(found.codes) == sorted(trap.codes)


def _shown(value: Any, like: Any) -> Any:
    if value is None or isinstance(value, type(like)):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({KEY: ""}, "key_missing"),
        ({KEY: "\u200b"}, "key_missing"),
        ({KEY: "k" * 201}, "key_unusable"),
        ({"name": "\u200b"}, "name_missing"),
        ({"name": "n" * 501}, "name_unusable"),
    ],
)
def test_only_a_bad_key_or_name_rejects_a_row(given: dict[str, str], code: str) -> None:
    made = normalize_part(page({name: [text] for name, text in {KEY: "k", "name": "n", **given}.items()}), spec())
    assert made.items.num_rows == 0
    assert codes_of(made.rejects[0]) == [code]
