"""A relation as a source: one state of it, every type exactly, a cursor to go on behind."""

from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pytest

from ingest_project.branches.spec import BranchSpec
from ingest_project.errors import (
    ColumnsMissing,
    SourceMoved,
    SourceUnreadable,
)
from ingest_project.extract import copy_stream, preflight
from ingest_project.extract.kinds import open_source
from ingest_project.extract.source import MALFORMED, Cursor, Pin
from ingest_project.guess.inspection import inspect_source
from ingest_project_tests.extract.reading import pages_of, rows_of, table_of
from ingest_project_tests.extract.relations import PLACES, Branch, MakeTable, branch, location_of, run, table

__all__ = ["branch", "table"]


def test_a_table_is_pinned_in_one_snapshot_and_read_in_pages(table: MakeTable, branch: Branch, database: str) -> None:
    name = table(*PLACES)
    source, pin = preflight.check(branch(name))
    run(database, f"update {name} set name = 'later'", f"insert into {name} values (11, 'later')")
    pages = list(source.pages(pin, 4, None))
    assert [page.table.num_rows for page in pages] == [4, 4, 2]
    assert [page.cursor for page in pages] == [Cursor(0, 4, 4), Cursor(0, 8, 8), Cursor(0, 10, 10)]
    rows = table_of(pages)
    assert rows["name"].to_pylist() == [f"n{n}" for n in range(1, 11)]
    assert rows["__row"].to_pylist() == list(range(1, 11))
    assert pin.relation is not None
    assert pin.relation.types == ["integer", "text"]
    sealed = source.seal(pin)
    assert sealed.relation is not None
    assert sealed.relation.rows == 10
    assert Pin.from_json(sealed.to_json()) == sealed
    (file,) = pin.files
    assert file.path.endswith(f"/{urlsplit(database).path[1:]}?table={name}")
    assert file.etag == pin.relation.snapshot
    assert source.moved(pin) == []


TYPES = {
    "9007199254740993::bigint": 9007199254740993,
    "'-1'::smallint": -1,
    "123456789012345678901234567890.123400::numeric": "123456789012345678901234567890.123400",
    "'NaN'::numeric": "NaN",
    "0.1::real": 0.1,
    "1e-300::float8": 1e-300,
    "'Infinity'::float8": float("inf"),
    "true": True,
    "'2024-02-29 12:00:00.000001+02'::timestamptz": "2024-02-29 10:00:00.000001+00",
    "'infinity'::timestamptz": "infinity",
    "'2024-02-29 12:00'::timestamp": "2024-02-29 12:00:00",
    "'0044-03-15 BC'::date": "0044-03-15 BC",
    "'infinity'::date": "infinity",
    "'25:00'::interval": "PT25H",
    "'12:30'::time": "12:30:00",
    "'5f3c1e6a-0000-4000-8000-000000000001'::uuid": "5f3c1e6a-0000-4000-8000-000000000001",
    '\'{"b": 1.10, "a": [1, null]}\'::json': '{"b": 1.10, "a": [1, null]}',
    '\'{"b": 1.10, "b": 2}\'::jsonb': '{"b": 2}',
    "array['a,b', null, '\"']": '["a,b",null,"\\""]',
    "array[9007199254740993]::bigint[]": "[9007199254740993]",
    "'\\xdeadbeef'::bytea": "\\xdeadbeef",
    "'ab'::char(5)": "ab",
    "int4range(1, 5)": "[1,5)",
    "'192.168.0.1'::inet": "192.168.0.1",
    "point(1, 2)": "(1,2)",
    "''::text": "",
    "null::text": None,
    "null::int": None,
    "E'a\\n\"b\",c\\r\\n'": 'a\n"b",c\r\n',
    "'\\N'": "\\N",
    "'\\.'": "\\.",
}


@pytest.mark.parametrize("expression", TYPES)
def test_a_value_of_any_type_is_exact(table: MakeTable, branch: Branch, expression: str) -> None:
    name = table(f"create view t as select 1 as id, 'x'::text as name, {expression} as v, null::text as last")
    (row,) = rows_of(branch(name))
    assert row == {"id": 1, "name": "x", **({} if TYPES[expression] is None else {"v": TYPES[expression]})}


def test_values_do_not_depend_on_what_the_server_prefers(table: MakeTable, branch: Branch, database: str) -> None:
    name = table(
        "create table t as select 1 as id, 'x' as name, '2024-02-29 12:00+00'::timestamptz as at, 0.1::float8 as f, "
        "'\\x00'::bytea as b, interval '1 day' as i"
    )
    options = "-c TimeZone=Asia/Tokyo -c DateStyle=German -c extra_float_digits=-5 -c bytea_output=escape"
    (row,) = rows_of(branch(name, location=location_of(database, name, options=options)))
    assert row == {"id": 1, "name": "x", "at": "2024-02-29 12:00:00+00", "f": 0.1, "b": "\\x00", "i": "P1D"}


