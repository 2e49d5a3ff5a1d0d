"""Rows that are as they were are not normalized again: they take their item or reject from the baseline.

The baseline is the newest committed activation of the branch, where it was normalized by the same code and libraries
under the same spec; without one nothing is carried. A part that is the same to the byte is taken over as a file. The
others look for their rows in the part of the same number (`unchanged_rows`) and, where few are there, anywhere by raw
hash. What is carried is stored again under the new activation, so that nothing of it depends on the other being kept.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from shutil import rmtree

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from psycopg.types.json import Jsonb

from ingest_project.branches.work import Work
from ingest_project.errors import PartDamaged
from ingest_project.extract.manifest import ListedPart, listed_parts
from ingest_project.extract.snapshot import ASSET as SNAPSHOT
from ingest_project.extract.source import ROW
from ingest_project.extract.store import PartStore
from ingest_project.normalize.duplicates import out_of_core
from ingest_project.normalize.part import NORMALIZER_VERSION
from ingest_project.normalize.raw_hash import raw_hashes
from ingest_project.normalize.unchanged_rows import ROWS, BaselinePages, spare_page
from ingest_project.normalize.workers import Pool
from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection
from ingest_project.telemetry import log

_SQL = statements.load(__name__, "carry.sql")
# Parts of the baseline that one part may take rows from: rows that were shuffled over many more are normalized again,
# or each part would read the whole baseline.
MOST_PARTS = 4
# Where a part finds fewer of its rows nearby, all of the baseline is searched, unless most of that is taken by now:
# then the rows of the part are new.
_ENOUGH = 0.5
_WORTH = 0.1
# Of rows that were the same in the baseline any is as good: the first is taken.
_MATCHES = """
create table matches as
  with known as (select hash, min("row") as "row", arg_min(part, "row") as part from read_parquet($known) group by hash)
select fresh.part, fresh."row", known.part as base_part, known."row" as base_row
  from read_parquet($fresh) as fresh join known using (hash)
"""
_OF_A_PART = 'select "row", base_part, base_row from matches where part = ? order by "row"'


@dataclass(frozen=True)
class Baseline:
    """What rows are carried from: the parts of its snapshot that have been normalized, and what they became."""

    activation_id: int
    pages: dict[int, ListedPart]
    items: dict[int, ListedPart]

    def same_as(self, page: ListedPart) -> int | None:
        """The number of a part that is the same to the byte, row numbers included."""
        return next((number for number, known in self.pages.items() if known.digest == page.digest), None)


@dataclass(frozen=True)
class Carried:
    """What one part takes from the baseline.

    `rows` are `row`, and the `base_part` and `base_row` that say the same; None where the whole part does. `items` are
    the normalized parts of the baseline that are needed.
    """

    rows: pa.Table | None
    items: dict[int, ListedPart]


@dataclass(frozen=True)
class CarriedRejects:
    """Rejects that are carried: rows as in `Carried`, or how many all of a part are."""

    rows: pa.Table | None
    base_part: int | None
    count: int


@dataclass(frozen=True)
class CarryPlan:
    """A part of the snapshot and what it takes from the baseline; `page` is the part itself, where it was read."""

    listed: ListedPart
    carried: Carried | None = None
    page: pa.Table | None = None


def baseline_of(work: Work, store: PartStore) -> Baseline | None:
    """The activation that this one is compared with, if there is one; a replay's rows are no state of the branch.

    Without parts that are not in this store, as where another host has read them to one of its own.
    """
    if work.activation.kind != "ingest":
        return None
    values = {
        "branch_id": work.branch.branch_id,
        "activation_id": work.activation.activation_id,
        "normalizer_version": NORMALIZER_VERSION,
        "spec": Jsonb(work.activation.spec),
    }
    row = work.connection.execute(_SQL["baseline"], values).fetchone()
    if row is None:
        return None
    items = {part.part: part for part in listed_parts(work.connection, row[0], "normalized_items")}
    pages = {part.part: part for part in listed_parts(work.connection, row[0], SNAPSHOT) if part.part in items}
    stored = {number: page for number, page in pages.items() if store.has(page.path) and store.has(items[number].path)}
    if lost := len(pages) - len(stored):
        log.warning(
            "%d of %d parts of activation %d are not in this store: their rows are normalized again",
            *(lost, len(pages), row[0]),
        )
    return Baseline(row[0], stored, items)


@contextmanager
def carrying(
    store: PartStore, baseline: Baseline | None, pages: Sequence[ListedPart], key: str, readers: Pool, scratch: Path
) -> Generator[Iterator[CarryPlan]]:
    """Plan for each page, in order, what it takes from the baseline; `key` is the column of the source's key."""
    if baseline is None:
        yield map(CarryPlan, pages)
        return
    same = {page.part: number for page in pages if (number := baseline.same_as(page)) is not None}
    other = [page for page in pages if page.part not in same]
    known = [page for number, page in baseline.pages.items() if number not in same.values()]
    looked = readers.map(partial(_looked, store, BaselinePages(store, baseline.pages, key), same), pages)
    with ExitStack() as at_work:
        search = cache(lambda: at_work.enter_context(_matched(store, other, known, readers, scratch)))
        yield _planned(baseline, looked, sum(page.rows for page in known), search)


