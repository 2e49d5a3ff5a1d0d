"""Sessions with Postgres: where it is, how sessions are set up, and which failures are retried."""

import re
from collections.abc import Callable, Generator, Mapping
from contextlib import closing, contextmanager, suppress
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, urlencode

import psycopg
from psycopg import IsolationLevel, Transaction, conninfo, sql
from psycopg.abc import PQGen
from psycopg.pq import Conninfo, TransactionStatus
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    stop_after_delay,
    wait_random_exponential,
)

from ingest_project.errors import DatabaseTooOld, DatabaseUnreachable
from ingest_project.postgres import embedded
from ingest_project.postgres.refusals import ACCEPTED, NO_ANSWER, STARTING_OR_STOPPING, TOO_MANY_CLIENTS, refusal
from ingest_project.settings import settings
from ingest_project.telemetry import application_name, log

T = TypeVar("T")
Connection = psycopg.Connection[tuple[Any, ...]]


class _Session(psycopg.Connection[tuple[Any, ...]]):
    """A connection that cancels its running query on any interruption, not only on Ctrl-C.

    Dagster's Terminate raises a BaseException that psycopg does not know: the query would run on with its locks, and
    the rollback after it would find the connection busy.

    Behind a pooler it sets the limits in each transaction, since session settings do not hold there.
    """

    url = ""
    is_pooled = False

    @contextmanager
    def transaction(self, savepoint_name: str | None = None, force_rollback: bool = False) -> Generator[Transaction]:
        """A transaction; inside one, a savepoint."""
        is_outermost = is_idle(self)
        with super().transaction(savepoint_name, force_rollback) as transaction:
            if self.is_pooled and is_outermost:
                self.execute(_SET_UP_TRANSACTION, _limits())
            yield transaction

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        try:
            return super().wait(gen, interval, timeout)
        except Exception:
            raise
        except BaseException:
            if self.info.transaction_status == TransactionStatus.ACTIVE:
                # An error while cancelling must not replace the interruption.
                with suppress(psycopg.Error):
                    self.cancel_safe(timeout=5)
                    super().wait(gen, interval, 5)
                if self.info.transaction_status == TransactionStatus.ACTIVE:
                    self.pgconn.finish()
            raise


class _TemporarilyUnreachable(DatabaseUnreachable):
    """Postgres is starting or stopping, or has no connection slot left for now."""


# URLs to which this process has had a session: if nobody answers there, it is a restart and not a misspelt port.
_answered: set[str] = set()
_PATIENCE_SECONDS = 30.0
OLDEST_SERVER = 150000
# Serialization failure and deadlock: Postgres undid the whole transaction and asks to try it again.
_RETRYABLE = frozenset({"40001", "40P01"})
# Query parameters of a URL that libpq knows and does not call secret; a misspelt `password` is unknown to it.
_SHOWN_PARAMETERS = {
    parameter.keyword.decode()
    for parameter in Conninfo.get_defaults()
    if parameter.dispchar != b"*" and b"pass" not in parameter.keyword
}
_NOT_A_URL = "(not a valid URL)"
_HOST = r"(?:\[[^\]]*\]|[^:,\[\]]*)(?::[0-9]*)?"
_HOSTS = re.compile(f"{_HOST}(?:,{_HOST})*")


def database_url() -> str:
    """Return the URL of this deployment's Postgres; starts the embedded server where none is set."""
    url = settings().database_url
    return url.get_secret_value() if url else embedded.ensure_running(settings().home)


def redacted(url: str) -> str:
    """Return the URL without its password, for people and logs."""
    scheme, separator, rest = url.partition("://")
    if not separator or "=" in scheme:
        return "(a libpq connection string)"
    # Parsed as by libpq, for which ? and # before an @ belong to the password.
    authority, slash, rest = rest.partition("/")
    login, at, hosts = authority.rpartition("@")
    user, colon, password = login.partition(":")
    place, mark, query = f"{hosts}{slash}{rest}".partition("?")
    if "@" in place or "@" in user or "?" in user or not _HOSTS.fullmatch(place.partition("/")[0]):
        return _NOT_A_URL  # such as a password with a slash in it: nothing here is what it seems
    kept = urlencode([pair for pair in parse_qsl(query) if pair[0] in _SHOWN_PARAMETERS], safe="/")
    shown = f"{user}{colon}***" if password else login
    return f"{scheme}://{shown}{at}{place}{mark if kept else ''}{kept}"


