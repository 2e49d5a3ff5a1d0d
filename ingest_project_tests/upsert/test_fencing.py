"""Who may write a batch, once, and that a batch that fails anywhere has not happened (promises 1, 6 and 7)."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from ingest_project import failpoints
from ingest_project.branches.work import Work
from ingest_project.errors import ActivationClosed, Fenced, GateBlocked
from ingest_project.failpoints import FailpointReached
from ingest_project.postgres import leases
from ingest_project.postgres.connection import session
from ingest_project.upsert.batch import Batch
from ingest_project.upsert.counts import Counts
from ingest_project.upsert.items import apply_activation
from ingest_project.upsert.probe import Hits, probe
from ingest_project_tests.upsert.making import Part, Row, Source, item, parts_of

FIRST = [item(at, "First", at=0) for at in range(6)]
SECOND = [item(0, "First", at=0), item(1, "Changed", at=1), item(2, "First", at=1), item(9, "New", at=1)]
INSIDE_STAGED = ("batch_open", "batch_staged", "batch_locked", "batch_history", "batch_updated", "batch_inserted")
INSIDE_COPIED = ("batch_open", "batch_inserted", "batch_row")


def state(source: Source) -> tuple[Any, ...]:
    """All that a batch can write."""
    return source.items(), source.history(), source.batches(), source.physical()


def at_point(patch: pytest.MonkeyPatch, point: str, act: Callable[[], None]) -> None:
    """Do something the first time that the code gets to a point."""
    reached: list[str] = []

    def reach(name: str) -> None:
        if name == point and not reached:
            reached.append(name)
            act()

    patch.setattr(failpoints, "reach", reach)


def take_over(url: str, work: Work) -> None:
    """Another run takes the branch, as from a holder that is gone."""
    branch = work.branch
    with session(url) as other:
        leases.acquire(other, branch.branch_id, branch.name, holder="thief", run_id="thief", is_gone=lambda _: True)


@pytest.mark.parametrize("seeded", [True, False], ids=["staged", "copied straight in"])
def test_a_branch_taken_over_between_two_batches_is_not_written_again(
    source: Source, own_database: str, monkeypatch: pytest.MonkeyPatch, seeded: bool
) -> None:
    line = source.line()
    if seeded:
        line.ingest([item("other")])
    work = line.work(len(FIRST))
    left: list[tuple[Any, ...]] = []

    def meanwhile() -> None:
        take_over(own_database, work)
        left.append(state(source))

    at_point(monkeypatch, "batch_committed", meanwhile)
    with pytest.raises(Fenced):
        apply_activation(work, parts_of(FIRST, 2))
    assert state(source) == left[0]
    assert len([row for row in source.batches() if row["activation_id"] == work.activation.activation_id]) == 1


@pytest.mark.parametrize("point", ["probed", "all_batches"])
def test_a_branch_taken_over_outside_a_batch_goes_no_further(
    source: Source, own_database: str, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    work = source.line().work(len(FIRST))
    at_point(monkeypatch, point, lambda: take_over(own_database, work))
    with pytest.raises(Fenced):
        apply_activation(work, parts_of(FIRST))
    (told,) = source.rows(
        """select a.state from ingest.activations a join ingest.branches b using (branch_id)
             join ingest.sources s using (source_id) where s.name = %(source)s"""
    )
    assert told["state"] == "accepted"
    assert len(source.items()) == (6 if point == "all_batches" else 0)


def test_a_quiet_part_is_not_accounted_for_by_who_was_taken_over(
    source: Source, own_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = source.line()
    line.ingest(FIRST)
    work = line.work(len(FIRST))
    before = source.batches()
    at_point(monkeypatch, "probed", lambda: take_over(own_database, work))
    with pytest.raises(Fenced):
        apply_activation(work, parts_of(FIRST))
    assert source.batches() == before


def test_a_run_whose_branch_was_taken_over_and_given_back_is_fenced_still(source: Source, own_database: str) -> None:
    line = source.line()
    work = line.work(len(FIRST))
    take_over(own_database, work)
    with session(own_database) as other:
        branch = work.branch
        leases.acquire(other, branch.branch_id, branch.name, holder="run", run_id="run", is_gone=lambda _: True)
    with pytest.raises(Fenced):
        apply_activation(work, parts_of(FIRST))
    assert source.items() == {}


@pytest.mark.parametrize("rows", [FIRST, SECOND], ids=["unchanged", "changed"])
@pytest.mark.parametrize(
    ("closed", "error"),
    [
        ("blocked", GateBlocked),
        *((name, ActivationClosed) for name in ("refused", "failed", "superseded", "normalized", "snapshotted")),
    ],
)
def test_an_activation_that_is_not_accepted_writes_nothing(
    source: Source, rows: list[Row], closed: str, error: type[Exception]
) -> None:
    line = source.line()
    line.ingest(FIRST)
    before = state(source)
    with pytest.raises(error):
        apply_activation(line.work(len(rows), state=closed), parts_of(rows))
    assert state(source) == before


def test_an_activation_closed_between_two_batches_is_not_written_further(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = source.line().work(len(FIRST))
    close = "update ingest.activations set state = 'failed', closed_at = now() where activation_id = %s"
    values = (work.activation.activation_id,)
    at_point(monkeypatch, "batch_committed", lambda: work.connection.execute(close, values) and None)
    with pytest.raises(ActivationClosed):
        apply_activation(work, parts_of(FIRST, 2))
    assert (len(source.items()), len(source.batches())) == (2, 1)


def test_a_committed_activation_is_not_applied_again(source: Source) -> None:
    line = source.line()
    work, _ = line.apply(FIRST)
    source.connection.execute(
        "delete from core.items where source_id = %(source_id)s", {"source_id": work.branch.source_id}
    )
    parts = [Part(7, parts_of(FIRST)[0].table)]
    with pytest.raises(ActivationClosed):
        apply_activation(work, parts)
    assert source.items() == {}


@pytest.mark.parametrize("seeded", [True, False], ids=["staged", "copied straight in"])
def test_a_part_whose_batch_row_is_there_is_skipped(source: Source, seeded: bool) -> None:
    line = source.line()
    if seeded:
        line.ingest(FIRST)
    work = line.work(len(SECOND))
    (part,) = parts_of(SECOND)
    found = probe(work, [part])
    batch, hits = Batch(work, part), found.hits_of(part)
    write: Callable[[], Counts] = lambda: batch.apply(hits) if seeded else batch.copy_in(hits)  # noqa: E731
    assert write().valid == len(SECOND)
    before = state(source)
    assert write() == Counts()
    assert state(source) == before


@pytest.mark.parametrize("point", ["batch_committed", "batch_committed:2", "all_batches"])
def test_an_activation_resumed_between_batches_counts_every_row_once(
    source: Source, disarmed: None, point: str
) -> None:
    work = source.line().work(len(FIRST))
    name, _, nth = point.partition(":")
    failpoints.arm(f"{name}!{':' if nth else ''}{nth}")
    with pytest.raises(FailpointReached):
        apply_activation(work, parts_of(FIRST, 2))
    done = len(source.batches())
    failpoints.arm("")
    applied = apply_activation(work, parts_of(FIRST, 2))
    assert applied.batches_done_before == done
    assert applied.counts.inserted == len(FIRST) - 2 * done
    assert (applied.activation.valid, applied.activation.inserted) == (len(FIRST), len(FIRST))
    assert len(source.history()) == len(FIRST)


@pytest.mark.parametrize("point", [*INSIDE_STAGED, "batch_row"])
def test_a_staged_batch_that_fails_anywhere_leaves_no_trace(source: Source, disarmed: None, point: str) -> None:
    line = source.line()
    line.ingest(FIRST)
    before = state(source)
    _fails_then_succeeds(source, line.work(len(SECOND)), SECOND, point, before)
    assert len(source.history()) == len(FIRST) + 2


@pytest.mark.parametrize("point", INSIDE_COPIED)
def test_a_batch_copied_straight_in_that_fails_anywhere_leaves_no_trace(
    source: Source, disarmed: None, point: str
) -> None:
    _fails_then_succeeds(source, source.line().work(len(FIRST)), FIRST, point, state(source))
    assert len(source.history()) == len(FIRST)


def _fails_then_succeeds(source: Source, work: Work, rows: list[Row], point: str, before: tuple[Any, ...]) -> None:
    failpoints.arm(f"{point}!")
    with pytest.raises(FailpointReached):
        apply_activation(work, parts_of(rows))
    assert state(source) == before
    assert source.rows("select tablename from pg_tables where schemaname like 'pg_temp%%'") == []
    failpoints.arm("")
    counts = apply_activation(work, parts_of(rows)).counts
    assert counts.valid == len(rows)


def test_a_row_that_a_check_refuses_takes_its_whole_batch_with_it(source: Source) -> None:
    line = source.line()
    line.ingest(FIRST)
    before = state(source)
    bad = [*SECOND, item("bad", latitude=1.0, longitude=None)]
    with pytest.raises(psycopg.errors.CheckViolation):
        apply_activation(line.work(len(bad)), parts_of(bad))
    assert state(source) == before


@pytest.mark.parametrize("seeded", [True, False], ids=["staged", "copied straight in"])
def test_a_commit_whose_answer_is_lost_is_not_repeated(
    source: Source, own_database: str, monkeypatch: pytest.MonkeyPatch, seeded: bool
) -> None:
    line = source.line()
    if seeded:
        line.ingest([item("other")])
    with session(own_database) as lost:
        work = line.on(lost).work(len(FIRST))
        # The session ends right behind its COMMIT: what it committed is there, and it cannot say so.
        end = "select pg_terminate_backend(%s, 5000)"
        pid = lost.info.backend_pid
        at_point(monkeypatch, "batch_committed", lambda: source.connection.execute(end, (pid,)) and None)
        with pytest.raises(psycopg.OperationalError):
            apply_activation(work, parts_of(FIRST, 3))
    monkeypatch.undo()
    assert len([row for row in source.batches() if row["activation_id"] == work.activation.activation_id]) == 1
    again = Work(source.connection, work.lease, work.branch, work.activation)
    applied = apply_activation(again, parts_of(FIRST, 3))
    assert (applied.batches_done_before, applied.activation.inserted) == (1, len(FIRST))
    assert len(source.versions(0)) == 1


@pytest.mark.parametrize("code", ["40001", "40P01"])
def test_a_batch_that_postgres_undoes_is_tried_again_as_a_whole(
    source: Source, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    line = source.line()
    line.ingest(FIRST)
    work = line.work(len(SECOND))
    (part,) = parts_of(SECOND)
    hits: Hits = probe(work, [part]).hits[0]
    text = f"do $$ begin raise exception 'undone' using errcode = '{code}'; end $$"
    at_point(monkeypatch, "batch_inserted", lambda: work.connection.execute(text) and None)
    counts = Batch(work, part).apply(hits)
    assert counts == Counts(valid=4, inserted=1, updated=1, touched=1, unchanged=1)
    assert [version["version"] for version in source.versions(1)] == [1, 2]
