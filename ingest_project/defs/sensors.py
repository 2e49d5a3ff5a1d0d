"""The sensors that start a run for each waiting activation, and free the branches of runs that are gone."""

import time
from datetime import timedelta

import dagster as dg

from ingest_project.branches import activations, alerts
from ingest_project.defs.jobs import ingest_branch
from ingest_project.defs.partitions import branch_partitions
from ingest_project.defs.resources import report_gone, run_is_finished
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
    """Level-triggered on the activations themselves, so that none is lost by a restart, and none runs twice at once.

    Finishes as well what is committed and has no requests yet. After five failed attempts it leaves an activation to
    a person.
    """
    ensure_migrated()
    with session() as connection:
        waiting = activations.needing_a_run(connection)
        asked = [request for name, number in waiting if (request := _request(context.instance, name, number))]
        pulses.beat(connection, "daemon")
    new = sorted({str(request.partition_key) for request in asked} - set(_partitions(context.instance)))
    return dg.SensorResult(
        run_requests=asked,
        skip_reason=None if asked else f"nothing to start; {len(waiting)} wait for their next attempt",
        dynamic_partitions_requests=[branch_partitions.build_add_request(new)] if new else [],
    )


def _partitions(instance: dg.DagsterInstance) -> list[str]:
    return list(instance.get_dynamic_partitions(str(branch_partitions.name)))


def _request(instance: dg.DagsterInstance, name: str, activation: int) -> dg.RunRequest | None:
    tags = {"ingest/branch": name, "ingest/activation": str(activation)}
    runs = instance.get_run_records(dg.RunsFilter(tags={"ingest/activation": str(activation)}), limit=ATTEMPTS)
    if any(not run.dagster_run.is_finished for run in runs) or len(runs) >= ATTEMPTS:
        return None
    failed = [run for run in runs if run.dagster_run.status != dg.DagsterRunStatus.SUCCESS]
    if failed and failed[0].dagster_run.status == dg.DagsterRunStatus.CANCELED:
        return None  # somebody stopped it: they will say when it goes on
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
    """Level-triggered on leases that are held: a run that was killed frees nothing, and sends no event."""
    ensure_migrated()
    freed: list[str] = []
    with session() as connection:
        for found in leases.held_leases(connection):
            if run_is_finished(context.instance, found.run_id) or leases.process_is_gone(found):
                report_gone(context.instance, found.run_id)
                leases.release(connection, _as_lease(found))
                _tell_of_gone(connection, found)
                freed.append(str(found.run_id))
        alerts.deliver(connection)  # what a receiver that was away has not been told
    return dg.SkipReason(f"freed the branches of {', '.join(freed)}" if freed else "every lease has a live run")


def _tell_of_gone(connection: Connection, found: Holder) -> None:
    if alerts.is_enabled() and found.branch_id is not None:
        gone = IngestError(f"the process of run {found.run_id} on {found.host} is gone", todo="See `ingest status`.")
        alerts.raise_alert(connection, found.branch_id, None, str(found.run_id), gone)


def _as_lease(found: Holder) -> Lease:
    assert found.branch_id is not None
    return Lease(found.branch_id, "", found.holder or "", found.run_id or "", found.epoch)
