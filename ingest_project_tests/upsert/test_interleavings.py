"""Promise 3 where two branches write the same keys at once: a second writer at each arrow of the first's way."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from ingest_project.branches.work import Work
from ingest_project.postgres.connection import session
from ingest_project.upsert import probe
from ingest_project.upsert.items import apply_activation
from ingest_project_tests.upsert.making import Line, Part, Row, Source, item, parts_of
from ingest_project_tests.upsert.meeting import Meeting, meet_in_turn

ARROWS = (
    *("probed", "batch_open", "batch_staged", "batch_locked", "batch_history", "batch_updated", "batch_inserted"),
    *("batch_row", "batch_committed", "all_batches", "activation_committed"),
)
SEEDED = [item(f"live {at}", "Seed", at=0) for at in range(6)]


def carried(who: str, keys: Sequence[str]) -> list[Row]:
    """Rows of one of the two: every second key is the first's to win, every third is the same content in both."""
    rows = []
    for at, key in enumerate(keys):
        wins = (at % 2 == 0) == (who == "first")
        same = at % 3 == 2
        rows.append(item(key, "Both say this" if same else f"{who} says", at=2 if wins else 1))
    return rows


LIVE = [row["external_id"] for row in SEEDED]
NEW = [f"new {at}" for at in range(6)]
MIXED = [key for pair in zip(NEW, LIVE, strict=True) for key in pair]


@dataclass(frozen=True)
class Pair:
    """Two branches of a source, a session for each, and what each carries."""

    source: Source
    lines: tuple[Line, Line]
    url: str

    def meet(
        self, patch: pytest.MonkeyPatch, point: str, keys: Sequence[Sequence[str]], size: int
    ) -> tuple[Meeting, dict[int, dict[str, Row]]]:
        """Both apply; what each activation carries, by its id."""
        works: list[tuple[Work, list[Part]]] = []
        contents: dict[int, dict[str, Row]] = {}
        for line, who, mine in zip(self.lines, ("first", "second"), keys, strict=True):
            rows = carried(who, mine)
            work = line.work(len(rows))
            works.append((work, parts_of(rows, size)))
            contents[work.activation.activation_id] = {row["external_id"]: row for row in rows}
        (first, first_parts), (second, second_parts) = works
        pid = second.connection.info.backend_pid
        meeting = Meeting(self.url, point, lambda: apply_activation(second, second_parts), pid)
        meeting.run(patch, lambda: apply_activation(first, first_parts))
        return meeting, contents


@pytest.fixture
def pair(own_database: str, source: Source) -> Iterator[Pair]:
    """Two branches, of which the second has the greater priority; each in a session of its own."""
    with session(own_database) as one, session(own_database) as other:
        yield Pair(source, (source.line(1).on(one), source.line(2).on(other)), own_database)


def seed(pair: Pair) -> dict[int, dict[str, Row]]:
    """Some live rows, by the branch of the first."""
    applied = pair.lines[0].ingest(SEEDED)
    return {applied.activation.activation_id: {row["external_id"]: row for row in SEEDED}}


def check(source: Source, carried_by: dict[int, dict[str, Row]]) -> None:
    """No version lost, the greater rank in every row, and all of it accounted for."""
    items = source.items()
    later_first = [rows for _, rows in sorted(carried_by.items(), reverse=True)]  # the second's priority is greater
    assert set(items) == {key for rows in carried_by.values() for key in rows}
    for key, row in items.items():
        best = max((rows[key] for rows in later_first if key in rows), key=lambda one: one["source_updated_at"])
        assert (key, row["name"], row["source_updated_at"]) == (key, best["name"], best["source_updated_at"])
        _check_chain(key, row, source.versions(key), carried_by)
    _check_counts(source, carried_by)


