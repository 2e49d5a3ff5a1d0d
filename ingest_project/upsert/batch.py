"""One part, one transaction: lock, classify again, write history, items and the batch row. All of it or nothing."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.compute as pc

from ingest_project import failpoints
from ingest_project.branches import activations, gates
from ingest_project.branches.work import Work
from ingest_project.errors import ActivationClosed
from ingest_project.item import KEY
from ingest_project.normalize.originals import originals_of
from ingest_project.postgres.connection import Connection, retried
from ingest_project.upsert.binary import copy_binary, with_constants
from ingest_project.upsert.counts import Counts
from ingest_project.upsert.item_statements import STAGED, classify_statement, statement
from ingest_project.upsert.part import ValidPart
from ingest_project.upsert.probe import Hits
from ingest_project.upsert.rank import kind_expression
from ingest_project.upsert.saved_plan import refuse_deviation

ACCEPTED = frozenset({"accepted"})
REPAIRABLE = frozenset({"committed", "done"})
_INTEGERS = {"activation_id": pa.int64(), **dict.fromkeys(("source_id", "branch_id", "priority", "part"), pa.int32())}


@dataclass(frozen=True)
class Batch:
    """A part to be written to core.items. A repair writes no batch row: that of the first time stands."""

    work: Work
    part: ValidPart
    repair: bool = False
    as_planned: bool = False

    def apply(self, hits: Hits) -> Counts:
        """Write the hits; the other rows stay as they are. Retried where Postgres asks for it."""
        return retried(lambda: self._apply(hits))

    def copy_in(self, hits: Hits) -> Counts:
        """Copy hits that are all new straight into the table; fall back to `apply` where a key exists after all."""
        try:
            return retried(lambda: self._copy_in(hits))
        except psycopg.errors.UniqueViolation:
            return self.apply(hits)

    # ── by way of the stage table ──────────────────────────────────────────────────────────────────────────

    def _apply(self, hits: Hits) -> Counts:
        rows = self._rows(hits)
        with self.work.transaction() as connection:
            if not self._must_be_written(connection):
                return Counts()
            failpoints.reach("batch_open")
            fill_stage(connection, rows)
            failpoints.reach("batch_staged")
            kinds = self._write_staged(connection)
            unchanged = self.part.valid - rows.num_rows - hits.stale + kinds["n"]
            counts = _counts_of(self.part.valid, kinds + Counter(s=hits.stale), unchanged)
            if self.as_planned:
                refuse_deviation(self.work, self.part.number, planned_counts(self.part, hits), counts)
            self.record(connection, counts)
        failpoints.reach("batch_committed")
        return counts

    def _write_staged(self, connection: Connection) -> Counter[str]:
        kind, totals = kind_expression(self.work, self.part.number), Counter[str]()
        while True:
            classify = classify_statement("classify_stage", kind, self.work.branch, lock=True)
            kinds = Counter[str](dict(connection.execute(classify).fetchall()))
            failpoints.reach("batch_locked")
            totals += kinds
            conflicts = kinds["i"] - self._write_kinds(connection, kinds)
            if not conflicts:
                return totals
            totals["i"] -= conflicts
            connection.execute(statement("reset_conflicting_inserts"))

    def _write_kinds(self, connection: Connection, kinds: Counter[str]) -> int:
        """Run the statements that these kinds need; how many rows were inserted."""
        values = self._values()
        if kinds["u"] or kinds["r"]:
            connection.execute(statement("record_history"), values)
        failpoints.reach("batch_history")
        if kinds["u"] or kinds["r"]:
            connection.execute(statement("update_items"), values)
        if kinds["t"]:
            connection.execute(statement("touch_items"), values)
        failpoints.reach("batch_updated")
        inserted = connection.execute(statement("insert_items"), values).rowcount if kinds["i"] else 0
        failpoints.reach("batch_inserted")
        return inserted

    # ── new rows, copied straight in ───────────────────────────────────────────────────────────────────────

    def _copy_in(self, hits: Hits) -> Counts:
        rows, counts = self._rows(hits), planned_counts(self.part, hits)
        with self.work.transaction() as connection:
            if not self._must_be_written(connection):
                return Counts()
            failpoints.reach("batch_open")
            ids = _reserve_ids(connection, rows.num_rows)
            with connection.cursor() as cursor:
                copy_binary(cursor, statement("copy_items"), self._item_rows(rows, ids))
                failpoints.reach("batch_inserted")
                copy_binary(cursor, statement("copy_history"), self._history_rows(ids))
            self.record(connection, counts)
        failpoints.reach("batch_committed")
        return counts

    def _item_rows(self, rows: pa.Table, ids: pa.Array) -> pa.Table:
        values = {name: pa.scalar(value, _INTEGERS[name]) for name, value in self._values().items()}
        table = with_constants(pa.table({"item_id": ids}), {"source_id": values["source_id"]})
        for name in STAGED:
            table = table.append_column(name, rows[name])
        owner = {name: values[name] for name in ("priority", "branch_id", "activation_id")}
        return with_constants(table, {**owner, "created": values["activation_id"], "part": values["part"]})

    def _history_rows(self, ids: pa.Array) -> pa.Table:
        activation = pa.repeat(pa.scalar(self.work.activation.activation_id), len(ids))
        table = pa.table({"activation": activation, "item_id": ids})
        return with_constants(table, {"version": pa.scalar(1, pa.int32()), "op": "i"})

    # ── both ───────────────────────────────────────────────────────────────────────────────────────────────

    def _rows(self, hits: Hits) -> pa.Table:
        rows = self.part.load()
        return sorted_rows(rows if len(hits.positions) == rows.num_rows else rows.take(pa.array(hits.positions)))

    def _values(self) -> dict[str, Any]:
        work = self.work
        return {
            "source_id": work.branch.source_id,
            "branch_id": work.branch.branch_id,
            "activation_id": work.activation.activation_id,
            "priority": work.spec.priority,
            "part": self.part.number,
        }

    def _must_be_written(self, connection: Connection) -> bool:
        allowed = REPAIRABLE if self.repair else ACCEPTED
        return not is_done(connection, self.work, self.part.number, allowed) or self.repair

    def record(self, connection: Connection, counts: Counts) -> None:
        """Write the batch row, in the caller's fenced transaction."""
        if self.repair:
            return
        lease = self.work.lease
        values = {**self._values(), **asdict(counts), "epoch": lease.epoch, "run_id": lease.run_id}
        connection.execute(statement("record_batch"), values)
        self._mark_replayed(connection)
        failpoints.reach("batch_row")

    def _mark_replayed(self, connection: Connection) -> None:
        original = originals_of(self.work.activation).get(self.part.number)
        if original is not None:
            values = {"activation_id": self.work.activation.activation_id, "part": self.part.number}
            connection.execute(
                statement("mark_replayed"), {**values, **asdict(original), "original": original.activation}
            )


