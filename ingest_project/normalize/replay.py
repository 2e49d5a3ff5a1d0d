"""Rows that were set aside, taken up again under the rules and the spec of now: an activation of kind `replay`.

Its snapshot is made of the rows as the parts of their activations have them, or as the rejects say where parts are
gone: a part for rows of one activation only, so that each row ranks as the activation that brought it. A key that a
later activation carried is superseded, as it would be had the row been good; and a row gives way to a newer one of its
own activation with its key.
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
# Of the rows of the activation that brought it the newest counts. They are numbered through, so that no part is asked.
_OUTDONE = """
with theirs as (
  select external_id, "row", newness(source_updated_at, 0, "row") as newness,
         $activations[list_position($theirs, filename)] as activation
    from read_parquet($theirs, filename = true)
), ours as (
  select external_id, "row", newness(source_updated_at, 0, "row") as newness,
         list_position($paths, filename) as place
    from read_parquet($paths, filename = true)
)
select o.place, o."row", o.external_id, max(t.activation) as newest, max(t.activation) > $originals[o.place],
       arg_max(t."row", t.newness) filter (where t.activation = $originals[o.place])
  from ours o
  join theirs t on t.external_id = o.external_id
   and (t.activation > $originals[o.place]
        or t.activation = $originals[o.place] and t.newness > o.newness)
 group by o.place, o."row", o.external_id order by 1, 2