def _check_chain(
    key: str, row: dict[str, Any], versions: list[dict[str, Any]], carried_by: dict[int, dict[str, Row]]
) -> None:
    assert [version["version"] for version in versions] == list(range(1, row["version"] + 1)), key
    assert [version["op"] for version in versions] == ["i"] + ["u"] * (len(versions) - 1), key
    names = [carried_by[version["written_by_activation"]][key]["name"] for version in versions]
    assert [version["old"]["name"] for version in versions[1:]] == names[:-1], f"{key}: an old image was lost"
    assert [version["old"]["version"] for version in versions[1:]] == list(range(1, len(versions))), key
    assert row["name"] == names[-1], f"{key}: the row is not what its last version wrote"


def _check_counts(source: Source, carried_by: dict[int, dict[str, Row]]) -> None:
    history = source.history()
    for activation, rows in carried_by.items():
        batches = [batch for batch in source.batches() if batch["activation_id"] == activation]
        total = {name: sum(batch[name] for batch in batches) for name in ("valid", "inserted", "updated")}
        wrote = [version["op"] for version in history if version["written_by_activation"] == activation]
        assert total == {"valid": len(rows), "inserted": wrote.count("i"), "updated": wrote.count("u")}
    told = source.rows(
        """select a.state, a.valid = a.inserted + a.updated + a.touched + a.unchanged + a.stale as adds_up
             from ingest.activations a join ingest.branches b using (branch_id) join ingest.sources s using (source_id)
            where s.name = %(source)s"""
    )
    assert all(row["state"] in ("committed", "done") and row["adds_up"] for row in told)


@pytest.mark.parametrize("size", [3, 100], ids=["parts of three", "one part"])
@pytest.mark.parametrize("arrow", ARROWS)
def test_two_branches_change_the_same_live_items(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, arrow: str, size: int
) -> None:
    contents = seed(pair)
    meeting, carried_by = pair.meet(monkeypatch, arrow, (LIVE, LIVE), size)
    check(pair.source, contents | carried_by)
    locked = ("batch_locked", "batch_history", "batch_updated", "batch_inserted", "batch_row")
    assert meeting.second_waited == (arrow in locked), "only the row locks are waited for"


@pytest.mark.parametrize("arrow", ARROWS)
def test_two_branches_insert_the_same_new_keys(pair: Pair, monkeypatch: pytest.MonkeyPatch, arrow: str) -> None:
    contents = seed(pair)
    meeting, carried_by = pair.meet(monkeypatch, arrow, (NEW, NEW), 100)
    check(pair.source, contents | carried_by)
    assert meeting.second_waited == (arrow in ("batch_inserted", "batch_row"))


@pytest.mark.parametrize("arrow", ARROWS)
def test_live_items_are_changed_once_where_new_keys_are_judged_again(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, arrow: str
) -> None:
    contents = seed(pair)
    meeting, carried_by = pair.meet(monkeypatch, arrow, (MIXED, NEW), 100)
    check(pair.source, contents | carried_by)
    assert meeting.second_waited == (arrow in ("batch_inserted", "batch_row"))


@pytest.mark.parametrize("size", [4, 100], ids=["parts of four", "one part"])
@pytest.mark.parametrize("arrow", ARROWS)
def test_live_and_new_keys_in_opposite_orders_do_not_deadlock(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, arrow: str, size: int
) -> None:
    contents = seed(pair)
    ours, theirs = MIXED, [*MIXED[6:], *MIXED[:6]]  # what is in a part, and so the order of parts, differs
    _, carried_by = pair.meet(monkeypatch, arrow, (ours, theirs), size)
    check(pair.source, contents | carried_by)


@pytest.mark.parametrize("arrow", ["probed", "batch_open", "batch_inserted", "batch_row", "batch_committed"])
def test_two_branches_load_an_empty_source(pair: Pair, monkeypatch: pytest.MonkeyPatch, arrow: str) -> None:
    meeting, carried_by = pair.meet(monkeypatch, arrow, (MIXED, MIXED), 5)
    check(pair.source, carried_by)
    assert meeting.second_waited == (arrow in ("batch_inserted", "batch_row"))


