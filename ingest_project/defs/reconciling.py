"""The whole ledger against core.items, every night: what no activation is to blame for."""

from dataclasses import asdict

import dagster as dg

from ingest_project.defs.nightly import at_work, every_night
from ingest_project.embeddings.reconcile import reconcile


@dg.op(description="Compares the embedding ledger with the items and with the vectors, and mends what differs.")
def reconcile_ledger(context: dg.OpExecutionContext) -> None:
    """What is missing is asked for, what is not wanted goes with its vector; `ingest verify` shows the same."""
    with at_work() as connection:
        found = reconcile(connection)
    context.add_output_metadata(asdict(found))


@dg.job(description="Bring the embedding ledger to what the items want, as `ingest verify --repair` does.")
def reconcile_job() -> None:
    """One op; safe to repeat, to kill, and beside everything else."""
    reconcile_ledger()


reconcile_daily = every_night(
    "reconcile_daily",
    reconcile_job,
    "45 3 * * *",
    "Finds what was changed by hand, lost, or handed from branch to branch without a change of text.",
)
