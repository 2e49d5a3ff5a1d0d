"""What is handed from asset to asset: frames that lose nothing, drawn when their turn comes."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest_project.defs.parts import as_frame, as_table
from ingest_project.item import item_schema

TEXT = st.text(st.characters(codec="utf-8"))
VALUES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.string(): TEXT,
    pa.float64(): st.floats(allow_nan=False),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.decimal128(14, 4): st.decimals("-9999999999.9999", "9999999999.9999", places=4),
    pa.timestamp("us", tz="UTC"): st.datetimes(timezones=st.just(UTC)),
}


def plain(table: pa.Table) -> pa.Table:
    """Without what pandas writes beside the data for itself."""
    return table.replace_schema_metadata(None)


@given(st.data())
def test_any_item_comes_back_as_it_was(data: st.DataObject) -> None:
    rows = data.draw(
        st.lists(
            st.fixed_dictionaries({field.name: st.none() | VALUES[field.type] for field in item_schema()}), max_size=4
        )
    )
    table = pa.Table.from_pylist(rows, schema=item_schema())
    back = plain(as_table(as_frame(table)))
    assert back.schema == item_schema()
    assert back.equals(table)


SOURCE_COLUMNS: dict[str, pa.Array] = {
    "large integers": pa.array([2**63 - 1, None, -(2**63)]),
    "unsigned": pa.array([2**64 - 1, None, 0], pa.uint64()),
    "flags": pa.array([True, None, False]),
    "days": pa.array([date(1, 1, 1), None, date(9999, 12, 31)]),
    "times": pa.array([time(23, 59, 59, 999_999), None, time()]),
    "nanoseconds": pa.array([1, None, 2**62], pa.timestamp("ns")),
    "old times": pa.array([datetime(1, 1, 1), None, datetime(9999, 12, 31)], pa.timestamp("s", tz="Europe/Berlin")),
    "wide decimals": pa.array([Decimal("1" * 38), None, Decimal(0)], pa.decimal128(38, 0)),
    "bytes": pa.array([b"\x00\xff", None, b""]),
    "large texts": pa.array(["a", None, ""], pa.large_string()),
    "lists": pa.array([[1, None], None, []]),
    "structs": pa.array([{"a": 1}, None, {"a": None}]),
    "halves": pa.array([0.1, None, 3.0], pa.float32()),
    "nothing": pa.nulls(3),
}


@pytest.mark.parametrize("name", SOURCE_COLUMNS)
def test_any_column_of_a_source_comes_back_as_it_was(name: str) -> None:
    table = pa.table({name: SOURCE_COLUMNS[name]})
    back = plain(as_table(as_frame(table)))
    assert back.schema == table.schema
    assert back.equals(table)


def test_not_a_number_is_not_turned_into_nothing() -> None:
    back = as_table(as_frame(pa.table({"value": pa.array([float("nan"), None, 1.0])})))
    assert back["value"].null_count == 1
    assert str(back["value"][0]) == "nan"


def test_the_frame_is_what_users_of_pandas_expect_with_arrow_under_it() -> None:
    frame = as_frame(pa.table({"name": ["a", None], "count": [1, 2]}))
    assert isinstance(frame, pd.DataFrame)
    assert frame["name"].dtype == pd.ArrowDtype(pa.string())
    assert list(frame[frame["name"] == "a"]["count"]) == [1]


def test_an_index_that_pandas_wrote_into_a_file_is_a_column_like_any_other() -> None:
    written = pa.Table.from_pandas(pd.DataFrame({"name": ["a", "b"]}, index=pd.Index([7, 8], name="id")))
    assert b"pandas" in (written.schema.metadata or {})
    back = as_table(as_frame(written))
    assert back["id"].to_pylist() == [7, 8]
    assert back["name"].to_pylist() == ["a", "b"]


def test_several_chunks_are_one_frame() -> None:
    table = pa.concat_tables([pa.table({"n": [1]}), pa.table({"n": [2, 3]})])
    assert as_table(as_frame(table))["n"].to_pylist() == [1, 2, 3]
