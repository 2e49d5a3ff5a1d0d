"""`select ingest.activate('branch')`: what anybody who may call it gets, however many call at once."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from ingest_project.branches import activations
from ingest_project.branches.registry import Branch
from ingest_project.postgres.connection import Connection, session
from ingest_project_tests.branches.conftest import applied, one

ACTIVATE = "select ingest.activate(%s)"


@pytest.fixture
def activator(superuser: None, connection: Connection) -> Iterator[str]:
    """A role that may do nothing but activate; it goes when the session's work is undone."""
    role = f"activator_{uuid4().hex[:8]}"
    for statement in (
        "create role {}",
        "grant usage on schema ingest to {}",
        "grant execute on function ingest.activate(text) to {}",
    ):
        connection.execute(sql.SQL(statement).format(sql.Identifier(role)))
    return role


def test_an_unknown_branch_is_said_with_what_to_do(connection: Connection) -> None:
    with pytest.raises(psycopg.errors.NoDataFound) as caught, connection.transaction():
        connection.execute(ACTIVATE, ("it's unknown",))
    assert caught.value.diag.message_primary == "no branch 'it''s unknown' is registered"
    assert caught.value.diag.message_hint == "Register it with: ingest branch apply FILE"


def test_a_retired_branch_is_said_with_what_to_do(connection: Connection, branch: Branch) -> None:
    connection.execute("update ingest.branches set state = 'retired'")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as caught, connection.transaction():
        connection.execute(ACTIVATE, (branch.name,))
    assert caught.value.diag.message_hint == "Apply its file again to make it active."
    assert activations.find_open(connection, branch.branch_id) is None


def test_it_makes_a_requested_one_that_nobody_has_claimed(connection: Connection, branch: Branch) -> None:
    made = one(connection, ACTIVATE, "b")
    found = activations.get(connection, branch.branch_id, made)
    assert (found.state, found.kind, found.claimed_by, found.plan_only) == ("requested", "ingest", None, False)
    assert found.requested_by == connection.info.user


@pytest.mark.parametrize("state", ["requested", "pinned", "snapshotted", "accepted", "committed"])
def test_again_it_gives_the_open_one(connection: Connection, branch: Branch, state: str) -> None:
    made = one(connection, ACTIVATE, "b")
    put(connection, made, state)
    assert one(connection, ACTIVATE, "b") == made
    assert activations.get(connection, branch.branch_id, made).state == state


@pytest.mark.parametrize("state", ["blocked", "done", "refused", "failed", "superseded", "rolled_back"])
def test_after_the_end_of_one_it_makes_another(connection: Connection, branch: Branch, state: str) -> None:
    made = one(connection, ACTIVATE, "b")
    put(connection, made, state)
    assert one(connection, ACTIVATE, "b") > made
    assert activations.get(connection, branch.branch_id, made).state == state


@pytest.mark.parametrize(
    ("state", "then"), [("planned", "accepted"), ("accepted", "accepted"), ("snapshotted", "snapshotted")]
)
def test_what_a_dry_run_made_is_let_through(connection: Connection, branch: Branch, state: str, then: str) -> None:
    dry = activations.create(connection, branch.branch_id, holder="dry", plan_only=True)
    put(connection, dry.activation_id, state)
    assert one(connection, ACTIVATE, "b") == dry.activation_id
    found = activations.get(connection, branch.branch_id, dry.activation_id)
    assert (found.state, found.plan_only) == (then, False)


def test_branches_do_not_share_activations(connection: Connection, branch: Branch) -> None:
    applied(connection, name="c", priority=1)
    assert one(connection, ACTIVATE, "b") != one(connection, ACTIVATE, "c")


def test_there_is_one_open_activation_of_a_branch(connection: Connection, branch: Branch) -> None:
    one(connection, ACTIVATE, "b")
    with pytest.raises(psycopg.errors.UniqueViolation) as caught, connection.transaction():
        connection.execute("insert into ingest.activations (branch_id) values (%s)", (branch.branch_id,))
    assert caught.value.diag.constraint_name == "one_open_activation_per_branch"


