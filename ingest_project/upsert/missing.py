"""Missing items: live items of a branch that an activation does not carry.

They are counted; where the branch tombstones them, their ids are collected as well.
"""

from dataclasses import dataclass, field

import numpy as np

from ingest_project.branches.work import Work
from ingest_project.postgres import statements
from ingest_project.postgres.connection import fetch_value
from ingest_project.upsert.key_ranges import KeyRange

_SQL = statements.load(__name__, "missing.sql")
Ids = np.ndarray[tuple[int], np.dtype[np.int64]]
_FETCHED = 50_000  # ids in one round trip


def _no_ids() -> Ids:
    return np.empty(0, np.int64)


@dataclass(frozen=True)
class Missing:
    """How many items are missing; `ids` (eight bytes each) only where the branch tombstones them."""

    count: int = 0
    ids: Ids = field(default_factory=_no_ids, compare=False)


def should_tombstone_missing(work: Work) -> bool:
    """Whether this activation tombstones what it lacks. A replay never does: it brings back single rows."""
    return work.spec.missing == "tombstone" and work.activation.kind == "ingest"


def find_missing(work: Work) -> Missing:
    """The missing items with their ids, by a join of the open transaction's probe table with the whole branch."""
    blocks = [_no_ids()]
    with work.connection.cursor("missing") as cursor:
        cursor.execute(_SQL["find_missing"], _values(work))
        while rows := cursor.fetchmany(_FETCHED):
            blocks.append(np.array([item_id for (item_id,) in rows], np.int64))
    ids = np.sort(np.concatenate(blocks))
    return Missing(len(ids), ids)


def count_missing(work: Work, carried: int) -> Missing:
    """How many live items the branch has beyond the `carried` ones, counted in the same snapshot."""
    if work.activation.kind != "ingest":
        return Missing()
    return Missing(_count(work, "count_live_items") - carried)


def count_rejected_only(work: Work, key_range: KeyRange) -> int:
    """How many live items of a key range the activation carries only as rejects.

    The probe table of the open transaction holds the keys of that range.
    """
    if work.activation.kind != "ingest":
        return 0
    return _count(work, "count_rejected_only", low=key_range.low, high=key_range.high)


def _count(work: Work, name: str, **values: object) -> int:
    return fetch_value(work.connection, _SQL[name], {**_values(work), **values}) or 0


def _values(work: Work) -> dict[str, object]:
    branch = work.branch
    return {
        "source_id": branch.source_id,
        "branch_id": branch.branch_id,
        "activation_id": work.activation.activation_id,
    }
