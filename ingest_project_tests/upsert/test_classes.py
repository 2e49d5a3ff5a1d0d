"""Every class a row can fall into, and exactly what it leaves behind."""

from typing import Any

import pytest

from ingest_project.upsert.counts import Counts
from ingest_project_tests.upsert.making import Source, day, item

BOOKKEEPING = {"item_id", "source_id", "branch_id", "activation_id", "created_activation_id", "part", "priority"}


def only(source: Source) -> dict[str, Any]:
    """The one row of the source."""
    (row,) = source.items().values()
    return row


def test_a_new_key_is_inserted_with_all_that_it_says(source: Source) -> None:
    line = source.line(priority=3)
    work, applied = line.apply([item("k", "Café", phone="+4930123456", attributes='{"color": "red"}')])
    row = only(source)
    assert applied.counts == Counts(valid=1, inserted=1)
    assert (row["external_id"], row["name"], row["phone"]) == ("k", "Café", "+4930123456")
    assert (row["attributes"], row["issues"], row["source_updated_at"]) == ({"color": "red"}, [], day(0))
    assert (row["version"], row["priority"], row["part"], row["deleted_at"]) == (1, 3, 0, None)
    assert (row["branch_id"], row["source_id"]) == (work.branch.branch_id, work.branch.source_id)
    assert row["activation_id"] == row["created_activation_id"] == work.activation.activation_id
    assert row["first_seen_at"] == row["updated_at"]


def test_an_inserted_item_has_one_history_row_without_an_old_image(source: Source) -> None:
    work, _ = source.line().apply([item("k")])
    (version,) = source.versions("k")
    assert (version["written_by_activation"], version["version"]) == (work.activation.activation_id, 1)
    assert (version["op"], version["old"]) == ("i", None)


@pytest.mark.parametrize("first", ["straight in", "beside others"])
def test_both_ways_of_inserting_leave_the_same(source: Source, first: str) -> None:
    line = source.line()
    if first == "beside others":
        line.ingest([item("other")])
    line.ingest([item("k", "Name", description="two\nlines")])
    row = source.items()["k"]
    assert (row["name"], row["description"], row["version"]) == ("Name", "two\nlines", 1)
    assert [version["op"] for version in source.versions("k")] == ["i"]


def test_other_content_of_greater_rank_updates(source: Source) -> None:
    line = source.line()
    line.ingest([item("k", "Old", phone="+4930123456")])
    before = only(source)
    work, applied = line.apply([item("k", "New", at=1)])
    row = only(source)
    assert applied.counts == Counts(valid=1, updated=1)
    assert (row["name"], row["phone"], row["source_updated_at"], row["version"]) == ("New", None, day(1), 2)
    assert row["activation_id"] == work.activation.activation_id
    assert row["updated_at"] > before["updated_at"]
    for kept in ("item_id", "first_seen_at", "created_activation_id"):
        assert row[kept] == before[kept]


def test_history_keeps_the_whole_row_as_it_was(source: Source, connection: Any) -> None:
    line = source.line()
    line.ingest([item("k", "Old", attributes='{"n": 1}')])
    (before,) = connection.execute(
        "select to_jsonb(i) from core.items i where item_id = %s", (only(source)["item_id"],)
    ).fetchone()
    work, _ = line.apply([item("k", "New", at=1)])
    version = source.versions("k")[-1]
    assert version["old"] == before
    assert (version["op"], version["version"]) == ("u", 2)
    assert version["written_by_activation"] == work.activation.activation_id


def test_the_same_content_of_greater_rank_is_touched_without_history_or_version(source: Source) -> None:
    low, high = source.line(1), source.line(2)
    low.ingest([item("k", at=0)])
    before = only(source)
    work, applied = high.apply([item("k", at=5)])
    row = only(source)
    assert applied.counts == Counts(valid=1, touched=1)
    assert (row["source_updated_at"], row["priority"]) == (day(5), 2)
    assert (row["branch_id"], row["activation_id"]) == (work.branch.branch_id, work.activation.activation_id)
    differing = {name for name in row if row[name] != before[name]}
    assert differing <= BOOKKEEPING | {"source_updated_at"}
    assert (row["created_activation_id"], row["version"]) == (before["created_activation_id"], 1)
    assert len(source.versions("k")) == 1


def test_a_touch_brings_the_issues_of_the_row_that_now_owns_the_item(source: Source) -> None:
    line = source.line()
    line.ingest([item("k", at=0, issues='[{"code": "first"}]')])
    line.ingest([item("k", at=1, issues='[{"code": "second"}]')])
    assert only(source)["issues"] == [{"code": "second"}]


def test_an_identical_row_is_unchanged_and_not_written(source: Source) -> None:
    line = source.line()
    line.ingest([item("k")])
    before = source.physical()
    assert line.ingest([item("k")]).counts == Counts(valid=1, unchanged=1)
    assert source.physical() == before


def test_a_change_of_issues_alone_is_unchanged(source: Source) -> None:
    line = source.line()
    line.ingest([item("k", issues="[]")])
    before = source.physical()
    assert line.ingest([item("k", issues='[{"code": "new"}]')]).counts == Counts(valid=1, unchanged=1)
    assert source.physical() == before


def test_the_same_content_of_lesser_rank_is_unchanged(source: Source) -> None:
    line = source.line()
    line.ingest([item("k", at=5)])
    assert line.ingest([item("k", at=1)]).counts == Counts(valid=1, unchanged=1)
    assert only(source)["source_updated_at"] == day(5)


def test_other_content_of_lesser_rank_is_stale(source: Source) -> None:
    line = source.line()
    line.ingest([item("k", "Newer", at=5)])
    before = source.physical()
    assert line.ingest([item("k", "Older", at=1)]).counts == Counts(valid=1, stale=1)
    assert source.physical() == before
    assert len(source.versions("k")) == 1


