"""Rows that are unchanged are not normalized again: their items or rejects are carried from the baseline.

The baseline is the newest committed activation of the branch, if it was normalized by the same code and libraries and
under the same spec. A part that is identical is copied as a file. Other parts look for their rows in the part of the
same number (`unchanged_rows`) and, if few are there, anywhere by raw hash. What is carried is stored again under the
new activation, so that the baseline can be deleted.
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
from ingest_project.normalize.duplicates import spilling_database
from ingest_project.normalize.part import NORMALIZER_VERSION
from ingest_project.normalize.raw_hash import raw_hashes
from ingest_project.normalize.unchanged_rows import ROWS, BaselinePages, load_baseline_page
from ingest_project.normalize.workers import Pool
from ingest_project.postgres import statements
from ingest_project.postgres.connection import Connection
from ingest_project.telemetry import log

_SQL = statements.load(__name__, "carry.sql")
# Parts of the baseline that one part may take rows from. If its rows were spread over many more, each part would read
# the whole baseline: the rows in the other parts are normalized again.
MAX_BASE_PARTS = 4
# The whole baseline is searched for a part with fewer unchanged rows than `_FEW_UNCHANGED`, as long as more than
# `_MIN_UNCLAIMED` of the baseline's rows are not carried yet; afterwards the rows of a part must be new.
_FEW_UNCHANGED = 0.5
_MIN_UNCLAIMED = 0.1
# Of identical rows of the baseline the first is taken.
_MATCH = """
create table matches as
  with base as (select hash, min("row") as "row", arg_min(part, "row") as part from read_parquet($base) group by hash)
select new.part, new."row", base.part as base_part, base."row" as base_row
  from read_parquet($new) as new join base using (hash)
"""
_MATCHES_OF_PART = 'select "row", base_part, base_row from matches where part = ? order by "row"'


@dataclass(frozen=True)
class Baseline:
    """The activation that rows are carried from: the parts of its snapshot, and the normalized parts, by number."""

    activation_id: int
    pages: dict[int, ListedPart]
    items: dict[int, ListedPart]

    def identical_part(self, page: ListedPart) -> int | None:
        """The number of a part of the baseline that is identical, row numbers included."""
        return next((part for part, base in self.pages.items() if base.digest == page.digest), None)


@dataclass(frozen=True)
class Carried:
    """What one part takes from the baseline.

    `rows` are the unchanged rows, as `unchanged_rows.ROWS`; None if the whole part is identical. `items` are the
    normalized parts of the baseline that are needed, by number.
    """

    rows: pa.Table | None
    items: dict[int, ListedPart]


@dataclass(frozen=True)
class CarriedRejects:
    """Rejects that are carried: either `rows`, as in `Carried`, or all of `base_part`; `count` is their number."""

    rows: pa.Table | None
    base_part: int | None
    count: int


@dataclass(frozen=True)
class CarryPlan:
    """A part of the snapshot and what it takes from the baseline; `page` is its content, if it has been read."""

    listed: ListedPart
    carried: Carried | None = None
    page: pa.Table | None = None


def baseline_of(work: Work, store: PartStore) -> Baseline | None:
    """The baseline of an activation, if there is one; a replay, whose rows are only a selection, has none.

    It has only the parts that are in this store: another host may have stored the others in a store of its own.
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
    stored = {part: page for part, page in pages.items() if store.has(page.path) and store.has(items[part].path)}
    if missing := len(pages) - len(stored):
        log.warning(
            "%d of %d parts of activation %d are not in this store: their rows are normalized again",
            *(missing, len(pages), row[0]),
        )
    return Baseline(row[0], stored, items)


@contextmanager
def carry_plans(
    store: PartStore, baseline: Baseline | None, pages: Sequence[ListedPart], key: str, readers: Pool, scratch: Path
) -> Generator[Iterator[CarryPlan]]:
    """Plan for each page, in order, what it takes from the baseline; `key` is the column of the source's key."""
    if baseline is None:
        yield map(CarryPlan, pages)
        return
    identical = {page.part: part for page in pages if (part := baseline.identical_part(page)) is not None}
    changed = [page for page in pages if page.part not in identical]
    unclaimed = [page for part, page in baseline.pages.items() if part not in identical.values()]
    compare = partial(_compare, store, BaselinePages(store, baseline.pages, key), identical)
    with ExitStack() as resources:
        search = cache(lambda: resources.enter_context(_hash_search(store, changed, unclaimed, readers, scratch)))
        yield _plans(baseline, readers.map(compare, pages), sum(page.rows for page in unclaimed), search)


@dataclass(frozen=True)
class _Comparison:
    """The number of the `identical` part of the baseline, or the content of a part and its unchanged rows."""

    listed: ListedPart
    identical: int | None
    page: pa.Table | None = None
    rows: pa.Table | None = None


