"""Two sensors: one starts a run for each waiting activation, the other frees the branches of dead runs."""

import time
from datetime import timedelta

import dagster as dg

from ingest_project.branches import activations, alerts
from ingest_project.defs.jobs import ingest_branch
from ingest_project.defs.partitions import missing_partitions
from ingest_project.defs.resources import report_dead_run, run_is_finished
from ingest_project.errors import IngestError
from ingest_project.postgres import leases, pulses
from ingest_project.postgres.connection import Connection, session
from ingest_project.postgres.leases import Holder, Lease
from ingest_project.postgres.migrations import ensure_migrated

ATTEMPTS = 5
FIRST_WAIT = timedelta(minutes=1)  # after a failed attempt; doubled with each further one


@dg.sensor(
    job=ingest_branch,
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts a run for each activation that needs one: `select ingest.activate('branch')` is enough.",
)
def branch_activation(context: dg.SensorEvaluationContext) -> dg.SensorResult:
    """Asks Postgres at each tick which activations need a run: a restart loses none, and none runs twice at once.

    Also those that are committed and whose embedding requests are missing. After five failed attempts an activation
    is left to a person.
    """
    ensure_migrated()
    with session() as connection:
        waiting = activations.needing_a_run(connection)
        requests = [request for name, number in waiting if (request := _request(context.instance, name, number))]
        pulses.beat(connection, "daemon")
    return dg.SensorResult(
        run_requests=requests,
        skip_reason=None if requests else f"nothing to start; {len(waiting)} wait for their next attempt",
        dynamic_partitions_requests=missing_partitions(context.instance, requests),
    )


def _request(instance: dg.DagsterInstance, name: str, activation: int) -> dg.RunRequest | None:
    tags = {"ingest/branch": name, "ingest/activation": str(activation)}
    runs = instance.get_run_records(dg.RunsFilter(tags={"ingest/activation": str(activation)}), limit=ATTEMPTS)
    if any(not run.dagster_run.is_finished for run in runs) or len(runs) >= ATTEMPTS:
        return None
    failed = [run for run in runs if run.dagster_run.status != dg.DagsterRunStatus.SUCCESS]
    if failed and failed[0].dagster_run.status == dg.DagsterRunStatus.CANCELED:
        return None  # somebody stopped it: they decide when it goes on
    if failed and time.time() < failed[0].update_timestamp.timestamp() + _wait(len(failed)):
        return None
    return dg.RunRequest(run_key=f"{name}:{activation}:{len(runs)}", partition_key=name, tags=tags)


def _wait(failed: int) -> float:
    return FIRST_WAIT.total_seconds() * 2 ** (failed - 1)


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Frees the branches of runs that ended without doing so themselves.",
)
def release_leases(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Looks at every lease that is held: a run that was killed neither frees its branch nor sends an event."""
    ensure_migrated()
    freed: list[str] = []
    with session() as connection:
        for holder in leases.held_leases(connection):
            if run_is_finished(context.instance, holder.run_id) or leases.process_is_gone(holder):
                report_dead_run(context.instance, holder.run_id)
                leases.release(connection, _lease_of(holder))
                _alert_dead_run(connection, holder)
                freed.append(str(holder.run_id))
        alerts.deliver(connection)  # those that the webhook's receiver has not taken yet
    return dg.SkipReason(f"freed the branches of {', '.join(freed)}" if freed else "every lease has a live run")


def _alert_dead_run(connection: Connection, holder: Holder) -> None:
    if alerts.is_enabled() and holder.branch_id is not None:
        error = IngestError(f"the process of run {holder.run_id} on {holder.host} is gone", todo="See `ingest status`.")
        alerts.raise_alert(connection, holder.branch_id, None, str(holder.run_id), error)


def _lease_of(holder: Holder) -> Lease:
    assert holder.branch_id is not None
    return Lease(holder.branch_id, "", holder.holder or "", holder.run_id or "", holder.epoch)
