"""What may be wrong with a relation, or with the way to it, and what one is told."""

from datetime import UTC, datetime
from uuid import uuid4

import psycopg
import pytest

from ingest_project.branches.spec import BranchSpec
from ingest_project.errors import (
    ColumnsMissing,
    IngestError,
    Refused,
    SourceEmpty,
    SourceMissing,
    SourceStale,
    SourceUnreadable,
)
from ingest_project.extract import preflight
from ingest_project.settings import settings
from ingest_project_tests.extract.conftest import MakeSpec
from ingest_project_tests.extract.reading import pages_of, rows_of
from ingest_project_tests.extract.relations import PLACES, Branch, MakeTable, branch, location_of, run, table

__all__ = ["branch", "table"]


# ── what may be wrong with it ───────────────────────────────────────────────────────────────────────────────


def refusal(declared: BranchSpec) -> Refused:
    with pytest.raises(Refused) as caught:
        pages_of(declared)
    assert caught.value.where["branch"] == "b"
    return caught.value


def test_no_such_relation(table: MakeTable, branch: Branch) -> None:
    schema = table(*PLACES).partition(".")[0]
    error = refusal(branch(f"{schema}.tt"))
    assert isinstance(error, SourceMissing)
    assert f"there is no relation {schema}.tt" in error.what
    assert f"did you mean {schema}.t?" in error.what
    for odd in ("no_such_schema.t", "a.b.c.d", ".", ""):
        assert isinstance(refusal(branch(odd)), Refused)


def test_no_rows_no_table_and_no_column(table: MakeTable, branch: Branch) -> None:
    name = table("create table t (id int, name text)", "create sequence t_s")
    assert isinstance(refusal(branch(name)), SourceEmpty)
    assert isinstance(refusal(branch("pg_class_oid_index")), SourceUnreadable)
    assert isinstance(refusal(branch("pg_class", mapping={"name": "relnam"})), ColumnsMissing)


def test_a_column_that_pages_keep_for_themselves(table: MakeTable, branch: Branch) -> None:
    error = refusal(branch(table("create table t as select 1 as id, 'a' as name, 1 as __row")))
    assert "__row: a name that pages keep for themselves" in error.what


def test_a_view_that_fails_in_the_middle(table: MakeTable, branch: Branch) -> None:
    name = table("create view t as select n as id, (1 / (5000 - n))::text as name from generate_series(1, 6000) n")
    error = refusal(branch(name))
    assert (error.what, error.where["sqlstate"]) == ("the relation cannot be read: division by zero", "22012")


@pytest.mark.usefixtures("superuser")
def test_a_role_that_may_not(table: MakeTable, branch: Branch, database: str) -> None:
    name, role = table(*PLACES), f"r{uuid4().hex[:8]}"
    run(database, f"create role {role} login")
    try:
        user = {"location": location_of(database, name, user=role)}
        error = refusal(branch(name, **user))
        assert "this role may not read the relation: permission denied for schema" in error.what
        assert "grant usage on its schema and select" in error.todo
        run(database, f"grant usage on schema {name.partition('.')[0]} to {role}")
        assert "permission denied for table t" in refusal(branch(name, **user)).what
        run(database, f"alter table {name} add secret text", f"grant select (id, name) on {name} to {role}")
        assert len(rows_of(branch(name, **user))) == 10
    finally:
        run(database, f"drop owned by {role}", f"drop role {role}")


def test_nobody_answers(spec: MakeSpec) -> None:
    with pytest.raises(IngestError, match=r"the source's Postgres cannot be reached: .*refused") as caught:
        preflight.check(spec("postgresql://me@127.0.0.1:1/db?table=t"))
    assert not isinstance(caught.value, Refused)
    assert "INGEST_DATABASE_URL" not in str(caught.value)


@pytest.mark.parametrize(
    ("what", "state"), [("pg_terminate_backend", "57P01"), ("pg_cancel_backend", "57014")], ids=["ended", "cancelled"]
)
@pytest.mark.parametrize("cursor", [None, "id"])
def test_a_session_that_is_cut_off_says_how_it_goes_on(
    table: MakeTable, branch: Branch, database: str, what: str, state: str, cursor: str | None
) -> None:
    name = table("create table t as select n as id, repeat('x', 500) as name from generate_series(1, 100000) n")
    source, pin = preflight.check(branch(name, cursor=cursor))
    pages = source.pages(pin, 1000, None)
    next(pages)
    schema = name.partition(".")[0]
    run(database, f"select {what}(pid) from pg_stat_activity where query like 'copy%{schema}%'")
    with pytest.raises(IngestError, match="reading the relation was cut off") as caught:
        list(pages)
    assert not isinstance(caught.value, Refused)
    assert ("goes on behind the last part" in caught.value.todo) == (cursor is not None)
    assert caught.value.where["sqlstate"] in (state, "none")
    source.close()


def test_a_timeout_of_the_source_is_not_ours(table: MakeTable, branch: Branch, database: str) -> None:
    name = table("create view t as select 1 as id, 'x' as name from (select pg_sleep(0.3)) s")
    declared = branch(name, location=location_of(database, name, options="-c statement_timeout=100ms"))
    assert len(rows_of(declared)) == 1


def test_a_timeout_of_ours_holds_for_the_source(
    table: MakeTable, branch: Branch, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = table("create view t as select 1 as id, 'x' as name from (select pg_sleep(30)) s")
    monkeypatch.setenv("INGEST_STATEMENT_SECONDS", "1")
    settings.cache_clear()
    with pytest.raises(IngestError, match="canceling statement due to statement timeout") as caught:
        rows_of(branch(name))
    assert caught.value.where["sqlstate"] == "57014"


def test_nothing_can_be_written_by_reading(table: MakeTable, branch: Branch) -> None:
    name = table("create sequence counted", "create view t as select 1 as id, nextval('counted')::text as name")
    assert "cannot execute nextval() in a read-only transaction" in refusal(branch(name)).what


def test_no_session_is_left_behind(table: MakeTable, branch: Branch, database: str) -> None:
    name = table(*PLACES)
    pages_of(branch(name))
    refusal(branch(name, mapping={"name": "nam"}))
    refusal(branch(f"{name}x"))
    with psycopg.connect(database) as connection:
        left = "select count(*) from pg_stat_activity where state = 'idle in transaction' and query like %s"
        assert connection.execute(left, (f"%{name}%",)).fetchone() == (0,)


# ── how old it may be ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", ["timestamptz", "timestamp", "date"])
def test_how_old_it_is_says_the_column_that_says_so(table: MakeTable, branch: Branch, kind: str) -> None:
    name = table(
        f"create table t as select 1 as id, 'x' as name, (now() - interval '9 days')::{kind} as at "
        f"union all select 2, 'y', 'infinity'::{kind}"
    )
    declared = branch(name, updated_at="at", limits={"max_age": "P1D"})
    source, pin = preflight.check(declared)
    source.close()
    assert pin.written_at is not None
    assert (datetime.now(UTC) - pin.written_at).days in (8, 9, 10)


def test_without_one_nothing_says_how_old_it_is(table: MakeTable, branch: Branch) -> None:
    with pytest.raises(SourceStale, match="nothing says when") as caught:
        preflight.check(branch(table(*PLACES), limits={"max_age": "P1D"}))
    assert "Declare updated_at" in caught.value.todo
