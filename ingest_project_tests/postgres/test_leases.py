"""Who holds a branch: refused, retried, expired, killed, released, kept alive."""

import os
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import psycopg
import pytest

from ingest_project.errors import Fenced, Locked
from ingest_project.postgres import leases
from ingest_project.postgres.connection import Connection, connect, session
from ingest_project.telemetry import correlation_id
from ingest_project_tests.postgres.conftest import take


def holder(connection: Connection) -> leases.Holder:
    (found,) = leases.held_leases(connection)
    return found


def test_a_free_branch_is_taken_and_says_by_whom(here: Connection, branch: int) -> None:
    lease = take(here, branch, "one", root="root")
    found = holder(here)
    assert (lease.epoch, lease.holder, lease.run_id) == (1, "root", "one")
    assert (found.branch_id, found.holder, found.run_id, found.epoch) == (branch, "root", "one", 1)
    assert (found.pid, found.host, found.expired) == (os.getpid(), leases.this_host(), False)
    assert found.is_this_process("one")
    assert not found.is_this_process("two")


def test_a_second_run_is_refused_and_told_who_holds_it_where_and_since_when(here: Connection, branch: int) -> None:
    take(here, branch, "first-run")
    found = holder(here)
    with pytest.raises(Locked) as caught:
        take(here, branch, "second-run")
    assert found.acquired_at
    said = str(caught.value)
    assert "first-run" in said
    assert f"{found.acquired_at:%Y-%m-%d %H:%M:%S} UTC" in said
    assert leases.this_host() in said
    assert str(os.getpid()) in said
    assert f"last seen {found.heartbeat_at:%Y-%m-%d %H:%M:%S} UTC" in said
    assert "`ingest status b`" in said
    assert caught.value.exit_code == 3
    assert holder(here) == found, "who is refused changes nothing"


def test_a_retry_of_the_same_root_run_takes_over_under_a_new_epoch(here: Connection, branch: int) -> None:
    first = take(here, branch, "attempt-1", root="root")
    second = take(here, branch, "attempt-2", root="root")
    assert (first.epoch, second.epoch) == (1, 2)
    assert holder(here).run_id == "attempt-2"


def test_the_same_process_enters_again_under_its_epoch(here: Connection, there: Connection, branch: int) -> None:
    assert take(here, branch, "one") == take(there, branch, "one")
    assert holder(here).epoch == 1


def test_the_same_run_in_another_process_is_a_new_epoch(here: Connection, branch: int) -> None:
    take(here, branch, "one")
    here.execute("update ingest.leases set process_started = process_started - 1")  # a pid that was used again
    assert take(here, branch, "one").epoch == 2


def test_an_expired_holder_is_taken_over(here: Connection, branch: int, lasting: Callable[[float], None]) -> None:
    lasting(0.2)
    old = take(here, branch, "old")
    time.sleep(0.3)
    assert holder(here).expired
    new = take(here, branch, "new")
    assert new.epoch == old.epoch + 1
    with pytest.raises(Fenced):
        leases.fence(here, old)


def test_a_killed_holder_is_taken_over_at_once(
    here: Connection, branch: int, stoppable: "subprocess.Popen[str]"
) -> None:
    assert not leases.process_is_gone(holder(here))
    stoppable.kill()
    stoppable.wait()
    assert leases.process_is_gone(holder(here))
    assert not holder(here).expired
    assert take(here, branch, "heir").epoch == 2


@pytest.mark.parametrize(
    ("change", "gone"),
    [
        ({}, False),
        ({"host": "elsewhere"}, False),
        ({"host": "elsewhere", "pid": 4_194_303}, False),
        ({"pid": None}, False),
        ({"pid": 4_194_303}, True),
        ({"process_started": 1.0}, True),
    ],
)
def test_only_a_process_of_this_machine_can_be_known_to_be_gone(
    here: Connection, branch: int, change: dict[str, object], gone: bool
) -> None:
    take(here, branch, "one")
    assert leases.process_is_gone(replace(holder(here), **change)) is gone


def test_a_holder_that_the_caller_knows_to_be_gone_is_taken_over(here: Connection, branch: int) -> None:
    take(here, branch, "one")
    asked: list[leases.Holder] = []
    lease = leases.acquire(
        here, branch, "b", holder="two", run_id="two", is_gone=lambda found: asked.append(found) is None
    )
    assert lease.epoch == 2
    assert [found.run_id for found in asked] == ["one"]


