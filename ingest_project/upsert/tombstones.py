"""Tombstones for items that a branch no longer carries: after all parts, in fenced transactions of bounded size.

Only where the branch file says `missing: tombstone`, and for no greater share of the live items than it allows.
After a crash the next run goes on with those that are still live: the history tells which ones are done.
"""

from collections.abc import Iterator, Sequence
from functools import partial

from ingest_project import failpoints
from ingest_project.branches.gates import Gate
from ingest_project.branches.work import Work
from ingest_project.postgres import statements
from ingest_project.postgres.connection import fetch_value, retried
from ingest_project.telemetry import Progress, report
from ingest_project.upsert.batch import ACCEPTED, is_done
from ingest_project.upsert.missing import Missing, should_tombstone_missing

_SQL = statements.load(__name__, "tombstones.sql")
_AT_ONCE = 10_000  # items in one transaction
_NO_PART = -1


def shrink_gate(work: Work, missing: Missing) -> Gate | None:
    """The share of live items that would be tombstoned, against its limit; None where there are none."""
    if not len(missing.ids):
        return None
    live = fetch_value(work.connection, _SQL["count_live_items"], {"branch_id": work.branch.branch_id}) or 0
    what = f"{missing.count:,} of {live:,} live items are missing and would be tombstoned"
    return Gate("shrink_ratio", missing.count / max(live, 1), work.spec.limits.of("shrink_ratio", live), what)


def tombstone_missing(work: Work, missing: Missing) -> tuple[int, int]:
    """Tombstone the missing items of an accepted activation, where its branch does so.

    Returns how many items were missing and how many of them are tombstoned, earlier attempts included. Raises Fenced,
    GateBlocked, ActivationClosed.
    """
    if not should_tombstone_missing(work):
        return missing.count, 0
    before = _count_tombstones(work)
    for done, ids in _blocks(missing.ids.tolist()):
        retried(partial(_tombstone, work, ids))
        report(Progress("tombstones", done, missing.count))
    # Items that an earlier attempt has tombstoned are not live any more, so `missing` lacks them.
    return before + missing.count, _count_tombstones(work)


def _count_tombstones(work: Work) -> int:
    values = {"activation_id": work.activation.activation_id}
    return fetch_value(work.connection, _SQL["count_tombstones"], values) or 0


def _blocks(ids: Sequence[int]) -> Iterator[tuple[int, Sequence[int]]]:
    """Blocks of ids, each with the number of ids up to its end."""
    for start in range(0, len(ids), _AT_ONCE):
        block = ids[start : start + _AT_ONCE]
        yield start + len(block), block


def _tombstone(work: Work, ids: Sequence[int]) -> None:
    values = {"ids": ids, "branch_id": work.branch.branch_id, "activation_id": work.activation.activation_id}
    with work.transaction() as connection:
        is_done(connection, work, _NO_PART, ACCEPTED)  # raises where the activation may not be written
        failpoints.reach("tombstones_open")
        connection.execute(_SQL["lock_missing"], values)
        connection.execute(_SQL["record_tombstones"], values)
        failpoints.reach("tombstones_kept")
        connection.execute(_SQL["tombstone"], values)
        failpoints.reach("tombstones_written")
    failpoints.reach("tombstones_committed")
