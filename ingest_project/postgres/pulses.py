"""Who works by itself, told by when it was last heard of: the daemon at each tick, nightly chores at their end.

Postgres keeps it, so that `ingest status` need not ask Dagster, which takes seconds to load.
"""

from datetime import timedelta
from typing import Literal

from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection

_SQL = statements.load(__name__, "pulses.sql")
Worker = Literal["daemon", "prune", "reconcile"]
_SILENT = timedelta(minutes=1)  # the sensor of activations ticks every ten seconds


def beat(connection: Connection, worker: Worker) -> None:
    """Keep that it was at work just now."""
    connection.execute(_SQL["beat"], {"what": worker})


def pulses(connection: Connection) -> dict[Worker, timedelta]:
    """How long ago each was heard of; without those that never were."""
    return dict(connection.execute(_SQL["pulses"]).fetchall())


def is_alive(daemon_age: timedelta | None) -> bool:
    """Whether the daemon is at work, by when it was last heard of."""
    return daemon_age is not None and daemon_age < _SILENT
