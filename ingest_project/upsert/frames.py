"""Frames into any table with a declared key, in one transaction: stage, lock, compare, write the difference.

The way of core.items for everybody's tables: a row that says the same is not rewritten, an older one never replaces
a newer one where the table declares what newer is, concurrent writers lock in one order and lose nothing, and what
happened to each row is counted. `Hook`s see the transaction before anything is read (a fence) and the staged rows
before they are written (a history).
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain

import pandas as pd
import psycopg
import pyarrow as pa

from ingest_project.errors import RowsUnfit, TableUnfit
from ingest_project.postgres.connection import Connection, fetch_value, retried
from ingest_project.postgres.csv_copy import copy_in
from ingest_project.upsert.target import Table, Target, existing_columns, make_table
from ingest_project.upsert.writable import writable

Frame = pd.DataFrame | pa.Table | pa.RecordBatch
Hook = Callable[[Connection, Target], None]


@dataclass(frozen=True)
class TableCounts:
    """What happened to the rows of an upsert; `stale` ones are older than what the table says."""

    rows: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    stale: int = 0


@dataclass(frozen=True)
class Hooks:
    """`fence` runs first in the transaction and may refuse it; `before_writing` when rows are locked and judged."""

    fence: Callable[[Connection], None] | None = None
    before_writing: Sequence[Hook] = ()


_NO_HOOKS = Hooks()
_IN_VAIN = 3  # rounds in which no row got any further; another writer is in the way once


def upsert(
    connection: Connection,
    table: Table,
    frames: Frame | Iterable[Frame],
    *,
    hooks: Hooks = _NO_HOOKS,
    create: bool = False,
) -> TableCounts:
    """Write one frame or a stream of them, all or nothing; one part of the stream is in memory at a time.

    `create` makes the table from the first frame where it is missing. Raises TableUnfit where frame and table do not
    go together, RowsUnfit for keys that are null or there twice and for values the table refuses; what a hook or the
    stream itself raises comes out as it is.
    Frames that are a list or a single one are written again where Postgres asks for it; a stream can be drawn once.
    """
    given = frames if isinstance(frames, Iterable) and not isinstance(frames, Frame) else [frames]
    if isinstance(given, Sequence):
        return retried(lambda: _upsert(connection, table, iter(given), hooks, create=create))
    return _upsert(connection, table, iter(given), hooks, create=create)


@contextmanager
def _refusals_of(table: Table) -> Generator[None]:
    """Around statements of ours only: what a hook or a stream does in Postgres is theirs to explain."""
    try:
        yield
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        said = error.diag
        # At the commit it may be one that a hook or a trigger wrote to; of a value alone Postgres names none.
        named = f"{said.schema_name}.{said.table_name}" if said.table_name else table.shown
        where = {"table": named, "constraint": said.constraint_name, "sqlstate": error.sqlstate}
        what = "; ".join(filter(None, [said.message_primary, said.message_detail, said.context]))
        raise RowsUnfit(
            f"the table refuses a value: {what}",
            where={key: value for key, value in where.items() if value},
            todo="Mend the rows, or the table; nothing was written.",
        ) from error


def _upsert(
    connection: Connection, table: Table, frames: Iterator[Frame], hooks: Hooks, *, create: bool
) -> TableCounts:
    opening = next((as_arrow(frame, table) for frame in frames), None)
    if opening is None:
        return TableCounts()
    with ExitStack() as transaction:
        transaction.enter_context(connection.transaction())
        if hooks.fence:
            hooks.fence(connection)
        if create and not existing_columns(connection, table):
            make_table(connection, table, opening.schema)
        target = Target.of(connection, table, opening.column_names)
        rows = _stage(connection, target, chain([opening], (as_arrow(frame, table) for frame in frames)))
        _write(connection, target, hooks)
        kinds_of_rows: dict[str, int] = dict(connection.execute(target.statement("count_frame_rows")).fetchall())
        connection.execute(target.statement("drop_frame_stage"))
        with _refusals_of(table):
            transaction.close()  # a deferred constraint refuses at the commit
    return TableCounts(rows, *(kinds_of_rows.get(kind, 0) for kind in "iuns"))


def _stage(connection: Connection, target: Target, frames: Iterable[pa.Table]) -> int:
    connection.execute(target.statement("make_frame_stage"))
    rows = 0
    with connection.cursor() as cursor:
        for number, frame in enumerate(frames, 1):
            _refuse_unfit(target.table, frame, target.names, number)
            _copy(cursor, target, frame.select(list(target.names)), number)
            rows += frame.num_rows
    connection.execute(target.statement("analyze_frame_stage"))
    _refuse_twice(connection, target)
    return rows


def _copy(cursor: psycopg.Cursor[tuple[object, ...]], target: Target, frame: pa.Table, number: int) -> None:
    where: dict[str, object] = {"table": target.table.shown, "frame": number}
    try:
        with _refusals_of(target.table):
            copy_in(cursor, target.statement("copy_frame"), writable(frame, target.types))
    except (TableUnfit, RowsUnfit) as error:
        error.where |= where
        raise
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise TableUnfit(f"a column has a type that is not written: {error}", where=where) from error


def _refuse_unfit(table: Table, frame: pa.Table, names: Sequence[str], number: int) -> None:
    where = {"table": table.shown, "frame": number}
    if set(frame.column_names) != set(names):
        raise TableUnfit(
            f"the frame has the columns {', '.join(frame.column_names)}; the first had {', '.join(names)}", where=where
        )
    for name in table.key:
        if frame[name].null_count:
            raise RowsUnfit(f"{frame[name].null_count:,} rows have no {name}, which is of the key", where=where)


def _refuse_twice(connection: Connection, target: Target) -> None:
    found = connection.execute(target.statement("twice_in_frames")).fetchall()
    if found:
        keys = "; ".join(", ".join(str(value) for value in row[:-1]) for row in found)
        raise RowsUnfit(
            f"{found[0][-1]:,} keys are there more than once, such as {keys}",
            where={"table": target.table.shown, "key": ", ".join(target.table.key)},
        )


def _write(connection: Connection, target: Target, hooks: Hooks) -> None:
    before = in_vain = 0
    while in_vain < _IN_VAIN:
        connection.execute(target.statement("lock_frame_rows"))
        connection.execute(target.statement("classify_frame_rows"))
        for hook in hooks.before_writing:
            hook(connection, target)
        with _refusals_of(target.table):
            if len(target.names) > len(target.table.key):
                connection.execute(target.statement("update_frame_rows"))
            connection.execute(target.statement("insert_frame_rows"))
        connection.execute(target.statement("settle_frame_rows"))
        left = fetch_value(connection, target.statement("open_frame_rows")) or 0
        if not left:
            return
        in_vain, before = (in_vain + 1 if left == before else 0), left
    raise TableUnfit(
        f"{before:,} rows can neither be inserted nor found: a trigger, a rule or a row policy keeps them out",
        where={"table": target.table.shown},
        todo="Leave such rows out of the frame, or let what guards the table say why it does so.",
    )


def keep_old_images(history: Table) -> Hook:
    """A hook that writes the rows that are about to change into another table, which it makes where there is none."""

    def keep(connection: Connection, target: Target) -> None:
        connection.execute(target.history("make_history", history))
        connection.execute(target.history("keep_old_images", history))

    return keep


def as_arrow(frame: object, table: Table) -> pa.Table:
    """A frame as an Arrow table. Raises TableUnfit.

    Of a DataFrame the index is taken as well where it has names, and NaN is null, as pandas means it.
    """
    made = _as_arrow(frame, table)
    twice = sorted({name for name in made.column_names if made.column_names.count(name) > 1})
    if twice:
        raise _several(twice, table)
    return made


def _as_arrow(frame: object, table: Table) -> pa.Table:
    if isinstance(frame, pa.Table):
        return frame
    if isinstance(frame, pa.RecordBatch):
        return pa.Table.from_batches([frame])
    if not isinstance(frame, pd.DataFrame):
        raise TableUnfit(
            f"{type(frame).__name__} is no frame",
            where={"table": table.shown},
            todo="Give a pandas DataFrame, a pyarrow Table or RecordBatch, or an iterable of them.",
        )
    indexed = [str(name) for name in frame.index.names if name is not None]
    named = [*indexed, *map(str, frame.columns)]
    if twice := sorted({name for name in named if named.count(name) > 1}):
        raise _several(twice, table)
    whole = frame.reset_index() if indexed else frame
    try:
        return pa.Table.from_pandas(whole, preserve_index=False).replace_schema_metadata(None)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise TableUnfit(f"a column holds values of several types: {error}", where={"table": table.shown}) from error


def _several(names: Sequence[str], table: Table) -> TableUnfit:
    return TableUnfit(f"several columns of the frame are called {', '.join(names)}", where={"table": table.shown})
