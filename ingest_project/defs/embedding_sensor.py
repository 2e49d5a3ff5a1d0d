"""The sensor that starts an embedding run for each branch that has requests due."""

import time
from datetime import timedelta

import dagster as dg

from ingest_project.defs.embedding import find_missing_vectors
from ingest_project.defs.jobs import embed_branch
from ingest_project.defs.partitions import missing_partitions
from ingest_project.defs.resources import FINISHED
from ingest_project.embeddings.backlog import due_branches
from ingest_project.errors import VectorsMissing
from ingest_project.postgres import pulses
from ingest_project.postgres.connection import session
from ingest_project.postgres.migrations import ensure_migrated

FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=1), timedelta(hours=1)  # after a failed run; doubled with each in a row
_NEWEST_RUNS = 8  # of a branch, read to count its failures in a row


@dg.sensor(
    job=embed_branch,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts a run for each branch that has embedding requests due.",
)
def embedding_backlog(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Asks Postgres at each tick which requests are due: whoever made them, and however long the daemon was away.

    A branch that any run is at work on is left alone. After each failed run (say, the key is wrong) the wait doubles,
    up to an hour, without end: once a person has mended the cause, the next run goes on. Requests of a provider that
    asked for a pause are not due.
    """
    ensure_migrated()
    with session() as connection:
        due = due_branches(connection)
        vectors_missing = None if due else find_missing_vectors(connection)
        requests = [request for name in due if (request := _request(context.instance, name))]
        pulses.beat(connection, "embedding")
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else _skip_reason(due, vectors_missing),
        dynamic_partitions_requests=missing_partitions(context.instance, requests),
    )


def _skip_reason(due: list[str], vectors_missing: VectorsMissing | None) -> str:
    if vectors_missing:
        return f"{vectors_missing.what} {vectors_missing.todo}"
    return f"nothing to start; {len(due)} branches wait for a run or for the next attempt"


def _request(instance: dg.DagsterInstance, name: str) -> dg.RunRequest | None:
    unfinished = dg.RunsFilter(
        tags={"dagster/partition": name},
        statuses=[status for status in dg.DagsterRunStatus if status not in FINISHED],
    )
    if instance.get_runs(unfinished, limit=1):
        return None
    runs = instance.get_run_records(
        dg.RunsFilter(job_name=embed_branch.name, tags={"dagster/partition": name}), limit=_NEWEST_RUNS
    )
    failures = 0
    while failures < len(runs) and runs[failures].dagster_run.status != dg.DagsterRunStatus.SUCCESS:
        failures += 1
    if failures and time.time() < runs[0].update_timestamp.timestamp() + _wait(failures):
        return None
    # The key changes only with the next run, and Dagster starts one run per key: a repeated tick starts no second one.
    last = runs[0].dagster_run.run_id if runs else "-"
    return dg.RunRequest(run_key=f"embed:{name}:{last}", partition_key=name, tags={"ingest/branch": name})


def _wait(failures: int) -> float:
    return min(FIRST_WAIT * 2 ** (min(failures, _NEWEST_RUNS) - 1), LONGEST_WAIT).total_seconds()
