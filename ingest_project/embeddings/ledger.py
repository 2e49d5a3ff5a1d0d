"""The fourth stage: requests derived from what an activation changed, never sent.

Deriving compares the wanted state with the ledger and writes the difference, so it can be repeated at will: after a
crash between the items and their requests, the next attempt finds the same difference.
"""

from dataclasses import dataclass
from typing import Any

import psycopg

from ingest_project import failpoints
from ingest_project.branches import activations
from ingest_project.branches.work import Work
from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection
from ingest_project.telemetry import Progress, report

_SQL = statements.load(__name__, "ledger.sql")


@dataclass(frozen=True)
class Derived:
    """`made`: first requests of items; `renewed`: text changed since; `dropped`: items deleted, or not embedded."""

    work: Work
    made: int
    renewed: int
    dropped: int

    @property
    def requests(self) -> int:
        return self.made + self.renewed


def derive_requests(work: Work) -> Derived:
    """Bring the ledger to what this activation changed and end the activation, in one fenced transaction."""
    values = {"activation_id": work.activation.activation_id, "branch_id": work.branch.branch_id}
    with work.transaction() as connection:
        connection.execute(_SQL["lock_source"], {"source_id": work.branch.source_id})
        values |= _reach(connection, values)
        made, renewed = _requested(connection, values)
        failpoints.reach("requests_derived")
        dropped = connection.execute(_SQL["drop_requests_of_deleted"], values).rowcount
        if connection.execute(_SQL["vectors_are_kept"]).fetchone() == (True,):
            connection.execute(_SQL["drop_vectors_of_deleted"], values)
        if values["whole_branch"]:
            dropped += connection.execute(_SQL["drop_requests_of_unembedded"], values).rowcount
        done = activations.finish(connection, work.activation, requests=made + renewed)
    failpoints.reach("activation_done")
    report(Progress("embedding_requests", made + renewed, made + renewed))
    return Derived(work.on(done), made, renewed, dropped)


def _requested(connection: Connection, values: dict[str, Any]) -> tuple[int, int]:
    made, is_plain = 0, True
    try:
        with connection.transaction():
            made = connection.execute(_SQL["request_inserted"], values).rowcount
    except psycopg.errors.UniqueViolation:
        is_plain = False  # such as one that a new model is being filled with
    row = connection.execute(_SQL["derive_requests"], {**values, "inserted_have_theirs": is_plain}).fetchone()
    assert row is not None
    return made + row[0], row[1]


def _reach(connection: Connection, values: dict[str, Any]) -> dict[str, Any]:
    row = connection.execute(_SQL["reach_of_derivation"], values).fetchone()
    assert row is not None
    return {"activations": row[0], "whole_branch": row[1]}


def unrequested(work: Work) -> int:
    """Items changed by this activation that lack a request for what they say now."""
    row = work.connection.execute(_SQL["unrequested"], {"activation_id": work.activation.activation_id}).fetchone()
    return row[0] if row else 0
