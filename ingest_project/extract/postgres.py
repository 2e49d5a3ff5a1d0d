"""A relation: a table or a view of any Postgres, read in one REPEATABLE READ transaction by COPY.

The session opened by `pin` is the one that `pages` reads in. If it is lost, so is its snapshot: the whole relation is
read anew, unless the branch declares a `cursor`, after whose last value reading goes on.
"""

# pyright: reportAttributeAccessIssue=false
# Arrow makes its kernels at import, where pyright does not see them.

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import conninfo, sql

from ingest_project.branches.relation import is_relation, split_location
from ingest_project.branches.spec import BranchSpec
from ingest_project.errors import SourceEmpty, SourceMoved, SourceUnreadable
from ingest_project.extract import copy_stream
from ingest_project.extract.location import expand_variables
from ingest_project.extract.server import SQL, CatalogRelation, Column, Server, find_relation
from ingest_project.extract.source import MALFORMED, MORE, ROW, Cursor, Page, Pin, RelationState, SourceFile, page_of
from ingest_project.postgres.connection import Connection
from ingest_project.telemetry import log

FORMAT = "relation"


def relation_of(spec: BranchSpec) -> "Relation | None":
    """The relation that a branch names; None where it names files. Raises SourceMissing, SourceUnreadable."""
    where = {"branch": spec.name, "location": spec.location}
    location = spec.location
    if location.startswith("${"):
        # A variable that holds a URL; others hold parts of one, and may need no quoting there.
        head, end, rest = location.partition("}")
        location = expand_variables(head + end) + rest
    if not is_relation(location):
        if spec.cursor:
            raise SourceUnreadable("`cursor` is a column of a relation; this location names none", where=where)
        return None
    try:
        text, table = split_location(location)
        written = conninfo.conninfo_to_dict(text)
    except ValueError as error:
        raise SourceUnreadable(f"the location {error}", where=where) from None
    except psycopg.ProgrammingError:
        what = "the location is no valid URL or connection string of Postgres"
        raise SourceUnreadable(what, where=where) from None
    parameters = {name: expand_variables(str(value)) for name, value in written.items() if value is not None}
    return Relation(spec, Server(spec, parameters), expand_variables(table))