def is_done(connection: Connection, work: Work, part: int, allowed: frozenset[str]) -> bool:
    """Whether a part is in core already, read in the caller's transaction.

    Raises GateBlocked or ActivationClosed where the activation is in none of the `allowed` states.
    """
    values = {"activation_id": work.activation.activation_id, "part": part}
    row = connection.execute(statement("read_state"), values).fetchone()
    state, done = row if row else ("unknown", False)
    if state == "blocked":
        blocked = activations.get(connection, work.branch.branch_id, work.activation.activation_id)
        gates.refuse_blocked(connection, work.branch.name, blocked)
    if state not in allowed:
        raise ActivationClosed(f"this activation is {state} and is not written to core", where=work.where)
    return done


def sorted_rows(rows: pa.Table) -> pa.Table:
    """Rows sorted by the bytes of their keys: index inserts stay local, and all writers lock in one order."""
    rows = rows.select(list(STAGED))
    keys = rows[KEY].combine_chunks()
    is_sorted = pc.all(pc.less_equal(keys[:-1], keys[1:])).as_py()  # most files are, and sorting copies every column
    return rows if is_sorted else rows.sort_by(KEY)


def fill_stage(connection: Connection, rows: pa.Table) -> None:
    """Create and fill the stage table of the open transaction."""
    connection.execute(statement("make_stage"))
    with connection.cursor() as cursor:
        copy_binary(cursor, statement("copy_stage"), rows)
    connection.execute(statement("analyze_stage"))


def _reserve_ids(connection: Connection, count: int) -> pa.Array:
    with connection.cursor(binary=True) as cursor:
        row = cursor.execute(statement("reserve_ids"), {"count": count}).fetchone()
    return pa.array(np.frombuffer(row[0] if row else b"", ">i8").astype(np.int64))


def planned_counts(part: ValidPart, hits: Hits) -> Counts:
    """The counts that a part will have, by the probe."""
    return _counts_of(part.valid, Counter(hits.kinds), part.valid - sum(hits.kinds.values()))


def _counts_of(valid: int, kinds: Counter[str], unchanged: int) -> Counts:
    return Counts(
        valid=valid,
        inserted=kinds["i"],
        updated=kinds["u"] + kinds["r"],
        touched=kinds["t"],
        unchanged=unchanged,
        stale=kinds["s"],
    )
