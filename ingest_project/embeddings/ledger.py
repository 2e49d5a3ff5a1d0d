"""The fourth stage: embedding requests, derived from the items that an activation changed.

Deriving compares the wanted requests with the ledger and writes the difference, so it can be repeated at will: after a
crash between the items and their requests, the next attempt finds the same difference. The first requests of many new
items are made by ranges in parallel, each range and its count in one transaction: after a crash only the rest is made.
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
_IdRange = tuple[int | None, int | None]  # from (inclusive), to (exclusive); None is no bound


@dataclass(frozen=True)
class Derived:
    """Requests by what was done: `made` for new items, `renewed` for changed texts, `dropped` as no longer wanted.

    `answered` of those made or renewed need no embedding: the text went back to one whose vector is still there.
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
    """Bring the ledger up to date with this activation and end the activation, in one fenced transaction.

    Where there are many new items, their requests are made before it, in transactions of their own.
    """
    made_before, is_complete = _request_inserted_in_parallel(work)
    with work.transaction() as connection:
        connection.execute(_SQL["lock_source"], {"source_id": work.branch.source_id})
        values = _scope(connection, work)
        dropped: int = fetch_value(connection, _SQL["move_requests"], values)
        inserted_are_done = is_complete and len(values["activations"]) == 1
        made, renewed = _write_requests(connection, values, inserted_are_done=inserted_are_done)
        failpoints.reach("requests_derived")
        dropped += connection.execute(_SQL["drop_requests_of_deleted"], values).rowcount
        answered = 0
        if fetch_value(connection, _SQL["vectors_table_exists"]):
            answered = connection.execute(_SQL["settle_answered"], values).rowcount
            connection.execute(_SQL["drop_vectors_of_deleted"], values)
        if values["whole_branch"]:
            dropped += connection.execute(_SQL["drop_requests_of_unembedded"], values).rowcount
        done = activations.finish(connection, work.activation, requests=made + renewed - answered)
    failpoints.reach("activation_done")
    derived = Derived(work.on(done), made_before + made, renewed, dropped, answered)
    report(Progress("embedding_requests", derived.requests, derived.requests))
    return derived


def _request_inserted_in_parallel(work: Work) -> tuple[int, bool]:
    """Request the many items that this activation inserted: how many, and whether that is all of them."""
    id_ranges = _id_ranges(work, session_count(work, work.activation.inserted or 0))
    with closing(in_parallel(work, id_ranges, _request_range, len(id_ranges))) as outcomes:
        requested = list(outcomes)
    return sum(made for made, _ in requested), bool(requested) and all(is_complete for _, is_complete in requested)


def _id_ranges(work: Work, count: int) -> list[_IdRange]:
    """At most `count` ranges of the ids that the activation wrote; none where one statement is enough."""
    values = {"activation_id": work.activation.activation_id}
    row = work.connection.execute(_SQL["inserted_id_range"], values).fetchone() if count > 1 else None
    if row is None or row[0] is None:
        return []
    first, last = row
    return list(pairwise([None, *(first + (last + 1 - first) * at // count for at in range(1, count)), None]))


def _request_range(work: Work, id_range: _IdRange) -> tuple[int, bool]:
    values = {"activations": [work.activation.activation_id], "low": id_range[0], "high": id_range[1]}
    with work.transaction() as connection:
        connection.execute(_SQL["share_source"], {"source_id": work.branch.source_id})
        made, is_complete = _request_inserted(connection, values)
        activations.add_requests(connection, work.activation, made)
    failpoints.reach("requests_made")
    return made, is_complete


def _request_inserted(connection: Connection, values: dict[str, Any]) -> tuple[int, bool]:
    """Request inserted items by a plain insert: how many, and whether it succeeded.

    It fails where a request for another text exists, such as one that a new model is being filled with.
    """
    try:
        with connection.transaction():
            return connection.execute(_SQL["request_inserted"], values).rowcount, True
    except psycopg.errors.UniqueViolation:
        return 0, False


def _write_requests(connection: Connection, values: dict[str, Any], *, inserted_are_done: bool) -> tuple[int, int]:
    """How many requests were made and renewed."""
    made = 0
    if not inserted_are_done:
        made, inserted_are_done = _request_inserted(connection, {**values, "low": None, "high": None})
    row = connection.execute(_SQL["derive_requests"], {**values, "inserted_are_done": inserted_are_done}).fetchone()
    assert row is not None, "an aggregate"
    return made + row[0], row[1]


def _scope(connection: Connection, work: Work) -> dict[str, Any]:
    values = {
        "activation_id": work.activation.activation_id,
        "branch_id": work.branch.branch_id,
        "source_id": work.branch.source_id,
        "touched": bool(work.activation.touched),
    }
    row = connection.execute(_SQL["derivation_scope"], values).fetchone()
    assert row is not None
    return {**values, "activations": row[0], "whole_branch": row[1]}


def count_unrequested(work: Work) -> int:
    """How many items that this activation changed have no request for their current text."""
    return (
        fetch_value(work.connection, _SQL["count_unrequested"], {"activation_id": work.activation.activation_id}) or 0
    )
