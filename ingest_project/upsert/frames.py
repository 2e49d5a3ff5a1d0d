"""Upserts of data frames into any table with a declared key, in one transaction: stage, lock, compare, write.

It gives any table what core.items has: an unchanged row is not rewritten; an older row never replaces a newer one,
where the table declares how new a row is; concurrent writers lock in one order and lose nothing; the outcome of each
row is counted. Hooks run before anything is read (a fence) and before staged rows are written (a history).
"""

from collections import Counter
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
    """What happened to the rows of an upsert; `stale` ones are older than those in the table."""

    rows: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    stale: int = 0


@dataclass(frozen=True)
class Hooks:
    """`fence` runs first in the transaction and may refuse it; `before_writing` when rows are locked and classified."""

    fence: Callable[[Connection], None] | None = None
    before_writing: Sequence[Hook] = ()


_NO_HOOKS = Hooks()
_MAX_STALLED_ROUNDS = 3  # in a row without any progress: a concurrent writer causes one, a trigger endlessly many


def upsert(
    connection: Connection,
    table: Table,
    frames: Frame | Iterable[Frame],
    *,
    hooks: Hooks = _NO_HOOKS,
    create: bool = False,
) -> TableCounts:
    """Write one frame or a stream of them, all or nothing; one frame is in memory at a time.

    `create` creates a missing table from the first frame. Raises TableUnfit where frame and table do not match,
    RowsUnfit for keys that are null or duplicate and for values that the table refuses; what a hook or the stream
    raises comes out as it is. A serialization failure is retried, unless the frames are a stream, which can be read
    only once.
    """
    stream = frames if isinstance(frames, Iterable) and not isinstance(frames, Frame) else [frames]
    if isinstance(stream, Sequence):
        return retried(lambda: _upsert(connection, table, iter(stream), hooks, create=create))
    return _upsert(connection, table, iter(stream), hooks, create=create)


@contextmanager
def _translate_refusals(table: Table) -> Generator[None]:
    """Turn Postgres' refusal of a value into RowsUnfit. Wraps our own statements, not those of hooks or streams."""
    try:
        yield
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        diag = error.diag
        # At the commit this may be another table, one that a hook or a trigger wrote to.
        refusing = f"{diag.schema_name}.{diag.table_name}" if diag.table_name else table.shown
        where = {"table": refusing, "constraint": diag.constraint_name, "sqlstate": error.sqlstate}
        what = "; ".join(filter(None, [diag.message_primary, diag.message_detail, diag.context]))
        raise RowsUnfit(
            f"the table refuses a value: {what}",
            where={key: value for key, value in where.items() if value},
            todo="Mend the rows, or the table; nothing was written.",
        ) from error


def _upsert(
    connection: Connection, table: Table, frames: Iterator[Frame], hooks: Hooks, *, create: bool
) -> TableCounts:
    first = next((as_arrow(frame, table) for frame in frames), None)
    if first is None:
        return TableCounts()
    with ExitStack() as transaction:
        transaction.enter_context(connection.transaction())
        if hooks.fence:
            hooks.fence(connection)
        if create and not existing_columns(connection, table):
            make_table(connection, table, first.schema)
        target = Target.of(connection, table, first.column_names)
        rows = _stage(connection, target, chain([first], (as_arrow(frame, table) for frame in frames)))
        _write(connection, target, hooks)
        counts: dict[str, int] = dict(connection.execute(target.statement("count_frame_rows")).fetchall())
        connection.execute(target.statement("drop_frame_stage"))
        with _translate_refusals(table):
            transaction.close()  # a deferred constraint refuses at the commit
    return TableCounts(rows, *(counts.get(kind, 0) for kind in "iuns"))


def _stage(connection: Connection, target: Target, frames: Iterable[pa.Table]) -> int:
    connection.execute(target.statement("make_frame_stage"))
    rows = 0
    with connection.cursor() as cursor:
        for number, frame in enumerate(frames, 1):
            _refuse_misfit(target.table, frame, target.names, number)
            _copy(cursor, target, frame.select(list(target.names)), number)
            rows += frame.num_rows
    connection.execute(target.statement("analyze_frame_stage"))
    _refuse_duplicate_keys(connection, target)
    return rows