def test_release_frees_the_branch_and_the_next_epoch_is_a_new_one(here: Connection, branch: int) -> None:
    lease = take(here, branch, "one")
    leases.release(here, lease)
    assert leases.held_leases(here) == []
    assert take(here, branch, "two").epoch == 2


def test_release_after_a_take_over_leaves_the_other_run_its_branch(here: Connection, branch: int) -> None:
    old, new = take(here, branch, "one", root="root"), take(here, branch, "two", root="root")
    leases.release(here, old)
    assert holder(here).run_id == "two"
    leases.release(here, new)
    assert leases.held_leases(here) == []


def test_renewing_puts_the_end_off_for_the_holder_alone(here: Connection, branch: int) -> None:
    old = take(here, branch, "one", root="root")
    before = holder(here)
    assert leases.renew(here, old)
    after = holder(here)
    assert before.heartbeat_at
    assert after.heartbeat_at
    assert after.heartbeat_at > before.heartbeat_at
    assert after.acquired_at == before.acquired_at
    new = take(here, branch, "two", root="root")
    assert not leases.renew(here, old)
    leases.release(here, new)
    assert not leases.renew(here, new), "a released lease does not come back by its heartbeat"


def test_a_lease_that_is_kept_alive_does_not_expire(
    here: Connection, branch: int, lasting: Callable[[float], None]
) -> None:
    lasting(0.9)
    lease = take(here, branch, "one")
    with leases.kept_alive(lease):
        time.sleep(1.5)
        assert not holder(here).expired
        with pytest.raises(Locked):
            take(here, branch, "two")
    assert not [thread for thread in threading.enumerate() if thread.name == f"lease-{branch}"]
    time.sleep(1.1)
    assert holder(here).expired, "the heart beats no longer"


def test_the_heart_stops_when_another_run_has_the_branch(
    here: Connection, branch: int, lasting: Callable[[float], None]
) -> None:
    lasting(0.3)
    lease = take(here, branch, "one", root="root")
    with leases.kept_alive(lease):
        take(here, branch, "two", root="root")
        time.sleep(0.6)
        assert not [thread for thread in threading.enumerate() if thread.name == f"lease-{branch}"]
        assert holder(here).expired, "the old heart kept nothing of the new run alive"


def test_a_held_branch_is_free_again_when_the_block_ends(here: Connection, branch: int) -> None:
    with leases.held(here, branch, "b", run_id="one") as lease:
        assert (lease.holder, correlation_id(), holder(here).run_id) == ("one", "one", "one")
        with pytest.raises(Locked):
            take(here, branch, "two")
    assert leases.held_leases(here) == []
    with pytest.raises(ZeroDivisionError), leases.held(here, branch, "b", run_id="two"):
        raise ZeroDivisionError
    assert leases.held_leases(here) == []


def test_a_branch_whose_session_ended_is_left_to_expire(here: Connection, branch: int) -> None:
    with session() as ended, pytest.raises(ZeroDivisionError), leases.held(ended, branch, "b", run_id="one"):
        ended.close()
        raise ZeroDivisionError
    assert holder(here).run_id == "one"


@pytest.mark.parametrize("state", ["new", "released", "expired"])
def test_of_many_at_once_exactly_one_gets_the_branch(here: Connection, branch: int, state: str) -> None:
    if state != "new":
        leases.release(here, take(here, branch, "before"))
    if state == "expired":
        take(here, branch, "before")
        here.execute("update ingest.leases set expires_at = now() - interval '1 second'")
    start = threading.Barrier(16)

    def attempt(number: int) -> bool:
        with session() as connection:
            start.wait(timeout=60)
            try:
                take(connection, branch, f"run-{number}")
            except Locked:
                return False
            return True

    with ThreadPoolExecutor(16) as pool:
        assert sorted(pool.map(attempt, range(16))) == [False] * 15 + [True]


def test_the_lease_goes_back_where_its_transaction_does(branch: int) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero), connect() as connection, connection.transaction():
        take(connection, branch, "one")
        connection.execute("select 1 / 0")
    with session() as connection:
        assert leases.held_leases(connection) == []
