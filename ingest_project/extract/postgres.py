"""A relation: a table or a view of any Postgres, read in one REPEATABLE READ transaction by COPY.

The session opened by `pin` is the one that `pages` reads in. Where it is gone, so is its snapshot: all of it is read
anew, unless the branch declares a `cursor`, behind whose last value the rest is read.
"""

# pyright: reportUnknownParameterType=false, reportAttributeAccessIssue=false
# Arrow ships no types, so a parameter that is a table is Unknown, not wrong; its kernels are made at import.

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
from ingest_project.extract import copied
from ingest_project.extract.location import expanded
from ingest_project.extract.server import SQL, Column, Found, Server, find
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
        location = expanded(head + end) + rest
    if not is_relation(location):
        if spec.cursor:
            raise SourceUnreadable("`cursor` is a column of a relation; this location names none", where=where)
        return None
    try:
        text, table = split_location(location)
        words = conninfo.conninfo_to_dict(text)
    except ValueError as error:
        raise SourceUnreadable(f"the location {error}", where=where) from None
    except psycopg.ProgrammingError:
        why = "the location is no valid URL or connection string of Postgres"
        raise SourceUnreadable(why, where=where) from None
    values = {word: expanded(str(value)) for word, value in words.items() if value is not None}
    return Relation(spec, Server(spec, values), expanded(table))


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
        found = self.look()
        names = tuple(column.name for column in self._readable(found))
        if not self._value("has_rows", found):
            raise SourceEmpty(f"the relation has columns, and no rows: {self._table}", where=self._server.where)
        state = RelationState(
            taken_at=found.taken_at,
            snapshot=found.snapshot,
            types=[column.declared for column in self._readable(found)],
            until=self._until(found),
        )
        file = SourceFile(self._place(found), found.size, self._modified_ns(found), etag=found.snapshot)
        return Pin(FORMAT, (file,), names, self._value("estimate_rows", found)[0]["Plan"]["Plan Rows"], state)

    def look(self) -> Found:
        """What the catalog says of it, in the snapshot."""
        found = find(self._server, self._session(), self._table)
        ours = sorted({ROW, MALFORMED, MORE} & {column.name for column in found.columns})
        if ours:
            why = f"the relation has a column {' and '.join(ours)}: a name that pages keep for themselves"
            raise SourceUnreadable(why, where=self._server.where, todo="Name a view of it that has another name there.")
        return found

    def sample(self, count: int) -> tuple[pa.Table, str | None]:
        """Some rows, in no order, and the primary key where it is one column."""
        found = self.look()
        text = SQL["copy_some"].format(**self._parts(found), count=sql.Literal(count))
        with self._server.errors_translated(), self._session().cursor() as cursor, cursor.copy(text) as copy:
            tables = [table for table, _ in copied.tables(copy, self._kinds(found), count)]
        rows = tables[0] if tables else copied.empty(self._kinds(found))
        return rows.drop_columns([MALFORMED]), found.key

    def pages(self, pin: Pin, size: int, after: Cursor | None) -> Iterator[Page]:
        """Yield pages of `size` rows. Raises SourceMoved, SourceUnreadable; IngestError for what may pass."""
        at = after or Cursor(0, 0, 0)
        found = self.look()
        self._refuse_changed(pin, self._readable(found))
        kinds = self._kinds(found)
        with (
            self._server.errors_translated(),
            self._session().cursor() as cursor,
            cursor.copy(self._query(pin, found, at)) as copy,
        ):
            for table, taken in copied.tables(copy, kinds, size):
                rows = at.rows + table.num_rows
                at = Cursor(0, rows, rows, self._last(table, at.after))
                yield page_of(table, at, taken)
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

    # ── what it asks ───────────────────────────────────────────────────────────────────────────────────────

    def _session(self) -> Connection:
        if self._connection is None:
            self._connection = self._server.snapshot()
        return self._connection

    def _value(self, statement: str, found: Found, column: str | None = None) -> Any:
        text = SQL[statement].format(relation=found.identifier, column=sql.Identifier(column or ""))
        with self._server.errors_translated():
            row = self._session().execute(text).fetchone()
        return row[0] if row else None

    def _query(self, pin: Pin, found: Found, at: Cursor) -> sql.Composed:
        common = self._parts(found)
        if self.spec.cursor is None:
            return SQL["copy_all"].format(**common, order=sql.Identifier(self.spec.key))
        values = {"after": sql.Literal(at.after), "until": sql.Literal(pin.relation and pin.relation.until)}
        statement = "copy_until" if at.after is None else "copy_between"
        return SQL[statement].format(**common, order=sql.Identifier(self.spec.cursor), **values)

    def _parts(self, found: Found) -> dict[str, sql.Composable]:
        columns = sql.SQL(", ").join(_selected(column) for column in self._readable(found))
        return {"columns": columns, "relation": found.identifier}

    def _kinds(self, found: Found) -> dict[str, pa.DataType]:
        return {column.name: copied.arrow_type(column.kind) for column in self._readable(found)}

    def _until(self, found: Found) -> str | None:
        name = self.spec.cursor
        column = next((one for one in found.columns if one.name == name), None)
        if name is None or column is None:
            return None  # no such column: the preflight says so
        if column.category in "AC":
            raise self._no_cursor(f"its type is {column.declared}")
        if not column.not_null and self._value("has_null", found, name):
            raise self._no_cursor("it has nulls")
        return str(self._value("greatest", found, name))

    def _modified_ns(self, found: Found) -> int | None:
        # Only where a limit asks for it: it may take reading all of the column.
        column = next((one for one in found.columns if one.name == self.spec.updated_at), None)
        if (
            self.spec.limits.max_age is None
            or column is None
            or column.kind not in ("timestamptz", "timestamp", "date")
        ):
            return None
        newest = self._value("newest_change", found, column.name)
        return round(newest * 1e6) * 1000 if isinstance(newest, float) else None

    # ── what it makes of it ────────────────────────────────────────────────────────────────────────────────

    def _readable(self, found: Found) -> list[Column]:
        kept = [column for column in found.columns if column.readable]
        if len(kept) < len(found.columns):
            hidden = [column.name for column in found.columns if not column.readable]
            log.warning("branch %s: this role may not read the columns %s", self.spec.name, ", ".join(hidden))
        return kept

    def _place(self, found: Found) -> str:
        info = self._session().info
        return f"postgresql://{info.user}@{info.host}:{info.port}/{info.dbname}?table={found.schema}.{found.name}"

    def _refuse_changed(self, pin: Pin, columns: list[Column]) -> None:
        types = pin.relation.types if pin.relation else ()
        was = dict(zip(pin.columns, types, strict=True))
        now = {column.name: column.declared for column in columns}
        if was != now:
            listed = "".join(
                f"\n    {name}: was {was.get(name, 'not there')}, is {now.get(name, 'gone')}"
                for name in {**was, **now}
                if was.get(name) != now.get(name)
            )
            why = f"the columns of the relation changed after it was pinned:{listed}"
            raise SourceMoved(why, where=self._server.where)

    def _last(self, table: pa.Table, before: str | None) -> str | None:
        # In order, equal values stand side by side.
        name = self.spec.cursor
        if name is None:
            return None
        values = pa.concat_arrays([pa.array([before], pa.string()), *table[name].cast(pa.string()).chunks])
        repeated = pc.equal(values[1:], values[:-1])
        if pc.any(repeated).as_py():
            raise self._no_cursor(f"{values[1:].filter(repeated)[0].as_py()!r} stands there twice")
        if table[name].null_count:
            raise self._no_cursor("a row of it is too long to be read")
        return values[-1].as_py()

    def _no_cursor(self, why: str) -> SourceUnreadable:
        return SourceUnreadable(
            f"the column {self.spec.cursor!r} is no cursor: {why}",
            where=self._server.where,
            todo="Name one that is unique, never null and never changed, or take `cursor` out of the branch file.",
        )


def _selected(column: Column) -> sql.Composable:
    name = sql.Identifier(column.name)
    if column.category in "AC":
        return sql.SQL("to_json({})").format(name)
    return sql.SQL("{}::text").format(name) if column.kind == "bpchar" else name
