"""Heartbeats of what runs by itself: sensors at the end of each tick, nightly jobs at their end.

They are kept in Postgres, so that `ingest status` need not ask Dagster, which takes seconds to load.
"""

from datetime import timedelta
from typing import Literal, get_args

from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection

_SQL = statements.load(__name__, "pulses.sql")
Worker = Literal["daemon", "embedding", "prune", "reconcile"]
WORKERS: tuple[Worker, ...] = get_args(Worker)
# The workers that are sensors, with their names in Dagster.
SENSORS: dict[Worker, str] = {"daemon": "branch_activation", "embedding": "embedding_backlog"}
Pulses = dict[Worker, timedelta]  # the time since the last heartbeat of each
_SILENT = timedelta(minutes=2)  # the slower sensor ticks every thirty seconds, or later on a busy machine


def beat(connection: Connection, worker: Worker) -> None:
    """Record a heartbeat."""
    connection.execute(_SQL["beat"], {"what": worker})


def pulses(connection: Connection) -> Pulses:
    """How long ago each had its last heartbeat; without those that never had one."""
    return dict(connection.execute(_SQL["pulses"]).fetchall())


def is_alive(age: timedelta | None) -> bool:
    """Whether a sensor is running, by the age of its last heartbeat."""
    return age is not None and age < _SILENT
