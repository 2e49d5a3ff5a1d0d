"""Promise 9: an activation, whole or half applied, is undone, unless later ones changed the same items."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest_project import failpoints
from ingest_project.branches import activations
from ingest_project.embeddings.ledger import derive_requests
from ingest_project.errors import ActivationClosed, ActivationUnknown, Fenced, Locked, RollbackRefused, UsageError
from ingest_project.failpoints import FailpointReached
from ingest_project.postgres import leases
from ingest_project.upsert import rollback
from ingest_project.upsert.changes import history_of
from ingest_project.upsert.items import apply_activation
from ingest_project_tests.upsert.making import Row, Source, item, parts_of
from ingest_project_tests.upsert.undoing import (
    SAID,
    asked,
    branch_of,
    done,
    live,
    looked,
    ops,
    rolled_back,
    target_of,
)

FIRST = [item(at, at=1) for at in range(5)]
SECOND = [
    *FIRST[:2],
    item(2, "Changed", at=2, phone="+4930123456"),
    item(3, at=2),  # touched
    item("new", at=2),
]
POINTS = ("rollback_begun", "rollback_kept", "rollback_written", "rollback_batch_committed", "rollback_committed")


def test_inserts_are_withdrawn_and_updates_restored_rank_and_all(source: Source) -> None:
    line = source.line()
    done(line, FIRST)
    before, requested = live(source), asked(source)
    second = done(line, SECOND)
    undone = rolled_back(line, second)
    after = live(source)
    assert set(after) == set(before)
    assert {key: row for key, row in after.items() if key != "3"} == {
        key: row for key, row in before.items() if key != "3"
    }
    assert after["3"]["activation_id"] == second, "a touch stands"
    assert asked(source) == requested
    assert (undone.renewed, undone.dropped) == (1, 1)
    told = undone.work.activation
    assert (told.kind, told.state, told.undoes) == ("rollback", "done", second)
    assert (told.valid, told.updated, told.stale, told.tombstoned) == (2, 2, 0, 1)
    assert target_of(line, second).state == "rolled_back"


def test_history_keeps_the_rollback_and_the_item_its_id(source: Source) -> None:
    line = source.line()
    done(line, FIRST)
    second = done(line, SECOND)
    number = rolled_back(line, second).work.activation.activation_id
    assert [ops(source, key) for key in (0, 2, 3, "new")] == ["i", "iuu", "i", "id"]
    branch = branch_of(line)
    last = history_of(source.connection, branch.source_id, "2")[-1]
    assert (last.version, last.activation, last.undoes) == (3, number, second)
    assert {one["field"]: (one["old"], one["new"]) for one in last.differences}["name"] == ("Changed", "Item 2")
    assert history_of(source.connection, branch.source_id, "new")[-1].op == "d"


def test_the_same_data_again_brings_it_back(source: Source) -> None:
    line = source.line()
    done(line, FIRST)
    second = done(line, SECOND)
    wanted, requested, ids = live(source, SAID), asked(source), source.items()
    rolled_back(line, second)
    done(line, SECOND)
    assert live(source, SAID) == wanted
    assert asked(source) == requested
    assert source.items()["new"]["item_id"] == ids["new"]["item_id"]
    assert ops(source, "new") == "idr"


def test_a_first_load_is_withdrawn_and_anybody_may_bring_the_keys_again(source: Source) -> None:
    high, low = source.line(5), source.line(1)
    first = done(high, [item(at, "High", at=9) for at in range(3)])
    rolled_back(high, first)
    assert live(source) == {}
    assert asked(source) == {}
    applied = low.ingest([item(0, "Low", at=None)])
    assert (applied.counts.updated, live(source)["0"]["name"]) == (1, "Low"), "the withdrawn row has no rank"


def test_a_withdrawn_item_is_brought_back_by_the_branch_that_had_it_without_times(source: Source) -> None:
    line = source.line(updated_at=None)
    rolled_back(line, done(line, [item(1, at=None)]))
    done(line, [item(1, at=None)])
    assert set(live(source)) == {"1"}


def test_tombstones_are_revived_and_revived_ones_deleted_again(source: Source) -> None:
    line = source.line(missing="tombstone")
    done(line, FIRST)
    before = live(source)
    second = done(line, FIRST[:3])
    back = done(line, FIRST)
    gone = source.items()
    undone = rolled_back(line, back)
    assert (set(live(source)), undone.dropped) == ({"0", "1", "2"}, 2)
    assert looked(line, second).tombstones == 2
    assert rolled_back(line, second).made == 2
    assert live(source) == before
    assert ops(source, 4) == "idrdr"
    assert source.items()["4"]["item_id"] == gone["4"]["item_id"]


def test_an_activation_that_changed_nothing_is_undone_as_well(source: Source) -> None:
    line = source.line()
    done(line, FIRST)
    before = source.physical()
    same = done(line, FIRST)
    assert rolled_back(line, same).work.activation.valid == 0
    assert (source.physical(), target_of(line, same).state) == (before, "rolled_back")


# ── refused ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_items_that_later_ones_changed_are_named_and_nothing_is_undone(source: Source) -> None:
    line, other = source.line(1), source.line(2)
    first = done(line, [item(at, at=1) for at in range(15)])
    later = done(other, [item(at, "Other", at=2) for at in range(12)])
    before = source.physical()
    with pytest.raises(RollbackRefused, match="12 of the 15 items") as caught:
        rolled_back(line, first)
    assert f"'0' (by activation {later})" in caught.value.what
    assert "and 2 more" in caught.value.what
    assert (source.physical(), target_of(line, first).state) == (before, "done")
    assert looked(line, first).conflicts == 12


def test_what_was_undone_itself_stands_in_no_ones_way(source: Source) -> None:
    line, other = source.line(1), source.line(2)
    first = done(line, FIRST)
    later = done(other, [item(0, "Other", at=2), item(1, at=2)])  # one updated, one touched
    rolled_back(other, later)
    rolled_back(line, first)
    assert live(source) == {}


def test_what_stands_below_a_touch_that_was_undone_still_counts(source: Source) -> None:
    line, other = source.line(1), source.line(2)
    first = done(line, FIRST)
    second = done(line, [item(0, "Second", at=2)])
    touched = done(other, [item(0, "Second", at=3)])
    rolled_back(other, touched)
    assert looked(line, first).changed_later == [("0", second)]


def test_a_rollback_that_has_not_ended_still_stands_in_the_way(source: Source, disarmed: None) -> None:
    line, other = source.line(1), source.line(2)
    first = done(line, FIRST)
    later = done(other, [item(0, "Other", at=2)])
    failpoints.arm("rollback_begun!")
    with pytest.raises(FailpointReached):
        rolled_back(other, later)
    failpoints.arm("")
    assert looked(line, first).changed_later == [("0", later)]


def test_past_the_history_that_is_kept_it_refuses_with_the_date(source: Source) -> None:
    line = source.line()
    first = done(line, FIRST)
    with source.connection.transaction(force_rollback=True):
        source.connection.execute("delete from core.item_versions where written_by_activation = %s", (first,))
        source.connection.execute(
            """insert into ingest.prunings (what, first_activation, last_activation, bytes, pruned_at)
               values ('history', %s, %s, 0, '2031-02-03')""",
            (first, first),
        )
        with pytest.raises(RollbackRefused, match=r"is not kept any more: it was pruned on 2031-02-03"):
            looked(line, first)


def test_what_cannot_be_undone_is_said(source: Source) -> None:
    line = source.line()
    first = done(line, FIRST)
    number = rolled_back(line, first).work.activation.activation_id
    with pytest.raises(ActivationClosed, match="rolled back already"):
        rolled_back(line, first)
    with pytest.raises(UsageError, match="is itself the rollback of"):
        rolled_back(line, number)
    open_one = line.work(1).activation.activation_id
    with pytest.raises(ActivationClosed, match="nothing of it is in core"):
        rolled_back(line, open_one)
    with pytest.raises(ActivationUnknown):
        rollback.branch_of(source.connection, 2**40)


def test_it_takes_the_lease_of_the_branch(source: Source) -> None:
    line = source.line()
    first = done(line, FIRST)
    branch = branch_of(line)
    held = {"holder": "other", "run_id": "other"}
    leases.acquire(source.connection, branch.branch_id, branch.name, **held, is_gone=lambda _: True)
    with pytest.raises(Locked):
        rolled_back(line, first)


# ── half applied, killed, resumed ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("state", ["accepted", "failed", "superseded"])
def test_half_of_an_activation_is_undone(source: Source, disarmed: None, state: str) -> None:
    line = source.line()
    done(line, FIRST)
    before, requested = live(source), asked(source)
    work = line.work(4)
    rows = [item(at, "Half", at=9) for at in range(3)] + [item("new")]
    failpoints.arm("batch_committed!:2")
    with pytest.raises(FailpointReached):
        apply_activation(work, parts_of(rows, 1))
    failpoints.arm("")
    source.connection.execute(
        "update ingest.activations set state = %s, closed_at = now() where activation_id = %s",
        (state, work.activation.activation_id),
    )
    assert live(source) != before
    rolled_back(line, work.activation.activation_id)
    assert (live(source), asked(source)) == (before, requested)
    with pytest.raises((ActivationClosed, Fenced)):
        apply_activation(work, parts_of(rows, 1))
    assert live(source) == before


@pytest.mark.parametrize("point", [*(f"{point}!" for point in POINTS), "rollback_written!:2", "requests_derived!"])
def test_killed_anywhere_the_same_command_ends_it(
    source: Source, disarmed: None, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    monkeypatch.setattr(rollback, "_AT_ONCE", 2)
    line = source.line()
    done(line, FIRST)
    before, requested = live(source), asked(source)
    second = done(line, [item(at, "Changed", at=9) for at in range(5)] + [item("new")])
    failpoints.arm(point)
    with pytest.raises(FailpointReached):
        rolled_back(line, second)
    failpoints.arm("")
    assert activations.find_open(source.connection, branch_of(line).branch_id) is None
    told = rolled_back(line, second).work.activation
    assert (told.valid, told.updated, told.tombstoned, told.state) == (6, 6, 1, "done")
    assert (live(source), asked(source)) == (before, requested)
    assert [ops(source, key) for key in (0, 4, "new")] == ["iuu", "iuu", "id"], "each once"


def test_what_another_branch_changes_meanwhile_stays(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    line, other = source.line(1), source.line(2)
    first = done(line, FIRST)

    def meanwhile(name: str) -> None:
        if name == "rollback_begun":
            monkeypatch.undo()
            done(other, [item(0, "Other", at=9)])

    monkeypatch.setattr(failpoints, "reach", meanwhile)
    told = rolled_back(line, first).work.activation
    assert (told.valid, told.updated, told.stale) == (5, 4, 1)
    assert {key: row["name"] for key, row in live(source).items()} == {"0": "Other"}


# ── whole histories ────────────────────────────────────────────────────────────────────────────────────────────


@st.composite
def rows(draw: st.DrawFn) -> list[Row]:
    names, times = st.sampled_from(("One", "Two")), st.sampled_from((None, 0, 1, 2))
    keys = draw(st.lists(st.sampled_from("abc"), unique=True, min_size=1))
    return [item(key, draw(names), at=draw(times)) for key in keys]


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 1), rows()), min_size=1, max_size=6))
def test_applied_and_rolled_back_is_as_before(any_source: Source, taken: list[tuple[int, list[Row]]]) -> None:
    source = Source(any_source.connection)
    lines = [source.line(priority) for priority in range(2)]
    states: list[dict[str, dict[str, Any]]] = []
    applied: list[tuple[int, int]] = []
    wanted: list[dict[str, Any]] = []
    for branch, carried in taken:
        states.append(live(source, SAID))
        wanted.append(asked(source))
        applied.append((branch, done(lines[branch], carried)))
    while applied:  # the newest before the others, each lands where it began; but for ranks, since touches stand
        branch, activation = applied.pop()
        rolled_back(lines[branch], activation)
        assert live(source, SAID) == states.pop()
        assert asked(source) == wanted.pop()
    assert all(row["deleted_at"] is not None for row in source.items().values())


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 1), rows()), min_size=1, max_size=5), st.data())
def test_it_is_refused_or_undoes_only_its_own(
    any_source: Source, taken: list[tuple[int, list[Row]]], data: st.DataObject
) -> None:
    source = Source(any_source.connection)
    lines = [source.line(priority) for priority in range(2)]
    applied = [(branch, done(lines[branch], carried)) for branch, carried in taken]
    branch, activation = data.draw(st.sampled_from(applied))
    before, owned = (
        live(source, SAID),
        {r["external_id"] for r in source.history() if r["written_by_activation"] == activation},
    )
    try:
        rolled_back(lines[branch], activation)
    except RollbackRefused:
        assert live(source, SAID) == before
        assert looked(lines[branch], activation).conflicts > 0
        return
    after = live(source, SAID)
    assert {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)} <= owned
    assert set(asked(source)) == set(after)


def test_the_next_ingest_works_on_what_the_rollback_left(source: Source, disarmed: None) -> None:
    line = source.line()
    done(line, FIRST)
    rolled_back(line, done(line, SECOND))
    work, applied = line.apply(FIRST)
    assert (applied.counts.updated, applied.counts.inserted) == (0, 0)
    assert derive_requests(work).requests == 0
