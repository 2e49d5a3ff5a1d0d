"""Connections of ours: where Postgres is, how a session is set up, what may be tried again."""

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
from ingest_project.postgres.refusals import LETS_IN, NO_ANSWER, STARTING_OR_STOPPING, TOO_MANY_CLIENTS, refusal
from ingest_project.settings import settings
from ingest_project.telemetry import application_name, log

T = TypeVar("T")
Connection = psycopg.Connection[tuple[Any, ...]]


class _Session(psycopg.Connection[tuple[Any, ...]]):
    """Cancels the running query when interrupted by anything, not only by Ctrl-C.

    Dagster's Terminate raises a BaseException that psycopg does not know: the query would run on with its
    locks, and the rollback behind it would find the connection busy.

    Behind a pooler it sets up each transaction instead of itself.
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
                # No error of the cancelling may take the place of the interruption.
                with suppress(psycopg.Error):
                    self.cancel_safe(timeout=5)
                    super().wait(gen, interval, 5)
                if self.info.transaction_status == TransactionStatus.ACTIVE:
                    self.pgconn.finish()
            raise


class _NotYet(DatabaseUnreachable):
    """Postgres is starting or stopping, or has no place left for now."""


# Where a session of this process was: nobody there is a restart, and not a misspelt port.
_answered: set[str] = set()
_PATIENCE_SECONDS = 30.0
OLDEST_SERVER = 150000
# Serialization failure and deadlock: Postgres undid the whole transaction and asks to try it again.
_TRY_AGAIN = frozenset({"40001", "40P01"})
# Of the query of a URL: what libpq knows and does not call a secret. A misspelt password is unknown to it.
_SHOWN = {
    known.keyword.decode()
    for known in Conninfo.get_defaults()
    if known.dispchar != b"*" and b"pass" not in known.keyword
}
_NOT_A_URL = "(not a valid URL)"
_HOST = r"(?:\[[^\]]*\]|[^:,\[\]]*)(?::[0-9]*)?"
_HOSTS = re.compile(f"{_HOST}(?:,{_HOST})*")


def database_url() -> str:
    """Return the URL of this deployment's Postgres; starts the embedded server where none is given."""
    given = settings().database_url
    return given.get_secret_value() if given else embedded.ensure_running(settings().home)


def redacted(url: str) -> str:
    """Return the URL without its password, for people and logs."""
    scheme, found, rest = url.partition("://")
    if not found or "=" in scheme:
        return "(a libpq connection string)"
    # Taken apart as libpq does it, to whom ? and # before an @ are letters of the password.
    authority, slash, rest = rest.partition("/")
    login, at, hosts = authority.rpartition("@")
    user, colon, password = login.partition(":")
    place, mark, query = f"{hosts}{slash}{rest}".partition("?")
    if "@" in place or "@" in user or "?" in user or not _HOSTS.fullmatch(place.partition("/")[0]):
        return _NOT_A_URL  # such as a password with a slash in it: nothing here is what it seems
    kept = urlencode([pair for pair in parse_qsl(query) if pair[0] in _SHOWN], safe="/")
    shown = f"{user}{colon}***" if password else login
    return f"{scheme}://{shown}{at}{place}{mark if kept else ''}{kept}"


def connect(url: str | None = None) -> Connection:
    """Open a session in autocommit, so that each `with connection.transaction()` is one transaction.

    To `url`, or to this deployment's database. Raises DatabaseUnreachable, DatabaseTooOld. Never prepares
    statements: poolers in transaction mode mix them up.
    """
    connection = opened(url or database_url())
    _set_up(connection)
    return connection


def opened(url: str) -> _Session:
    """Open a session in autocommit on any server, set up as that server does it.

    Waits, within bounds, for a server that starts or has no place left. Raises DatabaseUnreachable.
    """
    patient = Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, _NotYet)),
        stop=stop_after_attempt(8) | stop_after_delay(_PATIENCE_SECONDS),
        wait=wait_random_exponential(multiplier=0.2, max=5),
        before_sleep=lambda state: _count(state, "no session yet"),
        reraise=True,
    )
    return patient(_open, url)


def fetch_value(
    connection: Connection, statement: sql.SQL | sql.Composed, values: Mapping[str, object] | None = None
) -> Any:
    """The first column of the first row; None where there is no row."""
    row = connection.execute(statement, values).fetchone()
    return row[0] if row else None


def is_idle(connection: Connection) -> bool:
    """Whether it is in no transaction."""
    return connection.info.transaction_status == TransactionStatus.IDLE


def is_pooled(connection: Connection) -> bool:
    """Whether there is a pooler between this session and its server."""
    return isinstance(connection, _Session) and connection.is_pooled


def is_read_only(connection: Connection) -> bool:
    """Whether it takes no writes: of a standby, or by the settings of server, database or role."""
    return connection.execute("show transaction_read_only").fetchone() == ("on",)


