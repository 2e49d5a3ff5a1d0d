"""The state of all branches, from the views of the schema: what `ingest status` shows."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg.rows import class_row

from ingest_project.branches.activations import Activation
from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection

_SQL = statements.load(__name__, "overview.sql")


@dataclass(frozen=True)
class Overview:
    """Of one branch. `pulse_age`: since the holder was last heard of; `source_age`: since what is in core was written.

    `claims_expired`: embedding requests that a worker has claimed and not come back to. `untold`: what the webhook has
    not taken yet, if anything.
    """

    branch: str
    last_done: int | None
    last_done_at: datetime | None
    since_done: timedelta | None
    pulse_age: timedelta | None
    source_age: timedelta | None
    claims_expired: int
    untold: str | None


@dataclass(frozen=True)
class Progress:
    """How far an activation is, in parts and rows that are durable; `since_part`: since the last of them was."""

    parts_read: int
    rows_read: int
    parts_normalized: int
    rows_upserted: int
    since_part: timedelta | None


def overviews(connection: Connection, name: str | None = None) -> dict[str, Overview]:
    """Of all branches, or of one, by name."""
    with connection.cursor(row_factory=class_row(Overview)) as cursor:
        found = cursor.execute(_SQL["branch_overview"], {"name": name}).fetchall()
    return {one.branch: one for one in found}


def progress_of(connection: Connection, activation: Activation) -> Progress:
    """How far it is."""
    values = {"activation_id": activation.activation_id}
    with connection.cursor(row_factory=class_row(Progress)) as cursor:
        row = cursor.execute(_SQL["activation_progress"], values).fetchone()
    assert row is not None, "an aggregate"
    return row
