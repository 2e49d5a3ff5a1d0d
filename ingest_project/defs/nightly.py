"""What the chores of the night have in common: a session on a current schema, errors explained, a schedule."""

from collections.abc import Generator
from contextlib import contextmanager

import dagster as dg

from ingest_project.defs.failures import explained
from ingest_project.postgres.connection import Connection, session
from ingest_project.postgres.migrations import ensure_migrated


@contextmanager
def at_work() -> Generator[Connection]:
    """A session for an op of no branch; whatever goes wrong inside is a Failure that says what to do."""
    with explained(None):
        ensure_migrated()
        with session() as connection:
            yield connection


def every_night(name: str, job: dg.JobDefinition, cron: str, description: str) -> dg.ScheduleDefinition:
    """A schedule that runs by default, at this time of UTC."""
    return dg.ScheduleDefinition(
        name=name,
        job=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=description,
    )