def connect(url: str | None = None) -> Connection:
    """Open a session to `url`, or to this deployment's database, with our limits.

    It is in autocommit, so that each `with connection.transaction()` is one transaction, and never prepares statements,
    which poolers in transaction mode mix up. Raises DatabaseUnreachable, DatabaseTooOld.
    """
    connection = open_session(url or database_url())
    _set_up(connection)
    return connection


def open_session(url: str) -> _Session:
    """Open a session in autocommit to any server, with the server's own settings.

    Waits, within bounds, for a server that starts or has no slot left. Raises DatabaseUnreachable.
    """
    retrying = Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, _TemporarilyUnreachable)),
        stop=stop_after_attempt(8) | stop_after_delay(_PATIENCE_SECONDS),
        wait=wait_random_exponential(multiplier=0.2, max=5),
        before_sleep=lambda state: _log_retry(state, "no session yet"),
        reraise=True,
    )
    return retrying(_open, url)


def open_another(connection: Connection) -> Connection:
    """Open another session to the database of this one, without waiting for a free slot.

    Raises DatabaseUnreachable.
    """
    other = _open(connection.url if isinstance(connection, _Session) else database_url())
    _set_up(other)
    return other


@contextmanager
def session(url: str | None = None) -> Generator[Connection]:
    """A session that is closed at the end of the block."""
    connection = connect(url)
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def one_snapshot(connection: Connection, shared: str | None = None) -> Generator[None]:
    """A transaction all of whose statements see the same rows, whatever others commit meanwhile.

    `shared` is the name of a snapshot that `shared_snapshot` holds. Inside another transaction this is a savepoint, and
    sees what that transaction sees.
    """
    if is_idle(connection):
        # Goes with BEGIN: SET TRANSACTION would come too late, after the set-up query of a pooled session.
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
    try:
        with connection.transaction():
            if shared:
                connection.execute(sql.SQL("set transaction snapshot {}").format(sql.Literal(shared)))
            yield
    finally:
        if is_idle(connection):
            connection.isolation_level = None


@contextmanager
def shared_snapshot(connection: Connection) -> Generator[tuple[Connection, str]]:
    """Another session that holds a snapshot, and the name by which further sessions can use the same snapshot.

    Not behind a pooler: a snapshot must be set before the first query, which is the set-up there. Raises
    DatabaseUnreachable.
    """
    with closing(open_another(connection)) as holder, one_snapshot(holder):
        row = holder.execute("select pg_export_snapshot()").fetchone()
        assert row is not None
        yield holder, row[0]


def retried(transaction: Callable[[], T]) -> T:
    """Run a whole transaction, and again where Postgres asks for it (40001, 40P01)."""
    for attempt in Retrying(
        retry=retry_if_exception(lambda error: _sqlstate(error) in _RETRYABLE),
        stop=stop_after_attempt(5),
        wait=wait_random_exponential(multiplier=0.05, max=2),
        before_sleep=lambda state: _log_retry(state, "transaction undone by Postgres"),
        reraise=True,
    ):
        with attempt:
            return transaction()
    raise AssertionError("unreachable: tenacity returns or raises")


def fetch_value(
    connection: Connection, statement: sql.SQL | sql.Composed, values: Mapping[str, object] | None = None
) -> Any:
    """The first column of the first row; None where there is no row."""
    row = connection.execute(statement, values).fetchone()
    return row[0] if row else None


def is_idle(connection: Connection) -> bool:
    """Whether the session is in no transaction."""
    return connection.info.transaction_status == TransactionStatus.IDLE


def is_pooled(connection: Connection) -> bool:
    """Whether there is a pooler between this session and its server."""
    return isinstance(connection, _Session) and connection.is_pooled


def is_read_only(connection: Connection) -> bool:
    """Whether the session takes no writes: on a standby, or by the settings of server, database or role."""
    return connection.execute("show transaction_read_only").fetchone() == ("on",)


