"""Promise 7: a run that is stopped, ended or met by another in the middle of a batch; what it says, what it leaves."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from ingest_project.postgres.connection import Connection, session
from ingest_project.settings import settings
from ingest_project.torture.chain import ingest
from ingest_project_tests.journey.conftest import FIRST, SECOND, Place
from ingest_project_tests.journey.states import rows

COMMAND = "from ingest_project.cli import main; main()"
BLOCKED = """
select a.application_name from pg_stat_activity a
 where a.datname = current_database() and a.wait_event_type = 'Lock' and a.application_name like 'ingest/%'"""


def start(*words: str, **environment: str) -> subprocess.Popen[str]:
    """`ingest` with these words, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *words],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def changed(branch: Callable[..., Place], monkeypatch: pytest.MonkeyPatch) -> Place:
    """A branch that is ingested, and whose data has changed since; one writer, so that a batch waits for the other."""
    monkeypatch.setenv("INGEST_WRITERS", "1")
    settings.cache_clear()
    place = branch(FIRST)
    ingest(place.name)
    place.holds(SECOND)
    return place


@contextmanager
def in_the_middle_of_a_batch(place: Place, **environment: str) -> Iterator[tuple[subprocess.Popen[str], Connection]]:
    """A run that waits for a row of its second batch, which the connection holds."""
    with session() as connection:
        connection.execute("begin")
        connection.execute("select from core.items where external_id = '4' for update")
        run = start("run", place.name, "--batch-size", "3", **environment)
        try:
            with session() as watching:
                until(lambda: bool(rows(watching, BLOCKED)), run)
            yield run, connection
        finally:
            run.kill()
            run.communicate()


def until(is_so: Callable[[], bool], run: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not is_so():
        assert run.poll() is None, run.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def one(query: str) -> dict[str, object]:
    with session() as connection:
        return rows(connection, query)[0]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ended_by_a_signal_it_says_so_frees_the_branch_and_resumes(changed: Place, how: signal.Signals) -> None:
    with in_the_middle_of_a_batch(changed) as (run, holding):
        run.send_signal(how)
        out, err = run.communicate(timeout=30)
        assert run.returncode == 130, err
        assert "the run was interrupted: the batch at hand was undone" in err.lower()
        assert "Run the same command to go on" in err
        assert "Traceback" not in err + out
        assert rows(holding, BLOCKED) == [], "its query is cancelled"
        assert one("select count(*) from ingest.leases where holder is not null")["count"] == 0
        assert one("select count(*) from ingest.batches join ingest.activations using (activation_id) "
                   "where state = 'accepted'")["count"] == 1  # fmt: skip
        holding.execute("rollback")
    done = ingest(changed.name, run_id="resumed")
    assert (done.activation_id, done.state) == (2, "done")
    assert (done.inserted, done.updated, done.touched, done.unchanged, done.stale) == (2, 2, 1, 3, 1)


def test_another_run_is_refused_with_the_holders_name(changed: Place) -> None:
    with in_the_middle_of_a_batch(changed) as (run, holding):
        holder = one("select run_id, host from ingest.leases where holder is not null")
        other = start("run", changed.name)
        _, err = other.communicate(timeout=60)
        assert other.returncode == 3
        assert f"is held by run {holder['run_id']}" in err
        assert str(holder["host"]) in err
        holding.execute("rollback")
        out, err = run.communicate(timeout=60)
        assert run.returncode == 0, err
        assert "2 inserted, 2 updated" in out


def test_a_stopped_holder_that_wakes_up_writes_nothing(changed: Place) -> None:
    with in_the_middle_of_a_batch(changed, INGEST_LEASE_SECONDS="1") as (run, holding):
        run.send_signal(signal.SIGSTOP)
        time.sleep(1.5)
        holding.execute("rollback")
        other = start("run", changed.name)
        out, err = other.communicate(timeout=60)
        assert other.returncode == 0, err
        assert "took branch" in err
        assert "2 inserted, 2 updated" in out
        before = one("select md5(string_agg(i::text, '' order by item_id)) from core.items i")
        run.send_signal(signal.SIGCONT)
        _, err = run.communicate(timeout=60)
        assert run.returncode == 1
        assert "connection to Postgres was lost" in err or "another run took it over" in err
    assert one("select md5(string_agg(i::text, '' order by item_id)) from core.items i") == before
    assert one("select state from ingest.activations order by 1 desc")["state"] == "done"


def test_killed_outright_its_repetition_takes_over_at_once(changed: Place) -> None:
    with in_the_middle_of_a_batch(changed) as (run, holding):
        run.kill()
        run.communicate()
        assert one("select count(*) from ingest.leases where holder is not null")["count"] == 1
        holding.execute("rollback")
    again = start("run", changed.name)
    out, err = again.communicate(timeout=60)
    assert again.returncode == 0, err
    assert "2 inserted, 2 updated" in out


def test_one_id_goes_through_lines_sessions_and_rows(changed: Place) -> None:
    with in_the_middle_of_a_batch(changed, INGEST_LOG_FORMAT="json", INGEST_LOG_LEVEL="DEBUG") as (run, holding):
        held = str(one("select run_id from ingest.leases where holder is not null")["run_id"])
        assert [one["application_name"] for one in rows(holding, BLOCKED)] == [f"ingest/{held}"]
        holding.execute("rollback")
        _, err = run.communicate(timeout=60)
    assert run.returncode == 0, err
    assert one("select distinct run_id from ingest.batches where activation_id = 2")["run_id"] == held
    assert one("select claimed_by from ingest.activations where activation_id = 2")["claimed_by"] == held
