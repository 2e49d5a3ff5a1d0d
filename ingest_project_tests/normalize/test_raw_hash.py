"""Equal raw hashes are equal rows: whatever differs in a row, its columns or their types differs in its hash."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_project.normalize.raw_hash import raw_hashes
from ingest_project_tests.normalize.pages import numbered


def hashes(table: pa.Table) -> list[bytes]:
    return raw_hashes(numbered(table)).to_pylist()


CELLS = st.one_of(st.none(), st.text("ab~:1\0", max_size=4))
ROWS = st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=8)


@given(ROWS)
def test_rows_of_text_have_one_hash_if_and_only_if_they_are_equal(rows: list[tuple[str | None, ...]]) -> None:
    columns = list(zip(*rows, strict=True))
    found = hashes(pa.table({name: pa.array(one, pa.string()) for name, one in zip("abc", columns, strict=True)}))
    for row, one in zip(rows, found, strict=True):
        assert [one == other for other in found] == [row == other for other in rows]


TYPED: dict[str, tuple[list[Any], pa.DataType]] = {
    "integers": ([0, 1, -1, 2**63 - 1, None], pa.int64()),
    "unsigned": ([0, 2**64 - 1, None], pa.uint64()),
    "booleans": ([True, False, None], pa.bool_()),
    "floats": ([0.0, -0.0, 1.0, 1.5, float("nan"), float("inf"), 0.1, 0.1 + 1e-16, 5e-324, None], pa.float64()),
    "halves": ([0.5, 1.0, None], pa.float16()),
    "decimals": ([Decimal("1.00"), Decimal("1.01"), None], pa.decimal128(5, 2)),
    "days": ([date(1, 1, 1), date(9999, 12, 31), None], pa.date32()),
    "milliseconds": ([date(2024, 1, 1), date(2024, 1, 2), None], pa.date64()),
    "clocks": ([time(1), time(1, 0, 0, 1), None], pa.time64("us")),
    "seconds": ([time(1), time(2), None], pa.time32("s")),
    "moments": ([datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC), None], pa.timestamp("us", "UTC")),
    "beyond": ([2**62, -(2**62), None], pa.timestamp("s")),
    "spans": ([1, 2, None], pa.duration("ns")),
    "bytes": ([b"", b"\xff", b"\xfe", b"a", None], pa.binary()),
    "fixed bytes": ([b"ab", b"\xffb", None], pa.binary(2)),
    "large texts": (["", "a", "~", None], pa.large_string()),
    "dictionaries": (["", "a", None], pa.dictionary(pa.int32(), pa.string())),
    "lists": ([[], [1], [None], [1, 1], None], pa.list_(pa.int64())),
    "structs": ([{"a": 1}, {"a": None}, None], pa.struct({"a": pa.int64()})),
}


@pytest.mark.parametrize("name", TYPED)
def test_different_values_of_any_type_have_different_hashes(name: str) -> None:
    values, kind = TYPED[name]
    array = pa.array([one for one in values if one is not None], pa.int64()).cast(kind) if name == "beyond" else None
    column = pa.array(values, kind) if array is None else pa.concat_arrays([array, pa.nulls(1, kind)])
    found = hashes(pa.table({"a": column}))
    assert len(set(found)) == len(values)
    assert found == hashes(pa.table({"a": column}))


def test_the_type_and_the_name_of_a_column_count() -> None:
    tables = [
        pa.table({"a": ["1"]}),
        pa.table({"a": [1]}),
        pa.table({"b": ["1"]}),
        pa.table({"a": ["1"], "b": pa.nulls(1, pa.string())}),
        pa.table({"b": pa.nulls(1, pa.string()), "a": ["1"]}),
    ]
    assert len({hashes(table)[0] for table in tables}) == len(tables)


def test_the_number_of_a_row_does_not_count() -> None:
    same = hashes(pa.table({"a": ["x", "x", "y"]}))
    assert [one == other for one, other in pairwise(same)] == [True, False]


def test_a_line_that_is_malformed_counts() -> None:
    table = pa.table({"a": ["x", "x"]})
    one, other = raw_hashes(numbered(table, {2: "x,extra"})).to_pylist()
    assert one != other


def test_a_page_in_chunks_or_without_rows_is_a_page() -> None:
    whole = pa.concat_tables([pa.table({"a": ["x"]}), pa.table({"a": ["y"]})])
    assert hashes(whole) == hashes(whole.combine_chunks())
    assert hashes(whole.slice(0, 0)) == []
    assert hashes(whole.slice(1, 1))[0] == hashes(whole)[1]
