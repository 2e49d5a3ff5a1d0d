"""The second stage, normalization: items and rejects of each part of the snapshot, then duplicate keys and the gates.

A run that was killed resumes with the parts that the manifest does not list. Duplicates and gates are one transaction
at the end.
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
from ingest_project.normalize.carry import Baseline, baseline_of, carry_plans, copy_carried_rejects
from ingest_project.normalize.columns import as_array
from ingest_project.normalize.duplicates import KeyFile, Loser, duplicate_losers
from ingest_project.normalize.gates import Outcome, RejectWatch, measured
from ingest_project.normalize.page_task import Normalize, PageTask, PartResult, run_task
from ingest_project.normalize.part import NORMALIZER_VERSION
from ingest_project.normalize.profile import null_counts, profile_of
from ingest_project.normalize.quarantine import count_rejects, losers_of_part, losers_per_part, write_rejects
from ingest_project.normalize.rejects import Reject, error_of, rejects_of
from ingest_project.normalize.replay import superseded_rows
from ingest_project.normalize.workers import process_pool, thread_pool
from ingest_project.settings import settings
from ingest_project.telemetry import Progress, report

ASSET = "normalized_items"


def normalize_activation(work: Work, store: PartStore, normalize: Normalize) -> Work:
    """Apply `normalize` to every part of the snapshot, then decide about duplicate keys and the gates.

    Raises GateBlocked, after recording the gates.
    """
    if work.activation.normalized_at:
        return work
    _normalize_parts(work, store, normalize)
    # Started before the transaction: the sort may take longer than Postgres lets a transaction idle.
    losers = _started(_losers(work, store))
    paths = _local_paths(work, store)
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


def _normalize_parts(work: Work, store: PartStore, normalize: Normalize) -> None:
    activation_id = work.activation.activation_id
    parts = listed_parts(work.connection, activation_id, SNAPSHOT)
    done = {part.part for part in listed_parts(work.connection, activation_id, ASSET)}
    rows = sum(part.rows for part in parts if part.part in done)
    total = work.activation.rows_read
    pending = [part for part in parts if part.part not in done]
    watch = RejectWatch(work, len(done), rows)
    baseline = baseline_of(work, store)
    scratch = _scratch() / f"carry-{work.branch.branch_id}"
    new_rows = sum(part.rows for part in pending if not (baseline and baseline.identical_part(part)))
    with (
        thread_pool() as readers,
        process_pool(new_rows, len(pending), normalize, readers) as workers,
        carry_plans(store, baseline, pending, work.spec.key, readers, scratch) as plans,
    ):
        tasks = (
            PageTask(store, plan.listed, part_key(work, ASSET, plan.listed.part), plan.carried, plan.page)
            for plan in plans
        )
        for result in workers.map(partial(run_task, normalize), tasks):
            _list_result(work, baseline, result)
            watch.count(result.page.rows, result.rejected)
            rows += result.page.rows
            report(Progress(ASSET, rows, total))


def _list_result(work: Work, baseline: Baseline | None, result: PartResult) -> None:
    part, activation_id = result.page.part, work.activation.activation_id
    with work.transaction() as connection:
        list_part(connection, work, ASSET, part, result.stored, None, carried=result.carried)
        write_rejects(connection, activation_id, part, result.rejects)
        if baseline and result.carried_rejects:
            copy_carried_rejects(connection, baseline.activation_id, activation_id, part, result.carried_rejects)
    failpoints.reach("normalized_part_listed")


def _end(
    work: Work, store: PartStore, losers: Iterator[Loser], nulls: dict[str, int]
) -> tuple[Work, GateBlocked | None]:
    connection, activation_id = work.connection, work.activation.activation_id
    items = sum(part.rows for part in listed_parts(connection, activation_id, ASSET))
    duplicates = _reject_losers(work, store, losers)
    failpoints.reach("duplicates_decided")
    read, rejected = work.activation.rows_read or 0, count_rejects(connection, activation_id)
    outcome = Outcome(read, rejected, duplicates, items - duplicates, items, nulls)
    blocked = gates.blocking_error(work, gates.record(connection, activation_id, measured(work, outcome)))
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
    superseded = list(superseded_rows(work, store, files))
    duplicates = duplicate_losers(files, _scratch(), superseded)
    return merge(superseded, duplicates, key=lambda loser: (loser.part, loser.row)) if superseded else duplicates


def _scratch() -> Path:
    folder = Path(settings().home).expanduser() / "scratch"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _local_paths(work: Work, store: PartStore) -> list[str]:
    parts = listed_parts(work.connection, work.activation.activation_id, ASSET)
    return [store.local_path(part.path) for part in parts if part.rows]


def _started(losers: Iterator[Loser]) -> Iterator[Loser]:
    """The same iterator, after its query has run: its first value has been drawn."""
    return chain(list(islice(losers, 1)), losers)


def _reject_losers(work: Work, store: PartStore, losers: Iterator[Loser]) -> int:
    """Write rejects of the losers; returns how many they are."""
    pages = {part.part: part for part in listed_parts(work.connection, work.activation.activation_id, SNAPSHOT)}
    count = 0
    by_part = ((pages[part], list(of_part)) for part, of_part in groupby(losers, key=lambda loser: loser.part))
    with thread_pool() as readers:
        for part, rejects in readers.map(partial(_loser_rejects, store), by_part):
            write_rejects(work.connection, work.activation.activation_id, part, rejects)
            count += len(rejects)
    return count


def _loser_rejects(store: PartStore, task: tuple[ListedPart, Sequence[Loser]]) -> tuple[int, list[Reject]]:
    listed, losers = task
    page = store.get(listed.path, listed.digest)
    rows = pa.array([loser.row for loser in losers], pa.int64())
    positions = pc.index_in(rows, as_array(page[ROW])).to_pylist()
    errors = [[error_of(KEY, loser.code, loser.message)] for loser in losers]
    return listed.part, rejects_of(page, positions, [loser.external_id for loser in losers], errors)


@dataclass(frozen=True)
class ValidPart:
    """A normalized part without its `losers`: the rows that became rejects because of another row with their key."""

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
        """The items, with all columns of `item_schema()`."""
        return self._without_losers(self.store.get(self.listed.path, self.listed.digest))

    def keys(self) -> pa.Table:
        """Key, content hash and source time of the items, in the order of `load`."""
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
    """The normalized parts of an activation, as the upsert takes them."""
    activation_id = work.activation.activation_id
    losers = losers_per_part(work.connection, activation_id)
    return [
        ValidPart(work, store, part, losers.get(part.part, 0))
        for part in listed_parts(work.connection, activation_id, ASSET)
    ]
