"""What keeps the house small: pruning by policy, every night."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from ingest_project.defs.nightly import at_work, every_night
from ingest_project.defs.resources import FINISHED
from ingest_project.extract.store import PartStore
from ingest_project.retention.prune import Policy, prune
from ingest_project.settings import settings

_RUNS_AT_A_TIME = 200


@dg.op(description="Deletes parts, history and run records that are older than the INGEST_KEEP_… settings.")
def prune_what_ended(context: dg.OpExecutionContext) -> None:
    """What is open or waits at a gate stays, and so does the newest ingested activation of each branch."""
    with at_work() as connection:
        pruned = prune(connection, PartStore(settings().store_location), Policy.declared())
        runs = prune_runs(context.instance, settings().keep_runs_days)
    context.add_output_metadata(
        {
            "activations_without_parts": sum(one.what == "parts" for one in pruned),
            "blocks_without_history": sum(one.what == "history" for one in pruned),
            "bytes": sum(one.bytes for one in pruned),
            "runs": runs,
        }
    )


@dg.job(description="Prune by policy: INGEST_KEEP_PARTS_DAYS, INGEST_KEEP_HISTORY_DAYS, INGEST_KEEP_RUNS_DAYS.")
def prune_job() -> None:
    """One op; safe to repeat and to kill."""
    prune_what_ended()


prune_daily = every_night(
    "prune_daily",
    prune_job,
    "30 3 * * *",
    "Keeps the part store, the history and Dagster's own tables from growing without end.",
)


def prune_runs(instance: dg.DagsterInstance, days: int, *, dry_run: bool = False) -> int:
    """Delete Dagster's records of runs that ended so many days ago; 0 keeps them. How many went, or would go."""
    if not days:
        return 0
    ended = dg.RunsFilter(statuses=list(FINISHED), updated_before=datetime.now(UTC) - timedelta(days=days))
    if dry_run:
        return instance.get_runs_count(ended)
    count = 0
    while runs := instance.get_run_records(ended, limit=_RUNS_AT_A_TIME):
        for run in runs:
            instance.delete_run(run.dagster_run.run_id)
        count += len(runs)
    return count