@pytest.mark.parametrize(
    "statements",
    [
        ["create view t as select n as id, 'n' || n as name from generate_series(1, 10) n"],
        ["create materialized view t as select n as id, 'n' || n as name from generate_series(1, 10) n"],
        [
            "create table t (id int, name text) partition by hash (id)",
            "create table t_0 partition of t for values with (modulus 1, remainder 0)",
            "insert into t select n, 'n' || n from generate_series(1, 10) n",
        ],
    ],
    ids=["view", "materialized view", "partitioned table"],
)
def test_what_else_has_rows_is_read_alike(table: MakeTable, branch: Branch, statements: list[str]) -> None:
    assert [row["name"] for row in rows_of(branch(table(*statements)), 3)] == [f"n{n}" for n in range(1, 11)]


def test_a_composite_value_is_json(table: MakeTable, branch: Branch) -> None:
    name = table(
        "create type t_pair as (a bigint, b text)",
        "create view t as select 1 as id, 'x' as name, row(9007199254740993, 'é\"')::t_pair as v",
    )
    assert rows_of(branch(name))[0]["v"] == '{"a":9007199254740993,"b":"é\\""}'


def test_domains_enums_and_generated_columns(table: MakeTable, branch: Branch) -> None:
    name = table(
        "create type t_kind as enum ('a b', 'c')",
        "create domain t_count as int",
        "create table t (id int, name text, k t_kind, n t_count, g int generated always as (id * 2) stored, x int)",
        "alter table t drop column x",
        "insert into t (id, name, k, n) values (1, 'x', 'a b', 7)",
    )
    assert rows_of(branch(name)) == [{"id": 1, "name": "x", "k": "a b", "n": 7, "g": 2}]


def test_names_are_read_as_sql_reads_them(table: MakeTable, branch: Branch, database: str) -> None:
    schema = table(*PLACES).partition(".")[0]
    odd = 'My "odd" %s {table}'
    run(database, f'create table {schema}."My ""odd"" %s {{table}}" as select 1 as "Id?", \'x\' as "Name %s"')
    quoted = f'{schema}."{odd.replace(chr(34), chr(34) * 2)}"'
    assert rows_of(branch(quoted, key="Id?", mapping={"name": "Name %s"})) == [{"Id?": 1, "Name %s": "x"}]
    assert len(rows_of(branch(f"{schema.upper()}.T"))) == 10


def test_a_row_of_more_than_two_megabytes_is_malformed_in_its_place(table: MakeTable, branch: Branch) -> None:
    name = table(
        "create table t (id int, name text)",
        "insert into t values (1, 'a'), (2, repeat('b', 3 << 20)), (3, repeat('c', 1 << 20)), (4, 'd')",
    )
    (page,) = pages_of(branch(name))
    assert page.table["id"].to_pylist() == [1, None, 3, 4]
    malformed = page.table[MALFORMED].to_pylist()
    assert [text and text[:4] for text in malformed] == [None, "2,bb", None, None]
    assert len(malformed[1]) < 200_000


def test_many_pages_hold_what_one_holds(table: MakeTable, branch: Branch) -> None:
    name = table(
        "create table t as select n as id, repeat('x', n % 7) || E'\\n' as name from generate_series(1, 5000) n"
    )
    whole = table_of(pages_of(branch(name), 10_000))
    for size in (1, 7, 4999, 5000):
        pages = pages_of(branch(name), size) if size > 1 else pages_of(branch(name), 50)
        assert table_of(pages) == whole


# ── a cursor ────────────────────────────────────────────────────────────────────────────────────────────────


def test_with_a_cursor_pages_go_on_behind_the_last_value_and_end_at_what_was_the_last(
    table: MakeTable, branch: Branch, database: str
) -> None:
    name = table(*PLACES)
    declared = branch(name, cursor="id")
    first, pin = preflight.check(declared)
    page = next(pages := first.pages(pin, 4, None))
    pages.close()  # type: ignore[attr-defined]
    first.close()
    run(database, f"insert into {name} values (11, 'later')", f"delete from {name} where id = 6")
    second = open_source(declared)
    rest = list(second.pages(Pin.from_json(pin.to_json()), 4, Cursor.from_json(page.cursor.to_json())))
    assert [one.table["id"].to_pylist() for one in rest] == [[5, 7, 8, 9], [10]]
    assert [one.cursor for one in rest] == [Cursor(0, 8, 8, "9"), Cursor(0, 9, 9, "10")]
    assert rest[0].table["__row"].to_pylist() == [5, 6, 7, 8]
    second.close()


