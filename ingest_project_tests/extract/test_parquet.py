from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingest_project.errors import SourceUnreadable
from ingest_project.extract import preflight
from ingest_project.extract.source import Cursor
from ingest_project.guess.inspection import inspect_source
from ingest_project_tests.extract.conftest import MakeSpec
from ingest_project_tests.extract.reading import pages_of, rows_of, table_of


def write(path: Path, columns: dict[str, Any], **more: Any) -> Path:
    pq.write_table(pa.table(columns), path, **more)
    return path


def not_utf8(values: list[bytes]) -> pa.Array:
    """A column of text as a careless writer makes it."""
    return pa.Array.from_buffers(pa.string(), len(values), pa.array(values).buffers())


def test_types_and_nulls_stay(tmp_path: Path, spec: MakeSpec) -> None:
    columns = {
        "id": pa.array([9007199254740993, 2], pa.int64()),
        "name": pa.array(["NA", None]),
        "price": pa.array([Decimal("1.50"), None], pa.decimal128(9, 2)),
        "at": pa.array([datetime(2024, 1, 2, tzinfo=UTC), None], pa.timestamp("us", "UTC")),
        "tags": pa.array([["a"], None]),
    }
    (page,) = pages_of(spec(write(tmp_path / "a.parquet", columns)))
    for name, array in columns.items():
        assert page.table[name].combine_chunks() == pa.chunked_array([array]).combine_chunks()
    assert page.table.column_names == [*columns, "__row", "__malformed"]
    assert page.table["__malformed"].null_count == 2


def test_times_of_96_bits_may_be_far_away(tmp_path: Path, spec: MakeSpec) -> None:
    times = [datetime(9999, 12, 31), datetime(1, 1, 1), datetime(2024, 1, 2, 3, 4, 5, 6), None]
    columns = {"id": list(range(4)), "name": list("abcd"), "at": pa.array(times, pa.timestamp("us"))}
    path = write(tmp_path / "a.parquet", columns, use_deprecated_int96_timestamps=True)
    assert pages_of(spec(path))[0].table["at"].to_pylist() == times


def test_a_guess_looks_at_values_that_python_has_not(tmp_path: Path) -> None:
    columns = {
        "id": [1, 2],
        "day": pa.array([0, 2_932_897], pa.date32()),  # the second in the year 10000
        "at": pa.array([0, 1], pa.timestamp("us", "No/Where")),
        "city": not_utf8([b"Ulm", b"caf\xe9"]),
    }
    found = inspect_source(str(write(tmp_path / "a.parquet", columns)))
    assert (found.samples["day"], found.samples["at"], found.unique) == (["1970-01-01"], [], ("id", "city"))
    assert found.samples["city"] == ["Ulm", "caf\ufffd"]


def test_of_columns_with_different_types_only_those_are_told_that_cannot_be_one(tmp_path: Path, spec: MakeSpec) -> None:
    write(tmp_path / "a.parquet", {"id": [1], "name": pa.array(["x"], pa.large_string()), "n": [1]})
    write(tmp_path / "b.parquet", {"id": [2], "name": ["y"], "n": ["2"]})
    with pytest.raises(SourceUnreadable) as caught:
        pages_of(spec(tmp_path))
    assert caught.value.what.splitlines()[1:] == ["    'n': int64 in the files before, string in b.parquet"]


@pytest.mark.parametrize("name", ["__row", "__malformed", "__more"])
def test_a_column_with_a_name_of_ours_is_refused(tmp_path: Path, spec: MakeSpec, name: str) -> None:
    path = write(tmp_path / "a.parquet", {"id": [1], "name": ["x"], name: ["1"]})
    with pytest.raises(SourceUnreadable, match=f"a column {name}: a name that pages keep"):
        pages_of(spec(path))


def test_a_dictionary_is_its_values(tmp_path: Path, spec: MakeSpec) -> None:
    path = write(tmp_path / "a.parquet", {"id": [1, 2], "name": pa.array(["x", "x"]).dictionary_encode()})
    assert pages_of(spec(path))[0].table.schema.field("name").type == pa.string()


