"""Live items of a branch that an activation lacks: counted, and named where they are to be tombstoned."""

from dataclasses import dataclass, field

import numpy as np

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


def missing_items(work: Work, held: int) -> Missing:
    """What the probe table of the open transaction lacks, where `held` of its rows are live items of the branch.

    They are named by a join with all items of the branch, and else only counted: all live ones but those.
    """
    if work.activation.kind != "ingest":
        return Missing()
    if are_tombstoned(work):
        ids = _named(work)
        return Missing(len(ids), ids)
    row = work.connection.execute(_SQL["live_and_set_aside"], _values(work)).fetchone()
    live, set_aside = row if row else (0, 0)
    return Missing(max(live - held - set_aside, 0))  # another branch may have taken some over between the two looks


def _values(work: Work) -> dict[str, int]:
    branch = work.branch
    return {
        "source_id": branch.source_id,
        "branch_id": branch.branch_id,
        "activation_id": work.activation.activation_id,
    }


def _named(work: Work) -> Ids:
    blocks = [_nobody()]
    with work.connection.cursor("missing") as cursor:
        cursor.execute(_SQL["missing_items"], _values(work))
        while rows := cursor.fetchmany(50_000):
            blocks.append(np.array([item_id for (item_id,) in rows], np.int64))
    return np.sort(np.concatenate(blocks))
