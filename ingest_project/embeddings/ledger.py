"""The fourth stage: requests derived from what an activation changed, never sent.

Deriving compares the wanted state with the ledger and writes the difference, so it can be repeated at will: after a
crash between the items and their requests, the next attempt finds the same difference. First requests of many items
are made in pieces in parallel, each with its count in one transaction: what a crash leaves of them is not made again.
"""

from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import psycopg

from ingest_project import failpoints
from ingest_project.branches import activations
from ingest_project.branches.work import Work
from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection, fetch_value
from ingest_project.telemetry import Progress, report
from ingest_project.upsert.parallel import in_parallel, session_count

_SQL = statements.load(__name__, "ledger.sql")
_Range = tuple[int | None, int | None]


@dataclass(frozen=True)
class Derived:
    """`made`: first requests of items; `renewed`: text changed since; `dropped`: items deleted, or not embedded.

    `answered` of those made or renewed have their vector: a text that went back.
    """

    work: Work
    made: int
    renewed: int
    dropped: int
    answered: int = 0

    @property
    def requests(self) -> int:
        return self.made + self.renewed - self.answered


def derive_requests(work: Work) -> Derived:
    """Bring the ledger to what this activation changed and end the activation, in one fenced transaction.

    Many first requests are made before it, in transactions of their own.
    """
    before, is_left = _made_in_parallel(work)
    with work.transaction() as connection:
        connection.execute(_SQL["lock_source"], {"source_id": work.branch.source_id})
        values = _reach(connection, work)
        dropped: int = fetch_value(connection, _SQL["move_requests"], values)
        made, renewed = _requested(connection, values, is_left=is_left or len(values["activations"]) > 1)
        failpoints.reach("requests_derived")
        dropped += connection.execute(_SQL["drop_requests_of_deleted"], values).rowcount
        answered = 0
        if fetch_value(connection, _SQL["vectors_are_kept"]):
            answered = connection.execute(_SQL["settle_answered"], values).rowcount
            connection.execute(_SQL["drop_vectors_of_deleted"], values)
        if values["whole_branch"]:
            dropped += connection.execute(_SQL["drop_requests_of_unembedded"], values).rowcount
        done = activations.finish(connection, work.activation, requests=made + renewed - answered)
    failpoints.reach("activation_done")
    derived = Derived(work.on(done), before + made, renewed, dropped, answered)
    report(Progress("embedding_requests", derived.requests, derived.requests))
    return derived


def _made_in_parallel(work: Work) -> tuple[int, bool]:
    """First requests for the many items that this activation inserted: how many, and whether any are left to make."""
    ranges = _ranges(work, session_count(work, work.activation.inserted or 0))
    with closing(in_parallel(work, ranges, _make_range, len(ranges))) as pieces:
        done = list(pieces)
    return sum(made for made, _ in done), not (done and all(is_whole for _, is_whole in done))


def _ranges(work: Work, count: int) -> list[_Range]:
    # Open at both ends: whatever it inserted is in one of them.
    values = {"activation_id": work.activation.activation_id}
    row = work.connection.execute(_SQL["ids_inserted"], values).fetchone() if count > 1 else None
    if row is None or row[0] is None:
        return []
    first, last = row
    return list(pairwise([None, *(first + (last + 1 - first) * at // count for at in range(1, count)), None]))


def _make_range(work: Work, items: _Range) -> tuple[int, bool]:
    values = {"activations": [work.activation.activation_id], "low": items[0], "high": items[1]}
    with work.transaction() as connection:
        connection.execute(_SQL["share_source"], {"source_id": work.branch.source_id})
        made, is_whole = _inserted(connection, values)
        activations.add_requests(connection, work.activation, made)
    failpoints.reach("requests_made")
    return made, is_whole


def _inserted(connection: Connection, values: dict[str, Any]) -> tuple[int, bool]:
    """How many first requests were made, and whether that was all that had to be looked at."""
    try:
        with connection.transaction():
            return connection.execute(_SQL["request_inserted"], values).rowcount, True
    except psycopg.errors.UniqueViolation:
        return 0, False  # such as one that a new model is being filled with


def _requested(connection: Connection, values: dict[str, Any], *, is_left: bool) -> tuple[int, int]:
    made, is_plain = _inserted(connection, {**values, "low": None, "high": None}) if is_left else (0, True)
    row = connection.execute(_SQL["derive_requests"], {**values, "inserted_have_theirs": is_plain}).fetchone()
    assert row is not None
    return made + row[0], row[1]


def _reach(connection: Connection, work: Work) -> dict[str, Any]:
    values = {
        "activation_id": work.activation.activation_id,
        "branch_id": work.branch.branch_id,
        "source_id": work.branch.source_id,
        "touched": bool(work.activation.touched),
    }
    row = connection.execute(_SQL["reach_of_derivation"], values).fetchone()
    assert row is not None
    return {**values, "activations": row[0], "whole_branch": row[1]}


def unrequested(work: Work) -> int:
    """Items changed by this activation that lack a request for what they say now."""
    return fetch_value(work.connection, _SQL["unrequested"], {"activation_id": work.activation.activation_id}) or 0
