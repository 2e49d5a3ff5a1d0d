"""Replays rejects: they are normalized again under the current rules and spec, by an activation of kind `replay`.

Its snapshot takes the rows from the parts of their activations or, if those are deleted, from the rejects. Each part
has rows of one activation only, so that every row ranks like the activation it comes from. The result is as if the row
had been good then: a later activation with its key supersedes it, and so does a newer row of its own activation.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, groupby

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from ingest_project.branches import activations
from ingest_project.branches.registry import Branch
from ingest_project.branches.work import Work
from ingest_project.errors import PartDamaged, UsageError
from ingest_project.extract.json_rows import parse_row
from ingest_project.extract.manifest import list_part, listed_parts, part_key
from ingest_project.extract.snapshot import ASSET as SNAPSHOT
from ingest_project.extract.source import MALFORMED, MAX_PAGE_BYTES, ROW
from ingest_project.extract.store import PartStore
from ingest_project.normalize.duplicates import NEWNESS, KeyFile, Loser
from ingest_project.normalize.originals import Original, originals_of
from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection, fetch_value
from ingest_project.postgres.leases import Lease, fenced
from ingest_project.telemetry import log

_SQL = statements.load(__name__, "replay.sql")
# Replayed rows with the key of an ingested row: of a later activation, or of their own and newer. An activation numbers
# its rows across parts, so that the row number alone decides between equal times.
_SUPERSEDED = """
with ingested as (
  select external_id, "row", newness(source_updated_at, 0, "row") as newness,
         $activations[list_position($ingested, filename)] as activation
    from read_parquet($ingested, filename = true)
), replayed as (
  select external_id, "row", newness(source_updated_at, 0, "row") as newness,
         list_position($paths, filename) as place
    from read_parquet($paths, filename = true)
)
select r.place, r."row", r.external_id, max(i.activation) as newest, max(i.activation) > $originals[r.place],
       arg_max(i."row", i.newness) filter (where i.activation = $originals[r.place])
  from replayed r
  join ingested i on i.external_id = r.external_id
   and (i.activation > $originals[r.place]
        or i.activation = $originals[r.place] and i.newness > r.newness)
 group by r.place, r."row", r.external_id order by 1, 2
