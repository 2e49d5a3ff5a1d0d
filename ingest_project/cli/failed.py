"""What a run that failed says on a terminal: our own words where we have them, never a page of traceback."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ingest_project.errors import DatabaseReadOnly, DatabaseUnreachable, IngestError, Interrupted, first_line
from ingest_project.postgres.connection import is_read_only, session
from ingest_project.telemetry import log

if TYPE_CHECKING:
    from dagster import ExecuteInProcessResult
    from dagster_shared.error import SerializableErrorInfo

_WHEN_BACK = "Nothing is half done. When Postgres is back, run the same command: it resumes."
_TODO = "`ingest dev` shows its whole log. Running the same command again resumes where it stopped."


def failure_of(result: "ExecuteInProcessResult") -> tuple[int, str]:
    """(exit code, words) of a run that did not succeed."""
    for event in result.all_events:
        if not event.is_step_failure:
            continue
        failed = event.step_failure_data
        failure = failed.user_failure_data
        if failure and "exit_code" in failure.metadata:
            return int(str(failure.metadata["exit_code"].value)), str(failure.description)
        if failed.error:
            return _told(failed.error, {"step": event.step_key, "run": result.run_id})
    for event in result.all_events:
        # Not of a step: mostly Dagster's storage losing the Postgres that the step lost as well.
        if event.is_run_failure and (error := event.job_failure_data.error):
            return _told(error, {"run": result.run_id})
    return 1, str(IngestError("the run did not succeed", where={"run": result.run_id}, todo=_TODO))


def _told(error: "SerializableErrorInfo", where: dict[str, object]) -> tuple[int, str]:
    known = _unknown(error, where)
    return known.exit_code, str(known)


def _unknown(error: "SerializableErrorInfo", where: dict[str, object]) -> IngestError:
    log.debug("%s", error.to_string())
    root = error
    while root.cause:
        root = root.cause
    if {error.cls_name, root.cls_name} & {"DagsterExecutionInterruptedError", "KeyboardInterrupt"}:
        return Interrupted(where=where)
    words = first_line(root.message, str(root.cls_name))
    if root.cls_name == "ReadOnlySqlTransaction":
        return DatabaseReadOnly(where=where)
    if {error.cls_name, root.cls_name} & {"DagsterPostgresException", "OperationalError"}:
        return DatabaseUnreachable(f"Dagster could not reach its tables: {words}", where=where, todo=_WHEN_BACK)
    return IngestError(f"the run failed: {words}", where=where, todo=_TODO)


@contextmanager
def outside_errors_explained() -> Generator[None]:
    """Errors of Dagster's own, around our steps: mostly its storage losing the Postgres that ours lost as well.

    Raises DatabaseUnreachable or DatabaseReadOnly where that is so, Interrupted, else IngestError.
    """
    from dagster import DagsterExecutionInterruptedError

    try:
        yield
    except IngestError:
        raise
    except (DagsterExecutionInterruptedError, KeyboardInterrupt) as error:
        raise Interrupted from error
    except Exception as error:
        log.debug("outside of our steps", exc_info=error)
        with session() as connection:
            if is_read_only(connection):
                raise DatabaseReadOnly from error
        raise IngestError(f"Dagster failed: {first_line(error)}", todo=_TODO) from error