def _compare(store: PartStore, base: BaselinePages, identical: Mapping[int, int], listed: ListedPart) -> _Comparison:
    if listed.part in identical:
        return _Comparison(listed, identical[listed.part])
    try:
        page = store.get(listed.path, listed.digest)
    except PartDamaged:
        return _Comparison(listed, None)  # its task will fail with the error
    return _Comparison(listed, None, page, base.unchanged(page, listed.part))


def _plans(
    baseline: Baseline,
    comparisons: Iterable[_Comparison],
    unclaimed: int,
    search: Callable[[], Callable[[int], pa.Table]],
) -> Iterator[CarryPlan]:
    min_unclaimed = _MIN_UNCLAIMED * sum(page.rows for page in baseline.pages.values())
    for comparison in comparisons:
        listed, rows = comparison.listed, comparison.rows
        if comparison.identical is not None:
            yield CarryPlan(listed, Carried(None, {comparison.identical: baseline.items[comparison.identical]}))
            continue
        if rows is not None and len(rows) < _FEW_UNCHANGED * listed.rows and unclaimed > min_unclaimed:
            rows = search()(listed.part)
        if rows is None or not len(rows):
            yield CarryPlan(listed, None, comparison.page)
            continue
        unclaimed -= len(rows)
        items = {part: baseline.items[part] for part in pc.unique(rows["base_part"]).to_pylist()}
        yield CarryPlan(listed, Carried(rows, items), comparison.page)


@contextmanager
def _hash_search(
    store: PartStore, pages: Sequence[ListedPart], base: Sequence[ListedPart], readers: Pool, scratch: Path
) -> Generator[Callable[[int], pa.Table]]:
    """A function that finds the unchanged rows of a part by raw hash, anywhere in the parts of the baseline."""
    if not pages or not base:
        yield lambda _: ROWS.empty_table()
        return
    with _folder(scratch) as folder, spilling_database(folder) as database:
        tasks = [
            HashTask(store, page, f"{folder}/{kind}-{page.part}.parquet", kind == "base")
            for kind, listed in (("new", pages), ("base", base))
            for page in listed
        ]
        for _ in readers.map(hash_page, tasks):
            pass
        if any(folder.glob("base-*")):
            database.execute(_MATCH, {"base": f"{folder}/base-*", "new": f"{folder}/new-*"})
            yield lambda part: _matches(database, part)
        else:
            yield lambda _: ROWS.empty_table()


@contextmanager
def _folder(scratch: Path) -> Generator[Path]:
    # The name belongs to the branch: the next run removes what a killed one has left.
    rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        yield scratch
    finally:
        rmtree(scratch, ignore_errors=True)


def _matches(database: duckdb.DuckDBPyConnection, part: int) -> pa.Table:
    """The matches of a part in those parts of the baseline that have most of them."""
    rows = pa.table(dict(database.execute(_MATCHES_OF_PART, [part]).fetchnumpy()))
    counts = pc.value_counts(rows["base_part"]).to_pylist()
    if len(counts) <= MAX_BASE_PARTS:
        return rows
    most = sorted(counts, key=lambda count: count["counts"], reverse=True)[:MAX_BASE_PARTS]
    base_parts = pa.array([count["values"] for count in most], rows["base_part"].type)
    return rows.filter(pc.is_in(rows["base_part"], base_parts))


@dataclass(frozen=True)
class HashTask:
    """A part of a snapshot, and the file for its raw hashes: a damaged part of the baseline gets none."""

    store: PartStore
    page: ListedPart
    target: str
    is_baseline: bool


def hash_page(task: HashTask) -> None:
    """Write part, row and raw hash of each row."""
    if task.is_baseline:
        page = load_baseline_page(task.store, task.page)
    else:
        page = task.store.get(task.page.path, task.page.digest)
    if page is None:
        return
    part = pa.repeat(pa.scalar(task.page.part, pa.int32()), page.num_rows)
    pq.write_table(pa.table({"part": part, "row": page[ROW], "hash": raw_hashes(page)}), task.target)


def copy_carried_rejects(
    connection: Connection, baseline: int, activation_id: int, part: int, carried: CarriedRejects
) -> None:
    """Copy rejects of the baseline, in the caller's fenced transaction. Raises PartDamaged if some are gone."""
    values = {"activation_id": activation_id, "part": part, "baseline": baseline, "base_part": carried.base_part}
    if carried.rows is None:
        copied = connection.execute(_SQL["carry_all_rejects"], values)
    else:
        columns = zip(("rows", "base_parts", "base_rows"), carried.rows.columns, strict=True)
        lists = {name: column.to_pylist() for name, column in columns}
        copied = connection.execute(_SQL["carry_rejects"], values | lists)
    missing = carried.count - copied.rowcount
    if missing:
        raise PartDamaged(
            f"{missing} rejects of activation {baseline} are gone that this one was to carry on",
            where={"activation": activation_id, "part": part},
            todo="Run the same command again: the rows are then normalized anew.",
        )
