"""The Postgres that a relation is read from: a session with one snapshot, its catalog, and what its errors mean."""

import difflib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import IsolationLevel, conninfo, sql

from ingest_project.branches.spec import BranchSpec
from ingest_project.errors import DatabaseUnreachable, IngestError, SourceMissing, SourceUnreadable
from ingest_project.extract.reach import refuse_out_of_reach
from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection, open_session
from ingest_project.settings import settings

SQL = statements.load(__name__, "postgres.sql")
# What ends a session or its snapshot, and says nothing about the relation: standbys, timeouts, restarts, full servers.
_TRANSIENT = frozenset({"40001", "40P01", "57014", "57P01", "57P02", "57P03", "57P05", "25P03", "25P04"})
_TRANSIENT_CLASSES = ("08", "53", "58")
_INSUFFICIENT_PRIVILEGE = "42501"
_INVALID_NAME = frozenset({"42602", "42601", "0A000", "3F000"})  # what to_regclass raises for impossible names
_KINDS_WITH_ROWS = frozenset("rpvmf")  # tables, partitioned ones, views, materialized ones, foreign tables
_OTHER_KINDS = {"S": "a sequence", "i": "an index", "I": "an index", "c": "a type", "t": "a TOAST table"}


@dataclass(frozen=True)
class Server:
    """The server of a branch's relation, by libpq's parameters; they may hold secrets."""

    spec: BranchSpec
    parameters: dict[str, str]

    def snapshot(self) -> Connection:
        """Open a session whose only transaction sees one state. Raises IngestError, SourceUnreadable."""
        for host, port in _hosts(self.parameters):
            refuse_out_of_reach(_url(host, port, self.parameters.get("dbname", "")), self.spec.location)
        connection = self._connect()
        try:
            # Again, for where libpq went: a service or the environment may have told it.
            info = connection.info
            refuse_out_of_reach(_url(info.hostaddr or info.host, str(info.port), info.dbname), self.spec.location)
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            connection.autocommit = False
            with self.errors_translated():
                connection.execute(SQL["set_session_settings"], _session_settings())
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self) -> Connection:
        try:
            return open_session(conninfo.make_conninfo(**self.parameters))
        except DatabaseUnreachable as error:
            why = error.what.removeprefix("Postgres cannot be reached: ")
            raise IngestError(
                f"the source's Postgres cannot be reached: {why}",
                where=self.where,
                todo="Check its location, and the credentials in the environment or in libpq's files; then run again.",
            ) from None

    @property
    def where(self) -> dict[str, object]:
        return {"branch": self.spec.name, "location": self.spec.location}

    @contextmanager
    def errors_translated(self) -> Generator[None]:
        """Raise the errors of the server as this project's, without values of rows."""
        try:
            yield
        except psycopg.Error as error:
            raise self._translate_error(error) from None

    def _translate_error(self, error: psycopg.Error) -> IngestError:
        message = error.diag.message_primary or (str(error).strip().splitlines() or ["no answer"])[0]
        where = {**self.where, "sqlstate": error.sqlstate or "none"}
        state = error.sqlstate
        if state in _TRANSIENT or (state or "08")[:2] in _TRANSIENT_CLASSES:
            what = f"reading the relation was cut off: {message}"
            return IngestError(what, where=where, todo=self._how_to_resume(state))
        if state == _INSUFFICIENT_PRIVILEGE:
            return SourceUnreadable(
                f"this role may not read the relation: {message}",
                where=where,
                todo="As its owner: grant usage on its schema and select on it to the role of the location; run again.",
            )
        return SourceUnreadable(f"the relation cannot be read: {message}", where=where)

    def _how_to_resume(self, state: str | None) -> str:
        how = (
            "The same command goes on behind the last part."
            if self.spec.cursor
            else "The same command reads it from the beginning (a `cursor` in the branch file would let it go on)."
        )
        if state not in ("57014", "40001"):
            return how
        return f"{how} A standby that ends queries: hot_standby_feedback there, or read the primary."


def _hosts(parameters: dict[str, str]) -> list[tuple[str, str]]:
    # An address goes before a name: libpq connects there.
    hosts = (parameters.get("hostaddr") or parameters.get("host") or "").split(",")
    ports = parameters.get("port", "").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    return [(host, port) for host, port in zip(hosts, ports, strict=False) if host]


def _url(host: str, port: str, database: str) -> str:
    is_socket = not host or host.startswith(("/", "@"))
    name = "" if is_socket else f"[{host}]" if ":" in host else host
    return f"postgresql://{name}{f':{port}' if port and not is_socket else ''}/{quote(database, safe='')}"


def _session_settings() -> dict[str, list[str]]:
    timeouts = settings()
    values = {
        "statement_timeout": f"{timeouts.statement_seconds}s",
        "transaction_timeout": "0",
        "idle_in_transaction_session_timeout": f"{timeouts.idle_transaction_seconds}s",
        "client_connection_check_interval": "10s",
        # How values are written: the same whatever the server, database or role prefers.
        "TimeZone": "UTC",
        "DateStyle": "ISO, YMD",
        "IntervalStyle": "iso_8601",
        "bytea_output": "hex",
        "extra_float_digits": "1",
    }
    return {"names": list(values), "values": list(values.values())}


@dataclass(frozen=True)
class Column:
    """A column of a relation; `kind` and `category` are those of its type, or of a domain's base type."""

    name: str
    kind: str
    category: str
    declared: str
    readable: bool
    not_null: bool


@dataclass(frozen=True)
class CatalogRelation:
    """A relation as the catalog has it, in one snapshot."""

    schema: str
    name: str
    size: int
    taken_at: str
    snapshot: str
    key: str | None
    columns: tuple[Column, ...]

    @property
    def readable_columns(self) -> list[Column]:
        return [column for column in self.columns if column.readable]

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)


def find_relation(server: Server, connection: Connection, table: str) -> CatalogRelation:
    """Look a relation up in the catalog. Raises SourceMissing, SourceUnreadable."""
    row = _find_row(server, connection, table)
    if row is None:
        raise _missing(server, connection, table)
    schema, name, kind, oid, size, taken_at, snapshot, key = row
    if kind not in _KINDS_WITH_ROWS:
        raise SourceUnreadable(f"{table} is {_OTHER_KINDS.get(kind, 'no table')}: it has no rows", where=server.where)
    with server.errors_translated():
        rows = connection.execute(SQL["columns_of_relation"], {"oid": oid}).fetchall()
    return CatalogRelation(schema, name, size, taken_at, snapshot, key, tuple(Column(*row) for row in rows))


def _find_row(server: Server, connection: Connection, table: str) -> tuple[Any, ...] | None:
    with server.errors_translated():
        try:
            with connection.transaction():
                return connection.execute(SQL["find_relation"], {"table": table}).fetchone()
        except psycopg.Error as error:
            if error.sqlstate in _INVALID_NAME:
                return None
            raise


def _missing(server: Server, connection: Connection, table: str) -> SourceMissing:
    with server.errors_translated():
        names = [name for (name,) in connection.execute(SQL["relation_names"], {}).fetchall()]
    similar = difflib.get_close_matches(table, names, n=1) or [name for name in names if name.endswith(f".{table}")]
    hint = f" (did you mean {similar[0]}?)" if similar else ""
    return SourceMissing(
        f"there is no relation {table} in database {connection.info.dbname}{hint}",
        where=server.where,
        todo="Mend `table=` in the location: schema.name as SQL has it, names with capitals in double quotes.",
    )
