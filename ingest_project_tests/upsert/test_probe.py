"""The probe: what an activation would do, by part and position."""

from typing import Any

import numpy as np
import pytest

from ingest_project.branches.work import Work
from ingest_project.postgres.connection import Connection, session
from ingest_project.upsert import probe as probe_module
from ingest_project.upsert.counts import Counts
from ingest_project.upsert.items import apply_activation
from ingest_project.upsert.probe import Hits, Probe, probe
from ingest_project.upsert.saved_plan import LiveFingerprint
from ingest_project_tests.upsert.making import Line, Part, Row, Source, item, parts_of, table_of


def probed(line: Line, rows: list[Row], size: int | None = None) -> Probe:
    """Probe rows as the next activation of a branch."""
    return probe(line.work(len(rows)), parts_of(rows, size))


def told(found: Probe) -> dict[int, tuple[list[int], dict[str, int]]]:
    """Positions and kinds by part, as plain values."""
    return {part: (hits.positions.tolist(), hits.kinds) for part, hits in found.hits.items()}


def test_a_source_without_rows_is_new_and_not_probed(source: Source) -> None:
    assert probed(source.line(), [item(1)]) == Probe(source_is_new=True)


def test_a_source_is_not_new_where_another_branch_has_rows(source: Source) -> None:
    source.line(1).ingest([item(1)])
    found = probed(source.line(2), [item(2)])
    assert (found.source_is_new, told(found)) == (False, {0: ([0], {"i": 1})})


def test_a_source_is_new_whatever_other_sources_hold(source: Source) -> None:
    Source(source.connection).line().ingest([item(1)])
    assert probed(source.line(), [item(1)]).source_is_new


def test_a_source_of_deleted_rows_only_is_not_new(source: Source) -> None:
    line = source.line()
    line.ingest([item(1)])
    mark = "update core.items set deleted_at = now() where item_id = %s"
    source.connection.execute(mark, (source.items()["1"]["item_id"],))
    assert told(probed(line, [item(1)])) == {0: ([0], {"r": 1})}


def test_keys_of_another_source_are_no_hits(source: Source) -> None:
    other = Source(source.connection)
    other.line().ingest([item("k", "Theirs", at=9)])
    line = source.line()
    line.ingest([item("mine")])
    assert told(probed(line, [item("k", "Ours")])) == {0: ([0], {"i": 1})}


LIVE = [item(at, at=5) for at in range(6)]
NEXT = [
    *(item(0, at=5), item(1, "Changed", at=6), item(2, "Older", at=4)),
    *(item(3, at=5), item(4, at=5)),
    *(item(5, at=6), item("new 1"), item("new 2")),
]


def test_hits_are_told_by_part_and_position_and_unchanged_rows_not_at_all(source: Source) -> None:
    line = source.line()
    line.ingest(LIVE)
    work = line.work(len(NEXT))
    cut = [Part(0, table_of(NEXT[:3])), Part(5, table_of(NEXT[3:5])), Part(6, table_of(NEXT[5:]))]
    assert told(probe(work, cut)) == {0: ([1], {"u": 1, "s": 1}), 6: ([0, 1, 2], {"t": 1, "i": 2})}


def test_stale_rows_are_counted_but_are_nothing_to_do(source: Source) -> None:
    line = source.line()
    line.ingest(LIVE)
    found = probed(line, [item(at, "Older", at=at) for at in range(6)], size=6)  # day 5 is an equal rank
    assert told(found) == {0: ([5], {"s": 5, "u": 1})}
    assert found.hits[0].stale == 5
    assert Hits(np.empty(0, np.int64), {}).stale == 0


def test_a_part_of_stale_rows_only_is_accounted_for_without_a_batch_transaction(source: Source) -> None:
    line = source.line()
    line.ingest(LIVE)
    applied = line.ingest([item(at, "Older", at=1) for at in range(6)], size=3)
    assert applied.counts == Counts(valid=6, stale=6)
    assert [(row["part"], row["stale"]) for row in source.batches()[1:]] == [(0, 3), (1, 3)]


