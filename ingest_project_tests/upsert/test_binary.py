"""What goes into COPY comes out of the table, whatever it is."""

import math
from datetime import UTC, datetime
from decimal import Decimal
from json import loads
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import sql
from psycopg.rows import dict_row

from ingest_project.item import columns, item_schema
from ingest_project.postgres.connection import Connection
from ingest_project.upsert.batch import fill_stage, sorted_rows
from ingest_project.upsert.binary import blocks, copy_binary, with_constants
from ingest_project.upsert.item_statements import STAGED
from ingest_project_tests.upsert.making import Row, Source, item, table_of

NASTY = (
    *('"', '""', 'a "quoted" word', ",", "a,b", ",,", "'", "''", ";", "\t", "a\tb", "\n", "a\nb", "\r", "\r\n", "a\rb"),
    *(
        "\\",
        "\\N",
        "\\n",
        "\\.",
        "a\n\\.\nb",
        "\\.\n",
        "\\\\",
        "NULL",
        "null",
        "None",
        "",
        " ",
        "  x  ",
        "\x01",
        "\x7f",
    ),
    *(
        "{}",
        "[]",
        "%",
        "%s",
        "$1",
        "--",
        "/* */",
        "é",
        "e\u0301",
        "中文",
        "😀",
        "\u200d",
        "\ufeff",
        "\u2028",
        "\U0010ffff",
    ),
    *("=1+1", "#", "0", "t", "f", "infinity", "x" * 20_000, '"\n"', '",\n"', "\\\n,"),
)
TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=("Cs",)))
JSON = st.sampled_from(["{}", '{"a": "b\\nc"}', '{"k": "\\"q\\", \\\\N"}', '{"é": [1, null, {"x": ""}]}'])
TIMES = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))
PRICES = st.decimals(0, 9_999_999_999, places=4)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)


def read_back(connection: Connection, rows: pa.Table) -> list[dict[str, Any]]:
    """The rows by way of the stage table, which ends with the transaction."""
    with connection.transaction(force_rollback=True), connection.cursor(row_factory=dict_row) as cursor:
        fill_stage(connection, rows)
        names = sql.SQL(", ").join(map(sql.Identifier, STAGED))
        query = sql.SQL("select {} from stage order by external_id").format(names)
        return cursor.execute(query).fetchall()


def expected(rows: pa.Table) -> list[dict[str, Any]]:
    """The rows as Postgres gives them: documents parsed, hashes as uuids."""
    return [{name: _as_read(name, value) for name, value in row.items()} for row in rows.to_pylist()]


def _as_read(name: str, value: Any) -> Any:
    if value is None or not (name.endswith("_hash") or name in ("attributes", "issues")):
        return value
    return UUID(value) if name.endswith("_hash") else loads(value)


def round_trip(connection: Connection, rows: list[Row]) -> None:
    table = sorted_rows(table_of(rows))
    assert read_back(connection, table) == expected(table)


@pytest.mark.parametrize("text", NASTY, ids=[ascii(text)[:20] for text in NASTY])
def test_a_nasty_text_comes_back_as_it_was(source: Source, text: str) -> None:
    rows = [item("1", "plain", description=text), item("2", "plain", street=text, unit=None), item("3" + text, "plain")]
    round_trip(source.connection, rows)


def test_an_empty_text_and_a_null_are_told_apart(source: Source) -> None:
    table = sorted_rows(table_of([item("1", category="", unit=None), item("2", category=None, unit="")]))
    first, second = read_back(source.connection, table)
    assert (first["category"], first["unit"]) == ("", None)
    assert (second["category"], second["unit"]) == (None, "")


def test_every_column_of_an_item_comes_back_filled_and_as_null(source: Source) -> None:
    values = {"text": "a text", "double precision": -12.345678901234567, "numeric(14,4)": Decimal("1234567890.1200")}
    full = {name: values[column.sql] for name, column in columns().items()}
    round_trip(source.connection, [{**item("k"), **full, "external_id": "full"}, item("nulls", at=None)])


@pytest.mark.parametrize("number", [0.1, 1e-300, 5e-324, 1.7976931348623157e308, -0.0, 89.99999999999999, 1 / 3])
def test_a_float_keeps_its_last_bit(source: Source, number: float) -> None:
    (row,) = read_back(source.connection, sorted_rows(table_of([item("k", latitude=number, longitude=number)])))
    assert row["latitude"] == number
    assert math.copysign(1, row["latitude"]) == math.copysign(1, number)


