"""Who works by itself, told by when it was last heard of: sensors at the end of a tick, nightly chores at their end.

Postgres keeps it, so that `ingest status` need not ask Dagster, which takes seconds to load.
"""

from datetime import timedelta
from typing import Literal, get_args

from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection

_SQL = statements.load(__name__, "pulses.sql")
Worker = Literal["daemon", "embedding", "prune", "reconcile"]
WORKERS: tuple[Worker, ...] = get_args(Worker)
# Those that start what waits, by the sensor of Dagster's that each is.
SENSORS: dict[Worker, str] = {"daemon": "branch_activation", "embedding": "embedding_backlog"}
Pulses = dict[Worker, timedelta]
_SILENT = timedelta(
    minutes=2
)  # the slower of them ticks every thirty seconds, on a machine that has nothing else to do


def beat(connection: Connection, worker: Worker) -> None:
    """Keep that it was at work just now."""
    connection.execute(_SQL["beat"], {"what": worker})


def pulses(connection: Connection) -> Pulses:
    """How long ago each was heard of; without those that never were."""
    return dict(connection.execute(_SQL["pulses"]).fetchall())


def is_alive(age: timedelta | None) -> bool:
    """Whether a sensor is at work, by when it was last heard of."""
    return age is not None and age < _SILENT
