"""Why a run failed, for a terminal: the text of this project's own errors, or one line of another; no traceback."""

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
    """The exit code and the error text of a run that did not succeed."""
    for event in result.all_events:
        if not event.is_step_failure:
            continue
        failure = event.step_failure_data.user_failure_data
        if failure and "exit_code" in failure.metadata:
            return int(str(failure.metadata["exit_code"].value)), str(failure.description)
        if error := event.step_failure_data.error:
            return _code_and_text(_as_ingest_error(error, {"step": event.step_key, "run": result.run_id}))
    for event in result.all_events:
        # Outside of the steps: mostly Dagster's storage, which lost the same Postgres as the step.
        if event.is_run_failure and (error := event.job_failure_data.error):
            return _code_and_text(_as_ingest_error(error, {"run": result.run_id}))
    return _code_and_text(IngestError("the run did not succeed", where={"run": result.run_id}, todo=_TODO))


def _code_and_text(error: IngestError) -> tuple[int, str]:
    return error.exit_code, str(error)


def _as_ingest_error(error: "SerializableErrorInfo", where: dict[str, object]) -> IngestError:
    log.debug("%s", error.to_string())
    root = error
    while root.cause:
        root = root.cause
    if {error.cls_name, root.cls_name} & {"DagsterExecutionInterruptedError", "KeyboardInterrupt"}:
        return Interrupted(where=where)
    message = first_line(root.message, str(root.cls_name))
    if root.cls_name == "ReadOnlySqlTransaction":
        return DatabaseReadOnly(where=where)
    if {error.cls_name, root.cls_name} & {"DagsterPostgresException", "OperationalError"}:
        return DatabaseUnreachable(f"Dagster could not reach its tables: {message}", where=where, todo=_WHEN_BACK)
    return IngestError(f"the run failed: {message}", where=where, todo=_TODO)


@contextmanager
def dagster_errors_explained() -> Generator[None]:
    """Turn errors that Dagster raises outside of the steps into our own: mostly its storage has lost Postgres.

    Raises DatabaseUnreachable or DatabaseReadOnly in that case, Interrupted, else IngestError.
    """
    from dagster import DagsterExecutionInterruptedError

    try:
        yield
    except IngestError:
        raise
    except (DagsterExecutionInterruptedError, KeyboardInterrupt) as error:
        raise Interrupted from error
    except Exception as error:
        log.debug("outside of the steps", exc_info=error)
        with session() as connection:
            if is_read_only(connection):
                raise DatabaseReadOnly from error
        raise IngestError(f"Dagster failed: {first_line(error)}", todo=_TODO) from error
