"""Frames and tables of all kinds: what goes in comes out, what is the same is not written, what is unfit is said."""

import math
import uuid
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from ingest_project.errors import IngestError, RowsUnfit, TableUnfit
from ingest_project.postgres.connection import Connection, session
from ingest_project.upsert.frames import Hooks, TableCounts, keep_old_images, upsert
from ingest_project.upsert.reading import read
from ingest_project.upsert.target import Table

ODD = Table("odd", ("k",))
ONE = uuid.UUID(int=1)
TEXT_TO_INT = pa.map_(pa.string(), pa.int64())
DEEP = pa.struct([("m", pa.list_view(TEXT_TO_INT))])
QUOTED = Table('t."x', ("k,1",), schema='a "schema" of %s')


@pytest.fixture
def odd(own_database: str) -> Iterator[Callable[[str], Connection]]:
    """Make the table `odd` by the words within its parentheses; it is gone after the test."""
    with session(own_database) as opened, opened.transaction(force_rollback=True):

        def make(columns: str) -> Connection:
            opened.execute(f"create table odd ({columns})".encode())
            return opened

        yield make


def stored(connection: Connection) -> list[tuple[Any, ...]]:
    return connection.execute("select * from odd order by k").fetchall()


@pytest.mark.parametrize(
    ("type_", "values", "expected"),
    [
        ("numeric", pa.array([Decimal("1.10"), Decimal("12345678901234567890.5")]), None),
        ("real", pa.array([0.1, 1e30]), [pytest.approx(0.1), pytest.approx(1e30)]),
        ("float8", pa.array([math.inf, 1e-310]), None),
        ("interval", pa.array([3_600_000, -1], pa.duration("ms")), [timedelta(hours=1), timedelta(milliseconds=-1)]),
        ("interval", pa.array([1_999, 0], pa.duration("ns")), [timedelta(microseconds=1), timedelta(0)]),
        ("interval", pa.array([100_000 * 86_400, 1], pa.duration("s")), [timedelta(100_000), timedelta(seconds=1)]),
        ("bytea", pa.array([b"\x00\xff", b""]), None),
        ("bytea", pa.array([b"\\x", b"\n"], pa.binary_view()), None),
        ("bytea", pa.array([b"ab", b'"c'], pa.binary(2)), None),
        ("text", pa.array(["\\N", 'a"b\r\n'], pa.string_view()), None),
        ("text", pa.array(["", "NULL"]).dictionary_encode(), None),
        ("uuid", pa.array([ONE.bytes, ONE.bytes], pa.binary(16)).cast(pa.uuid()), [ONE, ONE]),
        ("int[]", pa.array([[1, None], []]), None),
        ("int[]", pa.array([[[1, 2], [3, 4]], None]), None),
        ("text[]", pa.array([['a"b', "c,d", None, "\\", "{}", "NULL", ""], ["é"]]), None),
        ("date[]", pa.array([[date(2024, 2, 29)], None]), None),
        ("bytea[]", pa.array([[b"\x00", b"\\"], None]), None),
        ("jsonb[]", pa.array([[{"a": 'q"'}], None]), None),
        ("jsonb", pa.array([{"a": None, "b": [1.5]}, {"a": "x", "b": []}]), None),
        ("jsonb", pa.array([[date(2024, 1, 1)], None]), [["2024-01-01"], None]),
        ("jsonb", pa.array([[("a", 1), ("b", None)], []], TEXT_TO_INT), [{"a": 1, "b": None}, {}]),
        ("jsonb", pa.array([[("a", 1), ("a", 2)], None], TEXT_TO_INT), [[["a", 1], ["a", 2]], None]),
        ("jsonb", pa.array([[(1, "x")], None], pa.map_(pa.int8(), pa.string())), [[[1, "x"]], None]),
        ("jsonb", pa.array([{"m": [[("a", 1)]]}, {"m": None}], DEEP), [{"m": [{"a": 1}]}, {"m": None}]),
        ("jsonb", pa.array([[(1, [("a", 2)])], None], pa.map_(pa.int8(), TEXT_TO_INT)), [[[1, {"a": 2}]], None]),
        ("jsonb[]", pa.array([[[("a", 1)]], None], pa.list_(TEXT_TO_INT)), [[{"a": 1}], None]),
        ("json", pa.array(['{"b": 1}', None]), [{"b": 1}, None]),
        ("int4range", pa.array(["[1,5)", None]), None),
        ("char(3)", pa.array(["a", "abc"]), ["a  ", "abc"]),
    ],
    ids=lambda value: value if isinstance(value, str) else str(getattr(value, "type", "")),
)
def test_what_goes_in_is_what_is_stored_and_the_second_time_nothing_is_written(
    odd: Callable[[str], Connection], type_: str, values: pa.Array, expected: list[Any] | None
) -> None:
    connection = odd(f"k int primary key, v {type_}")
    frame = pa.table({"k": [1, 2], "v": values})
    assert upsert(connection, ODD, frame) == TableCounts(rows=2, inserted=2)
    assert upsert(connection, ODD, frame) == TableCounts(rows=2, unchanged=2)
    cast = "::text" if type_ == "int4range" else ""
    found = connection.execute(f"select v{cast} from odd order by k".encode()).fetchall()
    assert [value for (value,) in found] == (expected or values.to_pylist())


