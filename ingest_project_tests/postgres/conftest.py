"""A branch to be held, in a database that really commits, and somebody to hold it."""

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from ingest_project.postgres import leases
from ingest_project.postgres.connection import Connection, session
from ingest_project.settings import settings

# Takes the lease, says so, and writes in a fenced transaction; then asked to, it writes more and commits.
HOLDER = """
import os, sys
from ingest_project.errors import Fenced
from ingest_project.postgres import leases
from ingest_project.postgres.connection import connect
connection = connect()
lease = leases.acquire(connection, int(sys.argv[1]), "b", holder="stopped", run_id="stopped")
with leases.fenced(connection, lease):
    connection.execute("insert into written values (1, %s)", (lease.epoch,))
    print(os.getpid(), flush=True)
    sys.stdin.readline()
    connection.execute("insert into written values (2, %s)", (lease.epoch,))
print("written", flush=True)
"""


@pytest.fixture
def branch(fresh_database: str) -> int:
    """Id of a branch in a database of its own, with a table to write to."""
    with session(fresh_database) as connection:
        connection.execute("create table written (what int, epoch bigint)")
        connection.execute("insert into ingest.sources (name) values ('s')")
        row = connection.execute(
            """insert into ingest.branches (name, source_id, spec, spec_digest, priority)
               select 'b', source_id, '{}', '', 0 from ingest.sources returning branch_id"""
        ).fetchone()
    assert row
    return row[0]


@pytest.fixture
def here(branch: int) -> Iterator[Connection]:
    """A session beside that branch."""
    with session() as connection:
        yield connection


@pytest.fixture
def there(branch: int) -> Iterator[Connection]:
    """Another session beside that branch."""
    with session() as connection:
        yield connection


@pytest.fixture
def lasting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[float], None]]:
    """Choose how long leases last."""

    def choose(seconds: float) -> None:
        monkeypatch.setenv("INGEST_LEASE_SECONDS", str(seconds))
        settings.cache_clear()

    yield choose
    monkeypatch.undo()
    settings.cache_clear()


@pytest.fixture
def stoppable(branch: int) -> Iterator["subprocess.Popen[str]"]:
    """A process that sits in the middle of a fenced transaction."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(branch)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline().strip() == str(process.pid)
    yield process
    process.kill()
    process.communicate()


def take(connection: Connection, branch: int, run: str, *, root: str | None = None) -> leases.Lease:
    return leases.acquire(connection, branch, "b", holder=root or run, run_id=run)


def one(connection: Connection, query: str, *values: object) -> object:
    row = connection.execute(query, values or None).fetchone()
    assert row
    return row[0]
