"""What an ingest would do to core.items: the same probe, nothing written."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from ingest_project.branches.work import Work
from ingest_project.upsert.batch import sorted_rows
from ingest_project.upsert.binary import copy_binary
from ingest_project.upsert.changes import differences
from ingest_project.upsert.gates import would_block
from ingest_project.upsert.item_statements import counting, judging, statement
from ingest_project.upsert.part import ValidPart
from ingest_project.upsert.probe import Probe, probe
from ingest_project.upsert.rank import kind_of

PER_COLUMN = 3
_FIRST = 20  # rows looked at beside those that are sure to differ in some column
_MOST = 200  # attributes are as many as the source likes


@dataclass(frozen=True)
class Plan:
    """Counts as an ingest would have them, updates per column with samples of each, and gates that would stop it."""

    inserted: int
    updated: int
    touched: int
    unchanged: int
    stale: int
    missing: int
    tombstoned: int = 0
    reworded: int = 0  # updates by which the text changes that models embed
    by_column: dict[str, int] = field(default_factory=dict)
    samples: list[dict[str, Any]] = field(default_factory=list)
    saved: dict[str, Any] | None = None
    blocked_by: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def plan_activation(work: Work, parts: Sequence[ValidPart], *, save: bool = False) -> Plan:
    """Compute the plan; its tables end with their transaction. `save` keeps what it stands on with it."""
    valid = sum(part.valid for part in parts)
    found = probe(work, parts, live=save)
    saved = {"live": found.live, "at": datetime.now(UTC).isoformat()} if save else None
    if found.source_is_new:
        return Plan(valid, 0, 0, 0, 0, 0, saved=saved)
    kinds = {kind: sum(hits.kinds.get(kind, 0) for hits in found.hits.values()) for kind in "iurts"}
    reworded, by_column, samples = _changes(work, parts, found) if kinds["u"] + kinds["r"] else (0, {}, [])
    return Plan(
        inserted=kinds["i"],
        updated=kinds["u"] + kinds["r"],
        touched=kinds["t"],
        unchanged=valid - sum(kinds.values()),
        stale=kinds["s"],
        missing=found.missing.count,
        tombstoned=len(found.missing.ids),
        reworded=reworded,
        by_column=by_column,
        samples=samples,
        saved=saved,
        blocked_by=would_block(work, found, valid),
    )


def _changes(work: Work, parts: Sequence[ValidPart], found: Probe) -> tuple[int, dict[str, int], list[dict[str, Any]]]:
    connection = work.connection
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(statement("make_stage"))
        for part in parts:
            hits = found.hits.get(part.number)
            if hits and hits.kinds.keys() & {"u", "r"}:
                rows = part.load().take(pa.array(hits.positions))
                copy_binary(cursor, statement("copy_stage"), sorted_rows(rows))
        cursor.execute(statement("analyze_stage"))
        cursor.execute(judging("judge_stage", kind_of(work), work.branch))
        row = cursor.execute(counting(work.branch.source_id)).fetchone()
        assert row is not None, "an aggregate"
        counted = {column.name: row[3 * at] for at, column in enumerate((cursor.description or ())[::3])}
        keys = sorted({key for at, key in enumerate(row) if at % 3 and key is not None})
        values = {"source_id": work.branch.source_id, "keys": keys, "count": _FIRST}
        changed = cursor.execute(statement("sample_changes"), values).fetchall()
        reworded = cursor.execute(statement("count_reworded"), values).fetchone()
        assert reworded is not None
    by_column = {name: count for name, count in counted.items() if count}
    return reworded[0], by_column, _some_of_each(differences(changed), by_column)


def _some_of_each(found: list[dict[str, Any]], by_column: Mapping[str, int]) -> list[dict[str, Any]]:
    """A few of each column, the columns that change most often first."""
    kept: dict[str, list[dict[str, Any]]] = {}
    for one in found:
        kept.setdefault(one["field"], []).append(one)
    # Times are no column of content: they differ wherever anything does.
    often = sorted(kept, key=lambda name: -by_column.get(name.partition(".")[0], 0))
    return [one for name in often for one in kept[name][:PER_COLUMN]][:_MOST]
