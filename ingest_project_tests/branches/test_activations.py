"""Activations on their way: each step from the state it starts from, and from no other."""

from collections.abc import Callable

import pytest

from ingest_project.branches import activations
from ingest_project.branches.activations import OPEN, Activation
from ingest_project.branches.registry import Branch
from ingest_project.errors import ActivationClosed, ActivationUnknown, Fenced, GateBlocked, SourceMissing
from ingest_project.postgres.connection import Connection
from ingest_project_tests.branches.conftest import one, spec

Step = Callable[[Connection, Activation], Activation]
WHY = SourceMissing("there is nothing", where={"location": "/x", "size": 7}, todo="Put it there.")


def claimed(connection: Connection, found: Activation) -> Activation:
    return activations.claim(connection, found, holder="run", plan_only=False)


def pinned(connection: Connection, found: Activation) -> Activation:
    return activations.pin(connection, found, spec(), {"files": ["/x.csv"]})


def snapshotted(connection: Connection, found: Activation) -> Activation:
    return activations.end_snapshot(connection, found, {"files": ["/x.csv"], "sealed": True}, 10)


def normalized(connection: Connection, found: Activation, blocked: GateBlocked | None = None) -> Activation:
    return activations.end_normalization(
        connection, found, rows_read=10, rejected=3, valid=7, normalizer_version="1", blocked=blocked
    )


def blocked(connection: Connection, found: Activation) -> Activation:
    return normalized(connection, found, GateBlocked("30 % rejects"))


def planned(connection: Connection, found: Activation) -> Activation:
    return activations.record_plan(connection, found, {"new": 7})


def committed(connection: Connection, found: Activation) -> Activation:
    connection.execute(
        """insert into ingest.batches (activation_id, part, valid, inserted, updated, touched, unchanged, stale,
                                       epoch, run_id)
           values (%(id)s, 0, 4, 3, 1, 0, 0, 0, 1, 'r'), (%(id)s, 1, 3, 0, 0, 1, 1, 1, 1, 'r')""",
        {"id": found.activation_id},
    )
    return activations.commit(connection, found, missing=2)


def done(connection: Connection, found: Activation) -> Activation:
    return activations.finish(connection, found, requests=4)


WAY: dict[str, Step] = {
    "pinned": pinned,
    "snapshotted": snapshotted,
    "accepted": normalized,
    "committed": committed,
    "done": done,
}


def brought_to(connection: Connection, branch: Branch, state: str, *, plan_only: bool = False) -> Activation:
    """A new activation of the branch, gone by its own steps to this state."""
    found = activations.create(connection, branch.branch_id, holder="run", plan_only=plan_only)
    if state in ("refused", "failed", "superseded"):
        closed = activations.close(connection, found, state, WHY)  # pyright: ignore[reportArgumentType]
        assert closed
        return closed
    if state == "planned":
        return planned(connection, brought_on(connection, found, "accepted"))
    if state == "blocked":
        return blocked(connection, brought_on(connection, found, "snapshotted"))
    return brought_on(connection, found, state)


def brought_on(connection: Connection, found: Activation, state: str) -> Activation:
    for step in WAY.values():
        if found.state == state:
            return found
        found = step(connection, found)
    assert found.state == state
    return found


def test_the_whole_way_is_counted_and_timed(connection: Connection, branch: Branch) -> None:
    found = brought_to(connection, branch, "done")
    assert (found.state, found.claimed_by, found.plan_only, found.is_open) == ("done", "run", False, False)
    assert (found.rows_read, found.rejected, found.valid) == (10, 3, 7)
    assert (found.inserted, found.updated, found.touched, found.unchanged, found.stale) == (3, 1, 1, 1, 1)
    assert (found.missing, found.requests, found.normalizer_version) == (2, 4, "1")
    assert found.pin == {"files": ["/x.csv"], "sealed": True}
    assert found.pinned_spec() == spec()
    assert None not in (found.pinned_at, found.snapshotted_at, found.normalized_at, found.accepted_at)
    assert None not in (found.committed_at, found.done_at)
    assert found.closed_at is None


