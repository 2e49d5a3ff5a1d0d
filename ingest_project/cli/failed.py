"""What a run that failed says on a terminal: our own words where we have them, never a page of traceback."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ingest_project.errors import IngestError, Interrupted, first_line
from ingest_project.postgres.connection import session
from ingest_project.telemetry import log

if TYPE_CHECKING:
    from dagster import ExecuteInProcessResult
    from dagster_shared.error import SerializableErrorInfo

_TODO = "`ingest dev` shows its whole log. Running the same command again resumes where it stopped."


def failure_of(result: "ExecuteInProcessResult") -> tuple[int, str]:
    """(exit code, words) of a run that did not succeed."""
    for event in result.all_events:
        if not event.is_step_failure:
            continue
        failed = event.step_failure_data
        told = failed.user_failure_data
        if told and "exit_code" in told.metadata:
            return int(str(told.metadata["exit_code"].value)), str(told.description)
        if failed.error:
            error = _unknown(failed.error, str(event.step_key), result.run_id)
            return error.exit_code, str(error)
    return 1, str(IngestError("the run did not succeed", where={"run": result.run_id}, todo=_TODO))


def _unknown(error: "SerializableErrorInfo", step: str, run_id: str) -> IngestError:
    log.debug("%s", error.to_string())
    root = error
    while root.cause:
        root = root.cause
    if {error.cls_name, root.cls_name} & {"DagsterExecutionInterruptedError", "KeyboardInterrupt"}:
        return Interrupted(where={"step": step})
    words = first_line(root.message, str(root.cls_name))
    return IngestError(f"the run failed: {words}", where={"step": step, "run": run_id}, todo=_TODO)


@contextmanager
def outside_errors_explained() -> Generator[None]:
    """Errors of Dagster's own, around our steps: mostly its storage losing the Postgres that ours lost as well.

    Raises DatabaseUnreachable where that is so, Interrupted, else IngestError.
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
        with session():
            pass
        raise IngestError(f"Dagster failed: {first_line(error)}", todo=_TODO) from error
