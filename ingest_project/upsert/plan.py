"""Plans: what an ingest would do to core.items, by the same probe and with nothing written."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from psycopg import Cursor

from ingest_project.branches.work import Work
from ingest_project.upsert.batch import sorted_rows
from ingest_project.upsert.binary import copy_binary
from ingest_project.upsert.changes import differences
from ingest_project.upsert.gates import would_block
from ingest_project.upsert.item_statements import classify_statement, column_changes_statement, statement
from ingest_project.upsert.part import ValidPart
from ingest_project.upsert.probe import Probe, probe
from ingest_project.upsert.rank import kind_expression

PER_COLUMN = 3
_FIRST_ROWS = 20  # sampled beside those that are sure to cover every changed column
_MAX_SAMPLES = 200  # attributes are as many as the source likes


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
    reworded: int = 0  # updates that change the text that models embed
    by_column: dict[str, int] = field(default_factory=dict)
    samples: list[dict[str, Any]] = field(default_factory=list)
    saved: dict[str, Any] | None = None
    blocked_by: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def plan_activation(work: Work, parts: Sequence[ValidPart], *, save: bool = False) -> Plan:
    """Compute the plan. `save` stores the fingerprint of the live rows with it, so that it can be applied as it is."""
    valid = sum(part.valid for part in parts)
    probed = probe(work, parts, with_fingerprint=save)
    saved = {"live": probed.live, "at": datetime.now(UTC).isoformat()} if save else None
    if probed.source_is_new:
        return Plan(valid, 0, 0, 0, 0, 0, saved=saved)
    kinds = probed.kinds
    reworded, by_column, samples = _changes(work, parts, probed) if kinds["u"] + kinds["r"] else (0, {}, [])
    return Plan(
        inserted=kinds["i"],
        updated=kinds["u"] + kinds["r"],
        touched=kinds["t"],
        unchanged=valid - kinds.total(),
        stale=kinds["s"],
        missing=probed.missing.count,
        tombstoned=len(probed.missing.ids),
        reworded=reworded,
        by_column=by_column,
        samples=samples,
        saved=saved,
        blocked_by=would_block(work, probed, valid),
    )


def _changes(work: Work, parts: Sequence[ValidPart], probed: Probe) -> tuple[int, dict[str, int], list[dict[str, Any]]]:
    """How many updates change the embedded text, how many change each column, and samples of the changes."""
    source_id = work.branch.source_id
    with work.connection.transaction(), work.connection.cursor() as cursor:
        _stage_updates(cursor, parts, probed)
        cursor.execute(classify_statement("classify_stage", kind_expression(work), work.branch))
        row = cursor.execute(column_changes_statement(source_id)).fetchone()
        assert row is not None, "an aggregate"
        columns = [column.name for column in (cursor.description or ())[::3]]
        by_column = {name: count for name, count in zip(columns, row[::3], strict=True) if count}
        keys = sorted({key for key in (*row[1::3], *row[2::3]) if key is not None})
        values = {"source_id": source_id, "keys": keys, "count": _FIRST_ROWS}
        changed = cursor.execute(statement("sample_changes"), values).fetchall()
        reworded = cursor.execute(statement("count_reworded"), values).fetchone()
        assert reworded is not None, "an aggregate"
    return reworded[0], by_column, _samples_by_column(differences(changed), by_column)


def _stage_updates(cursor: Cursor[Any], parts: Sequence[ValidPart], probed: Probe) -> None:
    cursor.execute(statement("make_stage"))
    for part in parts:
        hits = probed.hits_of(part)
        if hits.kinds.keys() & {"u", "r"}:
            rows = part.load().take(pa.array(hits.positions))
            copy_binary(cursor, statement("copy_stage"), sorted_rows(rows))
    cursor.execute(statement("analyze_stage"))


def _samples_by_column(changes: list[dict[str, Any]], by_column: Mapping[str, int]) -> list[dict[str, Any]]:
    """A few changes of each column, the columns that change most often first."""
    by_field: dict[str, list[dict[str, Any]]] = {}
    for change in changes:
        by_field.setdefault(change["field"], []).append(change)
    # `source_updated_at` has no count, and so comes last: it differs wherever anything does.
    fields = sorted(by_field, key=lambda name: -by_column.get(name.partition(".")[0], 0))
    return [change for name in fields for change in by_field[name][:PER_COLUMN]][:_MAX_SAMPLES]