@pytest.mark.parametrize("state", ["requested", *WAY, "planned"])
def test_an_activation_of_each_state_is_found(connection: Connection, branch: Branch, state: str) -> None:
    found = brought_to(connection, branch, state, plan_only=state == "planned")
    assert found.state == state
    assert activations.get(connection, branch.branch_id, found.activation_id) == found
    assert activations.find_open(connection, branch.branch_id) == (found if state in OPEN else None)
    assert found.is_open is (state in OPEN)
    assert activations.newest(connection, branch.branch_id) == [found]


STARTS: list[tuple[Step, set[str]]] = [
    (claimed, {"requested", "pinned", "snapshotted", "accepted", "planned", "committed"}),
    (pinned, {"requested"}),
    (snapshotted, {"pinned"}),
    (normalized, {"snapshotted"}),
    (blocked, {"snapshotted"}),
    (planned, {"accepted", "planned", "committed", "done"}),
    (committed, {"accepted"}),
    (done, {"committed", "done"}),
]
STATES = ["requested", *WAY, "planned", "blocked", "refused", "failed", "superseded"]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(("step", "starts"), STARTS, ids=[step.__name__ for step, _ in STARTS])
def test_a_step_starts_from_its_own_state_and_is_fenced_off_from_any_other(
    connection: Connection, branch: Branch, step: Step, starts: set[str], state: str
) -> None:
    found = brought_to(connection, branch, state, plan_only=state == "planned")
    if state in starts:
        assert step(connection, found).activation_id == found.activation_id
        return
    connection.execute("delete from ingest.batches")
    with pytest.raises(Fenced, match="moved on by another run"):
        step(connection, found)
    assert activations.get(connection, branch.branch_id, found.activation_id) == found


def test_a_real_run_lets_a_planned_one_through_and_a_dry_run_does_not(connection: Connection, branch: Branch) -> None:
    found = brought_to(connection, branch, "planned", plan_only=True)
    again = activations.claim(connection, found, holder="dry", plan_only=True)
    assert (again.state, again.plan_only) == ("accepted", True)
    again = planned(connection, again)
    assert (again.state, again.plan) == ("planned", {"new": 7, "saved": None})
    real = activations.claim(connection, again, holder="real", plan_only=False)
    assert (real.state, real.plan_only, real.claimed_by) == ("accepted", False, "real")
    assert planned(connection, real).state == "accepted", "somebody asked for it to be ingested"


def test_a_dry_run_does_not_hold_back_what_was_asked_for(connection: Connection, branch: Branch) -> None:
    found = activations.create(connection, branch.branch_id, holder="real", plan_only=False)
    assert not activations.claim(connection, found, holder="dry", plan_only=True).plan_only


def test_claiming_forgets_the_last_error(connection: Connection, branch: Branch) -> None:
    found = brought_to(connection, branch, "pinned")
    activations.note_error(connection, found, WHY)
    noted = activations.get(connection, branch.branch_id, found.activation_id)
    where = {"location": "/x", "size": "7"}
    assert noted.error == {
        "code": "SourceMissing",
        "what": "there is nothing",
        "where": where,
        "todo": "Put it there.",
    }
    assert noted.state == "pinned"
    assert claimed(connection, noted).error is None


def test_a_blocked_one_says_which_limit_and_is_not_open(connection: Connection, branch: Branch) -> None:
    found = brought_to(connection, branch, "blocked")
    assert found.error
    assert (found.error["code"], found.error["what"]) == ("GateBlocked", "30 % rejects")
    assert (found.accepted_at, found.is_open) == (None, False)
    assert activations.create(connection, branch.branch_id, holder="next", plan_only=False).state == "requested"


def test_committing_supersedes_what_is_older_and_not_ended(connection: Connection, branch: Branch) -> None:
    held_back = brought_to(connection, branch, "blocked")
    finished = brought_to(connection, branch, "done")
    refused = brought_to(connection, branch, "refused")
    newest = brought_to(connection, branch, "committed")
    found = [activations.get(connection, branch.branch_id, a.activation_id) for a in (held_back, finished, refused)]
    assert [a.state for a in found] == ["superseded", "done", "refused"]
    assert found[0].closed_at
    assert activations.find_open(connection, branch.branch_id) == newest