def another(connection: Connection) -> Connection:
    """Open a further session where this one is, at once or not at all.

    Raises DatabaseUnreachable, as where Postgres has no place left.
    """
    further = _open(connection.url if isinstance(connection, _Session) else database_url())
    _set_up(further)
    return further


def _open(url: str) -> _Session:
    try:
        opened = _Session.connect(
            url,
            autocommit=True,
            prepare_threshold=None,
            connect_timeout=settings().connect_seconds,
            application_name=application_name(),
            keepalives_idle=30,
            keepalives_interval=10,
            keepalives_count=3,
        )
    except (psycopg.OperationalError, psycopg.ProgrammingError) as error:
        # libpq's words can quote the connection string: keep the last line, drop what could be a secret.
        # Indented is its question whether the server is running.
        lines = _without_password(str(error), url).strip().splitlines()
        words = [line for line in lines if not line.startswith("\t")] or ["no answer"]
        # What it was comes before what to do: of a root certificate that is not there.
        last = " ".join(words[-2:]) if words[-1].startswith("Either ") else words[-1]
        raise _unreachable(f"Postgres cannot be reached: {last}", url) from None
    opened.url = url
    _answered.add(url)
    return opened


def _unreachable(what: str, url: str) -> DatabaseUnreachable:
    why = refusal(url, settings().connect_seconds)
    # What lets us in by now did not a moment ago.
    is_passing = why in (TOO_MANY_CLIENTS, STARTING_OR_STOPPING, LETS_IN) or (why == NO_ANSWER and url in _answered)
    where: dict[str, object] = {
        "database": redacted(url),
        **({"sqlstate": why} if why not in (None, NO_ANSWER, LETS_IN) else {}),
    }
    return (_NotYet if is_passing else DatabaseUnreachable)(what, where=where, todo=_TODO.get(why or ""))


_TODO = {
    TOO_MANY_CLIENTS: "End sessions, run fewer branches at once, or have the limit raised (max_connections, or that of "
    "the role or database). Then run the same command: it resumes.",
    STARTING_OR_STOPPING: "When Postgres is up, run the same command: it resumes.",
}


def _without_password(words: str, url: str) -> str:
    try:
        found = conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        return "the connection string is not valid"
    if redacted(url) == _NOT_A_URL or url.partition("://")[2].partition("/")[0].count("@") > 1:
        return "the connection string is not valid; in a password / is written %2F and @ is written %40"
    secret = found.get("password")
    for form in (str(secret), quote(str(secret), safe="")) if secret else ():
        words = words.replace(form, "***")
    return words


def _set_up(connection: _Session) -> None:
    version = connection.info.server_version
    if version < OLDEST_SERVER:
        connection.close()
        raise DatabaseTooOld(f"PostgreSQL {version // 10000} is too old: 15 or later is needed")
    # A pooler gives its clients process ids of its own. What is set for a session there stays with one of its servers,
    # for whoever comes next; but it carries the time zone over from server to server.
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


def _state(error: BaseException | None) -> str | None:
    return error.sqlstate if isinstance(error, psycopg.Error) else None


def _count(state: RetryCallState, what: str) -> None:
    from ingest_project import instruments  # noqa: PLC0415 - OpenTelemetry takes its time to load, and this is rare

    error = state.outcome.exception() if state.outcome else None
    sqlstate = error.where.get("sqlstate") if isinstance(error, _NotYet) else _state(error)
    instruments.count_postgres_retry(str(sqlstate or "none"))
    log.warning("%s (sqlstate %s), attempt %d", what, sqlstate or "none", state.attempt_number)


@contextmanager
def session(url: str | None = None) -> Generator[Connection]:
    """Open a connection that ends with the block."""
    connection = connect(url)
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def one_snapshot(connection: Connection, shared: str | None = None) -> Generator[None]:
    """A transaction all of whose statements see the same rows, whatever others commit meanwhile.

    `shared` is what `shared_snapshot` gave another session: the rows are those of that moment. Inside another
    transaction it is a savepoint, and sees what that one sees.
    """
    if is_idle(connection):
        connection.isolation_level = IsolationLevel.REPEATABLE_READ  # said with BEGIN, before a pooled session's set-up
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
    """A session where this one is, that holds one moment, and the name by which others see that moment too.

    Not behind a pooler: its transactions begin with a query. Raises DatabaseUnreachable, as `another`.
    """
    with closing(another(connection)) as holding, one_snapshot(holding):
        row = holding.execute("select pg_export_snapshot()").fetchone()
        assert row is not None
        yield holding, row[0]


def retried(transaction: Callable[[], T]) -> T:
    """Run a whole transaction, again where Postgres asks for it (40001, 40P01)."""
    for attempt in Retrying(
        retry=retry_if_exception(lambda error: _state(error) in _TRY_AGAIN),
        stop=stop_after_attempt(5),
        wait=wait_random_exponential(multiplier=0.05, max=2),
        before_sleep=lambda state: _count(state, "transaction undone by Postgres"),
        reraise=True,
    ):
        with attempt:
            return transaction()
    raise AssertionError("unreachable: tenacity returns or raises")
