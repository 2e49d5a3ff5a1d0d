"""The state of each branch, as `ingest status` shows it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg.rows import class_row

from ingest_project.branches.activations import Activation
from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection

_SQL = statements.load(__name__, "overview.sql")


@dataclass(frozen=True)
class Overview:
    """The state of one branch.

    `pulse_age`: time since the last heartbeat of the run that holds the lease. `source_age`: age of the source data
    that is in core. `claims_expired`: embedding requests whose worker has let its claim expire. `undelivered`: event of
    the alert that the webhook has not accepted yet, if any.
    """

    branch: str
    last_done: int | None
    last_done_at: datetime | None
    since_done: timedelta | None
    pulse_age: timedelta | None
    source_age: timedelta | None
    claims_expired: int
    undelivered: str | None


@dataclass(frozen=True)
class Progress:
    """How far an activation is, in durable parts and rows; `since_part`: time since the last part."""

    parts_read: int
    rows_read: int
    parts_normalized: int
    rows_upserted: int
    since_part: timedelta | None


def overviews(connection: Connection, name: str | None = None) -> dict[str, Overview]:
    """The state of all branches, or of one, by name."""
    with connection.cursor(row_factory=class_row(Overview)) as cursor:
        return {overview.branch: overview for overview in cursor.execute(_SQL["branch_overview"], {"name": name})}


def progress_of(connection: Connection, activation: Activation) -> Progress:
    """How far an activation is."""
    values = {"activation_id": activation.activation_id}
    with connection.cursor(row_factory=class_row(Progress)) as cursor:
        row = cursor.execute(_SQL["activation_progress"], values).fetchone()
    assert row is not None, "an aggregate always has a row"
    return row
