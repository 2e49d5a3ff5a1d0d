"""After a large load core.items is vacuumed, and what the planner knows of it and of its history is of now."""

# pyright: reportPrivateUsage=false
# What is large is made small here.

from collections.abc import Iterator

import pytest

from ingest_project.postgres.connection import Connection, session
from ingest_project.upsert import items
from ingest_project_tests.upsert.making import Row, Source, item

FIRST, MORE = 20, 50


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(items, "_VACUUM_AFTER_FIRST_LOAD", FIRST)
    monkeypatch.setattr(items, "_VACUUM_AFTER_LATER_LOAD", MORE)


def rows(first: int, count: int) -> list[Row]:
    return [item(f"{at:04}") for at in range(first, first + count)]


def is_counted(connection: Connection) -> bool:
    """Whether Postgres knows how many rows there are in core.items and in its history."""
    text = """select (select reltuples from pg_class where oid = 'core.items'::regclass),
                     (select reltuples from pg_class where oid = 'core.item_versions_000000'::regclass),
                     (select count(*) from core.items), (select count(*) from core.item_versions)"""
    row = connection.execute(text).fetchone()
    assert row is not None
    return row[:2] == row[2:]


@pytest.fixture(scope="module")
def opened(own_database: str) -> Iterator[Connection]:
    with session(own_database) as opened:
        yield opened


def test_a_first_load_that_is_worth_it_is_counted(opened: Connection) -> None:
    Source(opened).line().ingest(rows(0, FIRST - 1))
    assert not is_counted(opened)
    Source(opened).line().ingest(rows(0, FIRST))
    assert is_counted(opened)


def test_a_later_one_is_worth_it_with_more_rows_that_are_new(opened: Connection) -> None:
    line = Source(opened).line()
    line.ingest(rows(0, FIRST))
    line.ingest(rows(FIRST, MORE - 1))
    assert not is_counted(opened)
    line.ingest(rows(FIRST + MORE, MORE))
    assert is_counted(opened)
    line.ingest([item(f"{at:04}", "Changed", at=1) for at in range(FIRST + MORE, FIRST + 2 * MORE)])
    assert not is_counted(opened)


def test_within_a_transaction_it_is_left_to_autovacuum(opened: Connection) -> None:
    with opened.transaction(force_rollback=True):
        Source(opened).line().ingest(rows(0, FIRST))
        assert not is_counted(opened)


def test_rows_are_told_to_be_live(opened: Connection) -> None:
    Source(opened).line().ingest(rows(0, 1_000))
    row = opened.execute("explain (format json) select from core.items where deleted_at is null").fetchone()
    live = opened.execute("select count(*) from core.items").fetchone()
    assert row is not None and live is not None
    assert row[0][0]["Plan"]["Plan Rows"] == live[0]
