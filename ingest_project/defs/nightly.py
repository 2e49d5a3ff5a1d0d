"""The two nightly jobs: one prunes what is old, the other compares the whole embedding ledger with the items."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import dagster as dg

from ingest_project.defs.failures import explained
from ingest_project.defs.resources import FINISHED
from ingest_project.embeddings.reconcile import reconcile
from ingest_project.extract.store import PartStore
from ingest_project.postgres.connection import Connection, session
from ingest_project.postgres.migrations import ensure_migrated
from ingest_project.retention.prune import Policy, prune
from ingest_project.settings import settings

_RUNS_AT_A_TIME = 200


@contextmanager
def _session() -> Generator[Connection]:
    """A session on a migrated schema; an error inside becomes a Failure that says what to do."""
    with explained(None):
        ensure_migrated()
        with session() as connection:
            yield connection


def _nightly(name: str, job: dg.JobDefinition, cron: str, description: str) -> dg.ScheduleDefinition:
    return dg.ScheduleDefinition(
        name=name,
        job=job,
        cron_schedule=cron,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=description,
    )


# ── prune ──────────────────────────────────────────────────────────────────────────────────────────────────


@dg.op(description="Deletes parts, history and run records that are older than the INGEST_KEEP_… settings.")
def prune_what_ended(context: dg.OpExecutionContext) -> None:
    """Keeps what is open or blocked by a gate, and the newest ingested activation of each branch."""
    with _session() as connection:
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


prune_daily = _nightly(
    "prune_daily",
    prune_job,
    "30 3 * * *",
    "Keeps the part store, the history and Dagster's own tables from growing without end.",
)


def prune_runs(instance: dg.DagsterInstance, days: int, *, dry_run: bool = False) -> int:
    """Delete Dagster's records of runs that ended `days` ago (0 keeps all), or only count them; returns how many."""
    if not days:
        return 0
    ended_runs = dg.RunsFilter(statuses=list(FINISHED), updated_before=datetime.now(UTC) - timedelta(days=days))
    if dry_run:
        return instance.get_runs_count(ended_runs)
    count = 0
    while runs := instance.get_run_records(ended_runs, limit=_RUNS_AT_A_TIME):
        for run in runs:
            instance.delete_run(run.dagster_run.run_id)
        count += len(runs)
    return count


# ── reconcile ──────────────────────────────────────────────────────────────────────────────────────────────


@dg.op(description="Compares the embedding ledger with the items and with the vectors, and mends what differs.")
def reconcile_ledger(context: dg.OpExecutionContext) -> None:
    """Requests what is missing, deletes unwanted requests and their vectors, as `ingest verify --repair` does."""
    with _session() as connection:
        differences = reconcile(connection)
    context.add_output_metadata(asdict(differences))


@dg.job(description="Bring the embedding ledger to what the items want, as `ingest verify --repair` does.")
def reconcile_job() -> None:
    """One op; safe to repeat, to kill, and to run while everything else runs."""
    reconcile_ledger()


reconcile_daily = _nightly(
    "reconcile_daily",
    reconcile_job,
    "45 3 * * *",
    "Finds what was changed by hand or lost.",
)
