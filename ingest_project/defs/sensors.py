"""What happens by itself."""

import dagster as dg

from ingest_project.defs.resources import report_gone, run_is_finished
from ingest_project.postgres import leases
from ingest_project.postgres.connection import session
from ingest_project.postgres.leases import Holder, Lease
from ingest_project.postgres.migrations import ensure_migrated


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
        for found in leases.held(connection):
            if run_is_finished(context.instance, found.run_id) or leases.process_is_gone(found):
                report_gone(context.instance, found.run_id)
                leases.release(connection, _as_lease(found))
                freed.append(str(found.run_id))
    return dg.SkipReason(f"freed the branches of {', '.join(freed)}" if freed else "every lease has a live run")


def _as_lease(found: Holder) -> Lease:
    assert found.branch_id is not None
    return Lease(found.branch_id, "", found.holder or "", found.run_id or "", found.epoch)