@dataclass(frozen=True)
class _Looked:
    """A part that is the `same` as one of the baseline, or its page and those of its rows that are unchanged."""

    listed: ListedPart
    same: int | None
    page: pa.Table | None = None
    rows: pa.Table | None = None


def _looked(store: PartStore, base: BaselinePages, same: Mapping[int, int], listed: ListedPart) -> _Looked:
    if listed.part in same:
        return _Looked(listed, same[listed.part])
    try:
        page = store.get(listed.path, listed.digest)
    except PartDamaged:
        return _Looked(listed, None)  # said where it is to be normalized
    return _Looked(listed, None, page, base.unchanged(page, listed.part))


def _planned(
    baseline: Baseline, looked: Iterable[_Looked], unclaimed: int, search: Callable[[], Callable[[int], pa.Table]]
) -> Iterator[CarryPlan]:
    worth = _WORTH * sum(page.rows for page in baseline.pages.values())
    for one in looked:
        rows = one.rows
        if one.same is not None:
            yield CarryPlan(one.listed, Carried(None, {one.same: baseline.items[one.same]}))
            continue
        if rows is not None and len(rows) < _ENOUGH * one.listed.rows and unclaimed > worth:
            rows = search()(one.listed.part)
        if rows is None or not len(rows):
            yield CarryPlan(one.listed, None, one.page)
            continue
        unclaimed -= len(rows)
        items = {number: baseline.items[number] for number in _parts_of(rows)}
        yield CarryPlan(one.listed, Carried(rows, items), one.page)


def _parts_of(rows: pa.Table) -> list[int]:
    return pc.unique(rows["base_part"]).to_pylist()


@contextmanager
def _matched(
    store: PartStore, pages: Sequence[ListedPart], known: Sequence[ListedPart], readers: Pool, scratch: Path
) -> Generator[Callable[[int], pa.Table]]:
    if not pages or not known:
        yield lambda _: ROWS.empty_table()
        return
    with _folder(scratch) as folder, out_of_core(folder) as database:
        tasks = [
            HashTask(store, page, f"{folder}/{kind}-{page.part}.parquet", kind == "known")
            for kind, listed in (("fresh", pages), ("known", known))
            for page in listed
        ]
        for _ in readers.map(hash_page, tasks):
            pass
        if any(folder.glob("known-*")):
            values = {"known": f"{folder}/known-*", "fresh": f"{folder}/fresh-*"}
            database.execute(_MATCHES, values)
            yield lambda part: _nearest(database, part)
        else:
            yield lambda _: ROWS.empty_table()


@contextmanager
def _folder(scratch: Path) -> Generator[Path]:
    # What a run that was killed has left is swept by the next one of the branch: nobody else has this name.
    rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        yield scratch
    finally:
        rmtree(scratch, ignore_errors=True)


def _nearest(database: duckdb.DuckDBPyConnection, part: int) -> pa.Table:
    rows = pa.table(dict(database.execute(_OF_A_PART, [part]).fetchnumpy()))
    counts = pc.value_counts(rows["base_part"]).to_pylist()
    if len(counts) <= MOST_PARTS:
        return rows
    most = sorted(counts, key=lambda one: one["counts"], reverse=True)[:MOST_PARTS]
    return rows.filter(pc.is_in(rows["base_part"], pa.array([one["values"] for one in most], rows["base_part"].type)))


@dataclass(frozen=True)
class HashTask:
    """A part of a snapshot whose raw hashes are to be written to a file; `spare` ones may be damaged."""

    store: PartStore
    page: ListedPart
    target: str
    spare: bool


def hash_page(task: HashTask) -> None:
    """Write part, row and raw hash of each row."""
    page = spare_page(task.store, task.page) if task.spare else task.store.get(task.page.path, task.page.digest)
    if page is None:
        return
    part = pa.repeat(pa.scalar(task.page.part, pa.int32()), page.num_rows)
    pq.write_table(pa.table({"part": part, "row": page[ROW], "hash": raw_hashes(page)}), task.target)


def copy_carried_rejects(
    connection: Connection, baseline: int, activation_id: int, part: int, carried: CarriedRejects
) -> None:
    """Copy rejects of the baseline; part of the caller's fenced transaction. Raises PartDamaged where some are gone."""
    values = {"activation_id": activation_id, "part": part, "baseline": baseline, "base_part": carried.base_part}
    if carried.rows is None:
        made = connection.execute(_SQL["carry_all_rejects"], values)
    else:
        lists = zip(("rows", "base_parts", "base_rows"), carried.rows.columns, strict=True)
        made = connection.execute(_SQL["carry_rejects"], values | {name: one.to_pylist() for name, one in lists})
    if made.rowcount != carried.count:
        raise PartDamaged(
            f"{carried.count - made.rowcount} rejects of activation {baseline} are gone that this one was to carry on",
            where={"activation": activation_id, "part": part},
            todo="Run the same command again: the rows are then normalized anew.",
        )
