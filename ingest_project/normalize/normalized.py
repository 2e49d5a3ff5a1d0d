"""The second stage: each part of the snapshot normalized, rejects kept with it, duplicates decided, the gate passed.

Killed at any instant, it goes on with the parts that the manifest does not list; duplicates and the gate are one
transaction at the end.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from heapq import merge
from itertools import chain, groupby, islice
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from ingest_project import failpoints
from ingest_project.branches import activations, gates
from ingest_project.branches.work import Work
from ingest_project.errors import GateBlocked
from ingest_project.extract.manifest import ListedPart, list_part, listed_parts, part_key
from ingest_project.extract.snapshot import ASSET as SNAPSHOT
from ingest_project.extract.source import ROW
from ingest_project.extract.store import PartStore
from ingest_project.item import KEY
from ingest_project.normalize import profiles
from ingest_project.normalize.carry import Baseline, baseline_of, carrying, copy_carried_rejects
from ingest_project.normalize.columns import as_one
from ingest_project.normalize.duplicates import KeyFile, Loser, duplicate_losers
from ingest_project.normalize.gates import Outcome, RejectWatch, measured
from ingest_project.normalize.page_task import MadePart, PageTask, Rule, make_part
from ingest_project.normalize.part import NORMALIZER_VERSION
from ingest_project.normalize.profile import null_counts, profile_of
from ingest_project.normalize.quarantine import count_rejects, losers_of_part, losers_per_part, write_rejects
from ingest_project.normalize.rejects import Reject, error_of, rejects_of
from ingest_project.normalize.replay import superseded
from ingest_project.normalize.workers import process_pool, thread_pool
from ingest_project.settings import settings
from ingest_project.telemetry import Progress, report

ASSET = "normalized_items"


def normalize_activation(work: Work, store: PartStore, rule: Rule) -> Work:
    """Apply `rule` to every part of the snapshot, then decide duplicates and the gate.

    Raises GateBlocked, after writing down what was measured against which limit.
    """
    if work.activation.normalized_at:
        return work
    _normalize_parts(work, store, rule)
    # Asked before the transaction: its sort may take longer than Postgres lets a transaction sit idle.
    losers = _begun(_losers(work, store))
    paths = _paths(work, store)
    nulls = null_counts(paths)
    profile = profile_of(work, paths)
    with work.transaction() as connection:
        if profile:
            profiles.save(connection, work.activation.activation_id, profile)
        ended, blocked = _end(work, store, losers, nulls)
    failpoints.reach("normalization_ended")
    if blocked:
        raise blocked
    return ended


def _normalize_parts(work: Work, store: PartStore, rule: Rule) -> None:
    activation_id = work.activation.activation_id
    parts = listed_parts(work.connection, activation_id, SNAPSHOT)
    done = {part.part for part in listed_parts(work.connection, activation_id, ASSET)}
    rows = sum(part.rows for part in parts if part.part in done)
    total = work.activation.rows_read
    pending = [part for part in parts if part.part not in done]
    watch = RejectWatch(work, len(done), rows)
    baseline = baseline_of(work, store)
    scratch = _scratch() / f"carry-{work.branch.branch_id}"
    new = sum(part.rows for part in pending if not (baseline and baseline.same_as(part)))
    with (
        thread_pool() as readers,
        process_pool(new, len(pending), rule, readers) as workers,
        carrying(store, baseline, pending, work.spec.key, readers, scratch) as plans,
    ):
        tasks = (
            PageTask(store, one.listed, part_key(work, ASSET, one.listed.part), one.carried, one.page) for one in plans
        )
        for made in workers.map(partial(make_part, rule), tasks):
            _keep(work, baseline, made)
            watch.count(made.page.rows, made.rejected)
            rows += made.page.rows
            report(Progress(ASSET, rows, total))


def _keep(work: Work, baseline: Baseline | None, made: MadePart) -> None:
    number, activation_id = made.page.part, work.activation.activation_id
    with work.transaction() as connection:
        list_part(connection, work, ASSET, number, made.stored, None, carried=made.carried)
        write_rejects(connection, activation_id, number, made.rejects)
        if baseline and made.carried_rejects:
            copy_carried_rejects(connection, baseline.activation_id, activation_id, number, made.carried_rejects)
    failpoints.reach("normalized_part_listed")


def _end(
    work: Work, store: PartStore, duplicates: Iterator[Loser], nulls: dict[str, int]
) -> tuple[Work, GateBlocked | None]:
    connection, activation_id = work.connection, work.activation.activation_id
    items = sum(part.rows for part in listed_parts(connection, activation_id, ASSET))
    losers = _set_losers_aside(work, store, duplicates)
    failpoints.reach("duplicates_decided")
    read, rejected = work.activation.rows_read or 0, count_rejects(connection, activation_id)
    outcome = Outcome(read, rejected, losers, items - losers, items, nulls)
    blocked = gates.blocked(work, gates.record(connection, activation_id, measured(work, outcome)))
    ended = activations.end_normalization(
        connection,
        work.activation,
        rows_read=read,
        rejected=rejected,
        valid=outcome.valid,
        normalizer_version=NORMALIZER_VERSION,
        blocked=blocked,
    )
    return work.on(ended), blocked


def _losers(work: Work, store: PartStore) -> Iterator[Loser]:
    parts = listed_parts(work.connection, work.activation.activation_id, ASSET)
    files = [KeyFile(part.part, store.local_path(part.path)) for part in parts if part.rows]
    gone = list(superseded(work, store, files))
    losers = duplicate_losers(files, _scratch(), gone)
    return merge(gone, losers, key=lambda loser: (loser.part, loser.row)) if gone else losers


def _scratch() -> Path:
    folder = Path(settings().home).expanduser() / "scratch"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _paths(work: Work, store: PartStore) -> list[str]:
    parts = listed_parts(work.connection, work.activation.activation_id, ASSET)
    return [store.local_path(part.path) for part in parts if part.rows]


def _begun(losers: Iterator[Loser]) -> Iterator[Loser]:
    return chain(list(islice(losers, 1)), losers)


def _set_losers_aside(work: Work, store: PartStore, duplicates: Iterator[Loser]) -> int:
    pages = {part.part: part for part in listed_parts(work.connection, work.activation.activation_id, SNAPSHOT)}
    count = 0
    by_part = ((pages[number], list(losers)) for number, losers in groupby(duplicates, key=lambda loser: loser.part))
    with thread_pool() as readers:
        for number, rejects in readers.map(partial(_losing, store), by_part):
            write_rejects(work.connection, work.activation.activation_id, number, rejects)
            count += len(rejects)
    return count


def _losing(store: PartStore, lost: tuple[ListedPart, Sequence[Loser]]) -> tuple[int, list[Reject]]:
    listed, losers = lost
    page = store.get(listed.path, listed.digest)
    rows = pa.array([loser.row for loser in losers], pa.int64())
    positions = pc.index_in(rows, as_one(page[ROW])).to_pylist()
    errors = [[error_of(KEY, loser.code, loser.words)] for loser in losers]
    return listed.part, rejects_of(page, positions, [loser.external_id for loser in losers], errors)


@dataclass(frozen=True)
class ValidPart:
    """A normalized part without the rows that gave way to a newer one with their key."""

    work: Work
    store: PartStore
    listed: ListedPart
    losers: int

    @property
    def number(self) -> int:
        return self.listed.part

    @property
    def valid(self) -> int:
        return self.listed.rows - self.losers

    def load(self) -> pa.Table:
        """All columns of `item_schema()`."""
        return self._without_losers(self.store.get(self.listed.path, self.listed.digest))

    def keys(self) -> pa.Table:
        """Key, content hash and source time, in the row order of `load`."""
        columns = [KEY, "content_hash", "source_updated_at", "row"]
        table = self.store.get(self.listed.path, columns=columns)
        return self._without_losers(table).drop_columns(["row"])

    def _without_losers(self, table: pa.Table) -> pa.Table:
        if not self.losers:
            return table
        return table.filter(pc.invert(pc.is_in(table["row"], self._loser_rows)))

    @cached_property
    def _loser_rows(self) -> pa.Array:
        rows = losers_of_part(self.work.connection, self.work.activation.activation_id, self.number)
        return pa.array(rows, pa.int64())


def valid_parts(work: Work, store: PartStore) -> list[ValidPart]:
    """What the upsert takes, part by part."""
    activation_id = work.activation.activation_id
    losers = losers_per_part(work.connection, activation_id)
    return [
        ValidPart(work, store, part, losers.get(part.part, 0))
        for part in listed_parts(work.connection, activation_id, ASSET)
    ]