def test_missing_counts_live_items_of_this_branch_alone(source: Source) -> None:
    ours, theirs = source.line(1), source.line(2)
    ours.ingest([item(at) for at in range(10)])
    theirs.ingest([item("theirs 1"), item("theirs 2"), item(0, "taken", at=1)])
    source.connection.execute(
        "update core.items set deleted_at = now() where external_id = '1' and source_id = %s",
        (source.items()["0"]["source_id"],),
    )
    assert probed(ours, [item(2), item(3)]).missing.count == 6  # of ten one is theirs, one deleted, two carried
    assert probed(theirs, [item("theirs 1")]).missing.count == 2
    assert probed(ours, []).missing.count == 8


def test_a_plan_is_made_and_compared_by_the_rows_of_one_moment(
    source: Source, own_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = source.line(1), source.line(2)
    ours.ingest([item(at) for at in range(3)])
    rows = [item(at, "ours", at=1) for at in range(3)]
    work = ours.work(len(rows))
    seen, judged = probe(work, parts_of(rows), with_fingerprint=True), probe_module.fingerprint_live_rows

    def before_a_change(work: Work) -> LiveFingerprint:
        told = judged(work)
        with session(own_database) as other:
            theirs.on(other).ingest([item(0, "theirs", at=2)])
        return told

    monkeypatch.setattr(probe_module, "fingerprint_live_rows", before_a_change)
    again = probe(work, parts_of(rows), with_fingerprint=True)
    assert (again.live, again.hits[0].kinds) == (seen.live, {"u": 3}), "the same rows under print and plan"
    monkeypatch.undo()
    after = probe(work, parts_of(rows), with_fingerprint=True)
    assert after.live != seen.live
    assert after.hits[0].kinds == {"u": 2, "s": 1}


def test_parts_without_rows_have_no_hits_and_a_batch_row_each(source: Source) -> None:
    line = source.line()
    line.ingest([item(1)])
    work = line.work(1)
    parts = [Part(0, table_of([])), Part(1, table_of([item(2)])), Part(2, table_of([]))]
    assert told(probe(work, parts)) == {1: ([0], {"i": 1})}
    assert apply_activation(work, parts).counts == Counts(valid=1, inserted=1)
    rows = [row for row in source.batches() if row["activation_id"] == work.activation.activation_id]
    assert [(row["part"], row["valid"]) for row in rows] == [(0, 0), (1, 1), (2, 0)]


def test_empty_parts_of_a_new_source_are_accounted_for_too(source: Source) -> None:
    work = source.line().work(1)
    parts = [Part(0, table_of([])), Part(1, table_of([item(2)]))]
    assert apply_activation(work, parts).counts == Counts(valid=1, inserted=1)
    assert [(row["part"], row["valid"]) for row in source.batches()] == [(0, 0), (1, 1)]


def test_more_than_a_hundred_quiet_parts_are_all_accounted_for(source: Source) -> None:
    line = source.line()
    rows = [item(f"{at:04}") for at in range(250)]
    line.ingest(rows)
    work, applied = line.apply(rows, size=1)
    batches = [row for row in source.batches() if row["activation_id"] == work.activation.activation_id]
    assert (len(batches), applied.counts) == (250, Counts(valid=250, unchanged=250))


def test_positions_of_large_parts_are_those_of_the_rows_they_name(source: Source) -> None:
    line = source.line()
    rows = [item(f"{at:05}") for at in range(12_000)]
    line.ingest(rows, 6_000)
    changed = {7, 5_999, 6_000, 6_001, 11_999}
    following = [item(f"{at:05}", "Changed" if at in changed else None) for at in range(12_000)]
    found = probed(line, following, size=6_000)
    assert told(found) == {0: ([7, 5_999], {"u": 2}), 1: ([0, 1, 5_999], {"u": 3})}
    assert line.ingest(following, size=6_000).counts == Counts(valid=12_000, updated=5, unchanged=11_995)
    assert {key for key, row in source.items().items() if row["name"] == "Changed"} == {f"{at:05}" for at in changed}


@pytest.mark.parametrize("step", ["probe", "apply"])
def test_no_temporary_table_outlives_its_transaction(source: Source, connection: Connection, step: str) -> None:
    line = source.line()
    line.ingest(LIVE)
    work: Work = line.work(len(NEXT))
    act: Any = probe if step == "probe" else apply_activation
    act(work, parts_of(NEXT))
    left = "select count(*) from pg_class where relnamespace = pg_my_temp_schema() and relkind = 'r'"
    assert connection.execute(left).fetchone() == (0,)
