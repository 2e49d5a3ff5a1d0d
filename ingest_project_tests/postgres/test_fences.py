"""Nothing is written under an old epoch: holders are taken over, stopped in the middle, and come back."""

import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ingest_project.errors import Fenced, Locked
from ingest_project.postgres import leases
from ingest_project.postgres.connection import Connection, session
from ingest_project_tests.postgres.conftest import take


def written(connection: Connection) -> list[tuple[int, int]]:
    return connection.execute("select what, epoch from written order by 1, 2").fetchall()


def write(connection: Connection, lease: leases.Lease, what: int = 1) -> None:
    with leases.fenced(connection, lease):
        connection.execute("insert into written values (%s, %s)", (what, lease.epoch))


def test_after_a_take_over_nothing_more_is_written(here: Connection, there: Connection, branch: int) -> None:
    old = take(here, branch, "one", root="root")
    write(here, old)
    take(there, branch, "two", root="root")
    with pytest.raises(Fenced) as caught:
        write(here, old, 2)
    assert caught.value.where == {"branch": "b", "run": "one"}
    with pytest.raises(Fenced), here.transaction():
        here.execute("insert into written values (3, 1)")
        leases.fence(here, old)
    assert written(here) == [(1, 1)]


def test_a_fence_without_a_lease_row_lets_nothing_through(here: Connection, branch: int) -> None:
    with pytest.raises(Fenced):
        write(here, leases.Lease(branch, "b", "one", "one", 0))


def test_a_take_over_waits_for_the_batch_under_way(here: Connection, there: Connection, branch: int) -> None:
    old = take(here, branch, "one", root="root")
    with ThreadPoolExecutor() as pool:
        with leases.fenced(here, old):
            here.execute("insert into written values (1, %s)", (old.epoch,))
            taking = pool.submit(take, there, branch, "two", root="root")
            time.sleep(0.5)
            assert not taking.done()
        assert taking.result(timeout=5).epoch == 2
    assert written(there) == [(1, 1)], "the batch was under way before: it stands"


def test_other_branches_do_not_wait(here: Connection, there: Connection, branch: int) -> None:
    here.execute(
        """insert into ingest.branches (name, source_id, spec, spec_digest, priority)
           select 'c', source_id, '{}', '', 1 from ingest.sources"""
    )
    row = here.execute("select branch_id from ingest.branches where name = 'c'").fetchone()
    assert row
    with leases.fenced(here, take(here, branch, "one")), ThreadPoolExecutor() as pool:
        taking = pool.submit(leases.acquire, there, row[0], "c", holder="two", run_id="two")
        assert taking.result(timeout=5).epoch == 1


def test_writers_that_take_each_other_over_never_write_under_an_old_epoch(here: Connection, branch: int) -> None:
    ends = time.monotonic() + 2
    here.execute("create table writes (nth bigint generated always as identity, epoch bigint)")

    def fight(run: str) -> int:
        fenced_off = 0
        with session() as connection:
            while time.monotonic() < ends:
                lease = take(connection, branch, f"{run}-{time.monotonic_ns()}", root="root")
                for _ in range(7):
                    try:
                        with leases.fenced(connection, lease):
                            connection.execute("insert into writes (epoch) values (%s)", (lease.epoch,))
                            connection.execute("select pg_sleep(0.002)")
                            connection.execute("insert into writes (epoch) values (%s)", (lease.epoch,))
                    except Fenced:
                        fenced_off += 1
                        break
        return fenced_off

    with ThreadPoolExecutor(2) as pool:
        assert sum(pool.map(fight, ["one", "two"])) > 3
    row = here.execute(
        """select count(*), count(distinct epoch), count(*) filter (where epoch < before)
             from (select epoch, max(epoch) over (order by nth) as before from writes) w"""
    ).fetchone()
    assert row
    writes, epochs, late = row
    assert late == 0
    assert writes % 2 == 0
    assert epochs > 5


def test_a_stopped_holder_that_wakes_up_writes_nothing(
    here: Connection, branch: int, stoppable: "subprocess.Popen[str]"
) -> None:
    stoppable.send_signal(signal.SIGSTOP)
    here.execute("update ingest.leases set expires_at = now() - interval '1 second'")
    began = time.monotonic()
    lease = take(here, branch, "heir")
    assert 4.5 < time.monotonic() - began < 15
    assert lease.epoch == 2
    write(here, lease, 10)
    stoppable.send_signal(signal.SIGCONT)
    said, wrong = stoppable.communicate("\n", timeout=30)
    assert "written" not in said
    assert stoppable.returncode != 0, wrong
    assert written(here) == [(10, 2)]


def test_a_take_over_that_is_refused_ends_no_session(here: Connection, there: Connection, branch: int) -> None:
    with leases.fenced(here, take(here, branch, "one")):
        with pytest.raises(Locked):
            take(there, branch, "two")
        here.execute("insert into written values (1, 1)")
    assert written(there) == [(1, 1)]