def test_objects_of_pandas(odd: Callable[[str], Connection]) -> None:
    connection = odd("k uuid primary key, took interval, tags text[], more jsonb, size int")
    frame = pd.DataFrame(
        {
            **{"k": [ONE], "took": [pd.Timedelta("90min")], "tags": [["a", "b"]], "more": [{"x": 1}]},
            "size": pd.array([None], dtype="Int64"),
        }
    )
    assert upsert(connection, ODD, frame).inserted == 1
    assert stored(connection) == [(ONE, timedelta(minutes=90), ["a", "b"], {"x": 1}, None)]


def test_a_table_made_for_them_has_their_types(own_database: str) -> None:
    frame = pa.table(
        {
            "k": pa.array([ONE.bytes], pa.binary(16)).cast(pa.uuid()),
            "took": pa.array([1], pa.duration("s")),
            "raw": pa.array([b"a"], pa.binary(1)),
            "tags": [["a"]],
        }
    )
    with session(own_database) as connection, connection.transaction(force_rollback=True):
        upsert(connection, ODD, frame, create=True)
        assert stored(connection) == [(ONE, timedelta(seconds=1), b"a", ["a"])]
        assert upsert(connection, ODD, frame, create=True).unchanged == 1


def test_a_composite_key_in_any_order(odd: Callable[[str], Connection]) -> None:
    connection = odd("k int, b text, v int, primary key (k, b)")
    frame = pd.DataFrame({"k": [1, 1], "b": ["x", "y"], "v": [1, 2]})
    assert upsert(connection, Table("odd", ("k", "b")), frame).inserted == 2
    frame = pd.DataFrame({"v": [1, 3], "b": ["x", "y"], "k": [1, 1]})
    assert upsert(connection, Table("odd", ("b", "k")), frame) == TableCounts(rows=2, updated=1, unchanged=1)
    assert stored(connection) == [(1, "x", 1), (1, "y", 3)]


def test_partitions_of_a_table(odd: Callable[[str], Connection]) -> None:
    connection = odd("k int primary key, v int) partition by range (k")
    connection.execute("create table odd_1 partition of odd for values from (0) to (10)")
    connection.execute("create table odd_2 partition of odd for values from (10) to (20)")
    counts = [upsert(connection, ODD, pd.DataFrame({"k": [1, 2, 11, 12], "v": [v, 0, v, 0]})) for v in (1, 1, 2)]
    assert [(one.inserted, one.updated, one.unchanged) for one in counts] == [(4, 0, 0), (0, 0, 4), (0, 2, 2)]
    assert stored(connection) == [(1, 2), (2, 0), (11, 2), (12, 0)]
    with pytest.raises(RowsUnfit, match="no partition"), connection.transaction():
        upsert(connection, ODD, pd.DataFrame({"k": [21], "v": [1]}))


def test_columns_that_postgres_fills_follow(odd: Callable[[str], Connection]) -> None:
    connection = odd("k int primary key, v int, twice int generated always as (v * 2) stored")
    for v in (1, 2):
        upsert(connection, ODD, pd.DataFrame({"k": [1], "v": [v]}))
    assert stored(connection) == [(1, 2, 4)]
    assert read(connection, ODD).to_pylist() == [{"k": 1, "v": 2, "twice": 4}]


def test_a_value_longer_than_a_block_of_arrow_comes_back(odd: Callable[[str], Connection]) -> None:
    connection = odd("k int primary key, v text")
    rows = [{"k": 1, "v": "é\n" * 2_000_000}, {"k": 2, "v": None}]
    upsert(connection, ODD, pa.Table.from_pylist(rows))
    assert read(connection, ODD).to_pylist() == rows


def test_names_with_quotes_and_marks_in_them(own_database: str) -> None:
    with session(own_database) as connection, connection.transaction(force_rollback=True):
        connection.execute(b'create schema "a ""schema"" of %s"')
        history = Hooks(before_writing=[keep_old_images(Table('h "i', (), schema=QUOTED.schema))])
        for v in (1, 2):
            frame = pd.DataFrame({"k,1": [1], 'V "%s {a}': [v], "live row": [v], "staged row": [1]})
            upsert(connection, QUOTED, frame, hooks=history, create=True)
        assert read(connection, QUOTED, {"k,1": 1}).to_pylist() == [
            {"k,1": 1, 'V "%s {a}': 2, "live row": 2, "staged row": 1}
        ]
        assert len(read(connection, Table('h "i', ("k,1",), schema=QUOTED.schema))) == 1


def test_frames_without_rows(odd: Callable[[str], Connection]) -> None:
    connection = odd("k int primary key, v jsonb")
    assert upsert(connection, ODD, pd.DataFrame({"k": [], "v": []})) == TableCounts()
    assert upsert(connection, ODD, []) == TableCounts()
    with pytest.raises(TableUnfit, match="the frame lacks k"):
        upsert(connection, ODD, pd.DataFrame())


