"""A saved plan is applied exactly, or refused because something moved, saying what."""

from typing import Any

import pytest

from ingest_project import failpoints
from ingest_project.branches import activations, registry
from ingest_project.branches.work import Work
from ingest_project.errors import ActivationClosed, ActivationUnknown, PlanMoved, UsageError
from ingest_project.failpoints import FailpointReached
from ingest_project.upsert import saved_plan
from ingest_project.upsert.items import ApplyResult, apply_activation
from ingest_project.upsert.plan import plan_activation
from ingest_project_tests.upsert.making import Line, Row, Source, item, parts_of

LIVE = [item(at, at=5) for at in range(6)]
NEXT = [item(0, "Changed", at=6), item(1, at=6), item(2, "Older", at=4), item("new"), *LIVE[3:5]]
COUNTS = ("inserted", "updated", "touched", "unchanged", "stale", "missing")


def saved(line: Line, rows: list[Row] = NEXT, **given: Any) -> Work:
    """A planned activation whose plan is saved."""
    work = line.work(len(rows))
    line.connection.execute(
        "update ingest.activations set plan_only = true where activation_id = %s", (work.activation.activation_id,)
    )
    plan = plan_activation(work, parts_of(rows, 2), save=True, **given)
    kept = activations.record_plan(line.connection, work.activation, plan.to_json())
    assert kept.state == "planned"
    return work.on(kept)


def applied(work: Work, rows: list[Row] = NEXT) -> ApplyResult:
    """Apply the plan as a run does."""
    claimed = activations.claim(work.connection, work.activation, holder="run", plan_only=True)
    return apply_activation(work.on(claimed), parts_of(rows, 2), as_planned=True)


def state_of(work: Work) -> str:
    return activations.get(work.connection, work.branch.branch_id, work.activation.activation_id).state


def test_what_was_planned_is_what_is_applied(source: Source) -> None:
    line = source.line()
    line.ingest(LIVE)
    work = saved(line)
    plan = work.activation.plan or {}
    done = applied(work).activation
    assert [getattr(done, name) for name in COUNTS] == [plan[name] for name in COUNTS] == [1, 1, 1, 2, 1, 1]
    assert (done.state, done.plan_only) == ("committed", False)


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ([item(0, "Theirs", at=5)], "rows that the plan would touch"),
        ([item(4, at=9)], "rows that the plan would touch"),  # touched: its rank is another
        ([item("new", "Theirs")], "rows that the plan would touch"),
        ([item(5, "Theirs", at=6)], "items of the branch that the plan does not carry"),
    ],
    ids=["changed", "touched", "made", "taken over"],
)
def test_live_rows_that_moved_are_refused_and_nothing_is_written(source: Source, rows: list[Row], what: str) -> None:
    line, other = source.line(1), source.line(2)
    line.ingest(LIVE)
    work = saved(line)
    other.ingest(rows)
    before = source.physical()
    with pytest.raises(PlanMoved, match=what):
        applied(work)
    assert source.physical() == before
    found = activations.get(work.connection, work.branch.branch_id, work.activation.activation_id)
    assert found.plan_only, "and nobody ingests it for that"


def test_rows_that_it_has_nothing_to_do_with_may_move(source: Source) -> None:
    line, other = source.line(1), source.line(2)
    line.ingest(LIVE)
    work = saved(line)
    other.ingest([item("elsewhere")])
    assert applied(work).counts.changed == 3


def test_a_plan_for_an_empty_source(source: Source) -> None:
    line, other = source.line(1), source.line(2)
    work = saved(line, LIVE)
    assert applied(work, LIVE).counts.inserted == 6
    work = saved(other, LIVE)
    plan = {"saved": {"live": saved_plan.NO_LIVE_ROWS}}
    with pytest.raises(PlanMoved):
        applied(work.on(activations.record_plan(line.connection, work.activation, plan)), LIVE)


@pytest.mark.parametrize("first", [LIVE, []], ids=["live rows", "a source without any"])
def test_what_moves_while_it_is_applied_undoes_the_part(
    source: Source, monkeypatch: pytest.MonkeyPatch, first: list[Row]
) -> None:
    line, other = source.line(1), source.line(2)
    if first:
        line.ingest(first)
    work = saved(line)

    def meanwhile(name: str) -> None:
        if name == "probed":
            monkeypatch.undo()
            other.ingest([item("new", "Theirs", at=9)])

    monkeypatch.setattr(failpoints, "reach", meanwhile)
    with pytest.raises(PlanMoved, match="the part at hand was undone") as caught:
        applied(work)
    assert f"ingest rollback {work.activation.activation_id}" in caught.value.todo
    assert source.items()["new"]["name"] == "Theirs"


def test_killed_half_way_it_goes_on(source: Source, disarmed: None) -> None:
    line = source.line()
    line.ingest(LIVE)
    work = saved(line)
    failpoints.arm("batch_committed!")
    with pytest.raises(FailpointReached):
        applied(work)
    failpoints.arm("")
    assert saved_plan.find_saved_plan(source.connection, work.branch, work.activation.activation_id).state == "accepted"
    done = applied(work).activation
    assert [getattr(done, name) for name in COUNTS] == [1, 1, 1, 2, 1, 1]


def test_another_dry_run_does_not_take_the_saved_plan_away(source: Source) -> None:
    line = source.line()
    line.ingest(LIVE)
    work = saved(line)
    again = activations.record_plan(source.connection, work.activation, plan_activation(work, parts_of(NEXT)).to_json())
    assert saved_plan.saved_plan_of(again) == saved_plan.saved_plan_of(work.activation)


def test_what_cannot_be_applied_is_said(source: Source) -> None:
    line = source.line()
    line.ingest(LIVE)
    work = line.work(1)
    branch, number = work.branch, work.activation.activation_id
    with pytest.raises(UsageError, match="has no saved plan"):
        saved_plan.find_saved_plan(source.connection, branch, number)
    with pytest.raises(ActivationUnknown):
        saved_plan.find_saved_plan(source.connection, branch, 2**40)
    work = saved(line)
    number = work.activation.activation_id
    applied(work)
    with pytest.raises(ActivationClosed, match="is committed"):
        saved_plan.find_saved_plan(source.connection, branch, number)


def test_a_spec_that_changed_is_refused(source: Source) -> None:
    line = source.line()
    work = saved(line, LIVE)
    branch = registry.get_branch(source.line(country="DE").connection, line.name)
    with pytest.raises(PlanMoved, match="the branch file was changed"):
        saved_plan.find_saved_plan(source.connection, branch, work.activation.activation_id)
    assert state_of(work) == "planned"