@pytest.mark.parametrize("amount", ["0", "0.0001", "9999999999.9999", "12.5000"])
def test_an_amount_keeps_its_digits(source: Source, amount: str) -> None:
    (row,) = read_back(source.connection, sorted_rows(table_of([item("k", price=Decimal(amount), currency="EUR")])))
    assert row["price"] == Decimal(amount)


@pytest.mark.parametrize(
    "time", [datetime(1, 1, 1, tzinfo=UTC), datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)]
)
def test_a_time_keeps_its_microseconds(source: Source, time: datetime) -> None:
    (row,) = read_back(source.connection, sorted_rows(table_of([{**item("k"), "source_updated_at": time}])))
    assert row["source_updated_at"] == time


def test_a_table_of_several_megabytes_and_many_chunks_is_sent_whole(source: Source) -> None:
    rows = [item(f"{at:05}", description=('é,\n"' * 50)[: at % 200]) for at in range(8_000)]
    whole = sorted_rows(table_of(rows))
    chunked = pa.concat_tables([whole.slice(at, 777) for at in range(0, 8_000, 777)])
    assert sum(len(block) for block in blocks(chunked)) > 1 << 20
    assert read_back(source.connection, chunked) == expected(whole)


def test_a_table_without_rows_is_sent_as_nothing(source: Source) -> None:
    assert sum(len(block) for block in blocks(item_schema().empty_table())) == 21, "head and end of the format"
    assert read_back(source.connection, sorted_rows(item_schema().empty_table())) == []


def test_constants_are_the_same_in_every_row(source: Source) -> None:
    table = with_constants(pa.table({"a": [1, 2, 3]}), {"b": 'x,"y', "c": pa.scalar(7, pa.int32())})
    with source.connection.transaction(force_rollback=True), source.connection.cursor() as cursor:
        cursor.execute("create temp table t (a bigint, b text, c int) on commit drop")
        copy_binary(cursor, sql.SQL("copy t from stdin (format binary)"), table)
        assert cursor.execute("select * from t order by a").fetchall() == [(at, 'x,"y', 7) for at in (1, 2, 3)]


@st.composite
def items(draw: st.DrawFn) -> list[Row]:
    """Rows of any content that the columns can hold; more than an item allows."""
    keys = draw(st.lists(TEXT.filter(bool), unique=True, max_size=6))
    kinds = {"text": TEXT, "double precision": FLOATS, "numeric(14,4)": PRICES}
    names = {name: st.none() | kinds[column.sql] for name, column in columns().items() if name != "external_id"}
    extra = {"attributes": JSON, "source_updated_at": st.none() | TIMES}
    return [{**draw(st.fixed_dictionaries({**names, **extra})), "external_id": key} for key in keys]


@settings(max_examples=60)
@given(rows=items())
def test_any_table_of_items_comes_back_equal(any_source: Source, rows: list[Row]) -> None:
    round_trip(any_source.connection, rows)


@st.composite
def valid_items(draw: st.DrawFn) -> list[Row]:
    """Rows that the CHECKs of core.items let in."""
    keys = draw(st.lists(TEXT.filter(lambda text: 0 < len(text) <= 200), unique=True, min_size=1, max_size=5))
    text = st.none() | TEXT
    return [
        {
            **item(key, draw(TEXT.filter(lambda name: 0 < len(name) <= 500))),
            "description": draw(text),
            "category": draw(text),
            "attributes": draw(JSON),
            "source_updated_at": draw(st.none() | TIMES),
            **draw(st.sampled_from([{}, {"price": Decimal("0.1"), "currency": "EUR"}])),
            **draw(st.sampled_from([{}, {"latitude": 1 / 3, "longitude": -0.0}])),
        }
        for key in keys
    ]


@settings(max_examples=15)
@given(rows=valid_items())
def test_rows_copied_straight_in_and_rows_staged_are_equal(any_source: Source, rows: list[Row]) -> None:
    straight, staged = Source(any_source.connection), Source(any_source.connection)
    apart = next(str(at) for at in range(10) if str(at) not in {row["external_id"] for row in rows})
    straight.line().ingest(rows)
    line = staged.line()
    line.ingest([item(apart)])  # the source is not new any more
    line.ingest(rows)
    theirs = {key: row for key, row in staged.items().items() if key != apart}
    ours = straight.items()
    said = [
        name for name in next(iter(ours.values())) if name in STAGED or name in ("version", "priority", "deleted_at")
    ]
    assert {key: [row[name] for name in said] for key, row in ours.items()} == {
        key: [row[name] for name in said] for key, row in theirs.items()
    }
    assert {(row["external_id"], row["version"], row["op"], row["old"]) for row in straight.history()} == {
        (row["external_id"], row["version"], row["op"], row["old"])
        for row in staged.history()
        if row["external_id"] != apart
    }
