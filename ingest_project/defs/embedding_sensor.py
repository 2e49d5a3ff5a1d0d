"""The sensor that starts an embedding run for each branch that has requests due."""

import time
from datetime import timedelta

import dagster as dg

from ingest_project.defs.embedding import lacking_vectors
from ingest_project.defs.jobs import embed_branch
from ingest_project.defs.partitions import branch_partitions
from ingest_project.defs.resources import FINISHED
from ingest_project.embeddings.backlog import due_branches
from ingest_project.errors import VectorsMissing
from ingest_project.postgres import pulses
from ingest_project.postgres.connection import session
from ingest_project.postgres.migrations import ensure_migrated

FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=1), timedelta(hours=1)  # after a failed run; doubled with each in a row
_LOOKED_AT = 8


@dg.sensor(
    job=embed_branch,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts a run for each branch that has embedding requests due.",
)
def embedding_backlog(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Level-triggered on due requests: whoever made them, and however long the daemon was away.

    A branch that a run is at work on, of whatever job, is left alone. After a failed run (a key that is wrong, say) the
    wait doubles up to an hour, for ever: a person mends it, and the next run goes on. A provider that asked for a pause
    has nothing due.
    """
    ensure_migrated()
    with session() as connection:
        due = due_branches(connection)
        lacking = None if due else lacking_vectors(connection)
        asked = [request for name in due if (request := _request(context.instance, name))]
        pulses.beat(connection, "embedding")
    known = set(context.instance.get_dynamic_partitions(str(branch_partitions.name)))
    new = sorted({str(request.partition_key) for request in asked} - known)
    return dg.SensorResult(
        run_requests=asked,
        skip_reason=None if asked else _why_not(due, lacking),
        dynamic_partitions_requests=[branch_partitions.build_add_request(new)] if new else [],
    )


def _why_not(due: list[str], lacking: VectorsMissing | None) -> str:
    if lacking:
        return f"{lacking.what} {lacking.todo}"
    return f"nothing to start; {len(due)} branches wait for a run or for the next attempt"


def _request(instance: dg.DagsterInstance, name: str) -> dg.RunRequest | None:
    at_work = dg.RunsFilter(
        tags={"dagster/partition": name},
        statuses=[status for status in dg.DagsterRunStatus if status not in FINISHED],
    )
    if instance.get_runs(at_work, limit=1):
        return None
    ended = instance.get_run_records(
        dg.RunsFilter(job_name=embed_branch.name, tags={"dagster/partition": name}), limit=_LOOKED_AT
    )
    failures = 0
    while failures < len(ended) and ended[failures].dagster_run.status != dg.DagsterRunStatus.SUCCESS:
        failures += 1
    if failures and time.time() < ended[0].update_timestamp.timestamp() + _wait(failures):
        return None
    # The same until there is another run: a tick that is repeated asks for no second one.
    last = ended[0].dagster_run.run_id if ended else "-"
    return dg.RunRequest(run_key=f"embed:{name}:{last}", partition_key=name, tags={"ingest/branch": name})


def _wait(failures: int) -> float:
    return min(FIRST_WAIT * 2 ** (min(failures, _LOOKED_AT) - 1), LONGEST_WAIT).total_seconds()