class Relation:
    """One table or view. Holds a session from `pin` to `close`."""

    def __init__(self, spec: BranchSpec, server: Server, table: str) -> None:
        self.spec = spec
        self._server = server
        self._table = table
        self._connection: Connection | None = None
        self._rows: int | None = None

    @property
    def resumes(self) -> bool:
        return self.spec.cursor is not None

    def pin(self) -> Pin:
        """Take the snapshot. Raises SourceMissing, SourceEmpty, SourceUnreadable; IngestError for what may pass."""
        self.close()
        relation = self.look_up()
        columns = relation.readable_columns
        if not self._fetch_value("has_rows", relation):
            raise SourceEmpty(f"the relation has columns, and no rows: {self._table}", where=self._server.where)
        state = RelationState(
            taken_at=relation.taken_at,
            snapshot=relation.snapshot,
            types=[column.declared for column in columns],
            until=self._greatest_cursor_value(relation),
        )
        file = SourceFile(self._url(relation), relation.size, self._modified_ns(relation), etag=relation.snapshot)
        rows = self._fetch_value("estimate_rows", relation)[0]["Plan"]["Plan Rows"]
        return Pin(FORMAT, (file,), tuple(column.name for column in columns), rows, state)

    def look_up(self) -> CatalogRelation:
        """What the catalog says of it, in the snapshot."""
        relation = find_relation(self._server, self._session(), self._table)
        reserved = sorted({ROW, MALFORMED, MORE} & {column.name for column in relation.columns})
        if reserved:
            what = f"the relation has a column {' and '.join(reserved)}: a name that pages keep for themselves"
            todo = "Name a view of it that has another name there."
            raise SourceUnreadable(what, where=self._server.where, todo=todo)
        hidden = [column.name for column in relation.columns if not column.readable]
        if hidden:
            log.warning("branch %s: this role may not read the columns %s", self.spec.name, ", ".join(hidden))
        return relation

    def sample(self, count: int) -> tuple[pa.Table, str | None]:
        """Some rows, in no order, and the primary key where it is one column."""
        relation = self.look_up()
        statement = SQL["copy_sample"].format(**_columns_and_relation(relation), count=sql.Literal(count))
        types = _arrow_types(relation)
        with self._server.errors_translated(), self._session().cursor() as cursor, cursor.copy(statement) as copy:
            tables = [table for table, _ in copy_stream.tables(copy, types, count)]
        rows = tables[0] if tables else copy_stream.empty_table(types)
        return rows.drop_columns([MALFORMED]), relation.key

    def pages(self, pin: Pin, size: int, after: Cursor | None) -> Iterator[Page]:
        """Yield pages of `size` rows. Raises SourceMoved, SourceUnreadable; IngestError for what may pass."""
        at = after or Cursor(0, 0, 0)
        relation = self.look_up()
        self._refuse_changed(pin, relation)
        types = _arrow_types(relation)
        with (
            self._server.errors_translated(),
            self._session().cursor() as cursor,
            cursor.copy(self._copy_statement(pin, relation, at)) as copy,
        ):
            for table, bytes_read in copy_stream.tables(copy, types, size):
                rows = at.rows + table.num_rows
                at = Cursor(0, rows, rows, self._last_cursor_value(table, at.after))
                yield page_of(table, at, bytes_read)
        self._rows = at.rows

    def seal(self, pin: Pin) -> Pin:
        """Return the pin with the number of rows, and end the snapshot."""
        self.close()
        return replace(pin, relation=replace(pin.relation, rows=self._rows)) if pin.relation else pin

    def moved(self, pin: Pin) -> list[str]:
        """Nothing: only reading all of it would tell. What is open is finished as it was read."""
        return []

    def close(self) -> None:
        """End the session, and its snapshot with it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _session(self) -> Connection:
        if self._connection is None:
            self._connection = self._server.snapshot()
        return self._connection

    def _fetch_value(self, statement: str, relation: CatalogRelation, column: str | None = None) -> Any:
        text = SQL[statement].format(relation=relation.identifier, column=sql.Identifier(column or ""))
        with self._server.errors_translated():
            row = self._session().execute(text).fetchone()
        return row[0] if row else None

    def _copy_statement(self, pin: Pin, relation: CatalogRelation, at: Cursor) -> sql.Composed:
        common = _columns_and_relation(relation)
        if self.spec.cursor is None:
            return SQL["copy_all"].format(**common, order=sql.Identifier(self.spec.key))
        values = {"after": sql.Literal(at.after), "until": sql.Literal(pin.relation and pin.relation.until)}
        statement = "copy_until" if at.after is None else "copy_between"
        return SQL[statement].format(**common, order=sql.Identifier(self.spec.cursor), **values)

    def _greatest_cursor_value(self, relation: CatalogRelation) -> str | None:
        name = self.spec.cursor
        column = next((column for column in relation.columns if column.name == name), None)
        if name is None or column is None:
            return None  # no such column: the preflight says so
        if column.category in "AC":
            raise self._bad_cursor(f"its type is {column.declared}")
        if not column.not_null and self._fetch_value("has_null", relation, name):
            raise self._bad_cursor("it has nulls")
        return str(self._fetch_value("greatest_value", relation, name))

    def _modified_ns(self, relation: CatalogRelation) -> int | None:
        # Only where a limit asks for it: it may take reading all of the column.
        column = next((column for column in relation.columns if column.name == self.spec.updated_at), None)
        if (
            self.spec.limits.max_age is None
            or column is None
            or column.kind not in ("timestamptz", "timestamp", "date")
        ):
            return None
        newest = self._fetch_value("newest_change", relation, column.name)
        return round(newest * 1e6) * 1000 if isinstance(newest, float) else None

    def _url(self, relation: CatalogRelation) -> str:
        info = self._session().info
        table = f"{relation.schema}.{relation.name}"
        return f"postgresql://{info.user}@{info.host}:{info.port}/{info.dbname}?table={table}"

    def _refuse_changed(self, pin: Pin, relation: CatalogRelation) -> None:
        types = pin.relation.types if pin.relation else ()
        before = dict(zip(pin.columns, types, strict=True))
        now = {column.name: column.declared for column in relation.readable_columns}
        if before != now:
            listed = "".join(
                f"\n    {name}: was {before.get(name, 'not there')}, is {now.get(name, 'gone')}"
                for name in {**before, **now}
                if before.get(name) != now.get(name)
            )
            what = f"the columns of the relation changed after it was pinned:{listed}"
            raise SourceMoved(what, where=self._server.where)

    def _last_cursor_value(self, table: pa.Table, before: str | None) -> str | None:
        """The cursor's value in the last row. Raises SourceUnreadable where it is no cursor after all."""
        name = self.spec.cursor
        if name is None:
            return None
        values = pa.concat_arrays([pa.array([before], pa.string()), *table[name].cast(pa.string()).chunks])
        repeats = pc.equal(values[1:], values[:-1])  # rows are in the order of the cursor: equal ones are neighbours
        if pc.any(repeats).as_py():
            raise self._bad_cursor(f"{values[1:].filter(repeats)[0].as_py()!r} stands there twice")
        if table[name].null_count:
            raise self._bad_cursor("a row of it is too long to be read")
        return values[-1].as_py()

    def _bad_cursor(self, why: str) -> SourceUnreadable:
        return SourceUnreadable(
            f"the column {self.spec.cursor!r} is no cursor: {why}",
            where=self._server.where,
            todo="Name one that is unique, never null and never changed, or take `cursor` out of the branch file.",
        )


def _arrow_types(relation: CatalogRelation) -> dict[str, pa.DataType]:
    return {column.name: copy_stream.arrow_type(column.kind) for column in relation.readable_columns}


def _columns_and_relation(relation: CatalogRelation) -> dict[str, sql.Composable]:
    columns = sql.SQL(", ").join(_select_item(column) for column in relation.readable_columns)
    return {"columns": columns, "relation": relation.identifier}


def _select_item(column: Column) -> sql.Composable:
    # Arrays and composites as JSON; char(n) as text, which has no padding.
    name = sql.Identifier(column.name)
    if column.category in "AC":
        return sql.SQL("to_json({})").format(name)
    return sql.SQL("{}::text").format(name) if column.kind == "bpchar" else name