@pytest.mark.parametrize("state", ["committed", "done"])
def test_what_is_committed_cannot_be_closed(connection: Connection, branch: Branch, state: str) -> None:
    found = brought_to(connection, branch, state)
    assert activations.close(connection, found, "failed", WHY) is None
    assert activations.get(connection, branch.branch_id, found.activation_id) == found


@pytest.mark.parametrize("state", ["requested", "pinned", "snapshotted", "accepted"])
def test_what_is_not_committed_can_be_closed_and_says_why(connection: Connection, branch: Branch, state: str) -> None:
    closed = activations.close(connection, brought_to(connection, branch, state), "refused", WHY)
    assert closed
    assert closed.error
    assert (closed.state, closed.error["code"], closed.closed_at is None) == ("refused", "SourceMissing", False)


def test_a_repaired_one_is_finished_again_and_counts_on(connection: Connection, branch: Branch) -> None:
    found = brought_to(connection, branch, "done")
    activations.reopen_repaired(connection, found)
    again = activations.find_open(connection, branch.branch_id)
    assert again
    assert (again.activation_id, again.state) == (found.activation_id, "committed")
    finished = activations.finish(connection, again, requests=3)
    assert (finished.state, finished.requests, finished.done_at) == ("done", 7, found.done_at)


@pytest.mark.parametrize("state", ["accepted", "blocked", "failed"])
def test_only_a_done_one_is_reopened(connection: Connection, branch: Branch, state: str) -> None:
    found = brought_to(connection, branch, state)
    activations.reopen_repaired(connection, found)
    assert activations.get(connection, branch.branch_id, found.activation_id) == found


def test_a_done_one_is_not_reopened_beside_an_open_one(connection: Connection, branch: Branch) -> None:
    found = brought_to(connection, branch, "done")
    brought_to(connection, branch, "pinned")
    activations.reopen_repaired(connection, found)
    assert activations.get(connection, branch.branch_id, found.activation_id).state == "done"


def test_a_step_takes_its_runs_own_or_the_newest_that_is_ready(connection: Connection, branch: Branch) -> None:
    def ready(holder: str, states: set[str], wanted: int | None = None) -> int:
        chosen = activations.select_ready(
            connection, branch.branch_id, holder=holder, states=frozenset(states), wanted=wanted
        )
        return chosen.activation_id

    with pytest.raises(ActivationUnknown, match="ready"):
        ready("run", {"accepted"})
    first = brought_to(connection, branch, "done").activation_id
    second = brought_to(connection, branch, "done").activation_id
    connection.execute("update ingest.activations set claimed_by = 'old' where activation_id = %s", (first,))
    third = brought_to(connection, branch, "pinned").activation_id
    assert ready("old", {"done", "accepted"}) == first
    assert ready("somebody", {"done", "accepted"}) == second
    assert ready("run", {"done", "pinned"}) == third
    assert ready("run", {"done"}) == second, "its own is not ready"
    assert ready("run", {"done"}, wanted=first) == first
    with pytest.raises(ActivationClosed, match=f"activation {third} is pinned; this step takes accepted, done"):
        ready("run", {"done", "accepted"}, wanted=third)
    with pytest.raises(ActivationUnknown, match="999999"):
        ready("run", {"done"}, wanted=999_999)


def test_an_activation_of_another_branch_is_none_of_this_one(connection: Connection, branch: Branch) -> None:
    found = brought_to(connection, branch, "done")
    assert activations.find(connection, branch.branch_id + 1, found.activation_id) is None
    assert activations.newest(connection, branch.branch_id + 1) == []


def test_the_newest_come_first_and_no_more_than_asked_for(connection: Connection, branch: Branch) -> None:
    made = [brought_to(connection, branch, "done").activation_id for _ in range(4)]
    newest = activations.newest(connection, branch.branch_id, 3)
    assert [a.activation_id for a in newest] == sorted(made, reverse=True)[:3]


def test_what_is_in_core_is_known_by_its_batches(connection: Connection, branch: Branch) -> None:
    found = brought_to(connection, branch, "accepted")
    assert not activations.has_batches(connection, found)
    committed(connection, found)
    assert activations.has_batches(connection, found)
    mine = f"select sum(valid) from ingest.batches where activation_id = {found.activation_id}"
    assert one(connection, mine) == found.valid
