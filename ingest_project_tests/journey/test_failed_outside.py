"""Runs that fail outside of our steps, mostly by Dagster losing its tables: what the terminal says of them."""

from collections.abc import Callable

import dagster as dg
import psycopg2
import pytest
from psycopg.conninfo import make_conninfo

from ingest_project.cli.failed import dagster_errors_explained, failure_of
from ingest_project.errors import DatabaseReadOnly, IngestError
from ingest_project.settings import settings


def failed_by(error: Exception) -> dg.ExecuteInProcessResult:
    """A run that ends before its first step."""

    @dg.resource
    def broken(_: object) -> None:
        raise error

    @dg.op(required_resource_keys={"broken"})
    def never() -> None: ...

    @dg.job(resource_defs={"broken": broken})
    def failing() -> None:
        never()

    return failing.execute_in_process(raise_on_error=False)


@pytest.mark.parametrize(
    ("error", "what", "todo"),
    [
        (
            psycopg2.OperationalError("server closed"),
            "could not reach its tables: psycopg2.OperationalError: server closed",
            "is back, run the same",
        ),
        (psycopg2.errors.ReadOnlySqlTransaction("no"), "Postgres takes no writes here", "target_session_attrs"),
        (
            ZeroDivisionError("by nothing"),
            "the run failed: ZeroDivisionError: by nothing",
            "`ingest dev` shows its whole log",
        ),
    ],
)
def test_why_a_run_failed_before_its_steps_is_said(error: Exception, what: str, todo: str) -> None:
    code, words = failure_of(failed_by(error))
    assert code == 1
    said, where, do = words.splitlines()
    assert what in said
    assert where.startswith("  where: run ")
    assert todo in do


@pytest.fixture
def read_only(fresh_database: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Whether this deployment's database takes writes."""

    def choose(chosen: bool) -> None:
        options = f"-c default_transaction_read_only={'on' if chosen else 'off'}"
        monkeypatch.setenv("INGEST_DATABASE_URL", make_conninfo(fresh_database, options=options))
        settings.cache_clear()

    return choose


def test_a_database_that_takes_no_writes_is_told_from_other_faults(read_only: Callable[[bool], None]) -> None:
    read_only(True)
    with pytest.raises(DatabaseReadOnly), dagster_errors_explained():
        raise ZeroDivisionError
    read_only(False)
    with pytest.raises(IngestError, match="Dagster failed") as caught, dagster_errors_explained():
        raise ZeroDivisionError
    assert not isinstance(caught.value, DatabaseReadOnly)
