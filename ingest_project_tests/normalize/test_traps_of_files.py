"""Traps of JSON, and of CSV: what a line comes to before any rule sees it, and what becomes of the row."""

from pathlib import Path

import pytest

from ingest_project.branches.spec import parse_spec
from ingest_project.normalize.part import NormalizedPart, normalize_part
from ingest_project_tests.extract.reading import pages_of, table_of
from ingest_project_tests.normalize.pages import codes_of, rows_of

GOOD = '{"id": "ok", "name": "Good"}'
# A line of JSON; what the item has; its codes. None: it is set aside, whole.
JSON: dict[str, tuple[str, dict[str, object] | None, list[str]]] = {
    "a key twice": ('{"id": "1", "name": "a", "name": "b"}', None, ["malformed_row"]),
    "NaN": ('{"id": "1", "name": "a", "x": NaN}', None, ["malformed_row"]),
    "half of a surrogate pair": ('{"id": "1", "name": "a\\ud800"}', None, ["malformed_row"]),
    "no JSON": ("id=1", None, ["malformed_row"]),
    "a number beyond all": ('{"id": "1", "name": "a", "x": 1e999}', {"x": "1e999"}, []),
    "an id beyond 2^53": ('{"id": 9007199254740993, "name": "a"}', {"external_id": "9007199254740993"}, []),
    "an id of 23 digits": (
        '{"id": 12345678901234567890123, "name": "a"}',
        {"external_id": "12345678901234567890123"},
        [],
    ),
    "a number for a name": ('{"id": "1", "name": 2139}', {"name": "2139"}, []),
    "a boolean for a name": ('{"id": "1", "name": true}', {"name": "true"}, []),
    "null for a name": ('{"id": "1", "name": null}', None, ["name_missing"]),
    "a NUL in a name": ('{"id": "1", "name": "a\\u0000b"}', {"name": "ab"}, ["name: characters_removed"]),
    "a key that comes late": ('{"id": "1", "name": "a", "late": {"x": [1.50]}}', {"late": '{"x":[1.50]}'}, []),
}


def normalized(path: Path) -> NormalizedPart:
    given = {"name": "b", "source": "s", "location": str(path), "key": "id", "mapping": {"name": "name"}}
    branch = parse_spec(given, origin="test")
    return normalize_part(table_of(pages_of(branch)), branch)


@pytest.mark.parametrize("name", JSON)
def test_a_trap_of_json(name: str, tmp_path: Path) -> None:
    line, found, codes = JSON[name]
    path = tmp_path / "a.jsonl"
    path.write_text(f"\ufeff{GOOD}\n{line}\n", encoding="utf-8")
    made = normalized(path)
    items = [one for one in rows_of(made) if one["external_id"] != "ok"]
    assert made.items.num_rows + len(made.rejects) == 2, "the mark before the first line harms nothing"
    if found is None:
        assert (items, codes_of(made.rejects[0])) == ([], codes)
        assert codes != ["malformed_row"] or made.rejects[0].errors[0]["message"] == line
        return
    (item,) = items
    assert {key: {**item.values, **item.attributes}[key] for key in found} == found
    assert item.codes == codes


# Of a file `id,name`: a line, and its name as every reader of RFC 4180 has it, or None where it is set aside.
CSV: dict[str, tuple[str, str | None]] = {
    "a quote inside": ('1,5" pipe', '5" pipe'),
    "quotes twice": ('1,"the ""Man"""', 'the "Man"'),
    "something behind a quote": ('1,"abc"def', '"abc"def'),
    "quotes once": ('1,"the "Man""', 'the "Man"'),
    "a value too many": ("1,a,b", None),
    "a value too few": ("1", None),
    "NA is a name": ("1,NA", "NA"),
    "zeros before a key": ("007,a", "a"),
}


@pytest.mark.parametrize("name", CSV)
def test_a_trap_of_csv(name: str, tmp_path: Path) -> None:
    line, found = CSV[name]
    path = tmp_path / "a.csv"
    path.write_text(f"id,name\r\nok,Good\r\n{line}\r\n\r\n\r\n", encoding="utf-8")
    made = normalized(path)
    items = [one for one in rows_of(made) if one["external_id"] != "ok"]
    if found is None:
        assert (items, codes_of(made.rejects[0])) == ([], ["malformed_row"])
        assert made.rejects[0].errors[0]["message"] == line
        return
    assert [(one["external_id"], one["name"], one.codes) for one in items] == [(line.split(",")[0], found, [])]
