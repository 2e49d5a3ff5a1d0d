"""Rollback of an activation: inserted items are withdrawn; changed, deleted and revived ones become as they were.

A rollback is an activation of its own kind, outside the sequence of the branch's ingests. It is recorded before its
first item, works in fenced transactions of bounded size, each with its history and its batch row, and can be resumed
after a crash. Touches are not undone: they changed no content.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from psycopg import sql

from ingest_project import failpoints
from ingest_project.branches import activations
from ingest_project.branches.activations import Activation
from ingest_project.branches.registry import Branch
from ingest_project.branches.work import Work
from ingest_project.errors import ActivationClosed, ActivationUnknown, RollbackRefused, UsageError
from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection, fetch_value, retried
from ingest_project.postgres.leases import Lease, fenced
from ingest_project.telemetry import Progress, log, report
from ingest_project.upsert import item_statements
from ingest_project.upsert.batch import ACCEPTED, is_done
from ingest_project.upsert.counts import Counts
from ingest_project.upsert.item_statements import CONTENT
from ingest_project.upsert.rank import NO_RANK

_RAW = statements.load(__name__, "rollback.sql")
_RESTORED = (
    *CONTENT,
    "source_updated_at",
    "priority",
    "branch_id",
    "activation_id",
    "created_activation_id",
    "part",
    "deleted_at",
)
_AT_ONCE = 10_000  # items in one transaction
_MAX_NAMED = 10  # conflicting items in a message
_LIST_ACTIVATIONS = "`ingest status NAME` shows the activations of a branch."
_STAGE = "rollback"


@dataclass(frozen=True)
class Undo:
    """What a rollback would undo, by operation; touches are not undone.

    `conflicts` items were changed again since; `changed_later` names the first of them, as (key, activation).
    """

    inserts: int = 0
    updates: int = 0
    tombstones: int = 0
    revives: int = 0
    touches: int = 0
    conflicts: int = 0
    changed_later: list[tuple[str, int]] = field(default_factory=list)

    @property
    def items(self) -> int:
        return self.inserts + self.updates + self.tombstones + self.revives


def statement(name: str) -> sql.SQL | sql.Composed:
    """A statement of rollback.sql with its columns filled in."""
    raw = _RAW[name]
    match name:
        case "changed_later" | "classify_undo":
            return raw.format(changed_by=_RAW["changed_by"])
        case "restore":
            return raw.format(columns=_column_list(), values=_column_list("r"))
        case _:
            return raw


def _column_list(*prefix: str) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(*prefix, name) for name in _RESTORED)


# ── preview ────────────────────────────────────────────────────────────────────────────────────────────────────


def branch_of(connection: Connection, activation_id: int) -> str:
    """The name of the branch of an activation. Raises ActivationUnknown."""
    row = connection.execute(statement("branch_of"), {"activation_id": activation_id}).fetchone()
    if row is None:
        raise ActivationUnknown(
            f"there is no activation {activation_id}", where={"activation": activation_id}, todo=_LIST_ACTIVATIONS
        )
    return row[0]


def preview(connection: Connection, branch: Branch, target: Activation) -> Undo:
    """What rolling back `target` would undo, and which later changes conflict with it; nothing is written.

    Raises UsageError, ActivationClosed where there is nothing to undo, RollbackRefused where the history is gone.
    """
    _refuse_unfit(connection, branch, target)
    values = {"undoes": target.activation_id, "source_id": branch.source_id, "count": _MAX_NAMED}
    ops: dict[str, int] = dict(connection.execute(statement("count_changes_by_op"), values).fetchall())
    later = connection.execute(statement("changed_later"), values).fetchall()
    return Undo(
        inserts=ops.get("i", 0),
        updates=ops.get("u", 0),
        tombstones=ops.get("d", 0),
        revives=ops.get("r", 0),
        touches=target.touched or 0,
        conflicts=later[0][0] if later else 0,
        changed_later=[(key, changed_by) for _, key, changed_by in later],
    )


def _refuse_unfit(connection: Connection, branch: Branch, target: Activation) -> None:
    where: dict[str, object] = {"branch": branch.name, "activation": target.activation_id}
    if target.kind == "rollback":
        raise UsageError(
            f"activation {target.activation_id} is itself the rollback of {target.undoes}",
            where=where,
            todo=f"`ingest run {branch.name}` ingests the branch as it is now, and so brings back what it still holds.",
        )
    if target.state == "rolled_back":
        raise ActivationClosed(
            f"activation {target.activation_id} is rolled back already",
            where=where,
            todo=f"`ingest run {branch.name}` ingests the branch as it is now, as a new activation.",
        )
    if target.committed_at is None and not activations.has_batches(connection, target):
        raise ActivationClosed(
            f"activation {target.activation_id} is {target.state} and nothing of it is in core.items",
            where=where,
            todo="Nothing is to be undone.",
        )
    _refuse_pruned(connection, target, where)


def _refuse_pruned(connection: Connection, target: Activation, where: dict[str, object]) -> None:
    values = {"undoes": target.activation_id}
    row = connection.execute(statement("history_exists"), values).fetchone()
    exists, pruned_at = row or (False, None)
    if exists and _history_is_complete(connection, values):
        return
    when: datetime | None = pruned_at
    raise RollbackRefused(
        f"the history of activation {target.activation_id}"
        f"{f', of {target.committed_at:%Y-%m-%d},' if target.committed_at else ''} is not kept any more"
        f"{f': it was pruned on {when:%Y-%m-%d}' if when else ''}",
        where=where,
        todo="What it changed cannot be told any more. Mend the source and ingest it again: newer rows win.",
    )


def _history_is_complete(connection: Connection, values: dict[str, Any]) -> bool:
    recorded = fetch_value(connection, statement("count_recorded_changes"), values) or 0
    kept = connection.execute(statement("count_changes_by_op"), values).fetchall()
    return sum(count for _, count in kept) >= recorded


def _refuse_conflicts(branch: Branch, target: Activation, undo: Undo) -> None:
    if not undo.conflicts:
        return
    named = ", ".join(f"{key!r} (by activation {changed_by})" for key, changed_by in undo.changed_later)
    more = f" and {undo.conflicts - len(undo.changed_later):,} more" if undo.conflicts > len(undo.changed_later) else ""
    raise RollbackRefused(
        f"{undo.conflicts:,} of the {undo.items:,} items that activation {target.activation_id} changed were changed "
        f"again since: {named}{more}",
        where={"branch": branch.name, "activation": target.activation_id},
        todo="Roll those activations back first, the newest before the others; or mend the source and ingest it again.",
    )


# ── undoing ────────────────────────────────────────────────────────────────────────────────────────────────────


def begin(connection: Connection, lease: Lease, branch: Branch, target_id: int) -> Work:
    """Record the rollback of an activation, or resume one that was recorded; nothing of it is undone yet.

    Raises UsageError, ActivationClosed, RollbackRefused, and then nothing is changed.
    """
    with fenced(connection, lease):
        target = activations.get(connection, branch.branch_id, target_id)
        rollback = activations.rollback_of(connection, target_id)
        if rollback is None or rollback.state == "done":
            undo = preview(connection, branch, target)
            _refuse_conflicts(branch, target, undo)
            rollback = activations.begin_rollback(
                connection, target, spec=branch.spec, holder=lease.holder, items=undo.items, plan=asdict(undo)
            )
    failpoints.reach("rollback_begun")
    return Work(connection, lease, branch, rollback)


def undo_all(work: Work) -> Work:
    """Undo every item of a rollback that was begun, and commit it. The caller derives the embedding requests."""
    if work.activation.committed_at:
        return work
    done = 0
    for part, ids in _blocks(work):
        done += retried(partial(_undo, work, part, ids))
        report(Progress(_STAGE, done, work.activation.valid))
    with work.transaction() as connection:
        values = {
            "activation_id": work.activation.activation_id,
            "branch_id": work.branch.branch_id,
            "undoes": work.activation.undoes,
        }
        connection.execute(statement("reopen_replayed_rejects"), values)
        withdrawn = fetch_value(connection, statement("count_withdrawn"), values)
        committed = activations.commit(connection, work.activation, missing=0, tombstoned=withdrawn)
    failpoints.reach("rollback_committed")
    return work.on(committed)


def _blocks(work: Work) -> Iterator[tuple[int, list[int]]]:
    # The history of the undone activation does not change any more, so a resumed rollback gets the same blocks.
    part, after = 0, 0
    while True:
        values = {"undoes": work.activation.undoes, "after": after, "count": _AT_ONCE}
        ids = [item_id for (item_id,) in work.connection.execute(statement("items_to_undo"), values).fetchall()]
        if not ids:
            return
        yield part, ids
        part, after = part + 1, ids[-1]


def _undo(work: Work, part: int, ids: list[int]) -> int:
    values: dict[str, Any] = {
        "undoes": work.activation.undoes,
        "activation_id": work.activation.activation_id,
        "source_id": work.branch.source_id,
        "no_rank": NO_RANK,
        "ids": ids,
    }
    with work.transaction() as connection:
        if is_done(connection, work, part, ACCEPTED):
            return len(ids)
        for name in ("make_undo", "name_inserted", "analyze_undo", "lock_to_undo", "classify_undo", "record_undone"):
            connection.execute(statement(name), values)
        failpoints.reach("rollback_kept")
        connection.execute(statement("restore"), values)
        connection.execute(statement("withdraw"), values)
        failpoints.reach("rollback_written")
        _record_batch(connection, work, part)
    failpoints.reach("rollback_batch_committed")
    return len(ids)


def _record_batch(connection: Connection, work: Work, part: int) -> None:
    row = connection.execute(statement("count_undone")).fetchone()
    items, undone = row or (0, 0)
    if undone < items:
        log.warning("%d items were changed by another activation meanwhile: they stay as they are", items - undone)
    counts = Counts(valid=items, updated=undone, stale=items - undone)
    lease = work.lease
    connection.execute(
        item_statements.statement("record_batch"),
        {
            "activation_id": work.activation.activation_id,
            "part": part,
            **asdict(counts),
            "epoch": lease.epoch,
            "run_id": lease.run_id,
        },
    )
