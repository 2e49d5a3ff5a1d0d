"""Live items of a branch that an activation lacks: counted, and named where they are to be tombstoned."""

from dataclasses import dataclass, field

import numpy as np

from ingest_project.branches.work import Work
from ingest_project.postgres import statements
from ingest_project.postgres.connection import fetch_value
from ingest_project.upsert.key_ranges import KeyRange

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


def named(work: Work) -> Missing:
    """What the probe table of the open transaction lacks, by a join with all items of the branch."""
    ids = _named(work)
    return Missing(len(ids), ids)


def set_aside(work: Work, key_range: KeyRange) -> int:
    """How many items of a range occur in rejects only; the probe table of the open transaction holds that range."""
    return _count(work, "set_aside", low=key_range.low, high=key_range.high) if work.activation.kind == "ingest" else 0


def counted(work: Work, carried: int) -> Missing:
    """How many live items of the branch there are beside those that are carried, as seen at one moment."""
    if work.activation.kind != "ingest":
        return Missing()
    return Missing(_count(work, "live_items") - carried)


def _count(work: Work, name: str, **more: object) -> int:
    return fetch_value(work.connection, _SQL[name], {**_values(work), **more}) or 0


def _values(work: Work) -> dict[str, object]:
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
