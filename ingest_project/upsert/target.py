"""A table that frames are upserted into: its columns as Postgres has them, and the statements built for it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import LiteralString, cast

import pyarrow as pa
import pyarrow.types as kinds
from psycopg import sql

from ingest_project.errors import TableUnfit
from ingest_project.normalize.cells import is_bytes
from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection

_SQL = statements.load(__name__, "frames.sql")
_COMMA, _AND = sql.SQL(", "), sql.SQL(" and ")
# Aliases with a space, as no column is likely to have that name: `t` would be taken for a column `t`.
_LIVE_ALIAS, _STAGED_ALIAS = "live row", "staged row"
_STAGE_COLUMNS = {"frame kind", "frame locked", "frame done"}  # columns of the stage beside the table's own


@dataclass(frozen=True)
class TableColumn:
    """A column as Postgres has it. Where its type has no order (`comparable`), its text is compared."""

    name: str
    type: str
    is_generated: bool
    comparable: bool


@dataclass(frozen=True)
class Table:
    """A table, its key and, optionally, the column that says how new a row is."""

    name: str
    key: tuple[str, ...]
    newer_by: str | None = None
    schema: str = "public"

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)

    @property
    def shown(self) -> str:
        return f"{self.schema}.{self.name}"


def existing_columns(connection: Connection, table: Table) -> tuple[TableColumn, ...]:
    """The columns of the table as it is; none where there is no such table."""
    values = {"table": table.identifier.as_string(connection)}
    return tuple(TableColumn(*row) for row in connection.execute(_SQL["describe_table"], values).fetchall())


def require_columns(connection: Connection, table: Table) -> tuple[TableColumn, ...]:
    """The columns of the table. Raises TableUnfit where there is no such table."""
    columns = existing_columns(connection, table)
    if not columns:
        raise TableUnfit(f"there is no table {table.shown}", where={"table": table.shown})
    return columns


def make_table(connection: Connection, table: Table, schema: pa.Schema) -> None:
    """Create a table for frames of this schema, its key as the primary key. Raises TableUnfit."""
    missing = [name for name in table.key if name not in schema.names]
    if missing:
        raise TableUnfit(f"the frame lacks the key: {', '.join(missing)}", where={"table": table.shown})
    definitions = _COMMA.join(
        sql.SQL("{} {}").format(sql.Identifier(field.name), _literal(sql_type(field.type, table))) for field in schema
    )
    statement = _SQL["make_table"].format(table=table.identifier, definitions=definitions, key=_column_list(table.key))
    connection.execute(statement)


def _literal(text: str) -> sql.SQL:
    return sql.SQL(cast(LiteralString, text))  # a type's name, by Postgres itself or from the list below


_SIMPLE: tuple[tuple[Callable[[pa.DataType], bool], str], ...] = (
    (kinds.is_boolean, "boolean"),
    (lambda kind: kind in (pa.int8(), pa.int16(), pa.uint8()), "smallint"),
    (lambda kind: kind in (pa.int32(), pa.uint16()), "integer"),
    (lambda kind: kind in (pa.int64(), pa.uint32()), "bigint"),
    (lambda kind: kind == pa.uint64(), "numeric(20)"),
    (lambda kind: kind in (pa.float16(), pa.float32()), "real"),
    (kinds.is_float64, "double precision"),
    (kinds.is_decimal, "numeric"),  # not of this frame's precision: the next one may have more digits
    (kinds.is_date, "date"),
    (kinds.is_time, "time"),
    (kinds.is_nested, "jsonb"),
    (kinds.is_duration, "interval"),
    (lambda kind: kind == pa.uuid(), "uuid"),
    (lambda kind: kinds.is_string(kind) or kinds.is_large_string(kind) or kind == pa.string_view(), "text"),
    (is_bytes, "bytea"),
    (kinds.is_null, "text"),
)


def sql_type(kind: pa.DataType, table: Table) -> str:
    """The Postgres type for an Arrow type. Raises TableUnfit where there is none."""
    if kinds.is_dictionary(kind):
        return sql_type(kind.value_type, table)
    if kinds.is_timestamp(kind):
        return "timestamptz" if kind.tz else "timestamp"
    for is_kind, name in _SIMPLE:
        if is_kind(kind):
            return name
    raise TableUnfit(f"no column type is known for {kind}", where={"table": table.shown})


def _column_list(names: Sequence[str], prefix: str | None = None) -> sql.Composed:
    return _COMMA.join(sql.Identifier(*([prefix] if prefix else []), name) for name in names)


@dataclass(frozen=True)
class Target:
    """A table with the columns that the frames have, and the statements of one upsert."""

    table: Table
    columns: tuple[TableColumn, ...]

    @classmethod
    def of(cls, connection: Connection, table: Table, names: Sequence[str]) -> "Target":
        """The table as it is, for frames of these columns. Raises TableUnfit."""
        existing = {column.name: column for column in require_columns(connection, table)}
        _refuse_misfit(table, existing, names)
        values = {"table": table.identifier.as_string(connection)}
        unique_keys = [set(key) for (key,) in connection.execute(_SQL["unique_keys"], values).fetchall()]
        if set(table.key) not in unique_keys:
            raise TableUnfit(
                f"{', '.join(table.key)} is no unique key: two writers could both insert a row",
                where={"table": table.shown},
                todo="Add a primary key or unique constraint on exactly these columns, or declare another key.",
            )
        return cls(table, tuple(existing[name] for name in names))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def types(self) -> dict[str, str]:
        return {column.name: column.type for column in self.columns}

    @cached_property
    def _pieces(self) -> Mapping[str, sql.Composable]:
        key, content = self.table.key, [column for column in self.columns if column.name not in self.table.key]
        return {
            "table": self.table.identifier,
            "key": _column_list(key),
            "target_key": _column_list(key, _LIVE_ALIAS),
            "stage_key": _column_list(key, _STAGED_ALIAS),
            "columns": _column_list(self.names),
            "values": _column_list(self.names, _STAGED_ALIAS),
            "match": _AND.join(_pair("{live} = {staged}", name) for name in key),
            "same": _AND.join(_same(column) for column in content) if content else sql.SQL("true"),
            "older": _pair("coalesce({staged} < {live}, {staged} is null and {live} is not null)", self.table.newer_by)
            if self.table.newer_by
            else sql.SQL("false"),
            "assignments": _COMMA.join(_pair("{0} = {staged}", column.name) for column in content),
            "definitions": _definitions(self.columns),
        }

    def statement(self, name: str, **more: sql.Composable) -> sql.Composed:
        """A statement of frames.sql for this table."""
        return _SQL[name].format(**self._pieces, **more)

    def history(self, name: str, history: Table) -> sql.Composed:
        """A statement that keeps old images in another table."""
        keys = [column for column in self.columns if column.name in self.table.key]
        pieces = {**self._pieces, "definitions": _definitions(keys), "history": history.identifier}
        return _SQL[name].format(**pieces)


def _pair(template: LiteralString, name: str) -> sql.Composed:
    """The template with a column, its live value and its staged value."""
    live, staged = sql.Identifier(_LIVE_ALIAS, name), sql.Identifier(_STAGED_ALIAS, name)
    return sql.SQL(template).format(sql.Identifier(name), live=live, staged=staged)


def _same(column: TableColumn) -> sql.Composed:
    if column.comparable:
        return _pair("{staged} is not distinct from {live}", column.name)
    return _pair("{staged}::text is not distinct from {live}::text", column.name)


def _definitions(columns: Sequence[TableColumn]) -> sql.Composed:
    return _COMMA.join(
        sql.SQL("{} {}").format(sql.Identifier(column.name), _literal(column.type)) for column in columns
    )


def _refuse_misfit(table: Table, existing: Mapping[str, TableColumn], names: Sequence[str]) -> None:
    where = {"table": table.shown}
    unknown = [name for name in names if name not in existing]
    if unknown:
        raise TableUnfit(
            f"the table has no column {', '.join(unknown)}; it has {', '.join(existing)}",
            where=where,
            todo="Add the columns to the table, or leave them out of the frame.",
        )
    missing = [name for name in (*table.key, *filter(None, [table.newer_by])) if name not in names]
    if missing:
        raise TableUnfit(f"the frame lacks {', '.join(missing)}", where=where)
    if reserved := sorted(_STAGE_COLUMNS & set(names)):
        raise TableUnfit(f"no column may be called {', '.join(reserved)} here", where=where, todo="Rename it.")
    generated = [name for name in names if existing[name].is_generated]
    if generated:
        raise TableUnfit(
            f"Postgres itself fills {', '.join(generated)}", where=where, todo="Leave it out of the frame."
        )