def _copy(cursor: psycopg.Cursor[tuple[object, ...]], target: Target, frame: pa.Table, number: int) -> None:
    where: dict[str, object] = {"table": target.table.shown, "frame": number}
    try:
        with _translate_refusals(target.table):
            copy_in(cursor, target.statement("copy_frame"), writable(frame, target.types))
    except (TableUnfit, RowsUnfit) as error:
        error.where |= where
        raise
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise TableUnfit(f"a column has a type that is not written: {error}", where=where) from error


def _refuse_misfit(table: Table, frame: pa.Table, names: Sequence[str], number: int) -> None:
    where = {"table": table.shown, "frame": number}
    if set(frame.column_names) != set(names):
        raise TableUnfit(
            f"the frame has the columns {', '.join(frame.column_names)}; the first had {', '.join(names)}", where=where
        )
    for name in table.key:
        if frame[name].null_count:
            raise RowsUnfit(f"{frame[name].null_count:,} rows have no {name}, which is of the key", where=where)


def _refuse_duplicate_keys(connection: Connection, target: Target) -> None:
    duplicates = connection.execute(target.statement("duplicate_keys")).fetchall()
    if duplicates:
        keys = "; ".join(", ".join(str(value) for value in row[:-1]) for row in duplicates)
        raise RowsUnfit(
            f"{duplicates[0][-1]:,} keys are there more than once, such as {keys}",
            where={"table": target.table.shown, "key": ", ".join(target.table.key)},
        )


def _write(connection: Connection, target: Target, hooks: Hooks) -> None:
    open_before = stalled_rounds = 0
    while stalled_rounds < _MAX_STALLED_ROUNDS:
        connection.execute(target.statement("lock_frame_rows"))
        connection.execute(target.statement("classify_frame_rows"))
        for hook in hooks.before_writing:
            hook(connection, target)
        with _translate_refusals(target.table):
            if len(target.names) > len(target.table.key):
                connection.execute(target.statement("update_frame_rows"))
            connection.execute(target.statement("insert_frame_rows"))
        connection.execute(target.statement("mark_frame_rows_done"))
        still_open = fetch_value(connection, target.statement("count_open_frame_rows")) or 0
        if not still_open:
            return
        stalled_rounds, open_before = (stalled_rounds + 1 if still_open == open_before else 0), still_open
    raise TableUnfit(
        f"{open_before:,} rows can neither be inserted nor found: a trigger, a rule or a row policy keeps them out",
        where={"table": target.table.shown},
        todo="Leave such rows out of the frame, or let what guards the table say why it does so.",
    )


def keep_old_images(history: Table) -> Hook:
    """A hook that copies rows that are about to change into a history table, which it creates where it is missing."""

    def keep(connection: Connection, target: Target) -> None:
        connection.execute(target.history("make_history", history))
        connection.execute(target.history("keep_old_images", history))

    return keep


def as_arrow(frame: object, table: Table) -> pa.Table:
    """A frame as an Arrow table. Raises TableUnfit.

    A named index of a DataFrame becomes columns, and NaN becomes null, as pandas means it.
    """
    arrow = _as_arrow(frame, table)
    _refuse_duplicate_columns(arrow.column_names, table)
    return arrow


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
    index_names = [str(name) for name in frame.index.names if name is not None]
    _refuse_duplicate_columns([*index_names, *map(str, frame.columns)], table)
    flat = frame.reset_index() if index_names else frame
    try:
        return pa.Table.from_pandas(flat, preserve_index=False).replace_schema_metadata(None)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise TableUnfit(f"a column holds values of several types: {error}", where={"table": table.shown}) from error


def _refuse_duplicate_columns(names: Sequence[str], table: Table) -> None:
    duplicates = sorted(name for name, count in Counter(names).items() if count > 1)
    if duplicates:
        raise TableUnfit(
            f"several columns of the frame are called {', '.join(duplicates)}", where={"table": table.shown}
        )
