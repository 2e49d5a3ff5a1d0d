"""The whole ledger against core.items, every night: what no activation is to blame for."""

from dataclasses import asdict

import dagster as dg

from ingest_project.defs.failures import explained
from ingest_project.embeddings.reconcile import reconcile
from ingest_project.postgres.connection import session
from ingest_project.postgres.migrations import ensure_migrated


@dg.op(description="Compares the embedding ledger with the items and with the vectors, and mends what differs.")
def reconcile_ledger(context: dg.OpExecutionContext) -> None:
    """What is missing is asked for, what is not wanted goes with its vector; `ingest verify` shows the same."""
    with explained(None):
        ensure_migrated()
        with session() as connection:
            found = reconcile(connection)
    context.add_output_metadata(asdict(found))


@dg.job(description="Bring the embedding ledger to what the items want, as `ingest verify --repair` does.")
def reconcile_job() -> None:
    """One op; safe to repeat, to kill, and beside everything else."""
    reconcile_ledger()


reconcile_daily = dg.ScheduleDefinition(
    name="reconcile_daily",
    job=reconcile_job,
    cron_schedule="45 3 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Finds what was changed by hand, lost, or handed from branch to branch without a change of text.",
)