# ── what does not fit ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("columns", "frame", "kind", "words"),
    [
        ("k int primary key, v int", pd.DataFrame({"k": [1], "v": ["abc"]}), RowsUnfit, 'type integer: "abc"'),
        ("k int primary key, v int", pd.DataFrame({"k": [1], "v": [1.5]}), RowsUnfit, 'type integer: "1.5"'),
        ("k int primary key, v int", pd.DataFrame({"k": [1], "v": [2**40]}), RowsUnfit, "out of range"),
        ("k int primary key, v text", pd.DataFrame({"k": [1], "v": ["a\0b"]}), RowsUnfit, "0x00"),
        ("k int primary key, v varchar(2)", pd.DataFrame({"k": [1], "v": ["abc"]}), RowsUnfit, "too long"),
        ("k int primary key, v int check (v > 0)", pd.DataFrame({"k": [1], "v": [-1]}), RowsUnfit, "odd_v_check"),
        ("k int primary key, v int, w int not null", pd.DataFrame({"k": [1], "v": [1]}), RowsUnfit, "not-null"),
        ("k int primary key, v jsonb", pa.table({"k": [1], "v": [[math.nan]]}), RowsUnfit, "v holds NaN"),
        ("k int primary key, v jsonb", pa.table({"k": [1], "v": [[b"a"]]}), TableUnfit, "v holds bytes"),
        ("k int unique, v int", pa.table({"k": [1, None], "v": [1, 2]}), RowsUnfit, "1 rows have no k"),
        ("k int primary key, v int", pd.DataFrame([[1, 2, 3]], columns=["k", "v", "v"]), TableUnfit, "are called v"),
        (
            "k int primary key, v int",
            pd.DataFrame({"k": [1], "v": [1]}, index=pd.Index([1], name="k")),
            TableUnfit,
            "are called k",
        ),
        (
            "k int primary key, v int",
            pa.Table.from_arrays([pa.array([1])] * 3, names=["k", "v", "v"]),
            TableUnfit,
            "are called v",
        ),
        (
            "k int primary key, v text",
            pa.table({"k": [1], "v": pa.array([(1, 2, 3)], pa.month_day_nano_interval())}),
            TableUnfit,
            "not written",
        ),
        ("k int generated always as identity primary key", pd.DataFrame({"k": [1]}), TableUnfit, "itself fills k"),
        ("k int, unique (k) deferrable", pd.DataFrame({"k": [1]}), TableUnfit, "no unique key"),
        ('k int primary key, "frame kind" int', pd.DataFrame({"k": [1], "frame kind": [1]}), TableUnfit, "frame kind"),
        ("k int primary key", {"k": 1}, TableUnfit, "str is no frame"),
        ("k int primary key", [{"k": 1}], TableUnfit, "dict is no frame"),
        ("k int primary key", None, TableUnfit, "NoneType is no frame"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_is_said_with_its_table_and_leaves_nothing(
    odd: Callable[[str], Connection], columns: str, frame: Any, kind: type[IngestError], words: str
) -> None:
    connection = odd(columns)
    with pytest.raises(kind, match=words) as caught, connection.transaction():
        upsert(connection, ODD, frame)
    assert caught.value.where["table"] == "public.odd"
    assert stored(connection) == []


def test_rows_that_a_trigger_keeps_out_are_not_waited_for(odd: Callable[[str], Connection]) -> None:
    connection = odd("k int primary key, v int")
    connection.execute(
        """create function pg_temp.skip_two() returns trigger language plpgsql
           as $$begin return case when new.k <> 2 then new end; end$$"""
    )
    connection.execute("create trigger skips before insert on odd for each row execute function pg_temp.skip_two()")
    with pytest.raises(TableUnfit, match="1 rows can neither be inserted nor found"), connection.transaction():
        upsert(connection, ODD, pd.DataFrame({"k": [1, 2, 3], "v": [1, 1, 1]}))
    assert stored(connection) == []


def test_rows_that_a_policy_lets_nobody_change_are_not_waited_for(
    superuser: None, odd: Callable[[str], Connection]
) -> None:
    connection = odd("k int primary key, v int")
    role = f"odd_{uuid.uuid4().hex[:8]}"
    for statement in (
        "insert into odd values (1, 1)",
        "alter table odd enable row level security",
        "create policy seen on odd for select using (true)",
        "create policy made on odd for insert with check (true)",
        "create policy changed on odd for update using (k > 1)",
        f"create role {role}",
        f"grant all on odd to {role}",
        f"set local role {role}",
    ):
        connection.execute(statement.encode())
    with pytest.raises(TableUnfit, match="1 rows can neither be inserted nor found"), connection.transaction():
        upsert(connection, ODD, pd.DataFrame({"k": [1], "v": [2]}))
    assert upsert(connection, ODD, pd.DataFrame({"k": [2], "v": [2]})).inserted == 1
    connection.execute("reset role")
