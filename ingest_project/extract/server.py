"""The server that a relation is read from: reached where allowed, in one snapshot, its errors in our words."""

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
from ingest_project.postgres.connection import Connection, opened
from ingest_project.settings import settings

SQL = statements.load(__name__, "postgres.sql")
# What ends a session or its snapshot, and says nothing about the relation: standbys, timeouts, restarts, full servers.
_PASSING = frozenset({"40001", "40P01", "57014", "57P01", "57P02", "57P03", "57P05", "25P03", "25P04"})
_PASSING_CLASSES = ("08", "53", "58")
_PERMISSION = "42501"
_NAMELESS = frozenset({"42602", "42601", "0A000", "3F000"})  # what to_regclass says of names that cannot be
_KINDS = {"r": "table", "p": "table", "v": "view", "m": "materialized view", "f": "foreign table"}
_NO_ROWS = {"S": "a sequence", "i": "an index", "I": "an index", "c": "a type", "t": "a TOAST table"}


@dataclass(frozen=True)
class Server:
    """Where a branch says that its relation is: libpq's keywords, secrets among them."""

    spec: BranchSpec
    words: dict[str, str]

    def snapshot(self) -> Connection:
        """Open a session whose only transaction sees one state. Raises IngestError, SourceUnreadable."""
        for host in _hosts(self.words):
            refuse_out_of_reach(_url(*host, self.words.get("dbname", "")), self.spec.location)
        connection = self._connected()
        try:
            # Again, of where libpq went: a service or the environment may have said where.
            reached = (connection.info.hostaddr or connection.info.host, str(connection.info.port))
            refuse_out_of_reach(_url(*reached, connection.info.dbname), self.spec.location)
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            connection.autocommit = False
            with self.errors_translated():
                connection.execute(SQL["set_up_source"], _set_up())
        except BaseException:
            connection.close()
            raise
        return connection

    def _connected(self) -> Connection:
        try:
            return opened(conninfo.make_conninfo(**self.words))
        except DatabaseUnreachable as error:
            words = error.what.removeprefix("Postgres cannot be reached: ")
            raise IngestError(
                f"the source's Postgres cannot be reached: {words}",
                where=self.where,
                todo="Check its location, and the credentials in the environment or in libpq's files; then run again.",
            ) from None

    @property
    def where(self) -> dict[str, object]:
        return {"branch": self.spec.name, "location": self.spec.location}

    @contextmanager
    def errors_translated(self) -> Generator[None]:
        """What goes wrong at the server inside, in our words; without values of rows."""
        try:
            yield
        except psycopg.Error as error:
            raise self._explained(error) from None

    def _explained(self, error: psycopg.Error) -> IngestError:
        words = error.diag.message_primary or (str(error).strip().splitlines() or ["no answer"])[0]
        where = {**self.where, "sqlstate": error.sqlstate or "none"}
        state = error.sqlstate
        if state in _PASSING or (state or "08")[:2] in _PASSING_CLASSES:
            return IngestError(f"reading the relation was cut off: {words}", where=where, todo=self._again(state))
        if state == _PERMISSION:
            return SourceUnreadable(
                f"this role may not read the relation: {words}",
                where=where,
                todo="As its owner: grant usage on its schema and select on it to the role of the location; run again.",
            )
        return SourceUnreadable(f"the relation cannot be read: {words}", where=where)

    def _again(self, state: str | None) -> str:
        how = (
            "The same command goes on behind the last part."
            if self.spec.cursor
            else "The same command reads it from the beginning (a `cursor` in the branch file would let it go on)."
        )
        if state not in ("57014", "40001"):
            return how
        return f"{how} A standby that ends queries: hot_standby_feedback there, or read the primary."


def _hosts(words: dict[str, str]) -> list[tuple[str, str]]:
    # An address goes before a name: libpq connects there.
    hosts = (words.get("hostaddr") or words.get("host") or "").split(",")
    ports = words.get("port", "").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    return [pair for pair in zip(hosts, ports, strict=False) if pair[0]]


def _url(host: str, port: str, database: str) -> str:
    local = not host or host.startswith(("/", "@"))
    name = "" if local else f"[{host}]" if ":" in host else host
    return f"postgresql://{name}{f':{port}' if port and not local else ''}/{quote(database, safe='')}"


def _set_up() -> dict[str, list[str]]:
    chosen = settings()
    values = {
        "statement_timeout": f"{chosen.statement_seconds}s",
        "transaction_timeout": "0",
        "idle_in_transaction_session_timeout": f"{chosen.idle_transaction_seconds}s",
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
    """A column of a relation; `kind` and `category` are of its type, or of what a domain is made of."""

    name: str
    kind: str
    category: str
    declared: str
    readable: bool
    not_null: bool


@dataclass(frozen=True)
class Found:
    """A relation as the catalog of a snapshot has it."""

    schema: str
    name: str
    size: int
    taken_at: str
    snapshot: str
    key: str | None
    columns: tuple[Column, ...]

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)


def find(server: Server, connection: Connection, table: str) -> Found:
    """Look a relation up. Raises SourceMissing, SourceUnreadable."""
    row = _looked_up(server, connection, table)
    if row is None:
        raise _missing(server, connection, table)
    schema, name, kind, oid, size, taken_at, snapshot, key = row
    if kind not in _KINDS:
        raise SourceUnreadable(f"{table} is {_NO_ROWS.get(kind, 'no table')}: it has no rows", where=server.where)
    with server.errors_translated():
        rows = connection.execute(SQL["columns_of_relation"], {"oid": oid}).fetchall()
    columns = tuple(Column(*one) for one in rows)
    return Found(schema, name, size, taken_at, snapshot, key, columns)


def _looked_up(server: Server, connection: Connection, table: str) -> tuple[Any, ...] | None:
    with server.errors_translated():
        try:
            with connection.transaction():
                return connection.execute(SQL["find_relation"], {"table": table}).fetchone()
        except psycopg.Error as error:
            if error.sqlstate in _NAMELESS:
                return None
            raise


def _missing(server: Server, connection: Connection, table: str) -> SourceMissing:
    with server.errors_translated():
        known = [name for (name,) in connection.execute(SQL["relations_like"], {}).fetchall()]
    near = difflib.get_close_matches(table, known, n=1) or [name for name in known if name.endswith(f".{table}")]
    hint = f" (did you mean {near[0]}?)" if near else ""
    return SourceMissing(
        f"there is no relation {table} in database {connection.info.dbname}{hint}",
        where=server.where,
        todo="Mend `table=` in the location: schema.name as SQL has it, names with capitals in double quotes.",
    )
