"""Frames into any table: what is written, what is not, and what is refused."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd
import psycopg
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest_project.errors import RowsUnfit, TableUnfit
from ingest_project.postgres.connection import Connection, session
from ingest_project.upsert.frames import Hooks, TableCounts, as_arrow, keep_old_images, upsert
from ingest_project.upsert.reading import read
from ingest_project.upsert.target import Table, Target, existing_columns

PRICES = Table("prices", ("sku",), newer_by="at")
DAY = datetime(2024, 1, 1, tzinfo=UTC)


def prices(*rows: tuple[str, float | None, int | None]) -> pd.DataFrame:
    """(sku, price, day)."""
    at = [None if day is None else DAY + timedelta(days=day) for _, _, day in rows]
    columns = {"sku": [row[0] for row in rows], "price": [row[1] for row in rows]}
    return pd.DataFrame({**columns, "at": pd.to_datetime(at, utc=True)})


@pytest.fixture
def table(own_database: str) -> Iterator[Connection]:
    """A session in which `prices` is there and empty; what others commit to it is seen."""
    with session(own_database) as opened:
        opened.execute("drop table if exists prices, prices_history")
        opened.execute(
            "create table prices (sku text primary key, price float8, at timestamptz, note text default '-')"
        )
        yield opened


def stored(connection: Connection) -> dict[str, tuple[Any, ...]]:
    rows = connection.execute("select sku, price, at, note, xmin::text from prices").fetchall()
    return {row[0]: row[1:] for row in rows}


def test_new_rows_are_inserted_and_the_same_rows_are_not_written_again(table: Connection) -> None:
    frame = prices(("a", 1.0, 0), ("007", None, None))
    assert upsert(table, PRICES, frame) == TableCounts(rows=2, inserted=2)
    before = stored(table)
    assert upsert(table, PRICES, frame) == TableCounts(rows=2, unchanged=2)
    assert stored(table) == before, "xmin and all"
    assert before["007"][:3] == (None, None, "-")


def test_other_content_is_updated_and_older_content_is_not(table: Connection) -> None:
    upsert(table, PRICES, prices(("a", 1.0, 5), ("b", 1.0, 5), ("c", 1.0, None)))
    assert upsert(table, PRICES, prices(("a", 2.0, 6), ("b", 2.0, 4), ("c", 2.0, 1))) == TableCounts(
        rows=3, updated=2, stale=1
    )
    assert {sku: row[0] for sku, row in stored(table).items()} == {"a": 2.0, "b": 1.0, "c": 2.0}


def test_a_column_that_the_frame_lacks_is_left_alone(table: Connection) -> None:
    table.execute("insert into prices values ('a', 1, null, 'by hand')")
    upsert(table, Table("prices", ("sku",)), prices(("a", 2.0, 1)).drop(columns="at"))
    assert stored(table)["a"][:3] == (2.0, None, "by hand")


def test_a_stream_is_one_transaction(table: Connection) -> None:
    def frames() -> Iterator[pd.DataFrame]:
        yield prices(("a", 1.0, 1))
        yield prices(("b", 1.0, 1))
        raise RuntimeError("the source broke off")

    with pytest.raises(RuntimeError, match="broke off"):
        upsert(table, PRICES, frames())
    assert stored(table) == {}
    assert upsert(table, PRICES, iter([prices(("a", 1.0, 1)), prices(("b", 1.0, 1))])).inserted == 2


def test_arrow_is_taken_as_it_is(table: Connection) -> None:
    arrow = pa.table({"sku": ["a"], "price": [1.5], "at": pa.array([DAY], pa.timestamp("us", "UTC"))})
    assert upsert(table, PRICES, arrow).inserted == 1
    assert upsert(table, PRICES, arrow.to_batches()[0]).unchanged == 1
    assert upsert(table, PRICES, pa.RecordBatchReader.from_batches(arrow.schema, arrow.to_batches())).unchanged == 1


def test_no_frame_is_no_rows(table: Connection) -> None:
    assert upsert(table, PRICES, []) == TableCounts()
    assert upsert(table, PRICES, prices()) == TableCounts()


def test_a_named_index_is_of_the_frame(table: Connection) -> None:
    assert upsert(table, PRICES, prices(("a", 1.0, 1)).set_index("sku")).inserted == 1


class Everything:
    """One row with a value of every type that a table can be made for."""

    table = Table("everything", ("id",))
    row: dict[str, Any] = {  # noqa: RUF012 - never written to
        **{"id": 1, "yes": True, "text": "", "lines": 'a,"b"\n\\N', "none": None},
        **{"real": 0.1, "amount": Decimal("12.50"), "raw": b"\x00\xff", "day": DAY.date(), "at": DAY},
        **{"tags": ["x", None], "nested": {"a": [1]}},
    }

    @classmethod
    def frame(cls) -> pa.Table:
        return pa.Table.from_pylist([cls.row, {"id": 2}])


@pytest.fixture
def everything(own_database: str) -> Iterator[Connection]:
    with session(own_database) as opened:
        opened.execute("drop table if exists everything")
        yield opened


def test_a_missing_table_is_made_from_the_types_of_the_frame(everything: Connection) -> None:
    assert upsert(everything, Everything.table, Everything.frame(), create=True).inserted == 2
    assert upsert(everything, Everything.table, Everything.frame(), create=True).unchanged == 2
    types = {column.name: column.type for column in existing_columns(everything, Everything.table)}
    assert types["nested"] == types["tags"] == "jsonb"
    assert (types["amount"], types["at"], types["raw"]) == ("numeric", "timestamp with time zone", "bytea")


def test_what_is_written_is_read_back(everything: Connection) -> None:
    upsert(everything, Everything.table, Everything.frame(), create=True)
    first, second = read(everything, Everything.table).to_pylist()
    assert first == {**Everything.row, "tags": '["x", null]', "nested": '{"a": [1]}'}
    assert set(second.values()) == {2, None}
    assert read(everything, Everything.table, {"id": 2}).num_rows == 1
    assert read(everything, Everything.table, {"id": 3}).column_names == list(Everything.row)


def test_numeric_without_a_scale_is_read_exactly(everything: Connection) -> None:
    everything.execute("create table everything (id int primary key, n numeric)")
    everything.execute("insert into everything values (1, 1), (2, 0.123456789), (3, null)")
    found = read(everything, Everything.table)["n"].to_pylist()
    assert found == [Decimal(1), Decimal("0.123456789"), None]
    everything.execute("insert into everything values (4, 'NaN')")
    assert read(everything, Everything.table)["n"].to_pylist()[3] == "NaN", "no decimal holds it"


def test_types_without_an_order_are_compared_by_their_text(everything: Connection) -> None:
    everything.execute("create table everything (id int primary key, doc json, spot point)")
    frame = pd.DataFrame({"id": [1], "doc": ['{"a": 1}'], "spot": ["(1,2)"]})
    assert upsert(everything, Everything.table, frame).inserted == 1
    assert upsert(everything, Everything.table, frame).unchanged == 1
    assert upsert(everything, Everything.table, frame.assign(spot="(1,3)")).updated == 1


def test_names_that_need_quoting_are_quoted(everything: Connection) -> None:
    odd = Table('Pri"ces %s', ("the key",), newer_by="t")
    frame = pd.DataFrame({"the key": ["a"], "t": [1], "staged row": ["x"], "%(no)s": [1]})
    with everything.transaction(force_rollback=True):
        assert upsert(everything, odd, frame, create=True).inserted == 1
        assert upsert(everything, odd, frame.assign(t=2)).updated == 1


# ── refused, with nothing written ───────────────────────────────────────────────────────────────────────────


def refused(connection: Connection, frame: Any, table: Table = PRICES) -> str:
    with pytest.raises((TableUnfit, RowsUnfit)) as caught:
        upsert(connection, table, frame)
    assert stored(connection) == {}
    return str(caught.value)


def test_a_key_that_is_there_twice_is_named(table: Connection) -> None:
    words = refused(table, [prices(("a", 1.0, 1), ("b", 1.0, 1)), prices(("a", 2.0, 2))])
    assert "1 keys are there more than once, such as a" in words
    assert "drop_duplicates" in words


def test_a_key_that_is_null_is_counted(table: Connection) -> None:
    assert "1 rows have no sku" in refused(table, pd.DataFrame({"sku": ["a", None], "price": 1.0, "at": None}))


def test_columns_that_the_table_lacks_are_named(table: Connection) -> None:
    assert "no column colour; it has sku, price, at, note" in refused(table, prices(("a", 1, 1)).assign(colour="red"))


def test_a_frame_without_the_key_or_the_time_is_refused(table: Connection) -> None:
    assert "the frame lacks sku" in refused(table, prices(("a", 1, 1)).drop(columns="sku"))
    assert "the frame lacks at" in refused(table, prices(("a", 1, 1)).drop(columns="at"))


def test_a_key_that_is_not_unique_in_the_table_is_refused(table: Connection) -> None:
    assert "price is no unique key" in refused(table, prices(("a", 1, 1)), Table("prices", ("price",)))


def test_a_partial_unique_index_is_no_key(table: Connection) -> None:
    table.execute("create unique index on prices (price) where note = 'x'")
    assert "no unique key" in refused(table, prices(("a", 1, 1)), Table("prices", ("price",)))


def test_a_table_that_is_not_there_is_said_so(table: Connection) -> None:
    assert "there is no table public.nowhere" in refused(table, prices(("a", 1, 1)), Table("nowhere", ("sku",)))


def test_frames_of_a_stream_have_the_same_columns(table: Connection) -> None:
    words = refused(table, [prices(("a", 1, 1)), prices(("b", 1, 1)).drop(columns="price")])
    assert "frame 2" in words


def test_a_column_of_several_types_is_refused(table: Connection) -> None:
    assert "several types" in refused(table, pd.DataFrame({"sku": ["a", 1], "price": 1.0, "at": None}))


def test_a_value_that_the_table_refuses_leaves_nothing(table: Connection) -> None:
    with pytest.raises(RowsUnfit, match='type double precision: "dear"'):
        upsert(table, PRICES, [prices(("a", 1.0, 1)), prices(("b", 1.0, 1)).assign(price="dear")])
    assert stored(table) == {}


# ── hooks ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_fence_that_raises_keeps_everything_as_it_was(table: Connection) -> None:
    def fence(_: Connection) -> None:
        raise PermissionError("taken over")

    with pytest.raises(PermissionError):
        upsert(table, PRICES, prices(("a", 1.0, 1)), hooks=Hooks(fence=fence))
    assert stored(table) == {}


@pytest.mark.parametrize("name", ["fence", "before_writing"])
def test_what_a_hook_raises_is_not_laid_to_the_table(table: Connection, name: str) -> None:
    def fails(connection: Connection, *_: object) -> None:
        connection.execute("select 'x'::int")

    hooks = Hooks(fence=fails) if name == "fence" else Hooks(before_writing=[fails])
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        upsert(table, PRICES, prices(("a", 1.0, 0)), hooks=hooks)
    assert stored(table) == {}


def test_what_a_stream_raises_is_not_laid_to_the_table(table: Connection, own_database: str) -> None:
    def drawn() -> Iterator[pd.DataFrame]:
        yield prices(("a", 1.0, 0))
        with session(own_database) as elsewhere:
            elsewhere.execute("select 1 / 0")

    with pytest.raises(psycopg.errors.DivisionByZero):
        upsert(table, PRICES, drawn())
    assert stored(table) == {}


def test_a_constraint_that_waits_for_the_commit_refuses_there(table: Connection) -> None:
    table.execute("alter table prices add unique (price) deferrable initially deferred")
    with pytest.raises(RowsUnfit, match="already exists") as caught:
        upsert(table, PRICES, prices(("a", 1.0, 0), ("b", 1.0, 0)))
    assert caught.value.where["table"] == "public.prices"
    assert stored(table) == {}


def test_a_constraint_of_a_table_that_a_hook_wrote_is_told_as_that_table_s(table: Connection) -> None:
    table.execute("create temp table seen (sku text unique deferrable initially deferred)")
    schema = table.execute("select nspname from pg_namespace where oid = pg_my_temp_schema()").fetchone()

    def twice(connection: Connection, _: Target) -> None:
        connection.execute("insert into seen values ('a'), ('a')")

    with pytest.raises(RowsUnfit, match="already exists") as caught:
        upsert(table, PRICES, prices(("a", 1.0, 0)), hooks=Hooks(before_writing=[twice]))
    assert schema is not None
    assert caught.value.where["table"] == f"{schema[0]}.seen"
    assert stored(table) == {}


def test_old_images_go_to_the_history_with_the_update(table: Connection) -> None:
    hooks = Hooks(before_writing=[keep_old_images(Table("prices_history", ()))])
    for price in (1.0, 2.0, 2.0, 3.0):
        upsert(table, PRICES, prices(("a", price, 1)), hooks=hooks)
    rows = table.execute("select sku, old ->> 'price' from prices_history order by changed_at").fetchall()
    assert rows == [("a", "1"), ("a", "2")]


# ── others at the same time ─────────────────────────────────────────────────────────────────────────────────


def test_a_row_that_another_writer_inserts_meanwhile_is_judged_again(table: Connection, own_database: str) -> None:
    other_went = []

    def other(_: Connection, __: Target) -> None:
        if not other_went:
            with session(own_database) as second:
                other_went.append(upsert(second, PRICES, prices(("a", 9.0, 9), ("b", 0.0, 0))))

    counts = upsert(table, PRICES, prices(("a", 1.0, 1), ("b", 1.0, 1)), hooks=Hooks(before_writing=[other]))
    assert counts == TableCounts(rows=2, updated=1, stale=1)
    assert {sku: row[0] for sku, row in stored(table).items()} == {"a": 9.0, "b": 1.0}


# ── the law ─────────────────────────────────────────────────────────────────────────────────────────────────

SKU = st.sampled_from("abcde")
ROWS = st.dictionaries(SKU, st.tuples(st.sampled_from([None, 1.0, 2.0]), st.sampled_from([None, 1, 2, 3])), max_size=5)


def model(state: dict[str, Any], rows: dict[str, Any]) -> TableCounts:
    """What an upsert comes to, said in Python; changes `state`."""
    counts = dict.fromkeys(("inserted", "updated", "unchanged", "stale"), 0)
    for sku, (price, day) in rows.items():
        known = state.get(sku)
        if known is None:
            kind = "inserted"
        elif known == (price, day):
            kind = "unchanged"
        else:
            kind = "stale" if known[1] is not None and (day is None or day < known[1]) else "updated"
        counts[kind] += 1
        if kind in ("inserted", "updated"):
            state[sku] = (price, day)
    return TableCounts(len(rows), **counts)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ROWS, min_size=1, max_size=5))
def test_any_upserts_end_as_the_model_says(table: Connection, batches: list[dict[str, Any]]) -> None:
    table.execute("truncate prices")
    state: dict[str, Any] = {}
    for rows in batches:
        frame = prices(*((sku, price, day) for sku, (price, day) in rows.items()))
        expected = model(state, rows)
        assert upsert(table, PRICES, frame) == expected
    assert {sku: row[:2] for sku, row in stored(table).items()} == {
        sku: (price, None if day is None else DAY + timedelta(days=day)) for sku, (price, day) in state.items()
    }


def test_an_arrow_frame_is_not_copied() -> None:
    arrow = pa.table({"sku": ["a"]})
    assert as_arrow(arrow, PRICES) is arrow