def test_files_with_wider_types_are_brought_together(tmp_path: Path, spec: MakeSpec) -> None:
    write(tmp_path / "a.parquet", {"id": pa.array([1], pa.int32()), "name": pa.array([None], pa.null())})
    write(tmp_path / "b.parquet", {"name": ["b"], "id": pa.array([2], pa.int64())})
    write(tmp_path / "c.parquet", {"id": pa.array([], pa.int64()), "name": pa.array([], pa.string())})
    pages = pages_of(spec(tmp_path), 1)
    assert [page.table.schema.field("id").type for page in pages] == [pa.int64()] * 2
    assert rows_of(spec(tmp_path)) == [{"id": 1}, {"id": 2, "name": "b"}]


def test_types_that_do_not_meet_are_both_shown(tmp_path: Path, spec: MakeSpec) -> None:
    write(tmp_path / "a.parquet", {"id": [1], "name": ["a"]})
    write(tmp_path / "b.parquet", {"id": ["1"], "name": ["a"]})
    with pytest.raises(SourceUnreadable, match=r"'id': int64 in the files before, string in b\.parquet"):
        preflight.check(spec(tmp_path))


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        (pa.array([2**53 + 1]), pa.array([1.5]), "int64 in a.parquet, double in all of them together"),
        (
            pa.array([datetime(9999, 12, 31)], pa.timestamp("us")),
            pa.array([1], pa.timestamp("ns")),
            "timestamp[us] in a.parquet, timestamp[ns] in all of them together",
        ),
        (pa.array([2**64 - 1], pa.uint64()), pa.array([1]), "uint64 in a.parquet, int64 in all of them together"),
    ],
)
def test_a_value_that_all_files_together_have_no_type_for_is_refused_with_both(
    one: pa.Array, other: pa.Array, words: str, tmp_path: Path, spec: MakeSpec
) -> None:
    """The times are of 96 bits, which are read in microseconds, for the sake of the year 9999."""
    write(tmp_path / "a.parquet", {"id": [1], "name": ["a"], "x": one}, use_deprecated_int96_timestamps=True)
    write(tmp_path / "b.parquet", {"id": [2], "name": ["b"], "x": other})
    with pytest.raises(SourceUnreadable) as caught:
        pages_of(spec(tmp_path))
    assert f"'x': {words}" in caught.value.what
    assert "one type in all files" in caught.value.todo
    assert "'id'" not in caught.value.what


def test_a_damaged_page_is_refused(tmp_path: Path, spec: MakeSpec) -> None:
    path = write(tmp_path / "a.parquet", {"id": range(10_000), "name": ["x" * 9] * 10_000}, compression="zstd")
    data = bytearray(path.read_bytes())
    data[4:400] = b"\xff" * 396
    path.write_bytes(data)
    with pytest.raises(SourceUnreadable, match="cannot be read as parquet"):
        pages_of(spec(path))


def test_pages_span_groups_and_files_and_resume_skips_groups(tmp_path: Path, spec: MakeSpec) -> None:
    for number in range(3):
        first = number * 1000
        ids = list(range(first, first + 1000))
        write(tmp_path / f"{number}.parquet", {"id": ids, "name": list(map(str, ids))}, row_group_size=150)
    pages = pages_of(spec(tmp_path), 700)
    assert [page.table.num_rows for page in pages] == [700, 700, 700, 700, 200]
    assert [page.cursor for page in pages] == [
        Cursor(0, 700, 700), Cursor(1, 400, 1400), Cursor(2, 100, 2100), Cursor(2, 800, 2800), Cursor(3, 0, 3000),
    ]  # fmt: skip
    assert table_of(pages)["id"].to_pylist() == list(range(3000))
    resumed = pages_of(spec(tmp_path), 700, pages[2].cursor)
    assert [page.table for page in resumed] == [page.table for page in pages[3:]]
    assert sum(page.bytes_read for page in resumed) < sum(page.bytes_read for page in pages) / 3
    assert pages_of(spec(tmp_path), 700, pages[-1].cursor) == []
