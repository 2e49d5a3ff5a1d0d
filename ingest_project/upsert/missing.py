"""Live items of a branch that an activation lacks: counted, and named where they are to be tombstoned."""

from dataclasses import dataclass, field
from typing import LiteralString

import numpy as np
from psycopg import sql

from ingest_project.branches.work import Work
from ingest_project.postgres import statements

_SQL = statements.load(__name__, "missing.sql")
Ids = np.ndarray[tuple[int], np.dtype[np.int64]]


def _nobody() -> Ids:
    return np.empty(0, np.int64)


@dataclass(frozen=True)
class Missing:
    """How many there are; `ids`, eight bytes each, only where the branch tombstones them."""

    count: int = 0
    ids: Ids = field(default_factory=_nobody, compare=False)


def are_tombstoned(work: Work) -> bool:
    """Whether the activation says what there is: a replay brings single rows, and says nothing of the others."""
    return work.spec.missing == "tombstone" and work.activation.kind == "ingest"


def missing_items(work: Work) -> Missing:
    """What the probe table of the open transaction lacks."""
    if work.activation.kind != "ingest":
        return Missing()
    values = {"branch_id": work.branch.branch_id, "activation_id": work.activation.activation_id}
    if not are_tombstoned(work):
        row = work.connection.execute(missing_text("count(*)"), values).fetchone()
        return Missing(row[0] if row else 0)
    blocks = [_nobody()]
    with work.connection.cursor("missing") as cursor:
        cursor.execute(missing_text("i.item_id"), values)
        while rows := cursor.fetchmany(50_000):
            blocks.append(np.array([item_id for (item_id,) in rows], np.int64))
    ids = np.sort(np.concatenate(blocks))
    return Missing(len(ids), ids)


def missing_text(wanted: LiteralString) -> sql.Composed:
    """What is wanted of the missing items `i`."""
    return _SQL["missing_items"].format(wanted=sql.SQL(wanted))
