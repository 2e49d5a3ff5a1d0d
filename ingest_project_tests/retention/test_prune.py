"""What is pruned, and what never is."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest

from ingest_project.branches import registry
from ingest_project.branches.spec import parse_spec
from ingest_project.extract.store import PartStore
from ingest_project.postgres.connection import Connection, session
from ingest_project.postgres.pulses import pulses
from ingest_project.retention.prune import Policy, Pruning, prune

WEEK = Policy(parts_days=7, history_days=7)
ENDED = ("done", "superseded", "failed", "refused", "rolled_back")


@pytest.fixture
def connection(own_database: str) -> Iterator[Connection]:
    """Undone at the end, dropped partitions and all."""
    with session(own_database) as opened, opened.transaction(force_rollback=True):
        yield opened


@pytest.fixture
def store(tmp_path: Path) -> PartStore:
    return PartStore(str(tmp_path / "parts"))


@pytest.fixture
def branch(connection: Connection) -> Callable[..., int]:
    """Register a branch and say its id."""

    def register(name: str = "places") -> int:
        spec = {"name": name, "source": name, "location": f"{name}.csv", "key": "id", "mapping": {"name": "n"}}
        registry.apply_branch(connection, parse_spec(spec, origin="test"))
        return registry.get_branch(connection, name).branch_id

    return register


class Past:
    """Activations that ended some days ago, with a part of each asset."""

    def __init__(self, connection: Connection, store: PartStore) -> None:
        self.connection, self.store = connection, store

    def activation(self, branch_id: int, state: str = "done", days: int = 30, at: int | None = None) -> int:
        """One activation; `at` is its id."""
        when = timedelta(days=days)
        values: dict[str, Any] = {"branch": branch_id, "state": state, "ago": when, "at": at}
        row = self.connection.execute(
            """
            insert into ingest.activations (activation_id, branch_id, state, spec, pin, rows_read, rejected, valid,
              inserted, updated, touched, unchanged, stale, requests, requested_at, pinned_at, snapshotted_at,
              normalized_at, accepted_at, committed_at, done_at, closed_at)
            overriding system value
            select coalesce(%(at)s::bigint, nextval(pg_get_serial_sequence('ingest.activations', 'activation_id'))),
              %(branch)s, %(state)s, '{}', '{}', 1, 0, 1, 1, 0, 0, 0, 0, 0, now() - %(ago)s, now() - %(ago)s,
              now() - %(ago)s, now() - %(ago)s, case when %(state)s <> 'blocked' then now() - %(ago)s end,
              case when %(state)s in ('done', 'committed') then now() - %(ago)s end,
              case when %(state)s = 'done' then now() - %(ago)s end,
              case when %(state)s in ('superseded', 'failed', 'refused', 'rolled_back') then now() - %(ago)s end
            returning activation_id""",
            values,
        ).fetchone()
        assert row is not None
        self._part(branch_id, row[0])
        return row[0]

    def _part(self, branch_id: int, number: int) -> None:
        for asset in ("branch_snapshot", "normalized_items"):
            stored = self.store.put(f"{branch_id}/{number}/{asset}/000000.e1", pa.table({"a": [1]}))
            self.connection.execute(
                "insert into ingest.parts (activation_id, asset, part, epoch, path, rows, bytes, digest, run_id)"
                " values (%s, %s, 0, 1, %s, 1, %s, %s, 'r')",
                (number, asset, stored.path, stored.bytes, stored.digest),
            )
        self.connection.execute(
            "insert into core.item_versions (written_by_activation, item_id, version, op) values (%s, 1, 1, 'i')",
            (number,),
        )

    def with_parts(self) -> set[int]:
        """Activations of which parts are stored; the manifest must say the same."""
        listed = self.connection.execute("select distinct activation_id from ingest.parts").fetchall()
        stored = set(self.store.activations())
        assert {number for (number,) in listed} == stored
        return stored

    def partitions(self) -> set[int]:
        return {row[0] for row in self.connection.execute("select distinct block from ingest.activation_partitions")}


@pytest.fixture
def past(connection: Connection, store: PartStore) -> Past:
    return Past(connection, store)


def gone(pruned: list[Pruning], what: str = "parts") -> list[tuple[int, int]]:
    return [(one.first_activation, one.last_activation) for one in pruned if one.what == what]


# ── parts ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_parts_of_what_ended_long_ago_go(past: Past, branch: Callable[..., int]) -> None:
    place = branch()
    old, newest = past.activation(place), past.activation(place)
    pruned = prune(past.connection, past.store, WEEK)
    assert gone(pruned) == [(old, old)]
    assert pruned[0].bytes > 0
    assert past.with_parts() == {newest}


def test_the_newest_ingested_one_stays_whatever_its_age_and_whatever_came_after(
    past: Past, branch: Callable[..., int]
) -> None:
    place = branch()
    newest = past.activation(place, days=3000)
    later = [past.activation(place, state, days=30) for state in ENDED[1:]]
    assert gone(prune(past.connection, past.store, WEEK)) == [(number, number) for number in later]
    assert past.with_parts() == {newest}


def test_each_branch_keeps_its_own_newest(past: Past, branch: Callable[..., int]) -> None:
    kept = {past.activation(branch(name)) for name in ("one", "two")}
    assert prune(past.connection, past.store, WEEK) == []
    assert past.with_parts() == kept


@pytest.mark.parametrize("state", ["requested", "snapshotted", "accepted", "committed"])
def test_what_is_open_stays(past: Past, branch: Callable[..., int], state: str) -> None:
    place = branch()
    past.activation(place, state, days=400)
    assert prune(past.connection, past.store, WEEK) == []


def test_what_waits_at_a_gate_stays_while_it_is_the_newest(past: Past, branch: Callable[..., int]) -> None:
    place = branch()
    past.activation(place)
    waiting = past.activation(place, "blocked")
    assert prune(past.connection, past.store, WEEK) == []
    past.activation(place, days=1)
    assert (waiting, waiting) in gone(prune(past.connection, past.store, WEEK))


def test_what_ended_lately_stays(past: Past, branch: Callable[..., int]) -> None:
    place = branch()
    lately = [past.activation(place, days=6) for _ in range(3)]
    assert prune(past.connection, past.store, WEEK) == []
    assert past.with_parts() == set(lately)


def test_zero_days_keep_for_ever(past: Past, branch: Callable[..., int]) -> None:
    place = branch()
    for _ in range(3):
        past.activation(place, days=3000)
    assert prune(past.connection, past.store, Policy(0, 0)) == []


def test_a_dry_run_says_the_same_and_deletes_nothing(past: Past, branch: Callable[..., int]) -> None:
    place = branch()
    numbers = {past.activation(place) for _ in range(3)}
    said = prune(past.connection, past.store, WEEK, dry_run=True)
    assert past.with_parts() == numbers
    assert prune(past.connection, past.store, WEEK) == said
    assert prune(past.connection, past.store, WEEK) == []


def test_its_end_is_a_pulse_and_a_dry_run_is_none(past: Past) -> None:
    past.connection.execute("delete from ingest.pulses")
    prune(past.connection, past.store, WEEK, dry_run=True)
    assert pulses(past.connection) == {}
    prune(past.connection, past.store, Policy(0, 0))
    assert list(pulses(past.connection)) == ["prune"]


def test_files_that_no_manifest_lists_go_with_their_activation(past: Past, branch: Callable[..., int]) -> None:
    place = branch()
    old, newest = past.activation(place), past.activation(place)
    past.connection.execute("delete from ingest.parts where activation_id = %s", (old,))
    prune(past.connection, past.store, WEEK)
    assert past.with_parts() == {newest}


def test_a_prune_that_was_killed_after_the_files_is_finished_by_the_next(
    past: Past, branch: Callable[..., int]
) -> None:
    place = branch()
    old, newest = past.activation(place), past.activation(place)
    past.store.drop(place, old)
    assert gone(prune(past.connection, past.store, WEEK)) == [(old, old)]
    assert past.with_parts() == {newest}


def test_what_is_not_ours_in_the_store_is_left_alone(past: Past, branch: Callable[..., int], tmp_path: Path) -> None:
    place = branch()
    for _ in range(2):
        past.activation(place)
    for path in ("notes.txt", f"{place}/readme.md", "lost+found/1/x"):
        file = tmp_path / "parts" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("mine")
    prune(past.connection, past.store, WEEK)
    assert (tmp_path / "parts" / "notes.txt").exists()
    assert (tmp_path / "parts" / "lost+found" / "1" / "x").exists()


def test_parts_of_an_activation_nobody_knows_are_left_alone(past: Past) -> None:
    past.store.put("1/424242/branch_snapshot/000000.e1", pa.table({"a": [1]}))
    assert prune(past.connection, past.store, WEEK) == []
    assert past.store.activations().keys() == {424242}


# ── history ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_blocks_of_which_all_ended_go_as_partitions(past: Past, branch: Callable[..., int]) -> None:
    place = branch()
    past.activation(place, at=10)
    past.activation(place, at=1010)
    past.activation(place, at=2010)
    assert {0, 1, 2} <= past.partitions()
    pruned = prune(past.connection, past.store, WEEK)
    assert gone(pruned, "history") == [(10, 10), (1010, 1010)]
    assert past.partitions() == {2, 3}, "the newest block stays, and the one that is ready for the next"
    kept = past.connection.execute("select what, first_activation from ingest.prunings where what = 'history'")
    assert kept.fetchall() == [("history", 10), ("history", 1010)]
    assert prune(past.connection, past.store, WEEK) == []


def test_a_block_with_one_that_is_gone_back_to_stays_whole(past: Past, branch: Callable[..., int]) -> None:
    place, other = branch(), branch("other")
    past.activation(place, at=10)
    past.activation(other, at=20)  # the newest of its branch
    past.activation(place, at=2010)
    assert gone(prune(past.connection, past.store, WEEK), "history") == []


def test_history_that_is_being_read_is_left_for_the_next_time(
    past: Past, branch: Callable[..., int], monkeypatch: pytest.MonkeyPatch, own_database: str
) -> None:
    monkeypatch.setattr("ingest_project.retention.prune._LOCK_TIMEOUT", "100ms")
    place = branch()
    past.activation(place, at=10)
    past.activation(place, at=2010)
    with session(own_database) as reader, reader.transaction():
        reader.execute("select count(*) from core.item_versions where written_by_activation < 1000")
        assert gone(prune(past.connection, past.store, WEEK), "history") == []
    assert gone(prune(past.connection, past.store, WEEK), "history") == [(10, 10)]


# ── the views ───────────────────────────────────────────────────────────────────────────────────────────────

VIEWS = ("branch_status", "reject_reasons", "source_freshness", "batch_pace", "ended_activations")


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_can_be_asked(past: Past, branch: Callable[..., int], view: str) -> None:
    past.activation(branch())
    with past.connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        cursor.execute(f"select * from ingest.{view}".encode())
        assert cursor.description


def test_branch_status_has_a_row_for_each_branch(past: Past, branch: Callable[..., int]) -> None:
    place = branch()
    branch("never run")
    done = past.activation(place, days=30)
    failed = past.activation(place, "failed", days=2)
    rows = past.connection.execute(
        "select branch, activation_id, state, last_done, since_done > '29 days' from ingest.branch_status order by 1"
    ).fetchall()
    assert rows == [("never run", None, None, None, None), ("places", failed, "failed", done, True)]


def test_reject_reasons_count_by_code(past: Past, branch: Callable[..., int]) -> None:
    number = past.activation(branch())
    for row, code in ((1, "name_missing"), (2, "name_missing"), (3, "key_missing")):
        past.connection.execute(
            'insert into ingest.rejects (activation_id, part, "row", errors, raw) values (%s, 0, %s, %s, %s)',
            (number, row, psycopg.types.json.Jsonb([{"field": "f", "code": code, "message": "m"}]), b"{}"),
        )
    found = past.connection.execute("select code, rows, first_row from ingest.reject_reasons order by code").fetchall()
    assert found == [("key_missing", 1, 3), ("name_missing", 2, 1)]


def test_freshness_is_the_newest_file_of_the_newest_ingest(past: Past, branch: Callable[..., int]) -> None:
    number = past.activation(branch())
    pin = {"files": [{"modified_ns": 1_700_000_000_000_000_000}, {"modified_ns": 1_600_000_000_000_000_000}]}
    past.connection.execute("update ingest.activations set pin = %s", (psycopg.types.json.Jsonb(pin),))
    row = past.connection.execute(
        "select activation_id, extract(epoch from source_written_at)::int, lag > '0' from ingest.source_freshness"
    ).fetchone()
    assert row == (number, 1_700_000_000, True)
