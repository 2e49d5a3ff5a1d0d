"""Nested values as columns: of JSON and of Parquet alike, nothing of them lost."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_project.errors import SourceUnreadable
from ingest_project.extract.nested import array_paths, flatten, flatten_table, is_array_path, split_array_path
from ingest_project_tests.extract.conftest import MakeSpec
from ingest_project_tests.extract.reading import rows_of

PLACE: dict[str, Any] = {
    "id": "1",
    "names": {"primary": "Tor", "other": None},
    "addresses": [{"city": "Ulm", "lines": ["Weg 1", "Hof"]}, {"city": "Bonn"}],
    "phones": [],
    "empty": {},
    "nothing": None,
}
PATHS = ("addresses.0.city", "addresses.1.city", "addresses.0.lines.1", "phones.0", "addresses.7.city", "id.0.x")


def test_objects_are_spread_out_and_arrays_stay_whole() -> None:
    assert flatten(PLACE) == {
        "id": "1",
        "names.primary": "Tor",
        "names.other": None,
        "addresses": PLACE["addresses"],
        "phones": [],
        "empty": {},
        "nothing": None,
    }


def test_what_a_branch_names_inside_an_array_is_a_column_too() -> None:
    found = flatten(PLACE, PATHS)
    assert {name: found[name] for name in PATHS if name in found} == {
        "addresses.0.city": "Ulm",
        "addresses.1.city": "Bonn",
        "addresses.0.lines.1": "Hof",
    }
    assert found["addresses"] == PLACE["addresses"]


def test_two_values_of_one_name_are_no_row() -> None:
    with pytest.raises(ValueError, match="a name stands twice"):
        flatten({"a": {"b": 1}, "a.b": 2})


VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict) and value:
        inner: dict[str, Any] = value
        return [leaf for one in inner.values() for leaf in leaves(one)]
    return [value]


@given(st.dictionaries(st.sampled_from("abcd"), VALUES, min_size=1, max_size=4))
def test_no_value_is_lost_and_every_path_leads_to_it(row: dict[str, Any]) -> None:
    found = flatten(row)
    assert list(found.values()) == leaves(row)
    for name, value in found.items():
        for path, one in array_paths(name, value):
            assert path == name or not is_array_path(path) or flatten(row, [path]).get(path) == one


@pytest.mark.parametrize(
    ("name", "place"),
    [("a.0", ("a", ["0"])), ("a.0.b.1", ("a", ["0", "b", "1"])), ("b.c.2.d", ("b.c", ["2", "d"])), ("c.0", None)],
)
def test_where_a_path_begins(name: str, place: tuple[str, list[str]] | None) -> None:
    assert split_array_path(name, ["a", "b.c"]) == place


SAME = {
    "key": "id",
    "nested": "flatten",
    "mapping": {"name": "names.primary", "locality": "addresses.0.city", "phone": "phones.0"},
}
ROWS = [
    {"id": "1", "names": {"primary": "A"}, "addresses": [{"city": "Ulm"}, {"city": "Bonn"}], "phones": ["+49 1"]},
    {"id": "2", "names": None, "addresses": [], "phones": None},
    {"id": "3", "names": {"primary": None}, "addresses": [{"city": None}], "phones": [None, "+49 2"]},
]
SEEN = [("A", "Ulm", "+49 1"), (None, None, None), (None, None, None)]


def test_json_and_parquet_give_the_same_columns(tmp_path: Path, spec: MakeSpec) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    (tmp_path / "a.json").write_text(json.dumps(ROWS, indent=1), encoding="utf-8")
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet", row_group_size=2)
    for name in ("a.jsonl", "a.json", "a.parquet"):
        rows = rows_of(spec(tmp_path / name, **SAME), 2)
        found = [tuple(row.get(column) for column in SAME["mapping"].values()) for row in rows]  # pyright: ignore
        assert found == SEEN, name
        assert [row["id"] for row in rows] == ["1", "2", "3"]
        assert "Bonn" in str(rows[0]["addresses"])


def test_as_it_was_where_the_branch_does_not_say_so(tmp_path: Path, spec: MakeSpec) -> None:
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    rows = rows_of(spec(tmp_path / "a.parquet", mapping={"name": "id"}))
    assert rows[0]["names"] == {"primary": "A"}


def test_a_struct_and_a_column_of_one_name_are_refused(tmp_path: Path, spec: MakeSpec) -> None:
    pq.write_table(pa.table({"id": ["1"], "a.b": ["x"], "a": [{"b": "y"}]}), tmp_path / "a.parquet")
    with pytest.raises(SourceUnreadable, match=r"names a column more than once: 'a\.b'"):
        rows_of(spec(tmp_path / "a.parquet", nested="flatten", mapping={"name": "id"}))


def test_lists_of_every_kind(tmp_path: Path) -> None:
    inner = pa.array([[["x", "y"]], None, [[]]], pa.large_list(pa.list_(pa.string())))
    fixed = pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int64(), 2))
    table = flatten_table(pa.table({"a": inner, "b": fixed}), ["a.0.1", "b.1", "b.x", "a.0.q"])
    assert table.select(["a.0.1", "b.1"]).to_pydict() == {"a.0.1": ["y", None, None], "b.1": [2, None, 4]}
    assert table.column_names == ["a", "b", "a.0.1", "b.1"]