@pytest.mark.parametrize("arrow", ["probed", "batch_open"])
def test_copying_straight_in_falls_back_where_another_branch_was_faster(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, arrow: str
) -> None:
    overlap = [*MIXED[:4], "only the second's"]
    _, carried_by = pair.meet(monkeypatch, arrow, (MIXED, overlap), 100)
    check(pair.source, carried_by)
    first = min(carried_by)
    (batch,) = [batch for batch in pair.source.batches() if batch["activation_id"] == first]
    assert (batch["valid"], batch["inserted"]) == (len(MIXED), len(MIXED) - 4)
    assert batch["updated"] + batch["touched"] + batch["unchanged"] + batch["stale"] == 4


@pytest.mark.parametrize("keys", [(NEW, NEW), (NEW, MIXED), (NEW[:4], NEW[2:])], ids=["same", "mixed", "overlap"])
@pytest.mark.parametrize("arrow", ["probed", "batch_open", "batch_inserted", "batch_row", "batch_committed"])
def test_new_rows_alone_are_copied_in_beside_others_and_fall_back(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, arrow: str, keys: tuple[list[str], list[str]]
) -> None:
    """The way of large parts in which every row is new, taken here by small ones."""
    monkeypatch.setattr(probe, "_WORTH_COPYING", 2)
    contents = seed(pair)
    meeting, carried_by = pair.meet(monkeypatch, arrow, keys, 100)
    check(pair.source, contents | carried_by)
    assert meeting.second_waited == (arrow in ("batch_inserted", "batch_row"))


def test_rows_that_moved_after_the_probe_are_judged_as_they_are_now(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed(pair)
    rows = [item(key, "both bring this", at=1) for key in LIVE]
    first, second = (line.work(len(rows)) for line in pair.lines)
    pid = second.connection.info.backend_pid
    meeting = Meeting(pair.url, "probed", lambda: apply_activation(second, parts_of(rows)), pid)
    meeting.run(monkeypatch, lambda: apply_activation(first, parts_of(rows)))
    told = {batch["activation_id"]: batch for batch in pair.source.batches()}
    assert told[second.activation.activation_id]["updated"] == len(rows)
    mine = told[first.activation.activation_id]
    assert (mine["updated"], mine["unchanged"]) == (0, len(rows)), "probed as updates, found to be there already"


@pytest.mark.parametrize("arrow", ["batch_staged", "batch_locked"])
@pytest.mark.parametrize("later", ["batch_locked", "batch_history", "batch_row"])
def test_a_row_that_another_inserts_between_lock_and_judgement_is_not_written_without_its_lock(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, arrow: str, later: str
) -> None:
    """Three writers: the second inserts what the first took for new, the third then has a newer version of it."""
    contents = seed(pair)
    with session(pair.url) as third:
        lines = (*pair.lines, pair.source.line(3).on(third))
        rows = [[item(key, f"{who} says", at=at) for key in NEW] for at, who in enumerate(("second", "first", "third"))]
        works = [line.work(len(NEW)) for line in lines]
        carried = [rows[1], rows[0], rows[2]]
        contents |= {
            work.activation.activation_id: {row["external_id"]: row for row in mine}
            for work, mine in zip(works, carried, strict=True)
        }

        def writes(at: int) -> None:
            apply_activation(works[at], parts_of(carried[at]))

        pids = [work.connection.info.backend_pid for work in works]
        meetings = [Meeting(pair.url, arrow, lambda: writes(1), pids[1])]
        meetings.append(Meeting(pair.url, later, lambda: writes(2), pids[2]))
        meet_in_turn(monkeypatch, lambda: writes(0), meetings)
    check(pair.source, contents)
    assert {row["name"] for key, row in pair.source.items().items() if key in NEW} == {"third says"}
