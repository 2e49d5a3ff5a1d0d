"""Several writers of one activation: the same tables as one writes, and no writer outlives the first error."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from ingest_project import failpoints
from ingest_project.branches.work import Work
from ingest_project.errors import DatabaseUnreachable, Fenced
from ingest_project.postgres import leases
from ingest_project.postgres.connection import Connection, session
from ingest_project.settings import settings
from ingest_project.telemetry import Progress, listening
from ingest_project.upsert import parallel
from ingest_project.upsert.items import apply_activation
from ingest_project_tests.upsert.making import Row, Source, item, parts_of
from ingest_project_tests.upsert.meeting import PATIENCE

SIZE = 5
FIRST = [item(f"{at:03}", "First", at=0) for at in range(40)]
SECOND = [
    *(item(f"{at:03}", "First", at=0) for at in range(10)),  # unchanged
    *(item(f"{at:03}", "Changed", at=1) for at in range(10, 30)),
    *(item(f"{at:03}", "First", at=1) for at in range(30, 35)),  # touched
    *(item(f"{at:03}", "New", at=1) for at in range(100, 112)),
]
STATES = pytest.mark.parametrize("states", [[FIRST], [FIRST, SECOND]], ids=["first load", "change"])


@pytest.fixture(autouse=True)
def _three_writers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    writers(monkeypatch, 3)
    yield
    monkeypatch.undo()
    settings.cache_clear()


def writers(patch: pytest.MonkeyPatch, count: int) -> None:
    patch.setenv("INGEST_WRITERS", str(count))
    settings.cache_clear()


def said(source: Source) -> tuple[Any, ...]:
    """What a source holds, by natural keys."""
    items = {
        key: (row["name"], row["version"], row["source_updated_at"], row["part"]) for key, row in source.items().items()
    }
    history = [
        (row["external_id"], row["version"], row["op"], row["old"] and row["old"]["name"]) for row in source.history()
    ]
    counts = ("part", "valid", "inserted", "updated", "touched", "unchanged", "stale")
    return items, history, [tuple(row[name] for name in counts) for row in source.batches()]


def straight(connection: Connection, states: list[list[Row]], patch: pytest.MonkeyPatch) -> tuple[Any, ...]:
    """The same states by one writer, into a source of its own."""
    writers(patch, 1)
    alone = Source(connection)
    for rows in states:
        alone.line().ingest(rows, SIZE)
    writers(patch, 3)
    return said(alone)


def ours(url: str) -> set[int]:
    """Sessions of our processes in this database."""
    with session(url) as watching:
        found = watching.execute(
            """select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
                  and backend_type = 'client backend'"""
        ).fetchall()
    return {pid for (pid,) in found}


def no_writer_is_left(url: str, before: set[int]) -> bool:
    """No thread, and no session but those that were there before; Postgres may need a moment to see a socket close."""
    for _ in range(200):
        if not ours(url) - before and not [one for one in threading.enumerate() if one.name.startswith("writer")]:
            return True
        threading.Event().wait(0.05)
    return False


class Together:
    """Stands in for failpoints.reach: the first writers to come to a point wait there for each other."""

    def __init__(
        self, patch: pytest.MonkeyPatch, point: str, parties: int, then: Callable[[], Any] | None = None
    ) -> None:
        self.point, self.names, self._left, self._lock = point, set[str](), parties, threading.Lock()
        self._barrier = threading.Barrier(parties, action=then, timeout=PATIENCE)
        patch.setattr(failpoints, "reach", self.reach)

    def reach(self, name: str) -> None:
        with self._lock:
            mine = name == self.point and self._left > 0
            self._left -= mine
        if mine:
            self.names.add(threading.current_thread().name)
            self._barrier.wait()


@STATES
def test_three_writers_write_what_one_does(
    source: Source, states: list[list[Row]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for rows in states:
        applied = source.line().ingest(rows, SIZE)
        assert applied.counts.valid == applied.activation.valid == len(rows)
    assert said(source) == straight(source.connection, states, monkeypatch)


@pytest.mark.parametrize("point", ["batch_open", "batch_inserted", "batch_row"])
@STATES
def test_they_are_at_work_at_the_same_time(
    source: Source, own_database: str, states: list[list[Row]], point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for rows in states[:-1]:
        source.line().ingest(rows, SIZE)
    before = ours(own_database)
    together = Together(monkeypatch, point, 3)
    source.line().ingest(states[-1], SIZE)
    monkeypatch.undo()
    assert len(together.names) == 3, "each part in a transaction of another writer, all of them open at once"
    assert no_writer_is_left(own_database, before)


def test_progress_tells_of_every_part_in_the_callers_thread(source: Source) -> None:
    heard: list[tuple[str, Progress]] = []
    with listening(lambda progress: heard.append((threading.current_thread().name, progress))):
        source.line().ingest(FIRST, SIZE)
    assert [progress.rows for _, progress in heard] == list(range(SIZE, len(FIRST) + 1, SIZE))
    assert {name for name, _ in heard} == {threading.current_thread().name}
    assert {progress.total for _, progress in heard} == {len(FIRST)}


@pytest.mark.parametrize("point", ["batch_open", "batch_inserted", "batch_row", "batch_committed"])
@STATES
def test_an_exception_in_one_ends_all_and_what_is_written_is_whole(
    source: Source, own_database: str, states: list[list[Row]], point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for rows in states[:-1]:
        source.line().ingest(rows, SIZE)
    before, expected = ours(own_database), straight(source.connection, states, monkeypatch)
    work, failed = source.line().work(len(states[-1])), threading.Event()

    def reach(name: str) -> None:
        if name == point and not failed.is_set():
            failed.set()
            raise RuntimeError("one writer fails")

    with monkeypatch.context() as patch:
        patch.setattr(failpoints, "reach", reach)
        with pytest.raises(RuntimeError, match="one writer fails"):
            apply_activation(work, parts_of(states[-1], SIZE))
    assert no_writer_is_left(own_database, before)
    whole_or_not_at_all(source, work)
    apply_activation(work, parts_of(states[-1], SIZE))
    assert said(source) == expected


def whole_or_not_at_all(source: Source, work: Work) -> None:
    """Rows of a part are there with all of its accounting, or neither is."""
    activation = work.activation.activation_id
    written: dict[int, int] = {}
    for row in source.items().values():
        if row["activation_id"] == activation:
            written[row["part"]] = written.get(row["part"], 0) + 1
    told = {
        row["part"]: row["inserted"] + row["updated"] + row["touched"]
        for row in source.batches()
        if row["activation_id"] == activation
    }
    assert {part: count for part, count in told.items() if count} == written


@STATES
def test_a_writer_whose_session_is_killed_ends_the_others_and_loses_nothing(
    source: Source, own_database: str, states: list[list[Row]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for rows in states[:-1]:
        source.line().ingest(rows, SIZE)
    before, expected = ours(own_database), straight(source.connection, states, monkeypatch)
    work = source.line().work(len(states[-1]))

    def kill_one() -> None:
        with session(own_database) as killer:
            (victim, *_) = ours(own_database) - before - {killer.info.backend_pid}
            killer.execute("select pg_terminate_backend(%s, 5000)", (victim,))

    with monkeypatch.context() as patch:
        Together(patch, "batch_inserted", 3, then=kill_one)
        with pytest.raises(psycopg.OperationalError):
            apply_activation(work, parts_of(states[-1], SIZE))
    assert no_writer_is_left(own_database, before)
    whole_or_not_at_all(source, work)
    apply_activation(work, parts_of(states[-1], SIZE))
    assert said(source) == expected


@STATES
def test_a_take_over_waits_for_all_batches_under_way_and_none_follows(
    source: Source, own_database: str, states: list[list[Row]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for rows in states[:-1]:
        source.line().ingest(rows, SIZE)
    work = source.line().work(len(states[-1]))
    taken: list[tuple[Any, ...]] = []

    def take_over() -> None:
        branch = work.branch
        with session(own_database) as other:
            leases.acquire(other, branch.branch_id, branch.name, holder="thief", run_id="thief", is_gone=lambda _: True)
        with session(own_database) as other:
            taken.append(said(Source(other, source.name)))

    thief = threading.Thread(target=take_over, daemon=True)

    def start_and_wait_until_it_waits() -> None:
        thief.start()
        waits = "select exists (select from pg_locks where locktype = 'advisory' and not granted)"
        with session(own_database) as watching:
            while not (watching.execute(waits).fetchone() or (False,))[0]:
                threading.Event().wait(0.01)

    with monkeypatch.context() as patch:
        Together(patch, "batch_inserted", 3, then=start_and_wait_until_it_waits)
        with pytest.raises(Fenced):
            apply_activation(work, parts_of(states[-1], SIZE))
    thief.join(PATIENCE)
    assert [said(source)] == taken, "nothing was written after the branch had changed hands"
    whole_or_not_at_all(source, work)
    mine = [row for row in source.batches() if row["activation_id"] == work.activation.activation_id]
    assert len(mine) <= 3, "the batches that were under way, and none after them"


def test_an_interrupt_does_not_wait_for_a_lock_that_a_writer_waits_for(
    source: Source, own_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = source.line()
    line.ingest(FIRST, SIZE)
    before = ours(own_database)
    changed = [{**row, "name": "Changed", "source_updated_at": SECOND[10]["source_updated_at"]} for row in FIRST]
    work = line.work(len(changed))

    def interrupted(progress: Progress) -> None:
        raise KeyboardInterrupt

    with session(own_database) as holder, holder.transaction():
        held = "select from core.items where external_id = '000' and source_id = %s for update"
        holder.execute(held, (work.branch.source_id,))
        with listening(interrupted), pytest.raises(KeyboardInterrupt):  # hangs where the writer is not told to stop
            apply_activation(work, parts_of(changed, SIZE))
        assert no_writer_is_left(own_database, before | {holder.info.backend_pid})
    whole_or_not_at_all(source, work)
    assert source.items()["000"]["name"] == "First"


@pytest.mark.parametrize("places", [0, 1, 2])
def test_where_postgres_has_no_place_for_more_sessions_fewer_write(
    source: Source, places: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened, real = [0], parallel.open_another

    def another(connection: Connection) -> Connection:
        if opened[0] == places:
            raise DatabaseUnreachable("too many clients already")
        opened[0] += 1
        return real(connection)

    monkeypatch.setattr(parallel, "open_another", another)
    applied = source.line().ingest(FIRST, SIZE)
    assert applied.counts.inserted == len(FIRST)
    assert f"{places} of 3 writers" in caplog.text


@pytest.mark.parametrize(("rows", "sessions"), [(0, 1), (199_999, 1), (200_000, 2), (300_000, 3), (9_000_000, 3)])
def test_each_session_has_enough_to_do(source: Source, rows: int, sessions: int) -> None:
    work = source.line().work(0)
    assert parallel.session_count(work, rows) == sessions
    with source.connection.transaction():
        assert parallel.session_count(work, rows) == 1


def test_no_session_is_opened_for_one_part(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    def another(connection: Connection) -> Connection:
        raise AssertionError("one part has one writer, and the run has a session")

    monkeypatch.setattr(parallel, "open_another", another)
    assert source.line().ingest(FIRST, len(FIRST)).counts.inserted == len(FIRST)