@pytest.mark.parametrize("at", [0, 1])
def test_a_deleted_item_that_is_carried_again_is_revived(source: Source, connection: Any, at: int) -> None:
    line = source.line()
    line.ingest([item("k", "Same")])
    connection.execute("update core.items set deleted_at = now() where item_id = %s", (only(source)["item_id"],))
    work, applied = line.apply([item("k", "Same", at=at)])
    row = only(source)
    assert applied.counts == Counts(valid=1, updated=1)
    assert (row["deleted_at"], row["version"], row["source_updated_at"]) == (None, 2, day(at))
    version = source.versions("k")[-1]
    assert (version["op"], version["old"]["deleted_at"] is None) == ("r", False)
    assert version["written_by_activation"] == work.activation.activation_id


@pytest.mark.parametrize("name", ["Same", "Other"])
def test_an_older_row_does_not_revive_a_deleted_item(source: Source, connection: Any, name: str) -> None:
    line = source.line()
    line.ingest([item("k", "Same", at=5)])
    connection.execute("update core.items set deleted_at = now() where item_id = %s", (only(source)["item_id"],))
    assert line.ingest([item("k", name, at=1)]).counts == Counts(valid=1, stale=1)
    assert only(source)["deleted_at"] is not None


CLASSES = (
    # live row's (priority, day), arriving row's (priority, day), whether the contents are equal, the class
    ("null over null of the same branch, newer activation", (0, None), (0, None), False, "updated"),
    ("null does not replace a time", (0, 0), (0, None), False, "stale"),
    ("a time replaces null", (0, None), (0, 0), False, "updated"),
    ("a time touches null", (0, None), (0, 0), True, "touched"),
    ("null never touches a time", (0, 0), (0, None), True, "unchanged"),
    ("equal time, newer activation of the branch", (0, 3), (0, 3), False, "updated"),
    ("equal time, greater priority", (1, 3), (2, 3), False, "updated"),
    ("equal time, lesser priority", (2, 3), (1, 3), False, "stale"),
    ("equal time, greater priority, same content", (1, 3), (2, 3), True, "touched"),
    ("equal time, lesser priority, same content", (2, 3), (1, 3), True, "unchanged"),
    ("null with null, greater priority", (1, None), (2, None), False, "updated"),
    ("null with null, lesser priority", (2, None), (1, None), False, "stale"),
    ("newer time beats priority", (2, 3), (1, 4), False, "updated"),
    ("older time loses in spite of priority", (1, 4), (2, 3), False, "stale"),
    ("a negative priority is lesser than none", (0, 3), (-1, 3), False, "stale"),
)


@pytest.mark.parametrize(
    ("live", "arriving", "same", "expected"), [c[1:] for c in CLASSES], ids=[c[0] for c in CLASSES]
)
def test_rank_is_time_then_priority_then_activation(
    source: Source, live: tuple[int, int | None], arriving: tuple[int, int | None], same: bool, expected: str
) -> None:
    source.line(live[0]).ingest([item("k", "One", at=live[1])])
    applied = source.line(arriving[0]).ingest([item("k", "One" if same else "Two", at=arriving[1])])
    assert applied.counts == Counts(valid=1, **{expected: 1})
    won = expected in ("updated", "touched")
    row = only(source)
    assert row["name"] == ("Two" if expected == "updated" else "One")
    assert (row["priority"], row["source_updated_at"]) == (
        (arriving[0], day(arriving[1])) if won else (live[0], day(live[1]))
    )


def test_at_equal_rank_an_older_activation_does_not_replace_a_newer_one(source: Source, connection: Any) -> None:
    line = source.line()
    line.ingest([item("k", "Newer")])
    connection.execute("update core.items set activation_id = 999 where item_id = %s", (only(source)["item_id"],))
    assert line.ingest([item("k", "Older activation")]).counts == Counts(valid=1, stale=1)
    assert only(source)["name"] == "Newer"


def test_all_classes_in_one_activation_add_up_in_batches_and_activation(source: Source) -> None:
    line = source.line()
    kept = [item(key, at=5) for key in ("same", "changing", "touching", "ageing")]
    line.ingest(kept)
    rows = [
        item("same", at=5),
        item("changing", "Changed", at=6),
        item("touching", at=6),
        item("ageing", "Older", at=4),
        item("new", at=0),
    ]
    work, applied = line.apply(rows, size=2)
    told = applied.activation
    assert applied.counts == Counts(valid=5, inserted=1, updated=1, touched=1, unchanged=1, stale=1)
    assert (told.inserted, told.updated, told.touched, told.unchanged, told.stale) == (1, 1, 1, 1, 1)
    assert (told.state, told.missing) == ("committed", 0)
    batches = [row for row in source.batches() if row["activation_id"] == work.activation.activation_id]
    names = ("part", "valid", "inserted", "updated", "touched", "unchanged", "stale")
    assert [tuple(row[name] for name in names) for row in batches] == [
        (0, 2, 0, 1, 0, 1, 0),
        (1, 2, 0, 0, 1, 0, 1),
        (2, 1, 1, 0, 0, 0, 0),
    ]
    assert {(row["epoch"], row["run_id"]) for row in batches} == {(work.lease.epoch, "run")}
    assert {row["part"] for row in source.items().values() if row["activation_id"] == told.activation_id} == {0, 1, 2}


def test_an_activation_without_rows_is_committed_and_counts_what_it_lacks(source: Source) -> None:
    line = source.line()
    line.ingest([item(1), item(2)])
    applied = line.ingest([])
    assert (applied.counts, applied.missing, applied.activation.missing) == (Counts(), 2, 2)
    assert set(source.items()) == {"1", "2"}