def _open(url: str) -> _Session:
    try:
        connection = _Session.connect(
            url,
            autocommit=True,
            prepare_threshold=None,
            connect_timeout=settings().connect_seconds,
            application_name=application_name(),
            keepalives_idle=30,
            keepalives_interval=10,
            keepalives_count=3,
            # Milliseconds. What was sent and not acknowledged is no matter of keepalives: a COPY into a dead wire would
            # be repeated by the kernel for a quarter of an hour.
            tcp_user_timeout=60_000,
        )
    except (psycopg.OperationalError, psycopg.ProgrammingError) as error:
        # libpq's message can quote the connection string: keep the last line, without anything that could be secret.
        # Indented lines ask whether the server is running.
        lines = _without_password(str(error), url).strip().splitlines()
        reasons = [line for line in lines if not line.startswith("\t")] or ["no answer"]
        # For a missing root certificate the last line is advice ("Either …"), and the reason is before it.
        reason = " ".join(reasons[-2:]) if reasons[-1].startswith("Either ") else reasons[-1]
        raise _unreachable(f"Postgres cannot be reached: {reason}", url) from None
    connection.url = url
    _answered.add(url)
    return connection


def _unreachable(what: str, url: str) -> DatabaseUnreachable:
    sqlstate = refusal(url, settings().connect_seconds)
    # ACCEPTED: it refused us a moment ago, and does not any more.
    is_temporary = sqlstate in (TOO_MANY_CLIENTS, STARTING_OR_STOPPING, ACCEPTED)
    is_restart = sqlstate == NO_ANSWER and url in _answered
    error = _TemporarilyUnreachable if is_temporary or is_restart else DatabaseUnreachable
    where: dict[str, object] = {"database": redacted(url)}
    if sqlstate not in (None, NO_ANSWER, ACCEPTED):
        where["sqlstate"] = sqlstate
    return error(what, where=where, todo=_TODO_BY_SQLSTATE.get(sqlstate or ""))


_TODO_BY_SQLSTATE = {
    TOO_MANY_CLIENTS: "End sessions, run fewer branches at once, or have the limit raised (max_connections, or that of "
    "the role or database). Then run the same command: it resumes.",
    STARTING_OR_STOPPING: "When Postgres is up, run the same command: it resumes.",
}


def _without_password(message: str, url: str) -> str:
    try:
        parameters = conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return "the connection string is not valid"
    if redacted(url) == _NOT_A_URL or url.partition("://")[2].partition("/")[0].count("@") > 1:
        return "the connection string is not valid; in a password / is written %2F and @ is written %40"
    password = parameters.get("password")
    for form in (str(password), quote(str(password), safe="")) if password else ():
        message = message.replace(form, "***")
    return message


def _set_up(connection: _Session) -> None:
    version = connection.info.server_version
    if version < OLDEST_SERVER:
        connection.close()
        raise DatabaseTooOld(f"PostgreSQL {version // 10000} is too old: 15 or later is needed")
    # A pooler gives its clients process ids of its own. Session settings would stay with one of its server connections,
    # for other clients to find. Only the time zone is tracked by poolers.
    row = connection.execute(_SET_UP, {**_limits(), "pid": connection.info.backend_pid}).fetchone()
    connection.is_pooled = bool(row and row[0])


_SET_UP = """
select p.pooled, set_config('timezone', 'UTC', false),
       set_config('statement_timeout', %(statement)s, p.pooled),
       set_config('idle_in_transaction_session_timeout', %(idle)s, p.pooled),
       set_config('client_connection_check_interval', '10s', p.pooled)
  from (select pg_backend_pid() <> %(pid)s as pooled) p"""
_SET_UP_TRANSACTION = """
select set_config('timezone', 'UTC', true), set_config('statement_timeout', %(statement)s, true),
       set_config('idle_in_transaction_session_timeout', %(idle)s, true),
       set_config('client_connection_check_interval', '10s', true)"""


def _limits() -> dict[str, str]:
    chosen = settings()
    return {"statement": f"{chosen.statement_seconds}s", "idle": f"{chosen.idle_transaction_seconds}s"}


def _sqlstate(error: BaseException | None) -> str | None:
    return error.sqlstate if isinstance(error, psycopg.Error) else None


def _log_retry(state: RetryCallState, what: str) -> None:
    from ingest_project import instruments  # noqa: PLC0415 - OpenTelemetry is slow to load, and retries are rare

    error = state.outcome.exception() if state.outcome else None
    sqlstate = error.where.get("sqlstate") if isinstance(error, _TemporarilyUnreachable) else _sqlstate(error)
    instruments.count_postgres_retry(str(sqlstate or "none"))
    log.warning("%s (sqlstate %s), attempt %d", what, sqlstate or "none", state.attempt_number)