"""


@dataclass(frozen=True)
class RejectedRow:
    """A reject to replay; `raw` is its row as JSON."""

    activation: int
    part: int
    row: int
    raw: bytes


def count_truncated(connection: Connection, branch: Branch) -> int:
    """The number of rejects that cannot be replayed, since their raw row was truncated."""
    return fetch_value(connection, _SQL["count_truncated"], {"branch_id": branch.branch_id}) or 0


def begin_replay(connection: Connection, lease: Lease, branch: Branch, store: PartStore, rows_per_part: int) -> Work:
    """Create the activation of a replay and its snapshot, in one transaction.

    Raises UsageError if the branch has an open activation, or nothing to replay.
    """
    with fenced(connection, lease):
        open_activation = activations.find_open(connection, branch.branch_id)
        if open_activation is not None:
            raise UsageError(
                f"activation {open_activation.activation_id} of this branch is {open_activation.state}: "
                "a replay comes after it",
                where={"branch": branch.name},
                todo=f"`ingest run {branch.name}` ends it; then replay.",
            )
        rows = _rows_to_replay(connection, branch)
        first = next(rows, None)
        if first is None:
            raise _nothing_to_replay(branch, count_truncated(connection, branch))
        activation = activations.create_replay(connection, branch.branch_id, holder=lease.holder)
        work = Work(connection, lease, branch, activation)
        return _snapshot(work, store, chain([first], rows), rows_per_part)


def _nothing_to_replay(branch: Branch, truncated: int) -> UsageError:
    cut = f"; {truncated:,} cannot be replayed: what they said was cut when they were set aside" if truncated else ""
    return UsageError(
        f"no row that was set aside is left to replay{cut}",
        where={"branch": branch.name},
        todo=f"`ingest rejects {branch.name}` shows those of the newest activation, and why they are there.",
    )


def _rows_to_replay(connection: Connection, branch: Branch) -> Iterator[RejectedRow]:
    with connection.cursor("rows_to_replay") as cursor:
        cursor.execute(_SQL["rows_to_replay"], {"branch_id": branch.branch_id})
        for activation, part, row, raw in cursor:
            yield RejectedRow(activation, part, row, bytes(raw))


def _snapshot(work: Work, store: PartStore, rows: Iterable[RejectedRow], rows_per_part: int) -> Work:
    originals: dict[str, dict[str, int]] = {}
    columns: dict[str, None] = {}
    count = 0
    for part, page_rows in enumerate(_pages(rows, rows_per_part)):
        page = _page(work, store, page_rows)
        columns |= dict.fromkeys(name for name in page.column_names if name not in (ROW, MALFORMED))
        stored = store.put(part_key(work, SNAPSHOT, part), page)
        list_part(work.connection, work, SNAPSHOT, part, stored, None)
        first, last = page_rows[0], page_rows[-1]
        originals[str(part)] = {"activation": first.activation, "first": first.row, "last": last.row}
        count += len(page_rows)
    pin = {"format": "replay", "files": [], "columns": list(columns), "estimated_rows": count, "originals": originals}
    pinned = activations.pin(work.connection, work.activation, work.branch.spec, pin)
    return work.on(activations.end_snapshot(work.connection, pinned, pin, count))


def _pages(rows: Iterable[RejectedRow], size: int) -> Iterator[list[RejectedRow]]:
    """Pages of at most `size` rows and about `MAX_PAGE_BYTES`, each with rows of one activation only."""
    for _, of_activation in groupby(rows, key=lambda row: row.activation):
        page: list[RejectedRow] = []
        weight = 0
        for row in of_activation:
            page.append(row)
            weight += len(row.raw)
            if len(page) == size or weight >= MAX_PAGE_BYTES:
                yield page
                page, weight = [], 0
        if page:
            yield page


def _page(work: Work, store: PartStore, rows: list[RejectedRow]) -> pa.Table:
    page = _page_from_parts(work, store, rows)
    if page is None:
        log.warning(
            "%d rows of activation %d are replayed as their rejects tell them, as text: its parts are gone",
            *(len(rows), rows[0].activation),
        )
        page = _page_from_rejects(rows)
    missing = [name for name in work.branch.spec.declared_columns() if name not in page.column_names]
    for name in missing:
        page = page.append_column(name, pa.nulls(page.num_rows, pa.string()))
    return page


def _page_from_parts(work: Work, store: PartStore, rows: list[RejectedRow]) -> pa.Table | None:
    """The rows with their original types; None if a part of their activation is gone."""
    listed = {part.part: part for part in listed_parts(work.connection, rows[0].activation, SNAPSHOT)}
    tables: list[pa.Table] = []
    for part, of_part in groupby(rows, key=lambda row: row.part):
        numbers = pa.array([row.row for row in of_part], pa.int64())
        try:
            source = store.get(listed[part].path, listed[part].digest)
        except (KeyError, PartDamaged):
            return None
        tables.append(source.filter(pc.is_in(source[ROW], numbers)))
    if any(table.schema != tables[0].schema for table in tables):
        return None
    page = pa.concat_tables(tables)
    return page if page.num_rows == len(rows) else None


def _page_from_rejects(rows: list[RejectedRow]) -> pa.Table:
    values = [_values_from_raw(row) for row in rows]
    names = dict.fromkeys([*(name for row in values for name in row if name != MALFORMED), MALFORMED])
    columns = {name: pa.array([row.get(name) for row in values], pa.string()) for name in names}
    return pa.table(columns).append_column(ROW, pa.array([row.row for row in rows], pa.int64()))


def _values_from_raw(row: RejectedRow) -> dict[str, str | None]:
    text = row.raw.decode("utf-8", "replace")
    values = parse_row(text, None)
    if values is None:  # not a row of JSON: it is a malformed line still
        return {MALFORMED: text}
    return {name: json.dumps(value) if isinstance(value, bool) else value for name, value in values.items()}


def superseded_rows(work: Work, store: PartStore, files: list[KeyFile]) -> Iterator[Loser]:
    """The rows of a replay that an ingested row with their key supersedes, ordered by part and row.

    It may be a row of a later activation, or a newer row of their own. If the branch tombstones missing items, the
    newest activation decides about every key, and supersedes all rows of earlier ones.
    """
    originals = originals_of(work.activation)
    if not files or not originals:
        return
    newest = _newest_ingested(work) if work.spec.missing == "tombstone" else 0
    older = [file for file in files if originals[file.part].activation < newest]
    yield from _all_rows(older, newest)
    yield from _superseded_by_key(work, store, files[len(older) :], originals)


def _newest_ingested(work: Work) -> int:
    return fetch_value(work.connection, _SQL["newest_ingested"], {"branch_id": work.branch.branch_id}) or 0


def _all_rows(files: list[KeyFile], newest: int) -> Iterator[Loser]:
    with duckdb.connect(":memory:") as connection:
        for file in files:
            result = connection.execute(
                'select "row", external_id from read_parquet($path) order by 1', {"path": file.path}
            )
            for row, key in result.fetchall():
                yield Loser(file.part, row, key, newest, "key_superseded")


def _superseded_by_key(
    work: Work, store: PartStore, files: list[KeyFile], originals: dict[int, Original]
) -> Iterator[Loser]:
    if not files:
        return
    values = {"branch_id": work.branch.branch_id, "first": min(originals[file.part].activation for file in files)}
    ingested: list[tuple[int, str]] = work.connection.execute(_SQL["parts_since"], values).fetchall()
    if not ingested:
        return
    parameters = {
        "paths": [file.path for file in files],
        "originals": [originals[file.part].activation for file in files],
        "ingested": [store.local_path(path) for _, path in ingested],
        "activations": [activation for activation, _ in ingested],
    }
    with duckdb.connect(":memory:") as connection:
        connection.execute(NEWNESS)
        for place, row, key, newest, is_later, winner in connection.execute(_SUPERSEDED, parameters).fetchall():
            part = files[place - 1].part
            yield Loser(part, row, key, newest, "key_superseded") if is_later else Loser(part, row, key, winner)