"""


@dataclass(frozen=True)
class Raw:
    """A row that was set aside by an activation."""

    activation: int
    part: int
    row: int
    raw: bytes


def count_truncated(connection: Connection, branch: Branch) -> int:
    """How many rows cannot be replayed, since what they said was cut."""
    return fetch_value(connection, _SQL["count_truncated"], {"branch_id": branch.branch_id}) or 0


def begin_replay(connection: Connection, lease: Lease, branch: Branch, store: PartStore, rows_per_part: int) -> Work:
    """Make the activation of a replay and its snapshot, in one transaction.

    Raises UsageError where the branch has something open, or nothing to replay.
    """
    with fenced(connection, lease):
        found = activations.find_open(connection, branch.branch_id)
        if found is not None:
            raise UsageError(
                f"activation {found.activation_id} of this branch is {found.state}: a replay comes after it",
                where={"branch": branch.name},
                todo=f"`ingest run {branch.name}` ends it; then replay.",
            )
        raws = _raws(connection, branch)
        first = next(raws, None)
        if first is None:
            raise _nothing_left(branch, count_truncated(connection, branch))
        made = activations.create_replay(connection, branch.branch_id, holder=lease.holder)
        work = Work(connection, lease, branch, made)
        return _snapshot(work, store, chain([first], raws), rows_per_part)


def _nothing_left(branch: Branch, truncated: int) -> UsageError:
    cut = f"; {truncated:,} cannot be replayed: what they said was cut when they were set aside" if truncated else ""
    return UsageError(
        f"no row that was set aside is left to replay{cut}",
        where={"branch": branch.name},
        todo=f"`ingest rejects {branch.name}` shows those of the newest activation, and why they are there.",
    )


def _raws(connection: Connection, branch: Branch) -> Iterator[Raw]:
    with connection.cursor("rows_to_replay") as cursor:
        cursor.execute(_SQL["rows_to_replay"], {"branch_id": branch.branch_id})
        for activation, part, row, raw in cursor:
            yield Raw(activation, part, row, bytes(raw))


def _said(one: Raw) -> dict[str, str | None]:
    text = one.raw.decode("utf-8", "replace")
    row = parse_row(text, None)
    if row is None:  # what no line of JSON may say, our own rejects do not say either
        return {MALFORMED: text}
    return {name: json.dumps(value) if isinstance(value, bool) else value for name, value in row.items()}


def _snapshot(work: Work, store: PartStore, found: Iterable[Raw], rows_per_part: int) -> Work:
    originals: dict[str, dict[str, int]] = {}
    columns: dict[str, None] = {}
    rows = 0
    for part, raws in enumerate(_pages(found, rows_per_part)):
        page = _page(work, store, raws)
        columns |= dict.fromkeys(name for name in page.column_names if name not in (ROW, MALFORMED))
        stored = store.put(part_key(work, SNAPSHOT, part), page)
        list_part(work.connection, work, SNAPSHOT, part, stored, None)
        originals[str(part)] = {"activation": raws[0].activation, "first": raws[0].row, "last": raws[-1].row}
        rows += len(raws)
    pin = {"format": "replay", "files": [], "columns": list(columns), "estimated_rows": rows, "originals": originals}
    pinned = activations.pin(work.connection, work.activation, work.branch.spec, pin)
    return work.on(activations.end_snapshot(work.connection, pinned, pin, rows))


def _pages(raws: Iterable[Raw], size: int) -> Iterator[list[Raw]]:
    for _, own in groupby(raws, key=lambda one: one.activation):
        page: list[Raw] = []
        weight = 0
        for one in own:
            page.append(one)
            weight += len(one.raw)
            if len(page) == size or weight >= MAX_PAGE_BYTES:
                yield page
                page, weight = [], 0
        if page:
            yield page


def _page(work: Work, store: PartStore, raws: list[Raw]) -> pa.Table:
    page = _as_kept(work, store, raws)
    if page is None:
        log.warning(
            "%d rows of activation %d are replayed as their rejects tell them, as text: its parts are gone",
            *(len(raws), raws[0].activation),
        )
        page = _as_said(raws)
    new = [name for name in work.branch.spec.declared_columns() if name not in page.column_names]
    for name in new:
        page = page.append_column(name, pa.nulls(page.num_rows, pa.string()))
    return page


def _as_kept(work: Work, store: PartStore, raws: list[Raw]) -> pa.Table | None:
    """The rows with the types that they came with; None where a part of their activation is gone."""
    listed = {part.part: part for part in listed_parts(work.connection, raws[0].activation, SNAPSHOT)}
    pieces: list[pa.Table] = []
    for number, own in groupby(raws, key=lambda one: one.part):
        rows = pa.array([one.row for one in own], pa.int64())
        try:
            page = store.get(listed[number].path, listed[number].digest)
        except (KeyError, PartDamaged):
            return None
        pieces.append(page.filter(pc.is_in(page[ROW], rows)))
    found = pa.concat_tables(pieces) if all(one.schema == pieces[0].schema for one in pieces) else None
    return found if found is not None and found.num_rows == len(raws) else None


def _as_said(raws: list[Raw]) -> pa.Table:
    said = [_said(one) for one in raws]
    names = dict.fromkeys([*(name for row in said for name in row if name != MALFORMED), MALFORMED])
    columns = {name: pa.array([row.get(name) for row in said], pa.string()) for name in names}
    return pa.table(columns).append_column(ROW, pa.array([one.row for one in raws], pa.int64()))


def superseded(work: Work, store: PartStore, files: list[KeyFile]) -> Iterator[Loser]:
    """Rows of a replay whose keys a later activation carried, by part and row; `winner_row` is that activation.

    Where the branch tombstones what is missing, a later activation says of every key whether it is there. And rows that
    would have given way, had they been good, to a row of their own activation, which is then `winner_row`.
    """
    originals = originals_of(work.activation)
    if not files or not originals:
        return
    said = _newest(work) if work.spec.missing == "tombstone" else 0
    before = [file for file in files if originals[file.part].activation < said]
    yield from _all_before(before, said)
    yield from _outdone(work, store, files[len(before) :], originals)


def _newest(work: Work) -> int:
    return fetch_value(work.connection, _SQL["newest_ingested"], {"branch_id": work.branch.branch_id}) or 0


def _all_before(files: list[KeyFile], newest: int) -> Iterator[Loser]:
    with duckdb.connect(":memory:") as connection:
        for file in files:
            found = connection.execute(
                'select "row", external_id from read_parquet($path) order by 1', {"path": file.path}
            )
            for number, key in found.fetchall():
                yield Loser(file.part, number, key, newest, "key_superseded")


def _outdone(work: Work, store: PartStore, files: list[KeyFile], originals: dict[int, Original]) -> Iterator[Loser]:
    if not files:
        return
    values = {"branch_id": work.branch.branch_id, "first": min(originals[file.part].activation for file in files)}
    theirs: list[tuple[int, str]] = work.connection.execute(_SQL["parts_since"], values).fetchall()
    if not theirs:
        return
    given = {
        "paths": [file.path for file in files],
        "originals": [originals[file.part].activation for file in files],
        "theirs": [store.local_path(path) for _, path in theirs],
        "activations": [activation for activation, _ in theirs],
    }
    with duckdb.connect(":memory:") as connection:
        connection.execute(NEWNESS)
        for place, row, key, newest, is_later, winner in connection.execute(_OUTDONE, given).fetchall():
            part = files[place - 1].part
            yield Loser(part, row, key, newest, "key_superseded") if is_later else Loser(part, row, key, winner)