def test_many_at_once_get_the_same_one(fresh_database: str) -> None:
    with session() as connection:
        applied(connection)
    start = threading.Barrier(10)

    def activate(number: int) -> int:
        with session() as connection:
            start.wait(timeout=60)
            return one(connection, ACTIVATE, "b")

    with ThreadPoolExecutor(10) as pool:
        assert set(pool.map(activate, range(10))) == {1}
    with session() as connection:
        assert one(connection, "select count(*) from ingest.activations") == 1


def test_a_run_that_makes_one_in_the_same_moment_gets_the_same_one(fresh_database: str) -> None:
    with session() as here, session() as there, ThreadPoolExecutor() as pool:
        branch_id = applied(here).branch_id
        with here.transaction():
            made = activations.create(here, branch_id, holder="run", plan_only=False)
            asking = pool.submit(one, there, ACTIVATE, "b")
            waits(made.activation_id, asking.done())
        assert asking.result(timeout=10) == made.activation_id
        activations.close(here, made, "failed", activations.Fenced())
        with there.transaction():
            asked = one(there, ACTIVATE, "b")
            making = pool.submit(activations.create, here, branch_id, holder="run", plan_only=False)
            waits(asked, making.done())
        found = making.result(timeout=10)
        assert (found.activation_id, found.claimed_by, found.state) == (asked, "run", "requested")


def waits(made: int, done: bool) -> None:
    """Let the other session come to wait for ours."""
    assert made
    assert not done
    with session() as watcher:
        query = "select exists (select from pg_stat_activity where datname = current_database() and wait_event = %s)"
        for _ in range(200):
            if one(watcher, query, "transactionid"):
                return
    raise AssertionError("it did not wait")


def test_who_may_only_activate_does_that_and_nothing_else(
    connection: Connection, branch: Branch, activator: str
) -> None:
    connection.execute(sql.SQL("set local role {}").format(sql.Identifier(activator)))
    assert one(connection, ACTIVATE, "b")
    for statement in (
        "select * from ingest.activations",
        "insert into ingest.activations (branch_id) values (1)",
        "update ingest.branches set state = 'retired'",
        "select ingest.ensure_partitions(1)",
        "select * from core.items",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
            connection.execute(statement)


def test_who_was_not_granted_it_may_not_activate(connection: Connection, branch: Branch, activator: str) -> None:
    connection.execute(
        sql.SQL("revoke execute on function ingest.activate(text) from {}").format(sql.Identifier(activator))
    )
    connection.execute(sql.SQL("set local role {}").format(sql.Identifier(activator)))
    with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
        connection.execute(ACTIVATE, ("b",))


def test_a_table_of_the_caller_does_not_stand_in_for_ours(
    connection: Connection, branch: Branch, activator: str
) -> None:
    connection.execute(sql.SQL("set local role {}").format(sql.Identifier(activator)))
    connection.execute("create temp table branches (branch_id int, name text, state text)")
    connection.execute("create function pg_temp.format(text, text) returns text return 1/0")
    connection.execute("set local search_path = pg_temp, pg_catalog")
    assert one(connection, "select ingest.activate('b')")


def put(connection: Connection, activation_id: int, state: str) -> None:
    """Bring an activation to a state, with all that this state must have."""
    connection.execute(
        """update ingest.activations
              set state = %(state)s, plan_only = plan_only or %(state)s = 'planned', pin = '{}', spec = '{}',
                  pinned_at = now(), snapshotted_at = now(), normalized_at = now(), accepted_at = now(),
                  committed_at = case when %(state)s in ('committed', 'done') then now() end,
                  done_at = case when %(state)s = 'done' then now() end, closed_at = now(), requests = 0,
                  rows_read = 0, rejected = 0, valid = 0, inserted = 0, updated = 0, touched = 0, unchanged = 0,
                  stale = 0
            where activation_id = %(activation_id)s""",
        {"activation_id": activation_id, "state": state},
    )
