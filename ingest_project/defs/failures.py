"""From our errors to what Dagster shows: a Failure that says what, where, and what to do."""

from collections.abc import Generator
from contextlib import contextmanager

import dagster as dg
import psycopg

from ingest_project.branches import activations, alerts
from ingest_project.branches.work import Work
from ingest_project.errors import (
    DatabaseError,
    DatabaseReadOnly,
    DatabaseUnreachable,
    Fenced,
    IngestError,
    Interrupted,
    Locked,
    PartDamaged,
    ProviderUnusable,
    Refused,
    Unexpected,
    UsageError,
    VectorsMissing,
    first_line,
)
from ingest_project.postgres.connection import session
from ingest_project.postgres.leases import fenced
from ingest_project.telemetry import log

AssetContext = dg.AssetExecutionContext
Context = AssetContext | dg.InputContext | dg.OutputContext
# Trying again changes nothing here; all else may pass.
FINAL = (Locked, Refused, UsageError, Fenced, Interrupted, PartDamaged, ProviderUnusable, VectorsMissing, Unexpected)

_RESUMES = "then run the same command: it resumes."
_ENDED = f"The session was ended by Postgres, or by somebody. When Postgres is up, {_RESUMES}"
_OTHERS = f"Others write the same rows at once: see in pg_stat_activity who, {_RESUMES}"
_TODO = {
    "25P03": f"Raise INGEST_IDLE_TRANSACTION_SECONDS, or see what kept this process from going on, {_RESUMES}",
    "40001": _OTHERS,
    "40P01": _OTHERS,
    "42501": f"Have the DBA grant what this role lacks, {_RESUMES}",
    "53100": f"Make room on the disk of Postgres, {_RESUMES}",
    "55P03": f"Another session holds what this run needs: wait, or end it (pg_blocking_pids says which), {_RESUMES}",
    "57014": "Somebody cancelled it, or it took longer than INGEST_STATEMENT_SECONDS or, behind a pooler, than "
    f"statement_timeout of this role: raise that, or see what it waited for, {_RESUMES}",
    "57P01": _ENDED,
    "57P02": _ENDED,
}


@contextmanager
def explained(context: Context | None, work: Work | None = None) -> Generator[None]:
    """Turn every error inside into a Failure; keep it with the activation, for `ingest status`."""
    try:
        yield
    except IngestError as error:
        raise _failure(error, context, work) from error
    except psycopg.Error as error:
        raise _failure(as_database_error(error, work), context, work) from error
    except (dg.DagsterExecutionInterruptedError, KeyboardInterrupt) as error:
        # Left alone, an interrupt is answered by the step's retry policy: the run would go on.
        raise _failure(Interrupted(), context, work) from error
    except (dg.Failure, dg.RetryRequested):
        raise
    except OSError as error:
        raise _failure(IngestError(f"{error.strerror or error}", where=_file_of(error)), context, work) from error
    except Exception as error:
        words = first_line(error, "no reason given")
        raise _failure(Unexpected(f"{type(error).__name__}: {words}"), context, work) from error


def _file_of(error: OSError) -> dict[str, object]:
    return {"file": error.filename} if error.filename else {}


def as_database_error(error: psycopg.Error, work: Work | None = None) -> IngestError:
    """A psycopg error in our words. Its own can hold values of rows, never connection strings."""
    where: dict[str, object] = {**(work.where if work else {}), "sqlstate": error.sqlstate or "none"}
    if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:
        return DatabaseUnreachable(
            f"the connection to Postgres was lost: {first_line(error, 'no answer')}",
            where=where,
            todo="Nothing is half done. When Postgres is back, run the same command: it resumes.",
        )
    words = f"Postgres refused a statement: {first_line(error)}"
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        return DatabaseReadOnly(words, where=where)
    return DatabaseError(words, where=where, todo=_TODO.get(error.sqlstate or ""))


def _failure(error: IngestError, context: Context | None, work: Work | None) -> dg.Failure:
    if work is not None:
        error.where = {**work.where, **error.where}
        _keep_with_activation(error, work)
    is_final = isinstance(error, FINAL) or _is_last_attempt(context)
    if is_final and work is not None:
        _tell_of(error, work)
    return dg.Failure(
        description=str(error),
        metadata={
            "error": type(error).__name__,
            "exit_code": error.exit_code,
            "what": error.what,
            "do": error.todo,
            **{f"where/{key}": str(value) for key, value in error.where.items()},
        },
        allow_retries=not is_final,
    )


def _is_last_attempt(context: Context | None) -> bool:
    # Of a step that wants another attempt and has none left Dagster says just that, and not why it failed.
    if context is None:
        return False
    step = context.get_step_execution_context() if isinstance(context, AssetContext) else context.step_context
    policy = step.op_retry_policy
    return policy is not None and step.previous_attempt_count >= policy.max_retries


def _tell_of(error: IngestError, work: Work) -> None:
    if not alerts.is_enabled() or isinstance(error, Interrupted | Fenced):
        return  # somebody stopped it, or another run goes on
    try:
        with session() as connection:
            alerts.raise_alert(
                connection, work.branch.branch_id, work.activation.activation_id, work.lease.run_id, error
            )
            alerts.deliver(connection)
    except (IngestError, psycopg.Error) as second:
        log.warning("the alert could not be kept: %s", second)


def _keep_with_activation(error: IngestError, work: Work) -> None:
    if isinstance(error, Refused | Fenced):
        return  # refused: kept already; fenced: no longer ours to write
    try:
        # In a session of its own: that of the run may be what failed.
        with session() as connection, fenced(connection, work.lease):
            if isinstance(error, PartDamaged):
                # What was read is gone: only a new activation can go on. What is in core of this one stays.
                activations.close(connection, work.activation, "failed", error)
            activations.note_error(connection, work.activation, error)
    except (IngestError, psycopg.Error) as second:
        log.warning("the error could not be kept with the activation: %s", second)