@pytest.mark.parametrize("kind", ["text", "uuid", "timestamptz", "numeric"])
def test_a_cursor_may_be_of_any_type_that_has_an_order(table: MakeTable, branch: Branch, kind: str) -> None:
    value = {
        "text": "'k' || chr(n) || n",
        "uuid": "md5(n::text)::uuid",
        "timestamptz": "now() + n * interval '1 us'",
        "numeric": "n / 3.0",
    }[kind]
    name = table(
        f"create table t as select n as id, 'x' as name, ({value})::{kind} as c from generate_series(33, 99) n"
    )
    declared = branch(name, cursor="c")
    assert sorted(table_of(resumed(declared, 10))["id"].to_pylist()) == list(range(33, 100))


def resumed(declared: BranchSpec, size: int) -> list[Any]:
    """Every page from a session of its own."""
    source, pin = preflight.check(declared)
    source.close()
    pages: list[Any] = []
    while True:
        source = open_source(declared)
        found = next(iter(source.pages(pin, size, pages[-1].cursor if pages else None)), None)
        source.close()
        if found is None:
            return pages
        pages.append(found)


@pytest.mark.parametrize(
    ("values", "column", "words"),
    [
        ("(1, 'a'), (2, 'b'), (2, 'c')", "c", "'2' stands there twice"),
        ("(1, 'a'), (null, 'b')", "c", "it has nulls"),
        ("(1, 'a'), (2, 'b')", "a", r"its type is integer\[\]"),
    ],
)
@pytest.mark.parametrize("size", [1, 10])
def test_what_is_no_cursor_is_refused(
    table: MakeTable, branch: Branch, values: str, column: str, words: str, size: int
) -> None:
    name = table("create table t (c int, name text, id int, a int[])", f"insert into t values {values}")
    with pytest.raises(SourceUnreadable, match=f"the column '{column}' is no cursor: {words}"):
        pages_of(branch(name, cursor=column), size)


def test_a_cursor_that_is_not_there(table: MakeTable, branch: Branch) -> None:
    with pytest.raises(ColumnsMissing, match="no column 'idd' \\(did you mean 'id'\\?\\)"):
        preflight.check(branch(table(*PLACES), cursor="idd"))


def test_columns_that_changed_meanwhile_are_not_mixed(table: MakeTable, branch: Branch, database: str) -> None:
    name = table(*PLACES)
    source, pin = preflight.check(branch(name, cursor="id"))
    source.close()
    run(database, f"alter table {name} alter name type varchar(50), add more int")
    with pytest.raises(
        SourceMoved, match="name: was text, is character varying\\(50\\)\n    more: was not there, is integer"
    ):
        next(open_source(branch(name, cursor="id")).pages(pin, 4, None))


# ── a first look ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_look_finds_columns_samples_and_the_primary_key(table: MakeTable, database: str) -> None:
    name = table(
        "create table t (label text, code text primary key)",
        "insert into t select 'l' || n % 2, 'c' || n from generate_series(1, 100) n",
    )
    seen = inspect_source(location_of(database, name))
    assert (seen.columns, seen.key, seen.settings) == (("label", "code"), "code", {})
    assert seen.samples["label"] == ["l1", "l0"]


def test_a_primary_key_of_two_columns_is_no_key(table: MakeTable, database: str) -> None:
    name = table("create table t (a int, b int, name text, primary key (a, b))")
    seen = inspect_source(location_of(database, name))
    assert (seen.columns, seen.key) == (("a", "b", "name"), None)
    assert seen.samples == {"a": [], "b": [], "name": []}


def test_a_branch_cannot_map_into_the_arrays_of_a_relation(table: MakeTable, database: str) -> None:
    name = table("create table t (id int, tags text)", """insert into t values (1, '["Cafe", "Bar"]')""")
    assert inspect_source(location_of(database, name)).array_paths == ()


# ── the bytes of COPY ───────────────────────────────────────────────────────────────────────────────────────


def test_a_column_alone_may_be_null_or_empty() -> None:
    found = list(copy_stream.tables([b"\n", b'""\n', b"x\n"], {"a": pa.string()}, 2))
    assert [table["a"].to_pylist() for table, _ in found] == [[None, ""], ["x"]]
    assert [taken for _, taken in found] == [4, 2]


def test_heavy_rows_make_tables_of_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy_stream, "MAX_PAGE_BYTES", 6)
    found = copy_stream.tables([b"abc\n", b"d\n", b"ef\n", b"g\n"], {"a": pa.string()}, 3)
    assert [table["a"].to_pylist() for table, _ in found] == [["abc", "d"], ["ef", "g"]]
